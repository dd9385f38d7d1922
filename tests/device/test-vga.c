/* The adapter as a whole: PCI function, BARs, ROM, EDID, snapshot, unplug, and whatever a guest may do in any order. */
#include <errno.h>
#include <stdlib.h>

#include "vga-rig.h"

enum { COMMAND = 4, BAR0_REG = 0x10, BAR2_REG = 0x18, ROM_REG = 0x30, ROM_AT = 0xe2000000u };

static uint32_t cfg(struct rig *r, unsigned reg)
{
    return rig_cfg_read(r, VGA_DEVFN, reg, 4);
}

static void set_cfg(struct rig *r, unsigned reg, uint32_t val)
{
    rig_cfg_write(r, VGA_DEVFN, reg, 4, val);
}

static void map_bars(struct rig *r)
{
    set_cfg(r, BAR0_REG, VGA_BAR0);
    set_cfg(r, BAR2_REG, VGA_BAR2);
    set_cfg(r, COMMAND, 3);
}

static int plug_in_mapped(void **state)
{
    int err = vga_plug_in(state);
    if (!err)
        map_bars(*state);
    return err;
}

static void identity(void **state)
{
    struct rig *r = *state;
    assert_int_equal(cfg(r, 0x00), 0x11111234);
    assert_int_equal(cfg(r, COMMAND), 0);
    assert_int_equal(cfg(r, 0x08), 0x03000002);
    assert_int_equal(cfg(r, 0x0c), 0);
    assert_int_equal(cfg(r, 0x2c), 0x11001af4);
    assert_int_equal(cfg(r, 0x3c), 0);
    for (unsigned reg = 0x10; reg <= 0x30; reg += 4) {
        if (reg != 0x2c)
            set_cfg(r, reg, 0xffffffff);
    }
    assert_int_equal(cfg(r, BAR0_REG), 0xfff00008);
    assert_int_equal(cfg(r, 0x14), 0);
    assert_int_equal(cfg(r, BAR2_REG), 0xfffff000);
    assert_int_equal(cfg(r, 0x1c), 0);
    assert_int_equal(cfg(r, ROM_REG), 0); /* none given */
}

static void bad_sizes_and_slots(void **state)
{
    struct rig *r = *state;
    struct device *dev = NULL;
    struct vga_config config = { .id = "b", .loop = &r->loop, .ports = &r->ports, .memory = &r->memory, .pci = &r->pci,
                                 .vram = r->vram, .vram_bytes = VGA_VRAM_BYTES };
    assert_int_equal(vga_create(&config, &dev), -EEXIST); /* ports are taken */
    assert_int_equal(rig_cfg_read(r, 0, 0, 2), 0xffff);
    static const uint64_t sizes[] = { 0, 512 * KIB, 3 * MIB, GIB };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        config.vram_bytes = sizes[i];
        assert_int_equal(vga_create(&config, &dev), -EINVAL);
    }
    assert_null(dev);
}

static void frame_buffer_bar(void **state)
{
    struct rig *r = *state;
    assert_int_equal(r->vram_at, HV_VRAM_PARKED);
    map_bars(r);
    assert_int_equal(r->vram_at, VGA_BAR0);
    for (unsigned size = 1; size <= 8; size *= 2) {
        rig_mmio_write(r, VGA_BAR0 + VGA_VRAM_BYTES - size, size, 0x8877665544332211);
        assert_memory_equal(r->vram + VGA_VRAM_BYTES - size, "\x11\x22\x33\x44\x55\x66\x77\x88", size);
        assert_int_equal(rig_mmio_read(r, VGA_BAR0 + VGA_VRAM_BYTES - size, size), 0x8877665544332211 & all_ones(size));
    }
    set_cfg(r, BAR0_REG, 0xd0000000);
    assert_int_equal(r->vram_at, 0xd0000000);
    set_cfg(r, COMMAND, 0);
    assert_int_equal(r->vram_at, HV_VRAM_PARKED);
    r->dev->desc->reset(r->dev);
    assert_int_equal(r->vram[VGA_VRAM_BYTES - 8], 0x11); /* a reset leaves the picture */
}

/* [EDID 1.4] */
static void edid(void **state)
{
    struct rig *r = *state;
    uint8_t block[128], sum = 0;
    for (unsigned i = 0; i < sizeof(block); i++) {
        block[i] = (uint8_t)rig_mmio_read(r, VGA_BAR2 + i, 1);
        sum = (uint8_t)(sum + block[i]);
    }
    assert_int_equal(sum, 0);
    assert_memory_equal(block, "\0\xff\xff\xff\xff\xff\xff\0", 8);
    assert_int_equal(block[18], 1);
    assert_int_equal(block[126], 0);
    assert_int_equal(block[56] | (block[58] & 0xf0) << 4, 1280); /* preferred */
    assert_int_equal(block[59] | (block[61] & 0xf0) << 4, 800);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2, 4), 0xffffff00);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 128, 4), 0xffffffff);
    rig_mmio_write(r, VGA_BAR2, 4, 0);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2, 4), 0xffffff00);
}

static void mapped_vga_ports(void **state)
{
    struct rig *r = *state;
    rig_mmio_write(r, VGA_BAR2 + 0x402, 1, 0x67);
    assert_int_equal(rig_in8(r, 0x3cc), 0x67);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x40c, 1), 0x67);
    rig_mmio_write(r, VGA_BAR2 + 0x404, 2, 0x0c02); /* index and data */
    assert_int_equal(get(r, SR, 2), 0x0c);
    rig_mmio_write(r, VGA_BAR2 + 0x414, 2, 0x420d);
    assert_int_equal(get(r, CR, 0x0d), 0x42);
    (void)rig_mmio_read(r, VGA_BAR2 + 0x41a, 1);
    rig_mmio_write(r, VGA_BAR2 + 0x400, 1, 0x20); /* how drivers switch the screen on */
    assert_int_equal(rig_in8(r, 0x3c0), 0x20);
}

static void mapped_dispi(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x500, 2), 0xb0c5);
    rig_mmio_write(r, VGA_BAR2 + 0x502, 2, 1024);
    assert_int_equal(get_vbe(r, XRES), 1024);
    rig_mmio_write(r, VGA_BAR2 + 0x502, 4, 0x01900280);
    assert_int_equal(get_vbe(r, XRES), 640);
    assert_int_equal(get_vbe(r, YRES), 400);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x502, 4), 0x01900280);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x503, 1), 0x02);
    rig_mmio_write(r, VGA_BAR2 + 0x502, 1, 0); /* registers are words */
    rig_mmio_write(r, VGA_BAR2 + 0x503, 2, 0);
    assert_int_equal(get_vbe(r, XRES), 640);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x514, 4), 0xffff0010);
}

static void byte_order(void **state)
{
    struct rig *r = *state;
    struct vga_mode mode;
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x600, 8), 0x1e1e1e1e00000008);
    vbe_mode(r, 320, 200, 32, 0);
    rig_mmio_write(r, VGA_BAR2 + 0x604, 4, 0xbebebebe);
    get_mode(r, &mode);
    assert_true(mode.big_endian);
    rig_mmio_write(r, VGA_BAR2 + 0x604, 4, 0x12345678);
    rig_mmio_write(r, VGA_BAR2 + 0x604, 2, 0x1e1e);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x604, 4), 0xbebebebe);
    rig_mmio_write(r, VGA_BAR2 + 0x604, 4, 0x1e1e1e1e);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x604, 4), 0x1e1e1e1e);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0x608, 4), 0xffffffff);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2 + 0xffc, 4), 0xffffffff);
}

/* A ROM image of a relative, 1.5 KiB; its bytes sum up to 0. */
static void make_rom(uint8_t rom[1536], uint16_t pcir)
{
    uint8_t sum = 0;
    memset(rom, 0x5a, 1536);
    memcpy(rom, "\x55\xaa\x03", 3);
    le16_put(rom + 0x18, pcir);
    if (pcir <= 1536 - 24)
        memcpy(rom + pcir, "PCIR\x86\x80\x34\x12", 8);
    for (unsigned i = 0; i < 1536; i++)
        sum = (uint8_t)(sum + rom[i]);
    rom[6] = (uint8_t)(rom[6] - sum);
}

static void replace_with_rom(struct rig *r, const uint8_t *rom, size_t len, bool is_default)
{
    device_free(r->dev);
    r->dev = NULL;
    int err = vga_create(&(struct vga_config){ .id = "vga", .loop = &r->loop, .ports = &r->ports, .memory = &r->memory,
                                               .pci = &r->pci, .devfn = VGA_DEVFN, .vram = r->vram,
                                               .vram_bytes = VGA_VRAM_BYTES, .rom = rom, .rom_bytes = len,
                                               .rom_is_default = is_default },
                         &r->dev);
    assert_int_equal(err, 0);
    map_bars(r);
    set_cfg(r, ROM_REG, ROM_AT | 1);
}

static void rom_bar(void **state)
{
    struct rig *r = *state;
    uint8_t rom[1536];
    make_rom(rom, 0x40);
    replace_with_rom(r, rom, sizeof(rom), false);
    for (unsigned i = 0; i < sizeof(rom); i += 4)
        assert_int_equal(rig_mmio_read(r, ROM_AT + i, 4), le32_get(rom + i));
    set_cfg(r, ROM_REG, 0xfffffffe);
    assert_int_equal(cfg(r, ROM_REG), 0xfffff800);
}

static void default_rom_gets_our_ids(void **state)
{
    struct rig *r = *state;
    uint8_t rom[1536], sum = 0;
    make_rom(rom, 0x40);
    replace_with_rom(r, rom, sizeof(rom), true);
    assert_int_equal(rig_mmio_read(r, ROM_AT + 0x44, 4), 0x11111234);
    assert_int_equal(le32_get(rom + 0x44), 0x12348086); /* the caller's stays */
    for (unsigned i = 0; i < sizeof(rom); i++)
        sum = (uint8_t)(sum + rig_mmio_read(r, ROM_AT + i, 1));
    assert_int_equal(sum, 0);
}

static void rom_without_ids_is_left_alone(void **state)
{
    struct rig *r = *state;
    static const uint16_t places[] = { 0, 2, 0x18, 1536 - 23, 1535, 0xffff };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        uint8_t *rom = malloc(1536);
        assert_non_null(rom);
        make_rom(rom, places[i]);
        replace_with_rom(r, rom, 1536, true);
        assert_int_equal(rig_mmio_read(r, ROM_AT + 4, 4), le32_get(rom + 4));
        replace_with_rom(r, rom, 0x19, true); /* ends within the pointer */
        replace_with_rom(r, rom, 0, true);
        assert_int_equal(cfg(r, ROM_REG), 0);
        device_free(r->dev);
        r->dev = NULL;
        free(rom);
    }
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    legacy_mode(r, &vga_mode_12);
    rig_out8(r, 0x3c8, 7);
    rig_out8(r, 0x3c9, 1);
    rig_out8(r, 0x3c9, 2); /* a colour half written */
    le32_put(r->vram, 0x12345678);
    (void)rig_mmio_read(r, 0xa0000, 1); /* latches loaded */
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, 0x25); /* between index and data */
    rig_out16(r, 0x1ce, XRES);
    rig_save(r);
    device_free(r->dev);
    assert_int_equal(plug_in_mapped(state), 0);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(r->vram_at, VGA_BAR0);
    rig_out8(r, 0x3c0, 0x2a);
    assert_int_equal(get_ar(r, 5), 0x2a);
    rig_out8(r, 0x3c9, 3);
    rig_out8(r, 0x3c7, 7);
    assert_int_equal(rig_in8(r, 0x3c9), 1);
    set(r, GR, 5, 0x01);
    rig_mmio_write(r, 0xa0010, 1, 0);
    assert_int_equal(le32_get(r->vram + 0x40), 0x12345678);
    rig_out16(r, 0x1d0, 640);
    assert_int_equal(get_vbe(r, XRES), 640);
}

static void snapshot_of_a_vbe_mode(void **state)
{
    struct rig *r = *state;
    struct vga_mode before, after;
    vbe_mode(r, 640, 400, 16, LFB);
    set_vbe(r, BANK, 3);
    set_vbe(r, Y_OFFSET, 50);
    get_mode(r, &before);
    r->vram[0] = 0x99;
    rig_save(r);
    assert_int_equal(rig_restore(r), 0);
    get_mode(r, &after);
    assert_same_mode(&before, &after);
    assert_int_equal(get_vbe(r, BANK), 3);
    assert_int_equal(r->vram[0], 0x99); /* came with the guest's memory */
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        unsigned i;
        uint64_t val;
    } hostile[] = {
        { "core.sr_index", 0, 8 },       { "core.gr_index", 0, 16 },     { "core.ar_index", 0, 0x40 },
        { "core.sr", 2, 0x10 },          { "core.gr", 0, 0x10 },         { "core.gr", 4, 0x04 },
        { "core.ar", 0x13, 0xff },       { "core.dac_sub", 0, 3 },       { "core.dac_state", 0, 1 },
        { "core.misc", 0, 0x10 },        { "core.feature", 0, 0x01 },    { "core.vbe", ID, 0xb0c6 },
        { "core.vbe", BANK, 16 },        { "core.vbe", MEMORY_64K, 17 }, { "core.vbe", XRES, 0xffff },
        { "core.vbe", YRES, 0xffff },    { "core.vbe", BPP, 0 },         { "core.vbe", VIRT_WIDTH, 0 },
        { "core.vbe", Y_OFFSET, 0xffff }, { "core.vbe", X_OFFSET, 0xffff }, { "core.vbe", ENABLE, 0x101 },
        { "core.cr", 0x13, 0x01 },       { "pci.config", 0, 0x35 },
    };
    vbe_mode(r, 640, 400, 16, LFB);
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        rig_save(r);
        rig_poke_at(r, hostile[i].field, hostile[i].i, hostile[i].val);
        if (rig_restore(r) != -EINVAL)
            fail_msg("%s[%u] = %llx was taken", hostile[i].field, hostile[i].i, (unsigned long long)hostile[i].val);
        r->dev->desc->reset(r->dev);
        rig_out8(r, 0x3c2, 0x01);
        vbe_mode(r, 640, 400, 16, LFB);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in8(r, 0x3cc), 0xff);
    assert_int_equal(rig_in16(r, 0x1ce), 0xffff);
    assert_int_equal(rig_mmio_read(r, 0xa0000, 4), 0xffffffff);
    assert_int_equal(rig_mmio_read(r, VGA_BAR0, 4), 0xffffffff);
    assert_int_equal(rig_mmio_read(r, VGA_BAR2, 4), 0xffffffff);
    assert_int_equal(cfg(r, 0), 0xffffffff);
    assert_int_equal(r->vram_at, HV_VRAM_PARKED);
}

static void random_step(struct rig *r, uint32_t *seed)
{
    uint32_t what = next_random(seed) % 16, a = next_random(seed), b = next_random(seed);
    unsigned size = 1u << (a >> 20 & 3), port_size = size == 8 ? 4 : size;
    uint64_t val = (uint64_t)next_random(seed) << 32 | b;
    if (what < 5) {
        bus_write(&r->ports, 0x3b0 + a % 0x30, port_size, val);
        (void)bus_read(&r->ports, 0x3b0 + b % 0x30, port_size);
    } else if (what < 8) {
        set_vbe(r, (uint16_t)(a % 12), (uint16_t)(b >> (b >> 16 & 15)));
        set_vbe(r, ENABLE, (uint16_t)(val >> 48));
    } else if (what < 12) {
        uint64_t addr = 0xa0000 - 8 + a % 0x20010;
        rig_mmio_write(r, addr, size, val);
        (void)rig_mmio_read(r, addr, size);
    } else if (what < 15) {
        uint64_t off = what == 12 ? a % 0x1000 : 0x3fc + a % 0x210;
        rig_mmio_write(r, VGA_BAR2 + off, size, val);
        (void)rig_mmio_read(r, VGA_BAR2 + off, size);
    } else {
        rig_mmio_write(r, VGA_BAR0 + VGA_VRAM_BYTES - 12 + a % 16, size, val);
        rig_run(r, b % 1000000);
    }
}

/* Whatever a guest does: nothing outside video memory is touched (the sanitizer tells), the screen stays inside. */
static void anything_in_any_order(void **state)
{
    struct rig *r = *state;
    for (uint32_t run = 1; run <= 8; run++) {
        uint32_t seed = run * 0x9e3779b9u;
        r->dev->desc->reset(r->dev);
        map_bars(r);
        for (unsigned i = 0; i < 20000; i++) {
            random_step(r, &seed);
            if (i % 16 == 0)
                assert_mode_in_vram(r);
            if (i % 1000 == 0) { /* what a guest can bring about can be restored */
                rig_save(r);
                assert_int_equal(rig_restore(r), 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(bad_sizes_and_slots, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(frame_buffer_bar, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(edid, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(mapped_vga_ports, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(mapped_dispi, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(byte_order, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(rom_bar, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(default_rom_gets_our_ids, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(rom_without_ids_is_left_alone, vga_plug_in, rig_teardown),
        cmocka_unit_test_setup_teardown(snapshot_is_complete, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(snapshot_of_a_vbe_mode, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshots_are_refused, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(unplug_is_final, plug_in_mapped, rig_teardown),
        cmocka_unit_test_setup_teardown(anything_in_any_order, plug_in_mapped, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
