/*
 * Virtual time: a struct loop_host whose clock moves only when it is told to. Timers then run in the order of their
 * deadlines, each at its own time. Real sources (sockets, disk completions) may be behind it; they don't move the
 * clock.
 */
#ifndef THINDM_SIM_CLOCK_H
#define THINDM_SIM_CLOCK_H

#include <thindm/loop.h>
#include <thindm/util.h>

struct sim_clock {
    uint64_t now_ns;
    const struct loop_host *sources; /* who waits for real events; NULL: there are none */
    void *sources_opaque;
    bool alone; /* real events have to wait: virtual time is passing */
};

/* For loop_init(&loop, &sim_clock_host, &clock). Waiting without real sources ends the loop with -EDEADLK. */
extern const struct loop_host sim_clock_host;

/* Time 0. sources and its opaque must outlive the clock; NULL: none. */
void sim_clock_init(struct sim_clock *clock, const struct loop_host *sources, void *sources_opaque);

/*
 * Run tasks and timers that are due now, without a look at real sources, at most rounds of loop_step() which are
 * deducted. False: rounds are used up and there is more to do.
 */
bool sim_clock_settle(struct sim_clock *clock, struct loop *loop, uint64_t *rounds);
/*
 * Let time pass until target_ns (in the past: no time passes), timers on the way included. False: rounds are used up
 * before; call again to go on. Ends early, as if done, if the loop is told to quit.
 */
bool sim_clock_run(struct sim_clock *clock, struct loop *loop, uint64_t target_ns, uint64_t *rounds);
/* When the first timer is due, on this clock. False: none is armed, or the guest's clock is frozen. */
bool sim_clock_deadline(const struct sim_clock *clock, const struct loop *loop, uint64_t *deadline_ns);

#endif
