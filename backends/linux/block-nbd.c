/* The requests of NBD disks: see block-nbd.h. */
#include "block-nbd-private.h"

#include "block-child.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { DIRECT_BYTES = 32 << 10 }; /* pieces of guest memory from this length on go without a copy */
#define TRIM_BYTES (UINT32_C(1) << 30)

static void finish(struct nbd_slot *slot, int err)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    if (d->alone == req)
        d->alone = NULL;
    slot->req = NULL;
    d->begun--;
    req->result = err;
    queue_push(&d->ended, req);
}

static uint64_t down(const struct nbd_disk *d, uint64_t at)
{
    return at & ~((uint64_t)d->unit - 1);
}

static uint64_t up(const struct nbd_disk *d, uint64_t at)
{
    return down(d, at + d->unit - 1); /* no overflow: at is within the disk */
}

static bool covers_parts(const struct nbd_disk *d, const struct block_req *req)
{
    return (req->op == BLOCK_READ || req->op == BLOCK_WRITE) && ((req->offset | req->len) & (d->unit - 1)) != 0;
}

/* The next piece of guest memory that may go as it is: at least min bytes long; else 0. */
static uint64_t direct_run(const struct nbd_disk *d, const struct block_req *req, uint64_t min, uint8_t **ptr)
{
    uint64_t at = req->progress;
    size_t i = 0;
    while (at >= req->vec[i].len) /* ends: progress < len, the sum of vec */
        at -= req->vec[i++].len;
    uint64_t run = down(d, min_u64(req->vec[i].len - at, d->max_bytes));
    *ptr = (uint8_t *)req->vec[i].ptr + at;
    return run < min ? 0 : run;
}

/* Through the slot's own buffer: what is scattered, or covers only parts of the server's blocks. */
static int bounced_piece(struct nbd_slot *slot)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    uint64_t from = req->offset + req->progress, end = req->offset + req->len, at = down(d, from);
    uint64_t len = min_u64(min_u64(up(d, end) - at, NBD_BOUNCE_BYTES), d->max_bytes);
    if (!slot->bounce)
        slot->bounce = malloc(NBD_BOUNCE_BYTES);
    if (!slot->bounce)
        return -ENOMEM;
    slot->bounced = true;
    slot->piece = (struct block_piece){ .kind = PIECE_READ, .ptr = slot->bounce, .len = len, .offset = at };
    if (req->op == BLOCK_READ)
        return 0;
    if (!slot->filled && (from > at || end < at + len))
        return 0; /* read what must be kept first */
    block_copy(req, req->progress, slot->bounce + (from - at), min_u64(at + len, end) - from, false);
    slot->piece.kind = PIECE_WRITE;
    return 0;
}

static int transfer_piece(struct nbd_slot *slot)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    uint8_t *ptr;
    uint64_t left = req->len - req->progress, run = 0;
    slot->bounced = false;
    if (d->alone != req)
        run = direct_run(d, req, min_u64(left, DIRECT_BYTES), &ptr);
    if (run == 0)
        return bounced_piece(slot);
    slot->piece = (struct block_piece){ .kind = req->op == BLOCK_READ ? PIECE_READ : PIECE_WRITE,
                                        .ptr = ptr,
                                        .len = run,
                                        .offset = req->offset + req->progress };
    return 0;
}

/* What to send next for the slot's request. False: nothing, it ended with *err. */
static bool next_piece(struct nbd_slot *slot, int *err)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    *err = 0;
    if (req->op == BLOCK_FLUSH) {
        *err = d->lost ? -EIO : 0;
        slot->piece = (struct block_piece){ .kind = PIECE_SYNC };
        bool send = !d->lost && d->can_flush && d->cache != BLOCK_UNSAFE && !d->block.read_only;
        d->dirty = d->dirty && *err; /* what is written from now on is not covered */
        return send;
    }
    if (req->op == BLOCK_DISCARD) {
        uint64_t from = up(d, req->offset + req->progress), end = down(d, req->offset + req->len);
        if (!d->can_trim || from >= end)
            return false;
        slot->piece =
            (struct block_piece){ .kind = PIECE_PUNCH, .offset = from, .len = min_u64(end - from, TRIM_BYTES) };
        return true;
    }
    if (req->progress == req->len) { /* written, but each write shall be safe, and the server can't do both in one */
        slot->piece = (struct block_piece){ .kind = PIECE_SYNC };
        return true;
    }
    *err = transfer_piece(slot);
    return *err == 0;
}

/* From inside libnbd: nothing of it may be called here. */
static int answered(void *opaque, int *error)
{
    struct nbd_slot *slot = opaque;
    slot->answered = true;
    slot->err = -*error;
    return 1; /* it may forget the command */
}

static bool safe_writes(const struct nbd_disk *d)
{
    return d->cache == BLOCK_WRITETHROUGH || d->cache == BLOCK_DIRECTSYNC;
}

static void issue(struct nbd_slot *slot)
{
    struct nbd_disk *d = slot->disk;
    const struct nbd_lib *lib = d->lib;
    const struct block_piece *p = &slot->piece;
    nbd_completion_callback then = { .callback = answered, .user_data = slot };
    uint32_t fua = safe_writes(d) && d->can_fua ? LIBNBD_CMD_FLAG_FUA : 0;
    int64_t cookie = -1;
    slot->answered = false;
    if (d->begun == 1)
        d->progress_ns = nbd_now_ns(); /* it was idle */
    switch (p->kind) {
    case PIECE_READ: cookie = lib->aio_pread(d->handle, p->ptr, p->len, p->offset, then, 0); break;
    case PIECE_WRITE: cookie = lib->aio_pwrite(d->handle, p->ptr, p->len, p->offset, then, fua); break;
    case PIECE_SYNC: cookie = lib->aio_flush(d->handle, then, 0); break;
    default: cookie = lib->aio_trim(d->handle, p->len, p->offset, then, 0); break;
    }
    if (cookie < 0 && !slot->answered) { /* not taken: the connection is over, or we asked for nonsense */
        slot->answered = true;
        slot->err = lib->get_errno() ? -lib->get_errno() : -EIO;
    }
}

/* Begin or go on with the slot's request. */
static void go_on(struct nbd_slot *slot)
{
    int err;
    slot->answered = false;
    if (next_piece(slot, &err))
        issue(slot);
    else
        finish(slot, err);
}

/* A read or write of guest memory went well. True: the request is finished. */
static bool transferred(struct nbd_slot *slot)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    const struct block_piece *p = &slot->piece;
    uint64_t from = req->offset + req->progress;
    uint64_t useful = min_u64(req->offset + req->len, p->offset + p->len) - from;
    if (p->kind == PIECE_READ && req->op == BLOCK_WRITE) {
        slot->filled = true;
        return false;
    }
    slot->filled = false;
    if (slot->bounced && p->kind == PIECE_READ)
        block_copy(req, req->progress, slot->bounce + (from - p->offset), useful, true);
    req->progress += useful;
    d->dirty = d->dirty || p->kind == PIECE_WRITE;
    return req->progress == req->len && !(p->kind == PIECE_WRITE && safe_writes(d) && !d->can_fua && d->can_flush);
}

static void slot_answered(struct nbd_slot *slot)
{
    struct nbd_disk *d = slot->disk;
    struct block_req *req = slot->req;
    bool over = true;
    int err = slot->err;
    if (slot->piece.kind == PIECE_SYNC) {
        d->dirty = d->dirty || err;
    } else if (slot->piece.kind == PIECE_PUNCH) {
        /* A server that can't discard, or not here, keeps the data: that is allowed. */
        err = err == -EINVAL || err == -EOPNOTSUPP ? 0 : err;
        d->dirty = true;
        req->progress = slot->piece.offset + slot->piece.len - req->offset;
        over = err || up(d, req->offset + req->progress) >= down(d, req->offset + req->len);
    } else if (!err) {
        over = transferred(slot);
    }
    if (over)
        finish(slot, err);
    else
        go_on(slot);
}

void nbd_slots_answered(struct nbd_disk *d)
{
    for (size_t i = 0; i < NBD_SLOTS; i++) {
        struct nbd_slot *slot = &d->slots[i];
        /* A command can be answered as it is sent; a request has few of them, each moves it on. */
        while (slot->req && slot->answered && d->state == NBD_UP) {
            if (slot->err == -ESHUTDOWN || slot->err == -ENOTCONN || d->lib->aio_is_dead(d->handle) > 0) {
                nbd_link_lost(d, slot->err == -ESHUTDOWN ? "the server is shutting down" : d->lib->get_error());
                return;
            }
            d->progress_ns = nbd_now_ns();
            d->proven = true;
            slot_answered(slot);
        }
    }
}

void nbd_slots_requeue(struct nbd_disk *d)
{
    struct req_queue again;
    queue_init(&again);
    for (size_t i = 0; i < NBD_SLOTS; i++) {
        struct nbd_slot *slot = &d->slots[i];
        if (!slot->req)
            continue;
        slot->req->progress = 0; /* all of it once more: no harm in writing the same twice */
        queue_push(&again, slot->req);
        slot->req = NULL;
        slot->filled = false;
        d->begun--;
    }
    d->alone = NULL;
    if (!again.first)
        return;
    *again.last = d->waiting.first;
    if (d->waiting.first)
        again.last = d->waiting.last;
    d->waiting = again;
}

void nbd_slots_fail(struct nbd_disk *d)
{
    struct block_req *req;
    while ((req = queue_pop(&d->waiting)) != NULL) {
        req->result = -EIO;
        queue_push(&d->ended, req);
    }
}

static struct nbd_slot *free_slot(struct nbd_disk *d)
{
    for (size_t i = 0; i < NBD_SLOTS; i++)
        if (!d->slots[i].req)
            return &d->slots[i];
    return NULL;
}

/* Hand the server what may run. */
static void start(struct nbd_disk *d)
{
    while (d->waiting.first && d->state == NBD_UP && !d->alone) {
        struct nbd_slot *slot = free_slot(d);
        bool alone = covers_parts(d, d->waiting.first);
        if (!slot || (alone && d->begun > 0))
            return; /* it may write back bytes that the others are about to write */
        slot->req = queue_pop(&d->waiting);
        slot->filled = false;
        d->begun++;
        if (alone)
            d->alone = slot->req;
        go_on(slot);
        nbd_slots_answered(d);
    }
}

static void deliver(struct nbd_disk *d)
{
    struct block_req *req, *first = d->ended.first;
    queue_init(&d->ended); /* take the whole queue: what done() submits waits for the next round */
    while ((req = first) != NULL) {
        first = req->next;
        block_done(req, req->result);
    }
}

static void arm(struct nbd_disks *disks)
{
    uint64_t deadline = UINT64_MAX;
    for (const struct nbd_disk *d = disks->first; d; d = d->next)
        deadline = min_u64(deadline, nbd_link_deadline(d));
    /* One that is set runs out in vain once: cheaper than moving it with each request. */
    if (deadline == UINT64_MAX || (disks->alarm_ns > 0 && disks->alarm_ns <= deadline))
        return;
    disks->alarm_ns = deadline > 0 ? deadline : 1;
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(disks->alarm_ns / NS_PER_S),
                                             .tv_nsec = (long)(disks->alarm_ns % NS_PER_S) } };
    (void)timerfd_settime(disks->alarm.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void start_and_deliver(struct nbd_disk *d)
{
    if (d->given_up)
        nbd_slots_fail(d);
    nbd_slots_answered(d);
    start(d);
    nbd_link_listen(d);
    deliver(d);
    if (d->ended.first || (d->waiting.first && (d->given_up || (d->state == NBD_UP && d->begun == 0))))
        task_post(&d->all->kick);
}

void nbd_disk_kick(struct nbd_disk *d)
{
    start_and_deliver(d);
    arm(d->all);
}

static void run_kick(void *opaque)
{
    struct nbd_disks *disks = opaque;
    for (struct nbd_disk *d = disks->first; d; d = d->next)
        start_and_deliver(d);
    arm(disks);
}

static void alarm_rings(void *opaque, uint32_t events)
{
    struct nbd_disks *disks = opaque;
    uint64_t times;
    (void)!read(disks->alarm.fd, &times, sizeof(times));
    disks->alarm_ns = 0;
    for (struct nbd_disk *d = disks->first; d; d = d->next)
        nbd_link_tick(d);
    run_kick(disks);
}

/* With the first disk; gone with the last. */
static int set_up_alarm(struct nbd_disks *disks)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    disks->alarm = (struct fd_source){ .fd = fd, .fn = alarm_rings, .opaque = disks };
    disks->alarm_ns = 0;
    int err = epoll_source_add(disks->epoll, &disks->alarm, EPOLLIN);
    if (err)
        close(fd);
    return err;
}

static void drop_alarm(struct nbd_disks *disks)
{
    epoll_source_remove(disks->epoll, &disks->alarm);
    close(disks->alarm.fd);
}

static void socket_ready(void *opaque, uint32_t events)
{
    struct nbd_disk *d = opaque;
    nbd_link_event(d, events);
    nbd_disk_kick(d);
}

static void disk_submit(struct block *block, struct block_req *req)
{
    struct nbd_disk *d = container_of(block, struct nbd_disk, block);
    queue_push(&d->waiting, req);
    task_post(&d->all->kick);
}

static bool has_work(const struct nbd_disk *d)
{
    return d->begun > 0 || d->waiting.first || d->ended.first;
}

/* Ends: a server that doesn't answer counts as gone, and what waits for a gone one fails. */
static void disk_drain(struct block *block)
{
    struct nbd_disk *d = container_of(block, struct nbd_disk, block);
    while (has_work(d)) {
        start_and_deliver(d);
        if (!d->ended.first && has_work(d))
            nbd_link_wait(d);
    }
    arm(d->all); /* before the loop's next round, for what is still due */
}

static void flushed(struct block_req *req, int err)
{
    struct nbd_disk *d = req->opaque;
    if (err)
        log_print(d->all->log, LOG_ERROR, "block", "%s: flush at close failed: %s; written data may be lost",
                  d->target.name, strerror(-err));
}

static void unlink_disk(struct nbd_disk *d)
{
    struct nbd_disk **link = &d->all->first;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    if (d->all->first)
        return;
    task_cancel(&d->all->kick);
    drop_alarm(d->all);
}

static void release(struct nbd_disk *d)
{
    for (size_t i = 0; i < NBD_SLOTS; i++)
        free(d->slots[i].bounce);
    image_child_close(d->child);
    free(d);
}

static void disk_close(struct block *block)
{
    struct nbd_disk *d = container_of(block, struct nbd_disk, block);
    struct block_req flush = { .op = BLOCK_FLUSH, .block = block, .done = flushed, .opaque = d };
    disk_drain(block);
    if (d->dirty && d->cache != BLOCK_UNSAFE) {
        block->trace = NULL; /* ours, not the device's */
        block->policy.errors = NULL;
        block->in_flight++;
        queue_push(&d->waiting, &flush);
        disk_drain(block);
    }
    nbd_link_close(d);
    unlink_disk(d);
    release(d);
}

static const struct block_ops disk_ops = { disk_submit, disk_drain, disk_close };

/* Connect for the first time: every address once; a helper again while somebody else has the image for a moment. */
static int open_link(struct nbd_disk *d)
{
    unsigned tries = d->child ? IMAGE_LOCK_TRIES : d->target.nr_addrs;
    for (unsigned i = 0; i < tries && d->state != NBD_UP; i++) {
        nbd_link_connect(d);
        while (d->state == NBD_CONNECTING)
            nbd_link_wait(d);
        if (d->child && d->state != NBD_UP && !image_child_try_again(d->child))
            break;
    }
    return d->state == NBD_UP ? 0 : -ECONNREFUSED;
}

static int open_target(struct nbd_disk *d, const struct block_open *open)
{
    const char *why = "";
    int err;
    if (open->format && strcmp(open->format, "raw"))
        err = image_child_create(open, d->all->epoll, d->all->log, &d->child, d->target.name, sizeof(d->target.name));
    else
        err = nbd_target_parse(open->path, &d->target, &why);
    if (err && *why)
        log_print(d->all->log, LOG_ERROR, "block", "%s: %s; not opened", open->path, why);
    if (err)
        return err;
    err = open_link(d);
    if (err)
        log_print(d->all->log, LOG_ERROR, "block", "%s: %s; not opened", d->target.name, d->why);
    return err;
}

int block_nbd_open(struct nbd_disks *disks, const struct block_open *open, struct block **out)
{
    if (!disks->lib)
        disks->lib = nbd_lib_load(disks->log);
    if (!disks->lib)
        return -ENOENT;
    struct nbd_disk *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->all = disks;
    d->lib = disks->lib;
    d->cache = open->cache;
    d->source = (struct fd_source){ .fn = socket_ready, .opaque = d };
    d->block.read_only = open->read_only;
    queue_init(&d->waiting);
    queue_init(&d->ended);
    for (size_t i = 0; i < NBD_SLOTS; i++)
        d->slots[i].disk = d;
    int err = open_target(d, open);
    if (!err && !disks->first)
        err = set_up_alarm(disks);
    if (err) {
        nbd_link_close(d);
        release(d);
        return err;
    }
    block_init(&d->block, &disk_ops, disks->loop, d->block.size_bytes, 512);
    d->block.read_only = open->read_only;
    d->block.discard = open->discard && !open->read_only && d->can_trim;
    d->next = disks->first;
    disks->first = d;
    *out = &d->block;
    return 0;
}

void nbd_disks_init(struct nbd_disks *disks, struct epoll_host *epoll, struct loop *loop, struct log *log)
{
    *disks = (struct nbd_disks){
        .epoll = epoll, .loop = loop, .log = log, .hold_ns = 10 * NS_PER_S, .stall_ns = 30 * NS_PER_S
    };
    task_init(&disks->kick, loop, run_kick, disks);
}

void nbd_disks_finish(struct nbd_disks *disks)
{
    task_cancel(&disks->kick);
}
