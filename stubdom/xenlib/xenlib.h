/*
 * The few calls of Xen's libraries that backends/xen makes, for a host without a kernel between it and Xen. They are
 * declared in the libraries' own headers; here is what those don't have.
 */
#ifndef THINDM_XENLIB_H
#define THINDM_XENLIB_H

#include <stddef.h>
#include <xenevtchn.h>

/* As the libraries answer: what a hypercall gave, or -1 and errno. */
int xenlib_result(long hypercall_result);

/* In the place of a descriptor to wait for: fn is called from events_wait() when xenevtchn_pending() has a port to
 * give. NULL: nobody is called. */
void xenlib_on_event(xenevtchn_handle *evtchn, void (*fn)(void *opaque), void *opaque);

#endif
