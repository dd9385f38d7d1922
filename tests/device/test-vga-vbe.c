/* The Bochs display interface: one function per rule of its registers. */
#include "vga-rig.h"

static void registers_after_reset(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in16(r, 0x1ce), 0);
    for (uint16_t i = 0; i < 0x20; i++)
        assert_int_equal(get_vbe(r, i), i == ID ? 0xb0c5 : i == MEMORY_64K ? VGA_VRAM_BYTES >> 16 : 0);
}

/* 16 bits, at their own ports only: index, data at 1cf and 1d0. */
static void port_widths(void **state)
{
    struct rig *r = *state;
    rig_out16(r, 0x1ce, MEMORY_64K);
    assert_int_equal(rig_in16(r, 0x1ce), MEMORY_64K);
    assert_int_equal(rig_in16(r, 0x1cf), 16);
    assert_int_equal(rig_in16(r, 0x1d0), 16);
    assert_int_equal(rig_in16(r, 0x1d1), 0xffff);
    for (uint16_t port = 0x1ce; port <= 0x1d1; port++) {
        assert_int_equal(rig_in8(r, port), 0xff);
        assert_int_equal(rig_in32(r, port), 0xffffffff);
    }
    rig_out8(r, 0x1ce, XRES);
    rig_out32(r, 0x1ce, XRES);
    assert_int_equal(rig_in16(r, 0x1ce), MEMORY_64K);
    rig_out16(r, 0x1ce, XRES);
    rig_out16(r, 0x1cf, 800);
    assert_int_equal(rig_in16(r, 0x1d0), 800);
    rig_out8(r, 0x1d0, 1);
    assert_int_equal(rig_in16(r, 0x1d0), 800);
}

static void id_is_negotiated(void **state)
{
    struct rig *r = *state;
    for (uint16_t id = 0xb0c0; id <= 0xb0c5; id++) {
        set_vbe(r, ID, id);
        assert_int_equal(get_vbe(r, ID), id);
    }
    set_vbe(r, ID, 0xb0bf);
    set_vbe(r, ID, 0xb0c6);
    set_vbe(r, ID, 0);
    assert_int_equal(get_vbe(r, ID), 0xb0c5);
}

static void capabilities(void **state)
{
    struct rig *r = *state;
    set_vbe(r, XRES, 640);
    set_vbe(r, ENABLE, GETCAPS);
    assert_int_equal(get_vbe(r, XRES), 16000);
    assert_int_equal(get_vbe(r, YRES), 12000);
    assert_int_equal(get_vbe(r, BPP), 32);
    set_vbe(r, ENABLE, 0);
    assert_int_equal(get_vbe(r, XRES), 640);
}

/* Any order of writes is possible: nothing is settled before the mode goes on. */
static void registers_are_raw_while_off(void **state)
{
    struct rig *r = *state;
    static const uint16_t regs[] = { XRES, YRES, BPP, VIRT_WIDTH, X_OFFSET, Y_OFFSET };
    for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
        set_vbe(r, regs[i], 0xffff);
        assert_int_equal(get_vbe(r, regs[i]), 0xffff);
    }
    set_vbe(r, VIRT_HEIGHT, 5);
    set_vbe(r, MEMORY_64K, 5);
    assert_int_equal(get_vbe(r, VIRT_HEIGHT), 0);
    assert_int_equal(get_vbe(r, MEMORY_64K), 16);
}

static void enable_sets_up_the_screen(void **state)
{
    struct rig *r = *state;
    set_vbe(r, X_OFFSET, 8);
    set_vbe(r, Y_OFFSET, 8);
    set_vbe(r, VIRT_WIDTH, 1000);
    vbe_mode(r, 640, 400, 16, LFB);
    assert_int_equal(get_vbe(r, ENABLE), ENABLED | LFB);
    assert_int_equal(get_vbe(r, VIRT_WIDTH), 640);
    assert_int_equal(get_vbe(r, VIRT_HEIGHT), VGA_VRAM_BYTES / 1280);
    assert_int_equal(get_vbe(r, X_OFFSET), 0);
    assert_int_equal(get_vbe(r, Y_OFFSET), 0);
}

static void enable_clears_what_is_shown(void **state)
{
    struct rig *r = *state;
    memset(r->vram, 0x55, VGA_VRAM_BYTES);
    vbe_mode(r, 640, 400, 8, NOCLEAR);
    assert_int_equal(r->vram[0], 0x55);
    vbe_mode(r, 640, 400, 8, 0);
    assert_int_equal(r->vram[0], 0);
    assert_int_equal(r->vram[640 * 400 - 1], 0);
    assert_int_equal(r->vram[640 * 400], 0x55);
    r->vram[0] = 1;
    set_vbe(r, ENABLE, ENABLED | LFB); /* it is on already */
    assert_int_equal(r->vram[0], 1);
}

static void clear_ends_with_vram(void **state)
{
    struct rig *r = *state;
    memset(r->vram, 0x55, VGA_VRAM_BYTES);
    vbe_mode(r, 0xffff, 0xffff, 32, 0);
    assert_int_equal(get_vbe(r, YRES), VGA_VRAM_BYTES / 64000);
    assert_int_equal(r->vram[0], 0);
}

static void odd_values_are_settled(void **state)
{
    struct rig *r = *state;
    vbe_mode(r, 645, 0, 9, 0);
    assert_int_equal(get_vbe(r, XRES), 640);
    assert_int_equal(get_vbe(r, YRES), 1);
    assert_int_equal(get_vbe(r, BPP), 8);
    set_vbe(r, VIRT_WIDTH, 100); /* less than shown */
    assert_int_equal(get_vbe(r, VIRT_WIDTH), 640);
    set_vbe(r, VIRT_WIDTH, 1029);
    assert_int_equal(get_vbe(r, VIRT_WIDTH), 1024);
    assert_int_equal(get_vbe(r, VIRT_HEIGHT), 1024);
    vbe_mode(r, 0, 0, 0, 0);
    assert_int_equal(get_vbe(r, XRES), 8);
    assert_int_equal(get_vbe(r, BPP), 8);
}

static void scrolling_stays_in_vram(void **state)
{
    struct rig *r = *state;
    vbe_mode(r, 640, 400, 8, 0);
    set_vbe(r, Y_OFFSET, 1238); /* 1638 lines fit */
    assert_int_equal(get_vbe(r, Y_OFFSET), 1238);
    set_vbe(r, Y_OFFSET, 1239);
    assert_int_equal(get_vbe(r, Y_OFFSET), 0);
    set_vbe(r, X_OFFSET, 0xffff);
    assert_int_equal(get_vbe(r, X_OFFSET), 16000);
    set_vbe(r, Y_OFFSET, 1238); /* together too far: the lines give way */
    assert_int_equal(get_vbe(r, Y_OFFSET), 0);
    assert_mode_in_vram(r);
}

/* Guests that look at VGA registers in a VBE mode find the values that stock device models put there. */
static void vga_registers_follow(void **state)
{
    struct rig *r = *state;
    for (uint8_t i = 0; i < 0x19; i++)
        set(r, CR, i, 0xff);
    for (uint8_t i = 0; i < 9; i++)
        set(r, GR, i, 0xff);
    vbe_mode(r, 640, 480, 8, 0);
    static const struct {
        uint16_t port;
        uint8_t index, val;
    } expected[] = { { CR, 0x01, 0x4f }, { CR, 0x07, 0xbf }, { CR, 0x09, 0x60 }, { CR, 0x11, 0xff }, { CR, 0x12, 0xdf },
                     { CR, 0x13, 0x50 }, { CR, 0x17, 0xff }, { CR, 0x18, 0xff }, { GR, 5, 0x5b },    { GR, 6, 0x07 },
                     { SR, 2, 0x00 },    { SR, 4, 0x00 },    { CR, 0x00, 0xff }, { CR, 0x0c, 0xff } };
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(get(r, expected[i].port, expected[i].index), expected[i].val);
    set(r, CR, 0x13, 0x11);
    assert_int_equal(get(r, CR, 0x13), 0x50);
    set(r, GR, 6, 0x00);
    assert_int_equal(get(r, GR, 6), 0x05);
    set_vbe(r, BPP, 4);
    assert_int_equal(get(r, GR, 5), 0x1b);
    assert_int_equal(get(r, CR, 0x13), 0x28);
    set_vbe(r, ENABLE, 0);
    set(r, CR, 0x13, 0x11);
    assert_int_equal(get(r, CR, 0x13), 0x11);
}

/* CVE-2014-3615: no order of extreme values lets the screen leave video memory. */
static void cve_2014_3615_extremes_in_every_order(void **state)
{
    struct rig *r = *state;
    static const uint16_t regs[] = { XRES, YRES, BPP, VIRT_WIDTH, X_OFFSET, Y_OFFSET };
    static const uint16_t values[] = { 0xffff, 0x8000, 32, 1, 0 };
    for (unsigned first = 0; first < ARRAY_SIZE(regs); first++) {
        for (unsigned step = 1; step < ARRAY_SIZE(regs); step += 4) { /* 1 and 5: both ways round */
            for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
                vbe_mode(r, 320, 200, 8, NOCLEAR);
                for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
                    set_vbe(r, regs[(first + i * step) % ARRAY_SIZE(regs)], values[v]);
                    assert_mode_in_vram(r);
                }
                set_vbe(r, Y_OFFSET, 0xffff);
                assert_mode_in_vram(r);
                set_vbe(r, ENABLE, 0);
                set_vbe(r, ENABLE, ENABLED);
                assert_mode_in_vram(r);
            }
        }
    }
}

/* CVE-2016-3712: VGA registers behind an active VBE mode have no say. */
static void cve_2016_3712_vga_registers_behind_vbe(void **state)
{
    struct rig *r = *state;
    struct vga_mode before, after;
    uint32_t seed = 3712;
    vbe_mode(r, 640, 400, 16, NOCLEAR);
    set_vbe(r, Y_OFFSET, 100);
    get_mode(r, &before);
    for (unsigned i = 0; i < 5000; i++) {
        uint16_t port = (const uint16_t[]){ CR, SR, GR }[next_random(&seed) % 3];
        set(r, port, (uint8_t)(next_random(&seed) % 0x1a), (uint8_t)next_random(&seed));
        set_ar(r, (uint8_t)(next_random(&seed) % 0x15), (uint8_t)next_random(&seed));
        get_mode(r, &after);
        assert_same_mode(&before, &after);
        rig_mmio_write(r, 0xa0000 + next_random(&seed) % 0x20000, 8, UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers_after_reset, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(port_widths, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(id_is_negotiated, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(capabilities, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(registers_are_raw_while_off, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(enable_sets_up_the_screen, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(enable_clears_what_is_shown, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(clear_ends_with_vram, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(odd_values_are_settled, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(scrolling_stays_in_vram, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(vga_registers_follow, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2014_3615_extremes_in_every_order, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2016_3712_vga_registers_behind_vbe, vga_plug_in, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
