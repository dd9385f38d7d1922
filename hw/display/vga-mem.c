/*
 * The window a0000-bffff onto video memory: four planes behind latches, the pipeline of the graphics controller, and
 * the two linear views, chain 4 and odd/even. Source: IBM PS/2 Hardware Interface Technical Reference, Video Subsystem;
 * [IBM "x"] is its description of register x.
 * VRAM holds the four planes side by side: byte p of the 4-byte group at 4n is plane p at plane offset n. Chain 4 and
 * odd/even are packed (chain 4 address n is byte n), so that the frame buffer BAR and banked VBE modes show the same
 * bytes; the CRTC's doubleword and word addressing, which would undo the gaps that real hardware leaves, is not
 * modelled. The RAM enable bit of the miscellaneous output register is ignored, as guests of this board are used to.
 */
#include "vga-core.h"

#include <string.h>

enum { WRITE_MODE_MASK = 3, READ_MODE_1 = 0x08 };

/* Bit n of a 4-bit value becomes all bits of byte n: one per plane. */
static const uint32_t spread[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

static uint32_t replicate(uint8_t byte)
{
    return byte * UINT32_C(0x01010101);
}

/* A banked VBE mode with 8 or more bits per pixel is linear and open whatever the sequencer says. */
static bool vbe_linear(const struct vga_core *c)
{
    return vga_vbe_enabled(c) && c->vbe[VBE_BPP] != 4;
}

static bool chain4(const struct vga_core *c)
{
    return vga_vbe_enabled(c) ? vbe_linear(c) : c->sr[SR_MEMORY_MODE] & SR4_CHAIN4;
}

static bool odd_even_write(const struct vga_core *c)
{
    return !vga_vbe_enabled(c) && !(c->sr[SR_MEMORY_MODE] & SR4_SEQUENTIAL);
}

static bool odd_even_read(const struct vga_core *c)
{
    return !vga_vbe_enabled(c) && c->gr[GR_MODE] & GR5_ODD_EVEN;
}

static unsigned map_mask(const struct vga_core *c)
{
    return vbe_linear(c) ? 0xf : c->sr[SR_MAP_MASK];
}

/*
 * The part of the window that decodes, by the memory map field [IBM "Miscellaneous"], and the display address of offset
 * off in it. Only the 64 KiB view is banked. False: nobody answers at one of the size bytes.
 */
static bool decode(const struct vga_core *c, uint64_t off, unsigned size, uint32_t *addr)
{
    static const struct {
        uint32_t first, bytes;
    } maps[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
    unsigned map = c->gr[GR_MISC] >> 2 & 3;
    uint64_t bank = map == 1 ? (uint64_t)c->vbe[VBE_BANK] << 16 : 0;
    if (off < maps[map].first || off - maps[map].first > maps[map].bytes - size)
        return false;
    *addr = (uint32_t)(off - maps[map].first + bank);
    return true;
}

/* The 4-byte group at plane offset n, or NULL if VRAM ends before it: the planes of a high bank lie 4 times as high. */
static uint8_t *group(const struct vga_core *c, uint32_t n)
{
    return n < c->vram_bytes / 4 ? c->vram + (size_t)n * 4 : NULL;
}

static uint8_t read_byte(struct vga_core *c, uint32_t addr)
{
    bool linear = chain4(c), pairs = !linear && odd_even_read(c);
    unsigned plane = linear ? addr & 3 : pairs ? (c->gr[GR_READ_MAP] & 2) | (addr & 1) : c->gr[GR_READ_MAP];
    const uint8_t *from = group(c, linear ? addr >> 2 : pairs ? addr >> 1 : addr);
    if (!from)
        return 0xff;
    c->latch = le32_get(from);
    if (!(c->gr[GR_MODE] & READ_MODE_1) || linear)
        return (uint8_t)(c->latch >> (8 * plane));
    /* Bits where every plane that is cared for equals the compare colour. */
    uint32_t differs = (c->latch ^ spread[c->gr[GR_COMPARE]]) & spread[c->gr[GR_DONT_CARE]];
    differs |= differs >> 16;
    return (uint8_t) ~(differs | differs >> 8);
}

static uint8_t rotated(const struct vga_core *c, uint8_t val)
{
    unsigned count = c->gr[GR_ROTATE] & 7;
    return (uint8_t)((unsigned)val << 8 >> count | (unsigned)val >> count);
}

static uint32_t logic(const struct vga_core *c, uint32_t data)
{
    switch (c->gr[GR_ROTATE] >> 3 & 3) {
    case 1: return data & c->latch;
    case 2: return data | c->latch;
    case 3: return data ^ c->latch;
    default: return data;
    }
}

/* What the four planes are offered for a byte from the CPU, by write mode [IBM "Graphics Mode"]. */
static uint32_t pipeline(const struct vga_core *c, uint8_t val)
{
    uint32_t mask = replicate(c->gr[GR_BIT_MASK]), set = spread[c->gr[GR_SET_RESET]], data;
    switch (c->gr[GR_MODE] & WRITE_MODE_MASK) {
    case 0: {
        uint32_t enable = spread[c->gr[GR_ENABLE_SET_RESET]];
        data = (replicate(rotated(c, val)) & ~enable) | (set & enable);
        break;
    }
    case 1: return c->latch;
    case 2: data = spread[val & 0xf]; break;
    default:
        mask &= replicate(rotated(c, val));
        data = set;
        break;
    }
    return (logic(c, data) & mask) | (c->latch & ~mask);
}

static void write_byte(struct vga_core *c, uint32_t addr, uint8_t val)
{
    unsigned planes = map_mask(c);
    bool linear = chain4(c), pairs = !linear && odd_even_write(c);
    if (linear)
        planes &= 1u << (addr & 3);
    else if (pairs)
        planes &= addr & 1 ? 0xa : 0x5;
    uint8_t *to = group(c, linear ? addr >> 2 : pairs ? addr >> 1 : addr);
    if (!to || planes == 0)
        return;
    if (linear) {
        /* Past the pipeline: guests set banked VBE modes without a BIOS that would have opened the bit mask. */
        to[addr & 3] = val;
        return;
    }
    uint32_t data = pipeline(c, val);
    for (unsigned plane = 0; plane < 4; plane++) {
        if (planes & 1u << plane)
            to[plane] = (uint8_t)(data >> (8 * plane));
    }
}

uint64_t vga_window_read(struct vga_core *c, uint64_t off, unsigned size)
{
    uint32_t addr;
    uint64_t val = 0;
    /* Fast: linear, whole. addr + size <= vram_bytes, as a bank lies in VRAM and an unbanked map is smaller than it. */
    if (chain4(c) && decode(c, off, size, &addr)) {
        c->latch = le32_get(c->vram + ((addr + size - 1) & ~UINT32_C(3)));
        return le_get(c->vram + addr, size);
    }
    for (unsigned i = 0; i < size; i++)
        val |= (uint64_t)(decode(c, off + i, 1, &addr) ? read_byte(c, addr) : 0xff) << (8 * i);
    return val;
}

void vga_window_write(struct vga_core *c, uint64_t off, unsigned size, uint64_t val)
{
    uint32_t addr;
    if (chain4(c) && map_mask(c) == 0xf && decode(c, off, size, &addr)) {
        le_put(c->vram + addr, size, val);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        if (decode(c, off + i, 1, &addr))
            write_byte(c, addr, (uint8_t)(val >> (8 * i)));
    }
}
