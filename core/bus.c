/*
 * Port and memory space: see bus.h. Every piece of a split access is looked up anew, and no region is touched after one
 * of its callbacks: a callback may detach any region, its own too.
 */
#include <thindm/bus.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NR_PORTS = 0x10000 };

int bus_init(struct bus *bus, bool ports)
{
    *bus = (struct bus){ 0 };
    if (ports && !(bus->port_slot = calloc(NR_PORTS, 1))) /* only the pages that are used become memory */
        return -ENOMEM;
    return 0;
}

void bus_finish(struct bus *bus)
{
    assert(bus->nr_regions == 0);
    free(bus->port_slot);
    *bus = (struct bus){ 0 };
}

/* Index of the first memory region that ends at or behind addr. */
static unsigned memory_index(const struct bus *bus, uint64_t addr)
{
    unsigned low = 0, high = bus->nr_regions;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct bus_region *region = bus->regions[mid];
        if (region->base + (region->len - 1) < addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct bus_region *find(struct bus *bus, uint64_t addr)
{
    if (bus->port_slot)
        return addr < NR_PORTS ? bus->regions[bus->port_slot[addr]] : NULL;
    struct bus_region *region = bus->last_hit;
    if (region && addr - region->base < region->len)
        return region;
    unsigned i = memory_index(bus, addr);
    if (i == bus->nr_regions || addr < bus->regions[i]->base)
        return NULL;
    return bus->last_hit = bus->regions[i];
}

static int claim_ports(struct bus *bus, struct bus_region *region)
{
    unsigned slot = 1;
    for (uint64_t port = region->base; port - region->base < region->len; port++) {
        if (bus->port_slot[port] != 0)
            return -EEXIST;
    }
    while (slot <= BUS_MAX_REGIONS && bus->regions[slot])
        slot++;
    if (slot > BUS_MAX_REGIONS)
        return -ENOSPC;
    region->slot = (uint8_t)slot;
    bus->regions[slot] = region;
    memset(bus->port_slot + region->base, (int)slot, region->len);
    return 0;
}

static int claim_memory(struct bus *bus, struct bus_region *region)
{
    unsigned i = memory_index(bus, region->base);
    if (i < bus->nr_regions && bus->regions[i]->base <= region->base + (region->len - 1))
        return -EEXIST;
    if (bus->nr_regions == BUS_MAX_REGIONS)
        return -ENOSPC;
    memmove(&bus->regions[i + 1], &bus->regions[i], (bus->nr_regions - i) * sizeof(bus->regions[0]));
    bus->regions[i] = region;
    return 0;
}

int bus_attach(struct bus *bus, struct bus_region *region, const struct bus_ops *ops, void *opaque, uint64_t base,
               uint64_t len)
{
    uint64_t last = bus->port_slot ? NR_PORTS - 1 : UINT64_MAX;
    assert(!region->bus);
    if (len == 0 || base > last || len - 1 > last - base)
        return -EINVAL;
    *region = (struct bus_region){ .ops = ops, .opaque = opaque, .base = base, .len = len };
    int err = bus->port_slot ? claim_ports(bus, region) : claim_memory(bus, region);
    if (err)
        return err;
    region->bus = bus;
    bus->nr_regions++;
    if (bus->listener)
        bus->listener->changed(bus->listener->opaque, bus, base, base + (len - 1), true);
    return 0;
}

void bus_detach(struct bus_region *region)
{
    struct bus *bus = region->bus;
    if (!bus)
        return;
    if (bus->listener)
        bus->listener->changed(bus->listener->opaque, bus, region->base, region->base + (region->len - 1), false);
    if (bus->port_slot) {
        memset(bus->port_slot + region->base, 0, region->len);
        bus->regions[region->slot] = NULL;
        bus->nr_regions--;
    } else {
        unsigned i = memory_index(bus, region->base);
        bus->nr_regions--;
        memmove(&bus->regions[i], &bus->regions[i + 1], (bus->nr_regions - i) * sizeof(bus->regions[0]));
    }
    if (bus->last_hit == region)
        bus->last_hit = NULL;
    region->bus = NULL;
}

enum verdict { WHOLE, SPLIT, REFUSE };

/* What becomes of an access of size bytes at off of region (NULL: it begins at nobody's address). */
static enum verdict judge(const struct bus_region *region, uint64_t off, unsigned size)
{
    if (!region)
        return size > 1 ? SPLIT : REFUSE;
    bool inside = region->ops->overhang || size <= region->len - off;
    if (inside && (region->ops->sizes & size))
        return WHOLE;
    if (region->ops->exact)
        return REFUSE;
    if (!inside)
        return SPLIT;
    /* There must be a smaller size to split it into; a lone byte has none. */
    return region->ops->sizes & (size - 1) ? SPLIT : REFUSE;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size)
{
    const struct bus_region *region = find(bus, addr);
    uint64_t off = region ? addr - region->base : 0;
    switch (judge(region, off, size)) {
    case WHOLE:
        if (region->ops->read)
            return region->ops->read(region->opaque, off, size) & all_ones(size);
        break;
    case SPLIT: {
        unsigned half = size / 2;
        uint64_t low = bus_read(bus, addr, half), high = all_ones(half);
        if (addr <= UINT64_MAX - half) /* the space doesn't wrap */
            high = bus_read(bus, addr + half, half);
        return low | high << (8 * half);
    }
    case REFUSE: break;
    }
    return all_ones(size);
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t val)
{
    const struct bus_region *region = find(bus, addr);
    uint64_t off = region ? addr - region->base : 0;
    switch (judge(region, off, size)) {
    case WHOLE:
        if (region->ops->write)
            region->ops->write(region->opaque, off, size, val & all_ones(size));
        break;
    case SPLIT: {
        unsigned half = size / 2;
        bus_write(bus, addr, half, val);
        if (addr <= UINT64_MAX - half)
            bus_write(bus, addr + half, half, val >> (8 * half));
        break;
    }
    case REFUSE: break;
    }
}

void bus_read_rep(struct bus *bus, uint64_t addr, unsigned size, void *buf, size_t count)
{
    uint8_t *to = buf;
    while (count > 0) {
        const struct bus_region *region = find(bus, addr);
        size_t moved = 0;
        if (region && region->ops->read_block && judge(region, addr - region->base, size) == WHOLE)
            moved = region->ops->read_block(region->opaque, addr - region->base, size, to, count);
        assert(moved <= count);
        if (moved == 0) {
            le_put(to, size, bus_read(bus, addr, size));
            moved = 1;
        }
        to += moved * size;
        count -= moved;
    }
}

void bus_write_rep(struct bus *bus, uint64_t addr, unsigned size, const void *buf, size_t count)
{
    const uint8_t *from = buf;
    while (count > 0) {
        const struct bus_region *region = find(bus, addr);
        size_t moved = 0;
        if (region && region->ops->write_block && judge(region, addr - region->base, size) == WHOLE)
            moved = region->ops->write_block(region->opaque, addr - region->base, size, from, count);
        assert(moved <= count);
        if (moved == 0) {
            bus_write(bus, addr, size, le_get(from, size));
            moved = 1;
        }
        from += moved * size;
        count -= moved;
    }
}
