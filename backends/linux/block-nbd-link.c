/*
 * The connection of an NBD disk: made and made again, watched, given up. Everything but the look-up of a host's name is
 * asynchronous. Deadlines are on the monotonic clock, since a drain waits for them while the loop doesn't run.
 */
#include "block-nbd-private.h"

#include "block-child.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CONNECT_NS   (10 * NS_PER_S)
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (5 * NS_PER_S)
enum {
    MAX_UNIT = 64 << 10,
    MAX_COMMAND = 2 << 20
}; /* the largest unit the protocol knows; what we ask for at a time */

uint64_t nbd_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void because(struct nbd_disk *d, const char *why)
{
    (void)snprintf(d->why, sizeof(d->why), "%s", why ? why : "the server closed it");
}

static void forget(struct nbd_disk *d)
{
    epoll_source_remove(d->all->epoll, &d->source);
    d->events = 0;
    if (d->handle)
        d->lib->close(d->handle);
    d->handle = NULL;
    d->state = NBD_DOWN;
}

/* No connection, or none any more: when to try again, and what to say. */
static void failed(struct nbd_disk *d)
{
    bool was_up = d->state == NBD_UP;
    uint64_t now = nbd_now_ns();
    forget(d);
    if (d->child)
        image_child_reap(d->child, d->why, sizeof(d->why));
    nbd_slots_requeue(d);
    if (was_up &&
        d->proven) { /* else it is the same trouble still: a request that no connection survives must fail one day */
        d->down_ns = now;
        d->backoff_ns = now - d->up_ns >= NS_PER_S ? 0 : RETRY_MIN_NS;
    }
    d->proven = false;
    if (was_up) {
        d->lost = d->lost || (d->child && d->dirty); /* what it had not written yet is gone with it */
        log_limited(d->all->log, LOG_WARN, &d->log_rate, "block", "%s: connection lost: %s; trying to get it back%s",
                    d->target.name, d->why, d->lost ? ", but what was written since the last flush may be lost" : "");
    } else if (d->target.nr_addrs > 0) {
        d->addr = (d->addr + 1) % d->target.nr_addrs;
    }
    d->retry_ns = now + d->backoff_ns;
    d->backoff_ns = d->backoff_ns ? min_u64(d->backoff_ns * 2, RETRY_MAX_NS) : RETRY_MIN_NS;
}

void nbd_link_lost(struct nbd_disk *d, const char *why)
{
    because(d, why);
    failed(d);
}

static void lost_by_library(struct nbd_disk *d)
{
    nbd_link_lost(d, d->lib->get_error());
}

/* A helper is started anew first; one that can't be ends all attempts. */
static bool restart_helper(struct nbd_disk *d)
{
    if (!d->child || image_child_runs(d->child))
        return true;
    const char *why;
    int err = image_child_start(d->child, (struct sockaddr_un *)(void *)&d->target.addrs[0].addr, &why);
    if (!err) {
        d->target.addrs[0].len = sizeof(struct sockaddr_un);
        d->target.nr_addrs = 1;
        return true;
    }
    d->finished = true;
    because(d, why);
    return false;
}

void nbd_link_connect(struct nbd_disk *d)
{
    const struct nbd_lib *lib = d->lib;
    d->state = NBD_CONNECTING;
    d->connect_ns = nbd_now_ns() + CONNECT_NS;
    if (!restart_helper(d)) {
        forget(d);
        return;
    }
    d->handle = lib->create();
    if (!d->handle || lib->set_export_name(d->handle, d->target.export) != 0 ||
        lib->set_request_structured_replies(d->handle, false) != 0 || /* fewer kinds of replies to believe */
        lib->aio_connect(d->handle, (const struct sockaddr *)&d->target.addrs[d->addr].addr,
                         d->target.addrs[d->addr].len) != 0) {
        lost_by_library(d);
        return;
    }
    if (d->child)
        image_child_connected(d->child);
    nbd_link_listen(d);
}

void nbd_link_listen(struct nbd_disk *d)
{
    static const uint32_t wanted[] = { [0] = 0,
                                       [LIBNBD_AIO_DIRECTION_READ] = EPOLLIN,
                                       [LIBNBD_AIO_DIRECTION_WRITE] = EPOLLOUT,
                                       [LIBNBD_AIO_DIRECTION_BOTH] = EPOLLIN | EPOLLOUT };
    if (!d->handle)
        return;
    int fd = d->lib->aio_get_fd(d->handle), err = 0;
    uint32_t events = wanted[d->lib->aio_get_direction(d->handle) & 3];
    if (fd < 0)
        return; /* dead: the caller finds out */
    if (!d->source.added) {
        d->source.fd = fd;
        err = epoll_source_add(d->all->epoll, &d->source, events);
    } else if (events != d->events) {
        err = epoll_source_mod(d->all->epoll, &d->source, events);
    }
    d->events = events;
    if (err)
        nbd_link_lost(d, strerror(-err));
}

/* The export must be what it was. NULL, or why it can't be used. */
static const char *check_export(struct nbd_disk *d, uint64_t size, bool read_only, uint64_t unit)
{
    if (!is_pow2(unit) || unit > MAX_UNIT)
        return "the server has an odd block size";
    if (!d->opened && read_only && !d->block.read_only)
        return "the export is read-only, the disk is not";
    if (d->opened && read_only && !d->block.read_only)
        return "the export is read-only now";
    if (d->opened && (size & ~(unit - 1)) < d->block.size_bytes)
        return "the export is smaller now";
    return NULL;
}

static void established(struct nbd_disk *d)
{
    const struct nbd_lib *lib = d->lib;
    int64_t size = lib->get_size(d->handle), unit = lib->get_block_size(d->handle, LIBNBD_SIZE_MINIMUM);
    int64_t most = lib->get_block_size(d->handle, LIBNBD_SIZE_MAXIMUM);
    int read_only = lib->is_read_only(d->handle);
    if (size < 0 || unit < 0 || most < 0 || read_only < 0) {
        lost_by_library(d);
        return;
    }
    unit = unit ? unit : 1;
    const char *why = check_export(d, (uint64_t)size, read_only > 0, (uint64_t)unit);
    if (why) {
        nbd_link_lost(d, why);
        return;
    }
    d->unit = (uint32_t)unit;
    d->max_bytes = (uint32_t)min_u64(most > 0 ? (uint64_t)most : MAX_COMMAND, MAX_COMMAND) & ~(d->unit - 1);
    d->max_bytes = d->max_bytes < d->unit ? d->unit : d->max_bytes;
    d->can_flush = lib->can_flush(d->handle) > 0;
    d->can_fua = lib->can_fua(d->handle) > 0;
    d->can_trim = lib->can_trim(d->handle) > 0;
    if (!d->opened)
        d->block.size_bytes = (uint64_t)size & ~((uint64_t)unit - 1);
    else
        log_limited(d->all->log, LOG_INFO, &d->log_rate, "block", "%s: connection is back after %" PRIu64 " ms",
                    d->target.name, (nbd_now_ns() - d->down_ns) / NS_PER_MS);
    d->state = NBD_UP;
    d->proven = d->proven || !d->opened;
    d->opened = true;
    d->given_up = false;
    d->progress_ns = d->up_ns = nbd_now_ns();
}

void nbd_link_event(struct nbd_disk *d, uint32_t events)
{
    const struct nbd_lib *lib = d->lib;
    unsigned wants = lib->aio_get_direction(d->handle);
    bool over = events & (EPOLLHUP | EPOLLERR), bad = false;
    if (wants & LIBNBD_AIO_DIRECTION_READ && (over || events & EPOLLIN))
        bad = lib->aio_notify_read(d->handle) != 0;
    wants = lib->aio_get_direction(d->handle);
    if (!bad && wants & LIBNBD_AIO_DIRECTION_WRITE && (over || events & EPOLLOUT))
        bad = lib->aio_notify_write(d->handle) != 0;
    if (lib->aio_is_dead(d->handle) > 0 || lib->aio_is_closed(d->handle) > 0)
        lost_by_library(d);
    else if (d->state == NBD_CONNECTING && (lib->aio_is_ready(d->handle) > 0 || lib->aio_is_processing(d->handle) > 0))
        established(d);
    nbd_link_listen(d);
}

static bool confined(const struct nbd_disk *d)
{
    return strstr(d->why, strerror(EPERM)) || strstr(d->why, strerror(EACCES)) || strstr(d->why, strerror(ENOENT));
}

static void give_up(struct nbd_disk *d)
{
    d->given_up = true;
    log_limited(d->all->log, LOG_ERROR, &d->log_rate, "block", "%s: no connection: %s%s; the guest gets errors%s",
                d->target.name, d->why,
                confined(d) ? " (-sandbox, -chroot and -runas don't let a lost one be replaced)" : "",
                d->finished ? "" : " until it is back");
    nbd_slots_fail(d);
}

void nbd_link_tick(struct nbd_disk *d)
{
    uint64_t now = nbd_now_ns();
    if (d->state == NBD_UP && d->begun > 0 && now >= d->progress_ns + d->all->stall_ns)
        nbd_link_lost(d, "the server doesn't answer");
    else if (d->state == NBD_CONNECTING && now >= d->connect_ns)
        nbd_link_lost(d, "the server doesn't answer");
    if (d->state == NBD_DOWN && d->opened && !d->finished && now >= d->retry_ns)
        nbd_link_connect(d);
    if (d->state != NBD_UP && d->opened && !d->given_up && (d->finished || now >= d->down_ns + d->all->hold_ns))
        give_up(d);
}

uint64_t nbd_link_deadline(const struct nbd_disk *d)
{
    uint64_t give_up_ns = d->opened && !d->given_up ? d->finished ? 0 : d->down_ns + d->all->hold_ns : UINT64_MAX;
    switch (d->state) {
    case NBD_DOWN: return min_u64(d->finished ? UINT64_MAX : d->retry_ns, give_up_ns);
    case NBD_CONNECTING: return min_u64(d->connect_ns, give_up_ns);
    case NBD_UP: break;
    }
    return d->begun > 0 ? d->progress_ns + d->all->stall_ns : UINT64_MAX;
}

void nbd_link_wait(struct nbd_disk *d)
{
    uint64_t deadline = nbd_link_deadline(d), now = nbd_now_ns();
    uint64_t ms = deadline > now ? (min_u64(deadline - now, NS_PER_S) + NS_PER_MS - 1) / NS_PER_MS : 0;
    struct pollfd poll_fd = { .fd = -1 };
    if (d->handle) {
        poll_fd.fd = d->lib->aio_get_fd(d->handle);
        poll_fd.events = (short)((d->events & EPOLLIN ? POLLIN : 0) | (d->events & EPOLLOUT ? POLLOUT : 0));
    }
    int ready = poll(&poll_fd, 1, (int)ms);
    if (ready > 0 && d->handle)
        nbd_link_event(d, (poll_fd.revents & POLLIN ? EPOLLIN : 0u) | (poll_fd.revents & POLLOUT ? EPOLLOUT : 0u) |
                              (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL) ? EPOLLHUP : 0u));
    nbd_link_tick(d);
}

void nbd_link_close(struct nbd_disk *d)
{
    uint64_t until = nbd_now_ns() + NS_PER_S;
    if (d->state == NBD_UP && d->lib->aio_disconnect(d->handle, 0) == 0) {
        nbd_link_listen(d);
        while (d->state == NBD_UP && nbd_now_ns() < until && (d->events & EPOLLOUT)) { /* as far as it must wait */
            struct pollfd poll_fd = { .fd = d->source.fd, .events = POLLOUT };
            if (poll(&poll_fd, 1, 100) > 0 && d->lib->aio_notify_write(d->handle) != 0)
                break;
            if (d->lib->aio_get_fd(d->handle) < 0)
                break;
            nbd_link_listen(d);
        }
    }
    forget(d);
}
