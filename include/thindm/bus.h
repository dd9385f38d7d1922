/*
 * The guest's two address spaces: I/O ports (64 Ki) and memory-mapped I/O. A device attaches regions; the ioreq
 * engine looks them up. Unclaimed reads give all ones, unclaimed writes vanish.
 */
#ifndef THINDM_BUS_H
#define THINDM_BUS_H

#include <thindm/util.h>

enum { BUS_1 = 1, BUS_2 = 2, BUS_4 = 4, BUS_8 = 8 };
enum { BUS_MAX_REGIONS = 255 };

/*
 * off lies inside the region and size is one of .sizes. Wider accesses are split, low part first; narrower ones
 * read all ones and are not written. The bus masks val to size bytes before write() and after read(). Without a read()
 * reads give all ones, without a write() writes vanish.
 */
struct bus_ops {
    uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
    void (*write)(void *opaque, uint64_t off, unsigned size, uint64_t val);
    unsigned sizes; /* mask of BUS_* */
    /* Never split: an access of a size not in .sizes is refused as a whole (platform device ports, VBE index). */
    bool exact;
    /*
     * An access that starts in the region but ends behind it belongs to it as a whole (a 16-bit data port that is one
     * address wide, ATA [ATA8-AAM: data register]). Without it such an access is split.
     */
    bool overhang;
    /*
     * Optional string forms: count elements of size bytes at the fixed offset off (ports; off doesn't advance), as one copy.
     * Return how many elements were moved, 0 to count; the engine does the rest one by one.
     */
    size_t (*read_block)(void *opaque, uint64_t off, unsigned size, void *buf, size_t count);
    size_t (*write_block)(void *opaque, uint64_t off, unsigned size, const void *buf, size_t count);
};

struct bus;

/* Embedded in the device; attached or not. */
struct bus_region {
    struct bus *bus; /* NULL: not attached */
    const struct bus_ops *ops;
    void *opaque;
    uint64_t base, len;
    uint8_t slot;
};

/* Told after a region was attached (present) and before it is detached, so that ranges reach the hypervisor. */
struct bus_listener {
    void (*changed)(void *opaque, const struct bus *bus, uint64_t first, uint64_t last, bool present);
    void *opaque;
};

struct bus {
    struct bus_region *regions[BUS_MAX_REGIONS + 1]; /* ports: by slot (0 unused); memory: sorted by base */
    unsigned nr_regions;
    struct bus_region *last_hit;
    uint8_t *port_slot; /* ports only: slot of each of 65536 ports, 0 = nobody's */
    const struct bus_listener *listener;
};

/* An I/O port space (ports) or memory space. Allocates the port table. -ENOMEM or 0. */
int bus_init(struct bus *bus, bool ports) WARN_UNUSED;
/* All regions must have been detached. Harmless on a zeroed or finished bus. */
void bus_finish(struct bus *bus);

/*
 * Claim [base, base + len). region is the caller's and must stay until bus_detach(). len >= 1.
 * 0, -EEXIST (overlap, nothing is left behind), -ENOSPC (too many regions), -EINVAL (empty or beyond the space).
 */
int bus_attach(struct bus *bus, struct bus_region *region, const struct bus_ops *ops, void *opaque, uint64_t base,
               uint64_t len) WARN_UNUSED;
/* No callback comes after it returned. Harmless if not attached. May be called from inside a callback of the region. */
void bus_detach(struct bus_region *region);

/* One access of 1, 2, 4 or 8 bytes at any alignment, split over regions as needed. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t val);

/*
 * count elements of size bytes at the fixed address addr, from or to buf (little-endian, packed), by the region's block form
 * where it has one and else one by one.
 */
void bus_read_rep(struct bus *bus, uint64_t addr, unsigned size, void *buf, size_t count);
void bus_write_rep(struct bus *bus, uint64_t addr, unsigned size, const void *buf, size_t count);

#endif
