/*
 * Our page tables. A PV guest reads them and has Xen write them; a PVH guest has them for itself. Page n of our memory is always
 * at the n-th page behind the image's begin. Sources: xen/include/public/xen.h (mmu_update, update_va_mapping, mmuext_op),
 * AMD64 APM vol. 2, 5.3.
 */
#include "mm.h"

#include <string.h>
#include <thindm/util.h>

#include "boot.h"
#include "heap.h"
#include "hypercall.h"
#include "mm-private.h"

enum { LEVELS = 4, BATCH = 128, CHUNK_BYTES = TABLE_ENTRIES * PAGE_BYTES, BOOT_PADDING = 128 };
#define PTE_TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)

static struct {
    struct mm_boot boot;
    size_t nr_mapped; /* pages that are mapped from the start on */
    bool backing;     /* the next table is for our own memory */
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

/* Tables for our own memory come out of what is mapped from the start on: any other page could need a table itself. */
static bool add_table(uint64_t *entry)
{
    void *table = mm.backing ? heap_take_lowest(mm.nr_mapped) : page_alloc(1);
    if (!table)
        return false;
    memset(table, 0, PAGE_BYTES);
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

/* W^X: the loader mapped all writable and executable. The frame stays what it is: Xen's page is mapped by now as well. */
static void protect(void)
{
    for (size_t page = 0; page < mm.nr_mapped; page++) {
        uint64_t *entry = mm_entry(mm.boot.base + page * PAGE_BYTES, false);
        uint64_t value = page == mm.boot.guard ? 0 : (*entry & PTE_FRAME) | kind_of(page, *entry);
        mm_write(entry, &value, 1);
    }
    mm_flush();
}

/* Of a PVH guest all memory is mapped at first, in large pages and writable. Tables of our own take their place. */
static bool pvh_tables(void)
{
    mm.nr_mapped = min_u64((mm.boot.first_free + 2 * BOOT_PADDING) & ~(size_t)(TABLE_ENTRIES - 1), mm.boot.nr_pages);
    return false;
}

static void give_pages(size_t first, size_t end)
{
    if (first < end)
        heap_give(first, end - first);
}

bool mm_init(const struct mm_boot *boot)
{
    mm.boot = *boot;
    mm.nr_mapped = 0;
    if (boot->pvh && !pvh_tables())
        return false;
    while (mm.nr_mapped < boot->nr_pages && is_mapped(boot->base + mm.nr_mapped * PAGE_BYTES))
        mm.nr_mapped++;
    size_t first = boot->first_free + (heap_map_bytes(boot->nr_pages) + PAGE_BYTES - 1) / PAGE_BYTES;
    if (first > mm.nr_mapped)
        return false;
    protect();
    /* The table that the loader's last page is in counts as filled: see mm_back(). */
    uint8_t *end = boot->base + mm.nr_mapped * PAGE_BYTES;
    size_t rest = (0 - (uintptr_t)end) % CHUNK_BYTES / PAGE_BYTES;
    if (rest > 0 && mm.nr_mapped < boot->nr_pages)
        map_in_table(mm_entry(end, false), mm.nr_mapped, min_u64(rest, boot->nr_pages - mm.nr_mapped));

    heap_init(boot->base, boot->nr_pages, boot->base + boot->first_free * PAGE_BYTES);
    size_t ramdisk = boot->nr_ramdisk > 0 ? max_u64(boot->ramdisk, first) : boot->nr_pages;
    give_pages(first, ramdisk);
    if (boot->nr_ramdisk > 0)
        give_pages(max_u64(first, boot->ramdisk + boot->nr_ramdisk), boot->nr_pages);
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
