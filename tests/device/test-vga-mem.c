/* The window a0000-bffff: one function per mode of the graphics controller and the sequencer. */
#include "vga-rig.h"

enum { MAP_128K = 0x00, MAP_A0000 = 0x04, MAP_B0000 = 0x08, MAP_B8000 = 0x0c };

/* Planar, write mode 0, everything open: as in mode 12h. */
static int planar(void **state)
{
    int err = vga_plug_in(state);
    if (!err)
        legacy_mode(*state, &vga_mode_12);
    return err;
}

static uint8_t peek(struct rig *r, uint64_t off)
{
    return (uint8_t)rig_mmio_read(r, VGA_WINDOW_AT + off, 1);
}

static void poke(struct rig *r, uint64_t off, uint8_t val)
{
    rig_mmio_write(r, VGA_WINDOW_AT + off, 1, val);
}

/* The four planes at plane offset n. */
static uint32_t planes(struct rig *r, uint32_t n)
{
    return le32_get(r->vram + (size_t)4 * n);
}

static void memory_map_select(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint8_t gr6;
        uint32_t first, end;
    } maps[] = { { MAP_128K, 0, 0x20000 }, { MAP_A0000, 0, 0x10000 },
                 { MAP_B0000, 0x10000, 0x18000 }, { MAP_B8000, 0x18000, 0x20000 } };
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
        set(r, GR, 6, maps[i].gr6);
        for (uint32_t off = 0; off < 0x20000; off += 0x7ff) {
            bool there = off >= maps[i].first && off < maps[i].end;
            poke(r, off, (uint8_t)(i + 1));
            assert_int_equal(peek(r, off), there ? i + 1 : 0xff);
            if (there)
                assert_int_equal(planes(r, off - maps[i].first), (i + 1) * 0x01010101);
        }
    }
}

static void unmapped_parts_read_ones(void **state)
{
    struct rig *r = *state;
    for (unsigned size = 1; size <= 8; size *= 2)
        assert_int_equal(rig_mmio_read(r, 0xb8000, size), all_ones(size));
    assert_int_equal(rig_mmio_read(r, 0xafffc, 8), 0xffffffff00000000); /* half in */
    rig_mmio_write(r, 0xafffe, 4, 0x44332211);
    assert_int_equal(rig_mmio_read(r, 0xafffc, 8), 0xffffffff22110000);
}

static void map_mask_selects_planes(void **state)
{
    struct rig *r = *state;
    for (uint8_t mask = 0; mask < 16; mask++) {
        r->vram[400] = r->vram[401] = r->vram[402] = r->vram[403] = 0xee;
        set(r, SR, 2, mask);
        poke(r, 100, 0x55);
        for (unsigned plane = 0; plane < 4; plane++)
            assert_int_equal(r->vram[400 + plane], mask & 1u << plane ? 0x55 : 0xee);
    }
}

static void read_map_select(void **state)
{
    struct rig *r = *state;
    le32_put(r->vram + 40, 0x44332211);
    for (uint8_t plane = 0; plane < 4; plane++) {
        set(r, GR, 4, plane);
        assert_int_equal(peek(r, 10), 0x11 * (plane + 1));
    }
}

static void write_mode_0_set_reset(void **state)
{
    struct rig *r = *state;
    set(r, GR, 0, 0x05); /* planes 0 and 2 */
    set(r, GR, 1, 0x03); /* of 0 and 1 */
    poke(r, 3, 0x81);
    assert_int_equal(planes(r, 3), 0x818100ff);
}

static void write_mode_0_rotates(void **state)
{
    struct rig *r = *state;
    for (uint8_t count = 0; count < 8; count++) {
        set(r, GR, 3, count);
        poke(r, 0, 0x43);
        assert_int_equal(r->vram[0], (uint8_t)(0x4343 >> count));
    }
}

static void write_mode_0_logic(void **state)
{
    struct rig *r = *state;
    for (uint8_t func = 0; func < 4; func++) {
        le32_put(r->vram, 0xfff00f00);
        (void)peek(r, 0); /* into the latches */
        set(r, GR, 3, (uint8_t)(func << 3));
        poke(r, 0, 0x3c);
        static const uint32_t expected[4] = { 0x3c3c3c3c, 0x3c300c00, 0xfffc3f3c, 0xc3cc333c };
        assert_int_equal(planes(r, 0), expected[func]);
    }
}

static void bit_mask_takes_the_rest_from_the_latches(void **state)
{
    struct rig *r = *state;
    le32_put(r->vram + 4, 0x12345678);
    le32_put(r->vram + 8, 0);
    (void)peek(r, 1);
    set(r, GR, 8, 0x0f);
    poke(r, 2, 0xff); /* elsewhere: the latches are 1's */
    assert_int_equal(planes(r, 2), 0x1f3f5f7f);
}

static void write_mode_1_copies_latches(void **state)
{
    struct rig *r = *state;
    le32_put(r->vram + 4, 0x12345678);
    (void)peek(r, 1);
    set(r, GR, 5, 0x01);
    set(r, GR, 8, 0x00); /* plays no part, nor does logic */
    set(r, GR, 3, 0x18);
    set(r, SR, 2, 0x0b);
    poke(r, 9, 0xff);
    assert_int_equal(planes(r, 9), 0x12005678);
}

static void write_mode_2_is_a_colour(void **state)
{
    struct rig *r = *state;
    set(r, GR, 5, 0x02);
    set(r, GR, 8, 0xf0);
    poke(r, 0, 0xf9); /* planes 0 and 3 */
    assert_int_equal(planes(r, 0), 0xf00000f0);
}

static void write_mode_3_masks_with_data(void **state)
{
    struct rig *r = *state;
    set(r, GR, 5, 0x03);
    set(r, GR, 0, 0x06);
    set(r, GR, 1, 0x00); /* set/reset counts without being enabled */
    set(r, GR, 3, 0x04);
    set(r, GR, 8, 0x3f);
    le32_put(r->vram, 0xffffffff);
    (void)peek(r, 0);
    poke(r, 0, 0xf1); /* rotated 1f, with the mask 1f */
    assert_int_equal(planes(r, 0), 0xe0ffffe0);
}

static void read_mode_1_compares_colours(void **state)
{
    struct rig *r = *state;
    le32_put(r->vram, 0x0f00ff33); /* pixels from bit 7: 2 2 3 3 | a a b b */
    set(r, GR, 5, 0x08);
    set(r, GR, 2, 0x0b);
    set(r, GR, 7, 0x0f);
    assert_int_equal(peek(r, 0), 0x03);
    set(r, GR, 7, 0x0b & ~0x08); /* plane 3 doesn't matter */
    assert_int_equal(peek(r, 0), 0x33);
    set(r, GR, 7, 0x00);
    assert_int_equal(peek(r, 0), 0xff);
}

/* Character and attribute side by side in planes 0 and 1. */
static void odd_even_text(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_03);
    rig_mmio_write(r, 0xb8000, 2, 0x0741);
    rig_mmio_write(r, 0xb8002, 4, 0x1f431e42);
    assert_int_equal(planes(r, 0), 0x0741);
    assert_int_equal(planes(r, 1), 0x1e42);
    assert_int_equal(planes(r, 2), 0x1f43);
    assert_int_equal(rig_mmio_read(r, 0xb8000, 4), 0x1e420741);
    assert_int_equal(rig_mmio_read(r, 0xb8003, 1), 0x1e);
    assert_int_equal(rig_mmio_read(r, 0xb8001, 2), 0x4207);
}

/* Fonts go to plane 2 through the sequential view, as every font loader does it. */
static void font_plane(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_03);
    rig_mmio_write(r, 0xb8000, 2, 0x0741);
    set(r, SR, 2, 0x04);
    set(r, SR, 4, 0x06);
    set(r, GR, 4, 0x02);
    set(r, GR, 5, 0x00);
    set(r, GR, 6, 0x04);
    poke(r, 0, 0x7e);
    poke(r, 1, 0x81);
    assert_int_equal(peek(r, 1), 0x81);
    assert_int_equal(planes(r, 0), 0x7e0741);
    assert_int_equal(planes(r, 1), 0x810000);
}

static void chain4_is_linear(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_13);
    for (unsigned size = 1; size <= 8; size *= 2) {
        rig_mmio_write(r, 0xa0001 + 16 * size, size, 0x8877665544332211);
        assert_memory_equal(r->vram + 1 + 16 * size, "\x11\x22\x33\x44\x55\x66\x77\x88", size);
        assert_int_equal(rig_mmio_read(r, 0xa0001 + 16 * size, size), 0x8877665544332211 & all_ones(size));
    }
    set(r, SR, 2, 0x05); /* every other pixel */
    rig_mmio_write(r, 0xa1000, 4, 0x44332211);
    assert_int_equal(planes(r, 0x400), 0x00330011);
    /* A read fills the latches with the group it came from. */
    (void)peek(r, 0x1001);
    set(r, SR, 2, 0x0f);
    set(r, SR, 4, 0x06);
    set(r, GR, 5, 0x01);
    poke(r, 0x2000, 0);
    assert_int_equal(planes(r, 0x2000), 0x00330011);
}

static void vbe_bank_moves_the_window(void **state)
{
    struct rig *r = *state;
    vbe_mode(r, 640, 400, 8, NOCLEAR);
    for (uint16_t bank = 0; bank < 16; bank++) {
        set_vbe(r, BANK, bank);
        rig_mmio_write(r, 0xa0000, 2, bank | 0xa500u);
        rig_mmio_write(r, 0xaffff, 1, bank);
    }
    for (unsigned bank = 0; bank < 16; bank++) {
        assert_int_equal(le16_get(r->vram + (bank << 16)), bank | 0xa500);
        assert_int_equal(r->vram[(bank << 16) + 0xffff], bank);
    }
    set_vbe(r, BANK, 0x7f13); /* there are 16 */
    assert_int_equal(get_vbe(r, BANK), 3);
    assert_int_equal(peek(r, 0), 3);
    set_vbe(r, ENABLE, 0);
    assert_int_equal(get_vbe(r, BANK), 0);
}

/* Linear and open even if no BIOS ever set the sequencer and the bit mask. */
static void vbe_window_needs_no_vga_set_up(void **state)
{
    struct rig *r = *state;
    r->dev->desc->reset(r->dev);
    vbe_mode(r, 640, 400, 16, 0);
    rig_mmio_write(r, 0xa0003, 4, 0x44332211);
    assert_int_equal(le32_get(r->vram + 3), 0x44332211);
}

/* Four bits per pixel: planes, by the guest's own map mask. */
static void vbe_planar_window(void **state)
{
    struct rig *r = *state;
    vbe_mode(r, 640, 480, 4, 0);
    set(r, SR, 2, 0x06);
    poke(r, 7, 0x3c);
    assert_int_equal(planes(r, 7), 0x003c3c00);
    set_vbe(r, BANK, 15); /* plane offsets beyond the end of VRAM */
    poke(r, 0xffff, 0xff);
    assert_int_equal(peek(r, 0xffff), 0xff);
    set_vbe(r, BANK, 4);
    assert_int_equal(peek(r, 0), 0xff);
    set_vbe(r, BANK, 3);
    poke(r, 0xffff, 0x77);
    assert_int_equal(planes(r, 0x3ffff), 0x00777700);
}

/* CVE-2016-3710: a window size that is changed behind the bank must not reach past the end. */
static void cve_2016_3710_bank_and_window_size(void **state)
{
    struct rig *r = *state;
    for (uint8_t sr4 = 0; sr4 < 16; sr4 += 2) {
        for (unsigned vbe = 0; vbe < 2; vbe++) {
            if (vbe)
                vbe_mode(r, 640, 400, 8, NOCLEAR);
            else
                set_vbe(r, ENABLE, 0);
            set_vbe(r, BANK, 0xffff);
            set(r, SR, 4, sr4);
            for (uint8_t map = 0; map < 16; map++) {
                set(r, GR, 6, map);
                for (unsigned size = 1; size <= 8; size *= 2) {
                    rig_mmio_write(r, 0xc0000 - size, size, UINT64_MAX);
                    (void)rig_mmio_read(r, 0xc0000 - size, size);
                    rig_mmio_write(r, 0xbffff, size, UINT64_MAX);
                    (void)rig_mmio_read(r, 0xbffff, size);
                    rig_mmio_write(r, 0xaffff, size, UINT64_MAX);
                    (void)rig_mmio_read(r, 0xaffff, size);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_map_select, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(unmapped_parts_read_ones, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(map_mask_selects_planes, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(read_map_select, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_0_set_reset, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_0_rotates, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_0_logic, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(bit_mask_takes_the_rest_from_the_latches, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_1_copies_latches, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_2_is_a_colour, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(write_mode_3_masks_with_data, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(read_mode_1_compares_colours, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(odd_even_text, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(font_plane, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(chain4_is_linear, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(vbe_bank_moves_the_window, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(vbe_window_needs_no_vga_set_up, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(vbe_planar_window, planar, rig_teardown),
        cmocka_unit_test_setup_teardown(cve_2016_3710_bank_and_window_size, planar, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
