/*
 * The way of a disk request to the back end and back. The data lies in pages of the guest, which we can't grant, or of
 * ours: it is always copied through the pool, whose pages stay granted. A response is copied out of the ring, and what
 * it says is compared with what is known: the entry must be on its way. See blkfront-private.h.
 */
#include "blkfront-private.h"

#include "../kernel/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A back end that gives no answer for so long won't give one any more: the guest's device mustn't wait for ever. */
#define DRAIN_NS (120 * NS_PER_S)

static void queue_init(struct blkfront_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_push(struct blkfront_queue *queue, struct block_req *req)
{
    req->next = NULL;
    *queue->last = req;
    queue->last = &req->next;
}

static struct block_req *queue_pop(struct blkfront_queue *queue)
{
    struct block_req *req = queue->first;
    if (!req)
        return NULL;
    queue->first = req->next;
    if (!queue->first)
        queue->last = &queue->first;
    return req;
}

void blkfront_io_init(struct blkfront *b)
{
    queue_init(&b->waiting);
    queue_init(&b->ended);
    b->pool_first = BLKFRONT_NO_PAGE;
    b->pool_free = (uint16_t)b->pool.nr;
    for (size_t i = b->pool.nr; i-- > 0;) {
        b->pool_next[i] = b->pool_first;
        b->pool_first = (uint16_t)i;
    }
}

/* --- The pool --- */

static uint8_t *page_at(const struct blkfront *b, uint16_t page)
{
    return b->pool.at + (size_t)page * PAGE_BYTES;
}

static uint16_t take_page(struct blkfront *b)
{
    uint16_t page = b->pool_first;
    assert(b->pool_free > 0 && page < b->pool.nr);
    b->pool_first = b->pool_next[page];
    b->pool_free--;
    return page;
}

static void give_page(struct blkfront *b, uint16_t page)
{
    b->pool_next[page] = b->pool_first;
    b->pool_first = page;
    b->pool_free++;
}

static void give_pages(struct blkfront *b, struct blkfront_piece *piece)
{
    while (piece->pages != BLKFRONT_NO_PAGE) {
        uint16_t page = piece->pages;
        piece->pages = b->pool_next[page];
        give_page(b, page);
    }
    if (piece->segments != BLKFRONT_NO_PAGE)
        give_page(b, piece->segments);
    piece->segments = BLKFRONT_NO_PAGE;
}

/* All bytes of the piece, between its pages and the request's memory. */
static void copy(const struct blkfront *b, const struct blkfront_piece *piece, bool to_request)
{
    const struct vec *vec = piece->req->vec;
    uint64_t at = piece->at, left = piece->bytes;
    uint16_t page = piece->pages;
    size_t in_page = 0;
    while (left > 0) {
        if (at >= vec->len) { /* ends: the vectors are as long as the request */
            at -= vec++->len;
            continue;
        }
        uint8_t *ours = page_at(b, page) + in_page, *theirs = (uint8_t *)vec->ptr + at;
        size_t n = min_u64(min_u64(vec->len - at, PAGE_BYTES - in_page), left);
        memcpy(to_request ? theirs : ours, to_request ? ours : theirs, n);
        at += n;
        left -= n;
        in_page += n;
        if (in_page == PAGE_BYTES) {
            page = b->pool_next[page];
            in_page = 0;
        }
    }
}

/* --- Ends --- */

/* A part of the request ended. With an error nothing more of it is begun. */
static void part_ended(struct blkfront *b, struct block_req *req, uint64_t bytes, int err)
{
    req->progress += bytes;
    req->result = req->result ? req->result : err;
    if (req->result && b->waiting.first == req) {
        req->progress += req->len - b->begun;
        b->begun = 0;
        (void)queue_pop(&b->waiting);
    }
    if (req->progress == req->len && b->waiting.first != req)
        queue_push(&b->ended, req);
}

void blkfront_give_up(struct blkfront *b, const char *why)
{
    if (b->broken)
        return;
    b->broken = true;
    (void)front_error(&b->front, -EIO, "%s; requests to this disk fail from now on", why);
    for (size_t i = 0; i < ARRAY_SIZE(b->pieces); i++) {
        struct blkfront_piece *piece = &b->pieces[i];
        struct block_req *req = piece->req;
        if (!req)
            continue;
        piece->req = NULL; /* its pages are never used again: the back end may write to them at any time */
        b->nr_pieces--;
        part_ended(b, req, piece->bytes, -EIO);
    }
    task_post(&b->kick); /* for those that ended, and those that wait */
}

static void tell_no_flush(struct blkfront *b)
{
    if (!b->flush_told)
        log_print(b->front.log, LOG_WARN, b->front.who,
                  "the back end can't flush; the guest's flushes end well, and its data may be lost with the host");
    b->flush_told = true;
}

static int status_error(struct blkfront *b, enum block_op op, int16_t status)
{
    if (status == BLKIF_RSP_OKAY)
        return 0;
    if (status != BLKIF_RSP_EOPNOTSUPP)
        return -EIO;
    if (op == BLOCK_DISCARD) {
        b->block.discard = false;
        return 0; /* the data stays: that is allowed */
    }
    if (op != BLOCK_FLUSH)
        return -EIO;
    tell_no_flush(b);
    b->flush = BLKFRONT_FLUSH_NONE; /* it announced what it can't do [blkif.h, "feature-flush-cache"] */
    return 0;
}

static void response(struct blkfront *b, const struct blkif_response *rsp)
{
    if (rsp->id >= ARRAY_SIZE(b->pieces) || !b->pieces[rsp->id].req) {
        blkfront_give_up(b, "the back end answers what it wasn't asked");
        return;
    }
    struct blkfront_piece *piece = &b->pieces[rsp->id];
    struct block_req *req = piece->req;
    int err = status_error(b, req->op, rsp->status);
    if (!err && req->op == BLOCK_READ)
        copy(b, piece, true);
    give_pages(b, piece);
    piece->req = NULL;
    b->nr_pieces--;
    part_ended(b, req, piece->bytes, err);
}

/* What is in the ring now: never more than we asked for. */
static void collect(struct blkfront *b)
{
    int waiting = front_ring_waiting(&b->ring);
    if (waiting < 0)
        blkfront_give_up(b, "the back end moved its ring index too far");
    for (; waiting > 0 && !b->broken; waiting--) {
        struct blkif_response rsp;
        front_ring_response(&b->ring, &rsp, sizeof(rsp));
        response(b, &rsp);
    }
}

static void deliver(struct blkfront *b)
{
    struct block_req *req;
    while ((req = queue_pop(&b->ended)) != NULL)
        block_done(req, req->result); /* may submit; that waits for the task */
}

/* --- Beginnings --- */

static struct blkfront_piece *free_piece(struct blkfront *b)
{
    if (b->nr_pieces >= b->ring.nr)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(b->pieces); i++) {
        if (!b->pieces[i].req)
            return &b->pieces[i];
    }
    return NULL;
}

static struct blkfront_piece *begin(struct blkfront *b, struct blkfront_piece *piece, uint64_t bytes)
{
    struct block_req *req = b->waiting.first;
    *piece = (struct blkfront_piece){
        .req = req, .at = b->begun, .bytes = bytes, .pages = BLKFRONT_NO_PAGE, .segments = BLKFRONT_NO_PAGE
    };
    b->nr_pieces++;
    b->begun += bytes;
    if (b->begun == req->len) {
        b->begun = 0;
        (void)queue_pop(&b->waiting);
    }
    return piece;
}

static uint64_t piece_id(const struct blkfront *b, const struct blkfront_piece *piece)
{
    return (uint64_t)(piece - b->pieces);
}

static uint64_t piece_sector(const struct blkfront_piece *piece)
{
    return (piece->req->offset + piece->at) / BLKFRONT_SECTOR;
}

/* False: the pieces before it have to end first. */
static bool begin_flush(struct blkfront *b)
{
    struct blkfront_piece *piece = free_piece(b);
    if (!piece)
        return false;
    begin(b, piece, 0);
    struct blkif_request *entry = front_ring_request(&b->ring);
    entry->operation = b->flush == BLKFRONT_FLUSH_CACHE ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_WRITE_BARRIER;
    entry->handle = b->handle;
    entry->id = piece_id(b, piece);
    return true;
}

static bool begin_discard(struct blkfront *b)
{
    struct blkfront_piece *piece = free_piece(b);
    if (!piece)
        return false;
    begin(b, piece, b->waiting.first->len);
    struct blkif_request_discard *entry = front_ring_request(&b->ring);
    entry->operation = BLKIF_OP_DISCARD;
    entry->handle = b->handle;
    entry->id = piece_id(b, piece);
    entry->sector_number = piece_sector(piece);
    entry->nr_sectors = piece->bytes / BLKFRONT_SECTOR;
    return true;
}

/* A page of the pool for each segment, linked in their order; the segments that say so. */
static void take_pages(struct blkfront *b, struct blkfront_piece *piece, struct blkif_request_segment *segments)
{
    uint16_t *link = &piece->pages;
    uint64_t left = piece->bytes;
    for (; left > 0; segments++) {
        uint64_t bytes = min_u64(left, PAGE_BYTES);
        uint16_t page = take_page(b);
        segments->gref = b->pool.refs[page];
        segments->first_sect = 0;
        segments->last_sect = (uint8_t)(bytes / BLKFRONT_SECTOR - 1);
        *link = page;
        link = &b->pool_next[page];
        left -= bytes;
    }
    *link = BLKFRONT_NO_PAGE;
}

static void put_direct(struct blkfront *b, struct blkfront_piece *piece, uint8_t op, uint8_t nr)
{
    struct blkif_request *entry = front_ring_request(&b->ring);
    entry->operation = op;
    entry->nr_segments = nr;
    entry->handle = b->handle;
    entry->id = piece_id(b, piece);
    entry->sector_number = piece_sector(piece);
    take_pages(b, piece, entry->seg);
}

/* All segments fit in one page: max_segments is smaller. */
static void put_indirect(struct blkfront *b, struct blkfront_piece *piece, uint8_t op, uint16_t nr)
{
    struct blkif_request_indirect *entry = front_ring_request(&b->ring);
    piece->segments = take_page(b);
    entry->operation = BLKIF_OP_INDIRECT;
    entry->indirect_op = op;
    entry->nr_segments = nr;
    entry->handle = b->handle;
    entry->id = piece_id(b, piece);
    entry->sector_number = piece_sector(piece);
    entry->indirect_grefs[0] = b->pool.refs[piece->segments];
    take_pages(b, piece, (struct blkif_request_segment *)(void *)page_at(b, piece->segments));
}

static bool begin_transfer(struct blkfront *b)
{
    struct block_req *req = b->waiting.first;
    uint64_t bytes = min_u64(req->len - b->begun, (uint64_t)b->max_segments * PAGE_BYTES);
    uint16_t nr = (uint16_t)((bytes + PAGE_BYTES - 1) / PAGE_BYTES);
    bool indirect = nr > BLKIF_MAX_SEGMENTS_PER_REQUEST;
    struct blkfront_piece *piece = free_piece(b);
    if (!piece || b->pool_free < nr + indirect)
        return false;
    uint8_t op = req->op == BLOCK_READ ? BLKIF_OP_READ : BLKIF_OP_WRITE;
    begin(b, piece, bytes);
    if (indirect)
        put_indirect(b, piece, op, nr);
    else
        put_direct(b, piece, op, (uint8_t)nr);
    if (req->op == BLOCK_WRITE)
        copy(b, piece, false);
    return true;
}

/* The first that waits ends without the back end. */
static bool end_at_once(struct blkfront *b, int err)
{
    struct block_req *req = queue_pop(&b->waiting);
    req->result = req->result ? req->result : err;
    b->begun = 0;
    queue_push(&b->ended, req);
    return true;
}

/* A disk that can't be written has nothing to flush. */
static bool flush_at_once(struct blkfront *b)
{
    if (b->block.read_only)
        return true;
    if (b->flush == BLKFRONT_FLUSH_NONE)
        tell_no_flush(b);
    return b->flush == BLKFRONT_FLUSH_NONE;
}

/* Begin the first that waits, or its next piece. False: not now. */
static bool begin_first(struct blkfront *b)
{
    const struct block_req *req = b->waiting.first;
    if (b->broken)
        return end_at_once(b, -EIO);
    if (req->op == BLOCK_FLUSH)
        return flush_at_once(b) ? end_at_once(b, 0) : begin_flush(b);
    return req->op == BLOCK_DISCARD ? begin_discard(b) : begin_transfer(b);
}

static void start(struct blkfront *b)
{
    while (b->waiting.first && begin_first(b))
        continue;
    if (!b->broken && front_ring_push(&b->ring))
        (void)events_notify(b->front.port);
}

void blkfront_run(void *opaque)
{
    struct blkfront *b = opaque;
    if (!b->broken)
        collect(b);
    start(b);
    deliver(b);
    if (!b->broken && front_ring_sleep(&b->ring))
        task_post(&b->kick);
}

void blkfront_event(void *opaque, evtchn_port_t port)
{
    blkfront_run(opaque);
}

void blkfront_submit(struct block *block, struct block_req *req)
{
    struct blkfront *b = container_of(block, struct blkfront, block);
    queue_push(&b->waiting, req);
    task_post(&b->kick); /* all that a guest's write starts goes to the back end with one event */
}

void blkfront_drain(struct block *block)
{
    struct blkfront *b = container_of(block, struct blkfront, block);
    uint64_t deadline_ns = clock_now_ns() + DRAIN_NS;
    blkfront_run(b);
    while (b->nr_pieces > 0 || b->waiting.first || b->ended.first) {
        int err = 0;
        if (b->nr_pieces > 0 && front_ring_waiting(&b->ring) == 0) {
            err = events_wait_port(b->front.port, deadline_ns);
            (void)events_take(b->front.port);
        }
        if (err || clock_now_ns() >= deadline_ns)
            blkfront_give_up(b, "the back end gives no answer");
        blkfront_run(b);
    }
}
