/*
 * The test bench of a device: virtual time, port and memory space, a PCI bus, a recorded interrupt line, guest RAM with a hole, and scripted
 * back ends. Everything is deterministic; a zero-initialised member is the ordinary case.
 */
#ifndef THINDM_RIG_H
#define THINDM_RIG_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <thindm/block.h>
#include <thindm/bus.h>
#include <thindm/chr.h>
#include <thindm/device.h>
#include <thindm/hv.h>
#include <thindm/irq.h>
#include <thindm/loop.h>
#include <thindm/mem.h>
#include <thindm/pci.h>

/* Guest RAM: [0, 640K) and [1M, RIG_RAM); [640K, 1M) and everything above RIG_RAM have nothing behind them. */
enum { RIG_RAM = 8 << 20, RIG_HOLE = 0xa0000, RIG_HOLE_END = 0x100000, RIG_LINES = 144, RIG_DISKS = 8 };

/* A disk in memory whose completions the test can hold back or fail. */
struct rig_disk {
    struct block block;
    struct rig *rig;
    uint8_t *data;
    struct block_req *first, **last; /* submitted and not done */
    struct task kick;
    bool hold;      /* requests stay until rig_disk_release() */
    int fail;       /* -errno for the next requests of fail_op */
    enum block_op fail_op;
    unsigned flushes;
    bool closed;
    bool *closed_flag; /* set true at close (the structure is freed then) */
};

struct rig {
    struct loop loop;
    uint64_t now_ns;
    struct hv hv;
    struct bus ports, memory;
    struct irq_board irqs;
    struct pci_bus pci;
    struct mem mem;
    uint8_t *ram;
    struct device *dev; /* the device under test */
    /* rig_irq(): the last level and the number of rising edges. */
    bool level;
    unsigned edges;
    /* Through irqs and hv: levels by wire, as the hypervisor would see them (ISA 0-15, then 16 + 4 * slot + pin), and their rising edges. */
    bool wires[RIG_LINES];
    unsigned wire_edges[RIG_LINES];
    uint8_t links[4];
    uint64_t msi_addr;
    uint32_t msi_data;
    unsigned msis;
    /* Power requests and memory types seen. */
    int shutdown; /* -1: none */
    unsigned s_state, memtype_calls;
    uint64_t vram_at; /* HV_VRAM_PARKED at first */
    uint8_t *vram;
    size_t vram_frames;
    /* rig_chr(): bytes the device wrote; bytes fed that it hasn't taken. */
    uint8_t out[65536];
    size_t out_len;
    uint8_t in[4096];
    size_t in_len;
    struct chr *chr;
    bool chr_closed;
    struct snap_buf saved;
    struct log log;
    unsigned log_lines;
    char log_last[256];
    struct rig_disk *disks[RIG_DISKS]; /* open ones, for the recording */
    FILE *record;                      /* NULL: nothing is recorded */
    uint8_t *shadow;                   /* RAM below the hole as it was recorded */
    bool recorded_hold;
    int recorded_fail;
    unsigned recorded_lines;
};

struct rig *rig_new(void);
/* Frees dev too, if it is still there. */
void rig_free(struct rig *r);
/* For cmocka: *state is a struct rig *; makes one, and frees it. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Let ns pass: timers and tasks run in order. */
void rig_run(struct rig *r, uint64_t ns);
/* Run tasks and completions that are due now. */
void rig_settle(struct rig *r);

/* Port accesses through r->ports. */
uint8_t rig_in8(struct rig *r, uint16_t port);
uint16_t rig_in16(struct rig *r, uint16_t port);
uint32_t rig_in32(struct rig *r, uint16_t port);
void rig_out8(struct rig *r, uint16_t port, uint8_t val);
void rig_out16(struct rig *r, uint16_t port, uint16_t val);
void rig_out32(struct rig *r, uint16_t port, uint32_t val);
/* Memory-mapped accesses through r->memory, and configuration accesses through r->pci. */
uint64_t rig_mmio_read(struct rig *r, uint64_t addr, unsigned size);
void rig_mmio_write(struct rig *r, uint64_t addr, unsigned size, uint64_t val);
uint32_t rig_cfg_read(struct rig *r, uint8_t devfn, unsigned reg, unsigned size);
void rig_cfg_write(struct rig *r, uint8_t devfn, unsigned reg, unsigned size, uint32_t val);

/* Other devices pin all memory that may be pinned, until rig_uncrowd(). */
void rig_crowd(struct rig *r, struct mem_pin pins[MEM_MAX_PINNED]);
void rig_uncrowd(struct rig *r, struct mem_pin pins[MEM_MAX_PINNED]);

/* A recorded line (r->level, r->edges). */
struct irq rig_irq(struct rig *r);
/* A chr whose far end is the test: r->out, rig_feed(). Owned by the device that binds it. */
struct chr *rig_chr(struct rig *r);
void rig_feed(struct rig *r, const char *text);
/* A disk of size bytes, zeroed, writable. Owned by the device it is given to; data lives until block_close(). */
struct rig_disk *rig_disk(struct rig *r, uint64_t size_bytes);
/* Let held requests finish. */
void rig_disk_release(struct rig_disk *disk);

/*
 * With RIG_RECORD=PREFIX in the environment each rig writes what happens to its device to a file of its own: seeds for the fuzz targets. All
 * that goes through the rig is in it; for what does not (an event of the device's own interface), one line here.
 */
void rig_note(struct rig *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same for a line that ends in bytes. */
void rig_record_bytes(struct rig *r, const char *head, const uint8_t *bytes, size_t len);

/* Save r->dev; restore it (reset first); change a field in the saved image by its name (element 0). */
void rig_save(struct rig *r);
int rig_restore(struct rig *r);
void rig_poke(struct rig *r, const char *field, uint64_t val);
/* The same for element i of an array. */
void rig_poke_at(struct rig *r, const char *field, unsigned i, uint64_t val);

#endif
