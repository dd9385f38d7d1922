/*
 * The Dom0 program: options -> configuration -> machine -> loop. Sees everything and decides nothing but the order:
 * everything is open before the first privilege is dropped, everything is dropped before readiness is told, and
 * nothing can fail any more after that.
 */
#include "backends/linux/daemon.h"
#include "backends/linux/epoll.h"
#include "backends/linux/host.h"
#include "backends/linux/log-file.h"
#include "backends/linux/sandbox.h"
#include "backends/linux/signals.h"
#include "backends/pv/pv.h"
#include "backends/xen/xen.h"
#include "hw/chipset/piix4-pm.h"
#include "hw/machine.h"
#include "record-main.h"
#include "replay-main.h"
#include "sim-main.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <thindm/qmp.h>
#include <time.h>
#include <unistd.h>

struct thindm {
    struct config config;
    struct log_file log_file;
    struct log *log;
    struct epoll_host epoll;
    struct loop loop;
    struct linux_host host;
    struct signals signals;
    struct xen *xen;     /* NULL under a qtest client: sim is used then; and if there is no board */
    struct pv_xen *pv_xen;
    struct pv *pv; /* NULL: no PV back ends */
    struct sim_main sim;
    struct record_main record;
    struct machine machine; /* hv NULL: there is none */
    struct chr *chrs[CONFIG_MAX_CHRS];
    struct qmp *qmp;
    enum qmp_status status;
    struct block_errors disk_errors;
    struct task disk_stop; /* a disk error stops the guest */
    bool held;             /* it did, until cont */
    char error[CONFIG_ERROR_BYTES]; /* the one line that explains why the start failed */
};

static void event(struct thindm *t, const char *name, const char *data)
{
    if (t->qmp)
        qmp_event(t->qmp, name, data);
}

/* --- What QMP asks for --- */

static enum qmp_status op_status(void *opaque)
{
    return ((struct thindm *)opaque)->status;
}

/* After a disk error: serve the guest again, and try again what failed. */
static void release(struct thindm *t)
{
    if (t->held && t->xen)
        xen_set_held(t->xen, false);
    t->held = false;
    block_errors_retry(&t->disk_errors);
}

static int op_cont(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    if (t->status != QMP_PRELAUNCH && t->status != QMP_PAUSED && t->status != QMP_IO_ERROR)
        return 0; /* libxl says cont at each unpause */
    trace_action(record_main_trace(&t->record), TRACE_CONT, 0, NULL);
    trace_end(record_main_trace(&t->record));
    int err = t->xen ? xen_set_paused(t->xen, false) : 0;
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "can't enable the ioreq server: %s", strerror(-err));
        return err;
    }
    loop_thaw(&t->loop);
    pv_set_paused(t->pv, false);
    t->status = QMP_RUNNING;
    event(t, "RESUME", NULL);
    release(t);
    return 0;
}

static int op_stop(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    if (t->status == QMP_IO_ERROR) { /* what failed goes on waiting: a drain would give the guest the error */
        t->status = QMP_PAUSED;
        return 0;
    }
    if (t->status != QMP_RUNNING && t->status != QMP_PRELAUNCH)
        return 0;
    trace_action(record_main_trace(&t->record), TRACE_STOP, 0, NULL);
    machine_drain(&t->machine);
    pv_set_paused(t->pv, true);
    trace_end(record_main_trace(&t->record));
    int err = t->xen ? xen_set_paused(t->xen, true) : 0;
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "can't disable the ioreq server: %s", strerror(-err));
        return err;
    }
    loop_freeze(&t->loop);
    t->status = QMP_PAUSED;
    event(t, "STOP", NULL);
    return 0;
}

static void op_quit(void *opaque)
{
    loop_quit(&((struct thindm *)opaque)->loop);
}

static int op_reset(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    if (!t->machine.hv) {
        snprintf(error, CONFIG_ERROR_BYTES, "there is no guest");
        return -ENODEV;
    }
    trace_action(record_main_trace(&t->record), TRACE_RESET, 0, NULL);
    machine_power(&t->machine, HV_REBOOT);
    trace_end(record_main_trace(&t->record));
    return 0;
}

static int op_wakeup(void *opaque, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    if (t->status != QMP_SUSPENDED) {
        snprintf(error, CONFIG_ERROR_BYTES, "Unable to wake up: guest is not in suspended state");
        return -EINVAL;
    }
    trace_action(record_main_trace(&t->record), TRACE_WAKEUP, 0, NULL);
    int err = machine_wakeup(&t->machine);
    trace_end(record_main_trace(&t->record));
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "waking the guest failed: %s", strerror(-err));
        return err;
    }
    t->status = QMP_RUNNING;
    event(t, "WAKEUP", NULL);
    return 0;
}

static int op_set_dirty_log(void *opaque, bool enable)
{
    mem_set_dirty_log(&((struct thindm *)opaque)->machine.mem, enable);
    return 0;
}

static int op_eject(void *opaque, const char *id, bool force, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    trace_action(record_main_trace(&t->record), TRACE_EJECT, force, id);
    int err = machine_eject(&t->machine, id, force, error);
    trace_end(record_main_trace(&t->record));
    return err;
}

static int op_change_medium(void *opaque, const char *id, const struct qmp_medium *medium,
                            char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    trace_action(record_main_trace(&t->record), TRACE_CHANGE_MEDIUM, medium->force, id);
    int err = machine_change_medium(&t->machine, id, medium, error);
    trace_end(record_main_trace(&t->record));
    return err;
}

static int op_cpu_add(void *opaque, unsigned index, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    trace_action(record_main_trace(&t->record), TRACE_CPU_ADD, index, NULL);
    int err = t->machine.pm ? piix4_pm_cpu_add(t->machine.pm, index) : -ENODEV;
    trace_end(record_main_trace(&t->record));
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "CPU %u: %s", index,
                 err == -EEXIST   ? "is present already"
                 : err == -ENODEV ? "the guest has no ACPI to tell it by"
                                  : "is beyond maxvcpus");
    return err;
}

static int op_flight_recorder(void *opaque, int fd, const char *path, char error[CONFIG_ERROR_BYTES])
{
    struct thindm *t = opaque;
    return record_main_dump(&t->record, fd, path, error);
}

/* The drives of the board first, then the PV disks by their numbers in xenstore. */
static bool op_block_info(void *opaque, unsigned i, struct qmp_block_info *info)
{
    struct thindm *t = opaque;
    struct pv_block_info disk;
    unsigned drives = 0;
    while (machine_block_info(&t->machine, drives, info)) {
        if (drives++ == i)
            return true;
    }
    if (!t->pv || !pv_block_info(t->pv, i - drives, &disk))
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

/* The chardevs of the command line first, then the serial lines. */
static bool op_chr_info(void *opaque, unsigned i, const char **label, const char **filename, bool *open)
{
    struct thindm *t = opaque;
    unsigned nr_chrs = t->config.nr_chrs;
    struct chr *chr = i < nr_chrs ? t->chrs[i] : i - nr_chrs < t->config.nr_serials ? t->machine.serials[i - nr_chrs] : NULL;
    if (!chr)
        return false;
    *label = chr->label;
    *filename = chr->filename;
    *open = chr->user != NULL;
    return true;
}

static bool op_cpu_online(void *opaque, unsigned index)
{
    struct thindm *t = opaque;
    return t->machine.pm ? piix4_pm_cpu_online(t->machine.pm, index) : index < t->config.vcpus;
}

static int op_dup_fd(void *opaque, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

static void op_close_fd(void *opaque, int fd)
{
    close(fd);
}

static void op_wall_clock(void *opaque, uint64_t *seconds, uint32_t *microseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *seconds = (uint64_t)now.tv_sec;
    *microseconds = (uint32_t)(now.tv_nsec / 1000);
}

static const struct qmp_ops qmp_ops = {
    .status = op_status,
    .cont = op_cont,
    .stop = op_stop,
    .quit = op_quit,
    .reset = op_reset,
    .wakeup = op_wakeup,
    .set_dirty_log = op_set_dirty_log,
    .eject = op_eject,
    .change_medium = op_change_medium,
    .flight_recorder = op_flight_recorder,
    .cpu_add = op_cpu_add,
    .block_info = op_block_info,
    .chr_info = op_chr_info,
    .cpu_online = op_cpu_online,
    .close_fd = op_close_fd,
    .dup_fd = op_dup_fd,
    .wall_clock = op_wall_clock,
};

/* --- What the guest and the operator ask for --- */

static void guest_power(void *opaque, enum hv_shutdown reason)
{
    struct thindm *t = opaque;
    log_print(t->log, LOG_INFO, "guest", "asks for %s", reason == HV_REBOOT ? "a reset" : "power-off");
    if (reason == HV_REBOOT) {
        event(t, "RESET", "{\"guest\": true, \"reason\": \"guest-reset\"}");
        if (t->config.qtest)
            sim_main_reset(&t->sim);
        return; /* the toolstack makes a new domain with a new device model */
    }
    event(t, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}");
    t->status = QMP_SHUTDOWN;
    if (!t->config.no_shutdown)
        loop_quit(&t->loop);
}

static void guest_sleep(void *opaque)
{
    struct thindm *t = opaque;
    t->status = QMP_SUSPENDED;
    event(t, "SUSPEND", NULL);
}

/*
 * werror=stop and the like. The other disk requests go on, and the host's vCPU threads can't be stopped from here: the
 * guest waits at its next emulated access, or for the request that failed.
 */
static void stop_for_disk(void *opaque)
{
    struct thindm *t = opaque;
    if (t->status != QMP_RUNNING)
        return;
    t->held = true;
    if (t->xen)
        xen_set_held(t->xen, true);
    else
        loop_freeze(&t->loop);
    t->status = QMP_IO_ERROR;
    event(t, "STOP", NULL);
}

static void disk_failed(void *opaque, const struct block_error *error)
{
    static const char *const actions[] = { [BLOCK_REPORT] = "report", [BLOCK_IGNORE] = "ignore", [BLOCK_STOP] = "stop" };
    struct thindm *t = opaque;
    char data[256];
    snprintf(data, sizeof(data), "{\"device\": \"%s\", \"operation\": \"%s\", \"action\": \"%s\", \"nospace\": %s, \"reason\": \"%s\"}",
             error->device, error->op == BLOCK_READ ? "read" : "write", actions[error->action],
             error->err == -ENOSPC ? "true" : "false", strerror(-error->err));
    if (error->action != BLOCK_REPORT) /* of what it is told the device says a line */
        log_print(t->log, LOG_WARN, error->device, "%s failed: %s; %s", error->op == BLOCK_READ ? "read" : "write",
                  strerror(-error->err), error->action == BLOCK_STOP ? "the guest is stopped until cont" : "ignored");
    event(t, "BLOCK_IO_ERROR", data);
    if (error->action == BLOCK_STOP)
        task_post(&t->disk_stop);
}

/* An id has no character that JSON would have to escape: core/options.c saw to that. */
static void tray_moved(void *opaque, const char *id, bool open)
{
    char data[160];
    snprintf(data, sizeof(data), "{\"device\": \"%s\", \"id\": \"%s\", \"tray-open\": %s}", id, id, open ? "true" : "false");
    event(opaque, "DEVICE_TRAY_MOVED", data);
}

static void guest_clock_set(void *opaque, int64_t seconds)
{
    xen_store_time_offset(((struct thindm *)opaque)->xen, seconds);
}

static void ring_corrupt(void *opaque)
{
    struct thindm *t = opaque;
    record_main_fatal(&t->record);
    machine_power(&t->machine, HV_CRASH);
}

static void end_signal(void *opaque, int signal)
{
    struct thindm *t = opaque;
    log_print(t->log, LOG_INFO, "thindm", "ending on signal %d", signal);
    loop_quit(&t->loop);
}

/* --- The start, in order --- */

static int open_monitors(struct thindm *t)
{
    struct config *c = &t->config;
    int err = qmp_create(&(struct qmp_config){ .loop = &t->loop, .log = t->log, .ops = &qmp_ops, .opaque = t,
                             .name = c->name, .max_vcpus = c->max_vcpus },
                         &t->qmp);
    for (unsigned i = 0; i < c->nr_chrs && !err; i++) {
        err = t->host.host.chr_open(&t->host.host, &c->chrs[i], &t->chrs[i]);
        if (err)
            return err; /* logged by the host */
    }
    for (unsigned i = 0; i < c->nr_monitors && !err; i++)
        err = qmp_attach(t->qmp, t->chrs[c->monitors[i]]);
    if (err)
        snprintf(t->error, sizeof(t->error), "monitor: %s", strerror(-err));
    return err;
}

static unsigned century_now(void)
{
    time_t now = time(NULL);
    struct tm tm;
    return gmtime_r(&now, &tm) ? (unsigned)(tm.tm_year + 1900) / 100 : 20;
}

static int start_guest(struct thindm *t)
{
    struct config *c = &t->config;
    struct machine machine = { .loop = &t->loop, .log = t->log, .config = c, .century = century_now(),
                               .wall_clock_s = time(NULL), .power = guest_power, .sleep = guest_sleep,
                                   .tray_moved = tray_moved, .errors = &t->disk_errors, .opaque = t };
    t->machine = machine;
    t->disk_errors = (struct block_errors){ .told = disk_failed, .opaque = t };
    task_init(&t->disk_stop, &t->loop, stop_for_disk, t);
    if (c->qtest)
        return sim_main_create(&t->sim, &t->host.host, &t->machine, &t->record, t->error);
    int err = xen_open(&(struct xen_config){ .domid = (uint16_t)c->domid, .ram_bytes = c->ram_bytes,
                           .max_ram_below_4g = c->max_ram_below_4g, .epoll = &t->epoll, .loop = &t->loop, .log = t->log },
                       &t->xen, t->error);
    if (err)
        return err;
    t->machine.hv = xen_hv(t->xen);
    t->machine.host = &t->host.host;
    record_main_start(&t->record, &t->machine);
    err = machine_create(&t->machine, t->error);
    if (err)
        return err;
    record_main_ready(&t->record, &t->machine);
    return xen_serve(t->xen,
                     &(struct ioreq_config){ .ports = &t->machine.ports, .memory = &t->machine.memory,
                         .pci = &t->machine.pci, .mem = &t->machine.mem, .time_offset = guest_clock_set,
                         .corrupt = ring_corrupt, .opaque = t, .trace = record_main_trace(&t->record) },
                     t->error);
}

static bool has_board(const struct config *c)
{
    return c->machine == MACHINE_XENFV || c->machine == MACHINE_PC_XEN;
}

/*
 * A guest with a board has its emulated disks: their images are locked for it already, and it goes on without PV back ends where
 * there is no grant device.
 */
static int start_pv(struct thindm *t)
{
    const struct config *c = &t->config;
    if (c->domid_restrict)
        return 0; /* what PV back ends stand on is about to be given up */
    int err = pv_xen_open((uint16_t)c->domid, &t->epoll, &t->loop, t->log, &t->pv_xen, t->error);
    if (!err)
        err = pv_create(&(struct pv_config){ .domid = (uint16_t)c->domid, .loop = &t->loop, .log = t->log,
                            .host = &t->host.host, .ops = &pv_xen_ops, .opaque = t->pv_xen, .shared = has_board(c) },
                        &t->pv, t->error);
    if (!err) {
        pv_xen_bind(t->pv_xen, t->pv);
    } else if (has_board(c)) {
        log_print(t->log, LOG_WARN, "pv", "%s; the guest has its emulated devices only", t->error);
        t->error[0] = '\0';
        err = 0;
    }
    return err;
}

static int confine(struct thindm *t, const struct runas *runas)
{
    const struct config *c = &t->config;
    int err = privileges_drop(c->chroot_dir, c->runas ? runas : NULL, t->error);
    if (!err && c->sandbox)
        err = sandbox_enter(t->error);
    t->host.confined = c->chroot_dir || c->sandbox; /* as another user some things may still be had */
    return err;
}

/*
 * Xen, file system, user, in this order. Only then is the toolstack told, through a connection opened with the old rights; with -S it asks by
 * QMP instead, which is answered from the loop on.
 */
static int drop_and_announce(struct thindm *t, const struct runas *runas)
{
    const struct config *c = &t->config;
    if (!t->pv)
        xen_close_unserved(t->xen);
    int err = c->domid_restrict ? xen_restrict(t->xen) : 0;
    if (err) {
        snprintf(t->error, sizeof(t->error), "-xen-domid-restrict: this kernel can't restrict Xen's devices: %s", strerror(-err));
        return err;
    }
    err = confine(t, runas);
    if (err)
        return err;
    t->status = c->start_stopped ? QMP_PRELAUNCH : QMP_RUNNING;
    bool announce = !c->start_stopped && !c->domid_restrict;
    err = t->xen ? xen_announce(t->xen, announce) : announce ? pv_xen_announce(t->pv_xen) : 0;
    if (err)
        snprintf(t->error, sizeof(t->error), "can't write device-model/%d/state to xenstore: %s", c->domid, strerror(-err));
    return err;
}

/* The same under a qtest client, who may come now that all is there. */
static int drop_and_serve(struct thindm *t, const struct runas *runas)
{
    const struct config *c = &t->config;
    int err = sim_main_serve(&t->sim, t->error);
    if (!err)
        err = confine(t, runas);
    if (c->start_stopped)
        loop_freeze(&t->loop);
    t->status = c->start_stopped ? QMP_PRELAUNCH : QMP_RUNNING;
    return err;
}

static int start(struct thindm *t)
{
    const struct config *c = &t->config;
    struct runas runas = { 0 };
    int err = c->runas ? runas_parse(c->runas, &runas, t->error) : 0;
    if (!err)
        err = signals_init(&t->signals, &t->epoll, end_signal, t);
    if (!err && has_board(c))
        err = record_main_open(&t->record, c, t->log, t->error);
    if (!err && (has_board(c) || c->qtest))
        err = start_guest(t);
    if (!err && c->machine != MACHINE_NONE && !c->qtest)
        err = start_pv(t);
    if (!err)
        err = open_monitors(t);
    if (!err && c->pidfile)
        err = pidfile_write(c->pidfile, t->error);
    if (!err && c->qtest)
        err = drop_and_serve(t, &runas);
    else if (!err && c->machine != MACHINE_NONE)
        err = drop_and_announce(t, &runas);
    return err;
}

/* The one line about a start that failed. What a back end can't open it has logged, which is on stderr unless -D moved it. */
static void explain(const struct thindm *t)
{
    if (t->error[0])
        fprintf(stderr, "thindm: %s\n", t->error);
    if (t->error[0] && t->config.log_file)
        log_print(t->log, LOG_ERROR, "thindm", "%s", t->error);
    else if (t->config.log_file)
        fprintf(stderr, "thindm: the start failed, see %s\n", t->config.log_file);
}

static void finish(struct thindm *t)
{
    record_main_finish(&t->record);
    sim_main_close(&t->sim);
    if (t->machine.hv)
        machine_drain(&t->machine);
    pv_destroy(t->pv);
    pv_xen_close(t->pv_xen);
    for (unsigned i = 0; i < t->config.nr_chrs; i++)
        chr_close(t->chrs[i]);
    qmp_destroy(t->qmp);
    t->qmp = NULL; /* closing a disk may still have an event */
    if (t->machine.hv)
        machine_destroy(&t->machine);
    record_main_close(&t->record);
    xen_close(t->xen);
    sim_main_destroy(&t->sim);
    signals_finish(&t->signals);
    linux_host_finish(&t->host);
    epoll_host_finish(&t->epoll);
    log_file_finish(&t->log_file);
}

static void print_line(void *opaque, const char *text)
{
    puts(text);
}

/* 0: go on; else the exit status is in *status. */
static bool done_by_options(struct thindm *t, int argc, char *argv[], int *status)
{
    config_init(&t->config);
    int err = options_parse(&t->config, argc, argv, t->error);
    bool asked = !err && (t->config.help || t->config.version);
    if (asked && t->config.help)
        options_help(print_line, NULL);
    else if (asked)
        puts(options_version());
    else if (!err)
        err = config_check(&t->config, t->error);
    if (err)
        fprintf(stderr, "thindm: %s\n", t->error);
    *status = err ? 1 : 0;
    return err || asked;
}

int main(int argc, char *argv[])
{
    static struct thindm t;
    int status;
    signals_ignore();
    if (argc > 1 && strcmp(argv[1], "replay") == 0)
        return replay_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "trace") == 0)
        return trace_main(argc, argv);
    t.record.argc = argc;
    t.record.argv = argv;
    if (done_by_options(&t, argc, argv, &status)) {
        config_free(&t.config);
        return status;
    }
    int err = log_file_init(&t.log_file, t.config.log_file, t.config.log_level);
    if (err)
        fprintf(stderr, "thindm: -D %s: %s\n", t.config.log_file, strerror(-err));
    t.log = &t.log_file.log;
    if (!err)
        err = epoll_host_init(&t.epoll);
    if (!err) {
        if (t.config.qtest)
            sim_main_init(&t.sim, &t.config, &t.loop, &epoll_loop_host, &t.epoll);
        else
            loop_init(&t.loop, &epoll_loop_host, &t.epoll);
        linux_host_init(&t.host, &t.epoll, &t.loop, t.log);
        err = start(&t);
        if (err)
            explain(&t);
        else
            err = t.config.qtest ? sim_main_run(&t.sim) : loop_run(&t.loop);
        finish(&t);
    }
    config_free(&t.config);
    return err ? 1 : 0;
}
