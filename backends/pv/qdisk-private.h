/*
 * A disk that a PV guest drives: qdisk.c is the device (nodes, image, connection), qdisk-ring.c the way of a request,
 * qdisk-data.c how data gets to and from the guest's pages, qdisk-pace.c how often the front end speaks up.
 */
#ifndef THINDM_PV_QDISK_PRIVATE_H
#define THINDM_PV_QDISK_PRIVATE_H

#include "blkif-ring.h"
#include "pv-private.h"

enum {
    QDISK_MAX_ORDER = 4,      /* pages of a ring: 1 << order */
    QDISK_MAX_SEGMENTS = 256, /* of an indirect request, and of requests in a row that run as one */
    QDISK_GRANTS = 1056,      /* that stay mapped: what a Linux front end of one ring page has */
    QDISK_POOL_PAGES = 1024,  /* for data that is copied; used from one end, so that few are ever touched */
    QDISK_COPIES = 128,       /* in one call */
};
enum { QDISK_NONE = 0xffff };

/* A page of the guest that a request's data comes from or goes to. */
struct qdisk_segment {
    uint32_t ref;
    uint8_t first, count; /* sectors of it */
    uint16_t grant, page; /* mapped for long: index of grants[]; copied: of the pool; else QDISK_NONE */
};

/* What is left to do for a request, in this order. */
enum { STEP_FLUSH_BEFORE = 1, STEP_MAIN = 2, STEP_FLUSH_AFTER = 4 };

struct qdisk_req {
    struct block_req io; /* of this one and those that follow it on the disk */
    struct qdisk *disk;
    struct qdisk_req *next;   /* in one of the lists */
    struct qdisk_req *merged; /* the next that io serves */
    uint64_t id;
    uint64_t offset, len; /* bytes of the disk */
    uint8_t op;           /* for the answer */
    uint8_t steps;
    bool failed; /* data didn't get across */
    bool write;  /* data goes to the disk */
    uint16_t nr_segments, nr_vecs, nr_mapped;
    enum block_op main;
    void *mapped; /* PV_MAP: pages of this request */
    struct qdisk_segment segments[QDISK_MAX_SEGMENTS];
    struct vec vecs[QDISK_MAX_SEGMENTS];
};

struct qdisk_list {
    struct qdisk_req *first, **last;
};

/* A grant that stays mapped. In a chain of its hash, and in the list by age. */
struct qdisk_grant {
    uint8_t *page;
    uint32_t ref;
    uint16_t users, chain, newer, older;
};

enum { QDISK_BUCKETS = 1024 };

/* qdisk-data.c's. */
struct qdisk_data {
    bool persistent;
    struct qdisk_grant *grants;
    uint16_t nr_grants, newest, oldest, buckets[QDISK_BUCKETS];
    uint8_t *pool;
    uint16_t free_pages[QDISK_POOL_PAGES], nr_free;
    struct pv_copy copies[QDISK_COPIES];
    unsigned nr_copies;
};

/* qdisk-pace.c's. */
struct qdisk_pace {
    struct loop *loop;
    loop_fn *fn;
    void *opaque;
    struct timer timer;
    bool expired;
    unsigned want, asked;      /* requests to collect: while they come closely; now */
    unsigned good, rounds;     /* that went well since the last change; before more is asked for */
    uint64_t last_ns, each_ns; /* when requests were taken; from one to the next at most, of late */
};

struct qdisk {
    struct pv_device dev;
    /* The image. */
    struct block *block; /* NULL: no medium */
    bool cdrom, read_only, discard, direct;
    const char *format;
    char params[PV_PATH_BYTES * 4];
    const char *path; /* in params; NULL: none */
    uint64_t sectors; /* as told to the front end */
    /* The connection; reqs NULL: there is none. */
    void *shared;
    unsigned pages;
    struct blkif_ring ring;
    bool closing;
    struct qdisk_req *reqs, *free_reqs;
    struct qdisk_req *stalled; /* waits for room */
    struct qdisk_req *fence;   /* a barrier: nothing else runs beside it */
    bool fence_runs;
    struct qdisk_list ended; /* io is done */
    unsigned in_flight;      /* submitted ios */
    struct task task;
    struct qdisk_pace pace;
    struct qdisk_data data;
};

/* qdisk-ring.c */
void qdisk_ring_open(struct qdisk *d); /* reqs[] are there: make them free */
/* Take what waits, as far as there is room. */
void qdisk_serve(struct qdisk *d);
/* Wait for all that is submitted and answer it; takes nothing new if closing or paused. */
void qdisk_drain(struct qdisk *d);
/* The loop's: answer what ended, take more. */
void qdisk_run(void *opaque);

/* qdisk-data.c: 0 or -ENOMEM. */
int qdisk_data_open(struct qdisk *d, bool persistent) WARN_UNUSED;
void qdisk_data_close(struct qdisk *d);
/*
 * Memory for the segments of req; vecs describe it. Data to be written is there after qdisk_data_run(). 0, -EAGAIN (no
 * room before another request ends) or -errno.
 */
int qdisk_data_begin(struct qdisk *d, struct qdisk_req *req) WARN_UNUSED;
/* Data that was read is to go to the guest, with the next qdisk_data_run(). */
void qdisk_data_out(struct qdisk *d, struct qdisk_req *req);
/* Run the copies that were asked for. A request whose page isn't there is marked failed. */
void qdisk_data_run(struct qdisk *d);
void qdisk_data_end(struct qdisk *d, struct qdisk_req *req);
/* One copy of the first len bytes of a page of the guest. */
int qdisk_data_fetch(struct qdisk *d, uint32_t ref, uint8_t *buf, uint16_t len) WARN_UNUSED;

/* qdisk-pace.c: fn is called, from the loop, when the front end has collected for long enough. */
void qdisk_pace_init(struct qdisk_pace *p, struct loop *loop, loop_fn *fn, void *opaque);
/* Not initialized: harmless. */
void qdisk_pace_finish(struct qdisk_pace *p);
/* This many requests were taken, all there were. Returns after how many more the front end shall speak up. */
unsigned qdisk_pace_next(struct qdisk_pace *p, unsigned taken);

#endif
