/*
 * The other half of thindm.c: instead of Xen a simulated hypervisor, whose CPU is a qtest client. Virtual time, real
 * files and sockets.
 */
#ifndef THINDM_SIM_MAIN_H
#define THINDM_SIM_MAIN_H

#include "backends/sim/clock.h"
#include "backends/sim/qtest.h"
#include "backends/sim/sim.h"
#include "hw/machine.h"
#include "record-main.h"
#include <stdio.h>
#include <thindm/config.h>
#include <thindm/host.h>

struct sim_main {
    const struct config *config;
    struct loop *loop;
    struct machine *machine;
    struct record_main *record;
    struct sim_clock clock;
    struct sim *sim;
    struct host host, *inner; /* what the machine opens things by, and who does it */
    struct qtest *qtest;
    struct chr *chr;
    FILE *log;
    uint64_t log_start_ns;
    struct task reset;
};

/* The loop on virtual time, whose real events come from sources. All must outlive s, which is zeroed. */
void sim_main_init(struct sim_main *s, const struct config *config, struct loop *loop, const struct loop_host *sources,
                   void *sources_opaque);
/*
 * A simulated domain with the machine that config describes: machine is filled in but for what this gives it (hv,
 * host), or left alone if there is none. record is told of it. 0, or -errno with one line in error or in the log.
 */
int sim_main_create(struct sim_main *s, struct host *inner, struct machine *machine, struct record_main *record,
                    char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Everything is there: talk to the client. 0 or -errno as above. */
int sim_main_serve(struct sim_main *s, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* What loop_run() is on other hosts: until loop_quit() or the client leaves. */
int sim_main_run(struct sim_main *s) WARN_UNUSED;
/* The guest is reset, soon: no toolstack makes a new one. */
void sim_main_reset(struct sim_main *s);
/* The client's channel, then (after the machine) the rest. Each repeats harmlessly. */
void sim_main_close(struct sim_main *s);
void sim_main_destroy(struct sim_main *s);

#endif
