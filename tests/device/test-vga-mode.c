/* What the registers say is on the screen. */
#include "vga-rig.h"

static struct vga_mode mode_of(struct rig *r)
{
    struct vga_mode mode;
    get_mode(r, &mode);
    return mode;
}

static void blank_without_a_mode(void **state)
{
    struct rig *r = *state;
    assert_int_equal(mode_of(r).kind, VGA_MODE_BLANK);
    set_ar(r, 0x10, 0x01); /* screen on, nothing programmed */
    assert_int_equal(mode_of(r).kind, VGA_MODE_BLANK);
    assert_int_equal(mode_of(r).width, 0);
}

static void text(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_03);
    struct vga_mode mode = mode_of(r);
    assert_int_equal(mode.kind, VGA_MODE_TEXT);
    assert_int_equal(mode.width, 720);
    assert_int_equal(mode.height, 400);
    assert_int_equal(mode.cell_width, 9);
    assert_int_equal(mode.cell_height, 16);
    assert_int_equal(mode.scale_x, 1);
    assert_int_equal(mode.scale_y, 1);
    assert_int_equal(mode.start, 0);
    assert_int_equal(mode.line_bytes, 320);
    assert_int_equal(mode.split, UINT32_MAX);
    assert_int_equal(mode.pan_x, 0);
    set(r, SR, 1, 0x01);
    set_ar(r, 0x13, 0x00);
    assert_int_equal(mode_of(r).width, 640);
    assert_int_equal(mode_of(r).pan_x, 0);
    set(r, CR, 0x0c, 0x01); /* second page, 40 lines on */
    set(r, CR, 0x0d, 0x40);
    assert_int_equal(mode_of(r).start, 0x140 * 4);
}

static void planar(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_12);
    struct vga_mode mode = mode_of(r);
    assert_int_equal(mode.kind, VGA_MODE_PLANAR);
    assert_int_equal(mode.bpp, 4);
    assert_int_equal(mode.width, 640);
    assert_int_equal(mode.height, 480);
    assert_int_equal(mode.scale_x, 1);
    assert_int_equal(mode.scale_y, 1);
    assert_int_equal(mode.line_bytes, 320);
    assert_int_equal(mode.bank_lines, 1);
    set_ar(r, 0x13, 3);
    assert_int_equal(mode_of(r).pan_x, 3);
}

static void palette(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_13);
    struct vga_mode mode = mode_of(r);
    assert_int_equal(mode.kind, VGA_MODE_PALETTE);
    assert_int_equal(mode.bpp, 8);
    assert_int_equal(mode.width, 320);
    assert_int_equal(mode.height, 200);
    assert_int_equal(mode.scale_x, 2);
    assert_int_equal(mode.scale_y, 2);
    assert_int_equal(mode.line_bytes, 320);
    assert_false(mode.palette_8bit);
}

static void cga(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_04);
    struct vga_mode mode = mode_of(r);
    assert_int_equal(mode.kind, VGA_MODE_CGA);
    assert_int_equal(mode.bpp, 2);
    assert_int_equal(mode.width, 320);
    assert_int_equal(mode.height, 200);
    assert_int_equal(mode.scale_x, 2);
    assert_int_equal(mode.scale_y, 2);
    assert_int_equal(mode.bank_lines, 2);
    assert_int_equal(mode.line_bytes, 160);
}

static void split_screen(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_13);
    set(r, CR, 0x18, 199); /* bits 8 and 9 are set by the mode */
    set(r, CR, 0x07, 0x0f);
    set(r, CR, 0x09, 0x01);
    assert_int_equal(mode_of(r).split, 100);
    set(r, CR, 0x18, 0xff);
    set(r, CR, 0x07, 0x1f);
    assert_int_equal(mode_of(r).split, UINT32_MAX);
}

static void screen_off(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_03);
    set(r, SR, 1, 0x20);
    assert_int_equal(mode_of(r).kind, VGA_MODE_BLANK);
    set(r, SR, 1, 0x00);
    assert_int_equal(mode_of(r).kind, VGA_MODE_TEXT);
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, 0x00);
    assert_int_equal(mode_of(r).kind, VGA_MODE_BLANK);
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, 0x20);
    assert_int_equal(mode_of(r).kind, VGA_MODE_TEXT);
}

static void vbe(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint16_t bpp, kind, bytes_8;
    } depths[] = { { 4, VGA_MODE_PLANAR, 4 },  { 8, VGA_MODE_PALETTE, 8 }, { 15, VGA_MODE_DIRECT, 16 },
                   { 16, VGA_MODE_DIRECT, 16 }, { 24, VGA_MODE_DIRECT, 24 }, { 32, VGA_MODE_DIRECT, 32 } };
    for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
        vbe_mode(r, 400, 300, depths[i].bpp, DAC8);
        set_vbe(r, VIRT_WIDTH, 480);
        set_vbe(r, X_OFFSET, 19);
        set_vbe(r, Y_OFFSET, 7);
        struct vga_mode mode = mode_of(r);
        assert_true(mode.vbe);
        assert_int_equal(mode.kind, depths[i].kind);
        assert_int_equal(mode.bpp, depths[i].bpp);
        assert_int_equal(mode.width, 400);
        assert_int_equal(mode.height, 300);
        assert_int_equal(mode.line_bytes, 480 / 8 * depths[i].bytes_8);
        uint32_t x = depths[i].bpp == 4 ? 8u : 19u * depths[i].bytes_8 / 8;
        assert_int_equal(mode.start, x + 7 * mode.line_bytes);
        assert_int_equal(mode.pan_x, depths[i].bpp == 4 ? 3 : 0);
        assert_true(mode.palette_8bit);
        assert_mode_in_vram(r);
    }
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, 0x00);
    assert_int_equal(mode_of(r).kind, VGA_MODE_BLANK);
}

/* The worst combinations of one legacy mode; what is drawn of them comes with the drawing. */
static void worst_case(struct rig *r, const struct vga_regs *regs)
{
    legacy_mode(r, regs);
    set(r, CR, 0x11, 0x00);
    set(r, CR, 0x0c, 0xff);
    set(r, CR, 0x0d, 0xff);
    set(r, CR, 0x13, 0xff);
    set(r, CR, 0x12, 0xff);
    set(r, CR, 0x07, 0x42);
    for (unsigned max_scan = 0; max_scan < 256; max_scan++) {
        set(r, CR, 0x09, (uint8_t)max_scan);
        for (unsigned compare = 0; compare < 256; compare += 51) {
            set(r, CR, 0x18, (uint8_t)compare);
            set(r, CR, 0x17, (uint8_t)(compare + max_scan));
            set(r, CR, 0x01, (uint8_t)(255 - compare));
            set(r, CR, 0x08, (uint8_t)max_scan);
            assert_mode_in_vram(r);
        }
    }
}

static void cve_2017_13672_split_behind_the_end(void **state)
{
    worst_case(*state, &vga_mode_13);
    worst_case(*state, &vga_mode_12);
}

static void cve_2018_5683_text_rows_behind_the_end(void **state)
{
    worst_case(*state, &vga_mode_03);
    struct rig *r = *state;
    struct vga_mode mode;
    set(r, CR, 0x09, 0);
    set(r, CR, 0x01, 0x4f);
    set(r, CR, 0x08, 0);
    get_mode(r, &mode);
    assert_int_equal(mode.cell_height, 1);
    assert_int_equal(mode.start, 0x3fffc);
    assert_int_equal(mode.wrap_bytes, 0x40000);
}

static void cve_2018_7858_start_and_double_scan(void **state)
{
    worst_case(*state, &vga_mode_04);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blank_without_a_mode, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(text, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(planar, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(palette, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cga, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(split_screen, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(screen_off, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(vbe, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2017_13672_split_behind_the_end, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2018_5683_text_rows_behind_the_end, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2018_7858_start_and_double_scan, vga_plug_in, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
