/*
 * A Xen for the kernel of the stubdomain in one process: a PV guest's memory with the page tables of its start, which
 * only hypercalls change, as strictly checked as Xen does; event channels; time that passes when the guest sleeps.
 */
#ifndef THINDM_TESTS_STUBDOM_MACHINE_H
#define THINDM_TESTS_STUBDOM_MACHINE_H

#include "../../../stubdom/kernel/mm-private.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>

enum {
    MACHINE_PAGES = 2048,               /* 8 MiB of address space, of which a test uses the first so many */
    MACHINE_FRAMES = 2 * MACHINE_PAGES, /* of the whole machine; ours are every second one, backwards */
    MACHINE_TARGET = 7,                 /* the guest that is served: */
    MACHINE_TARGET_PAGES = 1000,        /* its frames are good but for those that 10 divides */
    MACHINE_IMAGE = 40,                 /* pages of text, constants and data */
    MACHINE_PORTS = 8,
};

struct machine {
    uint8_t *memory; /* 2 MiB-aligned */
    xen_pfn_t *frames, *frame_to_page;
    struct mm_boot boot;
    struct shared_info shared;
    uint64_t now_ns;
    size_t given_back; /* pages */
    unsigned calls, flushes, polls, sent[MACHINE_PORTS];
    bool bound[MACHINE_PORTS];
    bool stale_timer; /* the next poll returns although nothing happened */
    uint64_t poll_ns; /* time-out of the last poll */
    unsigned poll_ports;
    /* What happens while the guest sleeps; called with the deadline. It may set bits. */
    void (*asleep)(struct machine *m, uint64_t deadline_ns);
};
extern struct machine machine;

/* A guest of nr_pages of which nr_mapped are mapped. */
void machine_start(size_t nr_pages, size_t nr_mapped);
void machine_finish(void);
/* The lowest entry for an address, or 0, as the processor walks the tables. */
uint64_t machine_entry(const void *at);
void machine_set_pending(unsigned port);
/* Frame a page of the target is shown as. */
xen_pfn_t machine_target_frame(xen_pfn_t page);

#endif
