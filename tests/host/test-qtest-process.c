/*
 * The program under a qtest client, as the client library of QEMU's device tests starts it: two sockets, at once;
 * virtual time; a monitor beside it; an end by signal or by the client.
 *
 *     test-qtest-process THINDM
 */
#include "qtest-client.h"

static void handshake(void **state)
{
    struct client *c = *state;
    client_start(c, "-net none");
    assert_string_equal(client_ask(c, "endianness\n"), "OK little\n");
    assert_non_null(strstr(client_hear(c, c->qmp, 1), "\"QMP\""));
    client_tell(c, "{\"execute\": \"qmp_capabilities\"}\n");
    assert_non_null(strstr(client_hear(c, c->qmp, 1), "\"return\""));
    assert_string_equal(client_ask(c, "outl 0xcf8 0x80000802\n"), "OK\n");
    assert_string_equal(client_ask(c, "inw 0xcfc\n"), "OK 0x7000\n");
    assert_string_equal(client_ask(c, "writel 0x7fffffc 0x12345678\n"), "OK\n"); /* 128 MiB */
    assert_string_equal(client_ask(c, "readq 0x7fffffc\n"), "OK 0x0000000012345678\n");
    assert_string_equal(client_ask(c, "clock_step 1000000\n"), "OK 1000000\n");
    assert_int_equal(client_end(c), 0);
}

static void a_step_that_never_ends_is_ended_by_a_signal(void **state)
{
    struct client *c = *state;
    client_start(c, "-M pc -nodefaults");
    assert_string_equal(client_ask(c, "endianness\n"), "OK little\n");
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(write(c->qtest, "clock_step 0x7fffffffffffffff\n", 30), 30);
    assert_int_equal(client_end(c), 0);
}

static void long_replies_go_to_a_slow_reader(void **state)
{
    struct client *c = *state;
    client_start(c, "-M pc" SANDBOX);
    assert_int_equal(write(c->qtest, "read 0x100000 0x40000\nendianness\n", 33), 33);
    client_sleep_ms(50);
    assert_int_equal(strlen(client_hear(c, c->qtest, 1)), 5 + 2 * 0x40000 + 1);
    assert_string_equal(client_hear(c, c->qtest, 1), "OK little\n");
    assert_int_equal(client_end(c), 0);
}

static void a_client_that_leaves_ends_it(void **state)
{
    struct client *c = *state;
    client_start(c, "-M xenfv" SANDBOX);
    assert_string_equal(client_ask(c, "endianness\n"), "OK little\n");
    shutdown(c->qtest, SHUT_RDWR);
    assert_int_equal(client_ended(c), 0);
}

static void stop_holds_the_timers(void **state)
{
    struct client *c = *state;
    client_start(c, "-M pc -S");
    client_hear(c, c->qmp, 1);
    client_tell(c, "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-status\"}\n");
    assert_non_null(strstr(client_hear(c, c->qmp, 2), "prelaunch"));
    assert_string_equal(client_ask(c, "clock_step 5000\n"), "OK 5000\n");
    client_tell(c, "{\"execute\": \"cont\"}\n");
    client_hear(c, c->qmp, 2);
    client_tell(c, "{\"execute\": \"quit\"}\n");
    assert_int_equal(client_ended(c), 0);
}

/* By port cf9: the event, and a machine as new. */
static void the_guest_resets_itself(void **state)
{
    struct client *c = *state;
    client_start(c, "-M pc");
    client_hear(c, c->qmp, 1);
    client_tell(c, "{\"execute\": \"qmp_capabilities\"}\n");
    client_hear(c, c->qmp, 1);
    client_ask(c, "outl 0xcf8 0x80000072\n");
    client_ask(c, "outb 0xcfc 0x55\n");
    assert_string_equal(client_ask(c, "inb 0xcfc\n"), "OK 0x0055\n");
    client_ask(c, "outb 0xcf9 0x06\n");
    assert_non_null(strstr(client_hear(c, c->qmp, 1), "RESET"));
    assert_string_equal(client_ask(c, "inb 0xcfc\n"), "OK 0x00ff\n"); /* the address is 0 again */
    client_ask(c, "outl 0xcf8 0x80000072\n");
    assert_string_equal(client_ask(c, "inb 0xcfc\n"), "OK 0x0002\n");
    assert_int_equal(client_end(c), 0);
}

/* The PC as a whole: timer, clock, firmware configuration, interrupt controllers; and without them by option. */
static void the_platform(void **state)
{
    struct client *c = *state;
    client_start(c, "-m 48");
    assert_string_equal(client_ask(c, "irq_intercept_in ioapic\n"), "OK\n");
    assert_string_equal(client_ask(c, "clock_step\n"), "OK 27462700\n"); /* half a period of the timer at 18.2 Hz */
    assert_int_equal(write(c->qtest, "clock_step\n", 11), 11);
    assert_string_equal(client_hear(c, c->qtest, 2), "IRQ raise 0\nOK 54925401\n");
    assert_string_equal(client_ask(c, "outw 0x510 3\n"), "OK\n");
    const char *const bytes[] = { "00", "00", "00", "03", "00" };
    for (unsigned i = 0; i < 5; i++) {
        char want[16];
        snprintf(want, sizeof(want), "OK 0x00%s\n", bytes[i]);
        assert_string_equal(client_ask(c, "inb 0x511\n"), want);
    }
    assert_string_equal(client_ask(c, "readl 0xfed00000\n"), "OK 0x000000008086a201\n");
    assert_int_equal(client_end(c), 0);
    client_start(c, "-M pc,platform=off");
    assert_string_equal(client_ask(c, "clock_step\n"), "OK 0\n");
    assert_string_equal(client_ask(c, "readl 0xfed00000\n"), "OK 0x0000000000000000\n");
    assert_int_equal(client_end(c), 0);
}

static void no_machine(void **state)
{
    struct client *c = *state;
    client_start(c, "-machine none");
    assert_string_equal(client_ask(c, "endianness\n"), "OK little\n");
    assert_string_equal(client_ask(c, "readl 0\n"), "OK 0x0000000000000000\n");
    assert_string_equal(client_ask(c, "inb 0x71\n"), "OK 0x00ff\n");
    assert_string_equal(client_ask(c, "irq_intercept_in ioapic\n"), "FAIL Unknown device\n");
    assert_int_equal(client_end(c), 0);
}

int main(int argc, char *argv[])
{
    static struct client client;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_prestate(name, &client)
        TEST(handshake),
        TEST(a_step_that_never_ends_is_ended_by_a_signal),
        TEST(long_replies_go_to_a_slow_reader),
        TEST(a_client_that_leaves_ends_it),
        TEST(stop_holds_the_timers),
        TEST(the_guest_resets_itself),
        TEST(the_platform),
        TEST(no_machine),
    };
    if (argc != 2 || !client_init(&client, argv[1]))
        return 2;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    client_finish(&client);
    return failed;
}
