/*
 * Pages of our own, and windows: address space without memory, into which frames of the guest are mapped.
 * "Frame" is what page tables and grant entries hold: a machine frame (PV) or a guest frame of our own (PVH).
 * Sources: xen/include/public/xen.h (mmu_update), memory.h.
 */
#ifndef THINDM_MM_H
#define THINDM_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>

/* nr zeroed pages, contiguous in our address space only; NULL: no memory. */
void *page_alloc(size_t nr);
void page_free(void *pages, size_t nr);
/* The frame behind a page of our own, of page_alloc() or of the image. */
xen_pfn_t page_frame(const void *page);
/* How many pages there are to give. */
size_t pages_free(void);

/*
 * Memory that nobody has used so far goes back to Xen, in pieces of 2 MiB, but at least keep pages stay: the toolstack
 * gives a stubdomain as much on top as its guest has video memory. How many pages went.
 */
size_t pages_give_back(size_t keep);

/* nr pages of address space with nothing behind them, NULL: none left. */
void *window_alloc(size_t nr);
/* Unmaps what is there. NULL is fine. */
void window_free(void *at, size_t nr);

/* How a list names what is to be mapped. */
enum window_kind {
    WINDOW_GUEST,    /* guest frame numbers of the target */
    WINDOW_RESOURCE, /* what XENMEM_acquire_resource gave (PV: machine frames) */
};
/*
 * Map nr frames of domain dom, readable and writable. err[i] is 0 or -errno of each; pages with an error stay unmapped.
 * 0, or -errno if the call as a whole failed.
 */
int window_map(void *at, size_t nr, const xen_pfn_t *frames, domid_t dom, enum window_kind kind, int *err);
/* PVH: where to have Xen put a frame that is to be mapped at this page of a window with WINDOW_RESOURCE. PV: any. */
xen_pfn_t window_frame(const void *at);
/* Unmaps and flushes; the address space stays reserved. */
void window_unmap(void *at, size_t nr);

#endif
