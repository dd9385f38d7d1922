/*
 * Figures of a device model process with no hypervisor and no guest code in the way: start-up, memory, threads,
 * wake-ups when idle, time of one port read. Runs each command given (parts separated by "--") on the stand-in Xen
 * libraries and prints one column each, plus the ratio of the first to the second. Medians of several rounds; CPU 0
 * runs the device model, CPU 1 (if there is one) or the same CPU the player.
 *
 *     compare PRELOAD thindm ARGS... -- qemu ARGS...
 */
#define _GNU_SOURCE
#include "../host/player.h"
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_COMMANDS = 3,
    START_ROUNDS = 15,
    READ_ROUNDS = 9,
    READS = 2000,
    WARM_UP = 5000,
    IDLE_S = 10,
    START_MS = 20000
};
/* Line status register of COM1: no side effects, always there. */
enum { LSR = 0x3fd };

enum figure { SPAWN, PSS, THREADS, IDLE_WAKEUPS, IDLE_CPU, BINARY, READ_WATCHED, READ_SLEEPING, NR_FIGURES };
static const struct {
    const char *name, *unit;
} figures[NR_FIGURES] = {
    [SPAWN] = { "spawn to running", "ms" },
    [PSS] = { "own memory (PSS without guest memory)", "MiB" },
    [THREADS] = { "threads", "" },
    [IDLE_WAKEUPS] = { "idle wake-ups", "/s" },
    [IDLE_CPU] = { "idle CPU", "%" },
    [BINARY] = { "binary", "MiB" },
    [READ_WATCHED] = { "port read, two CPUs", "us" },
    [READ_SLEEPING] = { "port read, one CPU, both sleep", "us" },
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof(*v), by_value);
    return v[n / 2];
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static struct player *start(char **argv, const char *preload, double *ms)
{
    struct player *p = player_start(argv, preload, "/dev/null", 0);
    uint64_t ns = p ? player_wait_running(p, START_MS) : 0;
    if (ns == 0) {
        fprintf(stderr, "compare: %s did not get ready\n", argv[0]);
        exit(1);
    }
    *ms = (double)ns / 1e6;
    return p;
}

/* Median us of one read, READS in a row per round. */
static double read_us(struct player *p, bool spin)
{
    double rounds[READ_ROUNDS];
    bool ok = true;
    for (unsigned i = 0; i < WARM_UP; i++)
        player_port(p, LSR, 1, true, 0, spin, &ok);
    for (unsigned r = 0; r < READ_ROUNDS && ok; r++) {
        uint64_t t = player_now_ns();
        for (unsigned i = 0; i < READS && ok; i++)
            player_port(p, LSR, 1, true, 0, spin, &ok);
        rounds[r] = (double)(player_now_ns() - t) / 1e3 / READS;
    }
    if (!ok) {
        fprintf(stderr, "compare: a port read was not answered\n");
        exit(1);
    }
    return median(rounds, READ_ROUNDS);
}

static void measure(char **argv, const char *preload, double out[NR_FIGURES])
{
    double ms[START_ROUNDS];
    int other = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0;
    pin(other);
    for (unsigned i = 0; i < START_ROUNDS; i++)
        player_end(start(argv, preload, &ms[i]), SIGTERM, 2000);
    out[SPAWN] = median(ms, START_ROUNDS);

    struct player *p = start(argv, preload, &ms[0]);
    out[READ_WATCHED] = read_us(p, true);
    pin(0);
    out[READ_SLEEPING] = read_us(p, false);
    pin(other);
    sleep(1); /* what the reads set going comes to rest */
    uint64_t switches = player_switches(p), cpu = player_cpu_ns(p);
    sleep(IDLE_S);
    out[IDLE_WAKEUPS] = (double)(player_switches(p) - switches) / IDLE_S;
    out[IDLE_CPU] = (double)(player_cpu_ns(p) - cpu) / 1e9 / IDLE_S * 100;
    out[PSS] = player_pss_kib(p) / 1024.0;
    out[THREADS] = player_threads(p);
    struct stat st;
    out[BINARY] = stat(argv[0], &st) ? 0 : (double)st.st_size / (1 << 20);
    player_end(p, SIGTERM, 2000);
}

int main(int argc, char *argv[])
{
    double values[MAX_COMMANDS][NR_FIGURES];
    unsigned n = 0;
    char **commands[MAX_COMMANDS];
    if (argc < 3) {
        fprintf(stderr, "usage: compare PRELOAD COMMAND ARGS... [-- COMMAND ARGS...]...\n");
        return 1;
    }
    const char *preload = argv[1];
    for (int i = 2, first = 2; i <= argc; i++) {
        if (i < argc && strcmp(argv[i], "--") != 0)
            continue;
        argv[i] = NULL;
        if (n < MAX_COMMANDS)
            commands[n++] = argv + first;
        first = i + 1;
    }
    for (unsigned c = 0; c < n; c++)
        measure(commands[c], preload, values[c]);
    printf("%-40s", "");
    for (unsigned c = 0; c < n; c++)
        printf(" %12.12s", strrchr(commands[c][0], '/') ? strrchr(commands[c][0], '/') + 1 : commands[c][0]);
    printf("%s\n", n > 1 ? "        ratio" : "");
    for (unsigned f = 0; f < NR_FIGURES; f++) {
        printf("%-36s %3s", figures[f].name, figures[f].unit);
        for (unsigned c = 0; c < n; c++)
            printf(" %12.3f", values[c][f]);
        if (n > 1 && values[1][f] > 0)
            printf(" %12.3f", values[0][f] / values[1][f]);
        printf("\n");
    }
    return 0;
}
