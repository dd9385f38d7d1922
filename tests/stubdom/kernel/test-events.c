/* Waiting for event channels, and the clock it waits by. */
#include "../../../stubdom/kernel/clock-private.h"
#include "../../../stubdom/kernel/clock.h"
#include "../../../stubdom/kernel/events-private.h"
#include "../../../stubdom/kernel/events.h"
#include "machine.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/util.h>

#include <cmocka.h>

static struct {
    unsigned calls;
    evtchn_port_t ports[16];
} heard;

static int start(void **state)
{
    machine_start(64, 64);
    memset(&heard, 0, sizeof(heard));
    clock_init(&machine.shared);
    events_init(&machine.shared);
    return 0;
}

static int finish(void **state)
{
    machine_finish();
    return 0;
}

static void hear(void *opaque, evtchn_port_t port)
{
    assert_ptr_equal(opaque, &heard);
    heard.ports[heard.calls++ % 16] = port;
}

static bool is_pending(unsigned port)
{
    return machine.shared.evtchn_pending[port / 64] >> (port % 64) & 1;
}

static void waiting_events_are_served_without_sleep(void **state)
{
    assert_int_equal(events_listen(70, hear, &heard), 0);
    assert_int_equal(events_listen(3, hear, &heard), 0);
    machine_set_pending(70);
    machine_set_pending(4); /* nobody's */
    assert_int_equal(events_wait(-1), 0);
    assert_int_equal(machine.polls, 0);
    assert_int_equal(heard.calls, 1);
    assert_int_equal(heard.ports[0], 70);
    assert_false(is_pending(70));
    assert_true(is_pending(4));
}

static void wake_port_3(struct machine *m, uint64_t deadline_ns)
{
    machine_set_pending(3);
}

static void sleep_ends_with_an_event(void **state)
{
    assert_int_equal(events_listen(3, hear, &heard), 0);
    assert_int_equal(events_listen(2, hear, &heard), 0);
    machine.asleep = wake_port_3;
    assert_int_equal(events_wait(-1), 0);
    assert_int_equal(machine.polls, 1);
    assert_int_equal(machine.poll_ports, 2);
    assert_int_equal(machine.poll_ns, 0); /* none */
    assert_int_equal(heard.calls, 1);
}

static void time_out_is_absolute(void **state)
{
    machine.shared.vcpu_info[0].time.system_time = 5000; /* and stands still: the speed is 0 */
    assert_int_equal(events_wait(300), 0);
    assert_int_equal(machine.poll_ns, 5300);
    assert_int_equal(events_wait(0), 0);
    assert_int_equal(machine.polls, 1);
    assert_int_equal(events_wait(INT64_MAX), 0);
    assert_int_equal(machine.poll_ns, INT64_MAX);
}

static void forget_others(void *opaque, evtchn_port_t port)
{
    hear(opaque, port);
    for (evtchn_port_t other = 1; other < 5; other++) {
        if (other != port)
            events_forget(other);
    }
}

/* Whoever comes first silences the rest, whose events were taken in the same round. */
static void no_call_after_forget(void **state)
{
    for (evtchn_port_t port = 1; port < 5; port++) {
        assert_int_equal(events_listen(port, forget_others, &heard), 0);
        machine_set_pending(port);
    }
    assert_int_equal(events_wait(0), 0);
    assert_int_equal(heard.calls, 1);
    events_forget(77);
}

static void again(void *opaque, evtchn_port_t port)
{
    hear(opaque, port);
    machine_set_pending(port);
}

/* An event that causes itself does not keep the others from being served. */
static void one_call_a_round(void **state)
{
    assert_int_equal(events_listen(1, again, &heard), 0);
    assert_int_equal(events_wait(0), 0);
    machine_set_pending(1);
    assert_int_equal(events_wait(-1), 0);
    assert_int_equal(heard.calls, 1);
    assert_int_equal(events_wait(-1), 0);
    assert_int_equal(heard.calls, 2);
}

static void ports_are_bounded(void **state)
{
    for (evtchn_port_t port = 0; port < EVENTS_MAX_PORTS; port++)
        assert_int_equal(events_listen(port, hear, &heard), 0);
    assert_int_equal(events_listen(5, hear, &heard), -EBUSY);
    assert_int_equal(events_listen(EVENTS_MAX_PORTS, hear, &heard), -ENOSPC);
    events_forget(5);
    assert_int_equal(events_listen(4096, hear, &heard), -ENOSPC);
    assert_int_equal(events_listen(4095, hear, &heard), 0);
    assert_false(events_take(4096));
    assert_int_equal(events_wait_port(4096, 0), -EINVAL);
}

static void one_port_is_waited_for_alone(void **state)
{
    assert_int_equal(events_listen(2, hear, &heard), 0);
    machine_set_pending(2);
    machine.stale_timer = true; /* left by an earlier poll: it wakes, nothing happened */
    machine.asleep = wake_port_3;
    assert_int_equal(events_wait_port(3, 1000), 0);
    assert_int_equal(machine.polls, 2);
    assert_int_equal(heard.calls, 0);
    assert_true(is_pending(3));
    assert_true(events_take(3));
    assert_false(events_take(3));
}

static void late(struct machine *m, uint64_t deadline_ns)
{
    m->shared.vcpu_info[0].time.system_time = deadline_ns;
}

static void one_port_has_a_deadline(void **state)
{
    machine.asleep = late;
    assert_int_equal(events_wait_port(3, 1000), -ETIMEDOUT);
    assert_int_equal(machine.polls, 1);
}

static void channels_come_and_go(void **state)
{
    evtchn_port_t port = 0;
    assert_int_equal(events_alloc_unbound(0, &port), 0);
    assert_int_equal(port, 5);
    assert_int_equal(events_bind_interdomain(MACHINE_TARGET, 9, &port), 0);
    assert_int_equal(port, 6);
    assert_true(events_take(6)); /* what came before is not lost */
    assert_int_equal(events_bind_interdomain(0, 9, &port), -EPERM);
    assert_int_equal(events_listen(6, hear, &heard), 0);
    assert_int_equal(events_notify(6), 0);
    assert_int_equal(machine.sent[6], 1);
    events_close(6);
    assert_int_equal(events_notify(6), -EINVAL);
    machine_set_pending(6);
    assert_int_equal(events_wait(0), 0);
    assert_int_equal(heard.calls, 0);
}

/* [xen.h, struct vcpu_time_info] ns = system_time + ((ticks - tsc_timestamp) << shift) * mul / 2^32 */
static void ticks_become_nanoseconds(void **state)
{
    struct vcpu_time_info t = { .tsc_timestamp = 1000, .system_time = 50, .tsc_to_system_mul = UINT32_C(1) << 31 };
    assert_int_equal(clock_ticks_to_ns(&t, 1000), 50);
    assert_int_equal(clock_ticks_to_ns(&t, 1200), 150);
    t.tsc_shift = 1;
    assert_int_equal(clock_ticks_to_ns(&t, 1200), 250);
    t.tsc_shift = -1;
    assert_int_equal(clock_ticks_to_ns(&t, 1200), 100);
    assert_int_equal(clock_ticks_to_ns(&t, 900), 25);
    assert_int_equal(clock_ticks_to_ns(&t, 0), 0); /* never below */
    /* As Xen has it for a guest that it gave a counter of its own. */
    t = (struct vcpu_time_info){ .tsc_timestamp = UINT64_MAX - 99,
                                 .system_time = 50,
                                 .tsc_to_system_mul = UINT32_C(1) << 31 };
    assert_int_equal(clock_ticks_to_ns(&t, 100), 150);
    /* A day at 4 GHz: the product has more than 64 bits. */
    t = (struct vcpu_time_info){ .tsc_to_system_mul = UINT32_C(1) << 30 };
    assert_int_equal(clock_ticks_to_ns(&t, UINT64_C(86400) * 4 * NS_PER_S), 86400 * NS_PER_S);
}

static void clock_never_goes_back(void **state)
{
    machine.shared.vcpu_info[0].time.system_time = 5000;
    assert_int_equal(clock_now_ns(), 5000);
    machine.shared.vcpu_info[0].time.system_time = 4000;
    assert_int_equal(clock_now_ns(), 5000);
    machine.shared.vcpu_info[0].time.system_time = 6000;
    assert_int_equal(clock_now_ns(), 6000);
}

static void wall_clock_adds_up(void **state)
{
    uint64_t seconds;
    uint32_t ns;
    machine.shared.wc_sec = UINT32_MAX;
    machine.shared.wc_sec_hi = 1;
    machine.shared.wc_nsec = 999999999;
    machine.shared.vcpu_info[0].time.system_time = 2 * NS_PER_S + 2;
    clock_wall(&seconds, &ns);
    assert_int_equal(seconds, (UINT64_C(2) << 32) - 1 + 3);
    assert_int_equal(ns, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(waiting_events_are_served_without_sleep, start, finish),
        cmocka_unit_test_setup_teardown(sleep_ends_with_an_event, start, finish),
        cmocka_unit_test_setup_teardown(time_out_is_absolute, start, finish),
        cmocka_unit_test_setup_teardown(no_call_after_forget, start, finish),
        cmocka_unit_test_setup_teardown(one_call_a_round, start, finish),
        cmocka_unit_test_setup_teardown(ports_are_bounded, start, finish),
        cmocka_unit_test_setup_teardown(one_port_is_waited_for_alone, start, finish),
        cmocka_unit_test_setup_teardown(one_port_has_a_deadline, start, finish),
        cmocka_unit_test_setup_teardown(channels_come_and_go, start, finish),
        cmocka_unit_test_setup_teardown(ticks_become_nanoseconds, start, finish),
        cmocka_unit_test_setup_teardown(clock_never_goes_back, start, finish),
        cmocka_unit_test_setup_teardown(wall_clock_adds_up, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
