/*
 * "thindm replay FILE...": builds the machine of a trace, feeds it what the trace says, and compares. Exit status 0:
 * all is the same; 1: it isn't, or the file is damaged.
 */
#include "replay-main.h"
#include "backends/linux/trace-file.h"
#include "backends/sim/sim.h"
#include "hw/chipset/piix4-pm.h"
#include "hw/legacy/platform.h"
#include "hw/machine-state.h"
#include "hw/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/ioreq.h>
#include <unistd.h>

struct player {
    struct trace_reader reader;
    struct trace_replay *replay;
    struct config config;
    struct machine machine;
    struct ioreq engine;
    struct log log;
    struct sim *sim; /* hands lines on to the board's own interrupt controllers, if it has some */
    uint8_t *pages;
    bool verbose;
};

bool trace_open(const char *path, int *fd, struct trace_reader *reader)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (*fd < 0) {
        fprintf(stderr, "thindm: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (trace_reader_init(reader, &(struct trace_source){ trace_fd_read, fd }) == 0)
        return true;
    fprintf(stderr, "thindm: %s: %s\n", path, reader->error);
    close(*fd);
    *fd = -1;
    return false;
}

static void print_log(struct log *log, enum log_level level, const char *line)
{
    struct player *p = container_of(log, struct player, log);
    if (p->verbose)
        printf("  log: %s\n", line);
}

static void on_intx(void *platform, unsigned slot, unsigned pin, bool level)
{
    platform_intx(platform, slot, pin, level);
}

static void on_link(void *platform, unsigned link, unsigned irq)
{
    platform_link(platform, link, irq);
}

static void ready(void *opaque)
{
    struct player *p = opaque;
    if (p->machine.platform)
        sim_set_controllers(p->sim, &(struct sim_controllers){ platform_isa, on_intx, on_link, p->machine.platform });
}

/* Another medium came: which one, the trace's replies tell. */
static void change_medium(struct machine *m, const char *id, bool force)
{
    char error[CONFIG_ERROR_BYTES];
    (void)machine_change_medium(m, id, &(struct qmp_medium){ .path = "", .fd = -1, .force = force }, error);
}

/* What an operator did then, as thindm.c does it. */
static void action(void *opaque, enum trace_action what, uint64_t number, const char *text)
{
    struct player *p = opaque;
    struct machine *m = &p->machine;
    char error[CONFIG_ERROR_BYTES] = "";
    switch (what) {
    case TRACE_STOP: machine_drain(m); break;
    case TRACE_RESET: machine_power(m, HV_REBOOT); break;
    case TRACE_WAKEUP: (void)machine_wakeup(m); break;
    case TRACE_EJECT: (void)machine_eject(m, text, number, error); break;
    case TRACE_CHANGE_MEDIUM: change_medium(m, text, number); break;
    case TRACE_CPU_ADD:
        if (!m->pm || number >= CONFIG_MAX_VCPUS || piix4_pm_cpu_add(m->pm, (unsigned)number))
            break; /* refused then, too */
        break;
    case TRACE_RESTART: devices_reset(&m->devices); break;
    default: break; /* cont, powerdown: nothing that a device sees */
    }
}

/* The device that serves a request: the one whose structure is nearest below the region's opaque pointer. */
static const char *device_at(struct player *p, const struct trace_ioreq *req)
{
    struct bus *bus = req->type == IOREQ_PIO ? &p->machine.ports : &p->machine.memory;
    const struct device *best = NULL;
    uintptr_t opaque = 0;
    for (unsigned i = 0; i <= BUS_MAX_REGIONS && req->type <= IOREQ_COPY; i++) {
        const struct bus_region *region = bus->regions[i];
        if (region && region->bus == bus && req->addr - region->base < region->len)
            opaque = (uintptr_t)region->opaque;
    }
    for (const struct device *dev = p->machine.devices.first; dev && opaque; dev = dev->next) {
        if ((uintptr_t)dev <= opaque && opaque - (uintptr_t)dev < MIB && (!best || dev > best))
            best = dev;
    }
    return best ? best->id : req->type == IOREQ_PCI_CONFIG ? "a PCI configuration space" : "nobody";
}

static void print_result(struct player *p, const char *path, const struct trace_replay_result *result)
{
    if (result->ok) {
        printf("%s: the same: %" PRIu64 " entries, %" PRIu64 " steps, %" PRIu64 " requests", path, result->entries,
               result->steps, result->requests);
        if (result->skipped)
            printf("; begun at a snapshot, behind %" PRIu64 " other entries", result->skipped);
        if (result->cut)
            printf("; it ends within a step, as at a crash or a hang");
        if (result->snapshots)
            printf("; %" PRIu64 " snapshots", result->snapshots);
        if (result->unverified)
            printf("; %" PRIu64 " reads of bytes that the trace doesn't hold were not compared", result->unverified);
        printf("\n");
        return;
    }
    fprintf(stderr, "thindm: %s: %s\n", path, result->report);
    if (result->diverged && result->last_valid)
        fprintf(stderr, "  in a request to %s at 0x%" PRIx64 ", which is %s's\n",
                result->last.type == IOREQ_PIO ? "port" : "address", result->last.addr, device_at(p, &result->last));
}

static int save(void *opaque, struct snap_buf *out)
{
    return machine_save(&((struct player *)opaque)->machine, out);
}

static int restore(void *opaque, struct snap_buf *in, char error[TRACE_ERROR_BYTES])
{
    char text[CONFIG_ERROR_BYTES] = "";
    int err = machine_restore(&((struct player *)opaque)->machine, in, text);
    snprintf(error, TRACE_ERROR_BYTES, "%.160s", text);
    return err;
}

static int build(struct player *p, char error[CONFIG_ERROR_BYTES])
{
    char **argv;
    int argc = trace_replay_args(p->replay, &argv);
    config_init(&p->config);
    int err = options_parse(&p->config, argc, argv, error);
    if (!err)
        err = config_check(&p->config, error);
    if (!err && (p->config.machine == MACHINE_NONE || p->config.help || p->config.version)) {
        snprintf(error, CONFIG_ERROR_BYTES, "there is no machine in it");
        err = -EINVAL;
    }
    if (err)
        return err;
    p->log = (struct log){ .write = print_log, .level = p->config.log_level };
    p->machine = (struct machine){ .loop = trace_replay_loop(p->replay),
                                   .log = &p->log,
                                   .hv = trace_replay_hv(p->replay),
                                   .host = trace_replay_host(p->replay),
                                   .config = &p->config,
                                   .century = trace_replay_century(p->replay) };
    err = sim_create(&(struct sim_config){ .nr_vcpus = 1 }, &p->sim);
    if (err)
        return err;
    trace_replay_set_lines(p->replay, sim_hv(p->sim));
    p->machine.pin_changed = sim_set_pin;
    p->machine.pin_opaque = p->sim;
    err = machine_create(&p->machine, error);
    if (err) {
        p->machine.hv = NULL;
        return err;
    }
    ioreq_init(&p->engine, &(struct ioreq_config){ .ports = &p->machine.ports,
                                                   .memory = &p->machine.memory,
                                                   .pci = &p->machine.pci,
                                                   .mem = &p->machine.mem,
                                                   .log = &p->log,
                                                   .sync_page = p->pages,
                                                   .buffered_page = p->pages + PAGE_BYTES,
                                                   .nr_vcpus = IOREQ_MAX_VCPUS,
                                                   .trace = trace_replay_trace(p->replay) });
    return 0;
}

static bool play(struct player *p, const char *path)
{
    char error[CONFIG_ERROR_BYTES] = "", why[TRACE_ERROR_BYTES] = "";
    struct trace_replay_result result = { 0 };
    int err = trace_replay_create(&(struct trace_replay_config){ &p->reader, &p->log }, &p->replay, why);
    if (err) {
        fprintf(stderr, "thindm: %s: %s\n", path, why[0] ? why : strerror(-err));
        return false;
    }
    if (build(p, error) == 0) {
        trace_replay_run(p->replay,
                         &(struct trace_replay_world){ .mem = &p->machine.mem,
                                                       .engine = &p->engine,
                                                       .sync_page = p->pages,
                                                       .buffered_page = p->pages + PAGE_BYTES,
                                                       .nr_vcpus = IOREQ_MAX_VCPUS,
                                                       .ready = ready,
                                                       .action = action,
                                                       .save = save,
                                                       .restore = restore,
                                                       .opaque = p },
                         &result);
    } else {
        trace_replay_give_up(p->replay, &result);
        if (!result.report[0])
            snprintf(result.report, sizeof(result.report), "its machine can't be built: %s", error);
    }
    print_result(p, path, &result);
    if (p->machine.hv)
        machine_destroy(&p->machine);
    sim_destroy(p->sim);
    config_free(&p->config);
    trace_replay_destroy(p->replay);
    return result.ok;
}

int replay_main(int argc, char *argv[])
{
    int status = argc > 2 ? 0 : 1, first = 2;
    bool verbose = argc > 2 && strcmp(argv[2], "-v") == 0;
    first += verbose;
    if (argc <= first) {
        fprintf(stderr, "usage: thindm replay [-v] FILE...\n");
        return 1;
    }
    for (int i = first; i < argc; i++) {
        struct player *p = calloc(1, sizeof(*p));
        int fd = -1;
        if (p)
            p->pages = aligned_alloc(PAGE_BYTES, 2 * PAGE_BYTES);
        if (!p || !p->pages) {
            fprintf(stderr, "thindm: out of memory\n");
            status = 1;
        } else {
            memset(p->pages, 0, 2 * PAGE_BYTES);
            p->verbose = verbose;
            if (!trace_open(argv[i], &fd, &p->reader) || !play(p, argv[i]))
                status = 1;
            free(p->pages);
        }
        if (fd >= 0)
            close(fd);
        free(p);
    }
    return status;
}
