/* Mouse: one function per clause of the PS/2 technical reference and the wheel extensions, through the controller. */
#include "ps2-rig.h"

/* Send one byte and take the acknowledge. */
static void ask(struct ps2_rig *p, uint8_t byte)
{
    to_mouse(p, byte);
    EXPECT_MOUSE(p, 0xfa);
}

static void set_rates(struct ps2_rig *p, uint8_t first, uint8_t second, uint8_t third)
{
    const uint8_t rates[] = { first, second, third };
    for (unsigned i = 0; i < sizeof(rates); i++) {
        ask(p, 0xf3);
        ask(p, rates[i]);
    }
}

static void expect_id(struct ps2_rig *p, uint8_t id)
{
    to_mouse(p, 0xf2);
    EXPECT_MOUSE(p, 0xfa, id);
}

static void expect_status(struct ps2_rig *p, uint8_t flags, uint8_t resolution, uint8_t rate)
{
    to_mouse(p, 0xe9);
    EXPECT_MOUSE(p, 0xfa, flags, resolution, rate);
}

static void silent_after_reset(void **state)
{
    struct ps2_rig *p = *state;
    move(p, 10, 10, 1, INPUT_LEFT);
    assert_int_equal(status(p) & FULL, 0);
    move(p, 0, 0, 0, 0);
    expect_status(p, 0x00, 2, 100);
    expect_id(p, 0x00);
}

static void reset_answers_and_restores(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 200, 80);
    ask(p, 0xe7);
    ask(p, 0xf0);
    ask(p, 0xf4);
    to_mouse(p, 0xff);
    EXPECT_MOUSE(p, 0xfa, 0xaa, 0x00);
    expect_status(p, 0x00, 2, 100);
    expect_id(p, 0x00);
}

static void defaults_keep_the_protocol(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 100, 80);
    ask(p, 0xe8);
    ask(p, 3);
    ask(p, 0xf4);
    expect_status(p, 0x20, 3, 80);
    ask(p, 0xf6);
    expect_status(p, 0x00, 2, 100);
    expect_id(p, 0x03);
}

static void status_tells_all(void **state)
{
    struct ps2_rig *p = *state;
    move(p, 0, 0, 0, INPUT_LEFT | INPUT_RIGHT | INPUT_MIDDLE);
    expect_status(p, 0x07, 2, 100);
    move(p, 0, 0, 0, INPUT_LEFT);
    expect_status(p, 0x04, 2, 100);
    move(p, 0, 0, 0, INPUT_RIGHT);
    ask(p, 0xe7);
    expect_status(p, 0x11, 2, 100);
    ask(p, 0xf0);
    expect_status(p, 0x51, 2, 100);
    ask(p, 0xe6);
    ask(p, 0xea);
    expect_status(p, 0x01, 2, 100);
}

static void packets(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    move(p, 5, 3, 0, 0);
    assert_true(p->r->wires[LINE_MOUSE]);
    EXPECT_MOUSE(p, 0x28, 0x05, 0xfd);
    move(p, -5, -3, 0, INPUT_LEFT);
    EXPECT_MOUSE(p, 0x19, 0xfb, 0x03);
    move(p, 0, 0, 0, INPUT_RIGHT);
    EXPECT_MOUSE(p, 0x0a, 0x00, 0x00);
    move(p, 0, 0, 0, INPUT_MIDDLE);
    EXPECT_MOUSE(p, 0x0c, 0x00, 0x00);
    move(p, 0, 0, 0, INPUT_MIDDLE); /* nothing new */
    assert_int_equal(status(p) & FULL, 0);
    move(p, 0, 0, 1, INPUT_MIDDLE); /* no wheel in this protocol */
    assert_int_equal(status(p) & FULL, 0);
    assert_false(p->r->wires[LINE_MOUSE]);
}

static void wheel_protocol(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 100, 80);
    expect_id(p, 3);
    ask(p, 0xf4);
    move(p, 1, 0, 1, 0);
    EXPECT_MOUSE(p, 0x08, 0x01, 0x00, 0xff); /* away from the user counts down */
    move(p, 0, 0, -2, 0);
    EXPECT_MOUSE(p, 0x08, 0x00, 0x00, 0x02);
    move(p, 0, 0, -200, 0);
    EXPECT_MOUSE(p, 0x08, 0x00, 0x00, 0x7f, 0x08, 0x00, 0x00, 0x49);
}

static void explorer_protocol(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 100, 80); /* as drivers do: first the wheel, then the rest */
    set_rates(p, 200, 200, 80);
    expect_id(p, 4);
    ask(p, 0xf4);
    move(p, 0, 0, 1, INPUT_SIDE);
    EXPECT_MOUSE(p, 0x08, 0x00, 0x00, 0x1f);
    move(p, 0, 0, -1, INPUT_SIDE | INPUT_EXTRA);
    EXPECT_MOUSE(p, 0x08, 0x00, 0x00, 0x31);
    move(p, 0, 0, -9, 0);
    EXPECT_MOUSE(p, 0x08, 0x00, 0x00, 0x07, 0x08, 0x00, 0x00, 0x02);
}

static void other_rates_change_nothing(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 80, 100);
    set_rates(p, 100, 200, 60);
    set_rates(p, 20, 40, 200);
    ask(p, 0xf3);
    ask(p, 0); /* no rate at all: kept, never used */
    expect_id(p, 0);
    expect_status(p, 0x00, 2, 0);
}

/* What is too much for a packet follows in the next; nothing is lost. */
static void large_movement_is_split(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    move(p, 300, -600, 0, 0);
    EXPECT_MOUSE(p, 0x08, 0xff, 0xff, 0x08, 0x2d, 0xff, 0x08, 0x00, 0x5a);
    move(p, -255, 255, 0, 0);
    EXPECT_MOUSE(p, 0x38, 0x01, 0x01);
}

static void movement_gathers_until_read(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    for (unsigned i = 0; i < 100; i++)
        move(p, 1, 0, 0, 0);
    EXPECT_MOUSE(p, 0x08, 0x01, 0x00, 0x08, 0x63, 0x00);
}

/* A click between two reads isn't lost, up to the length of the queue. */
static void clicks_are_queued(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    move(p, 1, 0, 0, 0);
    move(p, 0, 0, 0, INPUT_LEFT);
    move(p, 0, 0, 0, 0);
    EXPECT_MOUSE(p, 0x08, 0x01, 0x00, 0x09, 0x00, 0x00, 0x08, 0x00, 0x00);
    for (unsigned i = 0; i < 1000; i++)
        move(p, 0, 0, 0, i % 2 ? 0 : INPUT_LEFT);
    unsigned bytes = 0;
    for (; status(p) & FULL; bytes++)
        (void)rig_in8(p->r, PORT_DATA);
    assert_int_equal(bytes % 3, 0);
    assert_in_range(bytes, 3, 18);
}

static void overflow_is_told(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    command(p, 0xa7); /* clocked off: all gathers */
    for (unsigned i = 0; i < 10; i++)
        move(p, 1000, 0, 0, 0);
    command(p, 0xa8);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x08); /* was queued before the overflow */
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0xff);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x00);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x48);
    for (unsigned i = 0; i < 2; i++)
        (void)rig_in8(p->r, PORT_DATA);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x08);
    drain(p);
    move(p, INT32_MAX, INT32_MIN, INT32_MAX, 0);
    move(p, INT32_MAX, INT32_MIN, INT32_MIN, 0);
    drain(p);
}

static void remote_mode(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf0);
    ask(p, 0xf4);
    move(p, 4, -5, 0, INPUT_LEFT);
    assert_int_equal(status(p) & FULL, 0);
    to_mouse(p, 0xeb);
    EXPECT_MOUSE(p, 0xfa, 0x09, 0x04, 0x05);
    to_mouse(p, 0xeb);
    EXPECT_MOUSE(p, 0xfa, 0x09, 0x00, 0x00);
    ask(p, 0xea);
    move(p, 1, 0, 0, INPUT_LEFT);
    EXPECT_MOUSE(p, 0x09, 0x01, 0x00);
}

static void read_data_with_a_wheel(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 200, 80);
    move(p, 1, 2, 3, INPUT_SIDE); /* counts are kept though nothing is reported */
    to_mouse(p, 0xeb);
    EXPECT_MOUSE(p, 0xfa, 0x28, 0x01, 0xfe, 0x1d);
}

static void wrap_mode(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    ask(p, 0xee);
    static const uint8_t bytes[] = { 0x00, 0x55, 0xe9, 0xf2, 0xee, 0xf4, 0xeb, 0xfe };
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        to_mouse(p, bytes[i]);
        EXPECT_MOUSE(p, bytes[i]);
    }
    move(p, 1, 1, 0, 0);
    assert_int_equal(status(p) & FULL, 0);
    ask(p, 0xec);
    move(p, 1, 0, 0, 0);
    EXPECT_MOUSE(p, 0x08, 0x01, 0x00);
    ask(p, 0xee);
    to_mouse(p, 0xff);
    EXPECT_MOUSE(p, 0xfa, 0xaa, 0x00);
}

/* 0, 1, 1, 3, 6, 9, then twice the counts, in stream mode only. */
static void scaling(void **state)
{
    struct ps2_rig *p = *state;
    static const uint8_t expected[] = { 0, 1, 1, 3, 6, 9, 12, 14 };
    ask(p, 0xe7);
    ask(p, 0xf4);
    for (uint8_t i = 1; i < sizeof(expected); i++) {
        move(p, i, -i, 0, 0);
        EXPECT_MOUSE(p, 0x08, expected[i], expected[i]);
        move(p, -i, i, 0, 0);
        EXPECT_MOUSE(p, 0x38, (uint8_t)-expected[i], (uint8_t)-expected[i]);
    }
    ask(p, 0xf0);
    move(p, 5, 0, 0, 0);
    to_mouse(p, 0xeb);
    EXPECT_MOUSE(p, 0xfa, 0x08, 0x05, 0x00);
}

static void invalid_bytes(void **state)
{
    struct ps2_rig *p = *state;
    to_mouse(p, 0xe1);
    EXPECT_MOUSE(p, 0xfe);
    to_mouse(p, 0x00); /* the second in a row is an error */
    EXPECT_MOUSE(p, 0xfc);
    ask(p, 0xf5);
    to_mouse(p, 0xed);
    EXPECT_MOUSE(p, 0xfe);
    ask(p, 0xe8);
    to_mouse(p, 4); /* no such resolution; a second chance */
    EXPECT_MOUSE(p, 0xfe);
    ask(p, 1);
    expect_status(p, 0x00, 1, 100);
    ask(p, 0xe8);
    to_mouse(p, 4);
    EXPECT_MOUSE(p, 0xfe);
    to_mouse(p, 5);
    EXPECT_MOUSE(p, 0xfc);
    expect_status(p, 0x00, 1, 100); /* no longer waiting */
}

static void resend_repeats_the_last_packet(void **state)
{
    struct ps2_rig *p = *state;
    to_mouse(p, 0xf2);
    EXPECT_MOUSE(p, 0xfa, 0x00);
    to_mouse(p, 0xfe);
    EXPECT_MOUSE(p, 0xfa, 0x00);
    ask(p, 0xf4);
    move(p, 1, 2, 0, 0);
    EXPECT_MOUSE(p, 0x28, 0x01, 0xfe);
    to_mouse(p, 0xfe);
    EXPECT_MOUSE(p, 0x28, 0x01, 0xfe);
}

/* A command drops a packet that is half read; the button in it is told again. */
static void command_ends_a_packet(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf4);
    move(p, 1, 1, 0, INPUT_LEFT);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x29);
    to_mouse(p, 0xe6);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x01); /* was out already */
    EXPECT_MOUSE(p, 0xfa, 0x09, 0x00, 0x00);
}

static void snapshot_is_complete(void **state)
{
    struct ps2_rig *p = *state;
    set_rates(p, 200, 200, 80);
    ask(p, 0xf4);
    move(p, 1, 0, 0, 0);
    move(p, 0, 0, 0, INPUT_EXTRA);
    (void)rig_in8(p->r, PORT_DATA);
    move(p, 300, 2, -1, INPUT_EXTRA); /* the worst moment: a packet half read, one behind it, movement gathered */
    rig_save(p->r);
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    assert_true(p->r->wires[LINE_MOUSE]);
    EXPECT_MOUSE(p, 0x01, 0x00, 0x00, 0x08, 0x00, 0x00, 0x20, 0x28, 0xff, 0xfe, 0x21, 0x08, 0x2d, 0x00, 0x20);
    expect_id(p, 4);
}

static void snapshot_keeps_a_sequence(void **state)
{
    struct ps2_rig *p = *state;
    ask(p, 0xf3);
    ask(p, 200);
    ask(p, 0xf3);
    ask(p, 100);
    ask(p, 0xf3);
    rig_save(p->r);
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    ask(p, 80);
    expect_id(p, 3);
}

/* Known attack 87: queue pointers of a saved state were trusted. */
static void cve_2017_16845_hostile_snapshots_are_refused(void **state)
{
    struct ps2_rig *p = *state;
    static const struct poke pokes[] = {
        { "mouse.out.event_head", 17 },   { "mouse.out.event_head", 255 }, { "mouse.out.event_count", 18 },
        { "mouse.out.event_count", 255 }, { "mouse.out.answer_count", 6 }, { "mouse.out.answer_count", 255 },
        { "mouse.id", 1 },                { "mouse.id", 5 },               { "mouse.command", 0xe9 },
        { "mouse.resolution", 4 },        { "mouse.dx", 4096 },            { "mouse.dy", 0x80000000 },
        { "mouse.wheel", 0x7fffffff },    { "mouse.buttons", 0x20 },       { "mouse.told_buttons", 0xff },
        { "mouse.sent_count", 6 },        { "mouse.wrap", 2 },
    };
    expect_refused(p, pokes, ARRAY_SIZE(pokes));
}

/* Known attack 88, for the pointer: no number of events makes it grow. */
static void cve_2017_8379_a_million_moves(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x00); /* no interrupts: nobody reads */
    to_mouse(p, 0xf4);
    for (unsigned i = 0; i < 1000000; i++)
        move(p, i % 3 ? 100 : -50, i % 5 ? -100 : 50, i % 2 ? 1 : -2, i % 32);
    unsigned bytes = 0;
    for (; status(p) & FULL; bytes++)
        (void)rig_in8(p->r, PORT_DATA);
    assert_in_range(bytes, 4, 100);
    assert_null(p->r->loop.timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(silent_after_reset),
        TEST(reset_answers_and_restores),
        TEST(defaults_keep_the_protocol),
        TEST(status_tells_all),
        TEST(packets),
        TEST(wheel_protocol),
        TEST(explorer_protocol),
        TEST(other_rates_change_nothing),
        TEST(large_movement_is_split),
        TEST(movement_gathers_until_read),
        TEST(clicks_are_queued),
        TEST(overflow_is_told),
        TEST(remote_mode),
        TEST(read_data_with_a_wheel),
        TEST(wrap_mode),
        TEST(scaling),
        TEST(invalid_bytes),
        TEST(resend_repeats_the_last_packet),
        TEST(command_ends_a_packet),
        TEST(snapshot_is_complete),
        TEST(snapshot_keeps_a_sequence),
        TEST(cve_2017_16845_hostile_snapshots_are_refused),
        TEST(cve_2017_8379_a_million_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
