/*
 * The ioreq engine: the only reader of the pages that Xen shares with a device model. Copies each request once, checks the
 * copy, runs it on the buses, answers. Transport-neutral: the pages may be Xen's or a simulator's.
 * Source: xen/include/public/hvm/ioreq.h; xen/common/ioreq.c.
 */
#ifndef THINDM_IOREQ_H
#define THINDM_IOREQ_H

#include <thindm/bus.h>
#include <thindm/log.h>
#include <thindm/mem.h>
#include <thindm/pci.h>

struct trace;

enum { IOREQ_MAX_VCPUS = 128, IOREQ_SLOT_BYTES = 32, IOREQ_RING_SLOTS = 511 };
/* struct ioreq, byte offsets in a slot. */
enum {
    IOREQ_ADDR = 0, IOREQ_DATA = 8, IOREQ_COUNT = 16, IOREQ_SIZE = 20, IOREQ_PORT = 24, IOREQ_FLAGS = 30, IOREQ_TYPE = 31,
};
enum ioreq_state { IOREQ_NONE, IOREQ_READY, IOREQ_INPROCESS, IOREQ_RESP_READY, IOREQ_STATE_MASK = 0xf };
enum { IOREQ_FLAG_POINTER = 0x10, IOREQ_FLAG_READ = 0x20, IOREQ_FLAG_DF = 0x40 };
enum ioreq_type {
    IOREQ_PIO = 0, IOREQ_COPY = 1, IOREQ_PCI_CONFIG = 2, IOREQ_TIMEOFFSET = 7, IOREQ_INVALIDATE = 8,
};

struct ioreq_config {
    struct bus *ports, *memory;
    struct pci_bus *pci;
    struct mem *mem;
    struct log *log;
    uint8_t *sync_page;     /* one page of slots, shared and hostile */
    uint8_t *buffered_page; /* the ring, or NULL */
    unsigned nr_vcpus;      /* 1-128 */
    /* The guest's clock moved by seconds (may be NULL). */
    void (*time_offset)(void *opaque, int64_t seconds);
    /* The ring's pointers are nonsense: the domain can't be served any more. */
    void (*corrupt)(void *opaque);
    void *opaque;
    struct trace *trace; /* NULL: nobody records or replays */
};

struct ioreq {
    struct ioreq_config config;
    struct log_rate log_rate;
    bool broken; /* corrupt() was called; nothing is served any more */
    uint64_t served, buffered;
};

/* Keeps pointers to what config names. */
void ioreq_init(struct ioreq *engine, const struct ioreq_config *config);
/* Is a request waiting in vCPU's slot? No side effect. */
bool ioreq_pending(const struct ioreq *engine, unsigned vcpu);
/*
 * Serve the request in vCPU's slot, if there is one: drains the buffered ring first. True: answered, the caller
 * must notify the vCPU's event channel.
 */
bool ioreq_serve(struct ioreq *engine, unsigned vcpu);
/* Run posted writes until the ring is empty (at most a ring's worth per call). Number served. */
unsigned ioreq_drain(struct ioreq *engine);

#endif
