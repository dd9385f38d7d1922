/* backends/pv/xenbus.c: entries, states, reconnection, and what is neither. Clauses: toolstack contract, 4.3. */
#include "fake.h"

#include <string.h>

#define BACK  "backend/qdisk/7/51712"
#define FRONT "/local/domain/7/device/vbd/51712"

static int setup(void **state)
{
    *state = fake_new(PV_PERSISTENT);
    return 0;
}

static int teardown(void **state)
{
    fake_free(*state);
    return 0;
}

static struct fake *with_disk(void **state)
{
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_start(f);
    return f;
}

static void an_entry_is_set_up(void **state)
{
    struct fake *f = with_disk(state);
    assert_string_equal(fake_back(f, "state"), "2");
    assert_string_equal(fake_back(f, "hotplug-status"), "connected");
    assert_string_equal(fake_back(f, "feature-flush-cache"), "1");
    assert_string_equal(fake_back(f, "max-ring-page-order"), "4");
    assert_string_equal(fake_back(f, "info"), "0");
    assert_string_equal(fake_back(f, "sector-size"), "512");
    assert_string_equal(fake_back(f, "sectors"), "2048");
    assert_string_equal(fake_back(f, "feature-discard"), "1");
    assert_string_equal(fake_back(f, "discard-granularity"), "512");
    assert_string_equal(fake_back(f, "discard-alignment"), "0");
    assert_string_equal(f->opened.path, "/disk");
    assert_string_equal(f->opened.format, "raw");
    assert_false(f->opened.read_only);
    assert_true(f->opened.lock);
    assert_int_equal(f->opened.cache, BLOCK_WRITEBACK);
}

static void an_entry_may_come_later(void **state)
{
    struct fake *f = *state;
    fake_start(f);
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "2");
    fake_entry(f, "51728", "aio:/other", "w", "disk");
    fake_settle(f);
    assert_string_equal(fake_read(f, "backend/qdisk/7/51728/state"), "2");
    assert_int_equal(f->opens, 2);
}

static void an_entry_is_complete_when_it_says_so(void **state)
{
    struct fake *f = *state;
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_write(f, BACK "/online", "0");
    fake_start(f);
    assert_string_equal(fake_back(f, "state"), "1");
    fake_write(f, BACK "/online", "1");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "2");
}

static void what_cannot_be_served_is_closed(void **state)
{
    struct fake *f = *state;
    f->image_bytes = 0;
    fake_entry(f, "51712", "aio:/nowhere", "w", "disk");
    fake_write(f, "backend/vkbd/7/0/state", "1");
    fake_write(f, "backend/vkbd/7/0/online", "1");
    fake_start(f);
    assert_string_equal(fake_back(f, "state"), "6"); /* or a Linux guest waits five minutes */
    assert_non_null(strstr(fake_read(f, "error/" BACK "/error"), "/nowhere"));
    assert_string_equal(fake_read(f, "backend/vkbd/7/0/state"), "6");
    fake_write(f, BACK "/online", "0");
    fake_write(f, BACK "/state", "5");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "6");
}

static void a_front_end_elsewhere_is_refused(void **state)
{
    static const char *const elsewhere[] = { "/local/domain/8/device/vbd/51712", "/local/domain/70/device/vbd/51712",
                                             "/local/domain/7/data", "device/vbd/51712", "" };
    struct fake *f = *state;
    fake_start(f);
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        fake_entry(f, "51712", "aio:/disk", "w", "disk");
        fake_write(f, BACK "/frontend", elsewhere[i]);
        fake_settle(f);
        assert_string_equal(fake_back(f, "state"), "6");
    }
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_write(f, BACK "/frontend-id", "8");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "6");
    assert_int_equal(f->opens, 0);
}

static void names_that_are_no_numbers_are_ignored(void **state)
{
    struct fake *f = *state;
    fake_entry(f, "517x2", "aio:/disk", "w", "disk");
    fake_entry(f, "99999999999", "aio:/disk", "w", "disk");
    fake_start(f);
    assert_int_equal(f->opens, 0);
}

static void the_number_of_devices_is_bounded(void **state)
{
    struct fake *f = *state;
    fake_start(f);
    for (unsigned i = 0; i < 64; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        fake_entry(f, name, "", "r", "cdrom");
        fake_settle(f);
    }
    assert_string_equal(fake_read(f, "backend/qdisk/7/63/state"), "2");
    fake_entry(f, "51712", "aio:/disk", "w", "disk");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "6");
    assert_int_equal(f->opens, 0);
}

static void it_connects_and_closes(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    front_connect(&front, f, "51712", 64, 1, false);
    assert_string_equal(fake_back(f, "state"), "4");
    assert_int_equal(f->bound, FAKE_PORT);
    front_state(&front, CONNECTED);
    assert_string_equal(fake_back(f, "state"), "4");
    front_state(&front, CLOSING);
    assert_string_equal(fake_back(f, "state"), "5");
    assert_int_equal(f->bound, 0);
    assert_int_equal(f->grants[front.refs[0]].mapped, 0);
    front_state(&front, CLOSED);
    assert_string_equal(fake_back(f, "state"), "6");
}

/* Another kernel in the same domain: 5, 6, 1, and a new ring. */
static void a_new_kernel_connects_again(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    for (int round = 0; round < 3; round++) {
        front_connect(&front, f, "51712", 64, 1, false);
        assert_string_equal(fake_back(f, "state"), "4");
        front_state(&front, CLOSING);
        front_state(&front, CLOSED);
        front_state(&front, INITIALISING);
        assert_string_equal(fake_back(f, "state"), "2");
    }
    assert_int_equal(f->opens, 1);
}

/* A crashed one has no time to close. */
static void a_reset_front_end_connects_again(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    front_connect(&front, f, "51712", 64, 1, false);
    front_state(&front, INITIALISING);
    assert_string_equal(fake_back(f, "state"), "2");
    assert_int_equal(f->bound, 0);
    front_connect(&front, f, "51712", 32, 4, true);
    assert_string_equal(fake_back(f, "state"), "4");
}

static void a_front_end_that_vanishes_is_closed(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    front_connect(&front, f, "51712", 64, 1, false);
    fake_write(f, FRONT, NULL);
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "6");
    assert_int_equal(f->bound, 0);
}

static void garbage_states_change_nothing(void **state)
{
    static const char *const garbage[] = { "",    "x",
                                           "0",   "9",
                                           "-1",  "4 ",
                                           " 5",  "99999999999999999999",
                                           "05x", "11111111111111111111111111111111111111111111111111111111111" };
    struct fake *f = with_disk(state);
    struct front front;
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        fake_write(f, FRONT "/state", garbage[i]);
        fake_settle(f);
        assert_string_equal(fake_back(f, "state"), "2");
    }
    front_connect(&front, f, "51712", 64, 1, false);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        fake_write(f, FRONT "/state", garbage[i]);
        fake_settle(f);
        assert_string_equal(fake_back(f, "state"), "4");
        assert_int_equal(f->bound, FAKE_PORT);
    }
    front_state(&front, 7); /* Reconfiguring is not for disks */
    assert_string_equal(fake_back(f, "state"), "4");
}

/* libxl: online 0, state 5, then it waits for 6. */
static void the_toolstack_detaches(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    front_connect(&front, f, "51712", 64, 1, false);
    front_state(&front, CONNECTED);
    fake_write(f, BACK "/online", "0");
    fake_write(f, BACK "/state", "5");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "5"); /* the guest flushes and closes first */
    assert_int_equal(f->bound, FAKE_PORT);
    front_state(&front, CLOSING);
    front_state(&front, CLOSED);
    assert_string_equal(fake_back(f, "state"), "6");
    assert_true(f->disk_closed);
    fake_write(f, BACK, NULL);
    fake_settle(f);
    fake_entry(f, "51712", "aio:/disk", "w", "disk"); /* and attaches again */
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "2");
}

static void detaching_an_unused_device_is_quick(void **state)
{
    struct fake *f = with_disk(state);
    fake_write(f, BACK "/online", "0");
    fake_write(f, BACK "/state", "5");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "6");
    assert_true(f->disk_closed);
}

static void an_entry_that_vanishes_ends_the_device(void **state)
{
    struct fake *f = with_disk(state);
    struct front front;
    front_connect(&front, f, "51712", 64, 1, true);
    fake_write(f, "backend/qdisk/7", NULL);
    fake_settle(f);
    assert_true(f->disk_closed);
    assert_int_equal(f->bound, 0);
    assert_null(fake_back(f, "state"));
}

static void a_bad_connection_is_told_and_can_be_mended(void **state)
{
    static const struct {
        const char *node, *value;
    } bad[] = {
        { "ring-ref", "4095" },
        { "ring-ref", "" },
        { "ring-ref", "-1" },
        { "ring-ref", "4294967296" },
        { "event-channel", "0" },
        { "event-channel", "x" },
        { "event-channel", NULL },
        { "protocol", "arm-abi" },
        { "protocol", "x86_64" },
        { "ring-page-order", "5" },
        { "ring-page-order", "4294967295" },
        { "ring-page-order", "x" },
        { "ring-page-order", "2" },
    };
    struct fake *f = with_disk(state);
    struct front front;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), FRONT "/%s", bad[i].node);
        fake_write(f, "error", NULL);
        fake_write(f, FRONT, NULL);
        fake_writef(f, FRONT, "ring-ref", "%u", fake_grant(f));
        fake_writef(f, FRONT, "event-channel", "3");
        fake_write(f, path, bad[i].value);
        fake_write(f, FRONT "/state", "3");
        fake_settle(f);
        assert_string_equal(fake_back(f, "state"), "5");
        assert_non_null(fake_read(f, "error/" BACK "/error"));
        assert_int_equal(f->bound, 0);
        fake_write(f, FRONT "/state", "1");
        fake_settle(f);
        assert_string_equal(fake_back(f, "state"), "2");
    }
    fake_write(f, FRONT, NULL);
    front_connect(&front, f, "51712", 64, 1, false);
    assert_string_equal(fake_back(f, "state"), "4");
}

static void a_single_page_may_be_numbered(void **state)
{
    struct fake *f = with_disk(state);
    fake_writef(f, FRONT, "ring-ref0", "%u", fake_grant(f));
    fake_write(f, FRONT "/ring-page-order", "0");
    fake_write(f, FRONT "/event-channel", "3");
    fake_write(f, FRONT "/state", "3");
    fake_settle(f);
    assert_string_equal(fake_back(f, "state"), "4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_is_set_up, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_may_come_later, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_is_complete_when_it_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_served_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_front_end_elsewhere_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_are_no_numbers_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(the_number_of_devices_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(it_connects_and_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_kernel_connects_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_front_end_connects_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_front_end_that_vanishes_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_states_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_toolstack_detaches, setup, teardown),
        cmocka_unit_test_setup_teardown(detaching_an_unused_device_is_quick, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_that_vanishes_ends_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_connection_is_told_and_can_be_mended, setup, teardown),
        cmocka_unit_test_setup_teardown(a_single_page_may_be_numbered, setup, teardown),
    };
    return cmocka_run_group_tests_name("pv-xenbus", tests, NULL, NULL);
}
