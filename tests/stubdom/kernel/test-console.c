/* The log's ring, with a reader that is quick, slow, absent or lies. */
#include "../../../stubdom/kernel/clock-private.h"
#include "../../../stubdom/kernel/console.h"
#include "../../../stubdom/kernel/events-private.h"
#include "machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>

#include <cmocka.h>

enum { PORT = 2, RING = 2048 };

static struct xencons_interface ring;
static char got[4 * RING];
static size_t got_len;

static int start(void **state)
{
    machine_start(64, 64);
    memset(&ring, 0, sizeof(ring));
    memset(got, 0, sizeof(got));
    got_len = 0;
    clock_init(&machine.shared);
    events_init(&machine.shared);
    console_init(&ring, PORT);
    return 0;
}

static int finish(void **state)
{
    machine_finish();
    return 0;
}

static void read_all(void)
{
    assert_true(ring.out_prod - ring.out_cons <= RING);
    for (; ring.out_cons != ring.out_prod; ring.out_cons++) {
        assert_true(got_len < sizeof(got) - 1);
        got[got_len++] = ring.out[MASK_XENCONS_IDX(ring.out_cons, ring.out)];
    }
}

static void slow_reader(struct machine *m, uint64_t deadline_ns)
{
    read_all();
    machine_set_pending(PORT);
}

static void absent_reader(struct machine *m, uint64_t deadline_ns)
{
    m->shared.vcpu_info[0].time.system_time = deadline_ns;
}

static void lines_end_with_cr_lf(void **state)
{
    console_write("a\nb", 3);
    console_print("%u%s\n", 7, "x");
    read_all();
    assert_string_equal(got, "a\r\nb7x\r\n");
    assert_int_equal(machine.sent[PORT], 2);
}

static void indices_run_free(void **state)
{
    ring.out_cons = ring.out_prod = UINT32_MAX - 3;
    console_write("0123456789", 10);
    assert_int_equal(ring.out_prod, 6);
    read_all();
    assert_string_equal(got, "0123456789");
}

static void full_ring_waits_for_the_reader(void **state)
{
    char text[3 * RING];
    memset(text, 'z', sizeof(text));
    machine.asleep = slow_reader;
    console_write(text, sizeof(text));
    read_all();
    assert_int_equal(got_len, sizeof(text));
    assert_memory_equal(got, text, sizeof(text));
}

/* One wait in all, however many lines; what is lost is counted, and told when somebody reads again. */
static void absent_reader_costs_one_wait(void **state)
{
    char text[RING];
    memset(text, 'z', sizeof(text));
    machine.asleep = absent_reader;
    console_write(text, sizeof(text));
    assert_int_equal(machine.polls, 0);
    console_write("lost\n", 5);
    unsigned polls = machine.polls;
    assert_int_equal(polls, 1);
    console_write("lost too\n", 9);
    assert_int_equal(machine.polls, polls);
    read_all();
    assert_memory_equal(got, text, RING);
    got_len = 0;
    console_write("here\n", 5);
    read_all();
    got[got_len] = '\0';
    assert_string_equal(got, "[16 bytes of the log are lost]\r\nhere\r\n");
    assert_int_equal(machine.polls, polls);
}

/* An index of nonsense is a full ring: nothing is written outside of it, nobody waits for ever. */
static void reader_that_lies(void **state)
{
    struct xencons_interface before = ring;
    machine.asleep = absent_reader;
    ring.out_cons = 5;
    ring.out_prod = 0;
    console_write("abc", 3);
    assert_int_equal(ring.out_prod, 0);
    assert_memory_equal(ring.out, before.out, sizeof(ring.out));
    assert_memory_equal(ring.in, before.in, sizeof(ring.in));
}

static void drain_waits_for_the_last_byte(void **state)
{
    machine.asleep = slow_reader;
    console_write("bye", 3);
    console_drain();
    assert_string_equal(got, "bye");
    machine.asleep = absent_reader;
    console_write("nobody", 6);
    console_drain();
    assert_int_equal(ring.out_prod - ring.out_cons, 6);
}

static void log_lines_have_a_date(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } dates[] = {
        { 0, "1970-01-01 00:00:00.123 warn ide0: no\r\n" },
        { 951782400, "2000-02-29 00:00:00.123 warn ide0: no\r\n" },
        { 1772323199, "2026-02-28 23:59:59.123 warn ide0: no\r\n" },
        { 1798761599, "2026-12-31 23:59:59.123 warn ide0: no\r\n" },
        { 4107542400, "2100-03-01 00:00:00.123 warn ide0: no\r\n" },
    };
    struct log *log = console_log();
    machine.shared.wc_nsec = 123456789;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        machine.shared.wc_sec = (uint32_t)dates[i].seconds;
        got_len = 0;
        log_print(log, LOG_WARN, "ide0", "%s", "no");
        read_all();
        got[got_len] = '\0';
        assert_string_equal(got, dates[i].text);
    }
    got_len = 0;
    log_print(log, LOG_DEBUG, "ide0", "quiet");
    read_all();
    assert_int_equal(got_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_end_with_cr_lf, start, finish),
        cmocka_unit_test_setup_teardown(indices_run_free, start, finish),
        cmocka_unit_test_setup_teardown(full_ring_waits_for_the_reader, start, finish),
        cmocka_unit_test_setup_teardown(absent_reader_costs_one_wait, start, finish),
        cmocka_unit_test_setup_teardown(reader_that_lies, start, finish),
        cmocka_unit_test_setup_teardown(drain_waits_for_the_last_byte, start, finish),
        cmocka_unit_test_setup_teardown(log_lines_have_a_date, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
