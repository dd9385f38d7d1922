/* Virtual time: see clock.h. */
#include "clock.h"

#include <errno.h>

static uint64_t now(void *opaque)
{
    return ((struct sim_clock *)opaque)->now_ns;
}

/* A timer's time doesn't come by waiting for it, so whoever waits waits for a real event. */
static int wait_for(void *opaque, int64_t timeout_ns)
{
    struct sim_clock *clock = opaque;
    if (clock->alone)
        return 0;
    if (clock->sources)
        return clock->sources->wait(clock->sources_opaque, timeout_ns == 0 ? 0 : -1);
    return timeout_ns == 0 ? 0 : -EDEADLK;
}

const struct loop_host sim_clock_host = { .now_ns = now, .wait = wait_for };

void sim_clock_init(struct sim_clock *clock, const struct loop_host *sources, void *sources_opaque)
{
    *clock = (struct sim_clock){ .sources = sources, .sources_opaque = sources_opaque };
}

bool sim_clock_deadline(const struct sim_clock *clock, const struct loop *loop, uint64_t *deadline_ns)
{
    if (!loop->timers || loop->frozen)
        return false;
    uint64_t left = timer_left(loop->timers);
    *deadline_ns = left <= UINT64_MAX - clock->now_ns ? clock->now_ns + left : UINT64_MAX;
    return true;
}

static bool work_is_due(const struct sim_clock *clock, const struct loop *loop)
{
    uint64_t deadline;
    if (loop->stop)
        return false;
    return loop->tasks || (sim_clock_deadline(clock, loop, &deadline) && deadline <= clock->now_ns);
}

bool sim_clock_settle(struct sim_clock *clock, struct loop *loop, uint64_t *rounds)
{
    bool was_alone = clock->alone;
    clock->alone = true;
    while (work_is_due(clock, loop) && *rounds > 0) {
        (void)loop_step(loop, 0); /* its wait can't fail: there is none */
        --*rounds;
    }
    clock->alone = was_alone;
    return !work_is_due(clock, loop);
}

bool sim_clock_run(struct sim_clock *clock, struct loop *loop, uint64_t target_ns, uint64_t *rounds)
{
    uint64_t deadline;
    for (;;) {
        if (!sim_clock_settle(clock, loop, rounds))
            return false;
        if (loop->stop || clock->now_ns >= target_ns)
            return true;
        bool timer = sim_clock_deadline(clock, loop, &deadline);
        clock->now_ns = timer && deadline < target_ns ? deadline : target_ns;
    }
}
