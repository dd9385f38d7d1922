/*
 * struct pv_ops over Xen's libraries: a xenstore connection, an event channel handle and a grant handle of their own,
 * beside those of the ioreq server. Setting a watch makes libxenstore start a thread that reads the connection.
 * Sources: xenstore.h, xenevtchn.h, xengnttab.h, xenforeignmemory.h.
 */
#include "../linux/epoll.h"
#include "pv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <thindm/log.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>
#include <xenstore.h>
#include <xentoollog.h>

enum { WATCHES_AT_ONCE = 64, EVENTS_AT_ONCE = 64, COPIES_AT_ONCE = 64 };

struct pv_xen {
    uint16_t domid;
    struct epoll_host *epoll;
    struct log *log;
    struct pv *pv;
    xentoollog_logger logger;
    struct xs_handle *xs;
    xenevtchn_handle *evtchn;
    xengnttab_handle *gnttab;
    struct fd_source watches, events;
    struct task more; /* watch events that one round left */
};

static int error_of_errno(void)
{
    return errno ? -errno : -EIO;
}

/* --- xenstore --- */

static int xen_read(void *opaque, const char *path, char *value, size_t size)
{
    struct pv_xen *xen = opaque;
    unsigned len = 0;
    char *node = xs_read(xen->xs, XBT_NULL, path, &len);
    if (!node)
        return error_of_errno();
    bool fits = len < size && !memchr(node, '\0', len);
    if (fits) {
        memcpy(value, node, len);
        value[len] = '\0';
    }
    free(node);
    return fits ? 0 : -E2BIG;
}

static int xen_write(void *opaque, const char *path, const char *value)
{
    struct pv_xen *xen = opaque;
    return xs_write(xen->xs, XBT_NULL, path, value, (unsigned)strlen(value)) ? 0 : error_of_errno();
}

static int xen_list(void *opaque, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
    struct pv_xen *xen = opaque;
    unsigned nr = 0;
    char **names = xs_directory(xen->xs, XBT_NULL, path, &nr);
    if (!names)
        return error_of_errno();
    for (unsigned i = 0; i < nr; i++)
        fn(arg, names[i]);
    free(names);
    return 0;
}

static int xen_watch(void *opaque, const char *path, const char *token)
{
    struct pv_xen *xen = opaque;
    return xs_watch(xen->xs, path, token) ? 0 : error_of_errno();
}

static void xen_unwatch(void *opaque, const char *path, const char *token)
{
    struct pv_xen *xen = opaque;
    (void)xs_unwatch(xen->xs, path, token);
}

static void take_watches(void *opaque)
{
    struct pv_xen *xen = opaque;
    for (unsigned i = 0; i < WATCHES_AT_ONCE; i++) {
        char **event = xs_check_watch(xen->xs);
        if (!event)
            return;
        if (xen->pv)
            pv_watch(xen->pv, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
        free(event);
    }
    task_post(&xen->more); /* the descriptor may not say so again */
}

static void watches_readable(void *opaque, uint32_t events)
{
    take_watches(opaque);
}

/* --- Grants --- */

static int xen_map(void *opaque, const uint32_t *refs, unsigned nr, bool write, void **ptr)
{
    struct pv_xen *xen = opaque;
    /* The library doesn't write to refs. */
    *ptr = xengnttab_map_domain_grant_refs(xen->gnttab, nr, xen->domid, (uint32_t *)(uintptr_t)refs,
                                           write ? PROT_READ | PROT_WRITE : PROT_READ);
    return *ptr ? 0 : error_of_errno();
}

static void xen_unmap(void *opaque, void *ptr, unsigned nr)
{
    struct pv_xen *xen = opaque;
    if (xengnttab_unmap(xen->gnttab, ptr, nr))
        log_print(xen->log, LOG_ERROR, "pv", "unmapping %u pages of the guest failed: %s", nr, strerror(errno));
}

/* The handle goes at once: a mapping needs none, and who serves PV back ends only has no other use for one. */
static int xen_map_frame(void *opaque, uint64_t frame, void **ptr)
{
    struct pv_xen *xen = opaque;
    xen_pfn_t pfn = frame;
    xenforeignmemory_handle *fmem = xenforeignmemory_open(&xen->logger, 0);
    if (!fmem)
        return error_of_errno();
    *ptr = xenforeignmemory_map(fmem, xen->domid, PROT_READ | PROT_WRITE, 1, &pfn, NULL);
    int err = *ptr ? 0 : error_of_errno();
    (void)xenforeignmemory_close(fmem);
    return err;
}

static void xen_unmap_frame(void *opaque, void *ptr)
{
    (void)munmap(ptr, PAGE_BYTES);
}

static void fill_copy(const struct pv_xen *xen, const struct pv_copy *copy, xengnttab_grant_copy_segment_t *segment)
{
    *segment = (xengnttab_grant_copy_segment_t){ .len = copy->len };
    union xengnttab_copy_ptr *theirs = copy->to_guest ? &segment->dest : &segment->source;
    union xengnttab_copy_ptr *ours = copy->to_guest ? &segment->source : &segment->dest;
    segment->flags = copy->to_guest ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    theirs->foreign.ref = copy->ref;
    theirs->foreign.offset = copy->offset;
    theirs->foreign.domid = xen->domid;
    ours->virt = copy->ptr;
}

static void xen_copy(void *opaque, struct pv_copy *copies, unsigned nr)
{
    struct pv_xen *xen = opaque;
    xengnttab_grant_copy_segment_t segments[COPIES_AT_ONCE];
    for (unsigned done = 0, n; done < nr; done += n) {
        n = nr - done < COPIES_AT_ONCE ? nr - done : COPIES_AT_ONCE;
        for (unsigned i = 0; i < n; i++)
            fill_copy(xen, &copies[done + i], &segments[i]);
        int err = xengnttab_grant_copy(xen->gnttab, n, segments) ? error_of_errno() : 0;
        for (unsigned i = 0; i < n; i++)
            copies[done + i].err = err ? err : segments[i].status == GNTST_okay ? 0 : -EFAULT;
    }
}

/* --- Event channels --- */

static int xen_bind(void *opaque, uint32_t remote, uint32_t *port)
{
    struct pv_xen *xen = opaque;
    xenevtchn_port_or_error_t local = xenevtchn_bind_interdomain(xen->evtchn, xen->domid, remote);
    if (local < 0)
        return error_of_errno();
    *port = (uint32_t)local;
    return 0;
}

static void xen_unbind(void *opaque, uint32_t port)
{
    struct pv_xen *xen = opaque;
    (void)xenevtchn_unbind(xen->evtchn, port);
}

static void xen_notify(void *opaque, uint32_t port)
{
    struct pv_xen *xen = opaque;
    if (xenevtchn_notify(xen->evtchn, port))
        log_print(xen->log, LOG_ERROR, "pv", "notifying event channel %u failed: %s", port, strerror(errno));
}

/* One read per port that fired; it is let fire again before what it announces is looked at. */
static void events_readable(void *opaque, uint32_t events)
{
    struct pv_xen *xen = opaque;
    for (unsigned i = 0; i < EVENTS_AT_ONCE; i++) {
        xenevtchn_port_or_error_t port = xenevtchn_pending(xen->evtchn);
        if (port < 0) {
            if (errno != EAGAIN)
                log_print(xen->log, LOG_ERROR, "pv", "reading events failed: %s", strerror(errno));
            return;
        }
        (void)xenevtchn_unmask(xen->evtchn, (evtchn_port_t)port); /* fails for one that was unbound meanwhile */
        if (xen->pv)
            pv_event(xen->pv, (uint32_t)port);
    }
}

const struct pv_ops pv_xen_ops = {
    .read = xen_read,
    .write = xen_write,
    .list = xen_list,
    .watch = xen_watch,
    .unwatch = xen_unwatch,
    .map = xen_map,
    .unmap = xen_unmap,
    .map_frame = xen_map_frame,
    .unmap_frame = xen_unmap_frame,
    .copy = xen_copy,
    .bind = xen_bind,
    .unbind = xen_unbind,
    .notify = xen_notify,
};

/* --- Open, close --- */

/* The libraries explain failing calls by themselves, and a guest can make calls fail: at debug level only. */
static void library_message(struct xentoollog_logger *logger, xentoollog_level level, int err, const char *context,
                            const char *format, va_list args)
{
    struct pv_xen *xen = container_of(logger, struct pv_xen, logger);
    log_vprint(xen->log, LOG_DEBUG, context ? context : "pv", format, args);
}

static void library_progress(struct xentoollog_logger *logger, const char *context, const char *doing, int percent,
                             unsigned long done, unsigned long total)
{
}

static void library_destroy(struct xentoollog_logger *logger)
{
}

static int listen_to(struct pv_xen *xen, struct fd_source *source, int fd, void (*fn)(void *, uint32_t))
{
    *source = (struct fd_source){ .fd = fd, .fn = fn, .opaque = xen };
    return fd < 0 ? error_of_errno() : epoll_source_add(xen->epoll, source, EPOLLIN);
}

static int listen_to_all(struct pv_xen *xen)
{
    int flags, fd = xenevtchn_fd(xen->evtchn);
    if (fd < 0 || (flags = fcntl(fd, F_GETFL)) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_of_errno();
    int err = listen_to(xen, &xen->events, fd, events_readable);
    return err ? err : listen_to(xen, &xen->watches, xs_fileno(xen->xs), watches_readable);
}

int pv_xen_open(uint16_t domid, struct epoll_host *epoll, struct loop *loop, struct log *log, struct pv_xen **out,
                char error[CONFIG_ERROR_BYTES])
{
    struct pv_xen *xen = calloc(1, sizeof(*xen));
    if (!xen) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    *xen = (struct pv_xen){
        .domid = domid, .epoll = epoll, .log = log, .logger = { library_message, library_progress, library_destroy }
    };
    task_init(&xen->more, loop, take_watches, xen);
    const char *what = "xenstore";
    xen->xs = xs_open(0);
    if (xen->xs) {
        what = "the event channel device";
        xen->evtchn = xenevtchn_open(&xen->logger, 0);
    }
    if (xen->evtchn) {
        what = "the grant device";
        xen->gnttab = xengnttab_open(&xen->logger, 0);
    }
    int err = xen->gnttab ? 0 : error_of_errno();
    if (!err) {
        what = "their descriptors";
        err = listen_to_all(xen);
    }
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "PV back ends: can't open %s: %s", what, strerror(-err));
        pv_xen_close(xen);
        return err;
    }
    *out = xen;
    return 0;
}

void pv_xen_bind(struct pv_xen *xen, struct pv *pv)
{
    xen->pv = pv;
}

int pv_xen_announce(struct pv_xen *xen)
{
    char path[48];
    (void)snprintf(path, sizeof(path), "device-model/%u/state", xen->domid);
    return xen_write(xen, path, "running");
}

void pv_xen_close(struct pv_xen *xen)
{
    if (!xen)
        return;
    task_cancel(&xen->more);
    epoll_source_remove(xen->epoll, &xen->watches);
    epoll_source_remove(xen->epoll, &xen->events);
    if (xen->gnttab)
        xengnttab_close(xen->gnttab);
    if (xen->evtchn)
        xenevtchn_close(xen->evtchn);
    if (xen->xs)
        xs_close(xen->xs);
    free(xen);
}
