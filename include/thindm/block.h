/*
 * Disks and CD images. Requests are caller-owned and intrusive; each block_submit() gives exactly one done(), from the
 * loop or inside block_drain()/block_close(), never inside block_submit(); done() may submit, never close.
 */
#ifndef THINDM_BLOCK_H
#define THINDM_BLOCK_H

#include <thindm/loop.h>
#include <thindm/util.h>

struct log;
struct trace;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_NR_OPS };

struct block_req {
    enum block_op op;
    uint64_t offset, len;  /* bytes; multiples of the sector size; for FLUSH 0. READ, WRITE: len is the sum of vec */
    const struct vec *vec; /* READ, WRITE: stay valid until done() */
    size_t nvec;
    /* 0 or -errno (-EIO, -ENOSPC, -ECANCELED ...). */
    void (*done)(struct block_req *req, int err);
    void *opaque; /* the submitter's */
    /* The back end's, while submitted. */
    struct block_req *next;
    struct block *block;
    uint64_t progress;
    uint64_t start_ns; /* core/block.c's: when it was submitted, on the clock of the loop's host */
    int result;
    uint32_t trace_nr; /* core/block.c's: which request of the block this is */
};

struct block_stats {
    uint64_t ops[BLOCK_NR_OPS], bytes[BLOCK_NR_OPS], errors[BLOCK_NR_OPS];
    uint64_t rejected[BLOCK_NR_OPS]; /* those of the errors that were refused by the checks */
    uint64_t ns[BLOCK_NR_OPS];       /* how long the requests took, added up */
    uint64_t highest;                /* end of the WRITE that went farthest, bytes */
    uint64_t last_ns;                /* when the last one ended, on the clock of the loop's host; 0: none yet */
};

/* What becomes of a READ (DISCARD, WRITE, FLUSH) that failed. ENOSPC: STOP if the host is full, else REPORT. */
enum block_action { BLOCK_REPORT, BLOCK_IGNORE, BLOCK_STOP, BLOCK_ENOSPC };

/* A request failed with err (-errno); action is what comes of it, never BLOCK_ENOSPC. */
struct block_error {
    const char *device;
    enum block_op op;
    enum block_action action;
    int err;
};

/* What the disks of a machine share about errors; zeroed but for told and opaque. It must outlive them. */
struct block_errors {
    /*
     * From the loop, a drain or a close; it must not call the block. REPORT and IGNORE: at most one a second and disk.
     * STOP: the request waits for block_errors_retry(), and so do later ones that fail.
     */
    void (*told)(void *opaque, const struct block_error *error);
    void *opaque;
    struct block *stopped; /* that hold failed requests */
};

struct block_policy {
    struct block_errors *errors; /* NULL: every error is reported to the device, and told nobody */
    const char *device;          /* outlives the block */
    enum block_action read_error, write_error;
};

struct block_ops {
    /* In range, aligned and allowed: core/block.c has checked. Never calls done() before it returns. */
    void (*submit)(struct block *block, struct block_req *req);
    /* Returns when every submitted request is done(). */
    void (*drain)(struct block *block);
    /* Drains, releases the image, frees. */
    void (*close)(struct block *block);
    /* How long the medium is now, bytes. NULL: it doesn't change. */
    uint64_t (*measure)(struct block *block);
};

/* Embedded by the back end. */
struct block {
    const struct block_ops *ops;
    struct loop *loop;
    uint64_t size_bytes;   /* of the medium, multiple of sector_bytes */
    uint32_t sector_bytes; /* alignment the back end needs: 512 or 4096 */
    bool read_only, discard;
    struct block_stats stats;
    unsigned in_flight; /* submitted and not yet done() */
    struct block_req
        *rejected; /* refused by the checks (result says why), oldest first; done() comes from reject_task */
    struct task reject_task;
    struct block_policy policy;
    struct block_req *held;      /* failed, wait for block_errors_retry(), oldest first */
    struct block *next_stopped;  /* in policy.errors, while held */
    bool draining;               /* errors are the device's now, whatever the policy says */
    uint64_t told_ns;            /* when an error was told last; 0: never */
    struct trace *trace;         /* NULL: nobody records or replays */
    uint32_t trace_id, trace_nr; /* our number there, and of the last request */
};

/* For back ends: fill in the common part. size_bytes is rounded down to whole sectors. */
void block_init(struct block *block, const struct block_ops *ops, struct loop *loop, uint64_t size_bytes,
                uint32_t sector_bytes);
/* For back ends: a submitted request ended with 0 or -errno; counts it and calls done(). From the loop, drain or close.
 */
void block_done(struct block_req *req, int err);

/*
 * Range, alignment and read-only are checked here: a bad request ends in done(-EINVAL, -EROFS; -EOPNOTSUPP: DISCARD
 * without block->discard), from the loop too. Transfers of no bytes end well without the back end.
 */
void block_submit(struct block *block, struct block_req *req);
/* Ask how long the medium is now. True: it grew, and size_bytes with it; one that shrank keeps its size and is zeros
 * there. */
bool block_grew(struct block *block);
void block_drain(struct block *block);
/* Drains and frees; block may be NULL. */
void block_close(struct block *block);
/*
 * How errors of the back end are dealt with from now on; before: all are reported. While a drain waits, what was held
 * is tried again, and errors are reported whatever the policy says.
 */
void block_set_policy(struct block *block, const struct block_policy *policy);
/* Try again what was held, of all disks (QMP cont). */
void block_errors_retry(struct block_errors *errors);
static inline bool block_busy(const struct block *block)
{
    return block->in_flight > 0;
}

/* What libxl's drive options say. */
enum block_cache {
    BLOCK_WRITEBACK,    /* page cache, guest flushes honoured */
    BLOCK_WRITETHROUGH, /* each write is flushed */
    BLOCK_NONE,         /* O_DIRECT */
    BLOCK_DIRECTSYNC,   /* O_DIRECT and each write flushed */
    BLOCK_UNSAFE,       /* flushes are ignored */
};

struct block_open {
    const char *path; /* or NULL with fd >= 0, which is taken on success */
    int fd;
    /*
     * NULL, "raw", "file", "host_device", "host_cdrom": the bytes of the file are those of the disk. Other names: an
     * image format, which is never guessed. path may name an NBD server, whose disk is raw:
     * nbd:unix:PATH[:exportname=E], nbd:HOST:PORT[:exportname=E], nbd://HOST[:PORT]/E, nbd+unix:///E?socket=PATH.
     */
    const char *format;
    enum block_cache cache;
    bool read_only, discard, lock;
    struct loop *loop;
    struct log *log;
};

#endif
