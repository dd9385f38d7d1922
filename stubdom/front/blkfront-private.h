/*
 * A PV disk. blkfront.c owns the connection, blkfront-io.c the way of requests: cut into pieces that are one entry of
 * the ring each, with their data in pages of a pool.
 * Source: xen/include/public/io/blkif.h.
 */
#ifndef THINDM_BLKFRONT_PRIVATE_H
#define THINDM_BLKFRONT_PRIVATE_H

#include "front-private.h"
#include <xen/io/blkif.h>

enum {
    BLKFRONT_SECTOR = 512, /* unit of all numbers of the protocol, whatever sector-size says [Linux xen-blkfront.c] */
    /*
     * Two requests of 128 KiB, each with its page of segments. If there is less memory, half of it, and so on; a
     * request never needs more than half of the pool, so that two are on their way, or more.
     */
    BLKFRONT_POOL_PAGES = 66,
    BLKFRONT_POOL_MIN = 16,
    BLKFRONT_RING_ORDER = 1, /* 64 entries, as many as there are pages to fill them, if the back end takes two pages */
    BLKFRONT_MAX_PIECES = 64,
};

enum { BLKFRONT_NO_PAGE = UINT16_MAX };

/* One entry of the ring that has no response yet. */
struct blkfront_piece {
    struct block_req *req; /* NULL: free */
    uint64_t at, bytes;    /* of the request */
    uint16_t pages;        /* of the pool, in the order of the data, linked by pool_next; */
    uint16_t segments;     /* and the one with an indirect request's segments; or BLKFRONT_NO_PAGE */
};

struct blkfront_queue {
    struct block_req *first, **last; /* through block_req.next */
};

enum blkfront_flush { BLKFRONT_FLUSH_NONE, BLKFRONT_FLUSH_BARRIER, BLKFRONT_FLUSH_CACHE };

struct blkfront {
    struct block block;
    struct front front;
    struct front_pages ring_pages, pool;
    struct front_ring ring;
    enum blkfront_flush flush;
    bool flush_told;       /* that there is none */
    bool broken;           /* the back end lied or went away: all requests fail */
    uint16_t handle;       /* virtual device number: which disk requests are for */
    uint16_t max_segments; /* of one entry */
    uint64_t size_bytes;   /* of the medium now; block.size_bytes is what the device model knows of */
    uint16_t pool_next[BLKFRONT_POOL_PAGES], pool_first, pool_free; /* the free ones: last used, first taken */
    struct blkfront_piece pieces[BLKFRONT_MAX_PIECES];
    unsigned nr_pieces; /* in the ring */
    struct blkfront_queue waiting, ended;
    uint64_t
        begun; /* bytes of waiting.first that are in pieces; of a request block_req.progress counts those that ended */
    struct task kick;
};

/* The pool and the queues, empty. */
void blkfront_io_init(struct blkfront *b);
void blkfront_submit(struct block *block, struct block_req *req);
void blkfront_drain(struct block *block);
/* Start what waits, as far as it goes, and tell the device model what ended. */
void blkfront_run(void *opaque);
/* The back end's event. */
void blkfront_event(void *opaque, evtchn_port_t port);
/* Every request fails from now on; those that have not ended end with -EIO, from the loop or the drain. A line why. */
void blkfront_give_up(struct blkfront *b, const char *why);

#endif
