/*
 * The shared ring of a block front end: where entries lie, for guests of 64 and 32 bits, and what is in them. An entry
 * is copied once; nothing that this file gives out is in the guest's memory.
 * Sources: xen/include/public/io/blkif.h, ring.h; the two layouts: Linux drivers/block/xen-blkback/common.h.
 */
#ifndef THINDM_PV_BLKIF_RING_H
#define THINDM_PV_BLKIF_RING_H

#include <thindm/util.h>
#include <xen/io/blkif.h>

enum { BLKIF_SECTOR = 512, BLKIF_PAGE_SECTORS = PAGE_BYTES / BLKIF_SECTOR, BLKIF_SEGMENT_BYTES = 8 };

struct blkif_segment {
    uint32_t ref;
    uint8_t first, last; /* sectors of the page, both included; not checked here */
};

/* An entry as the guest wrote it. Nothing in it is checked. */
struct blkif_entry {
    uint8_t op;          /* BLKIF_OP_..., INDIRECT included */
    uint8_t indirect_op; /* INDIRECT */
    uint8_t flag;        /* DISCARD */
    uint16_t nr_segments;
    uint64_t id, sector, nr_sectors; /* nr_sectors: DISCARD */
    struct blkif_segment segments[BLKIF_MAX_SEGMENTS_PER_REQUEST];
    uint32_t pages[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST]; /* INDIRECT: grants of pages of segments */
};

struct blkif_layout;

struct blkif_ring {
    const struct blkif_layout *layout;
    uint8_t *shared;
    uint32_t entries;                        /* a power of two */
    uint32_t req_cons, rsp_prod, rsp_pushed; /* ours; the guest's copies are never read back */
};

/* bits: 64 or 32. -EPROTO: the indices that the guest left in the ring are impossible. */
int blkif_ring_init(struct blkif_ring *ring, void *shared, size_t bytes, unsigned bits) WARN_UNUSED;
/* How many entries wait. -EPROTO: more than can be, the front end is broken. */
int blkif_ring_waiting(const struct blkif_ring *ring) WARN_UNUSED;
/* Take the next entry; only if one waits. */
void blkif_ring_take(struct blkif_ring *ring, struct blkif_entry *entry);
/* Answer a request that was taken; status is BLKIF_RSP_... . The guest sees it after the push. */
void blkif_ring_respond(struct blkif_ring *ring, uint64_t id, uint8_t op, int16_t status);
/* Show the answers. True: the front end wants to be notified. */
bool blkif_ring_push(struct blkif_ring *ring) WARN_UNUSED;
/* Ask for a notification when nr requests wait, 1 to entries. True: they do already, don't wait for it. */
bool blkif_ring_sleep(struct blkif_ring *ring, unsigned nr) WARN_UNUSED;

/* Element i of a page of segments (INDIRECT) that was copied to ours. */
void blkif_segment_get(const uint8_t *page, unsigned i, struct blkif_segment *segment);

#endif
