/* What the files of the simulator share. */
#ifndef THINDM_SIM_PRIVATE_H
#define THINDM_SIM_PRIVATE_H

#include "sim.h"
#include <thindm/irq.h>

/* Xen keeps at most so many ranges per server and kind [xen/common/ioreq.c, MAX_NR_IO_RANGES]. */
enum { SIM_MAX_RANGES = 256, SIM_PORTS = 0x10000, SIM_LINKS = 4 };

/* Disjoint, ascending, never adjacent: what touches is one. */
struct sim_ranges {
    unsigned nr;
    struct sim_range {
        uint64_t first, last;
    } ranges[SIM_MAX_RANGES];
};

struct sim {
    struct hv hv;
    struct sim_config config;
    struct ioreq engine;
    bool serving;
    uint8_t *pages; /* slots, then the ring */
    uint32_t cf8;
    /* Claims. */
    uint8_t ports[SIM_PORTS / 8], functions[PCI_NR_FUNCTIONS / 8];
    struct sim_ranges memory;
    /* RAM in one piece: [0, low), then what is at 4 GiB. Bit per frame: read-only, written since sim_ram_clear(). */
    uint8_t *ram;
    uint64_t low_bytes;
    uint8_t *ram_ro, *ram_written;
    bool any_ro;
    /* Video memory; dirty: frames a CPU wrote. */
    uint8_t *vram, *vram_dirty;
    size_t vram_frames;
    uint64_t vram_at; /* frame */
    bool vram_tracked;
    /* Interrupts. */
    bool isa[IRQ_ISA_LINES], intx[IRQ_PCI_SLOTS][IRQ_PCI_PINS], driven[SIM_PINS], pins[SIM_PINS];
    unsigned links[SIM_LINKS], link_high[SIM_LINKS]; /* route, and how many wires of the link are high */
    struct sim_pin_listener *listeners;
    struct sim_controllers controllers; /* isa NULL: none */
    bool told[SIM_PINS];                /* pins as they say */
    struct sim_msi msis[SIM_MSI_LOG];
    uint64_t nr_msis;
    int shutdown;
    unsigned s_state;
};

static inline bool sim_bit(const uint8_t *bits, uint64_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static inline void sim_set_bit(uint8_t *bits, uint64_t i, bool val)
{
    uint8_t mask = (uint8_t)(1u << (i % 8));
    bits[i / 8] = (uint8_t)(val ? bits[i / 8] | mask : bits[i / 8] & ~mask);
}

static inline struct sim *sim_of(struct hv *hv)
{
    return container_of(hv, struct sim, hv);
}

/* ranges.c. add: -EEXIST (overlap), -ENOSPC. remove: -ENOENT (not all of it is there), -ENOSPC (a split too many). */
int sim_ranges_add(struct sim_ranges *ranges, uint64_t first, uint64_t last) WARN_UNUSED;
int sim_ranges_remove(struct sim_ranges *ranges, uint64_t first, uint64_t last) WARN_UNUSED;
bool sim_ranges_contain(const struct sim_ranges *ranges, uint64_t first, uint64_t last);
/* The first address from addr on that is in the set; UINT64_MAX if there is none. */
uint64_t sim_ranges_next(const struct sim_ranges *ranges, uint64_t addr);

/* ram.c: the memory part of struct hv_ops, and its life. */
int sim_ram_create(struct sim *sim) WARN_UNUSED;
void sim_ram_destroy(struct sim *sim);
int sim_hv_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err);
void sim_hv_unmap(struct hv *hv, void *ptr, size_t nr);
int sim_hv_modified(struct hv *hv, uint64_t first, uint64_t nr);
int sim_hv_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type);
int sim_hv_vram_create(struct hv *hv, size_t nr, void **ptr);
int sim_hv_vram_move(struct hv *hv, uint64_t first);
void sim_hv_vram_destroy(struct hv *hv);
int sim_hv_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap);
/* A CPU's access to memory at addr, inside one page. False: no RAM there. */
bool sim_ram_load(const struct sim *sim, uint64_t addr, unsigned size, uint64_t *val);
bool sim_ram_store(struct sim *sim, uint64_t addr, unsigned size, uint64_t val);
/* The first address from addr on that is RAM or video memory; UINT64_MAX if there is none. */
uint64_t sim_ram_next(const struct sim *sim, uint64_t addr);

#endif
