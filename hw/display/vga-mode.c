/*
 * What is on the screen, derived from the registers. Source: IBM PS/2 Hardware Interface Technical Reference, Video
 * Subsystem, [IBM "x"] is its description of register x; Bochs VBE interface for the modes set through it.
 * The CRTC counts 64 Ki addresses of each plane and wraps, so a legacy mode sees 256 KiB and never the end of VRAM.
 */
#include "vga-core.h"

enum { LEGACY_WRAP = 0x40000, CR9_DOUBLE_SCAN = 0x80, CR9_LINES = 0x1f, CR17_A13 = 0x01, CR17_A14 = 0x02 };
enum { VBE_GROUP_PIXELS = 8 };
_Static_assert(LEGACY_WRAP <= VGA_VRAM_MIN, "legacy modes must lie in the smallest VRAM");

static bool palette_8bit(const struct vga_core *c)
{
    unsigned both = VBE_ENABLED | VBE_8BIT_DAC;
    return (c->vbe[VBE_ENABLE] & both) == both;
}

/* settle() in vga-vbe.c sees to it that this lies in VRAM. */
static void vbe_mode(const struct vga_core *c, struct vga_mode *mode)
{
    const uint16_t *r = c->vbe;
    uint32_t line_bytes = vga_vbe_line_bytes(c);
    unsigned bytes = r[VBE_BPP] == 15 ? 2 : r[VBE_BPP] / 8u;
    *mode = (struct vga_mode){
        .kind = r[VBE_BPP] > 8 ? VGA_MODE_DIRECT : VGA_MODE_PALETTE,
        .vbe = true,
        .width = r[VBE_XRES],
        .height = r[VBE_YRES],
        .scale_x = 1,
        .scale_y = 1,
        .bpp = (uint8_t)r[VBE_BPP],
        .start = r[VBE_X_OFFSET] * bytes + r[VBE_Y_OFFSET] * line_bytes,
        .line_bytes = line_bytes,
        .split = UINT32_MAX,
        .bank_lines = 1,
        .palette_8bit = palette_8bit(c),
        .big_endian = c->big_endian,
    };
    if (r[VBE_BPP] == 4) { /* 8 pixels are a group of 4 bytes */
        mode->kind = VGA_MODE_PLANAR;
        mode->start = r[VBE_X_OFFSET] / VBE_GROUP_PIXELS * 4u + r[VBE_Y_OFFSET] * line_bytes;
        mode->pan_x = r[VBE_X_OFFSET] % VBE_GROUP_PIXELS;
    }
}

static unsigned line_compare(const struct vga_core *c)
{
    return c->cr[CR_LINE_COMPARE] | (c->cr[CR_OVERFLOW] & 0x10u) << 4 | (c->cr[CR_MAX_SCAN] & 0x40u) << 3;
}

/* 9-dot text counts 8, 0, 1, ... 7, the others 0 to 7; 256 colours two per dot [IBM "Horizontal PEL Panning"]. */
static uint8_t panning(const struct vga_core *c, const struct vga_mode *mode)
{
    unsigned pan = c->ar[AR_PANNING];
    if (mode->kind == VGA_MODE_TEXT && mode->cell_width == 9)
        return (uint8_t)(pan >= 8 ? 0 : pan + 1);
    if (mode->kind == VGA_MODE_PALETTE)
        return (uint8_t)((pan & 7) / 2);
    return pan & 7;
}

static void text_mode(const struct vga_core *c, struct vga_mode *mode)
{
    unsigned lines = vga_display_lines(c);
    mode->kind = VGA_MODE_TEXT;
    mode->cell_width = c->sr[SR_CLOCKING] & SR1_8_DOTS ? 8 : 9;
    mode->cell_height = (uint8_t)((c->cr[CR_MAX_SCAN] & CR9_LINES) + 1);
    mode->width = (c->cr[CR_HDISPLAY] + 1u) * mode->cell_width;
    mode->scale_x = c->sr[SR_CLOCKING] & SR1_HALF_CLOCK ? 2 : 1;
    mode->scale_y = c->cr[CR_MAX_SCAN] & CR9_DOUBLE_SCAN ? 2 : 1;
    mode->height = (lines + mode->scale_y - 1) / mode->scale_y;
}

static void graphics_mode(const struct vga_core *c, struct vga_mode *mode)
{
    unsigned lines = vga_display_lines(c), rows = (c->cr[CR_MAX_SCAN] & CR9_LINES) + 1u;
    unsigned dots = (c->cr[CR_HDISPLAY] + 1u) * 8, doubled = c->cr[CR_MAX_SCAN] & CR9_DOUBLE_SCAN ? 2 : 1;
    bool half = c->sr[SR_CLOCKING] & SR1_HALF_CLOCK;
    /* The row scan counter may stand in for address bits 13 and 14: lines of a row differ [IBM "CRT Mode Control"]. */
    unsigned banks = c->cr[CR_MODE] & CR17_A13 ? 1 : c->cr[CR_MODE] & CR17_A14 ? 2 : 4;
    mode->bank_lines = (uint8_t)(rows >= banks ? banks : 1);
    mode->scale_y = (uint8_t)(rows / mode->bank_lines * doubled);
    mode->height = (lines + mode->scale_y - 1) / mode->scale_y;
    mode->width = dots;
    mode->scale_x = half ? 2 : 1;
    if (c->gr[GR_MODE] & GR5_SHIFT_256) {
        mode->kind = VGA_MODE_PALETTE; /* a pixel takes two dots */
        mode->bpp = 8;
        mode->width = dots / 2;
        mode->scale_x = 2;
    } else if (c->gr[GR_MODE] & GR5_SHIFT_CGA) {
        mode->kind = VGA_MODE_CGA;
        mode->bpp = 2;
    } else {
        mode->kind = VGA_MODE_PLANAR;
        mode->bpp = 4;
    }
}

static void legacy_mode(const struct vga_core *c, struct vga_mode *mode)
{
    unsigned start = (unsigned)c->cr[CR_START_HIGH] << 8 | c->cr[CR_START_LOW],
             byte_pan = c->cr[CR_PRESET_ROW] >> 5 & 3;
    *mode = (struct vga_mode){
        .start = (start + byte_pan) * 4 % LEGACY_WRAP,
        .line_bytes = c->cr[CR_OFFSET] * 8u,
        .wrap_bytes = LEGACY_WRAP,
        .bank_lines = 1,
        .palette_8bit = palette_8bit(c),
    };
    if (c->gr[GR_MISC] & GR6_GRAPHICS)
        graphics_mode(c, mode);
    else
        text_mode(c, mode);
    mode->pan_x = panning(c, mode);
    mode->pan_y = c->cr[CR_PRESET_ROW] & 0x1f;
    unsigned split = line_compare(c);
    mode->split = split + 1 >= vga_display_lines(c) ? UINT32_MAX : (split + mode->scale_y) / mode->scale_y;
}

static bool blank(const struct vga_core *c)
{
    if (!(c->ar_index & AR_INDEX_SCREEN_ON))
        return true;
    if (vga_vbe_enabled(c))
        return false;
    /* Without a programmed CRTC (power-on) there is nothing to show. */
    return (c->sr[SR_CLOCKING] & SR1_SCREEN_OFF) || c->cr[CR_HDISPLAY] == 0 || vga_display_lines(c) == 1;
}

void vga_core_mode(const struct vga_core *c, struct vga_mode *mode)
{
    if (blank(c))
        *mode = (struct vga_mode){
            .kind = VGA_MODE_BLANK, .scale_x = 1, .scale_y = 1, .split = UINT32_MAX, .bank_lines = 1
        };
    else if (vga_vbe_enabled(c))
        vbe_mode(c, mode);
    else
        legacy_mode(c, mode);
}
