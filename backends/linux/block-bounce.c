/*
 * Requests that O_DIRECT can't serve in place: guest memory at odd addresses, or 512-byte sectors on a disk of 4096.
 * They go through a small aligned buffer window by window, and a partly written sector is read first.
 */
#include "block-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BOUNCE_BYTES = 65536 };

bool block_bounce_needed(const struct block_file *f, const struct block_req *req)
{
    if (f->align == 0 || (req->op != BLOCK_READ && req->op != BLOCK_WRITE))
        return false;
    uint64_t bits = req->offset | req->len;
    for (size_t i = 0; i < req->nvec; i++)
        bits |= (uintptr_t)req->vec[i].ptr | req->vec[i].len;
    return (bits & (f->align - 1)) != 0;
}

int block_bounce_begin(struct block_file *f, struct block_req *req)
{
    void *mem;
    if (!f->bounce && posix_memalign(&mem, PAGE_BYTES, BOUNCE_BYTES) != 0)
        return -ENOMEM;
    if (!f->bounce)
        f->bounce = mem;
    f->bounced = req;
    f->bounce_filled = false;
    return 0;
}

void block_copy(const struct block_req *req, uint64_t at, uint8_t *buf, uint64_t len, bool to_guest)
{
    for (size_t i = 0; i < req->nvec && len > 0; i++) {
        uint64_t size = req->vec[i].len;
        if (at >= size) {
            at -= size;
            continue;
        }
        uint8_t *mem = (uint8_t *)req->vec[i].ptr + at;
        size_t n = (size_t)min_u64(size - at, len);
        if (!buf)
            memset(mem, 0, n);
        else if (to_guest)
            memcpy(mem, buf, n);
        else
            memcpy(buf, mem, n);
        buf = buf ? buf + n : NULL;
        len -= n;
        at = 0;
    }
}

void block_zero_from(const struct block_req *req, uint64_t at)
{
    block_copy(req, at, NULL, req->len - at, true);
}

/* Bytes of the request that lie in the window, from its present position on. */
static uint64_t useful(const struct block_file *f, const struct block_req *req)
{
    uint64_t at = req->offset + req->progress;
    return min_u64(req->len - req->progress, f->bounce_at + f->bounce_len - at);
}

void block_bounce_piece(struct block_file *f, struct block_req *req, struct block_piece *piece)
{
    uint64_t at = req->offset + req->progress, mask = f->align - 1;
    if (!f->bounce_filled) {
        uint64_t end = (req->offset + req->len + mask) & ~mask;
        f->bounce_at = at & ~mask;
        f->bounce_len = (size_t)min_u64(end - f->bounce_at, BOUNCE_BYTES);
        if (req->op == BLOCK_WRITE && useful(f, req) == f->bounce_len)
            f->bounce_filled = true; /* whole sectors: nothing to keep */
    }
    piece->kind = PIECE_READ;
    piece->ptr = f->bounce;
    piece->len = f->bounce_len;
    piece->offset = f->bounce_at;
    if (req->op == BLOCK_WRITE && f->bounce_filled) {
        block_copy(req, req->progress, f->bounce + (at - f->bounce_at), useful(f, req), false);
        piece->kind = PIECE_WRITE;
    }
}

/* The window was read. Short: either less was possible for now, or the file ended, and behind its end are zeros. */
static void window_read(struct block_file *f, size_t got)
{
    size_t whole = got & ~((size_t)f->align - 1);
    if (whole > 0)
        f->bounce_len = whole;
    else
        memset(f->bounce + got, 0, f->bounce_len - got);
}

bool block_bounce_ended(struct block_file *f, struct block_req *req, int64_t result, int *err)
{
    uint64_t at = req->offset + req->progress;
    *err = 0;
    if (result < 0) {
        *err = (int)result;
        return true;
    }
    if (req->op == BLOCK_WRITE && f->bounce_filled) {
        f->bounce_filled = false;
        f->bounce_len = (size_t)result & ~((size_t)f->align - 1);
        if (f->bounce_at + f->bounce_len <= at) {
            *err = -EIO; /* took nothing and says not why */
            return true;
        }
    } else {
        window_read(f, (size_t)result);
        f->bounce_filled = req->op == BLOCK_WRITE;
        if (f->bounce_filled)
            return false;
        block_copy(req, req->progress, f->bounce + (at - f->bounce_at), useful(f, req), true);
    }
    req->progress += useful(f, req);
    return req->progress == req->len;
}
