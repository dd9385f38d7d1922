/* The shared ring of a block front end: see blkif-ring.h. */
#include "blkif-ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* The head of the ring page, before the entries [ring.h]. */
enum { REQ_PROD = 0, REQ_EVENT = 4, RSP_PROD = 8, RSP_EVENT = 12, HEAD_BYTES = 64 };
/* In each entry, whatever the layout. */
enum { OP = 0, COUNT = 1, INDIRECT_COUNT = 2 };

/* Where an entry's members lie: a compiler for 32 bits aligns 64-bit members to 4 bytes only. */
struct blkif_layout {
    uint8_t entry_bytes, id, sector, segments, nr_sectors, pages;
    uint8_t response_op, response_status;
};

enum { MAX_ENTRY_BYTES = 112 };

static const struct blkif_layout layout_64 = { 112, 8, 16, 24, 24, 28, 8, 10 };
static const struct blkif_layout layout_32 = { 108, 4, 12, 20, 20, 24, 8, 10 };

static _Atomic(uint32_t) *index_of(const struct blkif_ring *ring, unsigned offset)
{
    return (_Atomic(uint32_t) *)(void *)(ring->shared + offset);
}

static uint8_t *entry_of(const struct blkif_ring *ring, uint32_t index)
{
    return ring->shared + HEAD_BYTES + (size_t)(index & (ring->entries - 1)) * ring->layout->entry_bytes;
}

int blkif_ring_init(struct blkif_ring *ring, void *shared, size_t bytes, unsigned bits)
{
    ring->shared = shared;
    ring->layout = bits == 32 ? &layout_32 : &layout_64;
    ring->entries = 1;
    while ((ring->entries * 2) * ring->layout->entry_bytes <= bytes - HEAD_BYTES)
        ring->entries *= 2;
    /* A ring that another back end served before goes on where that one stopped. */
    uint32_t rsp_prod = atomic_load_explicit(index_of(ring, RSP_PROD), memory_order_acquire);
    ring->req_cons = ring->rsp_prod = ring->rsp_pushed = rsp_prod;
    return blkif_ring_waiting(ring) < 0 ? -EPROTO : 0;
}

int blkif_ring_waiting(const struct blkif_ring *ring)
{
    uint32_t prod = atomic_load_explicit(index_of(ring, REQ_PROD), memory_order_acquire);
    /* Every slot from the first unanswered request on is the front end's to fill once only. */
    if (prod - ring->rsp_prod > ring->entries || prod - ring->rsp_prod < ring->req_cons - ring->rsp_prod)
        return -EPROTO;
    return (int)(prod - ring->req_cons);
}

static void get_segment(const uint8_t *at, struct blkif_segment *segment)
{
    segment->ref = le32_get(at);
    segment->first = at[4];
    segment->last = at[5];
}

void blkif_segment_get(const uint8_t *page, unsigned i, struct blkif_segment *segment)
{
    get_segment(page + (size_t)i * BLKIF_SEGMENT_BYTES, segment);
}

void blkif_ring_take(struct blkif_ring *ring, struct blkif_entry *entry)
{
    const struct blkif_layout *l = ring->layout;
    uint8_t copy[MAX_ENTRY_BYTES];
    memcpy(copy, entry_of(ring, ring->req_cons++), l->entry_bytes);
    atomic_signal_fence(memory_order_seq_cst); /* from here on the compiler can't go back to the guest's bytes */
    *entry = (struct blkif_entry){ .op = copy[OP], .id = le64_get(copy + l->id), .sector = le64_get(copy + l->sector) };
    if (entry->op == BLKIF_OP_INDIRECT) {
        entry->indirect_op = copy[COUNT];
        entry->nr_segments = le16_get(copy + INDIRECT_COUNT);
        for (unsigned i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++)
            entry->pages[i] = le32_get(copy + l->pages + 4 * i);
    } else if (entry->op == BLKIF_OP_DISCARD) {
        entry->flag = copy[COUNT];
        entry->nr_sectors = le64_get(copy + l->nr_sectors);
    } else {
        entry->nr_segments = copy[COUNT];
        for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
            get_segment(copy + l->segments + i * BLKIF_SEGMENT_BYTES, &entry->segments[i]);
    }
}

void blkif_ring_respond(struct blkif_ring *ring, uint64_t id, uint8_t op, int16_t status)
{
    uint8_t *at = entry_of(ring, ring->rsp_prod++);
    le64_put(at, id);
    at[ring->layout->response_op] = op;
    le16_put(at + ring->layout->response_status, (uint16_t)status);
}

bool blkif_ring_push(struct blkif_ring *ring)
{
    uint32_t nr = ring->rsp_prod - ring->rsp_pushed;
    if (nr == 0)
        return false;
    ring->rsp_pushed = ring->rsp_prod;
    atomic_store_explicit(index_of(ring, RSP_PROD), ring->rsp_prod, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* the answers are seen before its wish is looked at */
    uint32_t event = atomic_load_explicit(index_of(ring, RSP_EVENT), memory_order_relaxed);
    return ring->rsp_prod - event < nr;
}

bool blkif_ring_sleep(struct blkif_ring *ring, unsigned nr)
{
    atomic_store_explicit(index_of(ring, REQ_EVENT), ring->req_cons + nr, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* the wish is seen before the last look */
    int waiting = blkif_ring_waiting(ring);
    return waiting < 0 || (unsigned)waiting >= nr;
}
