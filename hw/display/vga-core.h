/*
 * The VGA itself, without a PCI function around it: registers, window, DISPI, what is shown. Private to hw/display; an
 * adapter embeds struct vga_core, lists its fields in its snapshot table (VGA_CORE_FIELDS) and owns the bus regions.
 */
#ifndef THINDM_VGA_CORE_H
#define THINDM_VGA_CORE_H

#include "vga.h"

#include <thindm/loop.h>
#include <thindm/snapshot.h>

enum { VGA_NR_CR = 0x19, VGA_NR_SR = 5, VGA_NR_GR = 9, VGA_NR_AR = 0x15 };
/* CRT controller. */
enum {
    CR_HTOTAL = 0x00, CR_HDISPLAY = 0x01, CR_VTOTAL = 0x06, CR_OVERFLOW = 0x07, CR_PRESET_ROW = 0x08,
    CR_MAX_SCAN = 0x09,
    CR_START_HIGH = 0x0c, CR_START_LOW = 0x0d, CR_VSYNC_START = 0x10, CR_VSYNC_END = 0x11, CR_VDISPLAY = 0x12,
    CR_OFFSET = 0x13, CR_MODE = 0x17, CR_LINE_COMPARE = 0x18,
};
/* Sequencer, graphics controller, attribute controller. */
enum { SR_CLOCKING = 1, SR_MAP_MASK = 2, SR_MEMORY_MODE = 4 };
enum {
    GR_SET_RESET, GR_ENABLE_SET_RESET, GR_COMPARE, GR_ROTATE, GR_READ_MAP, GR_MODE, GR_MISC, GR_DONT_CARE, GR_BIT_MASK,
};
enum { AR_MODE = 0x10, AR_PANNING = 0x13, AR_INDEX_SCREEN_ON = 0x20 };
enum { SR1_8_DOTS = 0x01, SR1_HALF_CLOCK = 0x08, SR1_SCREEN_OFF = 0x20, SR4_SEQUENTIAL = 0x04, SR4_CHAIN4 = 0x08 };
enum { GR5_ODD_EVEN = 0x10, GR5_SHIFT_CGA = 0x20, GR5_SHIFT_256 = 0x40, GR6_GRAPHICS = 0x01 };
enum { MISC_COLOR = 0x01 };
/* DISPI registers and bits of VBE_ENABLE [Bochs VBE] */
enum {
    VBE_ID, VBE_XRES, VBE_YRES, VBE_BPP, VBE_ENABLE, VBE_BANK, VBE_VIRT_WIDTH, VBE_VIRT_HEIGHT, VBE_X_OFFSET,
    VBE_Y_OFFSET, VBE_VIDEO_MEMORY_64K, VBE_NR,
};
enum {
    VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NOCLEARMEM = 0x80,
    VBE_ENABLE_MASK = 0xe3,
};
enum { VGA_WINDOW = 0xa0000, VGA_WINDOW_BYTES = 0x20000 };
#define VGA_VRAM_MIN MIB
#define VGA_VRAM_MAX (512 * MIB)

struct vga_core {
    const struct loop *loop;
    uint8_t *vram; /* the guest writes here too, while we look */
    uint64_t vram_bytes;
    /* Guest-visible state: all of it, and nothing else, is in VGA_CORE_FIELDS. */
    uint8_t misc, feature;
    uint8_t cr_index, cr[VGA_NR_CR];
    uint8_t sr_index, sr[VGA_NR_SR];
    uint8_t gr_index, gr[VGA_NR_GR];
    uint8_t ar_index, ar[VGA_NR_AR]; /* ar_index with the screen-on bit */
    bool ar_data;                    /* the flip-flop: the next write to 3c0 is data */
    uint8_t dac_mask, dac_read, dac_write, dac_state, dac_sub, dac_latch[3], dac[768];
    uint32_t latch; /* plane n in bits 8n to 8n + 7 */
    uint16_t vbe_index, vbe[VBE_NR];
    bool big_endian; /* of direct colour pixels */
};

#define VGA_CORE_FIELDS(type)                                                                                          \
    SNAP(type, core.misc), SNAP(type, core.feature), SNAP(type, core.cr_index), SNAP_ARRAY(type, core.cr),             \
        SNAP(type, core.sr_index), SNAP_ARRAY(type, core.sr), SNAP(type, core.gr_index), SNAP_ARRAY(type, core.gr),    \
        SNAP(type, core.ar_index), SNAP_ARRAY(type, core.ar), SNAP(type, core.ar_data), SNAP(type, core.dac_mask),     \
        SNAP(type, core.dac_read), SNAP(type, core.dac_write), SNAP(type, core.dac_state), SNAP(type, core.dac_sub),   \
        SNAP_ARRAY(type, core.dac_latch), SNAP_ARRAY(type, core.dac), SNAP(type, core.latch),                          \
        SNAP(type, core.vbe_index), SNAP_ARRAY(type, core.vbe), SNAP(type, core.big_endian)

/* Power-on registers; VRAM stays as it is. loop, vram, vram_bytes are set. */
void vga_core_reset(struct vga_core *c);
/* Are these values that a guest could have brought about? 0 or -EINVAL. */
int vga_core_restored(const struct vga_core *c) WARN_UNUSED;

/* A byte at port 3b4-3da; ports that VGA doesn't have, and those of the other CRTC half, read ones. */
uint8_t vga_port_read(struct vga_core *c, unsigned port);
void vga_port_write(struct vga_core *c, unsigned port, uint8_t val);

/* off: from a0000; [off, off + size) lies in the window. */
uint64_t vga_window_read(struct vga_core *c, uint64_t off, unsigned size);
void vga_window_write(struct vga_core *c, uint64_t off, unsigned size, uint64_t val);

uint16_t vga_vbe_read(const struct vga_core *c, unsigned index);
/* May clear VRAM. */
void vga_vbe_write(struct vga_core *c, unsigned index, uint16_t val);
static inline bool vga_vbe_enabled(const struct vga_core *c)
{
    return c->vbe[VBE_ENABLE] & VBE_ENABLED;
}
/* Bytes from one line to the next, of the mode that is or would be enabled. */
uint32_t vga_vbe_line_bytes(const struct vga_core *c);
/* While VBE is enabled: put what it implies into the VGA registers. */
void vga_vbe_program(struct vga_core *c);
/* The DISPI part of vga_core_reset() and vga_core_restored(). */
void vga_vbe_reset(struct vga_core *c);
int vga_vbe_restored(const struct vga_core *c) WARN_UNUSED;

/* Displayed lines as the CRTC counts them, 1-1024. */
static inline unsigned vga_display_lines(const struct vga_core *c)
{
    unsigned overflow = c->cr[CR_OVERFLOW];
    return 1u + (c->cr[CR_VDISPLAY] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3);
}

/* See vga_get_mode(). */
void vga_core_mode(const struct vga_core *c, struct vga_mode *mode);

#endif
