/* Keyboard controller: one function per clause of the PS/2 technical reference. */
#include "ps2-rig.h"

static void registers_after_reset(void **state)
{
    struct ps2_rig *p = *state;
    assert_int_equal(status(p), 0x18);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x00);
    command(p, 0x20);
    EXPECT(p, 0x03);
    command(p, 0xd0);
    EXPECT(p, 0xcf);
    assert_false(p->r->wires[LINE_KBD]);
    assert_false(p->r->wires[LINE_MOUSE]);
}

static void reset_undoes_everything(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x74);
    command(p, 0x61);
    data(p, 0x99);
    command(p, 0xdd);
    to_mouse(p, 0xf4);
    move(p, 1, 1, 0, 1);
    tap(p, 0x1e);
    command(p, 0xd4);
    p->r->dev->desc->reset(p->r->dev);
    registers_after_reset(state);
    command(p, 0x21);
    EXPECT(p, 0x00);
    data(p, 0xee); /* the keyboard's, no longer the mouse's */
    EXPECT(p, 0xee);
}

static void every_size(void **state)
{
    struct ps2_rig *p = *state;
    assert_int_equal(rig_in16(p->r, PORT_COMMAND), 0xff18);
    assert_int_equal(rig_in32(p->r, PORT_COMMAND), 0xffffff18);
    rig_out16(p->r, PORT_COMMAND, 0xffaa);
    assert_int_equal(rig_in16(p->r, PORT_DATA), 0xff55);
    rig_out32(p->r, PORT_COMMAND, 0xfefefe20);
    assert_int_equal(rig_in32(p->r, PORT_DATA), 0xffffff03);
    rig_out16(p->r, PORT_DATA, 0x01ee);
    EXPECT(p, 0xee);
    assert_int_equal(p->resets, 0);
}

static void self_and_line_tests(void **state)
{
    struct ps2_rig *p = *state;
    assert_int_equal(status(p) & 0x04, 0);
    command(p, 0xaa);
    EXPECT(p, 0x55);
    assert_int_equal(status(p) & 0x04, 0x04);
    command(p, 0xab);
    EXPECT(p, 0x00);
    command(p, 0xa9);
    EXPECT(p, 0x00);
    command(p, 0xa4);
    EXPECT(p, 0xf1);
    command(p, 0xc0);
    EXPECT(p, 0x80);
}

static void status_tells_command_from_data_and_the_system_flag(void **state)
{
    struct ps2_rig *p = *state;
    command(p, 0x60);
    assert_int_equal(status(p), 0x18);
    data(p, 0x07);
    assert_int_equal(status(p), 0x14);
    set_mode(p, 0x03);
    assert_int_equal(status(p), 0x10);
}

static void memory_is_read_and_written(void **state)
{
    struct ps2_rig *p = *state;
    for (unsigned i = 0; i < 32; i++) {
        command(p, (uint8_t)(0x60 + i));
        data(p, (uint8_t)(0x80 + i));
    }
    for (unsigned i = 0; i < 32; i++) {
        command(p, (uint8_t)(0x20 + i));
        EXPECT(p, (uint8_t)(0x80 + i));
    }
}

static void disable_bits_follow_commands(void **state)
{
    struct ps2_rig *p = *state;
    static const struct {
        uint8_t command, mode, inputs;
    } rows[] = { { 0xad, 0x13, 2 }, { 0xa7, 0x33, 0 }, { 0xae, 0x23, 1 }, { 0xa8, 0x03, 3 } };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        command(p, rows[i].command);
        command(p, 0x20);
        EXPECT(p, rows[i].mode);
        command(p, 0xe0);
        EXPECT(p, rows[i].inputs);
    }
}

static void disabled_interfaces_keep_their_bytes(void **state)
{
    struct ps2_rig *p = *state;
    to_mouse(p, 0xf4);
    drain(p);
    command(p, 0xad);
    command(p, 0xa7);
    key(p, 0x1e, true);
    move(p, 1, 0, 0, 0);
    assert_int_equal(status(p) & FULL, 0);
    command(p, 0xa8);
    EXPECT_MOUSE(p, 0x08, 0x01, 0x00);
    command(p, 0xae);
    EXPECT(p, 0x1c);
    command(p, 0xad); /* a byte for the keyboard clocks it on again */
    data(p, 0xee);
    EXPECT(p, 0xee);
    command(p, 0x20);
    EXPECT(p, 0x03);
    command(p, 0xa7);
    to_mouse(p, 0xf5);
    EXPECT_MOUSE(p, 0xfa);
    command(p, 0x20);
    EXPECT(p, 0x03);
}

static void lines_follow_the_buffer(void **state)
{
    struct ps2_rig *p = *state;
    data(p, 0xee);
    assert_true(p->r->wires[LINE_KBD]);
    assert_false(p->r->wires[LINE_MOUSE]);
    command(p, 0xd0); /* the buffer is full: the answer waits; it knows the line */
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0xee);
    assert_true(p->r->wires[LINE_KBD]);
    EXPECT(p, 0xdf);
    assert_false(p->r->wires[LINE_KBD]);
    to_mouse(p, 0xf2);
    assert_true(p->r->wires[LINE_MOUSE]);
    assert_false(p->r->wires[LINE_KBD]);
    (void)rig_in8(p->r, PORT_DATA);
    assert_true(p->r->wires[LINE_MOUSE]);
    (void)rig_in8(p->r, PORT_DATA);
    assert_false(p->r->wires[LINE_MOUSE]);
    assert_int_equal(p->r->wire_edges[LINE_MOUSE], 2); /* each byte an edge of its own */
}

static void lines_are_gated_by_the_command_byte(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x00);
    data(p, 0xee);
    assert_false(p->r->wires[LINE_KBD]);
    set_mode(p, 0x01); /* enabled with the buffer full */
    assert_true(p->r->wires[LINE_KBD]);
    drain(p);
    to_mouse(p, 0xf2);
    assert_false(p->r->wires[LINE_MOUSE]);
    set_mode(p, 0x02);
    assert_true(p->r->wires[LINE_MOUSE]);
    drain(p);
}

static void keyboard_goes_before_mouse(void **state)
{
    struct ps2_rig *p = *state;
    to_mouse(p, 0xf4);
    drain(p);
    command(p, 0xad);
    command(p, 0xa7);
    key(p, 0x1e, true);
    move(p, 1, 2, 0, 0);
    command(p, 0xa8);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0x28); /* the mouse alone was on */
    set_mode(p, 0x03);
    command(p, 0x20);
    static const uint8_t bytes[] = { 0x01, 0x03, 0x1c, 0xfe }; /* full already, answer, keyboard, mouse */
    static const bool aux[] = { true, false, false, true };
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        assert_int_equal((status(p) & AUX) != 0, aux[i]);
        assert_int_equal(rig_in8(p->r, PORT_DATA), bytes[i]);
    }
    assert_int_equal(status(p) & FULL, 0);
}

static void bytes_can_be_put_into_the_buffer(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x43); /* no translation of what the host makes up */
    command(p, 0xd2);
    data(p, 0x1c);
    assert_true(p->r->wires[LINE_KBD]);
    EXPECT(p, 0x1c);
    /* What Linux does to find the mouse port, its line and a multiplexer, which isn't there. */
    static const uint8_t probes[] = { 0x5a, 0xa5, 0xf0, 0x56, 0xa4 };
    for (unsigned i = 0; i < sizeof(probes); i++) {
        command(p, 0xd3);
        data(p, probes[i]);
        assert_true(p->r->wires[LINE_MOUSE]);
        EXPECT_MOUSE(p, probes[i]);
    }
}

static void translation(void **state)
{
    struct ps2_rig *p = *state;
    tap(p, 0x1e);
    EXPECT(p, 0x1c, 0xf0, 0x1c);
    set_mode(p, 0x43);
    tap(p, 0x1e);
    EXPECT(p, 0x1e, 0x9e);
    tap(p, 0xe048);
    EXPECT(p, 0xe0, 0x48, 0xe0, 0xc8);
    tap(p, 0x41); /* F7 is 83 in set 2 */
    EXPECT(p, 0x41, 0xc1);
    data(p, 0xf2);
    EXPECT(p, 0xfa, 0xab, 0x41);
    data(p, 0xf0);
    data(p, 0x00);
    EXPECT(p, 0xfa, 0xfa, 0x41); /* set 2, translated */
}

/* Every set 1 code that a key can have goes through set 2 and the translation unharmed. */
static void translation_is_the_inverse_of_the_keyboard(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x43);
    unsigned codes = 0;
    for (unsigned code = 1; code < 0x80; code++) {
        tap(p, (uint16_t)code);
        if (!(status(p) & FULL))
            continue;
        EXPECT(p, (uint8_t)code, (uint8_t)(code | 0x80));
        if (code != 0x37) { /* Print Screen is more */
            tap(p, (uint16_t)(0xe000 | code));
            EXPECT(p, 0xe0, (uint8_t)code, 0xe0, (uint8_t)(code | 0x80));
        }
        codes++;
    }
    assert_int_equal(codes, 0x7f);
}

static void a20_is_a_bit(void **state)
{
    struct ps2_rig *p = *state;
    command(p, 0xdd);
    command(p, 0xd0);
    EXPECT(p, 0xcd);
    command(p, 0xdf);
    command(p, 0xd0);
    EXPECT(p, 0xcf);
    command(p, 0xd1);
    data(p, 0x01);
    command(p, 0xd0);
    EXPECT(p, 0x01);
    command(p, 0xd1);
    data(p, 0xff); /* the line bits are the buffer's */
    command(p, 0xd0);
    EXPECT(p, 0xcf);
    assert_int_equal(p->resets, 0);
}

/* Hypervisor contract 5.6: fe, a pulse with bit 0 clear, or the output port's bit 0. */
static void reset_requests(void **state)
{
    struct ps2_rig *p = *state;
    unsigned expected = 0;
    for (unsigned byte = 0xf0; byte <= 0xff; byte++) {
        command(p, (uint8_t)byte);
        expected += byte & 1 ? 0 : 1;
        assert_int_equal(p->resets, expected);
    }
    command(p, 0xd1);
    data(p, 0xde);
    assert_int_equal(p->resets, expected + 1);
}

static void unknown_commands_do_nothing(void **state)
{
    struct ps2_rig *p = *state;
    static const uint8_t bytes[] = { 0x00, 0x1f, 0x40, 0x5f, 0x80, 0xa0, 0xac, 0xaf, 0xc1, 0xd5, 0xe1, 0xef };
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        command(p, bytes[i]);
        assert_int_equal(status(p) & FULL, 0);
    }
    command(p, 0xd4);
    command(p, 0xae); /* ends the wait for the mouse's byte */
    data(p, 0xee);
    EXPECT(p, 0xee);
}

static void snapshot_is_complete(void **state)
{
    struct ps2_rig *p = *state;
    set_mode(p, 0x47);
    command(p, 0x65);
    data(p, 0x5a);
    to_mouse(p, 0xf4);
    drain(p);
    tap(p, 0xe048);
    move(p, 3, -4, 0, 1);
    move(p, 100, 0, 0, 1);
    command(p, 0xd0);
    command(p, 0xd4); /* the worst moment: all queues filled, an answer and a byte for the mouse to come */
    rig_save(p->r);
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    assert_true(p->r->wires[LINE_KBD]);
    static const uint8_t kbd[] = { 0xe0, 0xdf, 0x48, 0xe0, 0xc8 };
    for (unsigned i = 0; i < sizeof(kbd); i++) {
        assert_int_equal(status(p) & AUX, 0);
        assert_int_equal(rig_in8(p->r, PORT_DATA), kbd[i]);
    }
    EXPECT_MOUSE(p, 0x09, 0x03, 0x04, 0x09, 0x64, 0x00);
    command(p, 0x25);
    EXPECT(p, 0x5a);
}

static void snapshot_keeps_a_waiting_byte(void **state)
{
    struct ps2_rig *p = *state;
    command(p, 0xd4);
    rig_save(p->r);
    replug(p);
    assert_int_equal(rig_restore(p->r), 0);
    data(p, 0xf2);
    EXPECT_MOUSE(p, 0xfa, 0x00);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct ps2_rig *p = *state;
    static const struct poke pokes[] = { { "command", 0x01 },  { "command", 0x5f }, { "command", 0x80 },
                                         { "command", 0xd0 },  { "command", 0xd5 }, { "output_port", 0x10 },
                                         { "output_port", 32 }, { "full", 2 },      { "has_reply", 255 } };
    expect_refused(p, pokes, ARRAY_SIZE(pokes));
}

static void unplug_is_final(void **state)
{
    struct ps2_rig *p = *state;
    key(p, 0x1e, true);
    assert_true(p->r->wires[LINE_KBD]);
    p->r->dev->desc->unplug(p->r->dev);
    assert_false(p->r->wires[LINE_KBD]);
    assert_null(p->input.keyboard);
    assert_null(p->input.pointer);
    assert_int_equal(rig_in8(p->r, PORT_COMMAND), 0xff);
    assert_int_equal(rig_in8(p->r, PORT_DATA), 0xff);
    rig_run(p->r, 10 * NS_PER_S); /* no repeat */
    p->r->dev->desc->unplug(p->r->dev);
    assert_false(p->r->wires[LINE_KBD]);
}

static void unplug_leaves_another_pointer_alone(void **state)
{
    struct ps2_rig *p = *state;
    static const struct input_ops tablet = { 0 };
    p->input.pointer = &tablet;
    p->input.pointer_opaque = p;
    p->r->dev->desc->unplug(p->r->dev);
    assert_ptr_equal(p->input.pointer, &tablet);
}

static void ports_taken(void **state)
{
    struct ps2_rig *p = *state;
    struct input input = { 0 };
    struct device *other = NULL;
    struct i8042_config config = { .id = "x", .loop = &p->r->loop, .ports = &p->r->ports, .input = &input };
    assert_int_equal(i8042_create(&config, &other), -EEXIST);
    assert_null(other);
    assert_null(input.keyboard);
}

/* Known attack 95: every port at every size, before and after reset and unplug; 146: no bytes but those asked for. */
static void cve_2020_25742_every_port_every_size(void **state)
{
    struct ps2_rig *p = *state;
    for (unsigned round = 0; round < 3; round++) {
        for (uint16_t port = 0x5c; port < 0x6c; port++) {
            for (unsigned size = 1; size <= 8; size *= 2) {
                bus_write(&p->r->ports, port, size, UINT64_C(0xfedcba9876543210));
                assert_int_equal(bus_read(&p->r->ports, port, size) & ~all_ones(size), 0);
            }
        }
        if (round == 0)
            p->r->dev->desc->reset(p->r->dev);
        else
            p->r->dev->desc->unplug(p->r->dev);
    }
}

/* Known attack 124: bad accesses fill the log. */
static void xsa_180_log_stays_short(void **state)
{
    struct ps2_rig *p = *state;
    for (unsigned i = 0; i < 100000; i++)
        rig_out8(p->r, (uint16_t)(i % 3 ? PORT_DATA : PORT_COMMAND), (uint8_t)i);
    assert_true(p->r->log_lines < 100);
}

/* Known attack 147: every byte of a good stream flipped, and the stream cut at every byte. */
static void cve_2013_4148_damaged_snapshots(void **state)
{
    struct ps2_rig *p = *state;
    struct rig *r = p->r;
    to_mouse(p, 0xf4);
    tap(p, 0xe048);
    move(p, 3, -4, 0, 1);
    rig_save(r);
    for (size_t at = 0; at < r->saved.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            r->saved.data[at] ^= (uint8_t)(1u << bit);
            if (rig_restore(r))
                r->dev->desc->reset(r->dev); /* what was refused doesn't run */
            tap(p, 0x1e);
            move(p, 1000, -1000, 5, 3);
            for (unsigned i = 0; i < 50; i++)
                (void)rig_in8(r, PORT_DATA);
            data(p, 0xf2);
            to_mouse(p, 0xeb);
            r->saved.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    size_t len = r->saved.len;
    for (size_t at = 0; at < len; at++) {
        r->saved.len = at;
        assert_int_equal(rig_restore(r), -EINVAL);
    }
}

/* The status and the lines agree, whatever the guest does and the user types. */
static void random_accesses(void **state)
{
    struct ps2_rig *p = *state;
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t seed = round + 1;
        for (unsigned i = 0; i < 20000; i++) {
            uint32_t val = next_random(&seed);
            switch (next_random(&seed) % 8) {
            case 0: command(p, (uint8_t)val); break;
            case 1: data(p, (uint8_t)val); break;
            case 2: to_mouse(p, (uint8_t)val); break;
            case 3: data(p, (uint8_t)(0xe0 | val)); break;
            case 4: key(p, (uint16_t)(val % 3 ? val & 0xff : 0xe000 | (val & 0x1ff)), val & 0x1000); break;
            case 5: move(p, (int)(val % 8000) - 4000, (int)(val % 600) - 300, (int)(val % 32) - 16, val % 64); break;
            case 6:
                rig_run(p->r, val * UINT64_C(1000));
                if (val % 64 == 0) {
                    rig_save(p->r);
                    assert_int_equal(rig_restore(p->r), 0);
                }
                break;
            default: (void)rig_in8(p->r, PORT_DATA); break;
            }
            bool full = status(p) & FULL, aux = status(p) & AUX;
            assert_false(p->r->wires[LINE_KBD] && !(full && !aux));
            assert_false(p->r->wires[LINE_MOUSE] && !(full && aux));
        }
        p->r->dev->desc->reset(p->r->dev);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_after_reset),
        TEST(reset_undoes_everything),
        TEST(every_size),
        TEST(self_and_line_tests),
        TEST(status_tells_command_from_data_and_the_system_flag),
        TEST(memory_is_read_and_written),
        TEST(disable_bits_follow_commands),
        TEST(disabled_interfaces_keep_their_bytes),
        TEST(lines_follow_the_buffer),
        TEST(lines_are_gated_by_the_command_byte),
        TEST(keyboard_goes_before_mouse),
        TEST(bytes_can_be_put_into_the_buffer),
        TEST(translation),
        TEST(translation_is_the_inverse_of_the_keyboard),
        TEST(a20_is_a_bit),
        TEST(reset_requests),
        TEST(unknown_commands_do_nothing),
        TEST(snapshot_is_complete),
        TEST(snapshot_keeps_a_waiting_byte),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(unplug_leaves_another_pointer_alone),
        TEST(ports_taken),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(xsa_180_log_stays_short),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
