/*
 * What becomes of an error of a disk's back end: werror= and rerror= of -drive. A request that stops the guest is kept
 * here and looks to its device like a slow one.
 */
#include "block-private.h"

#include <errno.h>
#include <string.h>

#define TELL_NS NS_PER_S

void block_set_policy(struct block *block, const struct block_policy *policy)
{
    block->policy = *policy;
}

static enum block_action action_of(const struct block_req *req, int err)
{
    const struct block *block = req->block;
    enum block_action action = req->op == BLOCK_READ ? block->policy.read_error : block->policy.write_error;
    if (action == BLOCK_ENOSPC)
        action = err == -ENOSPC ? BLOCK_STOP : BLOCK_REPORT;
    return action == BLOCK_STOP && block->draining ? BLOCK_REPORT : action;
}

static void tell(const struct block_req *req, enum block_action action, int err)
{
    struct block *block = req->block;
    struct block_errors *errors = block->policy.errors;
    uint64_t now = block->loop->host->now_ns(block->loop->host_opaque);
    /* A guest that tries again and again must not flood the monitor. */
    if (action != BLOCK_STOP && block->told_ns > 0 && now - block->told_ns < TELL_NS)
        return;
    if (action != BLOCK_STOP)
        block->told_ns = now;
    if (errors->told)
        errors->told(errors->opaque, &(struct block_error){ block->policy.device, req->op, action, err });
}

static void hold(struct block_req *req)
{
    struct block *block = req->block;
    struct block_req **link = &block->held;
    if (!block->held) {
        block->next_stopped = block->policy.errors->stopped;
        block->policy.errors->stopped = block;
    }
    while (*link)
        link = &(*link)->next;
    req->next = NULL;
    *link = req;
}

int block_judge(struct block_req *req, int err)
{
    enum block_action action = action_of(req, err);
    tell(req, action, err);
    if (action == BLOCK_STOP) {
        hold(req);
        return BLOCK_HELD;
    }
    if (action == BLOCK_REPORT)
        return err;
    for (size_t i = 0; req->op == BLOCK_READ && i < req->nvec; i++)
        memset(req->vec[i].ptr, 0, req->vec[i].len); /* better than what somebody left there */
    return 0;
}

void block_retry(struct block *block)
{
    struct block_req *req = block->held, *next;
    if (!req)
        return;
    struct block **link = &block->policy.errors->stopped;
    while (*link != block)
        link = &(*link)->next_stopped;
    *link = block->next_stopped;
    block->held = NULL; /* take them all: what fails again waits for the next time */
    for (; req; req = next) {
        next = req->next;
        req->next = NULL;
        req->progress = 0;
        req->result = 0;
        block->ops->submit(block, req);
    }
}

void block_errors_retry(struct block_errors *errors)
{
    while (errors->stopped) /* ends: submit() never fails a request before it returns */
        block_retry(errors->stopped);
}
