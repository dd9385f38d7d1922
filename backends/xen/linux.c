/*
 * A Dom0 process as the host: events come out of a device that the loop listens to, xenstore through a connection that
 * is made at the start.
 */
#include "linux.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(int err, char error[CONFIG_ERROR_BYTES], const char *what)
{
    snprintf(error, CONFIG_ERROR_BYTES, "%s: %s", what, strerror(-err));
    return err;
}

int xen_host_open(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    struct xen_host *host = calloc(1, sizeof(*host));
    if (!host)
        return fail(-ENOMEM, error, "xenstore");
    xen->host = host;
    host->xs = xs_open(0);
    return host->xs ? 0 : fail(xen_errno(), error, "Xen is not there: can't open xenstore");
}

void xen_host_close(struct xen *xen)
{
    struct xen_host *host = xen->host;
    xen_host_deafen(xen);
    if (host && host->xs)
        xs_close(host->xs);
    free(host);
    xen->host = NULL;
}

/* The event channel device is readable: one read per fired port; a port that was read stays masked. */
static void readable(void *opaque, uint32_t events)
{
    xen_event(opaque);
}

int xen_host_listen(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    struct xen_host *host = xen->host;
    int fd = xenevtchn_fd(xen->evtchn);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail(xen_errno(), error, "can't make the event channel device non-blocking");
    host->events = (struct fd_source){ .fd = fd, .fn = readable, .opaque = xen };
    int err = epoll_source_add(xen->config.epoll, &host->events, EPOLLIN);
    return err ? fail(err, error, "can't watch the event channel device") : 0;
}

void xen_host_deafen(struct xen *xen)
{
    if (xen->host)
        epoll_source_remove(xen->config.epoll, &xen->host->events);
}
