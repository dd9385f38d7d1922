/*
 * What the parts of the raw disk share. block-file.c owns images, queues and the way of a request; it cuts each request
 * into pieces that are one system call each (struct block_piece), and block-uring.c or block-sync.c only run those.
 */
#ifndef THINDM_LINUX_BLOCK_PRIVATE_H
#define THINDM_LINUX_BLOCK_PRIVATE_H

#include "block-file.h"
#include <sys/uio.h>

enum { BLOCK_DEPTH = 64 }; /* pieces of all disks that run at a time */

enum block_piece_kind { PIECE_READ, PIECE_WRITE, PIECE_READV, PIECE_WRITEV, PIECE_SYNC, PIECE_PUNCH };

struct block_piece {
    enum block_piece_kind kind;
    int fd, rw_flags;
    union {
        void *ptr;               /* READ, WRITE */
        const struct iovec *vec; /* READV, WRITEV: stays valid while it runs */
    };
    uint64_t len; /* READ, WRITE, PUNCH: bytes; READV, WRITEV: elements of vec */
    uint64_t offset;
};

/* First in, first out, through block_req.next. */
struct req_queue {
    struct block_req *first, **last;
};

static inline void queue_init(struct req_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static inline void queue_push(struct req_queue *queue, struct block_req *req)
{
    req->next = NULL;
    *queue->last = req;
    queue->last = &req->next;
}

static inline struct block_req *queue_pop(struct req_queue *queue)
{
    struct block_req *req = queue->first;
    if (!req)
        return NULL;
    queue->first = req->next;
    if (!queue->first)
        queue->last = &queue->first;
    return req;
}

/* One image. */
struct block_file {
    struct block block;
    struct block_files *files;
    struct block_file *next;
    int fd;
    enum block_cache cache;
    bool regular, locked;
    bool in_ram;    /* on a file system in memory: plain system calls never wait there */
    uint32_t align; /* what O_DIRECT wants of offset, length and memory; 0: page cache */
    bool dirty;     /* written to since the last flush */
    bool lost;      /* a flush failed: the page cache may have thrown away what it couldn't write */
    bool slow;      /* the kernel said "again": don't try to do it at once any more */
    struct req_queue waiting, ready, ended; /* not begun; begun, with a next piece to run; to be done() */
    unsigned begun;                         /* requests out of waiting and not in ended */
    /* The one request that O_DIRECT can't serve in place; nothing else runs beside it. */
    struct block_req *bounced;
    uint8_t *bounce;
    uint64_t bounce_at; /* what of the image bounce[] stands for */
    size_t bounce_len;
    bool bounce_filled; /* a partial sector was read, the write can follow */
};

/*
 * Open and lock the image: fills in fd and what depends on the kind of the image. 0 or -errno, after a line in the log.
 */
int block_image_open(struct block_file *f, const struct block_open *open, uint64_t *size) WARN_UNUSED;
void block_image_close(struct block_file *f);
/* How long it is now, bytes. 0 or -errno. */
int block_image_size(const struct block_file *f, uint64_t *size) WARN_UNUSED;

/* block-lock.c: 0, -EBUSY, or another -errno if there are no locks here (the file system, a limit). */
int block_lock(int fd, bool read_only) WARN_UNUSED;
void block_unlock(int fd);
/* Words for who has the image of fd locked, as far as /proc shows it. */
void block_lock_holder(int fd, char holder[64]);

/* block-bounce.c: whether req needs the bounce buffer; its next piece; what follows from its end (true: req is finished
 * with *err). */
bool block_bounce_needed(const struct block_file *f, const struct block_req *req);
int block_bounce_begin(struct block_file *f, struct block_req *req) WARN_UNUSED;
void block_bounce_piece(struct block_file *f, struct block_req *req, struct block_piece *piece);
bool block_bounce_ended(struct block_file *f, struct block_req *req, int64_t result, int *err);
/* Copy len bytes between buf and the request's memory from byte at on. NULL buf: zeros. */
void block_copy(const struct block_req *req, uint64_t at, uint8_t *buf, uint64_t len, bool to_guest);
/* Zero what a READ could not get, from byte at of the request on. */
void block_zero_from(const struct block_req *req, uint64_t at);

/* Run it now, on this thread. What the system call gave, or -errno. */
int64_t block_sync_run(const struct block_piece *piece);

/* The piece of req ended with what its system call gave. From here on req may be queued, running or ended again. */
void block_file_ended(struct block_req *req, int64_t result);
/* Start what waits and deliver what ended, of all disks. */
void block_files_kick(struct block_files *files);

/* 0 or -errno: the kernel has no io_uring, an old one, or doesn't let us. */
int block_uring_open(struct block_files *files, struct block_uring **out) WARN_UNUSED;
void block_uring_close(struct block_uring *uring);
/* Room for another piece. */
bool block_uring_has_room(const struct block_uring *uring);
/* Queue a piece; block_file_ended(req) comes from block_uring_reap(). slow: it can't end at once, don't try. */
void block_uring_add(struct block_uring *uring, const struct block_piece *piece, struct block_req *req, bool slow);
/* Hand what was queued to the kernel and, with wait, sleep until one piece ended. */
void block_uring_submit(struct block_uring *uring, bool wait);
/* Collect the pieces that ended. True if there were any. */
bool block_uring_reap(struct block_uring *uring);

#endif
