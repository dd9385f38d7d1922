/* PV back ends, for thindm.c: see pv-main.h. */
#include "pv-main.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/log.h>

static int open_one(struct pv_main *p, unsigned i, const struct pv_config *config, struct epoll_host *epoll,
                    char error[CONFIG_ERROR_BYTES])
{
    struct pv_config c = *config;
    int err = pv_xen_open(c.domid, epoll, c.loop, c.log, &p->xen[i], error);
    if (err)
        return err;
    c.ops = &pv_xen_ops;
    c.opaque = p->xen[i];
    err = pv_create(&c, &p->pv[i], error);
    if (!err)
        pv_xen_bind(p->xen[i], p->pv[i]);
    return err;
}

static int read_domid(struct pv_xen *xen, uint16_t domid, const char *node, uint16_t *value)
{
    char path[64], text[16], *end;
    snprintf(path, sizeof(path), "/local/domain/%u/%s", domid, node);
    int err = pv_xen_ops.read(xen, path, text, sizeof(text));
    if (err)
        return err;
    unsigned long number = strtoul(text, &end, 10);
    if (*end || end == text || number > CONFIG_MAX_DOMID)
        return -EINVAL;
    *value = (uint16_t)number;
    return 0;
}

/* The toolstack says so on either side, where nobody else can write. */
static bool is_stubdomain(struct pv_xen *xen, uint16_t domid, uint16_t *guest)
{
    uint16_t back;
    return !read_domid(xen, domid, "target", guest) && !read_domid(xen, *guest, "image/device-model-domid", &back) &&
           back == domid;
}

int pv_main_open(struct pv_main *p, const struct pv_config *config, struct epoll_host *epoll,
                 char error[CONFIG_ERROR_BYTES])
{
    int err = open_one(p, 0, config, epoll, error);
    /* The stubdomain's disks are of the same images. */
    struct pv_config guest = {
        .loop = config->loop, .log = config->log, .host = config->host, .shared = true, .data = config->data
    };
    if (!err && !config->shared && is_stubdomain(p->xen[0], config->domid, &guest.domid)) {
        log_print(config->log, LOG_INFO, "pv", "domain %u is the stubdomain of guest %u, which is served too",
                  config->domid, guest.domid);
        err = open_one(p, 1, &guest, epoll, error);
    }
    if (err)
        pv_main_close(p);
    return err;
}

void pv_main_close(struct pv_main *p)
{
    for (unsigned i = 0; i < PV_MAIN_DOMAINS; i++) {
        pv_destroy(p->pv[i]);
        pv_xen_close(p->xen[i]);
        p->pv[i] = NULL;
        p->xen[i] = NULL;
    }
}

bool pv_main_serves(const struct pv_main *p)
{
    return p->pv[0] != NULL;
}

int pv_main_announce(struct pv_main *p)
{
    return pv_xen_announce(p->xen[0]);
}

void pv_main_set_paused(struct pv_main *p, bool paused)
{
    for (unsigned i = 0; i < PV_MAIN_DOMAINS; i++)
        pv_set_paused(p->pv[i], paused);
}

static bool find_disk(const struct pv_main *p, unsigned nr, struct pv_block_info *disk)
{
    for (unsigned i = 0; i < PV_MAIN_DOMAINS; i++) {
        unsigned here = 0;
        for (; pv_block_info(p->pv[i], here, disk); here++)
            if (here == nr)
                return true;
        nr -= here;
    }
    return false;
}

bool pv_main_disk(const struct pv_main *p, unsigned i, struct qmp_block_info *info)
{
    struct pv_block_info disk;
    if (!find_disk(p, i, &disk))
        return false;
    *info = (struct qmp_block_info){ .device = disk.id,
                                     .file = disk.file,
                                     .format = disk.format,
                                     .size_bytes = disk.size_bytes,
                                     .removable = disk.removable,
                                     .no_tray = true,
                                     .read_only = disk.read_only,
                                     .stats = disk.stats };
    return true;
}

/* The guest's disk and its stubdomain's have the same number, and the same image. */
int pv_main_resize(struct pv_main *p, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES])
{
    int result = -ENODEV;
    for (unsigned i = 0; i < PV_MAIN_DOMAINS; i++) {
        int err = p->pv[i] ? pv_block_resize(p->pv[i], id, bytes, error) : -ENODEV;
        if (err && err != -ENODEV)
            return err;
        if (!err)
            result = 0;
    }
    if (result)
        snprintf(error, CONFIG_ERROR_BYTES, "no PV disk is called '%.64s'", id);
    return result;
}
