/*
 * The ioreq server: its pages, its event channels, and when to look at what.
 *
 * A channel that fired stays masked while there is traffic: requests are then found by looking at the page (struct
 * loop_watch), and a burst costs one notification each. Only before the loop sleeps are the channels unmasked, and the
 * pages looked at once more. The ring of posted writes is treated more lazily: after its event it stays masked and is
 * looked at RING_POLL_NS later until it is found empty, so that drawing text doesn't cost a wake-up per character; any
 * synchronous request drains it first anyway.
 * Sources: xen/common/ioreq.c; xen/include/public/hvm/{ioreq.h,dm_op.h}.
 */
#include "xen-private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/dm_op.h>
#include <xen/memory.h>

#define RING_POLL_NS (20 * NS_PER_MS)

/* Frames of the resource: the ring, then the slots [memory.h, XENMEM_resource_ioreq_server]. */
enum { NR_PAGES = 2 };

static int fail(char error[CONFIG_ERROR_BYTES], const char *what)
{
    int err = xen_errno();
    snprintf(error, CONFIG_ERROR_BYTES, "%s: %s", what, strerror(-err));
    return err;
}

/* Kernels before 4.18 can't map the server's own pages: take two frames of the pool that libxc left in the guest. */
static int map_guest_frames(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    xen_pfn_t sync = 0, buffered = 0;
    if (xendevicemodel_get_ioreq_server_info(xen->dm, xen->config.domid, xen->server, &sync, &buffered,
                                             &xen->buffered_remote_port))
        return fail(error, "can't get the ioreq server's frames");
    xen_pfn_t frames[NR_PAGES] = { buffered, sync };
    xen->pages = xenforeignmemory_map(xen->fmem, xen->config.domid, PROT_READ | PROT_WRITE, NR_PAGES, frames, NULL);
    return xen->pages ? 0 : fail(error, "can't map the ioreq server's frames");
}

static int map_pages(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    xen->resource =
        xenforeignmemory_map_resource(xen->fmem, xen->config.domid, XENMEM_resource_ioreq_server, xen->server, 0,
                                      NR_PAGES, &xen->pages, PROT_READ | PROT_WRITE, 0);
    if (!xen->resource) {
        if (errno != EOPNOTSUPP && errno != ENOTTY)
            return fail(error, "can't map the ioreq server's pages");
        int err = map_guest_frames(xen, error);
        if (err)
            return err;
    } else if (xendevicemodel_get_ioreq_server_info(xen->dm, xen->config.domid, xen->server, NULL, NULL,
                                                    &xen->buffered_remote_port)) {
        return fail(error, "can't get the ioreq server's event channel");
    }
    xen->buffered_page = xen->pages;
    xen->sync_page = xen->buffered_page + PAGE_BYTES;
    return 0;
}

int xen_server_create(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    uint16_t domid = xen->config.domid;
    unsigned nr = 0;
    if (xendevicemodel_nr_vcpus(xen->dm, domid, &nr)) {
        int err = xen_errno();
        snprintf(error, CONFIG_ERROR_BYTES, "-xen-domid %u: %s", domid,
                 err == -ESRCH       ? "there is no such domain"
                 : err == -EINVAL    ? "not an HVM guest"
                 : err == -EOPNOTSUPP ? "this Xen is too old (4.15 or newer is needed)"
                                      : strerror(-err));
        return err;
    }
    if (nr == 0 || nr > IOREQ_MAX_VCPUS) {
        snprintf(error, CONFIG_ERROR_BYTES, "-xen-domid %u: %u virtual CPUs, 1 to %u can be served", domid, nr,
                 IOREQ_MAX_VCPUS);
        return -EINVAL;
    }
    xen->nr_vcpus = nr;
    if (xendevicemodel_create_ioreq_server(xen->dm, domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &xen->server))
        return fail(error, "can't create an ioreq server");
    xen->server_created = true;
    return map_pages(xen, error);
}

void xen_server_destroy(struct xen *xen)
{
    xen_host_deafen(xen);
    if (xen->watch.look)
        loop_set_watch(xen->config.loop, NULL);
    timer_cancel(&xen->ring_poll);
    if (xen->resource)
        xenforeignmemory_unmap_resource(xen->fmem, xen->resource);
    else if (xen->pages)
        xenforeignmemory_unmap(xen->fmem, xen->pages, NR_PAGES);
    xen->resource = NULL;
    xen->pages = NULL;
    /* A domain that is gone took its server along. */
    if (xen->server_created)
        (void)xendevicemodel_destroy_ioreq_server(xen->dm, xen->config.domid, xen->server);
    xen->server_created = false;
}

static void notify(struct xen *xen, struct xen_channel *channel)
{
    if (xenevtchn_notify(xen->evtchn, channel->port))
        log_print(xen->config.log, LOG_ERROR, "xen", "notifying event channel %u failed: %s; a vCPU may hang",
                  channel->port, strerror(errno));
}

static bool serve_vcpu(struct xen *xen, unsigned i)
{
    if (!ioreq_serve(&xen->engine, i))
        return false;
    notify(xen, &xen->vcpus[i]);
    return true;
}

/* struct loop_watch: whatever is there, without asking the kernel. */
static bool look(void *opaque)
{
    struct xen *xen = opaque;
    bool found = false;
    for (unsigned i = 0; i < xen->nr_vcpus && !xen->held; i++)
        found |= serve_vcpu(xen, i);
    return found;
}

static void unmask(struct xen *xen, struct xen_channel *channel)
{
    channel->masked = false;
    if (xenevtchn_unmask(xen->evtchn, channel->port))
        log_print(xen->config.log, LOG_ERROR, "xen", "unmasking event channel %u failed: %s", channel->port,
                  strerror(errno));
}

/* struct loop_watch: nothing was found; let events come again, then look again, as one may have come in between. */
static bool before_sleep(void *opaque)
{
    struct xen *xen = opaque;
    bool found = false;
    for (unsigned i = 0; i < xen->nr_vcpus && !xen->held; i++) {
        if (!xen->vcpus[i].masked)
            continue;
        unmask(xen, &xen->vcpus[i]);
        found |= serve_vcpu(xen, i);
    }
    return found;
}

static void poll_ring(void *opaque)
{
    struct xen *xen = opaque;
    if (ioreq_drain(&xen->engine) > 0) {
        timer_arm(&xen->ring_poll, RING_POLL_NS);
        return;
    }
    unmask(xen, &xen->ring);
    if (ioreq_drain(&xen->engine) > 0) /* came in before the unmask: its event was swallowed */
        timer_arm(&xen->ring_poll, RING_POLL_NS);
}

/* A port that was read stays masked. */
void xen_event(struct xen *xen)
{
    /* Each port fires at most once while it is masked: bounded by the number of channels. */
    for (unsigned n = 0; n < XEN_CHANNELS; n++) {
        xenevtchn_port_or_error_t port = xenevtchn_pending(xen->evtchn);
        if (port < 0) {
            if (errno != EAGAIN)
                log_print(xen->config.log, LOG_ERROR, "xen", "reading events failed: %s", strerror(errno));
            return;
        }
        if ((evtchn_port_t)port == xen->ring.port) {
            xen->ring.masked = true;
            ioreq_drain(&xen->engine);
            timer_arm(&xen->ring_poll, RING_POLL_NS);
            continue;
        }
        for (unsigned i = 0; i < xen->nr_vcpus; i++) {
            if (xen->vcpus[i].port == (evtchn_port_t)port)
                xen->vcpus[i].masked = true; /* the loop's next look() serves it */
        }
        if (xen->nr_vcpus == 1)
            return; /* a second read would only say EAGAIN */
    }
}

static int bind_channel(struct xen *xen, struct xen_channel *channel, uint32_t remote)
{
    xenevtchn_port_or_error_t port = xenevtchn_bind_interdomain(xen->evtchn, xen->config.domid, remote);
    if (port < 0)
        return xen_errno();
    channel->port = (evtchn_port_t)port;
    return 0;
}

/* The slots' channel numbers are valid only now that the server is enabled [common/ioreq.c]. */
static int bind_channels(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned i = 0; i < xen->nr_vcpus; i++) {
        uint32_t remote = le32_get(xen->sync_page + i * IOREQ_SLOT_BYTES + IOREQ_PORT);
        if (bind_channel(xen, &xen->vcpus[i], remote))
            return fail(error, "can't bind a vCPU's event channel");
    }
    if (bind_channel(xen, &xen->ring, xen->buffered_remote_port))
        return fail(error, "can't bind the posted writes' event channel");
    return xen_host_listen(xen, error);
}

int xen_serve(struct xen *xen, const struct ioreq_config *config, char error[CONFIG_ERROR_BYTES])
{
    struct ioreq_config engine = *config;
    engine.sync_page = xen->sync_page;
    engine.buffered_page = xen->buffered_page;
    engine.nr_vcpus = xen->nr_vcpus;
    engine.log = xen->config.log;
    ioreq_init(&xen->engine, &engine);
    timer_init(&xen->ring_poll, xen->config.loop, poll_ring, xen);
    if (xendevicemodel_set_ioreq_server_state(xen->dm, xen->config.domid, xen->server, 1))
        return fail(error, "can't enable the ioreq server");
    xen->enabled = true;
    int err = bind_channels(xen, error);
    if (err)
        return err;
    xen->watch = (struct loop_watch){ .look = look, .sleep = before_sleep, .opaque = xen };
    loop_set_watch(xen->config.loop, &xen->watch);
    look(xen); /* a request may be waiting already when this process replaces another */
    return 0;
}

int xen_set_paused(struct xen *xen, bool paused)
{
    if (xen->enabled == !paused)
        return 0;
    if (paused) { /* what was asked gets its answer before Xen stops to listen */
        look(xen);
        ioreq_drain(&xen->engine);
    }
    if (xendevicemodel_set_ioreq_server_state(xen->dm, xen->config.domid, xen->server, !paused))
        return xen_errno();
    xen->enabled = !paused;
    return 0;
}

void xen_set_held(struct xen *xen, bool held)
{
    xen->held = held; /* the loop's next look() serves what came in meanwhile */
}
