/* core/log.c: what a line looks like, levels, and the budget of lines that others cause. */
#include "rig.h"

#include <string.h>

static void line_names_the_speaker(void **state)
{
    struct rig *r = *state;
    log_print(&r->log, LOG_ERROR, "qmp", "port %d: %s", 7, "no");
    assert_string_equal(r->log_last, "qmp: port 7: no");
    struct device dev = { .id = "ide0", .log = &r->log };
    log_device(&dev, LOG_INFO, "x%u", 1u);
    assert_string_equal(r->log_last, "ide0: x1");
    assert_int_equal(r->log_lines, 2);
}

static void levels_above_are_dropped(void **state)
{
    struct rig *r = *state;
    struct log_rate rate = { 0 };
    r->log.level = LOG_WARN;
    log_print(&r->log, LOG_INFO, "a", "b");
    log_limited(&r->log, LOG_DEBUG, &rate, "a", "b");
    assert_int_equal(r->log_lines, 0);
    assert_int_equal(rate.tokens_used, 0);
    log_print(&r->log, LOG_WARN, "a", "b");
    assert_int_equal(r->log_lines, 1);
}

static void no_log_is_silence(void **state)
{
    struct device dev = { .id = "x" };
    struct log no_sink = { .level = LOG_DEBUG };
    struct log_rate rate = { 0 };
    log_print(NULL, LOG_ERROR, "a", "b");
    log_print(&no_sink, LOG_ERROR, "a", "b");
    log_limited(NULL, LOG_ERROR, &rate, "a", "b");
    log_device(&dev, LOG_ERROR, "b");
    log_guest(&dev, "b");
}

/* A name from outside can't forge a second line or move the terminal's cursor. */
static void control_characters_are_replaced(void **state)
{
    struct rig *r = *state;
    log_print(&r->log, LOG_ERROR, "vnc", "client %s left", "\x1b[2J\n2026 error: all is lost\x7f\t");
    assert_string_equal(r->log_last, "vnc: client ?[2J?2026 error: all is lost?? left");
}

static void long_lines_are_cut(void **state)
{
    struct rig *r = *state;
    char text[2000];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_print(&r->log, LOG_ERROR, "x", "%s", text);
    log_print(&r->log, LOG_ERROR, text, "%s", text);
    assert_int_equal(r->log_lines, 2);
    assert_int_equal(strlen(r->log_last), sizeof(r->log_last) - 1);
}

static void guest_has_a_budget(void **state)
{
    struct rig *r = *state;
    struct device dev = { .id = "nic", .log = &r->log };
    for (int i = 0; i < 1000; i++)
        log_guest(&dev, "odd %d", i);
    assert_int_equal(r->log_lines, LOG_RATE_BURST);
    assert_string_equal(r->log_last, "nic: odd 15");
    r->now_ns += LOG_RATE_NS - 1;
    log_guest(&dev, "still too early");
    assert_int_equal(r->log_lines, LOG_RATE_BURST);
    r->now_ns += 1;
    log_guest(&dev, "again");
    assert_int_equal(r->log_lines, LOG_RATE_BURST + 2); /* with the number of those dropped */
    assert_string_equal(r->log_last, "nic: again");
    log_guest(&dev, "one a second");
    assert_int_equal(r->log_lines, LOG_RATE_BURST + 2);
    assert_int_equal(dev.log_rate.dropped, 1);
    r->now_ns += 100 * LOG_RATE_NS;
    for (int i = 0; i < 100; i++)
        log_guest(&dev, "odd");
    assert_int_equal(r->log_lines, 2 * LOG_RATE_BURST + 3); /* never more than a burst */
}

static void budgets_are_separate_and_survive_a_clock_going_back(void **state)
{
    struct rig *r = *state;
    struct device a = { .id = "a", .log = &r->log }, b = { .id = "b", .log = &r->log };
    for (int i = 0; i < 100; i++)
        log_guest(&a, "odd");
    r->now_ns = 0;
    log_guest(&a, "odd");
    assert_int_equal(r->log_lines, LOG_RATE_BURST);
    log_guest(&b, "fine");
    assert_string_equal(r->log_last, "b: fine");
}

static void log_without_clock_has_no_limit(void **state)
{
    struct rig *r = *state;
    struct log_rate rate = { 0 };
    r->log.now_ns = NULL;
    for (int i = 0; i < 100; i++)
        log_limited(&r->log, LOG_WARN, &rate, "a", "b");
    assert_int_equal(r->log_lines, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_names_the_speaker, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(levels_above_are_dropped, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(no_log_is_silence, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(control_characters_are_replaced, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(guest_has_a_budget, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(budgets_are_separate_and_survive_a_clock_going_back, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(log_without_clock_has_no_limit, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
