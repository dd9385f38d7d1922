/*
 * The few nodes a device model writes. No watch is ever set, so the library starts no reader thread.
 * Source: the toolstack's side is tools/libs/light/libxl_dm.c and libxl_create.c.
 */
#include "linux.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 128 };

static int write_node(struct xs_handle *xs, const char *path, const char *value)
{
    return xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value)) ? 0 : xen_errno();
}

/* PV back ends that libxl expects of its device model and that thindm doesn't have. */
static const char *const unserved[] = { "vkbd", "vfb", "9pfs", "qusb", "qdisk" };

static bool node_is(struct xs_handle *xs, const char *dir, const char *name, const char *value)
{
    char path[PATH_BYTES + 16];
    unsigned len = 0;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    char *is = xs_read(xs, XBT_NULL, path, &len);
    bool same = is && strcmp(is, value) == 0;
    free(is);
    return same;
}

/*
 * A back end that stays in state 1 (Initialising) makes a Linux front end wait half a minute, for a disk five minutes,
 * at every boot; one in state 6 (Closed) is passed over at once. CD-ROMs stay: front ends of HVM guests leave them
 * alone, and libxl changes their medium there. Source: xen/include/public/io/xenbus.h; Linux
 * drivers/xen/xenbus/xenbus_probe_frontend.c.
 */
void xen_close_unserved(struct xen *xen)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    for (size_t i = 0; i < sizeof(unserved) / sizeof(unserved[0]); i++) {
        unsigned nr = 0;
        snprintf(dir, sizeof(dir), "backend/%s/%u", unserved[i], xen->config.domid);
        char **ids = xs_directory(xen->host->xs, XBT_NULL, dir, &nr);
        for (unsigned k = 0; ids && k < nr; k++) {
            snprintf(path, sizeof(path), "backend/%s/%u/%.24s", unserved[i], xen->config.domid, ids[k]);
            if (!node_is(xen->host->xs, path, "state", "1") || node_is(xen->host->xs, path, "device-type", "cdrom"))
                continue;
            log_print(xen->config.log, strcmp(unserved[i], "qdisk") ? LOG_INFO : LOG_WARN, "xen",
                      "no PV back end for %s yet; closed, the guest has the emulated device only", path);
            snprintf(path, sizeof(path), "backend/%s/%u/%.24s/state", unserved[i], xen->config.domid, ids[k]);
            (void)write_node(xen->host->xs, path, "6");
        }
        free(ids);
    }
}

int xen_announce(struct xen *xen, bool write)
{
    int err = 0;
    if (write) {
        /* A relative path: below the home of whatever domain this device model runs in. */
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "device-model/%u/state", xen->config.domid);
        err = write_node(xen->host->xs, path, "running");
    }
    xs_close(xen->host->xs);
    xen->host->xs = NULL;
    return err;
}

/* <the guest's /vm/uuid>/rtc/timeoffset, or -errno. */
static int time_offset_path(struct xs_handle *xs, unsigned domid, char path[PATH_BYTES])
{
    unsigned len = 0;
    snprintf(path, PATH_BYTES, "/local/domain/%u/vm", domid);
    char *vm = xs_read(xs, XBT_NULL, path, &len);
    if (!vm)
        return xen_errno();
    int n = snprintf(path, PATH_BYTES, "%s/rtc/timeoffset", vm);
    free(vm);
    return n < PATH_BYTES ? 0 : -ENAMETOOLONG;
}

void xen_store_time_offset(struct xen *xen, int64_t seconds)
{
    if (xen->restricted)
        return; /* xenstore is out of reach: the guest's clock setting ends with the domain */
    char path[PATH_BYTES], value[24];
    struct xs_handle *xs = xs_open(0);
    int err = xs ? time_offset_path(xs, xen->config.domid, path) : xen_errno();
    if (!err) {
        unsigned len = 0;
        char *old = xs_read(xs, XBT_NULL, path, &len);
        int64_t sum = (int64_t)((uint64_t)(old ? strtoll(old, NULL, 10) : 0) + (uint64_t)seconds);
        free(old);
        snprintf(value, sizeof(value), "%" PRId64, sum);
        err = write_node(xs, path, value);
    }
    if (xs)
        xs_close(xs);
    if (err)
        log_print(xen->config.log, LOG_WARN, "xen", "the guest's clock offset can't be stored: %s", strerror(-err));
}
