/*
 * The PCI bus and its functions: configuration space from mask tables, BARs that map and unmap regions, the expansion ROM.
 * Source: PCI Local Bus Specification 3.0, chapter 6 and [PCI 6.x] below.
 */
#ifndef THINDM_PCI_H
#define THINDM_PCI_H

#include <thindm/bus.h>
#include <thindm/irq.h>
#include <thindm/snapshot.h>

enum { PCI_CONFIG_BYTES = 256, PCI_NR_BARS = 6, PCI_ROM = 6, PCI_NR_REGIONS = 7, PCI_NR_FUNCTIONS = 256 };
/* Standard header [PCI 6.1]. */
enum {
    PCI_VENDOR = 0x00, PCI_DEVICE = 0x02, PCI_COMMAND = 0x04, PCI_STATUS = 0x06, PCI_REVISION = 0x08, PCI_CLASS_PROG = 0x09,
    PCI_CLASS = 0x0a, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_SUBVENDOR = 0x2c, PCI_SUBDEVICE = 0x2e,
    PCI_ROM_BAR = 0x30, PCI_CAP_PTR = 0x34, PCI_INT_LINE = 0x3c, PCI_INT_PIN = 0x3d,
};
enum { PCI_COMMAND_IO = 0x1, PCI_COMMAND_MEMORY = 0x2, PCI_COMMAND_MASTER = 0x4, PCI_COMMAND_INTX_OFF = 0x400 };

#define PCI_DEVFN(slot, function) ((uint8_t)((slot) << 3 | (function)))

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM32_PREFETCH, PCI_BAR_MEM64, PCI_BAR_MEM64_PREFETCH };

struct pci_func;

/* What a BAR decodes. size: power of two, I/O at least 4, memory at least 16. MEM64 uses the next BAR number too. */
struct pci_bar {
    enum pci_bar_kind kind;
    uint64_t size;
    const struct bus_ops *ops; /* opaque of the calls is pci_func->opaque */
    /* Told when the decoded address changes, after the region was attached or detached; mapped false: decode is off. May be NULL. */
    void (*moved)(void *opaque, uint64_t addr, bool mapped);
};

/* A device-specific register range beside the standard header: reset values and which bits the guest may change. */
struct pci_reg {
    uint8_t reg, size; /* size 1, 2, 4 */
    uint32_t reset, wmask, w1c;
};

/*
 * Identity and registers. Registers from 0x40 up that regs doesn't name are plain read-write storage, reset to 0, as in the machine that
 * Xen guests know. The standard header follows fixed masks in core/pci.c.
 */
struct pci_desc {
    uint16_t vendor, device, subvendor, subdevice;
    uint32_t class_code; /* 24 bits: class, subclass, prog-if */
    uint8_t revision, header_type, pin; /* pin: 0 none, 1-4 INTA-INTD */
    uint16_t command_reset, status_reset;
    const struct pci_reg *regs;
    unsigned nr_regs;
};

/* Embedded in the device after struct device. */
struct pci_func {
    const struct pci_desc *desc;
    struct pci_bus *bus;
    uint8_t devfn;
    void *opaque; /* of all callbacks */
    /* After [reg, reg + size) was written and the standard part took effect. NULL: nothing to do. */
    void (*config_written)(void *opaque, unsigned reg, unsigned size);
    struct pci_bar bars[PCI_NR_REGIONS];
    struct bus_region regions[PCI_NR_REGIONS];
    uint64_t mapped[PCI_NR_REGIONS]; /* PCI_UNMAPPED or the address */
    const uint8_t *rom;              /* size rom_bytes, caller's; the BAR's size is the next power of two */
    size_t rom_bytes;
    struct irq intx; /* drive it through pci_set_intx() */
    bool intx_level;
    /* Guest-visible: put SNAP_ARRAY(struct x, pci.config) into the device's table, call pci_restored(). */
    uint8_t config[PCI_CONFIG_BYTES];
    /* Per bit: the guest writes it; the guest clears it with a one; only the device changes it (not checked on restore). */
    uint8_t wmask[PCI_CONFIG_BYTES], w1c[PCI_CONFIG_BYTES], hwmask[PCI_CONFIG_BYTES];
    uint8_t reset[PCI_CONFIG_BYTES]; /* config after pci_reset() */
};

#define PCI_UNMAPPED UINT64_MAX

struct pci_listener {
    void (*changed)(void *opaque, uint8_t devfn, bool present);
    void *opaque;
};

struct pci_bus {
    struct pci_func *functions[PCI_NR_FUNCTIONS]; /* by devfn */
    struct bus *ports, *memory;
    struct irq_board *irqs; /* NULL: INTx goes nowhere */
    const struct pci_listener *listener;
};

void pci_bus_init(struct pci_bus *bus, struct bus *ports, struct bus *memory, struct irq_board *irqs);

/*
 * Put a function on the bus: func->bars, rom, rom_bytes, config_written, opaque are set by the caller before. Fills the configuration space with the
 * reset values. desc must be const data. 0, -EEXIST (devfn taken), -EINVAL (a BAR's size).
 */
int pci_attach(struct pci_func *func, struct pci_bus *bus, uint8_t devfn, const struct pci_desc *desc) WARN_UNUSED;
/* Off the bus: regions unmapped, line low, config reads all ones. Harmless if not attached. */
void pci_detach(struct pci_func *func);
/* Reset values, BARs unmapped, line low. Part of the device's reset(). */
void pci_reset(struct pci_func *func);
/*
 * After func->config was restored: read-only bits must be what they are here, then map the BARs. 0 or -EINVAL. The INTx line is low
 * then, whatever the status bit said: the device derives it and calls pci_set_intx().
 */
int pci_restored(struct pci_func *func) WARN_UNUSED;

/* Level of the function's INTx pin; honours the interrupt disable bit and the status bit [PCI 6.2.2, 6.2.3]. */
void pci_set_intx(struct pci_func *func, bool level);
/* Bus master enable: a device must not DMA while it is false. */
static inline bool pci_is_master(const struct pci_func *func)
{
    return func->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/*
 * Configuration access of 1, 2 or 4 bytes at register 0-255 of bus 0; bytes beyond 255 read ones. Absent: all ones.
 * Source: PCI 3.0, 3.2.2.3.
 */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned reg, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned reg, unsigned size, uint32_t val);

/* MSI capability with 64-bit address [PCI 6.8.1], one message, optional per-vector mask. All its state is in func->config. */
struct pci_msi {
    struct pci_func *func;
    struct hv *hv;
    uint8_t cap; /* offset of the capability */
    bool maskable;
};

/* Adds the capability at config offset cap (multiple of 4, 0x40 or higher, free). To be called right after pci_attach(). */
void pci_msi_init(struct pci_msi *msi, struct pci_func *func, struct hv *hv, uint8_t cap, bool maskable);
bool pci_msi_enabled(const struct pci_msi *msi);
/* Send, or remember while masked. A message with vector 0 (a Xen pirq) is never masked. */
void pci_msi_raise(struct pci_msi *msi);
/* Call from config_written(): sends what became unmasked. */
void pci_msi_config_written(struct pci_msi *msi);

/*
 * MSI-X capability [PCI 6.8.2]. Table and pending bits lie in a BAR of the device, which passes accesses on. The control register is in
 * func->config; table and pending are the device's, guest-visible: put both into its field table.
 */
struct pci_msix_config {
    uint8_t cap; /* offset in the configuration space: multiple of 4, 0x40 or higher, 12 bytes free */
    uint8_t table_bar, pending_bar;         /* BAR numbers */
    uint32_t table_offset, pending_offset;  /* in their BAR, multiples of 8 */
    uint16_t vectors;                       /* 1 to 2048 */
    uint32_t *table;                        /* PCI_MSIX_TABLE_WORDS(vectors) */
    uint32_t *pending;                      /* PCI_MSIX_PENDING_WORDS(vectors) */
};

#define PCI_MSIX_TABLE_WORDS(vectors)   (4u * (vectors))
#define PCI_MSIX_PENDING_WORDS(vectors) (2u * (((vectors) + 63u) / 64u))

struct pci_msix {
    struct pci_func *func;
    struct hv *hv;
    struct pci_msix_config config;
};

/* Adds the capability and resets the table. To be called right after pci_attach(). */
void pci_msix_init(struct pci_msix *msix, struct pci_func *func, struct hv *hv, const struct pci_msix_config *config);
/* All vectors masked, nothing pending. Part of the device's reset(), beside pci_reset(). */
void pci_msix_reset(struct pci_msix *msix);
/* After pci_restored(): 0, or -EINVAL if reserved bits are set; then all is masked. Sends nothing. */
int pci_msix_restored(struct pci_msix *msix) WARN_UNUSED;
bool pci_msix_enabled(const struct pci_msix *msix);
/* Send, or remember while masked; nothing while disabled. vector: below config.vectors. A message to a Xen pirq is never masked. */
void pci_msix_raise(struct pci_msix *msix, unsigned vector);
/* 32-bit accesses at off (multiple of 4) from the start of the table or of the pending bits; behind their end: 0. */
uint32_t pci_msix_table_read(const struct pci_msix *msix, uint32_t off);
void pci_msix_table_write(struct pci_msix *msix, uint32_t off, uint32_t val);
uint32_t pci_msix_pending_read(const struct pci_msix *msix, uint32_t off);
/* Call from config_written(): sends what became unmasked. */
void pci_msix_config_written(struct pci_msix *msix);

#endif
