/* A disk of zeros: reads give zeros, writes vanish. For tests, benches and fuzzers, on every host. */
#include "block-null.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct block_null {
    struct block block;
    struct task kick;
    struct block_req *first, **last; /* submitted, oldest first; each belongs to the device */
};

static void null_run(void *opaque)
{
    struct block_null *b = opaque;
    struct block_req *req = b->first, *next;
    b->first = NULL; /* take the whole queue: done() may submit again */
    b->last = &b->first;
    for (; req; req = next) {
        next = req->next; /* done() may reuse req */
        for (size_t i = 0; req->op == BLOCK_READ && i < req->nvec; i++)
            memset(req->vec[i].ptr, 0, req->vec[i].len);
        block_done(req, 0);
    }
}

/* block_submit() in core has checked range, alignment and read-only; a back end doesn't repeat that. */
static void null_submit(struct block *block, struct block_req *req)
{
    struct block_null *b = container_of(block, struct block_null, block);
    req->next = NULL;
    *b->last = req;
    b->last = &req->next;
    task_post(&b->kick); /* never done() from inside submit(): the device is mid-register-write */
}

static void null_drain(struct block *block)
{
    struct block_null *b = container_of(block, struct block_null, block);
    while (b->first)
        null_run(b);
}

static void null_close(struct block *block) /* drains; after it returns no done() comes */
{
    struct block_null *b = container_of(block, struct block_null, block);
    null_drain(block);
    task_cancel(&b->kick);
    free(b);
}

static const struct block_ops null_ops = { null_submit, null_drain, null_close };

int block_null_open(struct loop *loop, uint64_t size_bytes, struct block **out)
{
    struct block_null *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    block_init(&b->block, &null_ops, loop, size_bytes, 512);
    b->block.discard = true;
    b->last = &b->first;
    task_init(&b->kick, loop, null_run, b);
    *out = &b->block;
    return 0;
}
