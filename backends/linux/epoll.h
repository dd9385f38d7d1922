/* The Linux host of loop.h: epoll, the monotonic clock, and descriptors as event sources. */
#ifndef THINDM_LINUX_EPOLL_H
#define THINDM_LINUX_EPOLL_H

#include <sys/epoll.h>
#include <thindm/loop.h>
#include <thindm/util.h>

/* A descriptor the loop listens to; the caller's, zeroed but for fd, fn and opaque before it is added. */
struct fd_source {
    int fd;
    /* From the loop. events: EPOLLIN and friends; EPOLLHUP and EPOLLERR come unasked. May remove and free any source.
     */
    void (*fn)(void *opaque, uint32_t events);
    void *opaque;
    bool added; /* epoll.c's */
};

struct epoll_wait_frame;

struct epoll_host {
    int fd;
    unsigned nr_sources;
    bool coarse;                    /* the kernel has no epoll_pwait2: time-outs are rounded up to milliseconds */
    struct epoll_wait_frame *frame; /* events of the wait that is being served */
};

/* For loop_init(&loop, &epoll_loop_host, &epoll). */
extern const struct loop_host epoll_loop_host;

/* 0 or -errno (-EMFILE ...). */
int epoll_host_init(struct epoll_host *host) WARN_UNUSED;
/* All sources are forgotten, their descriptors stay open. Repeats harmlessly. */
void epoll_host_finish(struct epoll_host *host);

/*
 * Listen to source->fd for events (level-triggered unless EPOLLET is among them). The source must stay where it is
 * until it is removed. 0, or -errno: -EPERM for files that are always ready (regular files, /dev/null), -EEXIST if the
 * fd is known.
 */
int epoll_source_add(struct epoll_host *host, struct fd_source *source, uint32_t events) WARN_UNUSED;
/* Other events for a source that was added. 0 or -errno. */
int epoll_source_mod(struct epoll_host *host, struct fd_source *source, uint32_t events) WARN_UNUSED;
/* No callback comes after it returned, not even of an event that was already fetched. To be called before close().
 * Harmless if not added. */
void epoll_source_remove(struct epoll_host *host, struct fd_source *source);

/* The handle of epoll_loop_host.wait with a time-out of 0: serve what is ready. 0 or -errno. */
int epoll_look(struct epoll_host *host);

#endif
