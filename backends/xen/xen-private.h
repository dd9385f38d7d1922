/* What the files of this folder share. */
#ifndef THINDM_XEN_PRIVATE_H
#define THINDM_XEN_PRIVATE_H

#include "xen.h"
#include <xencall.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xentoollog.h>

/* A vCPU's notification channel, or the posted-write ring's. */
struct xen_channel {
    evtchn_port_t port; /* local; 0: none */
    bool masked;        /* it fired and was not unmasked yet: no more interrupts from it */
};

enum { XEN_CHANNELS = IOREQ_MAX_VCPUS + 1 };

struct xen_host;

struct xen {
    struct hv hv;
    struct xen_config config;
    xentoollog_logger logger; /* the libraries' complaints, as our log lines */
    xendevicemodel_handle *dm;
    xenforeignmemory_handle *fmem;
    xenevtchn_handle *evtchn;
    xencall_handle *call; /* dead once restricted */
    struct xen_host *host;
    bool restricted;

    /* The ioreq server (ioserv.c). */
    ioservid_t server;
    bool server_created, enabled;
    bool held; /* requests wait unanswered */
    xenforeignmemory_resource_handle *resource; /* NULL: the older frames of the guest */
    void *pages;                                /* what resource or sync_page/buffered_page were mapped as */
    uint8_t *sync_page, *buffered_page;
    uint32_t buffered_remote_port;
    unsigned nr_vcpus;
    struct ioreq engine;
    struct loop_watch watch;
    struct timer ring_poll;
    struct xen_channel vcpus[IOREQ_MAX_VCPUS], ring;

    /* Video memory (map.c). */
    uint8_t *vram;
    size_t vram_frames;
    uint64_t vram_parking, vram_at; /* frame numbers */
};

/* errno of the last library call as -errno, never 0. */
int xen_errno(void);

/* hv.c's operations that live in map.c. */
int xen_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err);
void xen_unmap(struct hv *hv, void *ptr, size_t nr);
int xen_vram_create(struct hv *hv, size_t nr, void **ptr);
int xen_vram_move(struct hv *hv, uint64_t first);
void xen_vram_destroy(struct hv *hv);

/* ioserv.c: the server and its pages. */
int xen_server_create(struct xen *xen, char error[CONFIG_ERROR_BYTES]);
void xen_server_destroy(struct xen *xen);
/* Event channels fired, xenevtchn_pending() says which: called from the loop. */
void xen_event(struct xen *xen);

/*
 * What differs by host: linux.c for a process of Dom0, stubdom/xen-host.c where there is no process. xen_host_open()
 * sets xen->host. 0, or -errno with a line in error. The second and the fourth function may be called at any time.
 */
int xen_host_open(struct xen *xen, char error[CONFIG_ERROR_BYTES]);
void xen_host_close(struct xen *xen);
/* Call xen_event() from now on. 0, or -errno with a line in error. */
int xen_host_listen(struct xen *xen, char error[CONFIG_ERROR_BYTES]);
void xen_host_deafen(struct xen *xen);

#endif
