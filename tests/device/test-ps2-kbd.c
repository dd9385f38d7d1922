/* Keyboard: one function per clause of the PS/2 technical reference, through the controller without translation. */
#include "ps2-rig.h"

enum { KEY_A = 0x1e, KEY_SHIFT = 0x2a, KEY_CTRL = 0x1d, KEY_ALT = 0x38, KEY_F7 = 0x41 };
enum { KEY_UP = 0xe048, KEY_RIGHT_CTRL = 0xe01d, KEY_PRINT = 0xe037, KEY_PAUSE = 0xe11d };
#define MS NS_PER_MS

static void select_set(struct ps2_rig *p, uint8_t set)
{
    data(p, 0xf0);
    EXPECT(p, 0xfa);
    data(p, set);
    EXPECT(p, 0xfa);
}

static void nothing_is_queued_after_reset(void **state)
{
    struct ps2_rig *p = *state;
    assert_int_equal(status(p) & FULL, 0);
    tap(p, KEY_A); /* scanning, set 2 */
    EXPECT(p, 0x1c, 0xf0, 0x1c);
}

static void identity_echo_and_reset(void **state)
{
    struct ps2_rig *p = *state;
    data(p, 0xf2);
    EXPECT(p, 0xfa, 0xab, 0x83);
    data(p, 0xee);
    EXPECT(p, 0xee);
    data(p, 0xf5);
    data(p, 0xff);
    EXPECT(p, 0xfa, 0xfa, 0xaa);
    tap(p, KEY_A); /* the reset scans again */
    EXPECT(p, 0x1c, 0xf0, 0x1c);
}

static void parameters_are_acknowledged(void **state)
{
    struct ps2_rig *p = *state;
    static const uint8_t commands[] = { 0xed, 0xf3, 0xfb, 0xfc, 0xfd };
    for (unsigned i = 0; i < sizeof(commands); i++) {
        data(p, commands[i]);
        EXPECT(p, 0xfa);
        data(p, 0x02);
        EXPECT(p, 0xfa);
    }
    data(p, 0xed);
    EXPECT(p, 0xfa);
    data(p, 0xf2); /* a command in place of the parameter */
    EXPECT(p, 0xfa, 0xab, 0x83);
    data(p, 0x02); /* nobody waits for it any more */
    EXPECT(p, 0xfe);
}

/* LEDs light nothing here, but they are state: a restored image saves the same bytes again. */
static void leds_and_rate_are_kept(void **state)
{
    struct ps2_rig *p = *state;
    data(p, 0xed);
    data(p, 0x05);
    data(p, 0xf3);
    data(p, 0x7f);
    drain(p);
    rig_save(p->r);
    struct snap_buf first = p->r->saved;
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    p->r->saved = (struct snap_buf){ 0 };
    rig_save(p->r);
    assert_int_equal(p->r->saved.len, first.len);
    assert_memory_equal(p->r->saved.data, first.data, first.len);
    p->r->dev->desc->reset(p->r->dev); /* and it differs from that of a fresh device */
    rig_save(p->r);
    assert_memory_not_equal(p->r->saved.data, first.data, first.len);
    snap_buf_free(&first);
}

static void invalid_commands_ask_to_resend(void **state)
{
    struct ps2_rig *p = *state;
    static const uint8_t bytes[] = { 0x00, 0x55, 0xaa, 0xec, 0xef, 0xf1 };
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        data(p, bytes[i]);
        EXPECT(p, 0xfe);
    }
    data(p, 0xf0);
    EXPECT(p, 0xfa);
    data(p, 0x04); /* there is no set 4 */
    EXPECT(p, 0xfe);
}

static void resend_repeats_the_last_byte(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_A, true);
    EXPECT(p, 0x1c);
    data(p, 0xfe);
    EXPECT(p, 0x1c);
    data(p, 0xf2);
    EXPECT(p, 0xfa, 0xab, 0x83);
    data(p, 0xfe);
    EXPECT(p, 0x83);
}

static void set_is_told_and_chosen(void **state)
{
    struct ps2_rig *p = *state;
    for (uint8_t set = 1; set <= 3; set++) {
        select_set(p, set);
        data(p, 0xf0);
        EXPECT(p, 0xfa);
        data(p, 0x00);
        EXPECT(p, 0xfa, set);
    }
}

static void set_1(void **state)
{
    struct ps2_rig *p = *state;
    select_set(p, 1);
    tap(p, KEY_A);
    EXPECT(p, 0x1e, 0x9e);
    tap(p, KEY_UP);
    EXPECT(p, 0xe0, 0x48, 0xe0, 0xc8);
    tap(p, KEY_PAUSE);
    EXPECT(p, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    tap(p, KEY_PRINT);
    EXPECT(p, 0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
}

static void set_2(void **state)
{
    struct ps2_rig *p = *state;
    tap(p, KEY_UP);
    EXPECT(p, 0xe0, 0x75, 0xe0, 0xf0, 0x75);
    tap(p, KEY_F7);
    EXPECT(p, 0x83, 0xf0, 0x83);
    tap(p, KEY_RIGHT_CTRL);
    EXPECT(p, 0xe0, 0x14, 0xe0, 0xf0, 0x14);
    tap(p, KEY_PAUSE);
    EXPECT(p, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    tap(p, KEY_PRINT);
    EXPECT(p, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
}

static void print_screen_with_modifiers(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_SHIFT, true);
    drain(p);
    tap(p, KEY_PRINT);
    EXPECT(p, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c);
    key(p, KEY_SHIFT, false);
    key(p, KEY_ALT, true);
    drain(p);
    key(p, KEY_PRINT, true);
    EXPECT(p, 0x84);
    key(p, KEY_ALT, false); /* the release still belongs to what was pressed */
    drain(p);
    key(p, KEY_PRINT, false);
    EXPECT(p, 0xf0, 0x84);
}

static void pause_with_ctrl_is_break(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_CTRL, true);
    drain(p);
    tap(p, KEY_PAUSE);
    EXPECT(p, 0xe0, 0x7e, 0xe0, 0xf0, 0x7e);
}

static void set_3_default_key_types(void **state)
{
    struct ps2_rig *p = *state;
    select_set(p, 3);
    tap(p, KEY_A); /* typematic: no break */
    EXPECT(p, 0x1c);
    tap(p, KEY_SHIFT); /* make and break */
    EXPECT(p, 0x12, 0xf0, 0x12);
    tap(p, KEY_RIGHT_CTRL); /* make only */
    EXPECT(p, 0x58);
    tap(p, KEY_UP);
    EXPECT(p, 0x63);
    tap(p, KEY_PAUSE);
    EXPECT(p, 0x62);
    tap(p, KEY_PRINT);
    EXPECT(p, 0x57);
    tap(p, 0x5f); /* no such key */
    assert_int_equal(status(p) & FULL, 0);
}

static void set_3_key_types_can_be_set(void **state)
{
    struct ps2_rig *p = *state;
    select_set(p, 3);
    data(p, 0xf8); /* all make and break */
    EXPECT(p, 0xfa);
    tap(p, KEY_A);
    EXPECT(p, 0x1c, 0xf0, 0x1c);
    data(p, 0xfd); /* these: make only; the list ends with the next command */
    EXPECT(p, 0xfa);
    data(p, 0x1c);
    EXPECT(p, 0xfa);
    data(p, 0x8f);
    EXPECT(p, 0xfa);
    data(p, 0x90); /* no such key */
    EXPECT(p, 0xfa);
    data(p, 0xee);
    EXPECT(p, 0xee);
    tap(p, KEY_A);
    EXPECT(p, 0x1c);
    rig_run(p->r, NS_PER_S);
    data(p, 0xfa); /* all of it */
    EXPECT(p, 0xfa);
    key(p, KEY_A, true);
    EXPECT(p, 0x1c);
    rig_run(p->r, 500 * MS);
    EXPECT(p, 0x1c);
    key(p, KEY_A, false);
    EXPECT(p, 0xf0, 0x1c);
    data(p, 0xf6);
    EXPECT(p, 0xfa);
    tap(p, KEY_A);
    EXPECT(p, 0x1c);
}

static void disabled_scanning_sends_nothing(void **state)
{
    struct ps2_rig *p = *state;
    tap(p, KEY_A); /* dropped by the command */
    data(p, 0xf5);
    (void)rig_in8(p->r, PORT_DATA); /* that was in the controller's buffer already */
    EXPECT(p, 0xfa);
    tap(p, KEY_A);
    assert_int_equal(status(p) & FULL, 0);
    data(p, 0xf4);
    EXPECT(p, 0xfa);
    tap(p, KEY_A);
    EXPECT(p, 0x1c, 0xf0, 0x1c);
}

/* 500 ms, then 10.9 per second; Linux keeps these rates or sets 250 ms and 30 per second. */
static void typematic_repeat(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_A, true);
    EXPECT(p, 0x1c);
    key(p, KEY_A, true); /* a viewer's own repeat */
    assert_int_equal(status(p) & FULL, 0);
    rig_run(p->r, 500 * MS - 1);
    assert_int_equal(status(p) & FULL, 0);
    rig_run(p->r, 1);
    EXPECT(p, 0x1c);
    rig_run(p->r, 91 * MS);
    assert_int_equal(status(p) & FULL, 0);
    rig_run(p->r, 1 * MS);
    EXPECT(p, 0x1c);
    key(p, KEY_UP, true); /* the last key pressed repeats */
    EXPECT(p, 0xe0, 0x75);
    rig_run(p->r, 500 * MS);
    EXPECT(p, 0xe0, 0x75);
    key(p, KEY_A, false);
    EXPECT(p, 0xf0, 0x1c);
    rig_run(p->r, 92 * MS);
    EXPECT(p, 0xe0, 0x75);
    key(p, KEY_UP, false);
    drain(p);
    assert_null(p->r->loop.timers); /* no key, no timer */
}

static void typematic_rate_is_programmed(void **state)
{
    struct ps2_rig *p = *state;
    static const struct {
        uint8_t rate;
        uint64_t delay_ms, period_us;
    } rows[] = { { 0x00, 250, 33334 }, { 0x7f, 1000, 500001 }, { 0x2b, 500, 91667 }, { 0x54, 750, 200000 } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        data(p, 0xf3);
        data(p, rows[i].rate);
        drain(p);
        key(p, KEY_A, true);
        EXPECT(p, 0x1c);
        rig_run(p->r, rows[i].delay_ms * MS - 1);
        assert_int_equal(status(p) & FULL, 0);
        rig_run(p->r, 1);
        EXPECT(p, 0x1c);
        rig_run(p->r, (rows[i].period_us - 100) * 1000);
        assert_int_equal(status(p) & FULL, 0);
        rig_run(p->r, 100 * 1000);
        EXPECT(p, 0x1c);
        key(p, KEY_A, false);
        drain(p);
    }
}

static void pause_does_not_repeat_and_print_repeats_its_code(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_PAUSE, true);
    drain(p);
    assert_null(p->r->loop.timers);
    key(p, KEY_PAUSE, false);
    key(p, KEY_PRINT, true);
    drain(p);
    rig_run(p->r, 500 * MS);
    EXPECT(p, 0xe0, 0x7c);
    key(p, KEY_PRINT, false);
    EXPECT(p, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
}

static void held_key_alone_never_overruns(void **state)
{
    struct ps2_rig *p = *state;
    key(p, KEY_A, true);
    rig_run(p->r, 60 * NS_PER_S);
    EXPECT(p, 0x1c, 0x1c); /* one in the controller, one in the keyboard */
}

/* [IBM PS/2, keyboard buffer] 16 bytes, then one overrun code; a key is queued whole or not at all. */
static void overrun(void **state)
{
    struct ps2_rig *p = *state;
    for (unsigned i = 0; i < 100; i++)
        tap(p, KEY_UP);
    /* e0 went to the controller; 16 bytes fit behind it, then the break doesn't. */
    EXPECT(p, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0xe0, 0x75,
           0x00);
    tap(p, KEY_A);
    EXPECT(p, 0x1c, 0xf0, 0x1c);
    select_set(p, 1);
    for (unsigned i = 0; i < 100; i++)
        key(p, KEY_A, i % 2 == 0);
    for (unsigned i = 0; i < 17; i++)
        assert_int_equal(rig_in8(p->r, PORT_DATA), i % 2 == 0 ? 0x1e : 0x9e);
    EXPECT(p, 0xff);
}

static void answers_pass_a_full_queue(void **state)
{
    struct ps2_rig *p = *state;
    for (unsigned i = 0; i < 100; i++)
        tap(p, KEY_A);
    data(p, 0xee);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x1c); /* was out already */
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0xee);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0xf0);
    drain(p);
}

static void odd_codes_are_ignored(void **state)
{
    struct ps2_rig *p = *state;
    static const uint16_t codes[] = { 0x00, 0x80, 0xff, 0xe000, 0xe080, 0xe0ff, 0xe145, 0x011e, 0xffff, 0x541e };
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
        tap(p, codes[i]);
    assert_int_equal(status(p) & FULL, 0);
    assert_null(p->r->loop.timers);
}

static void snapshot_is_complete(void **state)
{
    struct ps2_rig *p = *state;
    select_set(p, 3);
    data(p, 0xf8);
    data(p, 0xf3);
    data(p, 0x00);
    drain(p);
    key(p, KEY_SHIFT, true);
    tap(p, KEY_A);
    data(p, 0xfd); /* the worst moment: keys queued, one held, a list of codes under way */
    rig_save(p->r);
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    assert_true(p->r->wires[LINE_KBD]);
    EXPECT(p, 0x12, 0xfa, 0x1c, 0xf0, 0x1c);
    key(p, KEY_SHIFT, true); /* still down: nothing new */
    assert_int_equal(status(p) & FULL, 0);
    data(p, 0x1c);
    EXPECT(p, 0xfa);
    tap(p, KEY_A);
    EXPECT(p, 0x1c);
    key(p, KEY_SHIFT, false);
    EXPECT(p, 0xf0, 0x12);
}

/* Known attack 87: queue pointers of a saved state were trusted. */
static void cve_2017_16845_hostile_snapshots_are_refused(void **state)
{
    struct ps2_rig *p = *state;
    static const struct poke pokes[] = {
        { "kbd.out.event_head", 17 },   { "kbd.out.event_head", 255 },  { "kbd.out.event_count", 18 },
        { "kbd.out.event_count", 255 }, { "kbd.out.answer_count", 6 },  { "kbd.out.answer_count", 255 },
        { "kbd.set", 0 },               { "kbd.set", 4 },               { "kbd.command", 0x01 },
        { "kbd.command", 0xf2 },        { "kbd.command", 0xff },        { "kbd.leds", 0x08 },
        { "kbd.rate", 0x80 },           { "kbd.mode", 4 },              { "kbd.scanning", 2 },
    };
    expect_refused(p, pokes, ARRAY_SIZE(pokes));
}

/* Known attack 88: the key queue had no limit. */
static void cve_2017_8379_a_million_keys(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x00); /* no interrupts: nobody reads */
    for (unsigned i = 0; i < 1000000; i++)
        key(p, (uint16_t)(1 + i / 2 % 0x58), i % 2 == 0);
    unsigned bytes = 0;
    for (; status(p) & FULL; bytes++)
        (void)rig_in8(p->r, PORT_DATA);
    assert_in_range(bytes, 1, 18);
    assert_null(p->r->loop.timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_queued_after_reset),
        TEST(identity_echo_and_reset),
        TEST(parameters_are_acknowledged),
        TEST(leds_and_rate_are_kept),
        TEST(invalid_commands_ask_to_resend),
        TEST(resend_repeats_the_last_byte),
        TEST(set_is_told_and_chosen),
        TEST(set_1),
        TEST(set_2),
        TEST(print_screen_with_modifiers),
        TEST(pause_with_ctrl_is_break),
        TEST(set_3_default_key_types),
        TEST(set_3_key_types_can_be_set),
        TEST(disabled_scanning_sends_nothing),
        TEST(typematic_repeat),
        TEST(typematic_rate_is_programmed),
        TEST(pause_does_not_repeat_and_print_repeats_its_code),
        TEST(held_key_alone_never_overruns),
        TEST(overrun),
        TEST(answers_pass_a_full_queue),
        TEST(odd_codes_are_ignored),
        TEST(snapshot_is_complete),
        TEST(cve_2017_16845_hostile_snapshots_are_refused),
        TEST(cve_2017_8379_a_million_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
