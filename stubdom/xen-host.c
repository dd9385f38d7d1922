/* The stubdomain as the host of backends/xen, in the place of its linux.c, xenstore.c and restrict.c. */
#include "../backends/xen/xen-private.h"
#include "kernel/store.h"
#include "xenlib/xenlib.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct xen_host {
    struct log_rate offset_errors; /* the guest may set its clock as often as it likes */
};

int xen_host_open(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    xen->host = calloc(1, sizeof(*xen->host));
    if (!xen->host)
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
    return xen->host ? 0 : -ENOMEM;
}

void xen_host_close(struct xen *xen)
{
    xen_host_deafen(xen);
    free(xen->host);
    xen->host = NULL;
}

static void fired(void *opaque)
{
    xen_event(opaque);
}

int xen_host_listen(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    xenlib_on_event(xen->evtchn, fired, xen);
    return 0;
}

void xen_host_deafen(struct xen *xen)
{
    if (xen->evtchn)
        xenlib_on_event(xen->evtchn, NULL, NULL);
}

int xen_announce(struct xen *xen, bool write)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof(path), "device-model/%u/state", xen->config.domid);
    return write ? store_write(path, "running") : 0;
}

static int add_time_offset(unsigned domid, int64_t seconds)
{
    char path[STORE_PATH_BYTES], vm[STORE_PATH_BYTES / 2], old[24];
    snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
    int err = store_read(path, vm, sizeof(vm));
    if (err < 0)
        return err;
    snprintf(path, sizeof(path), "%s/rtc/timeoffset", vm);
    bool none = store_read(path, old, sizeof(old)) < 0;
    uint64_t sum = (uint64_t)(none ? 0 : strtoll(old, NULL, 10)) + (uint64_t)seconds;
    return store_printf(path, "%" PRId64, (int64_t)sum);
}

void xen_store_time_offset(struct xen *xen, int64_t seconds)
{
    int err = add_time_offset(xen->config.domid, seconds);
    if (err)
        log_limited(xen->config.log, LOG_WARN, &xen->host->offset_errors, "xen",
                    "the guest's clock offset can't be stored: %s", strerror(-err));
}
