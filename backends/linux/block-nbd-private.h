/* What the parts of the NBD disk share: block-nbd.c has the requests, block-nbd-link.c the connection,
 * block-nbd-target.c the addresses. */
#ifndef THINDM_LINUX_BLOCK_NBD_PRIVATE_H
#define THINDM_LINUX_BLOCK_NBD_PRIVATE_H

#include "block-nbd.h"
#include "block-private.h"
#include "epoll.h"
#include <libnbd.h>
#include <sys/socket.h>

struct image_child;

enum { NBD_SLOTS = 16, NBD_BOUNCE_BYTES = 128 << 10, NBD_MAX_ADDRS = 4, NBD_NAME_BYTES = 160, NBD_EXPORT_BYTES = 256 };

/* libnbd's functions that we use, by their names without nbd_. */
struct nbd_lib {
    __typeof__(nbd_create) *create;
    __typeof__(nbd_close) *close;
    __typeof__(nbd_get_error) *get_error;
    __typeof__(nbd_get_errno) *get_errno;
    __typeof__(nbd_set_export_name) *set_export_name;
    __typeof__(nbd_set_request_structured_replies) *set_request_structured_replies;
    __typeof__(nbd_aio_connect) *aio_connect;
    __typeof__(nbd_aio_disconnect) *aio_disconnect;
    __typeof__(nbd_aio_get_fd) *aio_get_fd;
    __typeof__(nbd_aio_get_direction) *aio_get_direction;
    __typeof__(nbd_aio_notify_read) *aio_notify_read;
    __typeof__(nbd_aio_notify_write) *aio_notify_write;
    __typeof__(nbd_aio_is_ready) *aio_is_ready;
    __typeof__(nbd_aio_is_processing) *aio_is_processing;
    __typeof__(nbd_aio_is_dead) *aio_is_dead;
    __typeof__(nbd_aio_is_closed) *aio_is_closed;
    __typeof__(nbd_get_size) *get_size;
    __typeof__(nbd_get_block_size) *get_block_size;
    __typeof__(nbd_is_read_only) *is_read_only;
    __typeof__(nbd_can_flush) *can_flush;
    __typeof__(nbd_can_fua) *can_fua;
    __typeof__(nbd_can_trim) *can_trim;
    __typeof__(nbd_aio_pread) *aio_pread;
    __typeof__(nbd_aio_pwrite) *aio_pwrite;
    __typeof__(nbd_aio_flush) *aio_flush;
    __typeof__(nbd_aio_trim) *aio_trim;
};

/* The library, loaded once; NULL with one line in the log. */
const struct nbd_lib *nbd_lib_load(struct log *log);

/* Where a server is. */
struct nbd_target {
    char name[NBD_NAME_BYTES]; /* for the log */
    char export[NBD_EXPORT_BYTES];
    struct {
        struct sockaddr_storage addr;
        socklen_t len;
    } addrs[NBD_MAX_ADDRS]; /* to be tried in this order */
    unsigned nr_addrs;
};

/* Understand path and look its host name up, which may take time. 0, or -EINVAL, -EHOSTUNREACH with the reason in *why,
 * a constant. */
int nbd_target_parse(const char *path, struct nbd_target *target, const char **why) WARN_UNUSED;

/* A command under way for a request, or about to be. */
struct nbd_slot {
    struct nbd_disk *disk;
    struct block_req *req; /* NULL: free */
    struct block_piece piece;
    bool answered;   /* libnbd is done with it */
    int err;         /* the answer, -errno */
    bool bounced;    /* the piece's memory is bounce */
    bool filled;     /* the window of a write to parts of blocks was read */
    uint8_t *bounce; /* NBD_BOUNCE_BYTES, NULL until needed */
};

enum nbd_state { NBD_DOWN, NBD_CONNECTING, NBD_UP };

struct nbd_disk {
    struct block block;
    struct nbd_disks *all;
    struct nbd_disk *next;
    const struct nbd_lib *lib;
    struct nbd_target target;
    struct image_child *child; /* NULL: the server is not ours */
    enum block_cache cache;
    /* The connection. */
    struct nbd_handle *handle; /* NULL while DOWN */
    struct fd_source source;
    uint32_t events; /* what source waits for */
    enum nbd_state state;
    bool proven;   /* the server answered a request since the connection was made */
    bool opened;   /* was UP once: what the export is must not change */
    bool given_up; /* gone for too long: requests fail */
    bool finished; /* no further attempt makes sense */
    char why[200]; /* why it is not UP */
    unsigned addr; /* the next one to try, or the one that works */
    struct log_rate log_rate;
    uint64_t up_ns;
    uint64_t down_ns, retry_ns, backoff_ns, connect_ns,
        progress_ns; /* on the monotonic clock: since, at, how long, until, last */
    /* What the export is. */
    uint32_t unit, max_bytes; /* what requests are multiples of, and how long at most */
    bool can_flush, can_fua, can_trim;
    bool dirty; /* written to since the last flush */
    bool lost;  /* a helper died with such writes: a flush can't be promised any more */
    /* Requests. */
    struct req_queue waiting, ended;
    struct nbd_slot slots[NBD_SLOTS];
    unsigned begun;          /* in slots */
    struct block_req *alone; /* changes parts of blocks: nothing runs beside it */
};

uint64_t nbd_now_ns(void);

/* block-nbd-link.c. Begin a connection; the result comes from nbd_link_event() or nbd_link_tick(). */
void nbd_link_connect(struct nbd_disk *d);
/* Serve the socket, ready for events. Answered slots are left for nbd_slots_answered(). */
void nbd_link_event(struct nbd_disk *d, uint32_t events);
/* What is due. */
void nbd_link_tick(struct nbd_disk *d);
/* When nbd_link_tick() has something to do; UINT64_MAX: never. */
uint64_t nbd_link_deadline(const struct nbd_disk *d);
/* Have epoll wait for what libnbd waits for; after each of its calls. */
void nbd_link_listen(struct nbd_disk *d);
/* Sleep until the socket is ready or something is due, and serve it. */
void nbd_link_wait(struct nbd_disk *d);
/* The connection is of no use any more: its requests go back. */
void nbd_link_lost(struct nbd_disk *d, const char *why);
/* Say good-bye and forget the connection. */
void nbd_link_close(struct nbd_disk *d);

/* block-nbd.c. The connection went: what was under way waits again. */
void nbd_slots_requeue(struct nbd_disk *d);
/* Commands were answered, or may have been: go on with their requests. */
void nbd_slots_answered(struct nbd_disk *d);
/* No connection for too long: all that waits fails. */
void nbd_slots_fail(struct nbd_disk *d);
/* Start and deliver, from the loop. */
void nbd_disk_kick(struct nbd_disk *d);

#endif
