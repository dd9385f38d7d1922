/*
 * What backends/xen uses of libxenevtchn. As there, a port that fired and was read stays quiet until it is unmasked:
 * it is not listened to. An event that comes meanwhile stays pending in the page shared with Xen, and fires as soon as
 * the port is listened to again, so none is lost.
 */
#include "../kernel/events.h"
#include "xenlib.h"
#include <errno.h>

struct channel {
    evtchn_port_t port;
    bool bound, fired; /* fired: not read yet */
};

struct xenevtchn_handle {
    struct channel channels[EVENTS_MAX_PORTS];
    unsigned nr_fired;
    void (*fn)(void *opaque);
    void *opaque;
};
static struct xenevtchn_handle the_handle;

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    the_handle = (struct xenevtchn_handle){ 0 };
    return &the_handle;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    for (unsigned i = 0; i < EVENTS_MAX_PORTS; i++)
        if (xce->channels[i].bound)
            events_close(xce->channels[i].port);
    *xce = (struct xenevtchn_handle){ 0 };
    return 0;
}

void xenlib_on_event(xenevtchn_handle *xce, void (*fn)(void *opaque), void *opaque)
{
    xce->fn = fn;
    xce->opaque = opaque;
    if (fn && xce->nr_fired > 0)
        fn(opaque); /* they came before anybody asked */
}

static void fired(void *opaque, evtchn_port_t port)
{
    struct xenevtchn_handle *xce = &the_handle;
    struct channel *channel = opaque;
    events_forget(port);
    channel->fired = true;
    xce->nr_fired++;
    if (xce->fn)
        xce->fn(xce->opaque);
}

static struct channel *find(xenevtchn_handle *xce, bool bound, evtchn_port_t port)
{
    for (unsigned i = 0; i < EVENTS_MAX_PORTS; i++) {
        struct channel *channel = &xce->channels[i];
        if (channel->bound == bound && (!bound || channel->port == port))
            return channel;
    }
    return NULL;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid, evtchn_port_t remote_port)
{
    struct channel *channel = find(xce, false, 0);
    evtchn_port_t port;
    if (!channel)
        return xenlib_result(-ENOSPC);
    int err = events_bind_interdomain((domid_t)domid, remote_port, &port);
    if (err)
        return xenlib_result(err);
    err = events_listen(port, fired, channel);
    if (err) {
        events_close(port);
        return xenlib_result(err);
    }
    *channel = (struct channel){ .port = port, .bound = true };
    return (xenevtchn_port_or_error_t)port;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    for (unsigned i = 0; i < EVENTS_MAX_PORTS && xce->nr_fired > 0; i++) {
        struct channel *channel = &xce->channels[i];
        if (!channel->fired)
            continue;
        channel->fired = false;
        xce->nr_fired--;
        return (xenevtchn_port_or_error_t)channel->port;
    }
    return xenlib_result(-EAGAIN);
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    struct channel *channel = find(xce, true, port);
    return xenlib_result(channel ? events_listen(port, fired, channel) : -ENOENT);
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    return xenlib_result(events_notify(port));
}
