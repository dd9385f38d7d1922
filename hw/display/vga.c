/*
 * The standard VGA adapter: a VGA with the Bochs display interface behind a PCI function with a linear frame buffer
 * (BAR0), memory-mapped registers (BAR2) and the VGA BIOS (ROM BAR). Sources: QEMU's description of the "stdvga" PCI
 * device (register map of BAR2); PCI 3.0, 6.3.1 (ROM image); contract 5.4 and 5.7. Registers are in vga-regs.c, the
 * window in vga-mem.c, DISPI in vga-vbe.c, what is shown in vga-mode.c.
 */
#include "vga.h"

#include "edid.h"
#include "vga-core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <thindm/bus.h>
#include <thindm/device.h>
#include <thindm/pci.h>

enum { BAR_VRAM = 0, BAR_REGS = 2, REGS_BYTES = 4096 };
enum { VENDOR = 0x1234, DEVICE = 0x1111, SUBVENDOR = 0x1af4, SUBDEVICE = 0x1100, CLASS_VGA = 0x030000, REVISION = 2 };
/* BAR2: EDID, VGA ports 3c0-3df, DISPI registers of 16 bits, extension (its size and the frame buffer's byte order). */
enum { REGS_PORTS = 0x400, REGS_PORTS_END = 0x420, REGS_DISPI = 0x500, REGS_EXT = 0x600 };
enum { REGS_DISPI_END = REGS_DISPI + 2 * VBE_NR, EXT_SIZE = 0, EXT_BYTE_ORDER = 4, EXT_BYTES = 8 };
#define BIG_ENDIAN_MARK    UINT32_C(0xbebebebe)
#define LITTLE_ENDIAN_MARK UINT32_C(0x1e1e1e1e)
/* Option ROM header and PCI data structure [PCI 6.3.1.1, 6.3.1.2]. */
enum { ROM_CHECKSUM = 6, ROM_PCIR = 0x18, PCIR_VENDOR = 4, PCIR_DEVICE = 6, PCIR_BYTES = 24 };
/* DISPI ports: index, data at an odd and at an even address. */
enum { DISPI_PORT = 0x1ce, DISPI_PORTS = 4, DISPI_INDEX = 0, DISPI_DATA = 1, DISPI_DATA_EVEN = 2 };

static const struct {
    uint16_t base, len;
} port_ranges[] = { { 0x3b4, 2 }, { 0x3ba, 1 }, { 0x3c0, 16 }, { 0x3d4, 2 }, { 0x3da, 1 } };

struct vga;

/* A bus region of VGA ports; its handlers need to know where it begins. */
struct vga_ports {
    struct vga *vga;
    struct bus_region region;
};

struct vga {
    struct device dev;
    struct pci_func pci;
    void (*vram_moved)(void *opaque, uint64_t addr, bool mapped);
    void *opaque;
    uint8_t *own_rom; /* NULL: the configured one serves as it is */
    struct vga_ports ports[ARRAY_SIZE(port_ranges)];
    struct bus_region dispi, window;
    struct vga_core core;
};

static const struct snap_field vga_fields[] = { SNAP_ARRAY(struct vga, pci.config), VGA_CORE_FIELDS(struct vga),
                                                SNAP_END };

static uint64_t ports_read(void *opaque, uint64_t off, unsigned size)
{
    struct vga_ports *ports = opaque;
    return vga_port_read(&ports->vga->core, (unsigned)(ports->region.base + off));
}

static void ports_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct vga_ports *ports = opaque;
    vga_port_write(&ports->vga->core, (unsigned)(ports->region.base + off), (uint8_t)val);
}

static uint64_t dispi_read(void *opaque, uint64_t off, unsigned size)
{
    const struct vga *s = opaque;
    switch (off) {
    case DISPI_INDEX: return s->core.vbe_index;
    case DISPI_DATA:
    case DISPI_DATA_EVEN: return vga_vbe_read(&s->core, s->core.vbe_index);
    }
    return UINT64_MAX;
}

static void dispi_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct vga *s = opaque;
    switch (off) {
    case DISPI_INDEX: s->core.vbe_index = (uint16_t)val; break;
    case DISPI_DATA:
    case DISPI_DATA_EVEN: vga_vbe_write(&s->core, s->core.vbe_index, (uint16_t)val); break;
    }
}

static uint64_t window_read(void *opaque, uint64_t off, unsigned size)
{
    struct vga *s = opaque;
    return vga_window_read(&s->core, off, size);
}

static void window_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct vga *s = opaque;
    vga_window_write(&s->core, off, size, val);
}

/* Reached only while the frames aren't where the BAR is: normally guests access video memory without us. */
static uint64_t vram_read(void *opaque, uint64_t off, unsigned size)
{
    const struct vga *s = opaque;
    return le_get(s->core.vram + off, size);
}

static void vram_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct vga *s = opaque;
    le_put(s->core.vram + off, size, val);
}

static uint8_t regs_read_byte(struct vga *s, uint64_t off)
{
    if (off < EDID_BYTES)
        return edid_block[off];
    if (off >= REGS_PORTS && off < REGS_PORTS_END)
        return vga_port_read(&s->core, (unsigned)(0x3c0 + off - REGS_PORTS));
    if (off >= REGS_DISPI && off < REGS_DISPI_END)
        return (uint8_t)(vga_vbe_read(&s->core, (unsigned)(off - REGS_DISPI) / 2) >> (off & 1 ? 8 : 0));
    if (off >= REGS_EXT && off < REGS_EXT + EXT_BYTES) {
        uint32_t order = s->core.big_endian ? BIG_ENDIAN_MARK : LITTLE_ENDIAN_MARK;
        return (uint8_t)(off - REGS_EXT < EXT_BYTE_ORDER ? off == REGS_EXT + EXT_SIZE ? EXT_BYTES : 0 : order);
    }
    return 0xff; /* the EDID has no second block; gaps */
}

static uint64_t regs_read(void *opaque, uint64_t off, unsigned size)
{
    struct vga *s = opaque;
    uint64_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= (uint64_t)regs_read_byte(s, off + i) << (8 * i);
    return val;
}

/* VGA ports are bytes, DISPI registers words, the byte order a doubleword; wider accesses go to neighbours too. */
static void regs_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct vga *s = opaque;
    if (off == REGS_EXT + EXT_BYTE_ORDER && size == 4) {
        if (val == BIG_ENDIAN_MARK || val == LITTLE_ENDIAN_MARK)
            s->core.big_endian = val == BIG_ENDIAN_MARK;
        return;
    }
    for (unsigned i = 0; i < size; i++, val >>= 8) {
        uint64_t at = off + i;
        if (at >= REGS_PORTS && at < REGS_PORTS_END)
            vga_port_write(&s->core, (unsigned)(0x3c0 + at - REGS_PORTS), (uint8_t)val);
        else if (at >= REGS_DISPI && at < REGS_DISPI_END && !(at & 1) && size - i >= 2)
            vga_vbe_write(&s->core, (unsigned)(at - REGS_DISPI) / 2, (uint16_t)val);
    }
}

static void bar_moved(void *opaque, uint64_t addr, bool mapped)
{
    struct vga *s = opaque;
    if (s->vram_moved)
        s->vram_moved(s->opaque, addr, mapped);
}

static void vga_reset(struct device *dev)
{
    struct vga *s = container_of(dev, struct vga, dev);
    pci_reset(&s->pci);
    vga_core_reset(&s->core);
}

static int vga_restored(struct device *dev)
{
    struct vga *s = container_of(dev, struct vga, dev);
    int err = vga_core_restored(&s->core);
    return err ? err : pci_restored(&s->pci);
}

static void vga_unplug(struct device *dev)
{
    struct vga *s = container_of(dev, struct vga, dev);
    for (size_t i = 0; i < ARRAY_SIZE(s->ports); i++)
        bus_detach(&s->ports[i].region);
    bus_detach(&s->dispi);
    bus_detach(&s->window);
    pci_detach(&s->pci);
}

static void vga_destroy(struct device *dev)
{
    struct vga *s = container_of(dev, struct vga, dev);
    free(s->own_rom);
}

static const struct bus_ops ports_ops = { .read = ports_read, .write = ports_write, .sizes = BUS_1 };
/* The last port belongs to the region only as the upper half of a word at the one before. */
static const struct bus_ops dispi_ops = { .read = dispi_read, .write = dispi_write, .sizes = BUS_2, .exact = true };
static const struct bus_ops window_ops = { .read = window_read,
                                           .write = window_write,
                                           .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8 };
static const struct bus_ops vram_ops = { .read = vram_read,
                                         .write = vram_write,
                                         .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8 };
static const struct bus_ops regs_ops = { .read = regs_read, .write = regs_write, .sizes = BUS_1 | BUS_2 | BUS_4 };

static const struct pci_desc vga_pci_desc = {
    .vendor = VENDOR,
    .device = DEVICE,
    .subvendor = SUBVENDOR,
    .subdevice = SUBDEVICE,
    .class_code = CLASS_VGA,
    .revision = REVISION, /* no interrupt pin; command 0 at reset */
};

static const struct device_desc vga_desc = {
    .name = "vga",
    .version = 1,
    .fields = vga_fields,
    .reset = vga_reset,
    .restored = vga_restored,
    .unplug = vga_unplug,
    .destroy = vga_destroy,
};

static bool rom_is_ours(const uint8_t *pcir)
{
    return le16_get(pcir + PCIR_VENDOR) == VENDOR && le16_get(pcir + PCIR_DEVICE) == DEVICE;
}

/*
 * Firmware refuses an image whose ids aren't the function's. A default image made for a relative is adapted, with the
 * byte sum of the image kept [contract 5.4]. 0 or -ENOMEM.
 */
static int adapt_rom(struct vga *s, const struct vga_config *config)
{
    const uint8_t *rom = config->rom;
    size_t len = config->rom_bytes, pcir = rom && len >= ROM_PCIR + 2 ? le16_get(rom + ROM_PCIR) : 0;
    s->pci.rom = rom;
    s->pci.rom_bytes = len;
    if (!config->rom_is_default || pcir < ROM_PCIR + 2 || len < PCIR_BYTES || pcir > len - PCIR_BYTES)
        return 0;
    if (memcmp(rom + pcir, "PCIR", 4) || rom_is_ours(rom + pcir))
        return 0;
    uint8_t *own = malloc(len);
    if (!own)
        return -ENOMEM;
    memcpy(own, rom, len);
    le16_put(own + pcir + PCIR_VENDOR, VENDOR);
    le16_put(own + pcir + PCIR_DEVICE, DEVICE);
    for (size_t i = pcir + PCIR_VENDOR; i < pcir + PCIR_DEVICE + 2; i++)
        own[ROM_CHECKSUM] = (uint8_t)(own[ROM_CHECKSUM] + rom[i] - own[i]);
    s->pci.rom = s->own_rom = own;
    return 0;
}

static int attach(struct vga *s, const struct vga_config *config)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->ports); i++) {
        struct vga_ports *ports = &s->ports[i];
        ports->vga = s;
        int err = bus_attach(config->ports, &ports->region, &ports_ops, ports, port_ranges[i].base, port_ranges[i].len);
        if (err)
            return err;
    }
    int err = bus_attach(config->ports, &s->dispi, &dispi_ops, s, DISPI_PORT, DISPI_PORTS);
    if (!err)
        err = bus_attach(config->memory, &s->window, &window_ops, s, VGA_WINDOW, VGA_WINDOW_BYTES);
    if (!err)
        err = pci_attach(&s->pci, config->pci, config->devfn, &vga_pci_desc);
    return err;
}

int vga_create(const struct vga_config *config, struct device **out)
{
    if (!is_pow2(config->vram_bytes) || config->vram_bytes < VGA_VRAM_MIN || config->vram_bytes > VGA_VRAM_MAX)
        return -EINVAL;
    struct vga *s = device_new(&vga_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->vram_moved = config->vram_moved;
    s->opaque = config->opaque;
    s->core.loop = config->loop;
    s->core.vram = config->vram;
    s->core.vram_bytes = config->vram_bytes;
    vga_core_reset(&s->core);
    s->pci.opaque = s;
    s->pci.bars[BAR_VRAM] = (struct pci_bar){
        .kind = PCI_BAR_MEM32_PREFETCH, .size = config->vram_bytes, .ops = &vram_ops, .moved = bar_moved
    };
    s->pci.bars[BAR_REGS] = (struct pci_bar){ .kind = PCI_BAR_MEM32, .size = REGS_BYTES, .ops = &regs_ops };
    int err = adapt_rom(s, config);
    if (!err)
        err = attach(s, config);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    *out = &s->dev;
    return 0;
}

void vga_get_mode(const struct device *dev, struct vga_mode *mode)
{
    const struct vga *s = container_of(dev, struct vga, dev);
    vga_core_mode(&s->core, mode);
}
