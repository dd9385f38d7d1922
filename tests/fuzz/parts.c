/* The devices that have a target of their own: how each gets onto an empty board, where it is, what happens to it. */
#include "fuzz.h"

#include <char/serial.h>
#include <chipset/cmos.h>
#include <chipset/debugport.h>
#include <chipset/dma8237.h>
#include <chipset/i440fx.h>
#include <chipset/piix3.h>
#include <chipset/piix4-pm.h>
#include <chipset/port92.h>
#include <chipset/xen-platform.h>
#include <display/vga.h>
#include <input/i8042.h>
#include <storage/ide-piix3.h>
#include <errno.h>

enum { DEVFN_PIIX3 = PCI_DEVFN(1, 0), DEVFN_IDE = PCI_DEVFN(1, 1), DEVFN_PM = PCI_DEVFN(1, 3),
       DEVFN_PLATFORM = PCI_DEVFN(2, 0), DEVFN_VGA = PCI_DEVFN(3, 0) };

/* As a guest's firmware does; on a board without the function it goes nowhere. */
void fuzz_place_bars(struct fuzz_board *b)
{
    struct pci_bus *pci = &b->m.pci;
    pci_config_write(pci, DEVFN_IDE, PCI_BAR0 + 16, 4, FUZZ_BM_BASE);
    pci_config_write(pci, DEVFN_IDE, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    pci_config_write(pci, DEVFN_PM, 0x40, 4, FUZZ_PM_BASE | 1);
    pci_config_write(pci, DEVFN_PM, 0x80, 1, 1);
    pci_config_write(pci, DEVFN_PM, 0x90, 4, FUZZ_SMBUS_BASE | 1);
    pci_config_write(pci, DEVFN_PM, 0xd2, 1, 9);
    pci_config_write(pci, DEVFN_PM, PCI_COMMAND, 2, PCI_COMMAND_IO);
    pci_config_write(pci, DEVFN_PLATFORM, PCI_BAR0, 4, FUZZ_PLATFORM_BASE);
    pci_config_write(pci, DEVFN_PLATFORM, PCI_BAR0 + 4, 4, (uint32_t)FUZZ_PLATFORM_BAR);
    pci_config_write(pci, DEVFN_PLATFORM, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    pci_config_write(pci, DEVFN_VGA, PCI_BAR0, 4, (uint32_t)FUZZ_VRAM_BAR);
    pci_config_write(pci, DEVFN_VGA, PCI_BAR0 + 8, 4, (uint32_t)FUZZ_VGA_MMIO);
    pci_config_write(pci, DEVFN_VGA, PCI_ROM_BAR, 4, (uint32_t)FUZZ_VGA_ROM | 1);
    pci_config_write(pci, DEVFN_VGA, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
}

static void ignore_power(void *opaque, enum hv_shutdown reason)
{
}

static void ignore_call(void *opaque)
{
}

static void ignore_slot(void *opaque, unsigned slot)
{
}

/* --- Serial port --- */

static const struct fuzz_range serial_ports[] = { { 0x3f8, 8 } };

static int create_serial(struct fuzz_board *b, struct device **out)
{
    struct chr *chr;
    int err = fuzz_chr_open(b, &chr);
    if (err)
        return err;
    return serial_create(&(struct serial_config){ .id = "serial", .loop = &b->loop, .ports = &b->m.ports, .base = 0x3f8,
                             .irq = irq_isa(&b->m.irqs, 4), .chr = chr },
                         out);
}

static void serial_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    serial_break(b->dev);
}

/* --- Keyboard controller --- */

static const struct fuzz_range i8042_ports[] = { { 0x60, 1 }, { 0x64, 1 } };

static int create_i8042(struct fuzz_board *b, struct device **out)
{
    return i8042_create(&(struct i8042_config){ .id = "i8042", .loop = &b->loop, .ports = &b->m.ports,
                            .irq_kbd = irq_isa(&b->m.irqs, 1), .irq_mouse = irq_isa(&b->m.irqs, 12),
                            .input = &b->m.input, .reset = ignore_call },
                        out);
}

/* --- IDE: the same controller with one kind of drive, or with all --- */

static const struct fuzz_range ide_ports[] = { { 0x1f0, 8 }, { 0x3f6, 1 }, { FUZZ_BM_BASE, 16 }, { 0x170, 8 }, { 0x376, 1 } };
static const uint8_t ide_functions[] = { DEVFN_IDE };

static void tray_moved(void *opaque, const char *id, bool open)
{
}

/* Letters: d a disk, D one that needs 48 bits and can't discard, r a read-only one, c a CD-ROM, e an empty drive, - nothing. */
static int create_ide(struct fuzz_board *b, struct device **out, const char *drives)
{
    static const char *const ids[] = { "ide-768", "ide-832", "ide-5632", "ide-5696" };
    struct ide_piix3_config config = { .id = "ide", .loop = &b->loop, .ports = &b->m.ports, .pci = &b->m.pci,
                                       .devfn = DEVFN_IDE, .mem = &b->m.mem, .tray_moved = tray_moved,
                                       .irq = { irq_isa(&b->m.irqs, 14), irq_isa(&b->m.irqs, 15) } };
    int err = 0;
    for (unsigned i = 0; i < IDE_DRIVES && !err; i++) {
        struct ide_drive_config *d = &config.drives[i];
        *d = (struct ide_drive_config){ .present = drives[i] != '-', .cdrom = drives[i] == 'c' || drives[i] == 'e', .id = ids[i] };
        if (d->present && drives[i] != 'e')
            err = fuzz_disk_open(b, drives[i] == 'D' ? 160 * GIB : d->cdrom ? 4 * MIB : 8 * MIB, drives[i] == 'r' || d->cdrom, &d->block);
        if (d->block)
            d->block->discard = drives[i] != 'D';
    }
    if (!err)
        err = ide_piix3_create(&config, out);
    b->m.ide = err ? NULL : *out; /* so that it is drained before a snapshot */
    return err;
}

static int create_ata(struct fuzz_board *b, struct device **out)
{
    return create_ide(b, out, "dDr-");
}

static int create_atapi(struct fuzz_board *b, struct device **out)
{
    return create_ide(b, out, "e-cc");
}

static int create_piix3_ide(struct fuzz_board *b, struct device **out)
{
    return create_ide(b, out, "ddcd");
}

static void ide_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    static const char *const ids[] = { "ide-768", "ide-832", "ide-5632", "ide-5696" };
    const char *id = ids[fuzz_u8(in) % ARRAY_SIZE(ids)];
    /* Nothing, a CD, a DVD, one that ends within a sector, one that can't be read in CD-ROM's units. */
    static const struct {
        uint64_t bytes;
        uint32_t sector_bytes;
    } media[] = { { 0, 512 }, { 4 * MIB, 512 }, { 5 * GIB, 512 }, { 5 * 1024 + 512, 512 }, { 4 * MIB, 4096 } };
    struct ide_drive_info info;
    struct block *block;
    unsigned n;
    b->spoiled |= kind < 5;
    switch (kind) {
    case 0: fuzz_any(ide_eject(b->dev, id, false)); break;
    case 1: fuzz_any(ide_eject(b->dev, id, true)); break;
    case 2:
    case 3:
        n = fuzz_u8(in) % ARRAY_SIZE(media);
        if (fuzz_disk_open(b, media[n].bytes, true, &block))
            break;
        block->sector_bytes = media[n].sector_bytes;
        if (ide_change_medium(b->dev, id, kind == 3, block))
            block_close(block);
        break;
    case 4: ide_unplug_disks(b->dev, fuzz_u8(in) & 1); break;
    case 5: ide_drain(b->dev); break;
    default: (void)ide_drive_info(b->dev, kind & 7, &info);
    }
}

/* --- VGA --- */

static const struct fuzz_range vga_ports[] = { { 0x3c0, 32 }, { 0x3b0, 16 }, { 0x1ce, 4 } };
static const struct fuzz_range vga_memory[] = { { 0xa0000, 0x10000 }, { 0xb0000, 0x10000 }, { FUZZ_VGA_MMIO, 4096 },
                                                { FUZZ_VRAM_BAR, 0x10000 }, { FUZZ_VGA_ROM, 4096 } };
static const uint8_t vga_functions[] = { DEVFN_VGA };
static const uint8_t vga_rom[] = { 0x55, 0xaa, 1, [0x18] = 0x1c, [0x1c] = 'P', 'C', 'I', 'R', [511] = 0 };

static int create_vga(struct fuzz_board *b, struct device **out)
{
    int err = b->m.hv->ops->vram_create(b->m.hv, FUZZ_VRAM >> PAGE_SHIFT, &b->m.vram);
    if (err)
        return err;
    b->config.vga_bytes = FUZZ_VRAM;
    return vga_create(&(struct vga_config){ .id = "vga", .loop = &b->loop, .ports = &b->m.ports, .memory = &b->m.memory,
                          .pci = &b->m.pci, .devfn = DEVFN_VGA, .vram = b->m.vram, .vram_bytes = FUZZ_VRAM, .rom = vga_rom,
                          .rom_bytes = sizeof(vga_rom), .rom_is_default = true, .vram_moved = machine_vram_moved, .opaque = &b->m },
                      out);
}

/* What a display would draw is inside video memory, whatever the registers say. */
static void vga_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    struct vga_mode mode;
    vga_get_mode(b->dev, &mode);
    if (mode.vbe && mode.start + (uint64_t)mode.height * mode.line_bytes > FUZZ_VRAM)
        fuzz_bug("vga: a VBE mode of %ux%u reaches beyond video memory", mode.width, mode.height);
    if (!mode.vbe && (mode.wrap_bytes > FUZZ_VRAM || (mode.kind != VGA_MODE_BLANK && !is_pow2(mode.wrap_bytes))))
        fuzz_bug("vga: addresses wrap at %u", mode.wrap_bytes);
    if (mode.kind != VGA_MODE_BLANK && (mode.scale_x == 0 || mode.scale_y == 0 || mode.scale_y > 64))
        fuzz_bug("vga: scale %u by %u", mode.scale_x, mode.scale_y);
}

/* --- Power management --- */

static const struct fuzz_range pm_ports[] = { { FUZZ_PM_BASE, 64 }, { 0xb2, 2 }, { 0xae00, 24 }, { 0xaf00, 32 }, { 0xafe0, 4 },
                                              { FUZZ_SMBUS_BASE, 16 } };
static const uint8_t pm_functions[] = { DEVFN_PM };

static int create_pm(struct fuzz_board *b, struct device **out)
{
    return piix4_pm_create(&(struct piix4_pm_config){ .id = "piix4-pm", .ports = &b->m.ports, .pci = &b->m.pci, .devfn = DEVFN_PM,
                               .sci = irq_isa(&b->m.irqs, 9), .com1 = true, .vcpus = 1, .max_vcpus = 128,
                               .removable_slots = ~UINT32_C(0xf), .power = ignore_power, .sleep = ignore_call, .eject = ignore_slot },
                           out);
}

static void pm_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned n = fuzz_u8(in);
    b->spoiled = true; /* vCPUs stay */
    switch (kind % 4) {
    case 0: fuzz_any(piix4_pm_cpu_add(b->dev, n)); break;
    case 1: fuzz_any(piix4_pm_slot_inserted(b->dev, n & 31)); break;
    case 2: fuzz_any(piix4_pm_slot_remove(b->dev, n & 31)); break;
    default: (void)piix4_pm_cpu_online(b->dev, n);
    }
}

/* --- Platform device --- */

static const struct fuzz_range platform_ports[] = { { 0x10, 16 }, { FUZZ_PLATFORM_BASE, 256 } };
static const struct fuzz_range platform_memory[] = { { FUZZ_PLATFORM_BAR, 4096 } };
static const uint8_t platform_functions[] = { DEVFN_PLATFORM };

static void unplugged(void *opaque, uint16_t mask)
{
    struct fuzz_board *b = opaque;
    if (mask == 0)
        fuzz_bug("xen-platform: nothing is to be unplugged");
    b->spoiled = true;
}

static int create_platform(struct fuzz_board *b, struct device **out)
{
    return xen_platform_create(&(struct xen_platform_config){ .id = "xen-platform", .ports = &b->m.ports, .pci = &b->m.pci,
                                   .devfn = DEVFN_PLATFORM, .hv = b->m.hv, .unplug = unplugged, .opaque = b },
                               out);
}

/* --- DMA controllers --- */

static const struct fuzz_range dma_ports[] = { { 0, 16 }, { 0xc0, 32 }, { 0x80, 16 } };

static int create_dma(struct fuzz_board *b, struct device **out)
{
    return dma8237_create(&(struct dma8237_config){ .id = "dma8237", .ports = &b->m.ports }, out);
}

/* The device on a channel asks, looks, transfers, or says how much it moved. */
static void dma_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned channel = kind & 7;
    if (kind & 8) {
        dma8237_set_request(b->dev, channel, fuzz_u8(in) & 1);
        return;
    }
    struct dma8237_channel c = dma8237_channel(b->dev, channel);
    uint32_t units = (uint32_t)fuzz_le(in, 2);
    if (c.units == 0 || c.units > 65536 || c.addr > 0xffffff)
        fuzz_bug("dma8237: channel %u: %u units at %x", channel, c.units, c.addr);
    if (units & 1) {
        uint8_t buf[1024] = { 0 };
        size_t len = units % (sizeof(buf) + 1);
        if (dma8237_transfer(b->dev, channel, &b->m.mem, buf, len).bytes > len)
            fuzz_bug("dma8237: channel %u moved more than there is room for", channel);
    } else if (c.ready) {
        (void)dma8237_advance(b->dev, channel, units < c.units ? units : c.units);
    }
}

/* --- CMOS --- */

static const struct fuzz_range cmos_ports[] = { { 0x70, 2 } };

static int create_cmos(struct fuzz_board *b, struct device **out)
{
    return cmos_create(&(struct cmos_config){ .id = "cmos", .ports = &b->m.ports, .ram_below_4g_bytes = FUZZ_RAM, .boot_order = "dc",
                           .drives = { { 16383, 16, 63, 1 } }, .vcpus = 2, .century = 20 },
                       out);
}

static void cmos_event(struct fuzz_board *b, unsigned kind, struct fuzz_in *in)
{
    unsigned i = fuzz_u8(in);
    if (kind & 1)
        cmos_set(b->dev, i, fuzz_u8(in));
    else
        (void)cmos_get(b->dev, i);
}

/* --- Bridges, and what is too small for more than a line --- */

static const struct fuzz_range i440fx_ports[] = { { 0xcf8, 8 } };
static const uint8_t i440fx_functions[] = { 0 }, piix3_functions[] = { 0, DEVFN_PIIX3 };
static const struct fuzz_range port92_ports[] = { { 0x92, 1 } }, debug_ports[] = { { 0xe9, 1 }, { 0x402, 1 } };

static int create_i440fx(struct fuzz_board *b, struct device **out)
{
    return i440fx_create(&(struct i440fx_config){ .id = "i440fx", .ports = &b->m.ports, .pci = &b->m.pci, .ram_bytes = FUZZ_RAM }, out);
}

/* With the bridge that hands port cf9 on. */
static int create_piix3(struct fuzz_board *b, struct device **out)
{
    struct device *bridge;
    int err = create_i440fx(b, &bridge);
    if (err)
        return err;
    devices_add(&b->m.devices, bridge);
    return piix3_create(&(struct piix3_config){ .id = "piix3", .pci = &b->m.pci, .devfn = DEVFN_PIIX3, .hv = b->m.hv,
                            .host_bridge = bridge, .power = ignore_power },
                        out);
}

static int create_port92(struct fuzz_board *b, struct device **out)
{
    return port92_create(&(struct port92_config){ .id = "port92", .ports = &b->m.ports, .power = ignore_power }, out);
}

static int create_debugport(struct fuzz_board *b, struct device **out)
{
    return debugport_create(&(struct debugport_config){ .id = "debugport", .ports = &b->m.ports }, out);
}

#define RANGES(table) (table), ARRAY_SIZE(table)
/* Guests find them by ports alone. */
#define AT(ports) { RANGES(ports) }

const struct fuzz_part fuzz_parts[] = {
    { "serial", create_serial, NULL, serial_event, AT(serial_ports) },
    { "i8042", create_i8042, NULL, NULL, AT(i8042_ports) },
    { "ide-ata", create_ata, fuzz_place_bars, ide_event, { RANGES(ide_ports), NULL, 0, RANGES(ide_functions) } },
    { "ide-atapi", create_atapi, fuzz_place_bars, ide_event, { RANGES(ide_ports), NULL, 0, RANGES(ide_functions) } },
    { "ide-piix3", create_piix3_ide, fuzz_place_bars, ide_event, { RANGES(ide_ports), NULL, 0, RANGES(ide_functions) } },
    { "vga", create_vga, fuzz_place_bars, vga_event, { RANGES(vga_ports), RANGES(vga_memory), RANGES(vga_functions) } },
    { "piix4-pm", create_pm, fuzz_place_bars, pm_event, { RANGES(pm_ports), NULL, 0, RANGES(pm_functions) } },
    { "xen-platform", create_platform, fuzz_place_bars, NULL,
      { RANGES(platform_ports), RANGES(platform_memory), RANGES(platform_functions) } },
    { "dma8237", create_dma, NULL, dma_event, AT(dma_ports) },
    { "cmos", create_cmos, NULL, cmos_event, AT(cmos_ports) },
    { "i440fx", create_i440fx, NULL, NULL, { RANGES(i440fx_ports), NULL, 0, RANGES(i440fx_functions) } },
    { "piix3", create_piix3, NULL, NULL, { RANGES(i440fx_ports), NULL, 0, RANGES(piix3_functions) } },
    { "port92", create_port92, NULL, NULL, AT(port92_ports) },
    { "debugport", create_debugport, NULL, NULL, AT(debug_ports) },
};
const unsigned fuzz_nr_parts = ARRAY_SIZE(fuzz_parts);
