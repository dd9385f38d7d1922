/*
 * Guest memory of the simulator: one anonymous mapping that is RAM below and above the hole of the devices, less the
 * legacy VGA window, and the video memory wherever it was moved.
 */
#include "sim-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The window where every PC has its VGA instead of RAM. */
enum { VGA_FIRST = 0xa0000, VGA_END = 0xc0000 };

int sim_ram_create(struct sim *sim)
{
    uint64_t bytes = sim->config.ram_bytes, bitmap_bytes = (bytes >> PAGE_SHIFT) / 8 + 1;
    sim->low_bytes = min_u64(bytes, sim->config.max_ram_below_4g);
    if (bytes > 0) {
        /* Not calloc(): only what is touched becomes memory, under a sanitizer too. */
        void *ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ram == MAP_FAILED)
            return -ENOMEM;
        sim->ram = ram;
    }
    sim->ram_ro = calloc(bitmap_bytes, 1);
    sim->ram_written = calloc(bitmap_bytes, 1);
    return sim->ram_ro && sim->ram_written ? 0 : -ENOMEM;
}

void sim_ram_destroy(struct sim *sim)
{
    sim_hv_vram_destroy(&sim->hv);
    free(sim->ram_ro);
    free(sim->ram_written);
    if (sim->ram)
        munmap(sim->ram, sim->config.ram_bytes);
}

/* Offset into RAM of addr, and how many bytes of RAM follow it in one piece. False: no RAM. */
static inline bool ram_offset(const struct sim *sim, uint64_t addr, uint64_t *off, uint64_t *bytes)
{
    if (addr < sim->low_bytes) {
        if (addr >= VGA_FIRST && addr < VGA_END)
            return false;
        *off = addr;
        *bytes = addr < VGA_FIRST ? min_u64(sim->low_bytes, VGA_FIRST) - addr : sim->low_bytes - addr;
        return true;
    }
    uint64_t high = sim->config.ram_bytes - sim->low_bytes;
    if (addr < 4 * GIB || addr - 4 * GIB >= high)
        return false;
    *off = sim->low_bytes + (addr - 4 * GIB);
    *bytes = high - (addr - 4 * GIB);
    return true;
}

static inline bool vram_offset(const struct sim *sim, uint64_t addr, uint64_t *off, uint64_t *bytes)
{
    uint64_t size = (uint64_t)sim->vram_frames << PAGE_SHIFT;
    *off = addr - (sim->vram_at << PAGE_SHIFT);
    if (*off >= size)
        return false;
    *bytes = size - *off;
    return true;
}

const uint8_t *sim_ram(const struct sim *sim, uint64_t addr, uint64_t *bytes)
{
    uint64_t off;
    if (ram_offset(sim, addr, &off, bytes))
        return sim->ram + off;
    return vram_offset(sim, addr, &off, bytes) ? sim->vram + off : NULL;
}

uint64_t sim_ram_next(const struct sim *sim, uint64_t addr)
{
    uint64_t off, bytes, next = UINT64_MAX, vram = sim->vram_at << PAGE_SHIFT;
    if (sim_ram(sim, addr, &bytes))
        return addr;
    if (sim->vram && vram > addr)
        next = vram;
    if (addr < VGA_END && ram_offset(sim, VGA_END, &off, &bytes))
        return min_u64(next, VGA_END);
    if (addr < 4 * GIB && ram_offset(sim, 4 * GIB, &off, &bytes))
        return min_u64(next, 4 * GIB);
    return next;
}

bool sim_ram_load(const struct sim *sim, uint64_t addr, unsigned size, uint64_t *val)
{
    uint64_t bytes;
    const uint8_t *p = sim_ram(sim, addr, &bytes);
    if (p)
        *val = le_get(p, size);
    return p;
}

bool sim_ram_store(struct sim *sim, uint64_t addr, unsigned size, uint64_t val)
{
    uint64_t off, bytes;
    if (ram_offset(sim, addr, &off, &bytes)) {
        if (sim->any_ro && sim_bit(sim->ram_ro, off >> PAGE_SHIFT))
            return true;
        le_put(sim->ram + off, size, val);
        sim_set_bit(sim->ram_written, off >> PAGE_SHIFT, true);
        return true;
    }
    if (!vram_offset(sim, addr, &off, &bytes))
        return false;
    le_put(sim->vram + off, size, val);
    sim_set_bit(sim->vram_dirty, off >> PAGE_SHIFT, true);
    return true;
}

/* Frames [off, off + len) of RAM were written. */
static void mark_written(struct sim *sim, uint64_t off, uint64_t len)
{
    for (uint64_t frame = off >> PAGE_SHIFT; frame <= (off + (len - 1)) >> PAGE_SHIFT; frame++)
        sim_set_bit(sim->ram_written, frame, true);
}

/* How far the copy at addr goes in one step; without RAM there it goes to the end of the page. */
static size_t step(uint64_t addr, uint64_t bytes, bool present, size_t left)
{
    return (size_t)min_u64(present ? bytes : PAGE_BYTES - addr % PAGE_BYTES, left);
}

void sim_ram_read(const struct sim *sim, uint64_t addr, void *buf, size_t len)
{
    uint8_t *to = buf;
    while (len > 0) {
        uint64_t bytes;
        const uint8_t *p = sim_ram(sim, addr, &bytes);
        size_t n = step(addr, bytes, p, len);
        if (p)
            memcpy(to, p, n);
        else
            memset(to, 0, n);
        to += n;
        addr += n;
        len -= n;
    }
}

void sim_ram_write(struct sim *sim, uint64_t addr, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    while (len > 0) {
        uint64_t off, bytes;
        bool in_ram = ram_offset(sim, addr, &off, &bytes);
        bool present = in_ram || vram_offset(sim, addr, &off, &bytes);
        size_t n = step(addr, bytes, present, len);
        uint8_t *to = in_ram ? sim->ram + off : present ? sim->vram + off : NULL;
        if (present && from)
            memcpy(to, from, n);
        else if (present)
            memset(to, 0, n);
        if (in_ram)
            mark_written(sim, off, n);
        for (uint64_t i = off; present && !in_ram && i < off + n; i = (i | (PAGE_BYTES - 1)) + 1)
            sim_set_bit(sim->vram_dirty, i >> PAGE_SHIFT, true);
        from = from ? from + n : NULL;
        addr += n;
        len -= n;
    }
}

void sim_ram_clear(struct sim *sim)
{
    uint64_t frames = sim->config.ram_bytes >> PAGE_SHIFT;
    for (uint64_t byte = 0; byte <= frames / 8; byte++) {
        uint8_t bits = sim->ram_written[byte];
        for (unsigned i = 0; bits; i++, bits >>= 1) {
            if (bits & 1)
                memset(sim->ram + ((byte * 8 + i) << PAGE_SHIFT), 0, PAGE_BYTES);
        }
        sim->ram_written[byte] = 0;
    }
}

int sim_hv_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    struct sim *sim = sim_of(hv);
    uintptr_t base = 0;
    bool any = false;
    bool hole = first > UINT64_MAX >> PAGE_SHIFT || sim_ram_next(sim, first << PAGE_SHIFT) >> PAGE_SHIFT >= first + nr;
    for (size_t i = 0; i < nr; i++) {
        uint64_t bytes;
        const uint8_t *p = NULL;
        if (!hole && first + i <= UINT64_MAX >> PAGE_SHIFT)
            p = sim_ram(sim, (first + i) << PAGE_SHIFT, &bytes);
        uintptr_t start = (uintptr_t)p - ((uintptr_t)i << PAGE_SHIFT); /* where frame 0 would be */
        if (p && !any)
            base = start;
        any |= p != NULL;
        err[i] = p && start == base ? 0 : -EFAULT; /* a mapping is in one piece: the first found counts */
    }
    *ptr = (void *)base;
    return any ? 0 : -EFAULT;
}

void sim_hv_unmap(struct hv *hv, void *ptr, size_t nr)
{
}

int sim_hv_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    struct sim *sim = sim_of(hv);
    for (; nr > 0; nr--, first++) {
        uint64_t off, bytes;
        if (ram_offset(sim, first << PAGE_SHIFT, &off, &bytes))
            sim_set_bit(sim->ram_written, off >> PAGE_SHIFT, true);
    }
    return 0;
}

int sim_hv_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    struct sim *sim = sim_of(hv);
    if (nr > sim->config.ram_bytes >> PAGE_SHIFT)
        return -EINVAL;
    for (; nr > 0; nr--, first++) {
        uint64_t off, bytes;
        if (!ram_offset(sim, first << PAGE_SHIFT, &off, &bytes))
            continue; /* Xen changes what is RAM and leaves the rest, too */
        sim_set_bit(sim->ram_ro, off >> PAGE_SHIFT, type == HV_RAM_RO);
        sim->any_ro |= type == HV_RAM_RO;
    }
    return 0;
}

/* Right behind RAM, as in backends/xen: there the guest's memory map has nothing. */
static uint64_t parking(const struct sim *sim)
{
    uint64_t high = sim->config.ram_bytes - sim->low_bytes;
    return (high > 0 ? 4 * GIB + high : sim->low_bytes) >> PAGE_SHIFT;
}

int sim_hv_vram_create(struct hv *hv, size_t nr, void **ptr)
{
    struct sim *sim = sim_of(hv);
    if (sim->vram || nr == 0)
        return -EINVAL;
    void *vram = mmap(NULL, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vram == MAP_FAILED)
        return -ENOMEM;
    sim->vram_dirty = calloc(nr / 8 + 1, 1);
    if (!sim->vram_dirty) {
        munmap(vram, nr << PAGE_SHIFT);
        return -ENOMEM;
    }
    *ptr = sim->vram = vram;
    sim->vram_frames = nr;
    sim->vram_at = parking(sim);
    return 0;
}

int sim_hv_vram_move(struct hv *hv, uint64_t first)
{
    struct sim *sim = sim_of(hv);
    if (!sim->vram)
        return -EINVAL;
    sim->vram_at = first == HV_VRAM_PARKED ? parking(sim) : first;
    return 0;
}

void sim_hv_vram_destroy(struct hv *hv)
{
    struct sim *sim = sim_of(hv);
    if (!sim->vram)
        return;
    munmap(sim->vram, sim->vram_frames << PAGE_SHIFT);
    free(sim->vram_dirty);
    sim->vram = sim->vram_dirty = NULL;
    sim->vram_frames = 0;
    sim->vram_tracked = false;
}

int sim_hv_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap)
{
    struct sim *sim = sim_of(hv);
    bool known = sim->vram_tracked; /* the first look can't know what was before: all of it [Xen, track_dirty_vram] */
    sim->vram_tracked = nr > 0;
    for (size_t i = 0; i < nr; i++) {
        uint64_t frame = first + i - sim->vram_at;
        bool in = frame < sim->vram_frames;
        sim_set_bit(bitmap, i, !known || (in && sim_bit(sim->vram_dirty, frame)));
        if (in)
            sim_set_bit(sim->vram_dirty, frame, false);
    }
    return 0;
}
