/*
 * A disk without io_uring: the system calls run on the loop's thread, one piece per round, or 64 KiB of a disk in
 * memory. For kernels and sandboxes that refuse a ring. The guest's other devices wait for the disk then, as they would
 * for a slow emulated one; no thread is worth its memory here.
 */
#include "block-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static int64_t run_once(const struct block_piece *piece)
{
    off_t offset = (off_t)piece->offset, len = (off_t)piece->len;
    struct iovec one = { .iov_base = piece->ptr, .iov_len = piece->len };
    switch (piece->kind) {
    case PIECE_READ: return pread(piece->fd, piece->ptr, piece->len, offset);
    case PIECE_WRITE: return pwritev2(piece->fd, &one, 1, offset, piece->rw_flags);
    case PIECE_READV: return preadv(piece->fd, piece->vec, (int)piece->len, offset);
    case PIECE_WRITEV: return pwritev2(piece->fd, piece->vec, (int)piece->len, offset, piece->rw_flags);
    case PIECE_SYNC: return fdatasync(piece->fd);
    case PIECE_PUNCH: return fallocate(piece->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
    }
    return -1;
}

int64_t block_sync_run(const struct block_piece *piece)
{
    int64_t result;
    do
        result = run_once(piece);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}
