/* VGA registers at ports 3b4-3da: one function per register group of the IBM PS/2 Video Subsystem description. */
#include "vga-rig.h"

static void registers_after_reset(void **state)
{
    struct rig *r = *state;
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in8(r, 0x3cc), 0);
    assert_int_equal(rig_in8(r, 0x3ca), 0);
    assert_int_equal(rig_in8(r, 0x3c2), 0);
    assert_int_equal(rig_in8(r, 0x3b4), 0); /* monochrome half */
    assert_int_equal(rig_in8(r, 0x3d4), 0xff);
    rig_out8(r, 0x3c2, 0x01);
    for (uint8_t i = 0; i < 0x19; i++)
        assert_int_equal(get(r, CR, i), 0);
    for (uint8_t i = 0; i < 8; i++)
        assert_int_equal(get(r, SR, i), 0);
    for (uint8_t i = 0; i < 9; i++)
        assert_int_equal(get(r, GR, i), 0);
    for (uint8_t i = 0; i < 0x15; i++)
        assert_int_equal(get_ar(r, i), 0);
    assert_int_equal(rig_in8(r, 0x3c6), 0xff);
    assert_int_equal(rig_in8(r, 0x3c7), 0);
    for (unsigned i = 0; i < 768; i++)
        assert_int_equal(rig_in8(r, 0x3c9), 0);
}

/* Bits that don't exist read 0; neither do registers. */
static void register_masks(void **state)
{
    struct rig *r = *state;
    static const uint8_t seq[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
    static const uint8_t gfx[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
    for (uint8_t i = 0; i < 8; i++) {
        set(r, SR, i, 0xff);
        assert_int_equal(get(r, SR, i), seq[i]);
    }
    for (uint8_t i = 0; i < 16; i++) {
        set(r, GR, i, 0xff);
        assert_int_equal(get(r, GR, i), gfx[i]);
    }
    for (uint8_t i = 0; i < 0x20; i++) {
        set_ar(r, i, 0xff);
        assert_int_equal(get_ar(r, i), i < 0x10 ? 0x3f : i < 0x15 ? "\xef\xff\x3f\x0f\x0f"[i - 0x10] & 0xff : 0);
    }
    for (unsigned i = 0; i < 256; i++) {
        set(r, CR, (uint8_t)i, 0x5a);
        assert_int_equal(get(r, CR, (uint8_t)i), i < 0x19 ? 0x5a : 0);
    }
    rig_out8(r, 0x3c2, 0xff);
    assert_int_equal(rig_in8(r, 0x3cc), 0xef);
    rig_out8(r, STATUS, 0xff);
    assert_int_equal(rig_in8(r, 0x3ca), 0x10);
}

static void indices_are_read_back(void **state)
{
    struct rig *r = *state;
    rig_out8(r, SR, 0xff);
    rig_out8(r, GR, 0xff);
    rig_out8(r, CR, 0xff);
    assert_int_equal(rig_in8(r, SR), 0x07);
    assert_int_equal(rig_in8(r, GR), 0x0f);
    assert_int_equal(rig_in8(r, CR), 0xff);
    assert_int_equal(rig_in8(r, 0x3c3), 0);
    assert_int_equal(rig_in8(r, 0x3cb), 0);
    assert_int_equal(rig_in8(r, 0x3cd), 0);
}

static void color_bit_moves_the_crtc(void **state)
{
    struct rig *r = *state;
    set(r, CR, 0x0c, 0x12);
    assert_int_equal(rig_in8(r, 0x3b4), 0xff);
    assert_int_equal(rig_in8(r, 0x3b5), 0xff);
    assert_int_equal(rig_in8(r, 0x3ba), 0xff);
    rig_out8(r, 0x3c2, 0x00);
    assert_int_equal(rig_in8(r, CR), 0xff);
    assert_int_equal(rig_in8(r, STATUS), 0xff);
    rig_out8(r, CR, 0x0d); /* nobody there */
    assert_int_equal(rig_in8(r, 0x3b4), 0x0c);
    assert_int_equal(rig_in8(r, 0x3b5), 0x12);
    rig_out8(r, 0x3ba, 0x10); /* feature control moves along */
    assert_int_equal(rig_in8(r, 0x3ca), 0x10);
}

/* [IBM "Vertical Retrace End"] bit 7 locks registers 0 to 7, but for line compare bit 8. */
static void protect_bit(void **state)
{
    struct rig *r = *state;
    for (uint8_t i = 0; i < 8; i++)
        set(r, CR, i, 0xff);
    set(r, CR, 0x11, 0x80);
    for (uint8_t i = 0; i < 8; i++) {
        set(r, CR, i, 0x00);
        assert_int_equal(get(r, CR, i), i == 7 ? 0xef : 0xff);
    }
    set(r, CR, 0x08, 0x11);
    assert_int_equal(get(r, CR, 0x08), 0x11);
    set(r, CR, 0x11, 0x00);
    set(r, CR, 0x00, 0x22);
    assert_int_equal(get(r, CR, 0x00), 0x22);
}

static void attribute_flip_flop(void **state)
{
    struct rig *r = *state;
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, 0x01);
    rig_out8(r, 0x3c0, 0x2a);
    rig_out8(r, 0x3c0, 0x02);
    rig_out8(r, 0x3c0, 0x15);
    assert_int_equal(get_ar(r, 1), 0x2a);
    assert_int_equal(get_ar(r, 2), 0x15);
    rig_out8(r, 0x3c0, 0x21);
    (void)rig_in8(r, STATUS); /* back to the index */
    rig_out8(r, 0x3c0, 0x32);
    assert_int_equal(rig_in8(r, 0x3c0), 0x32);
    assert_int_equal(get_ar(r, 1), 0x2a);
}

/* 16-bit writes set index and data at once, as most drivers do. */
static void words_are_split(void **state)
{
    struct rig *r = *state;
    rig_out16(r, SR, 0x0f02);
    rig_out16(r, GR, 0x5508);
    rig_out16(r, CR, 0x660c);
    assert_int_equal(rig_in16(r, SR), 0x0f02);
    assert_int_equal(rig_in16(r, GR), 0x5508);
    assert_int_equal(rig_in16(r, CR), 0x660c);
    assert_int_equal(rig_in32(r, 0x3cc) >> 16, 0x5508);
}

static void dac_counts_by_thirds(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x3c8, 254);
    for (uint8_t i = 0; i < 9; i++)
        rig_out8(r, 0x3c9, (uint8_t)(i + 1));
    assert_int_equal(rig_in8(r, 0x3c8), 1); /* wrapped */
    assert_int_equal(rig_in8(r, 0x3c7), 0); /* writing */
    rig_out8(r, 0x3c7, 255);
    assert_int_equal(rig_in8(r, 0x3c7), 3); /* reading */
    for (uint8_t i = 3; i < 9; i++)
        assert_int_equal(rig_in8(r, 0x3c9), i + 1);
}

/* A half-written colour isn't there yet, and a new index forgets it. */
static void dac_takes_whole_colours(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x3c8, 9);
    rig_out8(r, 0x3c9, 0x11);
    rig_out8(r, 0x3c9, 0x12);
    assert_int_equal(rig_in8(r, 0x3c8), 9);
    rig_out8(r, 0x3c8, 10);
    rig_out8(r, 0x3c9, 0x21);
    rig_out8(r, 0x3c9, 0x22);
    rig_out8(r, 0x3c9, 0x23);
    rig_out8(r, 0x3c7, 9);
    static const uint8_t expected[6] = { 0, 0, 0, 0x21, 0x22, 0x23 };
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rig_in8(r, 0x3c9), expected[i]);
    rig_out8(r, 0x3c6, 0x0f);
    assert_int_equal(rig_in8(r, 0x3c6), 0x0f);
}

static void dac_width(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x3c8, 0);
    for (unsigned i = 0; i < 3; i++)
        rig_out8(r, 0x3c9, 0xff);
    rig_out8(r, 0x3c7, 0);
    assert_int_equal(rig_in8(r, 0x3c9), 0x3f);
    vbe_mode(r, 320, 200, 8, DAC8);
    assert_int_equal(rig_in8(r, 0x3c9), 0xff);
    set_vbe(r, ENABLE, 0);
    assert_int_equal(rig_in8(r, 0x3c9), 0x3f);
}

/* How often the bits of mask come on within ns, looked at each step. */
static unsigned rises(struct rig *r, uint8_t mask, uint64_t ns, uint64_t step)
{
    unsigned n = 0;
    bool was = rig_in8(r, STATUS) & mask;
    for (uint64_t at = 0; at < ns; at += step) {
        rig_run(r, step);
        bool is = rig_in8(r, STATUS) & mask;
        n += is && !was;
        was = is;
    }
    return n;
}

/* [IBM "Input Status 1"] 70 Hz in text modes, 60 Hz in mode 12h and while nothing is programmed. */
static void retrace_follows_the_clock(void **state)
{
    struct rig *r = *state;
    assert_in_range(rises(r, 0x08, NS_PER_S, 100000), 59, 61);
    legacy_mode(r, &vga_mode_03);
    assert_in_range(rises(r, 0x08, NS_PER_S, 100000), 69, 71);
    legacy_mode(r, &vga_mode_12);
    assert_in_range(rises(r, 0x08, NS_PER_S, 100000), 59, 61);
    assert_in_range(rises(r, 0x01, NS_PER_S / 100, 1000), 200, 320); /* 31.5 kHz while lines are shown */
    assert_int_equal(rig_in8(r, STATUS) & 0xf6, 0);
    vbe_mode(r, 320, 200, 8, 0);
    assert_in_range(rises(r, 0x08, NS_PER_S, 100000), 59, 61);
    assert_null(r->loop.timers); /* nothing ticks for it */
}

/* Time stands still: whatever is programmed, a poll ends and divides by nothing that is 0. */
static void any_timing_can_be_polled(void **state)
{
    struct rig *r = *state;
    uint32_t seed = 7;
    for (unsigned i = 0; i < 3000; i++) {
        set(r, CR, (uint8_t)(next_random(&seed) % 0x19), (uint8_t)next_random(&seed));
        set(r, SR, 1, (uint8_t)next_random(&seed));
        rig_out8(r, 0x3c2, (uint8_t)next_random(&seed) | 1);
        rig_run(r, next_random(&seed) % 100000);
        assert_int_equal(rig_in8(r, STATUS) & 0xf6, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers_after_reset, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(register_masks, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(indices_are_read_back, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(color_bit_moves_the_crtc, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(protect_bit, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(attribute_flip_flop, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(words_are_split, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(dac_counts_by_thirds, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(dac_takes_whole_colours, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(dac_width, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(retrace_follows_the_clock, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(any_timing_can_be_polled, vga_plug_in, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
