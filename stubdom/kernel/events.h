/*
 * Event channels and waiting. Upcalls stay masked for ever: the one thread polls [SCHEDOP_poll], so nothing ever runs
 * behind its back. Two-level channels only. Sources: xen/include/public/{event_channel.h,sched.h}.
 */
#ifndef THINDM_EVENTS_H
#define THINDM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/event_channel.h>
#include <xen/xen.h>

/* SCHEDOP_poll takes no more. */
enum { EVENTS_MAX_PORTS = 128 };

typedef void event_fn(void *opaque, evtchn_port_t port);

/* fn is called from events_wait() for each event of port, whose bit is cleared before. 0, -EBUSY (bound), -ENOSPC. */
int events_listen(evtchn_port_t port, event_fn *fn, void *opaque);
/* No call comes after it returned. Harmless if nobody listens. */
void events_forget(evtchn_port_t port);

/* A new port for domain remote to bind to. 0 or -errno. */
int events_alloc_unbound(domid_t remote, evtchn_port_t *port);
/* 0 or -errno. The first event is never lost: Xen sets the port pending. */
int events_bind_interdomain(domid_t remote, evtchn_port_t remote_port, evtchn_port_t *port);
/* 0 or -errno. */
int events_notify(evtchn_port_t port);
/* Forgets and closes. */
void events_close(evtchn_port_t port);

/* Sleep until a port that is listened to has an event or timeout_ns passed (negative: for ever; 0: only look), then
 * serve all that fired. Spurious returns are possible. 0 or -errno. */
int events_wait(int64_t timeout_ns);
/* Is an event of port waiting? Takes it. */
bool events_take(evtchn_port_t port);
/* Sleep until port alone has an event (left to events_take()) or clock_now_ns() >= deadline_ns; serves nothing. 0, or
 * -ETIMEDOUT. For the few places that need an answer before they go on. */
int events_wait_port(evtchn_port_t port, uint64_t deadline_ns);

#endif
