/* What thindm.c and stubdom/main.c share: see guest-main.h. */
#include "guest-main.h"
#include "hw/chipset/piix4-pm.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void event(struct guest_main *g, const char *name, const char *data)
{
    if (g->qmp && !g->silent)
        qmp_event(g->qmp, name, data);
}

/* --- What QMP asks for --- */

static enum qmp_status op_status(void *opaque)
{
    return ((struct guest_main *)opaque)->status;
}

/* After a disk error: serve the guest again, and try again what failed. */
static void release(struct guest_main *g)
{
    if (g->held && g->xen)
        xen_set_held(g->xen, false);
    g->held = false;
    block_errors_retry(&g->disk_errors);
}

static int op_cont(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    if (g->status != QMP_PRELAUNCH && g->status != QMP_PAUSED && g->status != QMP_IO_ERROR)
        return 0; /* libxl says cont at each unpause */
    trace_action(g->trace, TRACE_CONT, 0, NULL);
    trace_end(g->trace);
    int err = g->xen ? xen_set_paused(g->xen, false) : 0;
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "can't enable the ioreq server: %s", strerror(-err));
        return err;
    }
    loop_thaw(g->loop);
    if (g->pause_pv)
        g->pause_pv(g, false);
    g->status = QMP_RUNNING;
    event(g, "RESUME", NULL);
    release(g);
    return 0;
}

static int op_stop(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    if (g->status == QMP_IO_ERROR) { /* what failed goes on waiting: a drain would give the guest the error */
        g->status = QMP_PAUSED;
        return 0;
    }
    if (g->status != QMP_RUNNING && g->status != QMP_PRELAUNCH)
        return 0;
    trace_action(g->trace, TRACE_STOP, 0, NULL);
    machine_drain(&g->machine);
    if (g->pause_pv)
        g->pause_pv(g, true);
    trace_end(g->trace);
    int err = g->xen ? xen_set_paused(g->xen, true) : 0;
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "can't disable the ioreq server: %s", strerror(-err));
        return err;
    }
    loop_freeze(g->loop);
    g->status = QMP_PAUSED;
    event(g, "STOP", NULL);
    return 0;
}

static void op_quit(void *opaque)
{
    loop_quit(((struct guest_main *)opaque)->loop);
}

static int op_reset(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    if (!g->machine.hv) {
        snprintf(error, CONFIG_ERROR_BYTES, "there is no guest");
        return -ENODEV;
    }
    trace_action(g->trace, TRACE_RESET, 0, NULL);
    machine_power(&g->machine, HV_REBOOT);
    trace_end(g->trace);
    return 0;
}

static int op_wakeup(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    if (g->status != QMP_SUSPENDED) {
        snprintf(error, CONFIG_ERROR_BYTES, "Unable to wake up: guest is not in suspended state");
        return -EINVAL;
    }
    trace_action(g->trace, TRACE_WAKEUP, 0, NULL);
    int err = machine_wakeup(&g->machine);
    trace_end(g->trace);
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "waking the guest failed: %s", strerror(-err));
        return err;
    }
    g->status = QMP_RUNNING;
    event(g, "WAKEUP", NULL);
    return 0;
}

static int op_set_dirty_log(void *opaque, bool enable)
{
    mem_set_dirty_log(&((struct guest_main *)opaque)->machine.mem, enable);
    return 0;
}

static int op_eject(void *opaque, const char *id, bool force, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    trace_action(g->trace, TRACE_EJECT, force, id);
    int err = machine_eject(&g->machine, id, force, error);
    trace_end(g->trace);
    return err;
}

static int op_change_medium(void *opaque, const char *id, const struct qmp_medium *medium,
                            char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    trace_action(g->trace, TRACE_CHANGE_MEDIUM, medium->force, id);
    int err = machine_change_medium(&g->machine, id, medium, error);
    trace_end(g->trace);
    return err;
}

static int op_cpu_add(void *opaque, unsigned index, char error[CONFIG_ERROR_BYTES])
{
    struct guest_main *g = opaque;
    trace_action(g->trace, TRACE_CPU_ADD, index, NULL);
    int err = g->machine.pm ? piix4_pm_cpu_add(g->machine.pm, index) : -ENODEV;
    trace_end(g->trace);
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "CPU %u: %s", index,
                 err == -EEXIST   ? "is present already"
                 : err == -ENODEV ? "the guest has no ACPI to tell it by"
                                  : "is beyond maxvcpus");
    return err;
}

/* The drives of the board first, then the PV disks by their numbers in xenstore. */
static bool op_block_info(void *opaque, unsigned i, struct qmp_block_info *info)
{
    struct guest_main *g = opaque;
    unsigned drives = 0;
    while (machine_block_info(&g->machine, drives, info)) {
        if (drives++ == i)
            return true;
    }
    return g->pv_disk && g->pv_disk(g, i - drives, info);
}

/* The chardevs of the command line first, then the serial lines. */
static bool op_chr_info(void *opaque, unsigned i, const char **label, const char **filename, bool *open)
{
    struct guest_main *g = opaque;
    unsigned nr_chrs = g->config->nr_chrs;
    struct chr *chr = i < nr_chrs                           ? g->chrs[i]
                      : i - nr_chrs < g->config->nr_serials ? g->machine.serials[i - nr_chrs]
                                                            : NULL;
    if (!chr)
        return false;
    *label = chr->label;
    *filename = chr->filename;
    *open = chr->user != NULL;
    return true;
}

static bool op_cpu_online(void *opaque, unsigned index)
{
    struct guest_main *g = opaque;
    return g->machine.pm ? piix4_pm_cpu_online(g->machine.pm, index) : index < g->config->vcpus;
}

static void fill_in_ops(struct qmp_ops *ops)
{
    ops->status = op_status;
    ops->cont = op_cont;
    ops->stop = op_stop;
    ops->quit = op_quit;
    ops->reset = op_reset;
    ops->wakeup = op_wakeup;
    ops->set_dirty_log = op_set_dirty_log;
    ops->eject = op_eject;
    ops->change_medium = op_change_medium;
    ops->cpu_add = op_cpu_add;
    ops->block_info = op_block_info;
    ops->chr_info = op_chr_info;
    ops->cpu_online = op_cpu_online;
}

/* --- What the guest asks for --- */

static void guest_power(void *opaque, enum hv_shutdown reason)
{
    struct guest_main *g = opaque;
    log_print(g->log, LOG_INFO, "guest", "asks for %s", reason == HV_REBOOT ? "a reset" : "power-off");
    if (reason == HV_REBOOT) {
        event(g, "RESET", "{\"guest\": true, \"reason\": \"guest-reset\"}");
        if (g->reset)
            g->reset(g);
        return; /* the toolstack makes a new domain with a new device model */
    }
    event(g, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}");
    g->status = QMP_SHUTDOWN;
    if (!g->config->no_shutdown)
        loop_quit(g->loop);
}

static void guest_sleep(void *opaque)
{
    struct guest_main *g = opaque;
    g->status = QMP_SUSPENDED;
    event(g, "SUSPEND", NULL);
}

/*
 * werror=stop and the like. The other disk requests go on, and the host's vCPU threads can't be stopped from here: the
 * guest waits at its next emulated access, or for the request that failed.
 */
static void stop_for_disk(void *opaque)
{
    struct guest_main *g = opaque;
    if (g->status != QMP_RUNNING)
        return;
    g->held = true;
    if (g->xen)
        xen_set_held(g->xen, true);
    else
        loop_freeze(g->loop);
    g->status = QMP_IO_ERROR;
    event(g, "STOP", NULL);
}

static void disk_failed(void *opaque, const struct block_error *error)
{
    static const char *const actions[] = {
        [BLOCK_REPORT] = "report", [BLOCK_IGNORE] = "ignore", [BLOCK_STOP] = "stop"
    };
    struct guest_main *g = opaque;
    char data[256];
    snprintf(data, sizeof(data),
             "{\"device\": \"%s\", \"operation\": \"%s\", \"action\": \"%s\", \"nospace\": %s, \"reason\": \"%s\"}",
             error->device, error->op == BLOCK_READ ? "read" : "write", actions[error->action],
             error->err == -ENOSPC ? "true" : "false", strerror(-error->err));
    if (error->action != BLOCK_REPORT) /* of what it is told the device says a line */
        log_print(g->log, LOG_WARN, error->device, "%s failed: %s; %s", error->op == BLOCK_READ ? "read" : "write",
                  strerror(-error->err), error->action == BLOCK_STOP ? "the guest is stopped until cont" : "ignored");
    event(g, "BLOCK_IO_ERROR", data);
    if (error->action == BLOCK_STOP)
        task_post(&g->disk_stop);
}

/* An id has no character that JSON would have to escape: core/options.c saw to that. */
static void tray_moved(void *opaque, const char *id, bool open)
{
    char data[160];
    snprintf(data, sizeof(data), "{\"device\": \"%s\", \"id\": \"%s\", \"tray-open\": %s}", id, id,
             open ? "true" : "false");
    event(opaque, "DEVICE_TRAY_MOVED", data);
}

static void guest_clock_set(void *opaque, int64_t seconds)
{
    xen_store_time_offset(((struct guest_main *)opaque)->xen, seconds);
}

static void ring_corrupt(void *opaque)
{
    struct guest_main *g = opaque;
    if (g->corrupt)
        g->corrupt(g);
    machine_power(&g->machine, HV_CRASH);
}

/* --- The start, in order --- */

static unsigned century_of(time_t now)
{
    struct tm tm;
    return gmtime_r(&now, &tm) ? (unsigned)(tm.tm_year + 1900) / 100 : 20;
}

void guest_main_init(struct guest_main *g, int64_t now_s)
{
    fill_in_ops(&g->ops);
    g->machine = (struct machine){ .loop = g->loop,
                                   .log = g->log,
                                   .config = g->config,
                                   .century = century_of((time_t)now_s),
                                   .wall_clock_s = now_s,
                                   .power = guest_power,
                                   .sleep = guest_sleep,
                                   .tray_moved = tray_moved,
                                   .errors = &g->disk_errors,
                                   .opaque = g };
    g->disk_errors = (struct block_errors){ .told = disk_failed, .opaque = g };
    task_init(&g->disk_stop, g->loop, stop_for_disk, g);
}

int guest_main_open_xen(struct guest_main *g, struct epoll_host *epoll, char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = g->config;
    int err = xen_open(&(struct xen_config){ .domid = (uint16_t)c->domid,
                                             .ram_bytes = c->ram_bytes,
                                             .max_ram_below_4g = c->max_ram_below_4g,
                                             .epoll = epoll,
                                             .loop = g->loop,
                                             .log = g->log },
                       &g->xen, error);
    if (!err)
        g->machine.hv = xen_hv(g->xen);
    return err;
}

int guest_main_serve(struct guest_main *g, char error[CONFIG_ERROR_BYTES])
{
    struct machine *m = &g->machine;
    return xen_serve(g->xen,
                     &(struct ioreq_config){ .ports = &m->ports,
                                             .memory = &m->memory,
                                             .pci = &m->pci,
                                             .mem = &m->mem,
                                             .time_offset = guest_clock_set,
                                             .corrupt = ring_corrupt,
                                             .opaque = g,
                                             .trace = g->trace },
                     error);
}

int guest_main_monitor(struct guest_main *g, char error[CONFIG_ERROR_BYTES])
{
    int err = qmp_create(&(struct qmp_config){ .loop = g->loop,
                                               .log = g->log,
                                               .ops = &g->ops,
                                               .opaque = g,
                                               .name = g->config->name,
                                               .max_vcpus = g->config->max_vcpus },
                         &g->qmp);
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "monitor: %s", strerror(-err));
    return err;
}
