/* What the tests of the VGA share: the adapter on the bench, short forms of its register pairs, standard modes. */
#ifndef THINDM_VGA_RIG_H
#define THINDM_VGA_RIG_H

#include <string.h>

#include "rig.h"
#include "vga.h"

enum { VGA_DEVFN = PCI_DEVFN(3, 0), VGA_VRAM_BYTES = 1 << 20, VGA_WINDOW_AT = 0xa0000 };
enum { VGA_BAR0 = 0xe0000000u, VGA_BAR2 = 0xfebf0000u };
enum { SR = 0x3c4, GR = 0x3ce, CR = 0x3d4, STATUS = 0x3da };
enum { ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY_64K };
enum { ENABLED = 0x01, GETCAPS = 0x02, DAC8 = 0x20, LFB = 0x40, NOCLEAR = 0x80 };

static void vga_rig_moved(void *opaque, uint64_t addr, bool mapped)
{
    struct rig *r = opaque;
    r->vram_at = mapped ? addr : HV_VRAM_PARKED;
}

/* With the smallest video memory, so that its end is near; allocated exactly. The CRTC is at 3d4. */
static inline int vga_plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    void *vram = r->vram;
    if (!vram && r->hv.ops->vram_create(&r->hv, VGA_VRAM_BYTES / PAGE_BYTES, &vram))
        return -1;
    int err = vga_create(&(struct vga_config){ .id = "vga", .loop = &r->loop, .ports = &r->ports, .memory = &r->memory,
                                               .pci = &r->pci, .devfn = VGA_DEVFN, .vram = vram,
                                               .vram_bytes = VGA_VRAM_BYTES, .vram_moved = vga_rig_moved, .opaque = r },
                         &r->dev);
    if (err)
        return err;
    r->dev->log = &r->log;
    r->dev->desc->reset(r->dev);
    rig_out8(r, 0x3c2, 0x01);
    return 0;
}

/* A register behind an index port. */
static inline uint8_t get(struct rig *r, uint16_t port, uint8_t index)
{
    rig_out8(r, port, index);
    return rig_in8(r, (uint16_t)(port + 1));
}

static inline void set(struct rig *r, uint16_t port, uint8_t index, uint8_t val)
{
    rig_out8(r, port, index);
    rig_out8(r, (uint16_t)(port + 1), val);
}

/* An attribute register; the screen stays on. */
static inline uint8_t get_ar(struct rig *r, uint8_t index)
{
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, index | 0x20);
    uint8_t val = rig_in8(r, 0x3c1);
    (void)rig_in8(r, STATUS);
    return val;
}

static inline void set_ar(struct rig *r, uint8_t index, uint8_t val)
{
    (void)rig_in8(r, STATUS);
    rig_out8(r, 0x3c0, index | 0x20);
    rig_out8(r, 0x3c0, val);
}

static inline uint16_t get_vbe(struct rig *r, uint16_t index)
{
    rig_out16(r, 0x1ce, index);
    return rig_in16(r, 0x1d0);
}

static inline void set_vbe(struct rig *r, uint16_t index, uint16_t val)
{
    rig_out16(r, 0x1ce, index);
    rig_out16(r, 0x1d0, val);
}

static inline void vbe_mode(struct rig *r, uint16_t xres, uint16_t yres, uint16_t bpp, uint16_t flags)
{
    set_vbe(r, ENABLE, 0);
    set_vbe(r, XRES, xres);
    set_vbe(r, YRES, yres);
    set_vbe(r, BPP, bpp);
    set_vbe(r, ENABLE, ENABLED | flags);
    set_ar(r, 0x10, 0x01); /* screen on */
}

/* A legacy mode as a BIOS programs it. */
struct vga_regs {
    uint8_t misc, sr[5], cr[25], gr[9], ar10, ar13;
};

/* 80x25, 9x16 cells (mode 3); 640x480, 16 colours (12h); 320x200, 256 colours (13h); 320x200, 4 colours (4). */
static const struct vga_regs vga_mode_03 = {
    0x67, { 0x03, 0x00, 0x03, 0x00, 0x02 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x1f,
      0x96, 0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff }, 0x0c, 0x08 };
static const struct vga_regs vga_mode_12 = {
    0xe3, { 0x03, 0x01, 0x0f, 0x00, 0x06 },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0, 0, 0, 0, 0, 0, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7,
      0x04, 0xe3, 0xff },
    { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff }, 0x01, 0x00 };
static const struct vga_regs vga_mode_13 = {
    0x63, { 0x03, 0x01, 0x0f, 0x00, 0x0e },
    { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96,
      0xb9, 0xa3, 0xff },
    { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff }, 0x41, 0x00 };
static const struct vga_regs vga_mode_04 = {
    0x63, { 0x03, 0x09, 0x03, 0x00, 0x02 },
    { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0, 0, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96,
      0xb9, 0xa2, 0xff },
    { 0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff }, 0x01, 0x00 };

static inline void legacy_mode(struct rig *r, const struct vga_regs *regs)
{
    rig_out8(r, 0x3c2, regs->misc);
    set(r, CR, 0x11, 0); /* unlock */
    for (uint8_t i = 0; i < sizeof(regs->sr); i++)
        set(r, SR, i, regs->sr[i]);
    for (uint8_t i = 0; i < sizeof(regs->cr); i++) {
        if (i != 0x11)
            set(r, CR, i, regs->cr[i]);
    }
    set(r, CR, 0x11, regs->cr[0x11]);
    for (uint8_t i = 0; i < sizeof(regs->gr); i++)
        set(r, GR, i, regs->gr[i]);
    set_ar(r, 0x10, regs->ar10);
    set_ar(r, 0x13, regs->ar13);
}

/* An event of the fuzz target, too. */
static inline void get_mode(struct rig *r, struct vga_mode *mode)
{
    rig_note(r, "op 0x0d");
    vga_get_mode(r->dev, mode);
}

/* What vga.h promises about every mode. */
static inline void assert_mode_in_vram(struct rig *r)
{
    struct vga_mode mode;
    get_mode(r, &mode);
    assert_true(mode.scale_x >= 1 && mode.scale_y >= 1 && mode.bank_lines >= 1);
    if (mode.kind == VGA_MODE_BLANK)
        return;
    assert_true(mode.width >= 1 && mode.width <= 16000 && mode.height >= 1 && mode.height <= 12000);
    if (mode.vbe) {
        assert_true(mode.line_bytes >= mode.width / 2);
        assert_true(mode.start + (uint64_t)mode.height * mode.line_bytes <= VGA_VRAM_BYTES);
    } else {
        assert_true(is_pow2(mode.wrap_bytes) && mode.wrap_bytes <= VGA_VRAM_BYTES && mode.start < mode.wrap_bytes);
        assert_true(mode.width <= 256 * 9 && mode.height <= 1024 && mode.line_bytes <= 255 * 8);
    }
}

/* memcmp() would look at padding. */
static inline void assert_same_mode(const struct vga_mode *a, const struct vga_mode *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->vbe, b->vbe);
    assert_int_equal(a->bpp, b->bpp);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->scale_x, b->scale_x);
    assert_int_equal(a->scale_y, b->scale_y);
    assert_int_equal(a->start, b->start);
    assert_int_equal(a->line_bytes, b->line_bytes);
    assert_int_equal(a->split, b->split);
    assert_int_equal(a->pan_x, b->pan_x);
    assert_int_equal(a->pan_y, b->pan_y);
    assert_int_equal(a->bank_lines, b->bank_lines);
}

/* Small, fast, the same on every host. */
static inline uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

#endif
