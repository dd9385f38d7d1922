/*
 * The grant table: see gnttab.h. It grows page by page as grants are made. The entries of the toolstack (console,
 * xenstore) stay as they are.
 */
#define __XEN_TOOLS__ 1 /* the present interface; older ones have other types */
#include "gnttab.h"

#include "boot.h"
#include "hypercall.h"
#include "mm.h"

#include <assert.h>
#include <errno.h>
#include <thindm/util.h>
#include <xen/memory.h>

enum { ENTRIES = PAGE_BYTES / sizeof(struct grant_entry_v1), MAX_FRAMES = 8, NONE = 0, IN_USE = UINT16_MAX };

static_assert(MAX_FRAMES * ENTRIES < IN_USE, "the free list holds 16 bits");

static struct {
    struct grant_entry_v1 *frames[MAX_FRAMES];
    unsigned nr_frames, max_frames;
    bool translated;                           /* PVH: a frame of the table takes the place of a page of ours */
    uint16_t free, next[MAX_FRAMES * ENTRIES]; /* NONE: the list ends; IN_USE: not in it */
} table;

static struct grant_entry_v1 *entry(grant_ref_t ref)
{
    return &table.frames[ref / ENTRIES][ref % ENTRIES];
}

/* A PV domain is told where the frame is. */
static int machine_frame(unsigned nr, xen_pfn_t *frame)
{
    xen_pfn_t list[MAX_FRAMES];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = nr + 1 };
    set_xen_guest_handle(setup.frame_list, list);
    long err = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, (uintptr_t)&setup, 1, 0, 0);
    if (err < 0)
        return (int)err;
    *frame = list[nr];
    return setup.status == GNTST_okay ? 0 : -ENOSPC;
}

/* A PVH domain says where it is to be [memory.h, XENMEM_add_to_physmap]. */
static int put_frame(unsigned nr, xen_pfn_t frame)
{
    struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = nr, .gpfn = frame };
    long err = hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)&add, 0, 0, 0);
    return err < 0 ? (int)err : 0;
}

static int map_frame(unsigned nr, void *at)
{
    xen_pfn_t frame = window_frame(at);
    int failed = 0, err = boot_info()->pvh ? put_frame(nr, frame) : machine_frame(nr, &frame);
    if (!err)
        err = window_map(at, 1, &frame, DOMID_SELF, WINDOW_RESOURCE, &failed);
    return err ? err : failed;
}

static int grow(void)
{
    unsigned nr = table.nr_frames;
    if (nr == table.max_frames)
        return -ENOSPC;
    void *at = window_alloc(1);
    if (!at)
        return -ENOMEM;
    int err = map_frame(nr, at);
    if (err) {
        window_free(at, 1);
        return err;
    }
    table.frames[nr] = at;
    table.nr_frames++;
    for (unsigned ref = (nr + 1) * ENTRIES; ref-- > nr * ENTRIES && ref >= GNTTAB_NR_RESERVED_ENTRIES;) {
        table.next[ref] = table.free;
        table.free = (uint16_t)ref;
    }
    return 0;
}

int gnttab_init(void)
{
    struct gnttab_query_size size = { .dom = DOMID_SELF };
    long err = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uintptr_t)&size, 1, 0, 0);
    if (err < 0)
        return (int)err;
    if (size.status != GNTST_okay)
        return -EIO;
    table.nr_frames = 0;
    table.free = NONE;
    table.max_frames = (unsigned)min_u64(size.max_nr_frames, MAX_FRAMES);
    return grow();
}

int gnttab_grant(domid_t dom, const void *page, bool read_only, grant_ref_t *ref)
{
    xen_pfn_t frame = page_frame(page);
    if (frame > UINT32_MAX)
        return -ENOSPC; /* version 1 entries end at 16 TiB */
    int err = table.free == NONE ? grow() : 0;
    if (err)
        return err;
    *ref = table.free;
    table.free = table.next[*ref];
    table.next[*ref] = IN_USE;
    struct grant_entry_v1 *e = entry(*ref);
    e->domid = dom;
    e->frame = (uint32_t)frame;
    /* Xen may look at any time: the flags make it valid [grant_table.h, "Introducing a valid entry"]. */
    __atomic_store_n(&e->flags, (uint16_t)(GTF_permit_access | (read_only ? GTF_readonly : 0)), __ATOMIC_RELEASE);
    return 0;
}

int gnttab_revoke(grant_ref_t ref)
{
    assert(ref >= GNTTAB_NR_RESERVED_ENTRIES && ref < table.nr_frames * ENTRIES && table.next[ref] == IN_USE);
    struct grant_entry_v1 *e = entry(ref);
    uint16_t flags = __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE);
    do {
        if (flags & (GTF_reading | GTF_writing))
            return -EBUSY;
    } while (!__atomic_compare_exchange_n(&e->flags, &flags, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    e->frame = 0;
    e->domid = 0;
    table.next[ref] = table.free;
    table.free = (uint16_t)ref;
    return 0;
}
