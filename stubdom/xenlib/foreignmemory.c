/*
 * What backends/xen uses of libxenforeignmemory, over windows. Declared in xenforeignmemory.h.
 * Source: xen/include/public/memory.h (XENMEM_acquire_resource).
 */
#include "../kernel/hypercall.h"
#include "../kernel/mm.h"
#include "xenlib.h"
#include <errno.h>
#include <stdlib.h>
#include <thindm/util.h>
#include <xen/memory.h>
#include <xenforeignmemory.h>

/* Frames of one call; and of a resource at most: an ioreq server has the ring and a page for 128 vCPUs. */
enum { BATCH = 512, RESOURCE_FRAMES = 8 };

struct xenforeignmemory_handle {
    char unused;
};
static struct xenforeignmemory_handle the_handle;

struct xenforeignmemory_resource_handle {
    void *at;
    size_t nr;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return &the_handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    return 0;
}

/* The error of the first page that has one. */
static int first_error(const int *err, size_t nr)
{
    for (size_t i = 0; i < nr; i++)
        if (err[i])
            return err[i];
    return 0;
}

static int map_all(uint8_t *at, domid_t dom, size_t pages, const xen_pfn_t *frames, int *err)
{
    int batch_err[BATCH];
    for (size_t done = 0; done < pages;) {
        size_t nr = pages - done < BATCH ? pages - done : BATCH;
        int *errs = err ? err + done : batch_err;
        int rc = window_map(at + done * PAGE_BYTES, nr, frames + done, dom, WINDOW_GUEST, errs);
        if (!rc && !err)
            rc = first_error(errs, nr);
        if (rc)
            return rc;
        done += nr;
    }
    return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages, const xen_pfn_t arr[],
                           int err[])
{
    return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot, int flags, size_t pages,
                            const xen_pfn_t arr[], int err[])
{
    void *at = window_alloc(pages);
    int rc = at ? map_all(at, (domid_t)dom, pages, arr, err) : -ENOMEM;
    if (!rc)
        return at;
    if (at)
        xenforeignmemory_unmap(fmem, at, pages);
    xenlib_result(rc);
    return NULL;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    window_free(addr, pages); /* unmaps */
    return 0;
}

static int acquire(domid_t domid, unsigned type, unsigned id, unsigned long frame, unsigned long nr, xen_pfn_t *frames)
{
    struct xen_mem_acquire_resource arg = {
        .domid = domid, .type = (uint16_t)type, .id = id, .nr_frames = (uint32_t)nr, .frame = frame
    };
    set_xen_guest_handle(arg.frame_list, frames);
    return (int)hypercall(__HYPERVISOR_memory_op, XENMEM_acquire_resource, (uintptr_t)&arg, 0, 0, 0);
}

static int map_frames(void *at, domid_t domid, size_t nr, const xen_pfn_t *frames)
{
    int err[RESOURCE_FRAMES];
    int rc = window_map(at, nr, frames, domid, WINDOW_RESOURCE, err);
    return rc ? rc : first_error(err, nr);
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid,
                                                                unsigned int type, unsigned int id, unsigned long frame,
                                                                unsigned long nr_frames, void **paddr, int prot,
                                                                int flags)
{
    xen_pfn_t frames[RESOURCE_FRAMES];
    struct xenforeignmemory_resource_handle *res = NULL;
    int rc = nr_frames <= RESOURCE_FRAMES ? acquire(domid, type, id, frame, nr_frames, frames) : -E2BIG;
    if (!rc) {
        res = malloc(sizeof(*res));
        rc = res ? 0 : -ENOMEM;
    }
    if (!rc) {
        *res = (struct xenforeignmemory_resource_handle){ .at = window_alloc(nr_frames), .nr = nr_frames };
        rc = res->at ? map_frames(res->at, domid, nr_frames, frames) : -ENOMEM;
    }
    if (!rc) {
        *paddr = res->at;
        return res;
    }
    if (res && res->at)
        window_free(res->at, nr_frames);
    free(res);
    xenlib_result(rc);
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem, xenforeignmemory_resource_handle *fres)
{
    xenforeignmemory_unmap(fmem, fres->at, fres->nr);
    free(fres);
    return 0;
}
