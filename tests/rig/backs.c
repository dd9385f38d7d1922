/* Scripted back ends: a character device whose far end is the test, and a disk in memory. */
#include "rig-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig_chr {
    struct chr chr;
    struct rig *rig;
    struct task deliver;
};

static void deliver(void *opaque)
{
    struct rig_chr *c = opaque;
    struct rig *r = c->rig;
    while (c->chr.user && c->chr.user->recv && r->in_len > 0) {
        uint8_t piece[sizeof(r->in)];
        size_t len = c->chr.user->room ? c->chr.user->room(c->chr.opaque) : 0;
        if (len > r->in_len)
            len = r->in_len;
        if (len == 0)
            return;
        memcpy(piece, r->in, len);
        r->in_len -= len;
        memmove(r->in, r->in + len, r->in_len);
        c->chr.user->recv(c->chr.opaque, piece, len);
        if (r->chr != &c->chr)
            return; /* closed by the user */
    }
}

static size_t far_end_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct rig *r = container_of(chr, struct rig_chr, chr)->rig;
    if (len > sizeof(r->out) - r->out_len)
        len = sizeof(r->out) - r->out_len;
    memcpy(r->out + r->out_len, buf, len);
    r->out_len += len;
    return len;
}

static void far_end_resume(struct chr *chr)
{
    task_post(&container_of(chr, struct rig_chr, chr)->deliver);
}

static void far_end_close(struct chr *chr)
{
    struct rig_chr *c = container_of(chr, struct rig_chr, chr);
    task_cancel(&c->deliver);
    c->rig->chr_closed = true;
    c->rig->chr = NULL;
    free(c);
}

struct chr *rig_chr(struct rig *r)
{
    static const struct chr_ops ops = { .write = far_end_write, .resume = far_end_resume, .close = far_end_close };
    assert_null(r->chr); /* one at a time */
    struct rig_chr *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->chr.ops = &ops;
    c->chr.connected = true;
    c->rig = r;
    (void)snprintf(c->chr.label, sizeof(c->chr.label), "rig");
    task_init(&c->deliver, &r->loop, deliver, c);
    r->chr = &c->chr;
    r->chr_closed = false;
    return r->chr;
}

void rig_feed(struct rig *r, const char *text)
{
    size_t len = strlen(text);
    rig_note(r, "feed");
    rig_record_bytes(r, "bytes", (const uint8_t *)text, len);
    assert_true(len <= sizeof(r->in) - r->in_len);
    memcpy(r->in + r->in_len, text, len);
    r->in_len += len;
    if (r->chr)
        chr_resume(r->chr);
    rig_settle(r);
}

static void run_request(struct rig_disk *disk, struct block_req *req)
{
    uint8_t *at = disk->data + req->offset;
    bool failing = disk->fail && req->op == disk->fail_op;
    if (req->op == BLOCK_FLUSH && !failing)
        disk->flushes++;
    if (req->op == BLOCK_DISCARD && !failing)
        memset(at, 0, req->len);
    for (size_t i = 0; !failing && (req->op == BLOCK_READ || req->op == BLOCK_WRITE) && i < req->nvec; i++) {
        if (req->vec[i].len == 0)
            continue;
        if (req->op == BLOCK_READ)
            memcpy(req->vec[i].ptr, at, req->vec[i].len);
        else
            memcpy(at, req->vec[i].ptr, req->vec[i].len);
        at += req->vec[i].len;
    }
    block_done(req, failing ? disk->fail : 0);
}

/* What was submitted before now; done() may submit more. */
static void run_queue(struct rig_disk *disk)
{
    struct block_req *req = disk->first, *next;
    disk->first = NULL;
    disk->last = &disk->first;
    for (; req; req = next) {
        next = req->next;
        run_request(disk, req);
    }
}

static void kicked(void *opaque)
{
    struct rig_disk *disk = opaque;
    if (!disk->hold)
        run_queue(disk);
}

static void disk_submit(struct block *block, struct block_req *req)
{
    struct rig_disk *disk = container_of(block, struct rig_disk, block);
    req->next = NULL;
    *disk->last = req;
    disk->last = &req->next;
    task_post(&disk->kick);
}

static void disk_drain(struct block *block)
{
    struct rig_disk *disk = container_of(block, struct rig_disk, block);
    while (disk->first)
        run_queue(disk);
}

static void disk_close(struct block *block)
{
    struct rig_disk *disk = container_of(block, struct rig_disk, block);
    disk_drain(block);
    task_cancel(&disk->kick);
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        if (disk->rig->disks[i] == disk)
            disk->rig->disks[i] = NULL;
    }
    if (disk->closed_flag)
        *disk->closed_flag = true;
    free(disk->data);
    free(disk);
}

struct rig_disk *rig_disk(struct rig *r, uint64_t size_bytes)
{
    static const struct block_ops ops = { .submit = disk_submit, .drain = disk_drain, .close = disk_close };
    struct rig_disk *disk = calloc(1, sizeof(*disk));
    assert_non_null(disk);
    block_init(&disk->block, &ops, &r->loop, size_bytes, 512);
    disk->block.discard = true;
    disk->rig = r;
    for (unsigned i = 0; i < RIG_DISKS; i++) {
        if (!r->disks[i]) {
            r->disks[i] = disk;
            break;
        }
    }
    disk->data = calloc(1, size_bytes > 0 ? size_bytes : 1);
    assert_non_null(disk->data);
    disk->last = &disk->first;
    task_init(&disk->kick, &r->loop, kicked, disk);
    return disk;
}

void rig_disk_release(struct rig_disk *disk)
{
    disk->hold = false;
    task_post(&disk->kick);
}
