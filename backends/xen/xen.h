/*
 * The Xen host: struct hv over Xen's stable libraries, and the ioreq server that feeds the engine. One guest per
 * process. Life: xen_open() -> (machine is built on xen_hv()) -> xen_serve() -> loop -> xen_close(). Only stable
 * library interfaces are used, so that one binary runs on Xen 4.17 and everything newer.
 */
#ifndef THINDM_XEN_H
#define THINDM_XEN_H

#include <thindm/bus.h>
#include <thindm/config.h>
#include <thindm/hv.h>
#include <thindm/ioreq.h>
#include <thindm/loop.h>
#include <thindm/pci.h>

struct epoll_host;
struct xen;

struct xen_config {
    uint16_t domid;
    uint64_t ram_bytes;        /* what libxc populated: -m */
    uint64_t max_ram_below_4g; /* where low RAM ends at most */
    struct epoll_host *epoll;
    struct loop *loop;
    struct log *log;
};

/*
 * Open the libraries, create the ioreq server of domid and map its pages; it is not enabled yet. 0, or -errno with one
 * line in error (no Xen, no such domain, too old a kernel ...).
 */
int xen_open(const struct xen_config *config, struct xen **out, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Unmaps, destroys the server, closes. NULL is fine. */
void xen_close(struct xen *xen);

struct hv *xen_hv(struct xen *xen);
unsigned xen_nr_vcpus(const struct xen *xen);

/*
 * Enable the server, bind the vCPUs' event channels and start to answer with the board that config describes
 * (pages, nr_vcpus, log and callbacks' transport part are filled in here). 0 or -errno with a line in error.
 */
int xen_serve(struct xen *xen, const struct ioreq_config *config, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/* While paused the server is disabled: Xen answers with ones, so the vCPUs must not run. Idempotent. 0 or -errno. */
int xen_set_paused(struct xen *xen, bool paused);
/*
 * While held, requests are not answered: a vCPU waits at its next emulated access, as nobody else can stop it. Posted
 * writes are served. Idempotent.
 */
void xen_set_held(struct xen *xen, bool held);

/* Take back the promise of PV back ends that libxl made for us and that we don't have. Before xen_restrict(). */
void xen_close_unserved(struct xen *xen);

/*
 * Write "running" to device-model/<domid>/state, where libxl waits for it, over the connection that xen_open() made;
 * ends that connection. write false: only that. 0 or -errno.
 */
int xen_announce(struct xen *xen, bool write) WARN_UNUSED;
/* Add seconds to /vm/<uuid>/rtc/timeoffset, which the toolstack keeps over reboots. Failure is logged only. */
void xen_store_time_offset(struct xen *xen, int64_t seconds);

/* Nothing but this one domain can be reached from now on; xenstore and plain hypercalls are dead. 0 or -errno. */
int xen_restrict(struct xen *xen) WARN_UNUSED;

#endif
