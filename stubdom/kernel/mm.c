/*
 * Our page tables. A PV guest reads them and has Xen write them; a PVH guest has them for itself. Page n of our memory
 * is always at the n-th page behind the image's begin. Sources: xen/include/public/xen.h (mmu_update,
 * update_va_mapping, mmuext_op), memory.h, AMD64 APM vol. 2, 5.3.
 */
#include "mm.h"

#include <string.h>
#include <thindm/util.h>
#include <xen/memory.h>

#include "boot.h"
#include "heap.h"
#include "hypercall.h"
#include "mm-private.h"

enum { LEVELS = 4, BATCH = 128, CHUNK_BYTES = TABLE_ENTRIES * PAGE_BYTES };
enum { MIN_FREE = 4, PVH_FIRST = 128 }; /* pages */
#define PTE_TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)

static struct {
    struct mm_boot boot;
    size_t nr_mapped;   /* pages that are mapped from the start on */
    size_t tables, end; /* pages for tables of our own memory: the next, and behind the last */
    bool backing;       /* the next table is one of these */
} mm;

bool mm_is_pvh(void)
{
    return mm.boot.pvh;
}

static size_t page_number(const void *at)
{
    return (size_t)((const uint8_t *)at - mm.boot.base) / PAGE_BYTES;
}

static xen_pfn_t frame_of(size_t page)
{
    return mm.boot.pvh ? mm.boot.base_frame + page : mm.boot.frames[page];
}

xen_pfn_t page_frame(const void *page)
{
    return frame_of(page_number(page));
}

static uint64_t *table_of(uint64_t entry)
{
    xen_pfn_t frame = (entry & PTE_FRAME) >> PAGE_SHIFT;
    size_t page = mm.boot.pvh ? frame - mm.boot.base_frame : mm.boot.frame_to_page[frame];
    return (uint64_t *)(void *)(mm.boot.base + page * PAGE_BYTES);
}

uint64_t mm_entry_address(const uint64_t *entry)
{
    return page_frame(entry) << PAGE_SHIFT | ((uintptr_t)entry & (PAGE_BYTES - 1));
}

void mm_write(uint64_t *entry, const uint64_t *values, size_t nr)
{
    struct mmu_update updates[BATCH];
    if (mm.boot.pvh) {
        memcpy(entry, values, nr * sizeof(*values));
        return;
    }
    uint64_t ptr = mm_entry_address(entry);
    for (size_t done = 0, n; done < nr; done += n) {
        n = min_u64(nr - done, BATCH);
        for (size_t i = 0; i < n; i++)
            updates[i] = (struct mmu_update){ ptr + (done + i) * sizeof(*entry), values[done + i] };
        long err = hypercall(__HYPERVISOR_mmu_update, (uintptr_t)updates, n, 0, DOMID_SELF, 0);
        if (err) /* these are our own pages: only a mistake of ours gets here */
            crash("mm: Xen refused a page-table entry: %ld", err);
    }
}

void mm_flush(void)
{
    struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_LOCAL };
    if (mm.boot.pvh)
        pvh_load_root(page_frame(mm.boot.root));
    else
        (void)hypercall(__HYPERVISOR_mmuext_op, (uintptr_t)&op, 1, 0, DOMID_SELF, 0);
}

/* Tables for our own memory are set aside among what is mapped from the start on: any other page could need one itself.
 */
static void *reserved_table(void)
{
    return mm.tables < mm.end ? memset(mm.boot.base + mm.tables++ * PAGE_BYTES, 0, PAGE_BYTES) : NULL;
}

static bool add_table(uint64_t *entry)
{
    void *table = mm.backing ? reserved_table() : page_alloc(1);
    if (!table)
        return false;
    uint64_t frame = page_frame(table) << PAGE_SHIFT, value = frame | PTE_TABLE;
    /* Xen takes a page as a table only if we can't write to it. */
    if (!mm.boot.pvh &&
        hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)table, frame | PAGE_CONST, UVMF_INVLPG, 0, 0) != 0)
        crash("mm: Xen does not protect a page table");
    mm_write(entry, &value, 1);
    return true;
}

static size_t index_of(uintptr_t at, unsigned level)
{
    return at >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

uint64_t *mm_entry(const void *at, bool make)
{
    uint64_t *table = mm.boot.root;
    for (unsigned level = LEVELS - 1; level > 0; level--) {
        uint64_t *entry = &table[index_of((uintptr_t)at, level)];
        if (!(*entry & PTE_PRESENT) && (!make || !add_table(entry)))
            return NULL;
        table = table_of(*entry);
    }
    return &table[index_of((uintptr_t)at, 0)];
}

/* All pages of our memory from first on that one table holds: at most a chunk. */
static void map_in_table(uint64_t *entry, size_t first, size_t nr)
{
    uint64_t values[BATCH];
    for (size_t done = 0, n; done < nr; done += n) {
        n = min_u64(nr - done, BATCH);
        for (size_t i = 0; i < n; i++)
            values[i] = frame_of(first + done + i) << PAGE_SHIFT | PAGE_DATA;
        mm_write(entry + done, values, n);
    }
}

bool mm_back(const void *at, size_t nr)
{
    const uint8_t *end = (const uint8_t *)at + nr * PAGE_BYTES;
    const uint8_t *chunk = (const uint8_t *)((uintptr_t)at & ~(uintptr_t)(CHUNK_BYTES - 1));
    for (; chunk < end; chunk += CHUNK_BYTES) {
        if (mm_entry(chunk, false))
            continue;
        mm.backing = true;
        uint64_t *entry = mm_entry(chunk, true);
        mm.backing = false;
        if (!entry)
            return false;
        size_t first = page_number(chunk);
        map_in_table(entry, first, min_u64(TABLE_ENTRIES, mm.boot.nr_pages - first));
    }
    return true;
}

static size_t release(size_t first, size_t nr)
{
    xen_pfn_t frames[BATCH];
    size_t given = 0;
    for (size_t done = 0, n; done < nr; done += n) {
        struct xen_memory_reservation op = { .domid = DOMID_SELF };
        n = min_u64(nr - done, BATCH);
        for (size_t i = 0; i < n; i++)
            frames[i] = frame_of(first + done + i);
        op.nr_extents = n;
        set_xen_guest_handle(op.extent_start, frames);
        long got = hypercall(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, (uintptr_t)&op, 0, 0, 0);
        given += got > 0 ? (size_t)got : 0;
    }
    return given;
}

/*
 * Xen takes no page that is mapped, so what has been in the page tables once stays; and as all pages of a table are
 * mapped together, they also go together.
 */
size_t pages_give_back(size_t keep)
{
    size_t given = 0;
    for (size_t first, end = mm.boot.nr_pages; end > mm.nr_mapped; end = first) {
        const uint8_t *last = mm.boot.base + (end - 1) * PAGE_BYTES;
        const uint8_t *chunk = (const uint8_t *)((uintptr_t)last & ~(uintptr_t)(CHUNK_BYTES - 1));
        first = chunk > mm.boot.base ? page_number(chunk) : 0;
        if (pages_free() < keep + (end - first))
            break;
        if (!mm_entry(chunk, false) && heap_take(first, end - first))
            given += release(first, end - first);
    }
    return given;
}

static bool is_mapped(const void *at)
{
    const uint64_t *entry = mm_entry(at, false);
    return entry && (*entry & PTE_PRESENT);
}

/* What a page that the loader mapped is for. It left page tables read-only, and so they stay. */
static uint64_t kind_of(size_t page, uint64_t entry)
{
    if (page < mm.boot.text_end)
        return PAGE_CODE;
    return page < mm.boot.const_end || !(entry & PTE_WRITABLE) ? PAGE_CONST : PAGE_DATA;
}

static bool is_guard(size_t page)
{
    return page >= mm.boot.guard && page - mm.boot.guard < MM_GUARD_PAGES;
}

/* W^X: the loader mapped all writable and executable. The frames stay what they are: one is Xen's page by now. */
static void protect(void)
{
    uint64_t values[BATCH];
    for (size_t page = 0, n; page < mm.nr_mapped; page += n) {
        uint8_t *at = mm.boot.base + page * PAGE_BYTES;
        uint64_t *entry = mm_entry(at, false);
        n = min_u64(min_u64(mm.nr_mapped - page, BATCH), TABLE_ENTRIES - index_of((uintptr_t)at, 0));
        for (size_t i = 0; i < n; i++)
            values[i] = is_guard(page + i) ? 0 : (entry[i] & PTE_FRAME) | kind_of(page + i, entry[i]);
        mm_write(entry, values, n);
    }
    mm_flush();
}

/* What the loader mapped. Of a PVH guest that is all, but in large pages: tables that can protect a single one take
 * over. */
static size_t count_mapped(void)
{
    size_t nr = mm.boot.first_free + PVH_FIRST;
    if (mm.boot.pvh)
        return min_u64((nr + TABLE_ENTRIES - 1) & ~(size_t)(TABLE_ENTRIES - 1), mm.boot.nr_pages);
    for (nr = 0; nr < mm.boot.nr_pages && is_mapped(mm.boot.base + nr * PAGE_BYTES); nr++)
        continue;
    return nr;
}

/* One for each 2 MiB that has none yet, and one for each gigabyte that may begin; PVH: and those above. */
static size_t nr_tables(size_t nr_pages)
{
    size_t without = mm.boot.pvh ? nr_pages + 3 * TABLE_ENTRIES : nr_pages - mm.nr_mapped;
    return (without + TABLE_ENTRIES - 1) / TABLE_ENTRIES + without / TABLE_ENTRIES / TABLE_ENTRIES + (without > 0);
}

static bool make_tables(void)
{
    mm.boot.root = reserved_table();
    mm.backing = true;
    for (size_t page = 0; mm.boot.root && page < mm.nr_mapped; page++) {
        uint64_t *entry = mm_entry(mm.boot.base + page * PAGE_BYTES, true);
        if (!entry)
            return false;
        *entry = frame_of(page) << PAGE_SHIFT | PAGE_DATA;
    }
    mm.backing = false;
    return mm.boot.root;
}

/* Behind all that is in use: the list of pages, then tables. What there is no room for tables for is not used. */
static bool set_aside(size_t *first)
{
    mm.tables = mm.boot.first_free + (heap_map_bytes(mm.boot.nr_pages) + PAGE_BYTES - 1) / PAGE_BYTES;
    while (mm.tables + nr_tables(mm.boot.nr_pages) + MIN_FREE > mm.nr_mapped) {
        if (mm.boot.nr_pages < mm.nr_mapped + TABLE_ENTRIES)
            return false;
        mm.boot.nr_pages -= TABLE_ENTRIES;
    }
    mm.end = mm.tables + nr_tables(mm.boot.nr_pages);
    *first = mm.end;
    return true;
}

static void give_pages(size_t first, size_t end)
{
    if (first < end)
        heap_give(first, end - first);
}

bool mm_init(const struct mm_boot *boot)
{
    size_t first, nr;
    memset(&mm, 0, sizeof(mm));
    mm.boot = *boot;
    mm.nr_mapped = count_mapped();
    if (!set_aside(&first) || (boot->pvh && !make_tables()))
        return false;
    nr = mm.boot.nr_pages;
    protect();
    /* The table that the loader's last page is in counts as filled: see mm_back(). */
    uint8_t *end = boot->base + mm.nr_mapped * PAGE_BYTES;
    size_t rest = (0 - (uintptr_t)end) % CHUNK_BYTES / PAGE_BYTES;
    if (rest > 0 && mm.nr_mapped < nr)
        map_in_table(mm_entry(end, false), mm.nr_mapped, min_u64(rest, nr - mm.nr_mapped));

    heap_init(boot->base, nr, boot->base + boot->first_free * PAGE_BYTES);
    if (boot->nr_ramdisk > nr || boot->ramdisk > nr - boot->nr_ramdisk)
        return false;
    give_pages(first, boot->nr_ramdisk > 0 ? boot->ramdisk : nr);
    if (boot->nr_ramdisk > 0)
        give_pages(max_u64(first, boot->ramdisk + boot->nr_ramdisk), nr);
    heap_settle();
    return boot->nr_ramdisk == 0 || mm_back(boot->base + boot->ramdisk * PAGE_BYTES, boot->nr_ramdisk);
}

static void walk_table(const uint64_t *table, unsigned level, uintptr_t at,
                       void (*fn)(void *opaque, uintptr_t at, uint64_t entry), void *opaque)
{
    size_t end = level == LEVELS - 1 ? TABLE_ENTRIES / 2 : TABLE_ENTRIES; /* the upper half is Xen's */
    for (size_t i = 0; i < end; i++) {
        uintptr_t next = at | (uintptr_t)i << (PAGE_SHIFT + 9 * level);
        if (!(table[i] & PTE_PRESENT))
            continue;
        if (level > 0)
            walk_table(table_of(table[i]), level - 1, next, fn, opaque);
        else
            fn(opaque, next, table[i]);
    }
}

void mm_walk(void (*fn)(void *opaque, uintptr_t at, uint64_t entry), void *opaque)
{
    walk_table(mm.boot.root, LEVELS - 1, 0, fn, opaque);
}
