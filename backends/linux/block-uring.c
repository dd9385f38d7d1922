/* One io_uring for all disks of the process: see block-private.h. */
#include "block-private.h"

#include "epoll.h"
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORKERS = 4 }; /* kernel threads for what can't end at once (flushes above all) */

struct block_uring {
    struct block_files *files;
    struct io_uring ring;
    struct fd_source source;
    unsigned running; /* added and not yet reaped */
};

static void has_ended(void *opaque, uint32_t events)
{
    struct block_uring *uring = opaque;
    if (block_uring_reap(uring))
        block_files_kick(uring->files); /* may close nothing: done() doesn't close */
}

int block_uring_open(struct block_files *files, struct block_uring **out)
{
    struct block_uring *uring = calloc(1, sizeof(*uring));
    if (!uring)
        return -ENOMEM;
    uring->files = files;
    int err = io_uring_queue_init(BLOCK_DEPTH, &uring->ring, 0);
    if (err)
        goto out_free;
    err = -ENOSYS;
    if (!(uring->ring.features & IORING_FEAT_RW_CUR_POS)) /* came with READ, WRITE and FALLOCATE (Linux 5.6) */
        goto out_exit;
    unsigned workers[2] = { WORKERS, WORKERS };
    (void)io_uring_register_iowq_max_workers(&uring->ring, workers); /* older than 5.15: a few more threads */
    uring->source = (struct fd_source){ .fd = uring->ring.ring_fd, .fn = has_ended, .opaque = uring };
    err = epoll_source_add(files->epoll, &uring->source, EPOLLIN);
    if (err)
        goto out_exit;
    *out = uring;
    return 0;
out_exit:
    io_uring_queue_exit(&uring->ring);
out_free:
    free(uring);
    return err;
}

void block_uring_close(struct block_uring *uring)
{
    if (!uring)
        return;
    epoll_source_remove(uring->files->epoll, &uring->source);
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

/* Never more than the ring has entries: then the completion queue, twice as long, can't overflow. */
bool block_uring_has_room(const struct block_uring *uring)
{
    return uring->running < BLOCK_DEPTH;
}

void block_uring_add(struct block_uring *uring, const struct block_piece *piece, struct block_req *req, bool slow)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring); /* not NULL: there was room */
    unsigned len = (unsigned)piece->len;
    switch (piece->kind) {
    case PIECE_READ: io_uring_prep_read(sqe, piece->fd, piece->ptr, len, piece->offset); break;
    case PIECE_WRITE: io_uring_prep_write(sqe, piece->fd, piece->ptr, len, piece->offset); break;
    case PIECE_READV: io_uring_prep_readv(sqe, piece->fd, piece->vec, len, piece->offset); break;
    case PIECE_WRITEV: io_uring_prep_writev(sqe, piece->fd, piece->vec, len, piece->offset); break;
    case PIECE_SYNC: io_uring_prep_fsync(sqe, piece->fd, IORING_FSYNC_DATASYNC); break;
    case PIECE_PUNCH:
        io_uring_prep_fallocate(sqe, piece->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)piece->offset,
                                (off_t)piece->len);
        break;
    }
    if (piece->kind == PIECE_WRITE || piece->kind == PIECE_WRITEV)
        sqe->rw_flags = piece->rw_flags;
    if (slow)
        io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
    io_uring_sqe_set_data(sqe, req);
    uring->running++;
}

void block_uring_submit(struct block_uring *uring, bool wait)
{
    int err = wait && uring->running > 0 ? io_uring_submit_and_wait(&uring->ring, 1) : io_uring_submit(&uring->ring);
    if (err >= 0 && io_uring_sq_ready(&uring->ring) > 0)
        task_post(&uring->files->kick); /* it took only some */
    if (err >= 0 || err == -EINTR)
        return;
    /* Short of memory, in practice. The entries stay queued and go along with the next attempt, which must not spin. */
    log_limited(uring->files->log, LOG_WARN, &uring->files->log_rate, "block",
                "io_uring takes no requests: %s; trying again", strerror(-err));
    (void)nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
    task_post(&uring->files->kick);
}

bool block_uring_reap(struct block_uring *uring)
{
    struct io_uring_cqe *cqe;
    bool any = false;
    while (io_uring_peek_cqe(&uring->ring, &cqe) == 0 && cqe) {
        struct block_req *req = io_uring_cqe_get_data(cqe);
        int64_t result = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        uring->running--;
        any = true;
        block_file_ended(req, result);
    }
    return any;
}
