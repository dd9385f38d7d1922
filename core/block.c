/* What all disk back ends share: checks, counters, order of completion. See block.h. */
#include "block-private.h"

#include <assert.h>
#include <errno.h>
#include <thindm/trace.h>

/* Not the guest's clock: reading that leaves a mark in a trace. */
static uint64_t now_ns(const struct block *block)
{
    return block->loop->host->now_ns(block->loop->host_opaque);
}

static void count_and_finish(struct block_req *req, int err)
{
    struct block *block = req->block;
    struct trace *trace = block->trace; /* done() may lead to the end of block */
    assert(block->in_flight > 0);
    if (trace)
        trace->ops->block_done(trace, req, &err);
    block->in_flight--;
    block->stats.last_ns = now_ns(block);
    block->stats.ns[req->op] += block->stats.last_ns - req->start_ns;
    if (err) {
        block->stats.errors[req->op]++;
    } else {
        block->stats.ops[req->op]++;
        block->stats.bytes[req->op] += req->op == BLOCK_FLUSH ? 0 : req->len;
        if (req->op == BLOCK_WRITE && req->offset + req->len > block->stats.highest)
            block->stats.highest = req->offset + req->len;
    }
    req->done(req, err); /* may submit req again */
    trace_end(trace);
}

static void run_rejected(void *opaque)
{
    struct block *block = opaque;
    struct block_req *req = block->rejected, *next;
    block->rejected = NULL; /* take the whole queue: what done() submits waits for the next round */
    for (; req; req = next) {
        next = req->next;
        block->stats.rejected[req->op] += req->result != 0; /* or it was empty */
        count_and_finish(req, req->result);
    }
}

void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size_bytes,
                uint32_t sector_bytes)
{
    assert(is_pow2(sector_bytes));
    block->ops = ops;
    block->loop = loop;
    block->sector_bytes = sector_bytes;
    block->size_bytes = size_bytes - size_bytes % sector_bytes;
    block->stats = (struct block_stats){ 0 };
    block->in_flight = 0;
    block->rejected = block->held = NULL;
    block->policy = (struct block_policy){ 0 };
    block->draining = false;
    block->told_ns = 0;
    block->trace = NULL;
    block->trace_id = block->trace_nr = 0;
    task_init(&block->reject_task, loop, run_rejected, block);
}

void block_done(struct block_req *req, int err)
{
    if (err && req->block->policy.errors)
        err = block_judge(req, err);
    if (err != BLOCK_HELD)
        count_and_finish(req, err);
}

static bool vec_matches(const struct block_req *req)
{
    uint64_t left = req->len;
    for (size_t i = 0; i < req->nvec; i++) {
        if (req->vec[i].len > left)
            return false;
        left -= req->vec[i].len;
    }
    return left == 0;
}

static int check(const struct block *block, const struct block_req *req)
{
    if (req->op == BLOCK_FLUSH)
        return 0;
    if ((req->op == BLOCK_WRITE || req->op == BLOCK_DISCARD) && block->read_only)
        return -EROFS;
    if (req->op == BLOCK_DISCARD && !block->discard)
        return -EOPNOTSUPP;
    if ((req->offset | req->len) & (block->sector_bytes - 1))
        return -EINVAL;
    if (req->offset > block->size_bytes || req->len > block->size_bytes - req->offset)
        return -EINVAL;
    return req->op == BLOCK_DISCARD || vec_matches(req) ? 0 : -EINVAL;
}

void block_submit(struct block *block, struct block_req *req)
{
    assert((unsigned)req->op < BLOCK_NR_OPS);
    req->block = block;
    req->next = NULL;
    req->progress = 0;
    req->result = check(block, req);
    req->start_ns = now_ns(block);
    block->in_flight++;
    req->trace_nr = ++block->trace_nr;
    if (block->trace)
        block->trace->ops->block_submit(block->trace, req);
    if (req->result == 0 && (req->op == BLOCK_FLUSH || req->len > 0)) {
        block->ops->submit(block, req);
        return;
    }
    struct block_req **link = &block->rejected;
    while (*link)
        link = &(*link)->next;
    *link = req;
    task_post(&block->reject_task);
}

bool block_grew(struct block *block)
{
    uint64_t size = block->ops->measure ? block->ops->measure(block) : 0;
    size -= size % block->sector_bytes;
    if (size <= block->size_bytes)
        return false;
    block->size_bytes = size;
    return true;
}

void block_drain(struct block *block)
{
    bool was = block->draining;
    block->draining = true;
    block_retry(block);
    /* done() may submit the next piece: again until nothing is left. */
    while (block->in_flight > 0) {
        run_rejected(block);
        if (block->in_flight > 0)
            block->ops->drain(block);
    }
    block->draining = was;
}

void block_close(struct block *block)
{
    if (!block)
        return;
    block_drain(block);
    task_cancel(&block->reject_task);
    block->ops->close(block);
}
