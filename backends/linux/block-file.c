/* Raw images: the queues of a disk and the way of a request through them. See block-file.h and block-private.h. */
#include "block-private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VECS_AT_ONCE = 1024, /* IOV_MAX of Linux */ ROUNDS = 4, RAM_ROUND_BYTES = 64 << 10 };
#define PIECE_MAX_BYTES (UINT64_C(1) << 30)

/* A scatter list goes to the kernel as it is. */
static_assert(sizeof(struct vec) == sizeof(struct iovec) &&
                  offsetof(struct vec, ptr) == offsetof(struct iovec, iov_base) &&
                  offsetof(struct vec, len) == offsetof(struct iovec, iov_len),
              "struct vec is not struct iovec");

static void finish(struct block_file *f, struct block_req *req, int err)
{
    req->result = err;
    if (f->bounced == req)
        f->bounced = NULL;
    f->begun--;
    queue_push(&f->ended, req);
}

/* The rest of a READ or WRITE, as far as one system call takes it. */
static void transfer_piece(const struct block_req *req, struct block_piece *piece)
{
    uint64_t at = req->progress;
    size_t i = 0;
    while (at >= req->vec[i].len) /* ends: progress < len, the sum of vec */
        at -= req->vec[i++].len;
    piece->offset = req->offset + req->progress;
    if (at > 0 || req->nvec - i == 1) {
        piece->kind = req->op == BLOCK_READ ? PIECE_READ : PIECE_WRITE;
        piece->ptr = (uint8_t *)req->vec[i].ptr + at;
        piece->len = min_u64(req->vec[i].len - at, PIECE_MAX_BYTES);
    } else {
        piece->kind = req->op == BLOCK_READ ? PIECE_READV : PIECE_WRITEV;
        piece->vec = (const struct iovec *)(const void *)(req->vec + i);
        piece->len = min_u64(req->nvec - i, VECS_AT_ONCE);
    }
}

/* What to run next for req. False: nothing, it ended with *err. */
static bool next_piece(struct block_file *f, struct block_req *req, struct block_piece *piece, int *err)
{
    *piece = (struct block_piece){ .fd = f->fd };
    *err = 0;
    if (req->op == BLOCK_FLUSH) {
        if (f->lost)
            *err = -EIO;
        else if (f->cache != BLOCK_UNSAFE && !f->block.read_only)
            piece->kind = PIECE_SYNC;
        f->dirty = f->dirty && *err; /* what is written from now on is not covered */
        return piece->kind == PIECE_SYNC;
    }
    if (req->op == BLOCK_DISCARD) {
        piece->kind = PIECE_PUNCH;
        piece->offset = req->offset;
        piece->len = req->len;
        return true;
    }
    if (f->bounced == req)
        block_bounce_piece(f, req, piece);
    else
        transfer_piece(req, piece);
    if ((piece->kind == PIECE_WRITE || piece->kind == PIECE_WRITEV) &&
        (f->cache == BLOCK_WRITETHROUGH || f->cache == BLOCK_DIRECTSYNC))
        piece->rw_flags = RWF_DSYNC;
    return true;
}

/* A piece in place ended after result bytes. True: req is finished with *err. */
static bool transfer_ended(struct block_file *f, struct block_req *req, int64_t result, int *err)
{
    *err = result < 0 ? (int)result : 0;
    if (result < 0)
        return true;
    uint64_t moved = f->align > 0 ? (uint64_t)result & ~(uint64_t)(f->align - 1) : (uint64_t)result;
    if (moved == 0 && req->op == BLOCK_READ)
        block_zero_from(req, req->progress + (uint64_t)result); /* the file was cut since it was opened */
    else if (moved == 0)
        *err = -EIO; /* took nothing and says not why */
    req->progress += moved;
    return moved == 0 || req->progress == req->len;
}

/* A disk that can't discard, or not in such small pieces, keeps the data: that is allowed. */
static int discard_error(int64_t result)
{
    bool harmless = result >= 0 || result == -EOPNOTSUPP || result == -EINVAL || result == -ENOSYS || result == -ENODEV;
    return harmless ? 0 : (int)result;
}

void block_file_ended(struct block_req *req, int64_t result)
{
    struct block_file *f = container_of(req->block, struct block_file, block);
    bool over = true;
    int err = result < 0 ? (int)result : 0;
    if (result == -EAGAIN || result == -EINTR) {
        f->slow = true;
        queue_push(&f->ready, req);
        return;
    }
    if (req->op == BLOCK_FLUSH) {
        f->dirty = f->dirty || err;
        f->lost = f->lost || (err && f->align == 0);
    } else if (req->op == BLOCK_DISCARD) {
        err = discard_error(result);
    } else if (f->bounced == req) {
        over = block_bounce_ended(f, req, result, &err);
    } else {
        over = transfer_ended(f, req, result, &err);
    }
    if (req->op == BLOCK_WRITE || req->op == BLOCK_DISCARD)
        f->dirty = true;
    if (over)
        finish(f, req, err);
    else
        queue_push(&f->ready, req);
}

/* The next request that may run: one that goes on, or a new one. NULL: none now. */
static struct block_req *take(struct block_file *f)
{
    if (f->ready.first)
        return queue_pop(&f->ready);
    struct block_req *req = f->waiting.first;
    if (!req || f->bounced)
        return NULL;
    bool bounce = block_bounce_needed(f, req);
    if (bounce && f->begun > 0)
        return NULL; /* it may read and write back bytes that the others are about to write */
    (void)queue_pop(&f->waiting);
    f->begun++;
    int err = bounce ? block_bounce_begin(f, req) : 0;
    if (!err)
        return req;
    finish(f, req, err);
    return take(f);
}

/*
 * The ring that serves the disk, or NULL. What the kernel can't do at once on a file system in memory it hands to a
 * worker thread, which then lives as long as we do and wakes up every five seconds: not for disks that never wait.
 */
static struct block_uring *ring_of(const struct block_file *f)
{
    return f->in_ram ? NULL : f->files->uring;
}

/* Run or queue one piece of the disk. False: it has none. moved grows by the bytes of its request. */
static bool start_one(struct block_file *f, uint64_t *moved)
{
    struct block_piece piece;
    struct block_uring *uring = ring_of(f);
    int err;
    if (uring && !block_uring_has_room(uring))
        return false;
    struct block_req *req = take(f);
    if (!req)
        return false;
    *moved += req->len;
    if (!next_piece(f, req, &piece, &err))
        finish(f, req, err);
    else if (uring)
        block_uring_add(uring, &piece, req, f->slow);
    else
        block_file_ended(req, block_sync_run(&piece));
    return true;
}

/* A round of the disk: all that the ring takes; without one a piece, or of a disk in memory some, then the guest's
 * turn. */
static void start_round(struct block_file *f)
{
    uint64_t moved = 0;
    while (start_one(f, &moved) && (ring_of(f) || (f->in_ram && moved < RAM_ROUND_BYTES)))
        continue;
}

static bool has_work(const struct block_file *f)
{
    return f->waiting.first || f->ready.first || f->ended.first;
}

static void post_if_work(struct block_files *files)
{
    for (const struct block_file *f = files->disks; f; f = f->next)
        if (has_work(f)) {
            task_post(&files->kick);
            return;
        }
}

/* The ring comes with the first request of a disk that wants one: an idle or unplugged disk has none. */
static void choose_engine(const struct block_file *f)
{
    struct block_files *files = f->files;
    if (files->uring || files->no_uring || f->in_ram || !has_work(f))
        return;
    int err = block_uring_open(files, &files->uring);
    if (!err)
        return;
    files->no_uring = true;
    log_print(files->log, LOG_INFO, "block", "no io_uring here: %s; disks use plain reads and writes", strerror(-err));
}

static void deliver(struct block_file *f)
{
    struct block_req *req;
    while ((req = queue_pop(&f->ended)) != NULL)
        block_done(req, req->result); /* may submit; that waits for the next round */
}

void block_files_kick(struct block_files *files)
{
    bool more = true; /* with a ring that is full, or a disk that must wait, the next completion brings us back */
    for (const struct block_file *f = files->disks; f; f = f->next)
        choose_engine(f);
    for (int round = 0; round < ROUNDS && more; round++) {
        for (struct block_file *f = files->disks; f; f = f->next)
            start_round(f);
        if (!files->uring)
            break;
        block_uring_submit(files->uring, false);
        more = block_uring_reap(files->uring);
    }
    for (struct block_file *f = files->disks; f; f = f->next)
        deliver(f);
    if (more)
        post_if_work(files);
}

static void run_kick(void *opaque)
{
    block_files_kick(opaque);
}

static void file_submit(struct block *block, struct block_req *req)
{
    struct block_file *f = container_of(block, struct block_file, block);
    queue_push(&f->waiting, req);
    task_post(&f->files->kick); /* all that a guest's write starts goes to the kernel in one call */
}

/* Delivers to this disk only: the others' devices don't expect anything while their neighbour drains. */
static void file_drain(struct block *block)
{
    struct block_file *f = container_of(block, struct block_file, block);
    struct block_files *files = f->files;
    uint64_t moved = 0;
    while (has_work(f) || f->begun > 0) {
        choose_engine(f);
        while (start_one(f, &moved))
            continue;
        if (ring_of(f)) {
            block_uring_submit(files->uring, !f->ended.first);
            (void)block_uring_reap(files->uring);
        }
        deliver(f);
    }
    post_if_work(files);
}

static void file_close(struct block *block)
{
    struct block_file *f = container_of(block, struct block_file, block);
    struct block_files *files = f->files;
    file_drain(block);
    /* Who reads the disk from now on (a PV back end, the next host) may bypass our page cache. */
    if (f->dirty && f->cache != BLOCK_UNSAFE && fdatasync(f->fd) != 0)
        log_print(files->log, LOG_ERROR, "block", "flush at close failed: %s; written data may be lost",
                  strerror(errno));
    struct block_file **link = &files->disks;
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    bool busy = false;
    for (const struct block_file *other = files->disks; other; other = other->next)
        busy = busy || other->begun > 0;
    if (!busy) { /* comes again with the next request, if there is one */
        block_uring_close(files->uring);
        files->uring = NULL;
    }
    if (!files->disks)
        task_cancel(&files->kick);
    block_image_close(f);
    free(f->bounce);
    free(f);
}

/* O_DIRECT can't go up to an odd end: what would have to is left out. */
static uint64_t file_measure(struct block *block)
{
    struct block_file *f = container_of(block, struct block_file, block);
    uint64_t size;
    if (block_image_size(f, &size) != 0)
        return 0;
    return f->align > 0 ? size & ~((uint64_t)f->align - 1) : size;
}

static const struct block_ops file_ops = { file_submit, file_drain, file_close, file_measure };

void block_files_init(struct block_files *files, struct epoll_host *epoll, struct loop *loop, struct log *log)
{
    *files = (struct block_files){ .epoll = epoll, .loop = loop, .log = log };
    task_init(&files->kick, loop, run_kick, files);
}

void block_files_finish(struct block_files *files)
{
    assert(!files->disks);
    task_cancel(&files->kick);
    block_uring_close(files->uring);
    files->uring = NULL;
}

int block_file_open(struct block_files *files, const struct block_open *open, struct block **out)
{
    uint64_t size;
    struct block_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->files = files;
    f->cache = open->cache;
    int err = block_image_open(f, open, &size);
    if (err) {
        free(f);
        return err;
    }
    queue_init(&f->waiting);
    queue_init(&f->ready);
    queue_init(&f->ended);
    block_init(&f->block, &file_ops, files->loop, size, 512);
    f->block.read_only = open->read_only;
    f->block.discard = open->discard && !open->read_only;
    f->next = files->disks;
    files->disks = f;
    *out = &f->block;
    return 0;
}
