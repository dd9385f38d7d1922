/*
 * Windows: address space into which frames of others are mapped, see mm.h. Sources: xen/include/public/xen.h
 * (mmu_update and its commands), memory.h (add_to_physmap_batch).
 */
#include <errno.h>
#include <string.h>
#include <thindm/util.h>
#include <xen/memory.h>

#include "hypercall.h"
#include "mm-private.h"
#include "mm.h"

/* Address space costs nothing but tables, which are made with the window and stay: mapping needs no memory. */
#define WINDOW_BASE  (UINT64_C(1) << 36)
#define WINDOW_PAGES (UINT64_C(1) << 24)
enum { MAX_WINDOWS = 512, BATCH = 128 };

static struct {
    struct window {
        size_t first, nr;
    } list[MAX_WINDOWS]; /* by address */
    size_t nr;
} windows;

static uint8_t *address_of(size_t page)
{
    return (uint8_t *)(uintptr_t)(WINDOW_BASE + page * PAGE_BYTES);
}

static bool add_tables(uint8_t *at, size_t nr)
{
    const size_t step = (size_t)TABLE_ENTRIES * PAGE_BYTES;
    for (size_t off = 0; off < nr * PAGE_BYTES; off += step - ((uintptr_t)at + off) % step) {
        if (!mm_entry(at + off, true))
            return false;
    }
    return true;
}

/* A page without anything stays between two windows. */
void *window_alloc(size_t nr)
{
    size_t first = 0, i;
    if (nr == 0 || nr >= WINDOW_PAGES || windows.nr == MAX_WINDOWS)
        return NULL;
    for (i = 0; i < windows.nr && windows.list[i].first - first <= nr; i++)
        first = windows.list[i].first + windows.list[i].nr + 1;
    if (first + nr > WINDOW_PAGES || !add_tables(address_of(first), nr))
        return NULL;
    memmove(&windows.list[i + 1], &windows.list[i], (windows.nr - i) * sizeof(windows.list[0]));
    windows.list[i] = (struct window){ first, nr };
    windows.nr++;
    return address_of(first);
}

void window_free(void *at, size_t nr)
{
    for (size_t i = 0; at && i < windows.nr; i++) {
        if (address_of(windows.list[i].first) != at)
            continue;
        window_unmap(at, nr);
        windows.nr--;
        memmove(&windows.list[i], &windows.list[i + 1], (windows.nr - i) * sizeof(windows.list[0]));
        return;
    }
}

/* Is all of it address space of windows that have tables? */
static bool is_window(const void *at, size_t nr)
{
    for (size_t i = 0; i < windows.nr; i++) {
        const uint8_t *begin = address_of(windows.list[i].first);
        size_t off = (size_t)((const uint8_t *)at - begin) / PAGE_BYTES;
        if ((const uint8_t *)at >= begin && off <= windows.list[i].nr && nr <= windows.list[i].nr - off)
            return true;
    }
    return false;
}

/* Xen stops at the first frame that it refuses: note its error and go on behind it. */
static void update(struct mmu_update *updates, size_t nr, domid_t dom, int *err)
{
    for (size_t i = 0; i < nr;) {
        unsigned done = 0;
        long result = hypercall(__HYPERVISOR_mmu_update, (uintptr_t)(updates + i), nr - i, (uintptr_t)&done, dom, 0);
        if (result >= 0 || done > nr - i)
            return;
        i += done;
        if (i < nr)
            err[i++] = (int)result;
    }
}

static void map_pv(uint8_t *at, size_t nr, const xen_pfn_t *frames, domid_t dom, unsigned command, int *err)
{
    struct mmu_update updates[BATCH];
    for (size_t done = 0, n; done < nr; done += n) {
        n = min_u64(nr - done, BATCH);
        for (size_t i = 0; i < n; i++) {
            uint64_t *entry = mm_entry(at + (done + i) * PAGE_BYTES, false);
            /* A number too large for an entry is a guest's: as the largest that fits, Xen refuses it. */
            uint64_t frame = min_u64(frames[done + i], PTE_FRAME >> PAGE_SHIFT) << PAGE_SHIFT;
            updates[i] = (struct mmu_update){ mm_entry_address(entry) | command, frame | PAGE_DATA };
        }
        memset(err + done, 0, n * sizeof(*err));
        update(updates, n, dom, err + done);
    }
}

/* Guest frames of our own above all memory take what is mapped: those with the number of the address. */
xen_pfn_t window_frame(const void *at)
{
    return (uintptr_t)at >> PAGE_SHIFT;
}

static void place(uint8_t *at, size_t nr, const xen_pfn_t *frames, domid_t dom, int *err)
{
    xen_ulong_t from[BATCH];
    xen_pfn_t to[BATCH];
    for (size_t done = 0, n; done < nr; done += n) {
        n = min_u64(nr - done, BATCH);
        struct xen_add_to_physmap_batch op = {
            .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = (uint16_t)n, .u.foreign_domid = dom
        };
        for (size_t i = 0; i < n; i++) {
            from[i] = frames[done + i];
            to[i] = window_frame(at + (done + i) * PAGE_BYTES);
            err[done + i] = -EINVAL; /* of what Xen does not get to */
        }
        set_xen_guest_handle(op.idxs, from);
        set_xen_guest_handle(op.gpfns, to);
        set_xen_guest_handle(op.errs, err + done);
        (void)hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, (uintptr_t)&op, 0, 0, 0);
    }
}

static void map_pvh(uint8_t *at, size_t nr, const xen_pfn_t *frames, domid_t dom, enum window_kind kind, int *err)
{
    if (kind == WINDOW_RESOURCE) /* Xen has put them where the caller said */
        memset(err, 0, nr * sizeof(*err));
    else
        place(at, nr, frames, dom, err);
    for (size_t i = 0; i < nr; i++) {
        uint8_t *page = at + i * PAGE_BYTES;
        uint64_t value = window_frame(page) << PAGE_SHIFT | PAGE_DATA;
        if (err[i] == 0)
            mm_write(mm_entry(page, false), &value, 1);
    }
}

static void unplace(uint8_t *at, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        struct xen_remove_from_physmap op = { .domid = DOMID_SELF, .gpfn = window_frame(at + i * PAGE_BYTES) };
        (void)hypercall(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, (uintptr_t)&op, 0, 0, 0);
    }
}

int window_map(void *at, size_t nr, const xen_pfn_t *frames, domid_t dom, enum window_kind kind, int *err)
{
    if (!is_window(at, nr))
        return -EINVAL;
    if (mm_is_pvh())
        map_pvh(at, nr, frames, dom, kind, err);
    else
        map_pv(at, nr, frames, dom, kind == WINDOW_RESOURCE ? MMU_PT_UPDATE_NO_TRANSLATE : MMU_NORMAL_PT_UPDATE, err);
    return 0;
}

void window_unmap(void *at, size_t nr)
{
    static const uint64_t nothing[BATCH];
    if (!is_window(at, nr))
        return;
    for (size_t done = 0, n; done < nr; done += n) {
        uint8_t *next = (uint8_t *)at + done * PAGE_BYTES;
        size_t in_table = TABLE_ENTRIES - ((uintptr_t)next / PAGE_BYTES) % TABLE_ENTRIES;
        n = min_u64(min_u64(nr - done, BATCH), in_table);
        mm_write(mm_entry(next, false), nothing, n);
    }
    mm_flush(); /* Xen does not, and the address may be used again at once */
    if (mm_is_pvh())
        unplace(at, nr);
}
