/*
 * Plays Xen and guest to a device model process that has fake-xen.so loaded: starts it, waits for readiness, posts
 * ioreqs and waits for the answers, reads its figures.
 */
#ifndef THINDM_PLAYER_H
#define THINDM_PLAYER_H

#include "fake-xen.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PIO = 0, PIO_READ = 0x20 };

struct player {
    struct fake_shared *shared;
    int ram_fd, event_write_fd, notify_fd, store_fd, shared_fd;
    pid_t pid;
    uint64_t spawned_ns;
    int status; /* of waitpid(), once it ended */
};

/* A player whose process is not started yet: for nodes that are there before it. NULL on failure. */
struct player *player_new(void);
bool player_exec(struct player *p, char *const argv[], const char *preload, const char *log, int cpu);
/*
 * Both at once: start argv (NULL-terminated) with preload as LD_PRELOAD, output to log (NULL: inherited). cpu >= 0 pins it. NULL on
 * failure. Every player must be ended by player_end().
 */
struct player *player_start(char *const argv[], const char *preload, const char *log, int cpu);
/* The value of a node whose path ends in suffix, or NULL. */
const struct fake_node *player_node(const struct player *p, const char *suffix);
/* Write a node before or after the start, as the toolstack or the guest does. */
void player_write_node(struct player *p, const char *path, const char *value);
/* An event channel of the guest fires. */
void player_raise(struct player *p, uint32_t port);
/* Wait at most ms for the state node; ns from spawn to it, 0 if the process ended or the time was up. */
uint64_t player_wait_running(struct player *p, unsigned ms);
/*
 * One port access of vCPU 0. Waits for the answer by looking at the page (spin) or by sleeping on the notification.
 * Returns the slot's data; *ok is set false after ms without an answer.
 */
uint64_t player_port(struct player *p, uint16_t port, unsigned size, bool read, uint64_t data, bool spin, bool *ok);
/* Send sig (0: none), wait at most ms, SIGKILL what is left. The wait status, frees p. */
int player_end(struct player *p, int sig, unsigned ms);

uint64_t player_now_ns(void);
/* KiB of proportional set size without mappings of guest memory and shared pages (memfd), and number of threads. */
unsigned player_pss_kib(const struct player *p);
unsigned player_threads(const struct player *p);
/* Voluntary context switches of all threads so far, CPU time in ns. */
uint64_t player_switches(const struct player *p);
uint64_t player_cpu_ns(const struct player *p);

#endif
