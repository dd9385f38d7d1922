/* Event channels by polling: see events.h. The layout is that of two-level channels [xen.h, struct shared_info]. */
#include "events.h"

#include <errno.h>
#include <stddef.h>
#include <xen/sched.h>

#include "clock.h"
#include "events-private.h"
#include "hypercall.h"

enum { WORD_BITS = 8 * sizeof(xen_ulong_t), NR_PORTS = WORD_BITS * WORD_BITS };

static struct {
    struct shared_info *shared;
    struct listener {
        evtchn_port_t port;
        event_fn *fn;
        void *opaque;
    } list[EVENTS_MAX_PORTS];
    unsigned nr;
} events;

void events_init(struct shared_info *shared)
{
    events.shared = shared;
    events.nr = 0;
}

static struct listener *find(evtchn_port_t port)
{
    for (unsigned i = 0; i < events.nr; i++) {
        if (events.list[i].port == port)
            return &events.list[i];
    }
    return NULL;
}

int events_listen(evtchn_port_t port, event_fn *fn, void *opaque)
{
    if (find(port))
        return -EBUSY;
    if (events.nr == EVENTS_MAX_PORTS || port >= NR_PORTS)
        return -ENOSPC;
    events.list[events.nr++] = (struct listener){ port, fn, opaque };
    return 0;
}

void events_forget(evtchn_port_t port)
{
    struct listener *l = find(port);
    if (l)
        *l = events.list[--events.nr];
}

static int channel_op(unsigned cmd, void *op)
{
    return (int)hypercall(__HYPERVISOR_event_channel_op, cmd, (uintptr_t)op, 0, 0, 0);
}

int events_alloc_unbound(domid_t remote, evtchn_port_t *port)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = remote };
    int err = channel_op(EVTCHNOP_alloc_unbound, &op);
    *port = op.port;
    return err;
}

int events_bind_interdomain(domid_t remote, evtchn_port_t remote_port, evtchn_port_t *port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = remote, .remote_port = remote_port };
    int err = channel_op(EVTCHNOP_bind_interdomain, &op);
    *port = op.local_port;
    return err;
}

int events_notify(evtchn_port_t port)
{
    struct evtchn_send op = { .port = port };
    return channel_op(EVTCHNOP_send, &op);
}

void events_close(evtchn_port_t port)
{
    struct evtchn_close op = { .port = port };
    events_forget(port);
    (void)channel_op(EVTCHNOP_close, &op);
}

static bool is_pending(evtchn_port_t port)
{
    xen_ulong_t word = __atomic_load_n(&events.shared->evtchn_pending[port / WORD_BITS], __ATOMIC_ACQUIRE);
    return word >> (port % WORD_BITS) & 1;
}

/* Xen sets bits at any time. The bit is cleared before what it announces is looked at: what comes later sets it again.
 */
bool events_take(evtchn_port_t port)
{
    xen_ulong_t bit = (xen_ulong_t)1 << (port % WORD_BITS);
    return port < NR_PORTS &&
           (__atomic_fetch_and(&events.shared->evtchn_pending[port / WORD_BITS], ~bit, __ATOMIC_SEQ_CST) & bit);
}

/* Until one of the ports is pending, which Xen looks at after it has stopped us, or system time deadline_ns; 0: none.
 */
static int poll(evtchn_port_t *ports, unsigned nr, uint64_t deadline_ns)
{
    struct sched_poll op = { .nr_ports = nr, .timeout = deadline_ns < INT64_MAX ? deadline_ns : INT64_MAX };
    set_xen_guest_handle(op.ports, ports);
    return (int)hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uintptr_t)&op, 0, 0, 0);
}

/* All that are pending now, each once: what they cause in turn is for the next round. */
static unsigned serve(void)
{
    evtchn_port_t fired[EVENTS_MAX_PORTS];
    unsigned nr = 0;
    for (unsigned i = 0; i < events.nr; i++) {
        if (events_take(events.list[i].port))
            fired[nr++] = events.list[i].port;
    }
    for (unsigned i = 0; i < nr; i++) {
        const struct listener *l = find(fired[i]); /* an earlier one may have said forget */
        if (l)
            l->fn(l->opaque, fired[i]);
    }
    return nr;
}

int events_wait(int64_t timeout_ns)
{
    evtchn_port_t ports[EVENTS_MAX_PORTS];
    if (serve() > 0 || timeout_ns == 0)
        return 0;
    for (unsigned i = 0; i < events.nr; i++)
        ports[i] = events.list[i].port;
    int err = poll(ports, events.nr, timeout_ns < 0 ? 0 : clock_now_ns() + (uint64_t)timeout_ns);
    (void)serve();
    return err;
}

int events_wait_port(evtchn_port_t port, uint64_t deadline_ns)
{
    if (port >= NR_PORTS)
        return -EINVAL;
    while (!is_pending(port)) { /* the time-out of an earlier poll wakes us as well */
        if (clock_now_ns() >= deadline_ns)
            return -ETIMEDOUT;
        int err = poll(&port, 1, deadline_ns);
        if (err)
            return err;
    }
    return 0;
}
