/*
 * What the programs around a guest (thindm.c, stubdom/main.c) have in common: what QMP asks of it, what the guest and
 * its disks ask for, and the machine on Xen.
 */
#ifndef THINDM_GUEST_MAIN_H
#define THINDM_GUEST_MAIN_H

#include "backends/xen/xen.h"
#include "hw/machine.h"
#include <thindm/config.h>
#include <thindm/qmp.h>
#include <thindm/trace.h>

struct guest_main {
    /* The program's, before guest_main_init(). */
    const struct config *config;
    struct loop *loop;
    struct log *log;
    bool silent;        /* a monitor's peer can't take what it did not ask for: no events */
    struct qmp_ops ops; /* flight_recorder, block_resize, close_fd, dup_fd, wall_clock */
    /* NULL: the program has nothing of the kind. */
    void (*pause_pv)(struct guest_main *g, bool paused);
    bool (*pv_disk)(struct guest_main *g, unsigned i, struct qmp_block_info *info);
    void (*reset)(struct guest_main *g);   /* the guest reset itself */
    void (*corrupt)(struct guest_main *g); /* it broke its own I/O; its end comes next */
    /* The program's too, when it has them. */
    struct trace *trace;
    struct xen *xen; /* NULL: the guest is a simulated one, or there is none */
    struct qmp *qmp;
    enum qmp_status status;
    struct chr *chrs[CONFIG_MAX_CHRS];

    struct machine machine; /* hv NULL: there is none */
    struct block_errors disk_errors;
    struct task disk_stop; /* a disk error stops the guest */
    bool held;             /* it did, until cont */
};

/* The other ops, and everything of the machine but hv and host. now_s: seconds since 1970. */
void guest_main_init(struct guest_main *g, int64_t now_s);
/* The ioreq server of config->domid; epoll is xen_open()'s. 0, or -errno with one line in error. */
int guest_main_open_xen(struct guest_main *g, struct epoll_host *epoll, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Answer the guest with the machine, which exists by now. 0 or -errno as above. */
int guest_main_serve(struct guest_main *g, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* The monitor, on no chr yet. 0 or -errno as above. */
int guest_main_monitor(struct guest_main *g, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

#endif
