/*
 * VGA registers at ports 3b4-3da: miscellaneous output, input status, CRT controller, sequencer, graphics controller,
 * attribute controller, DAC. Source: IBM PS/2 Hardware Interface Technical Reference, Video Subsystem; [IBM "x"] is its
 * description of register x.
 * Left out: interrupts at vertical retrace (no adapter of this board has them), switch sense (input status 0 reads 0,
 * as guests of this board know it), palette protection while the screen is on, sequencer resets.
 */
#include "vga-core.h"

#include <errno.h>
#include <string.h>

enum { MONO_FIRST = 0x3b0, CORE_FIRST = 0x3c0, COLOR_FIRST = 0x3d0, PORTS_END = 0x3e0 };
/* Ports, those of the CRTC as in the colour half. */
enum {
    AR_PORT = 0x3c0, AR_READ = 0x3c1, MISC_WRITE = 0x3c2, SR_INDEX = 0x3c4, SR_DATA = 0x3c5, DAC_MASK = 0x3c6,
    DAC_READ_INDEX = 0x3c7, DAC_WRITE_INDEX = 0x3c8, DAC_DATA = 0x3c9, FEATURE_READ = 0x3ca, MISC_READ = 0x3cc,
    GR_INDEX = 0x3ce, GR_DATA = 0x3cf, CR_INDEX = 0x3d4, CR_DATA = 0x3d5, STATUS_1 = 0x3da, /* write: feature control */
};
enum { MISC_MASK = 0xef, FEATURE_MASK = 0x10 };
enum { SR_INDEX_MASK = 7, GR_INDEX_MASK = 0xf, AR_INDEX_MASK = 0x3f, AR_REG = 0x1f };
enum { CR11_PROTECT = 0x80, CR7_LINE_COMPARE = 0x10, DAC_WRITING = 0, DAC_READING = 3 };
enum { STATUS_BLANK = 0x01, STATUS_RETRACE = 0x08 };

/* Bits that exist, by register; the CRTC's are all stored. */
static const uint8_t sr_masks[VGA_NR_SR] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gr_masks[VGA_NR_GR] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t ar_masks[VGA_NR_AR] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

/* A frame as the CRTC draws it: times in ns, the rest in lines. */
struct scan {
    uint64_t line_ns, shown_ns;
    unsigned lines, shown, retrace;
};

/* 640x480 at 60 Hz: what is told while no usable timing is programmed, as in modes set through VBE. */
static const struct scan standard_scan = {
    .line_ns = 31778, .shown_ns = 25422, .lines = 525, .shown = 480, .retrace = 490
};

static struct scan scan_timing(const struct vga_core *c)
{
    unsigned overflow = c->cr[CR_OVERFLOW];
    unsigned chars = c->cr[CR_HTOTAL] + 5u, shown_chars = c->cr[CR_HDISPLAY] + 1u;
    /* No other clock is fitted [IBM "Miscellaneous Output"]. */
    uint64_t hz = (c->misc >> 2 & 3) == 1 ? 28322000 : 25175000;
    uint64_t dots = c->sr[SR_CLOCKING] & SR1_8_DOTS ? 8 : 9;
    if (c->sr[SR_CLOCKING] & SR1_HALF_CLOCK)
        dots *= 2;
    struct scan scan = {
        .line_ns = chars * dots * NS_PER_S / hz,
        .shown_ns = shown_chars * dots * NS_PER_S / hz,
        .lines = 2u + (c->cr[CR_VTOTAL] | (overflow & 0x01) << 8 | (overflow & 0x20) << 4),
        .shown = vga_display_lines(c),
        .retrace = c->cr[CR_VSYNC_START] | (overflow & 0x04) << 6 | (overflow & 0x80) << 2,
    };
    uint64_t frame_ns = scan.line_ns * scan.lines;
    bool plausible = scan.retrace < scan.lines && scan.shown < scan.lines && shown_chars < chars &&
                     frame_ns >= NS_PER_S / 150 && frame_ns <= NS_PER_S / 30;
    return plausible && !vga_vbe_enabled(c) ? scan : standard_scan;
}

/*
 * Where the beam would be by the guest's clock [IBM "Input Status 1"]. A real retrace of two lines is 60 us, and a
 * trapped poll can take longer: it lasts 1/16 of a frame here, or a guest that waits for it would miss it time and
 * again.
 */
static uint8_t input_status_1(const struct vga_core *c)
{
    struct scan scan = scan_timing(c);
    uint64_t now_ns = loop_now(c->loop) % (scan.line_ns * scan.lines);
    unsigned line = (unsigned)(now_ns / scan.line_ns);
    bool retrace = (line + scan.lines - scan.retrace) % scan.lines < scan.lines / 16;
    bool blank = retrace || line >= scan.shown || now_ns % scan.line_ns >= scan.shown_ns;
    return (uint8_t)((retrace ? STATUS_RETRACE : 0) | (blank ? STATUS_BLANK : 0));
}

static uint8_t dac_read(struct vga_core *c)
{
    bool wide = (c->vbe[VBE_ENABLE] & (VBE_ENABLED | VBE_8BIT_DAC)) == (VBE_ENABLED | VBE_8BIT_DAC);
    uint8_t val = c->dac[c->dac_read * 3 + c->dac_sub];
    if (++c->dac_sub == 3) {
        c->dac_sub = 0;
        c->dac_read++;
    }
    return wide ? val : val & 0x3f;
}

/* A colour changes with its third component [IBM "PEL Data"]. */
static void dac_write(struct vga_core *c, uint8_t val)
{
    c->dac_latch[c->dac_sub] = val;
    if (++c->dac_sub == 3) {
        memcpy(c->dac + c->dac_write * 3, c->dac_latch, 3);
        c->dac_sub = 0;
        c->dac_write++;
    }
}

static void dac_start(struct vga_core *c, uint8_t state, uint8_t *index, uint8_t val)
{
    *index = val;
    c->dac_state = state;
    c->dac_sub = 0;
}

/* One port for index and data; a flip-flop tells, input status 1 resets it [IBM "Attribute Address"]. */
static void ar_write(struct vga_core *c, uint8_t val)
{
    unsigned reg = c->ar_index & AR_REG;
    if (!c->ar_data)
        c->ar_index = val & AR_INDEX_MASK;
    else if (reg < VGA_NR_AR)
        c->ar[reg] = val & ar_masks[reg];
    c->ar_data = !c->ar_data;
}

static void cr_write(struct vga_core *c, uint8_t val)
{
    unsigned reg = c->cr_index;
    if (reg >= VGA_NR_CR)
        return;
    if (reg > CR_OVERFLOW || !(c->cr[CR_VSYNC_END] & CR11_PROTECT))
        c->cr[reg] = val;
    else if (reg == CR_OVERFLOW) /* the one bit that isn't timing [IBM "Vertical Retrace End"] */
        c->cr[reg] = (uint8_t)((c->cr[reg] & ~CR7_LINE_COMPARE) | (val & CR7_LINE_COMPARE));
}

/* The port as in the colour half, or 0 if it isn't there: the CRTC moves with bit 0 of [IBM "Miscellaneous Output"]. */
static unsigned present(const struct vga_core *c, unsigned port)
{
    bool color = c->misc & MISC_COLOR;
    if (port < MONO_FIRST || port >= PORTS_END)
        return 0;
    if (port >= CORE_FIRST && port < COLOR_FIRST)
        return port;
    if (port >= COLOR_FIRST)
        return color ? port : 0;
    return color ? 0 : port + (COLOR_FIRST - MONO_FIRST);
}

uint8_t vga_port_read(struct vga_core *c, unsigned port)
{
    unsigned ar = c->ar_index & AR_REG;
    switch (present(c, port)) {
    case AR_PORT: return c->ar_index;
    case AR_READ: return ar < VGA_NR_AR ? c->ar[ar] : 0;
    case MISC_WRITE: return 0; /* input status 0 */
    case SR_INDEX: return c->sr_index;
    case SR_DATA: return c->sr_index < VGA_NR_SR ? c->sr[c->sr_index] : 0;
    case DAC_MASK: return c->dac_mask;
    case DAC_READ_INDEX: return c->dac_state;
    case DAC_WRITE_INDEX: return c->dac_write;
    case DAC_DATA: return dac_read(c);
    case FEATURE_READ: return c->feature;
    case MISC_READ: return c->misc;
    case GR_INDEX: return c->gr_index;
    case GR_DATA: return c->gr_index < VGA_NR_GR ? c->gr[c->gr_index] : 0;
    case CR_INDEX: return c->cr_index;
    case CR_DATA: return c->cr_index < VGA_NR_CR ? c->cr[c->cr_index] : 0;
    case STATUS_1: c->ar_data = false; return input_status_1(c);
    case 0x3c3: /* adapter enable: always is */
    case 0x3cb:
    case 0x3cd: return 0;
    }
    return 0xff;
}

void vga_port_write(struct vga_core *c, unsigned port, uint8_t val)
{
    switch (present(c, port)) {
    case AR_PORT: ar_write(c, val); break;
    case MISC_WRITE: c->misc = val & MISC_MASK; break;
    case SR_INDEX: c->sr_index = val & SR_INDEX_MASK; break;
    case SR_DATA:
        if (c->sr_index < VGA_NR_SR)
            c->sr[c->sr_index] = val & sr_masks[c->sr_index];
        break;
    case DAC_MASK: c->dac_mask = val; break;
    case DAC_READ_INDEX: dac_start(c, DAC_READING, &c->dac_read, val); break;
    case DAC_WRITE_INDEX: dac_start(c, DAC_WRITING, &c->dac_write, val); break;
    case DAC_DATA: dac_write(c, val); break;
    case GR_INDEX: c->gr_index = val & GR_INDEX_MASK; break;
    case GR_DATA:
        if (c->gr_index < VGA_NR_GR)
            c->gr[c->gr_index] = val & gr_masks[c->gr_index];
        vga_vbe_program(c);
        break;
    case CR_INDEX: c->cr_index = val; break;
    case CR_DATA:
        cr_write(c, val);
        vga_vbe_program(c);
        break;
    case STATUS_1: c->feature = val & FEATURE_MASK; break;
    }
}

void vga_core_reset(struct vga_core *c)
{
    c->misc = c->feature = 0;
    c->cr_index = c->sr_index = c->gr_index = c->ar_index = 0;
    c->ar_data = false;
    memset(c->cr, 0, sizeof(c->cr));
    memset(c->sr, 0, sizeof(c->sr));
    memset(c->gr, 0, sizeof(c->gr));
    memset(c->ar, 0, sizeof(c->ar));
    c->dac_mask = 0xff;
    c->dac_read = c->dac_write = c->dac_sub = 0;
    c->dac_state = DAC_WRITING;
    memset(c->dac_latch, 0, sizeof(c->dac_latch));
    memset(c->dac, 0, sizeof(c->dac));
    c->latch = 0;
    c->big_endian = false;
    vga_vbe_reset(c);
}

static bool masked(const uint8_t *regs, const uint8_t *masks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (regs[i] & ~masks[i])
            return false;
    }
    return true;
}

int vga_core_restored(const struct vga_core *c)
{
    bool registers = masked(c->sr, sr_masks, VGA_NR_SR) && masked(c->gr, gr_masks, VGA_NR_GR) &&
                     masked(c->ar, ar_masks, VGA_NR_AR) && !(c->misc & ~MISC_MASK) && !(c->feature & ~FEATURE_MASK);
    bool indices = c->sr_index <= SR_INDEX_MASK && c->gr_index <= GR_INDEX_MASK && c->ar_index <= AR_INDEX_MASK;
    bool dac = c->dac_sub < 3 && (c->dac_state == DAC_WRITING || c->dac_state == DAC_READING);
    return registers && indices && dac ? vga_vbe_restored(c) : -EINVAL;
}
