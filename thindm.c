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
#include "guest-main.h"
#include "pv-main.h"
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
    struct guest_main guest;
    struct pv_main pv;
    struct sim_main sim;
    struct record_main record;
    char error[CONFIG_ERROR_BYTES]; /* the one line that explains why the start failed */
};

/* --- This program's part of what QMP and the guest ask for --- */

static struct thindm *of_guest(void *guest)
{
    return container_of(guest, struct thindm, guest);
}

static int op_flight_recorder(void *opaque, int fd, const char *path, char error[CONFIG_ERROR_BYTES])
{
    return record_main_dump(&of_guest(opaque)->record, fd, path, error);
}

/* Emulated disks can't tell their drivers. */
static int op_block_resize(void *opaque, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES])
{
    return pv_main_resize(&of_guest(opaque)->pv, id, bytes, error);
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

static void pause_pv(struct guest_main *g, bool paused)
{
    pv_main_set_paused(&of_guest(g)->pv, paused);
}

static bool pv_disk(struct guest_main *g, unsigned i, struct qmp_block_info *info)
{
    return pv_main_disk(&of_guest(g)->pv, i, info);
}

static void guest_reset(struct guest_main *g)
{
    struct thindm *t = of_guest(g);
    if (t->config.qtest)
        sim_main_reset(&t->sim);
}

static void guest_corrupt(struct guest_main *g)
{
    record_main_fatal(&of_guest(g)->record);
}

static void end_signal(void *opaque, int signal)
{
    struct thindm *t = opaque;
    log_print(t->log, LOG_INFO, "thindm", "ending on signal %d", signal);
    loop_quit(&t->loop);
}

/* --- The start, in order --- */

static void init_guest(struct thindm *t)
{
    t->guest = (struct guest_main){ .config = &t->config, .loop = &t->loop, .log = t->log,
                                    .ops = { .flight_recorder = op_flight_recorder,
                                             .block_resize = op_block_resize, .close_fd = op_close_fd,
                                             .dup_fd = op_dup_fd, .wall_clock = op_wall_clock },
                                    .pause_pv = pause_pv, .pv_disk = pv_disk, .reset = guest_reset,
                                    .corrupt = guest_corrupt };
    guest_main_init(&t->guest, time(NULL));
}

static int open_monitors(struct thindm *t)
{
    struct config *c = &t->config;
    int err = guest_main_monitor(&t->guest, t->error);
    if (err)
        return err;
    for (unsigned i = 0; i < c->nr_chrs; i++) {
        err = t->host.host.chr_open(&t->host.host, &c->chrs[i], &t->guest.chrs[i]);
        if (err)
            return err; /* logged by the host */
    }
    for (unsigned i = 0; i < c->nr_monitors && !err; i++)
        err = qmp_attach(t->guest.qmp, t->guest.chrs[c->monitors[i]]);
    if (err)
        snprintf(t->error, sizeof(t->error), "monitor: %s", strerror(-err));
    return err;
}

static int start_guest(struct thindm *t)
{
    struct machine *machine = &t->guest.machine;
    t->guest.trace = record_main_trace(&t->record);
    if (t->config.qtest)
        return sim_main_create(&t->sim, &t->host.host, machine, &t->record, t->error);
    int err = guest_main_open_xen(&t->guest, &t->epoll, t->error);
    if (err)
        return err;
    machine->host = &t->host.host;
    record_main_start(&t->record, machine);
    err = machine_create(machine, t->error);
    if (err)
        return err;
    record_main_ready(&t->record, machine);
    return guest_main_serve(&t->guest, t->error);
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
    int err = pv_main_open(&t->pv,
                           &(struct pv_config){ .domid = (uint16_t)c->domid, .loop = &t->loop, .log = t->log,
                               .host = &t->host.host, .shared = has_board(c), .chrs = t->guest.chrs,
                               .nr_chrs = c->nr_chrs, .log_limit_bytes = t->log_file.limit_bytes },
                           &t->epoll, t->error);
    if (err && has_board(c)) {
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
    if (!pv_main_serves(&t->pv))
        xen_close_unserved(t->guest.xen);
    int err = c->domid_restrict ? xen_restrict(t->guest.xen) : 0;
    if (err) {
        snprintf(t->error, sizeof(t->error), "-xen-domid-restrict: this kernel can't restrict Xen's devices: %s", strerror(-err));
        return err;
    }
    err = confine(t, runas);
    if (err)
        return err;
    t->guest.status = c->start_stopped ? QMP_PRELAUNCH : QMP_RUNNING;
    bool announce = !c->start_stopped && !c->domid_restrict;
    err = t->guest.xen ? xen_announce(t->guest.xen, announce) : announce ? pv_main_announce(&t->pv) : 0;
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
    t->guest.status = c->start_stopped ? QMP_PRELAUNCH : QMP_RUNNING;
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
    if (!err)
        err = open_monitors(t);
    if (!err && c->machine != MACHINE_NONE && !c->qtest)
        err = start_pv(t); /* its consoles take what the monitors leave */
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
    if (t->guest.machine.hv)
        machine_drain(&t->guest.machine);
    pv_main_close(&t->pv);
    for (unsigned i = 0; i < t->config.nr_chrs; i++)
        chr_close(t->guest.chrs[i]);
    qmp_destroy(t->guest.qmp);
    t->guest.qmp = NULL; /* closing a disk may still have an event */
    if (t->guest.machine.hv)
        machine_destroy(&t->guest.machine);
    record_main_close(&t->record);
    xen_close(t->guest.xen);
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
        init_guest(&t);
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
