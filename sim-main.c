/* The simulated start of the program: see sim-main.h. */
#include "sim-main.h"
#include "backends/null/block-null.h"
#include "hw/legacy/platform.h"
#include <errno.h>
#include <string.h>
#include <time.h>

/* The disk of zeros has the size that QEMU gives it. */
#define NULL_DISK_BYTES GIB
/* How long to leave a client alone that doesn't read, and how many rounds the end may take. */
#define STUCK_NS NS_PER_MS
enum { END_ROUNDS = 100000 };

static uint64_t real_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- What the machine opens --- */

static int open_chr(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct sim_main *s = host->opaque;
    return s->inner->chr_open(s->inner, config, out);
}

static int open_block(struct host *host, const struct block_open *open, struct block **out)
{
    struct sim_main *s = host->opaque;
    if (open->path && !strcmp(open->path, CONFIG_NULL_DISK))
        return block_null_open(s->loop, NULL_DISK_BYTES, out);
    return s->inner->block_open(s->inner, open, out);
}

static void close_fd(struct host *host, int fd)
{
    struct sim_main *s = host->opaque;
    s->inner->close_fd(s->inner, fd);
}

static int read_file(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    struct sim_main *s = host->opaque;
    return s->inner->read_file(s->inner, path, max, data, len);
}

/* --- The guest --- */

/* The board's own interrupt controllers get every line from the simulated hypervisor, as from a real one. */
static void on_intx(void *platform, unsigned slot, unsigned pin, bool level)
{
    platform_intx(platform, slot, pin, level);
}

static void on_link(void *platform, unsigned link, unsigned irq)
{
    platform_link(platform, link, irq);
}

static void do_reset(void *opaque)
{
    struct sim_main *s = opaque;
    sim_reset(s->sim);
    if (!s->machine)
        return;
    trace_action(record_main_trace(s->record), TRACE_RESTART, 0, NULL);
    devices_reset(&s->machine->devices);
    trace_end(record_main_trace(s->record));
}

void sim_main_reset(struct sim_main *s)
{
    task_post(&s->reset);
}

void sim_main_init(struct sim_main *s, const struct config *config, struct loop *loop, const struct loop_host *sources,
                   void *sources_opaque)
{
    s->config = config;
    s->loop = loop;
    sim_clock_init(&s->clock, sources, sources_opaque);
    loop_init(loop, &sim_clock_host, &s->clock);
    task_init(&s->reset, loop, do_reset, s);
}

int sim_main_create(struct sim_main *s, struct host *inner, struct machine *machine, struct record_main *record,
                    char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = s->config;
    bool none = c->machine == MACHINE_NONE;
    int err = sim_create(&(struct sim_config){ .ram_bytes = none ? 0 : c->ram_bytes,
                             .max_ram_below_4g = c->max_ram_below_4g, .nr_vcpus = c->vcpus, .cf8_low_bits = true },
                         &s->sim);
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "the simulated domain: %s", strerror(-err));
        return err;
    }
    s->inner = inner;
    if (none)
        return 0;
    s->host = (struct host){ .loop = inner->loop, .log = inner->log, .opaque = s, .chr_open = open_chr,
                             .block_open = open_block, .close_fd = close_fd, .read_file = read_file };
    machine->hv = sim_hv(s->sim);
    machine->host = &s->host;
    machine->pin_changed = sim_set_pin;
    machine->pin_opaque = s->sim;
    s->record = record;
    record_main_start(record, machine);
    err = machine_create(machine, error);
    if (err)
        return err;
    record_main_ready(record, machine);
    s->machine = machine;
    if (machine->platform)
        sim_set_controllers(s->sim, &(struct sim_controllers){ platform_isa, on_intx, on_link, machine->platform });
    sim_serve(s->sim, &(struct ioreq_config){ .ports = &machine->ports, .memory = &machine->memory,
                          .pci = &machine->pci, .mem = &machine->mem, .log = machine->log,
                          .trace = record_main_trace(record) });
    return 0;
}

/* --- The client --- */

static void log_line(void *opaque, char kind, const char *line)
{
    struct sim_main *s = opaque;
    uint64_t ns = real_ns() - s->log_start_ns;
    fprintf(s->log, "[%c %s%.6f] %s\n", kind, kind == 'I' ? "" : "+", (double)ns / (double)NS_PER_S, line);
}

static int open_log(struct sim_main *s, char error[CONFIG_ERROR_BYTES])
{
    const char *file = s->config->qtest_log;
    s->log_start_ns = real_ns();
    if (file && !strcmp(file, "none"))
        return 0;
    s->log = file ? fopen(file, "we") : stderr;
    if (s->log)
        return 0;
    int err = errno ? -errno : -EIO;
    snprintf(error, CONFIG_ERROR_BYTES, "-qtest-log %.128s: %s", file, strerror(-err));
    return err;
}

/*
 * Without a client there is nobody to go on for. What it started is done first: it may have left for the reproduction
 * of a bug.
 */
static void client_left(void *opaque)
{
    struct sim_main *s = opaque;
    uint64_t rounds = END_ROUNDS;
    if (s->machine) {
        trace_action(record_main_trace(s->record), TRACE_STOP, 0, NULL);
        machine_drain(s->machine);
        trace_end(record_main_trace(s->record));
    }
    (void)sim_clock_settle(&s->clock, s->loop, &rounds);
    loop_quit(s->loop);
}

int sim_main_serve(struct sim_main *s, char error[CONFIG_ERROR_BYTES])
{
    if (!s->config->qtest_served)
        return 0;
    int err = open_log(s, error);
    if (!err)
        err = s->inner->chr_open(s->inner, &s->config->qtest_chr, &s->chr);
    if (!err)
        err = qtest_create(&(struct qtest_config){ .sim = s->sim, .clock = &s->clock, .loop = s->loop, .chr = s->chr,
                               .no_ioapic = !s->machine, .log = s->log ? log_line : NULL, .closed = client_left,
                               .opaque = s },
                           &s->qtest);
    return err;
}

int sim_main_run(struct sim_main *s)
{
    enum qtest_state state = QTEST_BUSY;
    int err = 0;
    while (!err && !s->loop->stop) {
        if (state == QTEST_STUCK)
            (void)nanosleep(&(struct timespec){ .tv_nsec = STUCK_NS }, NULL);
        /* A task may find out that the client left, and nothing else would wake us then. */
        err = loop_step(s->loop, state == QTEST_IDLE && !s->loop->tasks ? -1 : 0);
        state = s->qtest && !err ? qtest_serve(s->qtest) : QTEST_IDLE;
    }
    s->loop->stop = false;
    return err;
}

void sim_main_close(struct sim_main *s)
{
    if (s->sim)
        sim_set_controllers(s->sim, NULL); /* they go with the machine, in an order that lines don't know */
    chr_close(s->chr);
    s->chr = NULL;
    qtest_destroy(s->qtest);
    s->qtest = NULL;
    if (s->log && s->log != stderr)
        (void)fclose(s->log);
    s->log = NULL;
}

void sim_main_destroy(struct sim_main *s)
{
    if (s->loop)
        task_cancel(&s->reset);
    sim_destroy(s->sim);
    s->sim = NULL;
}
