/*
 * What a device model asks of a hypervisor. Implemented by backends/xen (Xen's libraries), stubdom (hypercalls) and
 * backends/sim. Embedded by the implementation; all functions are called on the loop thread.
 */
#ifndef THINDM_HV_H
#define THINDM_HV_H

#include <thindm/util.h>

struct hv;

/* Values of the SHUTDOWN_ reasons [xen/include/public/sched.h]. */
enum hv_shutdown { HV_POWEROFF = 0, HV_REBOOT = 1, HV_CRASH = 3 };
/* Memory types [xen/include/public/hvm/hvm_op.h, hvmmem_type_t]. */
enum hv_memtype { HV_RAM_RW = 0, HV_RAM_RO = 1 };

/* Functions return 0 or -errno unless said. Frames are guest frame numbers. */
struct hv_ops {
    /* Claim or give back [first, last], inclusive, of the port or memory space for this device model's ioreqs. */
    int (*port_range)(struct hv *hv, uint64_t first, uint64_t last, bool claim);
    int (*mmio_range)(struct hv *hv, uint64_t first, uint64_t last, bool claim);
    /* The same for the configuration space of a function of bus 0, devfn = device << 3 | function. */
    int (*pci_function)(struct hv *hv, uint8_t devfn, bool claim);

    int (*isa_irq)(struct hv *hv, unsigned line, bool level);
    int (*pci_intx)(struct hv *hv, unsigned slot, unsigned pin, bool level);
    /* PIRQ link 0-3 (A-D) to ISA irq 1-15; 0 = not routed. */
    int (*pci_link)(struct hv *hv, unsigned link, unsigned irq);
    /* The message as the guest programmed it. */
    int (*msi)(struct hv *hv, uint64_t addr, uint32_t data);

    /*
     * Map nr frames from first. err[i] is 0 or -errno of each; pages with an error must not be touched.
     * *ptr stays valid until unmap() with the same extent.
     */
    int (*map)(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err);
    void (*unmap)(struct hv *hv, void *ptr, size_t nr);
    /* The device model wrote these frames (dirty log of a migration). */
    int (*modified)(struct hv *hv, uint64_t first, uint64_t nr);
    int (*set_memtype)(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type);

    /*
     * Video memory lives in the guest so that drawing doesn't trap. create: populate nr frames at a parking place and map
     * them, *ptr is theirs until destroy. move: to frame first (the BAR was enabled there), or back to the parking place with
     * first == HV_VRAM_PARKED; the mapping stays.
     */
    int (*vram_create)(struct hv *hv, size_t nr, void **ptr);
    int (*vram_move)(struct hv *hv, uint64_t first);
    void (*vram_destroy)(struct hv *hv);
    /* Bit per frame that guest CPUs wrote since the last call. -ENODATA: take all as written. nr == 0: stop tracking. */
    int (*vram_dirty)(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap);

    /* Ask for the end of the domain; must be called before the request that caused it is answered. */
    int (*shutdown)(struct hv *hv, enum hv_shutdown reason);
    /* Enter (3) or leave (0) ACPI S3. -EPERM when restricted. */
    int (*set_s_state)(struct hv *hv, unsigned state);
};

#define HV_VRAM_PARKED UINT64_MAX

struct hv {
    const struct hv_ops *ops;
};

#endif
