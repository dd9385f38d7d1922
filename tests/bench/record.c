/*
 * What recording costs the whole program on the stand-in Xen libraries, notification included: time of one port read
 * without a recorder, with the flight recorder, and recorded into a file. Three processes, asked in alternating short
 * rounds; of each the tenth best part, as most rounds are disturbed on a machine that has other work. The program has
 * CPU 0, the player CPU 1 (if there is one).
 *
 *     record PRELOAD FILE thindm ARGS...
 */
#define _GNU_SOURCE
#include "../host/player.h"
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 401, READS = 400, WARM_UP = 20000, START_MS = 20000, MAX_ARGS = 64, NR_KINDS = 3 };
/* Line status register of COM1: no side effects, always there. */
enum { LSR = 0x3fd };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double tenth(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), by_value);
    return v[ROUNDS / 10];
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static struct player *start(int argc, char **argv, const char *preload, const char *option, const char *value)
{
    char *args[MAX_ARGS + 3] = { 0 }, texts[2][256];
    int n = argc < MAX_ARGS ? argc : MAX_ARGS;
    memcpy(args, argv, (size_t)n * sizeof(*args));
    snprintf(texts[0], sizeof(texts[0]), "%s", option);
    snprintf(texts[1], sizeof(texts[1]), "%s", value);
    args[n] = texts[0];
    args[n + 1] = texts[1];
    struct player *p = player_start(args, preload, "/dev/null", 0);
    if (!p || player_wait_running(p, START_MS) == 0) {
        fprintf(stderr, "record: %s did not get ready\n", argv[0]);
        exit(1);
    }
    return p;
}

static double read_ns(struct player *p, unsigned reads, bool spin)
{
    bool ok = true;
    uint64_t t = player_now_ns();
    for (unsigned i = 0; i < reads && ok; i++)
        player_port(p, LSR, 1, true, 0, spin, &ok);
    if (!ok) {
        fprintf(stderr, "record: a port read was not answered\n");
        exit(1);
    }
    return (double)(player_now_ns() - t) / reads;
}

static void measure(struct player *p[NR_KINDS], bool spin, const char *title)
{
    static const char *const names[NR_KINDS] = { "not recorded", "flight recorder", "file" };
    double ns[NR_KINDS][ROUNDS], best[NR_KINDS];
    for (unsigned i = 0; i < NR_KINDS; i++)
        (void)read_ns(p[i], WARM_UP, spin);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < NR_KINDS; i++) {
            (void)read_ns(p[i], READS, spin); /* wakes it up */
            ns[i][round] = read_ns(p[i], READS, spin);
        }
    }
    printf("%s\n", title);
    for (unsigned i = 0; i < NR_KINDS; i++)
        best[i] = tenth(ns[i]);
    for (unsigned i = 0; i < NR_KINDS; i++)
        printf("  %-16s %8.0f ns per port read, %6.1f %% of the throughput\n", names[i], best[i],
               100 * best[0] / best[i]);
}

int main(int argc, char *argv[])
{
    static const char *const options[NR_KINDS] = { "-flight-recorder", "-flight-recorder", "-trace-record" };
    struct player *p[NR_KINDS];
    if (argc < 4) {
        fprintf(stderr, "usage: record PRELOAD FILE COMMAND ARGS...\n");
        return 1;
    }
    const char *values[NR_KINDS] = { "off", "64k", argv[2] };
    int other = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0;
    pin(0);
    for (unsigned i = 0; i < NR_KINDS; i++)
        p[i] = start(argc - 3, argv + 3, argv[1], options[i], values[i]);
    pin(other);
    measure(p, true, "two CPUs, both look out");
    pin(0);
    measure(p, false, "one CPU, both sleep");
    for (unsigned i = 0; i < NR_KINDS; i++)
        player_end(p[i], SIGTERM, 2000);
    return 0;
}
