/* The host's part of struct xen in a process of Dom0: shared by linux.c and xenstore.c. */
#ifndef THINDM_XEN_LINUX_H
#define THINDM_XEN_LINUX_H

#include "../linux/epoll.h"
#include "xen-private.h"
#include <xenstore.h>

struct xen_host {
    struct xs_handle *xs; /* from the start until readiness was told: the right to open it may be gone by then */
    struct fd_source events;
};

#endif
