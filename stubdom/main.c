/*
 * The stubdomain's program, the other thindm.c: arguments -> configuration -> machine -> loop. A failure is told on the
 * console and in the node device-model/<target>/error, and ends guest and stubdomain as crashed.
 */
#include "../guest-main.h"
#include "args.h"
#include "front/front.h"
#include "host.h"
#include "kernel/boot.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/events.h"
#include "kernel/gnttab.h"
#include "kernel/mm.h"
#include "kernel/store.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <thindm/qmp.h>

enum { KEPT_PAGES = 512 }; /* a monitor's and a disk's changes need some */

struct stubdom {
    uint64_t target;
    struct args args;
    struct config config;
    struct log *log;
    struct loop loop;
    struct host host;
    struct guest_main guest;
    struct chr *monitor;
    char error[CONFIG_ERROR_BYTES];
};

static uint64_t loop_clock(void *opaque)
{
    return clock_now_ns();
}

static int loop_wait(void *opaque, int64_t timeout_ns)
{
    return events_wait(timeout_ns);
}

static const struct loop_host loop_host = { loop_clock, loop_wait };

static void op_wall_clock(void *opaque, uint64_t *seconds, uint32_t *microseconds)
{
    uint32_t ns;
    clock_wall(seconds, &ns);
    *microseconds = ns / 1000;
}

/* No descriptor ever comes through a vchan. */
static void op_close_fd(void *opaque, int fd)
{
}

/* --- The start, in order --- */

static int find_target(struct stubdom *s)
{
    int err = store_read_u64("target", &s->target);
    if (!err && s->target > CONFIG_MAX_DOMID)
        err = -EINVAL;
    if (err)
        snprintf(s->error, sizeof(s->error), "the node target, which names the domain to serve: %s", strerror(-err));
    else
        crash_set_target((domid_t)s->target);
    return err;
}

static int refuse(struct stubdom *s, const char *what)
{
    snprintf(s->error, sizeof(s->error), "%s: not in a stubdomain", what);
    return -EINVAL;
}

/* What has no meaning here. That nothing but the guest can be reached is so without -runas, -chroot and the like. */
static int check_config(struct stubdom *s)
{
    const struct config *c = &s->config;
    if (c->help || c->version)
        return refuse(s, "-help and -version");
    int err = config_check(c, s->error);
    if (err)
        return err;
    if (c->qtest || (c->machine != MACHINE_XENFV && c->machine != MACHINE_PC_XEN))
        return refuse(s, "a machine without an HVM guest");
    if (c->trace_record || c->flight_file || c->log_file || c->pidfile)
        return refuse(s, "-trace-record, -flight-recorder file=, -D and -pidfile");
    if ((uint64_t)c->domid == s->target)
        return 0;
    snprintf(s->error, sizeof(s->error), "-xen-domid %d: the stubdomain's target is domain %u", c->domid,
             (unsigned)s->target);
    return -EINVAL;
}

static int configure(struct stubdom *s)
{
    int err = args_read(&s->args, (unsigned)s->target, boot_info()->cmdline, s->error);
    config_init(&s->config);
    if (!err)
        err = options_parse(&s->config, s->args.argc, s->args.argv, s->error);
    if (!err)
        err = check_config(s);
    s->log->level = s->config.log_level;
    return err;
}

/* libxl's proxy connects it to a socket in Dom0; it dies of output that nobody asked for. */
static int open_monitor(struct stubdom *s)
{
    char path[STORE_PATH_BYTES];
    snprintf(path, sizeof(path), "device-model/%u/qmp-vchan", (unsigned)s->target);
    int err = guest_main_monitor(&s->guest, s->error);
    if (err)
        return err;
    err = vchan_open(path, &s->loop, s->log, &s->monitor);
    if (!err)
        err = qmp_attach(s->guest.qmp, s->monitor);
    if (err)
        snprintf(s->error, sizeof(s->error), "monitor: %s", strerror(-err));
    return err;
}

static int start_guest(struct stubdom *s)
{
    uint64_t now_s;
    uint32_t ns;
    struct guest_main *g = &s->guest;
    clock_wall(&now_s, &ns);
    *g = (struct guest_main){ .config = &s->config,
                              .loop = &s->loop,
                              .log = s->log,
                              .silent = true,
                              .ops = { .close_fd = op_close_fd, .wall_clock = op_wall_clock } };
    guest_main_init(g, (int64_t)now_s);
    int err = guest_main_open_xen(g, NULL, s->error);
    if (err)
        return err;
    g->machine.host = &s->host;
    err = machine_create(&g->machine, s->error);
    if (!err)
        err = open_monitor(s);
    if (!err)
        err = guest_main_serve(g, s->error);
    g->status = s->config.start_stopped ? QMP_PRELAUNCH : QMP_RUNNING;
    return err;
}

static int announce(struct stubdom *s)
{
    int err = xen_announce(s->guest.xen, true);
    if (err)
        snprintf(s->error, sizeof(s->error), "can't write device-model/%u/state to xenstore: %s", (unsigned)s->target,
                 strerror(-err));
    else
        log_print(s->log, LOG_INFO, "stubdom", "serving domain %u, %u us after the first instruction",
                  (unsigned)s->target, (unsigned)((clock_now_ns() - boot_info()->start_ns) / 1000));
    return err;
}

/* libxl gives us the guest's video memory once more, which lies in the guest. All that is large is allocated by now. */
static void give_memory_back(struct stubdom *s)
{
    size_t given = pages_give_back(KEPT_PAGES);
    log_print(s->log, LOG_INFO, "stubdom", "%zu KiB given back to Xen, %zu KiB are left", given * PAGE_BYTES / KIB,
              pages_free() * PAGE_BYTES / KIB);
}

static int start(struct stubdom *s)
{
    const struct boot_info *boot = boot_info();
    s->log = console_log();
    loop_init(&s->loop, &loop_host, s);
    stub_host_init(&s->host, &s->loop, s->log);
    int err = store_init(boot->store_page, boot->store_port);
    if (!err)
        err = gnttab_init();
    if (err) {
        snprintf(s->error, sizeof(s->error), "xenstore or the grant table: %s", strerror(-err));
        return err;
    }
    store_attach(&s->loop);
    err = find_target(s);
    if (!err)
        err = configure(s);
    if (!err)
        err = start_guest(s);
    if (!err)
        err = announce(s);
    if (!err)
        give_memory_back(s);
    return err;
}

/* The toolstack waits for a node that never comes, and then shows this one to nobody: but people find it. */
static _Noreturn void give_up(struct stubdom *s)
{
    char path[STORE_PATH_BYTES];
    const char *why = s->error[0] ? s->error : "the start failed, see the lines above";
    snprintf(path, sizeof(path), "device-model/%u/error", (unsigned)s->target);
    (void)store_write(path, why);
    crash("thindm: %s", why);
}

int stubdom_main(void)
{
    static struct stubdom s;
    if (start(&s))
        give_up(&s);
    int err = loop_run(&s.loop);
    if (err) {
        snprintf(s.error, sizeof(s.error), "waiting for events: %s", strerror(-err));
        give_up(&s);
    }
    machine_drain(&s.guest.machine);
    machine_destroy(&s.guest.machine);
    return 0;
}
