/*
 * The server of QEMU's qtest protocol: a client on a chr takes the place of the CPU. It reads and writes ports and
 * memory, moves the clock and watches the I/O APIC's pins. Source: QEMU's docs/devel/testing/qtest.rst.
 */
#ifndef THINDM_QTEST_H
#define THINDM_QTEST_H

#include "clock.h"
#include "sim.h"
#include <thindm/chr.h>

/* A longer line is refused, and a longer block can't be read at once. */
enum { QTEST_MAX_LINE = 1 << 20, QTEST_MAX_READ = 16 << 20 };

struct qtest_config {
    struct sim *sim;
    struct sim_clock *clock; /* of loop */
    struct loop *loop;
    struct chr *chr; /* not taken */
    bool no_ioapic;  /* irq_intercept_in says that there is none */
    /* What the client says ('R'), what it is told ('S'), and its coming and going ('I'). NULL: no log. */
    void (*log)(void *opaque, char kind, const char *line);
    /* The client left and all that it said is done. From qtest_serve(). NULL: not wanted. */
    void (*closed)(void *opaque);
    void *opaque;
};

struct qtest;

/*
 * Binds config->chr, whose input is only stored until qtest_serve(). All that config names must outlive it. -ENOMEM or
 * 0.
 */
int qtest_create(const struct qtest_config *config, struct qtest **out) WARN_UNUSED;
/* After chr_close(). NULL is fine. */
void qtest_destroy(struct qtest *qtest);

/* BUSY: call again after a round of the loop that doesn't wait. STUCK: the same, but the client has to read first. */
enum qtest_state { QTEST_IDLE, QTEST_BUSY, QTEST_STUCK };

/*
 * Run the commands that came in. To be called between rounds of the loop, never from inside a callback: it runs the
 * loop's tasks and, as the client moves the clock, its timers. Returns after a bounded amount of work.
 */
enum qtest_state qtest_serve(struct qtest *qtest);

#endif
