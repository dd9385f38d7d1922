/* Virtual time: it stands still while the device model works and jumps to the next timer when it would sleep. */
#include "rig-private.h"

/* Timers and tasks that start one another without end are a device's bug, not a reason to hang the test. */
enum { MAX_ROUNDS = 1000000 };

static uint64_t clock_now(void *opaque)
{
    const struct rig *r = opaque;
    return r->now_ns;
}

static int clock_wait(void *opaque, int64_t timeout_ns)
{
    struct rig *r = opaque;
    if (timeout_ns < 0)
        fail_msg("the loop would sleep for ever");
    r->now_ns += (uint64_t)timeout_ns;
    return 0;
}

const struct loop_host rig_clock = { .now_ns = clock_now, .wait = clock_wait };

static bool work_is_due(const struct rig *r)
{
    const struct loop *loop = &r->loop;
    if (loop->tasks)
        return true;
    return loop->timers && !loop->frozen && loop->timers->expires_ns <= loop_now(loop);
}

static void settle(struct rig *r)
{
    unsigned rounds = 0;
    while (work_is_due(r)) {
        assert_int_equal(loop_step(&r->loop, 0), 0);
        if (++rounds == MAX_ROUNDS)
            fail_msg("tasks or timers without end");
    }
}

void rig_settle(struct rig *r)
{
    rig_note(r, "settle");
    settle(r);
}

void rig_run(struct rig *r, uint64_t ns)
{
    uint64_t end = r->now_ns + ns;
    unsigned rounds = 0;
    rig_note(r, "clock_step %llu", (unsigned long long)ns);
    settle(r);
    while (r->now_ns < end) {
        uint64_t left = end - r->now_ns;
        assert_int_equal(loop_step(&r->loop, (int64_t)min_u64(left, INT64_MAX)), 0);
        rounds = left == end - r->now_ns ? rounds + 1 : 0;
        if (rounds == MAX_ROUNDS)
            fail_msg("tasks or timers without end");
    }
    settle(r);
}
