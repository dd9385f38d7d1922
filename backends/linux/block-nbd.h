/*
 * Disks on NBD servers: somebody else's, by address, or a helper of our own that reads an image format (block-child.h).
 * libnbd is loaded when the first one is opened: it brings some 1.4 MiB and 10 ms that other guests need not pay.
 */
#ifndef THINDM_LINUX_BLOCK_NBD_H
#define THINDM_LINUX_BLOCK_NBD_H

#include "epoll.h"
#include <thindm/block.h>
#include <thindm/log.h>

struct nbd_disk;
struct nbd_lib;

/* What all of them share. One per process, embedded in struct linux_host. */
struct nbd_disks {
    struct epoll_host *epoll;
    struct loop *loop;
    struct log *log;
    struct nbd_disk *first;
    const struct nbd_lib *lib; /* NULL until one is opened */
    struct task kick;          /* starts what was submitted, delivers what ended */
    struct fd_source
        alarm;         /* the next deadline of any of them, on the host's clock: a server's time is not the guest's */
    uint64_t alarm_ns; /* when it goes off, 0: never */
    /* How long a server may be gone before requests fail, and how long one may be silent before it counts as gone;
     * tests shorten them. */
    uint64_t hold_ns, stall_ns;
};

void nbd_disks_init(struct nbd_disks *disks, struct epoll_host *epoll, struct loop *loop, struct log *log);
/* Every disk must be closed. Repeats harmlessly. */
void nbd_disks_finish(struct nbd_disks *disks);

/* Does path name an NBD server? */
bool block_nbd_is_target(const char *path);

/*
 * Open open->path, an NBD target (see block.h), or with an image format in open->format the image behind a helper.
 * Waits for the server, 10 s at most. Requests that a lost connection leaves behind are sent again over the next one;
 * after hold_ns without one they, and all that follow, fail with -EIO until it is back. open->fd is taken on success.
 * 0, or -errno after a line in the log.
 */
int block_nbd_open(struct nbd_disks *disks, const struct block_open *open, struct block **out) WARN_UNUSED;

#endif
