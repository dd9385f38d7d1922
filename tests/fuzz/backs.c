/* Back ends of the fuzzed board: disks without contents, a character device whose far end is the input. */
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_BYTES = 4096 };

/* Look at every byte that the device offers: the sanitizer tells if it isn't the device's to offer. */
static void swallow(struct fuzz_board *b, const uint8_t *from, size_t len)
{
    uint8_t scratch[SCRATCH_BYTES];
    while (len > 0) {
        size_t n = len < sizeof(scratch) ? len : sizeof(scratch);
        memcpy(scratch, from, n);
        b->sink = scratch[n - 1];
        from += n;
        len -= n;
    }
}

static void finish_request(struct fuzz_board *b, struct block_req *req)
{
    bool failing = b->fail && req->op == b->fail_op && b->fail_times > 0;
    b->fail_times -= failing;
    uint64_t done = 0;
    for (size_t i = 0; (req->op == BLOCK_READ || req->op == BLOCK_WRITE) && i < req->nvec; i++) {
        if (!failing && req->op == BLOCK_READ)
            memset(req->vec[i].ptr, (int)((req->offset + done) >> 9 & 0xff), req->vec[i].len);
        else
            swallow(b, req->vec[i].ptr, req->vec[i].len);
        done += req->vec[i].len;
    }
    if (done != req->len && req->op <= BLOCK_WRITE)
        fuzz_bug("a disk request of %llu bytes with room for %llu", (unsigned long long)req->len, (unsigned long long)done);
    block_done(req, failing ? b->fail : 0);
}

/* What was submitted before now; done() may submit more. */
static void run_queue(struct fuzz_disk *disk)
{
    struct block_req *req = disk->first, *next;
    disk->first = NULL;
    disk->last = &disk->first;
    for (; req; req = next) {
        next = req->next;
        finish_request(disk->board, req);
    }
}

static void kicked(void *opaque)
{
    struct fuzz_disk *disk = opaque;
    if (!disk->board->hold)
        run_queue(disk);
}

static void disk_submit(struct block *block, struct block_req *req)
{
    struct fuzz_disk *disk = container_of(block, struct fuzz_disk, block);
    req->next = NULL;
    *disk->last = req;
    disk->last = &req->next;
    task_post(&disk->kick);
}

static void disk_drain(struct block *block)
{
    struct fuzz_disk *disk = container_of(block, struct fuzz_disk, block);
    while (disk->first)
        run_queue(disk);
}

static void disk_close(struct block *block)
{
    struct fuzz_disk *disk = container_of(block, struct fuzz_disk, block);
    struct fuzz_disk **link = &disk->board->disks;
    disk_drain(block);
    task_cancel(&disk->kick);
    while (*link != disk)
        link = &(*link)->next;
    *link = disk->next;
    free(disk);
}

int fuzz_disk_open(struct fuzz_board *b, uint64_t bytes, bool read_only, struct block **out)
{
    static const struct block_ops ops = { .submit = disk_submit, .drain = disk_drain, .close = disk_close };
    struct fuzz_disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return -ENOMEM;
    block_init(&disk->block, &ops, &b->loop, bytes, 512);
    disk->block.discard = true;
    disk->block.read_only = read_only;
    disk->block.trace_id = ++b->nr_disks; /* by which a saved state knows its media */
    disk->board = b;
    disk->last = &disk->first;
    disk->next = b->disks;
    b->disks = disk;
    task_init(&disk->kick, &b->loop, kicked, disk);
    *out = &disk->block;
    return 0;
}

void fuzz_disks_release(struct fuzz_board *b)
{
    b->hold = false;
    for (struct fuzz_disk *disk = b->disks; disk; disk = disk->next) {
        if (disk->first)
            task_post(&disk->kick);
    }
}

static void deliver(void *opaque)
{
    struct fuzz_chr *c = opaque;
    struct fuzz_board *b = c->board;
    while (c->chr.user && c->chr.user->recv && c->len > 0) {
        uint8_t piece[FUZZ_CHR_BYTES];
        size_t len = c->chr.user->room ? c->chr.user->room(c->chr.opaque) : 0;
        if (len > c->len)
            len = c->len;
        if (len == 0)
            return;
        memcpy(piece, c->in, len);
        c->len -= len;
        memmove(c->in, c->in + len, c->len);
        c->chr.user->recv(c->chr.opaque, piece, len);
        if (b->chr != c)
            return; /* closed by its user */
    }
}

static size_t far_end_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct fuzz_board *b = container_of(chr, struct fuzz_chr, chr)->board;
    size_t taken = len < b->chr_limit ? len : b->chr_limit;
    swallow(b, buf, taken);
    return taken;
}

static void far_end_resume(struct chr *chr)
{
    task_post(&container_of(chr, struct fuzz_chr, chr)->deliver);
}

static void far_end_close(struct chr *chr)
{
    struct fuzz_chr *c = container_of(chr, struct fuzz_chr, chr);
    task_cancel(&c->deliver);
    if (c->board->chr == c)
        c->board->chr = NULL;
    free(c);
}

int fuzz_chr_open(struct fuzz_board *b, struct chr **out)
{
    static const struct chr_ops ops = { .write = far_end_write, .resume = far_end_resume, .close = far_end_close };
    struct fuzz_chr *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->chr.ops = &ops;
    c->chr.connected = true;
    c->board = b;
    (void)snprintf(c->chr.label, sizeof(c->chr.label), "fuzz");
    task_init(&c->deliver, &b->loop, deliver, c);
    b->chr = c;
    *out = &c->chr;
    return 0;
}

void fuzz_chr_feed(struct fuzz_board *b, const uint8_t *bytes, size_t len)
{
    struct fuzz_chr *c = b->chr;
    if (!c)
        return;
    if (len > sizeof(c->in) - c->len)
        len = sizeof(c->in) - c->len;
    memcpy(c->in + c->len, bytes, len);
    c->len += len;
    chr_resume(&c->chr);
}
