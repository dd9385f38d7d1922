/* Standard VGA (PCI 1234:1111): VGA registers, Bochs display interface, linear frame buffer, VGA BIOS. */
#ifndef THINDM_VGA_H
#define THINDM_VGA_H

#include <thindm/util.h>

struct bus;
struct device;
struct loop;
struct pci_bus;

struct vga_config {
    const char *id;
    struct loop *loop;
    struct bus *ports, *memory;
    struct pci_bus *pci;
    uint8_t devfn;
    /* Video memory, mapped as long as the device lives; the guest writes it at any time. A power of two, 1-512 MiB. */
    void *vram;
    uint64_t vram_bytes;
    /* The VGA BIOS, the caller's, as long as the device lives. NULL or 0 bytes: no ROM. */
    const uint8_t *rom;
    size_t rom_bytes;
    /* The card's own image rather than one the administrator named: its PCI ids are made to fit where they differ. */
    bool rom_is_default;
    /* The frame buffer BAR decodes at addr from now on; mapped false: nowhere. May be NULL. */
    void (*vram_moved)(void *opaque, uint64_t addr, bool mapped);
    void *opaque;
};

/*
 * Plug the adapter in: VGA and VBE ports, a0000-bffff, the PCI function. Takes nothing of config. 0, -ENOMEM, -EINVAL
 * (vram_bytes), -EEXIST (ports, window or slot taken; nothing is left behind), -ENOSPC. Calls nobody back. Sources: IBM
 * PS/2 Hardware Interface Technical Reference, Video Subsystem; Bochs VBE interface (DISPI) up to ID 5; contract 5.7.
 */
int vga_create(const struct vga_config *config, struct device **out) WARN_UNUSED;

enum vga_mode_kind {
    VGA_MODE_BLANK,   /* nothing is shown: screen off, or no mode was ever set */
    VGA_MODE_TEXT,    /* a character cell is 4 bytes of VRAM: code, attribute, two of the font planes */
    VGA_MODE_PLANAR,  /* 8 pixels are 4 bytes, one per plane; through the attribute controller */
    VGA_MODE_CGA,     /* 2 bits per pixel in pairs of planes (shift register interleave); as above */
    VGA_MODE_PALETTE, /* a byte per pixel, through the DAC only */
    VGA_MODE_DIRECT,  /* bpp 15, 16, 24 or 32, little-endian unless big_endian */
};

/*
 * What the registers say is on the screen. Offsets are bytes of VRAM. Whatever the guest programmed:
 * start + height * line_bytes <= vram_bytes in modes set through VBE; in the others every byte address is to be taken
 * modulo wrap_bytes, which is a power of two <= vram_bytes.
 */
struct vga_mode {
    enum vga_mode_kind kind;
    bool vbe;
    uint32_t width, height;   /* pixels as stored; each is shown scale_x by scale_y times. 0 when blank */
    uint8_t scale_x, scale_y; /* 1 or 2; 1 to 64 */
    uint8_t bpp;              /* 0 (blank, text), 2, 4, 8, 15, 16, 24, 32 */
    uint8_t cell_width, cell_height; /* text: of a character, pixels; else 0 */
    uint32_t start, line_bytes;      /* text: line_bytes from one row of characters to the next */
    uint32_t wrap_bytes;             /* 0: vbe, nothing to wrap */
    uint32_t split;                  /* stored line from which on addresses begin again at 0; UINT32_MAX: never */
    uint8_t pan_x, pan_y;            /* shown pixels shifted out to the left, lines (of a cell in text) to the top */
    uint8_t bank_lines;              /* 1, 2, 4: line n is at 8 KiB plane offset times n modulo this (CGA, Hercules) */
    bool palette_8bit, big_endian;
};

/* Fill in mode. dev came from vga_create(). */
void vga_get_mode(const struct device *dev, struct vga_mode *mode);

#endif
