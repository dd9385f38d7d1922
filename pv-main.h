/*
 * PV back ends, for thindm.c: those of the domain that the process was started for; and if that is a stubdomain, also
 * those of the guest that it serves. libxl gives such a guest its PV devices too, and starts nobody else to serve them:
 * drivers would wait for them half a minute at each boot.
 */
#ifndef THINDM_PV_MAIN_H
#define THINDM_PV_MAIN_H

#include "backends/pv/pv.h"
#include <thindm/qmp.h>

enum { PV_MAIN_DOMAINS = 2 };

struct pv_main {
    struct pv_xen *xen[PV_MAIN_DOMAINS];
    struct pv *pv[PV_MAIN_DOMAINS]; /* NULL: no PV back ends */
};

/* config: all but ops and opaque. 0, or -errno with one line in error; then nothing is left behind. */
int pv_main_open(struct pv_main *p, const struct pv_config *config, struct epoll_host *epoll,
                 char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Repeats harmlessly. */
void pv_main_close(struct pv_main *p);
/* Is there anything of the domain itself? */
bool pv_main_serves(const struct pv_main *p);
/* For a process that serves nothing else: tell the toolstack. 0 or -errno. */
int pv_main_announce(struct pv_main *p) WARN_UNUSED;

/* What QMP asks for: see pv.h. */
void pv_main_set_paused(struct pv_main *p, bool paused);
bool pv_main_disk(const struct pv_main *p, unsigned i, struct qmp_block_info *info);
int pv_main_resize(struct pv_main *p, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES]);

#endif
