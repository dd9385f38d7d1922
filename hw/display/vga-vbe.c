/*
 * The Bochs display interface: 16-bit registers that set a linear mode beside the VGA's own registers.
 * Source: Bochs VBE display interface (DISPI), IDs b0c0 to b0c5.
 * The registers hold whatever was written while the mode is off; when it goes on, and with every write after that, they
 * are settled so that the visible area lies in VRAM. What is shown never depends on VGA registers then, so a guest
 * can't break that rule behind our back. Left out: the bank granularity of 32 KiB that some versions have.
 */
#include "vga-core.h"

#include <errno.h>
#include <string.h>

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5, MAX_XRES = 16000, MAX_YRES = 12000, MAX_BPP = 32 };
/* VGA register bits that a VBE mode fixes. */
enum { CR7_VDISPLAY = 0x42, CR7_LINE_COMPARE = 0x10, CR9_LINE_COMPARE = 0x40, CR9_SCAN = 0x9f, CR17_NO_CGA = 0x03 };
enum { GR5_SHIFT = 0x60, GR6_MAP = 0x0c, GR6_MAP_64K = 0x04 };

static uint16_t clamp(uint64_t val, uint64_t min, uint64_t max)
{
    return (uint16_t)max_u64(min, min_u64(val, max));
}

static unsigned bits_per_pixel(const struct vga_core *c)
{
    return c->vbe[VBE_BPP] == 15 ? 16 : c->vbe[VBE_BPP];
}

uint32_t vga_vbe_line_bytes(const struct vga_core *c)
{
    return c->vbe[VBE_VIRT_WIDTH] * bits_per_pixel(c) / 8;
}

static bool fits(const struct vga_core *c)
{
    const uint16_t *r = c->vbe;
    uint64_t line = vga_vbe_line_bytes(c), shown = r[VBE_YRES] * line;
    uint64_t start = r[VBE_X_OFFSET] * (uint64_t)bits_per_pixel(c) / 8 + r[VBE_Y_OFFSET] * line;
    return shown <= c->vram_bytes && start <= c->vram_bytes - shown;
}

/* Bring all registers into a combination that VRAM can hold. Stock's order, so that guests find the same values. */
static void settle(struct vga_core *c)
{
    uint16_t *r = c->vbe;
    switch (r[VBE_BPP]) {
    case 4:
    case 8:
    case 15:
    case 16:
    case 24:
    case 32: break;
    default: r[VBE_BPP] = 8; break;
    }
    r[VBE_XRES] = clamp(r[VBE_XRES] & ~7u, 8, MAX_XRES);
    r[VBE_VIRT_WIDTH] = clamp(r[VBE_VIRT_WIDTH] & ~7u, r[VBE_XRES], MAX_XRES);
    uint64_t lines = c->vram_bytes / vga_vbe_line_bytes(c); /* 16 at least: 1 MiB, 16000 * 4 bytes */
    r[VBE_YRES] = clamp(r[VBE_YRES], 1, min_u64(lines, MAX_YRES));
    r[VBE_VIRT_HEIGHT] = clamp(lines, 1, UINT16_MAX);
    r[VBE_X_OFFSET] = clamp(r[VBE_X_OFFSET], 0, MAX_XRES);
    r[VBE_Y_OFFSET] = clamp(r[VBE_Y_OFFSET], 0, MAX_YRES);
    if (!fits(c))
        r[VBE_Y_OFFSET] = 0;
    if (!fits(c))
        r[VBE_X_OFFSET] = 0;
}

/* Drivers that save and restore VGA registers around a VBE mode must find registers of a like graphics mode. */
void vga_vbe_program(struct vga_core *c)
{
    if (!vga_vbe_enabled(c))
        return;
    unsigned last = c->vbe[VBE_YRES] - 1u;
    c->cr[CR_HDISPLAY] = (uint8_t)(c->vbe[VBE_XRES] / 8 - 1);
    c->cr[CR_VDISPLAY] = (uint8_t)last;
    unsigned overflow = c->cr[CR_OVERFLOW] & ~(unsigned)CR7_VDISPLAY;
    c->cr[CR_OVERFLOW] = (uint8_t)(overflow | (last >> 7 & 0x02) | (last >> 3 & 0x40) | CR7_LINE_COMPARE);
    c->cr[CR_MAX_SCAN] = (uint8_t)((c->cr[CR_MAX_SCAN] & ~CR9_SCAN) | CR9_LINE_COMPARE);
    c->cr[CR_OFFSET] = (uint8_t)(vga_vbe_line_bytes(c) / 8);
    c->cr[CR_MODE] |= CR17_NO_CGA;
    c->cr[CR_LINE_COMPARE] = 0xff;
    c->gr[GR_MODE] = (uint8_t)((c->gr[GR_MODE] & ~GR5_SHIFT) | (c->vbe[VBE_BPP] == 4 ? 0 : GR5_SHIFT_256));
    c->gr[GR_MISC] = (uint8_t)((c->gr[GR_MISC] & ~GR6_MAP) | GR6_MAP_64K | GR6_GRAPHICS);
}

static void update(struct vga_core *c)
{
    if (vga_vbe_enabled(c))
        settle(c);
    vga_vbe_program(c);
}

static void write_enable(struct vga_core *c, uint16_t val)
{
    bool was_enabled = vga_vbe_enabled(c);
    c->vbe[VBE_ENABLE] = val & VBE_ENABLE_MASK;
    if (!(val & VBE_ENABLED)) {
        c->vbe[VBE_BANK] = 0; /* legacy modes begin at the start of VRAM */
        return;
    }
    if (was_enabled)
        return;
    c->vbe[VBE_VIRT_WIDTH] = c->vbe[VBE_X_OFFSET] = c->vbe[VBE_Y_OFFSET] = 0;
    update(c);
    if (!(val & VBE_NOCLEARMEM)) /* settled: lies in VRAM */
        memset(c->vram, 0, (size_t)c->vbe[VBE_YRES] * vga_vbe_line_bytes(c));
}

uint16_t vga_vbe_read(const struct vga_core *c, unsigned index)
{
    bool caps = c->vbe[VBE_ENABLE] & VBE_GETCAPS;
    if (index >= VBE_NR)
        return 0;
    switch (index) {
    case VBE_XRES: return caps ? MAX_XRES : c->vbe[index];
    case VBE_YRES: return caps ? MAX_YRES : c->vbe[index];
    case VBE_BPP: return caps ? MAX_BPP : c->vbe[index];
    default: return c->vbe[index];
    }
}

void vga_vbe_write(struct vga_core *c, unsigned index, uint16_t val)
{
    switch (index) {
    case VBE_ID:
        if (val >= ID_FIRST && val <= ID_LAST)
            c->vbe[VBE_ID] = val;
        break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        c->vbe[index] = val;
        update(c);
        break;
    case VBE_BANK: c->vbe[VBE_BANK] = (uint16_t)(val & (c->vbe[VBE_VIDEO_MEMORY_64K] - 1u)); break;
    case VBE_ENABLE: write_enable(c, val); break;
    default: break; /* virtual height and memory size follow from the others */
    }
}

void vga_vbe_reset(struct vga_core *c)
{
    c->vbe_index = 0;
    memset(c->vbe, 0, sizeof(c->vbe));
    c->vbe[VBE_ID] = ID_LAST;
    c->vbe[VBE_VIDEO_MEMORY_64K] = (uint16_t)(c->vram_bytes >> 16);
}

int vga_vbe_restored(const struct vga_core *c)
{
    if (c->vbe[VBE_ID] < ID_FIRST || c->vbe[VBE_ID] > ID_LAST || c->vbe[VBE_ENABLE] & ~VBE_ENABLE_MASK)
        return -EINVAL;
    if (c->vbe[VBE_VIDEO_MEMORY_64K] != c->vram_bytes >> 16 || c->vbe[VBE_BANK] >= c->vram_bytes >> 16)
        return -EINVAL;
    struct vga_core settled = *c;
    update(&settled);
    if (memcmp(settled.vbe, c->vbe, sizeof(c->vbe)) || memcmp(settled.cr, c->cr, sizeof(c->cr)) ||
        memcmp(settled.gr, c->gr, sizeof(c->gr)))
        return -EINVAL;
    return 0;
}
