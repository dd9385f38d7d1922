/*
 * Guest memory: copies in and out, and pinned scatter lists for DMA, over a bucketed cache of foreign mappings.
 * Resolves RAM and video RAM only, never a device register: DMA can't re-enter a device. Addresses without RAM read all
 * ones and drop writes. Nothing here allocates after mem_init().
 */
#ifndef THINDM_MEM_H
#define THINDM_MEM_H

#include <thindm/util.h>

struct hv;
struct trace;

enum { MEM_BUCKET_SHIFT = 20, MEM_BUCKET_BYTES = 1 << MEM_BUCKET_SHIFT, MEM_BUCKETS = 128, MEM_BUCKET_PAGES = 256 };
enum { MEM_UNPINNED = 16, MEM_MAX_PINNED = MEM_BUCKETS - MEM_UNPINNED }; /* copies always find a bucket to map into */

/* A MiB of guest physical space, mapped. valid: bit per page, set where RAM is behind it. */
struct mem_bucket {
    uint64_t number; /* address >> MEM_BUCKET_SHIFT; meaningful while ptr */
    uint8_t *ptr;    /* NULL: free */
    uint32_t pins;
    uint32_t age;
    bool stale; /* invalidated while pinned: unmapped when the last pin goes */
    uint64_t valid[MEM_BUCKET_PAGES / 64];
};

struct mem {
    struct hv *hv;
    struct mem_bucket buckets[MEM_BUCKETS];
    struct mem_bucket *last;
    unsigned nr_pinned; /* buckets with pins, stale ones too: at most MEM_MAX_PINNED */
    uint32_t clock;
    bool dirty_log;
    struct trace *trace; /* NULL: nobody records or replays */
};

/* hv must outlive it. */
void mem_init(struct mem *mem, struct hv *hv);
/* Unmaps all. Nothing may be pinned. */
void mem_finish(struct mem *mem);

/*
 * Copy len bytes at guest physical addr to or from buf. 0, or -EFAULT if a part has no RAM behind it: that
 * part of buf is set to ones (read) or dropped (write), the rest is done.
 */
int mem_read(struct mem *mem, uint64_t addr, void *buf, size_t len);
int mem_write(struct mem *mem, uint64_t addr, const void *buf, size_t len);

/* A pinned piece of guest memory; stays mapped until mem_unpin(). Caller-owned; may be copied. */
struct mem_pin {
    struct vec vec;      /* host address and length */
    uint64_t addr;       /* guest physical */
    struct mem_bucket *bucket;
};

/*
 * Pin the RAM at addr, at most len bytes: as far as one contiguous host mapping goes (not over a MiB boundary).
 * pin->vec.len tells how much; call again for the rest. 0, -EFAULT (no RAM at addr), -ENOBUFS (as many buckets are
 * pinned as may be, by all devices together: wait for requests of one's own to end, or copy; no fault of the guest's).
 */
int mem_pin(struct mem *mem, uint64_t addr, size_t len, struct mem_pin *pin) WARN_UNUSED;
/* written: bytes from the start that the device stored there (for the dirty log), 0 if it only read. */
void mem_unpin(struct mem *mem, struct mem_pin *pin, size_t written);

/* The device is about to take the first len bytes out of pin (recorded; without a trace it costs nothing). Disk requests need it not. */
void mem_pin_load(struct mem *mem, const struct mem_pin *pin, size_t len);
/* Is ptr in a mapping of guest memory? */
bool mem_is_guest(const struct mem *mem, const void *ptr);

/* The guest gave frames back: drop every mapping that isn't pinned, mark the others stale. Cheap when repeated. */
void mem_invalidate(struct mem *mem);

/* From now on report each frame written to the hypervisor (live migration). Idempotent. */
void mem_set_dirty_log(struct mem *mem, bool enable);

#endif
