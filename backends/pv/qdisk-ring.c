/*
 * The way of a PV disk request: from the ring, checked, to the image and back. What waits in the ring is taken in one
 * go: data that is to be copied then costs one call for all of it, neighbours on the disk become one request to the
 * image, and the answers of a round one notification at most.
 * Source: xen/include/public/io/blkif.h.
 */
#include "qdisk-private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void list_init(struct qdisk_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_add(struct qdisk_list *list, struct qdisk_req *req)
{
    req->next = NULL;
    *list->last = req;
    list->last = &req->next;
}

static struct qdisk_req *list_take(struct qdisk_list *list)
{
    struct qdisk_req *req = list->first;
    if (!req)
        return NULL;
    list->first = req->next;
    if (!list->first)
        list->last = &list->first;
    return req;
}

void qdisk_ring_open(struct qdisk *d)
{
    d->free_reqs = d->stalled = d->fence = NULL;
    d->fence_runs = false;
    d->in_flight = 0;
    list_init(&d->ended);
    for (uint32_t i = d->ring.entries; i-- > 0;) {
        d->reqs[i].disk = d;
        d->reqs[i].next = d->free_reqs;
        d->free_reqs = &d->reqs[i];
    }
}

static void put_free(struct qdisk *d, struct qdisk_req *req)
{
    req->next = d->free_reqs;
    d->free_reqs = req;
}

/* --- Answers --- */

static void answer(struct qdisk *d, struct qdisk_req *req, int err)
{
    int16_t status = err == 0 ? BLKIF_RSP_OKAY : err == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
    blkif_ring_respond(&d->ring, req->id, req->op, status);
    put_free(d, req);
}

static void push(struct qdisk *d)
{
    if (blkif_ring_push(&d->ring))
        pv_notify(&d->dev);
}

/* --- What a front end asks for; nothing of it is to be believed --- */

static int refuse(struct qdisk *d, int err, const char *why, uint64_t value)
{
    log_limited(pv_config(&d->dev)->log, LOG_WARN, &d->dev.log_rate, d->dev.who,
                "the guest's request is refused: %s (%" PRIu64 ")", why, value);
    return err;
}

static int add_segment(struct qdisk *d, struct qdisk_req *req, const struct blkif_segment *s)
{
    if (s->last < s->first || s->last >= BLKIF_PAGE_SECTORS)
        return refuse(d, -EINVAL, "sectors out of the page", (uint64_t)s->first << 8 | s->last);
    uint8_t count = (uint8_t)(s->last - s->first + 1);
    req->segments[req->nr_segments++] = (struct qdisk_segment){ s->ref, s->first, count, QDISK_NONE, QDISK_NONE };
    req->len += (uint64_t)count * BLKIF_SECTOR;
    return 0;
}

static int direct_segments(struct qdisk *d, struct qdisk_req *req, const struct blkif_entry *e)
{
    if (e->nr_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
        return refuse(d, -EINVAL, "too many segments", e->nr_segments);
    int err = 0;
    for (unsigned i = 0; i < e->nr_segments && !err; i++)
        err = add_segment(d, req, &e->segments[i]);
    return err;
}

static int indirect_segments(struct qdisk *d, struct qdisk_req *req, const struct blkif_entry *e)
{
    /* As many as are offered fit in the first page. */
    uint8_t page[QDISK_MAX_SEGMENTS * BLKIF_SEGMENT_BYTES];
    static_assert(sizeof(page) <= PAGE_BYTES, "segments need a second page");
    if (e->nr_segments == 0 || e->nr_segments > QDISK_MAX_SEGMENTS)
        return refuse(d, -EINVAL, "number of indirect segments", e->nr_segments);
    int err = qdisk_data_fetch(d, e->pages[0], page, (uint16_t)(e->nr_segments * BLKIF_SEGMENT_BYTES));
    if (err)
        return refuse(d, err, "no such page of segments", e->pages[0]);
    for (unsigned i = 0; i < e->nr_segments && !err; i++) {
        struct blkif_segment s;
        blkif_segment_get(page, i, &s);
        err = add_segment(d, req, &s);
    }
    return err;
}

/* What is transferred, or discarded, lies on the disk. */
static int place(struct qdisk *d, struct qdisk_req *req, uint64_t sector)
{
    uint64_t size = d->block->size_bytes;
    if (sector > size / BLKIF_SECTOR || req->len > size - sector * BLKIF_SECTOR)
        return refuse(d, -EINVAL, "beyond the end of the disk", sector);
    req->offset = sector * BLKIF_SECTOR;
    return 0;
}

static int parse_discard(struct qdisk *d, struct qdisk_req *req, const struct blkif_entry *e)
{
    if (e->flag & BLKIF_DISCARD_SECURE)
        return -EOPNOTSUPP; /* to ignore it would be a promise that old data can't be read any more */
    if (!d->block->discard)
        return -EOPNOTSUPP;
    if (e->nr_sectors > d->block->size_bytes / BLKIF_SECTOR)
        return refuse(d, -EINVAL, "beyond the end of the disk", e->nr_sectors);
    req->main = BLOCK_DISCARD;
    req->len = e->nr_sectors * BLKIF_SECTOR;
    return place(d, req, e->sector);
}

static int parse_transfer(struct qdisk *d, struct qdisk_req *req, const struct blkif_entry *e)
{
    req->write = req->op != BLKIF_OP_READ;
    req->main = req->write ? BLOCK_WRITE : BLOCK_READ;
    if (req->op == BLKIF_OP_WRITE_BARRIER)
        req->steps = STEP_FLUSH_BEFORE | STEP_MAIN | STEP_FLUSH_AFTER;
    else if (req->op == BLKIF_OP_FLUSH_DISKCACHE)
        req->steps = STEP_FLUSH_BEFORE | STEP_MAIN;
    if (e->nr_segments == 0) {
        req->steps = STEP_FLUSH_BEFORE;
        return req->op == BLKIF_OP_WRITE_BARRIER || req->op == BLKIF_OP_FLUSH_DISKCACHE
                   ? 0
                   : refuse(d, -EINVAL, "number of segments", 0);
    }
    if (req->write && d->block->read_only)
        return refuse(d, -EROFS, "the disk is read-only", e->sector);
    int err = e->op == BLKIF_OP_INDIRECT ? indirect_segments(d, req, e) : direct_segments(d, req, e);
    return err ? err : place(d, req, e->sector);
}

static int parse(struct qdisk *d, struct qdisk_req *req, const struct blkif_entry *e)
{
    req->id = e->id;
    req->op = e->op == BLKIF_OP_INDIRECT ? e->indirect_op : e->op;
    req->steps = STEP_MAIN;
    req->offset = req->len = 0;
    req->nr_segments = req->nr_vecs = req->nr_mapped = 0;
    req->failed = req->write = false;
    req->merged = NULL;
    if (!d->block)
        return -EIO; /* no medium */
    switch (e->op) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_FLUSH_DISKCACHE: return parse_transfer(d, req, e);
    case BLKIF_OP_DISCARD: return parse_discard(d, req, e);
    case BLKIF_OP_INDIRECT:
        if (e->indirect_op == BLKIF_OP_READ || e->indirect_op == BLKIF_OP_WRITE)
            return parse_transfer(d, req, e);
        return refuse(d, -EOPNOTSUPP, "operation with indirect segments", e->indirect_op);
    }
    return refuse(d, -EOPNOTSUPP, "operation", e->op);
}

/* --- To the image --- */

static void io_done(struct block_req *io, int err)
{
    struct qdisk_req *req = io->opaque;
    struct qdisk *d = req->disk;
    io->result = err;
    list_add(&d->ended, req);
    task_post(&d->task); /* those that end in the same round are answered together */
}

/* The next step of req and of those merged to it. */
static void submit_step(struct qdisk *d, struct qdisk_req *req)
{
    unsigned step = req->steps & -(unsigned)req->steps; /* the lowest bit */
    req->steps &= (uint8_t)~step;
    req->io = (struct block_req){ .op = step == STEP_MAIN ? req->main : BLOCK_FLUSH, .done = io_done, .opaque = req };
    if (step == STEP_MAIN) {
        req->io.offset = req->offset;
        req->io.len = req->len;
        req->io.vec = req->vecs;
        req->io.nvec = req->nr_vecs;
        for (const struct qdisk_req *m = req->merged; m; m = m->merged)
            req->io.len += m->len;
    }
    d->in_flight++;
    if (d->block)
        block_submit(d->block, &req->io);
    else
        io_done(&req->io, -EIO); /* the medium was taken out while it waited */
}

/* Whether next goes on where the chain of head, which ends at byte end of the disk, stops. */
static bool fits(const struct qdisk_req *head, uint64_t end, const struct qdisk_req *next)
{
    return head->steps == STEP_MAIN && next->steps == STEP_MAIN && head->main == next->main &&
           head->main != BLOCK_DISCARD && end == next->offset && head->nr_vecs + next->nr_vecs <= QDISK_MAX_SEGMENTS;
}

/* Submit what was begun in this round, oldest first. */
static void submit_all(struct qdisk *d, struct qdisk_list *begun)
{
    struct qdisk_req *req;
    while ((req = list_take(begun)) != NULL) {
        if (req->failed) {
            (void)refuse(d, -EFAULT, "a page is not there", req->offset / BLKIF_SECTOR);
            qdisk_data_end(d, req);
            answer(d, req, -EFAULT);
            continue;
        }
        uint64_t end = req->offset + req->len;
        struct qdisk_req *last = req, *next;
        while ((next = begun->first) != NULL && !next->failed && fits(req, end, next)) {
            (void)list_take(begun);
            memcpy(&req->vecs[req->nr_vecs], next->vecs, next->nr_vecs * sizeof(next->vecs[0]));
            req->nr_vecs = (uint16_t)(req->nr_vecs + next->nr_vecs);
            end += next->len;
            last = last->merged = next;
        }
        submit_step(d, req);
    }
}

/* Memory for its data, and off it goes with the others of the round; or the answer that it can't be. */
static bool begin(struct qdisk *d, struct qdisk_req *req, struct qdisk_list *begun)
{
    int err = qdisk_data_begin(d, req);
    if (err == -EAGAIN) {
        d->stalled = req;
        return false;
    }
    if (err)
        answer(d, req, refuse(d, err, "a page is not there", req->offset / BLKIF_SECTOR));
    else
        list_add(begun, req);
    return true;
}

/* The next request to begin. NULL: none now; *left: how many more to look at in this round. */
static struct qdisk_req *next_request(struct qdisk *d, unsigned *left)
{
    struct qdisk_req *req = d->stalled;
    d->stalled = NULL;
    while (!req && !d->fence && *left > 0) {
        struct blkif_entry e;
        int waiting = blkif_ring_waiting(&d->ring);
        if (waiting < 0) {
            (void)pv_error(&d->dev, waiting, "the front end moved its ring index too far; disconnected");
            d->closing = true;
            pv_fail(&d->dev);
        }
        if (waiting <= 0)
            return NULL;
        --*left;
        blkif_ring_take(&d->ring, &e);
        struct qdisk_req *taken = d->free_reqs; /* as many as the ring has entries: there is one */
        d->free_reqs = taken->next;
        int err = parse(d, taken, &e);
        if (err)
            answer(d, taken, err);
        else if (taken->op == BLKIF_OP_WRITE_BARRIER)
            d->fence = taken; /* goes alone */
        else
            req = taken;
    }
    return req;
}

static void answer_chain(struct qdisk *d, struct qdisk_req *req, int err)
{
    while (req) {
        struct qdisk_req *merged = req->merged;
        qdisk_data_end(d, req);
        if (d->fence == req) {
            d->fence = NULL;
            d->fence_runs = false;
        }
        answer(d, req, err ? err : req->failed ? -EFAULT : 0);
        req = merged;
    }
}

/* A barrier goes when all before it has ended; what is behind it waits in the ring. */
static void start_fence(struct qdisk *d)
{
    struct qdisk_req *fence = d->fence;
    if (!fence || d->fence_runs || d->in_flight > 0)
        return;
    int err = qdisk_data_begin(d, fence);
    qdisk_data_run(d);
    d->fence_runs = !err && !fence->failed;
    if (d->fence_runs)
        submit_step(d, fence);
    else
        answer_chain(d, fence, refuse(d, -EFAULT, "a page is not there", fence->offset / BLKIF_SECTOR));
}

static bool may_serve(const struct qdisk *d)
{
    return d->reqs && !d->closing && !pv_paused(&d->dev);
}

/* taken: requests of this round. False: others wait already. */
static bool sleep_till_next(struct qdisk *d, unsigned taken)
{
    return blkif_ring_waiting(&d->ring) == 0 && !blkif_ring_sleep(&d->ring, qdisk_pace_next(&d->pace, taken));
}

void qdisk_serve(struct qdisk *d)
{
    struct qdisk_list begun;
    struct qdisk_req *req;
    unsigned left = d->ring.entries;
    if (!may_serve(d))
        return;
    list_init(&begun);
    while ((req = next_request(d, &left)) != NULL && begin(d, req, &begun))
        continue;
    qdisk_data_run(d);
    submit_all(d, &begun);
    start_fence(d);
    push(d);
    if (!d->stalled && !d->fence && !d->closing && !sleep_till_next(d, d->ring.entries - left))
        task_post(&d->task);
}

/* --- Back from it --- */

static void report(struct qdisk *d, const struct qdisk_req *req)
{
    log_limited(pv_config(&d->dev)->log, LOG_ERROR, &d->dev.log_rate, d->dev.who,
                "%s at sector %" PRIu64 " failed: %s; reported to the guest",
                req->io.op == BLOCK_READ    ? "reading"
                : req->io.op == BLOCK_WRITE ? "writing"
                : req->io.op == BLOCK_FLUSH ? "a flush"
                                            : "a discard",
                req->offset / BLKIF_SECTOR, strerror(-req->io.result));
}

/* Answer what ended, or go on with its next step. */
static void finish_ended(struct qdisk *d)
{
    struct qdisk_list done, ended = d->ended;
    struct qdisk_req *req;
    if (!ended.first)
        return;
    list_init(&d->ended);
    list_init(&done);
    while ((req = list_take(&ended)) != NULL) {
        d->in_flight--;
        if (req->io.result)
            report(d, req);
        if (!req->io.result && req->steps && !req->failed) {
            submit_step(d, req);
            continue;
        }
        for (struct qdisk_req *m = req; m && !req->io.result && req->main == BLOCK_READ; m = m->merged)
            qdisk_data_out(d, m);
        list_add(&done, req);
    }
    qdisk_data_run(d);
    while ((req = list_take(&done)) != NULL)
        answer_chain(d, req, req->io.result);
}

void qdisk_run(void *opaque)
{
    struct qdisk *d = opaque;
    if (!d->reqs)
        return;
    finish_ended(d);
    qdisk_serve(d);
    push(d); /* serve() may not be allowed to */
    if (d->closing && d->in_flight == 0)
        pv_kick(&d->dev);
}

void qdisk_drain(struct qdisk *d)
{
    while (d->in_flight > 0) {
        if (d->block)
            block_drain(d->block);
        finish_ended(d);
    }
    if (d->reqs)
        push(d);
}
