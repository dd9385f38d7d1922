/*
 * Guest memory through libxenforeignmemory, and the video memory that lives in the guest.
 * Sources: xenforeignmemory.h; xen/include/public/memory.h (XENMEM_populate_physmap).
 */
#include "xen-private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/memory.h>

/* Frames of one populate or map call: bounds the scratch arrays. */
enum { BATCH = 1024, ORDER_2M = 9, FRAMES_2M = 1 << ORDER_2M };
/* XEN_DOMCTL_MEM_CACHEATTR_WB: the frame buffer is ordinary cached memory to the guest. */
enum { CACHEATTR_WB = 6 };

static struct xen *xen_of(struct hv *hv)
{
    return container_of(hv, struct xen, hv);
}

int xen_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    struct xen *xen = xen_of(hv);
    xen_pfn_t frames[MEM_BUCKET_PAGES];
    if (nr > MEM_BUCKET_PAGES)
        return -EINVAL;
    for (size_t i = 0; i < nr; i++)
        frames[i] = first + i;
    void *map = xenforeignmemory_map2(xen->fmem, xen->config.domid, NULL, PROT_READ | PROT_WRITE, 0, nr, frames, err);
    if (!map)
        return xen_errno();
    *ptr = map;
    return 0;
}

void xen_unmap(struct hv *hv, void *ptr, size_t nr)
{
    struct xen *xen = xen_of(hv);
    if (xenforeignmemory_unmap(xen->fmem, ptr, nr))
        log_print(xen->config.log, LOG_ERROR, "xen", "unmapping guest memory failed: %s; address space is lost",
                  strerror(errno));
}

/* Populate nr extents of 2^order frames from first on, by one hypercall. How many were populated, or -errno. */
static long populate(struct xen *xen, uint64_t first, size_t nr, unsigned order)
{
    struct {
        struct xen_memory_reservation reservation;
        xen_pfn_t extents[BATCH];
    } *arg = xencall_alloc_buffer(xen->call, sizeof(*arg));
    if (!arg)
        return -ENOMEM;
    for (size_t i = 0; i < nr; i++)
        arg->extents[i] = first + (i << order);
    memset(&arg->reservation, 0, sizeof(arg->reservation));
    set_xen_guest_handle(arg->reservation.extent_start, arg->extents);
    arg->reservation.nr_extents = nr;
    arg->reservation.extent_order = order;
    arg->reservation.domid = xen->config.domid;
    long done = xencall2(xen->call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)&arg->reservation);
    if (done < 0)
        done = xen_errno();
    xencall_free_buffer(xen->call, arg);
    return done;
}

/* In 2 MiB pieces where alignment and the host's memory allow it (a hundredth of the work), else frame by frame. */
static int populate_all(struct xen *xen, uint64_t first, size_t nr)
{
    if (first % FRAMES_2M == 0 && nr % FRAMES_2M == 0 && nr / FRAMES_2M <= BATCH) {
        long done = populate(xen, first, nr / FRAMES_2M, ORDER_2M);
        if (done > 0) {
            first += (uint64_t)done << ORDER_2M;
            nr -= (size_t)done << ORDER_2M;
        }
    }
    while (nr > 0) {
        size_t want = nr < BATCH ? nr : BATCH;
        long done = populate(xen, first, want, 0);
        if (done < 0)
            return (int)done;
        if ((size_t)done != want)
            return -ENOMEM; /* the domain's limit */
        first += want;
        nr -= want;
    }
    return 0;
}

/* One mapping of all frames: the references to machine frames stay good when the frames move in the guest. */
static int map_vram(struct xen *xen, uint64_t first, size_t nr)
{
    xen_pfn_t *frames = malloc(nr * sizeof(*frames));
    if (!frames)
        return -ENOMEM;
    for (size_t i = 0; i < nr; i++)
        frames[i] = first + i;
    xen->vram = xenforeignmemory_map(xen->fmem, xen->config.domid, PROT_READ | PROT_WRITE, nr, frames, NULL);
    int err = xen->vram ? 0 : xen_errno();
    free(frames);
    return err;
}

int xen_vram_create(struct hv *hv, size_t nr, void **ptr)
{
    struct xen *xen = xen_of(hv);
    /* Right behind RAM, where the guest's memory map has nothing. */
    uint64_t ram = xen->config.ram_bytes, low = min_u64(ram, xen->config.max_ram_below_4g);
    xen->vram_parking = (ram > low ? 4 * GIB + (ram - low) : low) >> PAGE_SHIFT;
    int err = populate_all(xen, xen->vram_parking, nr);
    if (!err)
        err = map_vram(xen, xen->vram_parking, nr);
    if (err)
        return err;
    xen->vram_frames = nr;
    xen->vram_at = xen->vram_parking;
    *ptr = xen->vram;
    return 0;
}

static int relocate(struct xen *xen, uint64_t to)
{
    if (xendevicemodel_relocate_memory(xen->dm, xen->config.domid, (uint32_t)xen->vram_frames, xen->vram_at, to))
        return xen_errno();
    xen->vram_at = to;
    return 0;
}

int xen_vram_move(struct hv *hv, uint64_t first)
{
    struct xen *xen = xen_of(hv);
    uint64_t to = first == HV_VRAM_PARKED ? xen->vram_parking : first;
    if (to == xen->vram_at)
        return 0;
    int err = 0;
    /* Xen 4.17 frees frames that it hasn't moved yet when a move upwards overlaps: go by the parking place. */
    if (to > xen->vram_at && to - xen->vram_at < xen->vram_frames && xen->vram_at != xen->vram_parking)
        err = relocate(xen, xen->vram_parking);
    if (!err)
        err = relocate(xen, to);
    if (err)
        return err;
    if (to != xen->vram_parking &&
        xendevicemodel_pin_memory_cacheattr(xen->dm, xen->config.domid, to, to + xen->vram_frames - 1, CACHEATTR_WB))
        log_print(xen->config.log, LOG_DEBUG, "xen",
                  "pinning the frame buffer's cache attribute failed: %s; it stays default", strerror(errno));
    return 0;
}

void xen_vram_destroy(struct hv *hv)
{
    struct xen *xen = xen_of(hv);
    if (xen->vram)
        xen_unmap(hv, xen->vram, xen->vram_frames);
    xen->vram = NULL;
}
