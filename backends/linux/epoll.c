/* The loop's wait over epoll: see epoll.h. */
#include "epoll.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 16 };

/* The events of one wait. A callback may itself wait (and so nest), or remove sources that still have an event here. */
struct epoll_wait_frame {
    struct epoll_wait_frame *outer;
    int nr, at;
    struct epoll_event events[EVENTS_AT_ONCE];
};

static uint64_t now_ns(void *opaque)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* answered by the vdso, without a system call */
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Rounded up: to wake up early would mean to go round once more for nothing. */
static int to_ms(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    uint64_t ms = ((uint64_t)timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int fetch(struct epoll_host *host, struct epoll_event *events, int64_t timeout_ns)
{
    if (timeout_ns > 0 && !host->coarse) {
        /* Through syscall(): older C libraries don't know it. The kernel's type, with 64 bits for both members. */
        struct __attribute__((aligned(8))) {
            int64_t sec, nsec;
        } ts = { timeout_ns / (int64_t)NS_PER_S, timeout_ns % (int64_t)NS_PER_S };
        long nr = syscall(SYS_epoll_pwait2, host->fd, events, EVENTS_AT_ONCE, &ts, NULL, (size_t)0);
        if (nr >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)nr;
        host->coarse = true;
    }
    return epoll_wait(host->fd, events, EVENTS_AT_ONCE, to_ms(timeout_ns));
}

static int wait_for(void *opaque, int64_t timeout_ns)
{
    struct epoll_host *host = opaque;
    struct epoll_wait_frame frame;
    frame.nr = fetch(host, frame.events, timeout_ns);
    if (frame.nr < 0)
        return errno == EINTR ? 0 : -errno;
    frame.outer = host->frame;
    host->frame = &frame;
    for (frame.at = 0; frame.at < frame.nr;) {
        struct epoll_event event = frame.events[frame.at++];
        struct fd_source *source = event.data.ptr;
        if (source) /* NULL: removed by an earlier callback */
            source->fn(source->opaque, event.events);
    }
    host->frame = frame.outer;
    return 0;
}

const struct loop_host epoll_loop_host = { .now_ns = now_ns, .wait = wait_for };

int epoll_look(struct epoll_host *host)
{
    return wait_for(host, 0);
}

int epoll_host_init(struct epoll_host *host)
{
    *host = (struct epoll_host){ .fd = epoll_create1(EPOLL_CLOEXEC) };
    return host->fd >= 0 ? 0 : -errno;
}

void epoll_host_finish(struct epoll_host *host)
{
    if (host->fd > 0)
        close(host->fd);
    *host = (struct epoll_host){ .fd = -1 };
}

static int control(struct epoll_host *host, int op, struct fd_source *source, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = source };
    return epoll_ctl(host->fd, op, source->fd, &event) == 0 ? 0 : -errno;
}

int epoll_source_add(struct epoll_host *host, struct fd_source *source, uint32_t events)
{
    int err = control(host, EPOLL_CTL_ADD, source, events);
    if (!err) {
        source->added = true;
        host->nr_sources++;
    }
    return err;
}

int epoll_source_mod(struct epoll_host *host, struct fd_source *source, uint32_t events)
{
    return control(host, EPOLL_CTL_MOD, source, events);
}

void epoll_source_remove(struct epoll_host *host, struct fd_source *source)
{
    if (!source->added)
        return;
    source->added = false;
    host->nr_sources--;
    (void)control(host, EPOLL_CTL_DEL, source, 0);
    for (struct epoll_wait_frame *frame = host->frame; frame; frame = frame->outer)
        for (int i = frame->at; i < frame->nr; i++)
            if (frame->events[i].data.ptr == source)
                frame->events[i].data.ptr = NULL;
}
