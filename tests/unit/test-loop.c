/* core/loop.c: order and cancelling of timers and tasks, the frozen clock, and when the loop looks out or sleeps. */
#include "rig.h"

#include <errno.h>
#include <string.h>

/* A host whose time passes a little with every look at the clock, as real time does. */
struct bench {
    struct loop loop;
    uint64_t now_ns, tick_ns;
    unsigned waits, polls; /* with a time-out, without */
    int64_t last_wait;
    int wait_err;
    /* The look-out: requests that are there, and one that comes at a time. */
    unsigned requests, looks, sleeps, served;
    uint64_t comes_at;
    bool endless, late; /* late: one comes in between the look-out and the sleep */
    char trace[256];
};

static uint64_t bench_now(void *opaque)
{
    struct bench *b = opaque;
    b->now_ns += b->tick_ns;
    return b->now_ns;
}

static int bench_wait(void *opaque, int64_t timeout_ns)
{
    struct bench *b = opaque;
    b->last_wait = timeout_ns;
    if (timeout_ns == 0)
        b->polls++;
    else
        b->waits++;
    if (timeout_ns > 0)
        b->now_ns += (uint64_t)timeout_ns;
    return b->wait_err;
}

static const struct loop_host bench_host = { .now_ns = bench_now, .wait = bench_wait };

static bool bench_look(void *opaque)
{
    struct bench *b = opaque;
    b->looks++;
    if (b->comes_at && b->now_ns >= b->comes_at) {
        b->comes_at = 0;
        b->requests++;
    }
    if (!b->endless && b->requests == 0)
        return false;
    if (!b->endless)
        b->requests--;
    b->served++;
    return true;
}

static bool bench_sleep(void *opaque)
{
    struct bench *b = opaque;
    b->sleeps++;
    bool late = b->late;
    if (late)
        b->requests++;
    b->late = false;
    return late;
}

static int bench_new(void **state)
{
    static struct bench bench;
    bench = (struct bench){ .now_ns = 1000, .tick_ns = 0 };
    loop_init(&bench.loop, &bench_host, &bench);
    *state = &bench;
    return 0;
}

/* A timer and task pair that writes its letter into the trace. */
struct part {
    struct bench *bench;
    struct timer timer;
    struct task task;
    char letter;
    bool again;         /* arm or post from the callback */
    struct part *other; /* cancel this one from the callback */
    bool quit;
};

static void fired(void *opaque)
{
    struct part *p = opaque;
    size_t len = strlen(p->bench->trace);
    assert_true(len + 1 < sizeof(p->bench->trace));
    p->bench->trace[len] = p->letter;
    if (p->other) {
        timer_cancel(&p->other->timer);
        task_cancel(&p->other->task);
    }
    if (p->quit)
        loop_quit(&p->bench->loop);
}

static void timer_fired(void *opaque)
{
    struct part *p = opaque;
    fired(p);
    if (p->again)
        timer_arm(&p->timer, 0);
}

static void task_ran(void *opaque)
{
    struct part *p = opaque;
    fired(p);
    if (p->again)
        task_post(&p->task);
}

static void part_init(struct part *p, struct bench *b, char letter)
{
    *p = (struct part){ .bench = b, .letter = letter };
    timer_init(&p->timer, &b->loop, timer_fired, p);
    task_init(&p->task, &b->loop, task_ran, p);
}

static void timers_fire_in_order_of_time_then_of_arming(void **state)
{
    struct bench *b = *state;
    struct part a, c, d;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    part_init(&d, b, 'd');
    timer_arm(&a.timer, 50);
    timer_arm(&c.timer, 10);
    timer_arm(&d.timer, 50);
    assert_int_equal(timer_left(&a.timer), 50);
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_step(&b->loop, 100), 0);
    assert_string_equal(b->trace, "cad");
    assert_false(a.timer.armed);
    assert_int_equal(timer_left(&a.timer), 0);
}

static void timer_is_not_early_and_wait_ends_with_it(void **state)
{
    struct bench *b = *state;
    struct part a;
    part_init(&a, b, 'a');
    timer_arm(&a.timer, 77);
    assert_int_equal(loop_step(&b->loop, 76), 0);
    assert_int_equal(b->last_wait, 76);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "");
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->last_wait, 1);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "a");
}

static void rearming_moves_a_timer(void **state)
{
    struct bench *b = *state;
    struct part a, c;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    timer_arm(&a.timer, 10);
    timer_arm(&c.timer, 20);
    timer_arm(&a.timer, 30);
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_step(&b->loop, 100), 0);
    assert_string_equal(b->trace, "ca");
}

static void cancelled_timer_stays_silent(void **state)
{
    struct bench *b = *state;
    struct part a, c;
    struct timer zeroed = { 0 };
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    a.other = &c; /* both are due at once: the second is cancelled from the first */
    timer_arm(&a.timer, 10);
    timer_arm(&c.timer, 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_step(&b->loop, 100), 0);
    assert_string_equal(b->trace, "a");
    timer_cancel(&c.timer);
    timer_cancel(&zeroed);
    assert_null(b->loop.timers);
}

static void far_future_saturates(void **state)
{
    struct bench *b = *state;
    struct part a, c;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    timer_arm(&a.timer, UINT64_MAX);
    timer_arm(&c.timer, UINT64_MAX - 2000);
    assert_int_equal(loop_step(&b->loop, 5), 0);
    assert_int_equal(loop_step(&b->loop, 5), 0);
    assert_string_equal(b->trace, "");
    assert_ptr_equal(b->loop.timers, &c.timer);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_true(b->last_wait > 0);
    timer_cancel(&a.timer);
    timer_cancel(&c.timer);
}

/* A timer armed for now from its own callback, and a task that posts itself, leave the sources their turn. */
static void endless_work_does_not_starve_the_host(void **state)
{
    struct bench *b = *state;
    struct part a, c;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    a.again = c.again = true;
    timer_arm(&a.timer, 0);
    task_post(&c.task);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_string_equal(b->trace, "cacaca");
    assert_int_equal(b->polls, 3);
    assert_int_equal(b->waits, 0);
}

static void tasks_run_once_in_order_of_posting(void **state)
{
    struct bench *b = *state;
    struct part a, c, d;
    struct task zeroed = { 0 };
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    part_init(&d, b, 'd');
    task_post(&c.task);
    task_post(&a.task);
    task_post(&c.task);
    task_post(&d.task);
    task_cancel(&d.task); /* the last one: the end of the queue moves back */
    task_cancel(&zeroed);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "ca");
    task_post(&d.task);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "cad");
}

static void task_may_cancel_the_next_one(void **state)
{
    struct bench *b = *state;
    struct part a, c, d;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    part_init(&d, b, 'd');
    a.other = &c;
    task_post(&a.task);
    task_post(&c.task);
    task_post(&d.task);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "ad");
    assert_null(b->loop.tasks);
}

static void frozen_clock_holds_timers_but_not_tasks(void **state)
{
    struct bench *b = *state;
    struct part a;
    part_init(&a, b, 'a');
    timer_arm(&a.timer, 100);
    loop_freeze(&b->loop);
    uint64_t frozen = loop_now(&b->loop);
    b->now_ns += 1000;
    loop_freeze(&b->loop); /* once more changes nothing */
    assert_int_equal(loop_now(&b->loop), frozen);
    assert_int_equal(timer_left(&a.timer), 100);
    task_post(&a.task);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_string_equal(b->trace, "a");
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->last_wait, -1); /* a held timer wakes nobody */
    loop_thaw(&b->loop);
    loop_thaw(&b->loop);
    assert_int_equal(loop_now(&b->loop), frozen);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->last_wait, 100);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "aa");
}

static void run_ends_at_quit_or_error(void **state)
{
    struct bench *b = *state;
    struct part a, c;
    part_init(&a, b, 'a');
    part_init(&c, b, 'c');
    a.quit = true;
    task_post(&a.task);
    task_post(&c.task);
    assert_int_equal(loop_run(&b->loop), 0);
    assert_string_equal(b->trace, "a"); /* at once: not even the next task */
    assert_int_equal(b->waits + b->polls, 0);
    b->wait_err = -EBADF;
    assert_int_equal(loop_run(&b->loop), -EBADF);
    assert_string_equal(b->trace, "ac");
    loop_quit(&b->loop); /* asked before it ran */
    assert_int_equal(loop_run(&b->loop), 0);
}

static void idle_loop_sleeps_for_ever(void **state)
{
    struct bench *b = *state;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->last_wait, -1);
    assert_int_equal(b->loop.sleeps, 1);
}

static const struct loop_watch *watch_of(struct bench *b)
{
    static struct loop_watch watch;
    watch = (struct loop_watch){ bench_look, bench_sleep, b };
    return &watch;
}

/* Without a request before it there is no look-out: one look, then sleep. */
static void idle_watch_looks_once_and_sleeps(void **state)
{
    struct bench *b = *state;
    loop_set_watch(&b->loop, watch_of(b));
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->looks, 10);
    assert_int_equal(b->sleeps, 10);
    assert_int_equal(b->waits, 10);
    assert_int_equal(b->last_wait, -1);
    assert_int_equal(b->loop.watch_misses, 0);
}

static void look_out_catches_the_next_request(void **state)
{
    struct bench *b = *state;
    b->tick_ns = 100;
    loop_set_watch(&b->loop, watch_of(b));
    b->requests = 1;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    b->comes_at = b->now_ns + 5000;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->served, 2);
    assert_int_equal(b->loop.watch_hits, 1);
    assert_int_equal(b->waits + b->sleeps, 0);
}

static void vain_look_out_is_bounded_and_then_sleeps(void **state)
{
    struct bench *b = *state;
    b->tick_ns = 100;
    loop_set_watch(&b->loop, watch_of(b));
    b->requests = 1;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    uint64_t start = b->now_ns;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_in_range(b->now_ns - start, 1, 32000);
    assert_int_equal(b->loop.watch_misses, 1);
    assert_int_equal(b->sleeps, 1);
    assert_int_equal(b->last_wait, -1);
}

/* Virtual time that stands still must not hold the loop in a look-out. */
static void look_out_ends_without_time(void **state)
{
    struct bench *b = *state;
    loop_set_watch(&b->loop, watch_of(b));
    b->requests = 1;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->sleeps, 1);
}

/* A CPU shared with the guest: no request ever comes during a look-out. It must soon cost next to nothing. */
static void vain_look_outs_become_rare(void **state)
{
    struct bench *b = *state;
    b->tick_ns = 100;
    loop_set_watch(&b->loop, watch_of(b));
    for (int i = 0; i < 20000; i++) {
        b->requests = 1; /* the wake-up */
        assert_int_equal(loop_step(&b->loop, -1), 0);
        assert_int_equal(loop_step(&b->loop, -1), 0);
    }
    assert_int_equal(b->served, 20000);
    assert_int_equal(b->waits, 20000);
    assert_in_range(b->loop.watch_misses, 10, 20);
    assert_int_equal(b->loop.watch_pause, 4096);
    /* A burst in the CPU's idle time still brings them back: the trial comes, and each hit halves the pause. */
    while (b->loop.watch_skip > 0) {
        b->requests = 1;
        assert_int_equal(loop_step(&b->loop, -1), 0);
        assert_int_equal(loop_step(&b->loop, -1), 0);
    }
    b->requests = 1;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(loop_step(&b->loop, -1), 0);
        b->comes_at = b->now_ns + 1000;
    }
    assert_int_equal(b->loop.watch_hits, 19);
    assert_int_equal(b->loop.watch_pause, 0);
    assert_int_equal(b->loop.watch_ns, 30000);
}

/* An endless burst leaves descriptors and timers their turn. */
static void burst_asks_the_host_now_and_then(void **state)
{
    struct bench *b = *state;
    struct part a;
    part_init(&a, b, 'a');
    loop_set_watch(&b->loop, watch_of(b));
    b->endless = true;
    for (int i = 0; i < 640; i++)
        assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->polls, 10);
    assert_int_equal(b->waits + b->sleeps, 0);
    timer_arm(&a.timer, 0);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_string_equal(b->trace, "a");
    b->polls = 0;
    b->tick_ns = 60000; /* slow requests: by time, not by number */
    for (int i = 0; i < 12; i++)
        assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_true(b->polls >= 4);
}

static void request_between_look_and_sleep_is_not_slept_over(void **state)
{
    struct bench *b = *state;
    loop_set_watch(&b->loop, watch_of(b));
    b->late = true;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->waits, 0);
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_int_equal(b->served, 1);
}

static void look_out_ends_with_the_next_timer(void **state)
{
    struct bench *b = *state;
    struct part a;
    part_init(&a, b, 'a');
    b->tick_ns = 100;
    loop_set_watch(&b->loop, watch_of(b));
    b->requests = 1;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    timer_arm(&a.timer, 3000);
    uint64_t start = b->now_ns;
    assert_int_equal(loop_step(&b->loop, -1), 0);
    assert_in_range(b->now_ns - start, 0, 6000);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(b->trace, "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(timers_fire_in_order_of_time_then_of_arming, bench_new),
        cmocka_unit_test_setup(timer_is_not_early_and_wait_ends_with_it, bench_new),
        cmocka_unit_test_setup(rearming_moves_a_timer, bench_new),
        cmocka_unit_test_setup(cancelled_timer_stays_silent, bench_new),
        cmocka_unit_test_setup(far_future_saturates, bench_new),
        cmocka_unit_test_setup(endless_work_does_not_starve_the_host, bench_new),
        cmocka_unit_test_setup(tasks_run_once_in_order_of_posting, bench_new),
        cmocka_unit_test_setup(task_may_cancel_the_next_one, bench_new),
        cmocka_unit_test_setup(frozen_clock_holds_timers_but_not_tasks, bench_new),
        cmocka_unit_test_setup(run_ends_at_quit_or_error, bench_new),
        cmocka_unit_test_setup(idle_loop_sleeps_for_ever, bench_new),
        cmocka_unit_test_setup(idle_watch_looks_once_and_sleeps, bench_new),
        cmocka_unit_test_setup(look_out_catches_the_next_request, bench_new),
        cmocka_unit_test_setup(vain_look_out_is_bounded_and_then_sleeps, bench_new),
        cmocka_unit_test_setup(look_out_ends_without_time, bench_new),
        cmocka_unit_test_setup(vain_look_outs_become_rare, bench_new),
        cmocka_unit_test_setup(burst_asks_the_host_now_and_then, bench_new),
        cmocka_unit_test_setup(request_between_look_and_sleep_is_not_slept_over, bench_new),
        cmocka_unit_test_setup(look_out_ends_with_the_next_timer, bench_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
