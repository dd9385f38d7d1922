/*
 * What recording costs: ns per request through the real request page, without a trace, into a ring, and into a file.
 * The guest reads the serial port's line status, the cheapest request there is, so that the share of the recorder is
 * the greatest. CPU time of the thread that serves, so that a busy machine doesn't count; the rounds of the three
 * alternate, and the ratios are those within one round. The writing thread's CPU time is told apart.
 *
 * usage: bench-trace FILE [REQUESTS]
 */
#include "linux/trace-file.h"
#include "machine-state.h"
#include "machine.h"
#include "sim/clock.h"
#include "sim/sim.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/ioreq.h>
#include <thindm/trace.h>
#include <time.h>

enum { ROUNDS = 25, COM1_LSR = 0x3fd, NR_KINDS = 3, ENTRIES_PER_REQUEST = 2 };

struct board {
    struct config config;
    struct sim_clock clock;
    struct loop loop;
    struct host host;
    struct machine machine;
    struct sim *sim;
    struct trace_file *file;
    struct trace_recorder *rec;
};

static int no_disk(struct host *host, const struct block_open *open, struct block **out)
{
    return -1;
}

static int null_line(struct host *host, const struct chr_config *config, struct chr **out)
{
    return chr_null_open(out);
}

static double cpu_ns(clockid_t clock)
{
    struct timespec ts;
    (void)clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), compare);
    return v[ROUNDS / 2];
}

static bool quiet(void *machine)
{
    return machine_quiet(machine);
}

static int save(void *machine, struct snap_buf *out)
{
    return machine_save(machine, out);
}

/* ring_bytes 0 and no path: not recorded. */
static void start(struct board *b, size_t ring_bytes, const char *path)
{
    char error[CONFIG_ERROR_BYTES];
    config_init(&b->config);
    b->config.vga = VGA_NONE;
    b->config.nr_serials = 1;
    sim_clock_init(&b->clock, NULL, NULL);
    loop_init(&b->loop, &sim_clock_host, &b->clock);
    b->host = (struct host){ .loop = &b->loop, .block_open = no_disk, .chr_open = null_line };
    if (sim_create(&(struct sim_config){ .ram_bytes = MIB, .max_ram_below_4g = GIB, .nr_vcpus = 1 }, &b->sim))
        exit(1);
    b->machine = (struct machine){
        .loop = &b->loop, .hv = sim_hv(b->sim), .host = &b->host, .config = &b->config, .century = 20
    };
    if (path && trace_file_create(path, &b->file))
        exit(1);
    struct trace_recorder_config config = { path ? trace_file_sink(b->file) : NULL, ring_bytes, NULL };
    if ((path || ring_bytes) && trace_recorder_create(&config, &b->rec))
        exit(1);
    if (b->rec)
        trace_recorder_start(b->rec,
                             &(struct trace_world){ &b->loop, &b->machine.hv, &b->machine.host, "bench", 6, 20 });
    if (machine_create(&b->machine, error))
        exit(1);
    trace_recorder_ready(b->rec, &b->machine.mem, &(struct trace_machine){ quiet, save, &b->machine });
    sim_serve(b->sim, &(struct ioreq_config){ .ports = &b->machine.ports,
                                              .memory = &b->machine.memory,
                                              .pci = &b->machine.pci,
                                              .mem = &b->machine.mem,
                                              .trace = trace_recorder_trace(b->rec) });
}

static double read_ns(struct board *b, uint64_t requests)
{
    double from = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < requests; i++)
        (void)sim_port_read(b->sim, COM1_LSR, 1);
    return (cpu_ns(CLOCK_THREAD_CPUTIME_ID) - from) / (double)requests;
}

static void finish(struct board *b)
{
    trace_recorder_finish(b->rec);
    machine_destroy(&b->machine);
    (void)trace_file_close(b->file);
    trace_recorder_destroy(b->rec);
    sim_destroy(b->sim);
}

int main(int argc, char *argv[])
{
    static const char *const names[NR_KINDS] = { "not recorded", "flight recorder", "file" };
    static struct board boards[NR_KINDS];
    double ns[NR_KINDS][ROUNDS], more[NR_KINDS][ROUNDS], ratio[NR_KINDS][ROUNDS];
    if (argc < 2)
        return 1;
    uint64_t requests = argc > 2 ? strtoull(argv[2], NULL, 0) : 500000;
    for (unsigned i = 0; i < NR_KINDS; i++) {
        start(&boards[i], i == 1 ? 64 * KIB : 0, i == 2 ? argv[1] : NULL);
        (void)read_ns(&boards[i], requests);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < NR_KINDS; i++) {
            ns[i][round] = read_ns(&boards[i], requests);
            more[i][round] = ns[i][round] - ns[0][round];
            ratio[i][round] = ns[i][round] / ns[0][round];
        }
    }
    for (unsigned i = 0; i < NR_KINDS; i++)
        printf("%-16s %6.1f ns per request, %5.1f ns per entry, %5.1f %% of the throughput\n", names[i], median(ns[i]),
               median(more[i]) / ENTRIES_PER_REQUEST, 100 / median(ratio[i]));
    for (unsigned i = 0; i < NR_KINDS; i++)
        finish(&boards[i]);
    double writer = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    printf("the writing thread: %.2f ns per request\n", writer / (double)(requests * (ROUNDS + 1)));
    return 0;
}
