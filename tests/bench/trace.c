/*
 * What recording costs: ns per request through the real request page, without a trace, into a ring, and into a file.
 * The guest reads the serial port's line status, the cheapest request there is, so that the share of the recorder is
 * the greatest.
 *
 * usage: bench-trace FILE [REQUESTS]
 */
#include "linux/trace-file.h"
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

enum { ROUNDS = 7, COM1_LSR = 0x3fd };

static int no_disk(struct host *host, const struct block_open *open, struct block **out)
{
    return -1;
}

static int null_line(struct host *host, const struct chr_config *config, struct chr **out)
{
    return chr_null_open(out);
}

static double now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* ring_bytes 0 and no path: not recorded. */
static double measure(size_t ring_bytes, const char *path, uint64_t requests)
{
    struct config config;
    struct sim_clock clock;
    struct loop loop;
    struct sim *sim;
    struct trace_file *file = NULL;
    struct trace_recorder *rec = NULL;
    char error[CONFIG_ERROR_BYTES];
    double ns[ROUNDS];
    config_init(&config);
    config.vga = VGA_NONE;
    config.nr_serials = 1;
    sim_clock_init(&clock, NULL, NULL);
    loop_init(&loop, &sim_clock_host, &clock);
    struct host host = { .loop = &loop, .block_open = no_disk, .chr_open = null_line };
    if (sim_create(&(struct sim_config){ .ram_bytes = MIB, .max_ram_below_4g = GIB, .nr_vcpus = 1 }, &sim))
        exit(1);
    struct machine machine = { .loop = &loop, .hv = sim_hv(sim), .host = &host, .config = &config, .century = 20 };
    if (path && trace_file_create(path, &file))
        exit(1);
    if ((path || ring_bytes) &&
        trace_recorder_create(&(struct trace_recorder_config){ path ? trace_file_sink(file) : NULL, ring_bytes, NULL },
                              &rec))
        exit(1);
    if (rec)
        trace_recorder_start(rec, &(struct trace_world){ &loop, &machine.hv, &machine.host, "bench", 6, 20 });
    if (machine_create(&machine, error))
        exit(1);
    trace_recorder_ready(rec, &machine.mem);
    sim_serve(sim, &(struct ioreq_config){ .ports = &machine.ports,
                                           .memory = &machine.memory,
                                           .pci = &machine.pci,
                                           .mem = &machine.mem,
                                           .trace = trace_recorder_trace(rec) });
    for (unsigned round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (uint64_t i = 0; i < requests; i++)
            (void)sim_port_read(sim, COM1_LSR, 1);
        ns[round] = (now_ns() - start) / (double)requests;
    }
    trace_recorder_finish(rec);
    machine_destroy(&machine);
    (void)trace_file_close(file);
    trace_recorder_destroy(rec);
    sim_destroy(sim);
    qsort(ns, ROUNDS, sizeof(ns[0]), compare);
    return ns[ROUNDS / 2];
}

int main(int argc, char *argv[])
{
    if (argc < 2)
        return 1;
    uint64_t requests = argc > 2 ? strtoull(argv[2], NULL, 0) : 2000000;
    double none = measure(0, NULL, requests), ring = measure(64 * KIB, NULL, requests),
           file = measure(0, argv[1], requests);
    printf("ns per request: not recorded %.1f, flight recorder %.1f (+%.1f), file %.1f (+%.1f)\n", none, ring,
           ring - none, file, file - none);
    return 0;
}
