/*
 * The parts list of a Xen HVM guest's board ("xenfv"): slots, ids and wiring are what installed guests know. A guest
 * without the Xen platform device ("pc") has every later function one slot lower, as the first free slot is taken.
 * Memory, PIC, PIT, IOAPIC, RTC and the PM timer are the hypervisor's, unless the board is told to have its own.
 */
#include "char/serial.h"
#include "chipset/cmos.h"
#include "chipset/debugport.h"
#include "chipset/dma8237.h"
#include "chipset/fw-cfg.h"
#include "chipset/i440fx.h"
#include "chipset/piix3.h"
#include "chipset/piix4-pm.h"
#include "chipset/port92.h"
#include "chipset/xen-platform.h"
#include "display/vga.h"
#include "input/i8042.h"
#include "legacy/platform.h"
#include "legacy/pm-timer.h"
#include "machine.h"
#include "storage/ahci.h"
#include "storage/fdc.h"
#include "storage/ide-piix3.h"
#include "storage/nvme.h"
#include <thindm/block.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_PIIX = 1, SLOT_PLATFORM = 2, NR_COM_PORTS = 4 };
enum { IRQ_KEYBOARD = 1, IRQ_FLOPPY = 6, IRQ_SCI = 9, IRQ_MOUSE = 12, IRQ_IDE0 = 14, IRQ_IDE1 = 15 };
enum { IOAPIC_PINS = 24 };
static_assert((int)CONFIG_MAX_NVME == (int)NVME_NAMESPACES, "config.h and nvme.h agree");
static_assert((int)CONFIG_MAX_FLOPPIES == (int)FDC_DRIVES, "config.h and fdc.h agree");
static_assert((int)CONFIG_NVME_QUEUES == (int)NVME_MAX_IO_QUEUES, "config.h and nvme.h agree");
enum { ROM_MAX_BYTES = 1 << 20, PATH_BYTES = 512 };

static const struct {
    const char *id;
    uint16_t base;
    uint8_t irq;
} com_ports[NR_COM_PORTS] = { { "serial0", 0x3f8, 4 }, { "serial1", 0x2f8, 3 }, { "serial2", 0x3e8, 4 }, { "serial3", 0x2e8, 3 } };

/* Where the VGA BIOS is looked for when -L doesn't tell. */
static const char *const firmware_dirs[] = { "/usr/share/seabios", "/usr/share/qemu", "/usr/lib/xen/boot" };
#define VGA_ROM_FILE "vgabios-stdvga.bin"

/* Put a part into the list, or say which part failed. */
static int add(struct machine *m, struct device *dev, const char *part, int err, char error[CONFIG_ERROR_BYTES])
{
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "%s: %s", part, strerror(-err));
    else
        devices_add(&m->devices, dev);
    return err;
}

static uint64_t ram_below_4g(const struct machine *m)
{
    return min_u64(m->config->ram_bytes, m->config->max_ram_below_4g);
}

/* Of the Xen platform device; 0: there is none. */
static uint8_t platform_slot(const struct config *c)
{
    return c->machine == MACHINE_XENFV ? SLOT_PLATFORM : (uint8_t)c->xen_platform_slot;
}

/* The first one from slot on that the platform device leaves. */
static uint8_t free_slot(const struct config *c, unsigned slot)
{
    return (uint8_t)(slot + (slot == platform_slot(c)));
}

static int create_pm(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = m->config;
    uint32_t fixed = UINT32_C(3); /* bridges, platform device and VGA can't be ejected */
    if (platform_slot(c))
        fixed |= UINT32_C(1) << platform_slot(c);
    if (c->vga != VGA_NONE)
        fixed |= UINT32_C(1) << free_slot(c, SLOT_PIIX + 1);
    int err = piix4_pm_create(&(struct piix4_pm_config){ .id = "piix4-pm", .ports = &m->ports, .pci = &m->pci,
                                  .devfn = PCI_DEVFN(SLOT_PIIX, 3), .sci = irq_isa(&m->irqs, IRQ_SCI),
                                  .com1 = c->nr_serials > 0, .com2 = c->nr_serials > 1, .vcpus = c->vcpus,
                                  .max_vcpus = c->max_vcpus, .removable_slots = ~fixed,
                                  .power = machine_power, .sleep = machine_sleep, .opaque = m },
                              &m->pm);
    return add(m, m->pm, "piix4-pm", err, error);
}

static int create_chipset(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct device *bridge, *dev;
    int err = i440fx_create(&(struct i440fx_config){ .id = "i440fx", .ports = &m->ports, .pci = &m->pci,
                                .ram_bytes = m->config->ram_bytes },
                            &bridge);
    if (add(m, bridge, "i440fx", err, error))
        return err;
    err = piix3_create(&(struct piix3_config){ .id = "piix3", .pci = &m->pci, .devfn = PCI_DEVFN(SLOT_PIIX, 0), .hv = m->hv,
                           .host_bridge = bridge, .power = machine_power, .opaque = m },
                       &dev);
    if (add(m, dev, "piix3", err, error))
        return err;
    err = dma8237_create(&(struct dma8237_config){ .id = "dma8237", .ports = &m->ports }, &m->dma);
    if (add(m, m->dma, "dma8237", err, error))
        return err;
    err = port92_create(&(struct port92_config){ .id = "port92", .ports = &m->ports, .power = machine_power, .opaque = m },
                        &dev);
    if (add(m, dev, "port92", err, error))
        return err;
    /* Firmware prints there, character by character, if it is there at all: only for who asked for debug lines. */
    if (m->config->log_level >= LOG_DEBUG) {
        err = debugport_create(&(struct debugport_config){ .id = "debugport", .ports = &m->ports }, &dev);
        if (add(m, dev, "debugport", err, error))
            return err;
    }
    return m->config->no_acpi ? 0 : create_pm(m, error);
}

/* What a hypervisor has, for hosts without: as QEMU's PC has it, whose test clients know nothing else. */
static int create_legacy(struct machine *m, const struct cmos_config *cmos, char error[CONFIG_ERROR_BYTES])
{
    struct device *dev;
    int err = platform_create(&(struct platform_config){ .loop = m->loop, .ports = &m->ports, .memory = &m->memory,
                                  .hv = m->hv, .irqs = &m->irqs, .devices = &m->devices, .cmos = cmos,
                                  .base_time_s = m->wall_clock_s, .ioapic_pins = IOAPIC_PINS,
                                  .ioapic_version = IOAPIC_V20, .hpet = true, .pm_timer = m->pm != NULL,
                                  .counts_at_reset = true, .pin_changed = m->pin_changed, .opaque = m->pin_opaque },
                              &m->platform);
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "the legacy platform: %s", strerror(-err));
        return err;
    }
    if (m->pm)
        piix4_pm_bind_events(m->pm, pm_timer_read, pm_timer_write, platform_pm_timer(m->platform));
    le64_put(m->ram_bytes_le, m->config->ram_bytes);
    le16_put(m->vcpus_le, (uint16_t)m->config->vcpus);
    le16_put(m->max_vcpus_le, (uint16_t)m->config->max_vcpus);
    const struct fw_cfg_item items[] = { { FW_CFG_RAM_BYTES, m->ram_bytes_le, sizeof(m->ram_bytes_le) },
                                         { FW_CFG_VCPUS, m->vcpus_le, sizeof(m->vcpus_le) },
                                         { FW_CFG_MAX_VCPUS, m->max_vcpus_le, sizeof(m->max_vcpus_le) } };
    err = fw_cfg_create(&(struct fw_cfg_config){ .id = "fw-cfg", .loop = m->loop, .ports = &m->ports, .mem = &m->mem,
                            .items = items, .nr_items = ARRAY_SIZE(items) },
                        &dev);
    return add(m, dev, "fw-cfg", err, error);
}

static struct fdc_moved floppy_dma(void *opaque, bool to_memory, uint8_t *buf, size_t len)
{
    struct machine *m = opaque;
    enum dma8237_type type = dma8237_channel(m->dma, FDC_DMA_CHANNEL).type;
    if (type != (to_memory ? DMA_WRITE : DMA_READ) && !(to_memory && type == DMA_VERIFY))
        return (struct fdc_moved){ 0 };
    struct dma8237_moved moved = dma8237_transfer(m->dma, FDC_DMA_CHANNEL, &m->mem, buf, len);
    return (struct fdc_moved){ moved.bytes, moved.end };
}

/* The controller is there without drives too, as the ACPI tables say. */
static int create_fdc(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct fdc_config config = { .id = "fdc", .ports = &m->ports, .irq = irq_isa(&m->irqs, IRQ_FLOPPY),
                                 .transfer = floppy_dma, .opaque = m };
    int err = 0;
    for (unsigned i = 0; i < CONFIG_MAX_FLOPPIES && !err; i++) {
        const struct config_drive *d = &m->config->floppies[i];
        config.drives[i].present = d->present;
        if (d->present && d->path)
            err = machine_open_drive(m, d, &config.drives[i].block);
    }
    if (!err) {
        err = fdc_create(&config, &m->fdc);
        (void)add(m, m->fdc, err == -EINVAL ? "no floppy has the size of the image" : "fdc", err, error);
    }
    for (unsigned i = 0; i < CONFIG_MAX_FLOPPIES && err; i++)
        block_close(config.drives[i].block);
    return err;
}

/* The BIOS reads disk geometry and the boot order from here, so it comes after the disks and floppies. */
static int create_cmos(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct cmos_config config = { .id = "cmos", .ports = &m->ports, .ram_below_4g_bytes = ram_below_4g(m),
                                  .ram_above_4g_bytes = m->config->ram_bytes - ram_below_4g(m),
                                  .boot_order = m->config->boot_order, .vcpus = m->config->vcpus, .century = m->century };
    for (unsigned unit = 0; unit < CONFIG_MAX_IDE; unit++) {
        struct ide_drive_info info;
        if (!ide_drive_info(m->ide, unit, &info) || info.cdrom)
            continue;
        struct ide_geometry g = ide_guess_geometry(info.block->size_bytes);
        config.drives[unit] = (struct cmos_drive){ g.cylinders, g.heads, g.sectors, g.translation };
    }
    for (unsigned i = 0; i < CONFIG_MAX_FLOPPIES; i++)
        config.floppies[i] = fdc_drive_type(m->fdc, i);
    if (m->config->platform)
        return create_legacy(m, &config, error);
    int err = cmos_create(&config, &m->cmos);
    return add(m, m->cmos, "cmos", err, error);
}

/* Open the images of count drives. What the host can't open it has logged. */
static int open_drives(struct machine *m, const struct config_drive *from, unsigned count, struct ide_drive_config *to)
{
    int err = 0;
    for (unsigned i = 0; i < count && !err; i++) {
        to[i] = (struct ide_drive_config){ .present = from[i].present, .cdrom = from[i].cdrom, .id = from[i].id };
        if (from[i].present && from[i].path)
            err = machine_open_drive(m, &from[i], &to[i].block);
    }
    return err;
}

/* The controller has taken the images, unless it failed. */
static int drives_taken(int err, const struct ide_drive_config *drives, unsigned count)
{
    for (unsigned i = 0; err && i < count; i++)
        block_close(drives[i].block);
    return err;
}

/* If an image can't be opened, error stays empty. */
static int create_ide(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct ide_piix3_config config = { .id = "ide", .loop = m->loop, .ports = &m->ports, .pci = &m->pci,
                                       .devfn = PCI_DEVFN(SLOT_PIIX, 1), .mem = &m->mem,
                                       .irq = { irq_isa(&m->irqs, IRQ_IDE0), irq_isa(&m->irqs, IRQ_IDE1) },
                                       .tray_moved = m->tray_moved, .opaque = m->opaque };
    int err = open_drives(m, m->config->ide, CONFIG_MAX_IDE, config.drives);
    if (!err) {
        err = ide_piix3_create(&config, &m->ide);
        (void)add(m, m->ide, "ide", err, error);
    }
    return drives_taken(err, config.drives, CONFIG_MAX_IDE);
}

static int create_ahci(struct machine *m, uint8_t slot, char error[CONFIG_ERROR_BYTES])
{
    struct ahci_config config = { .id = "ahci", .loop = m->loop, .mem = &m->mem, .hv = m->hv, .pci = &m->pci,
                                  .devfn = PCI_DEVFN(slot, 0), .tray_moved = m->tray_moved, .opaque = m->opaque };
    int err = open_drives(m, m->config->ahci_ports, CONFIG_MAX_AHCI, config.drives);
    if (!err) {
        err = ahci_create(&config, &m->ahci);
        (void)add(m, m->ahci, "ahci", err, error);
    }
    return drives_taken(err, config.drives, CONFIG_MAX_AHCI);
}

static int create_nvme(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = m->config;
    struct nvme_config config = { .id = "nvme", .loop = m->loop, .mem = &m->mem, .hv = m->hv, .pci = &m->pci,
                                  .devfn = PCI_DEVFN(c->nvme_slot, 0), .serial = c->nvme_serial,
                                  .io_queues = c->nvme_queues };
    int err = 0;
    for (unsigned i = 0; i < CONFIG_MAX_NVME && !err; i++) {
        if (c->nvme_disks[i].present)
            err = machine_open_drive(m, &c->nvme_disks[i], &config.block[i]);
    }
    if (!err) {
        err = nvme_create(&config, &m->nvme);
        (void)add(m, m->nvme, "nvme", err, error);
    }
    for (unsigned i = 0; i < CONFIG_MAX_NVME && err; i++)
        block_close(config.block[i]);
    return err;
}

static int create_platform(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct device *dev;
    int err = xen_platform_create(&(struct xen_platform_config){ .id = "xen-platform", .ports = &m->ports, .pci = &m->pci,
                                      .devfn = PCI_DEVFN(platform_slot(m->config), 0), .hv = m->hv, .unplug = machine_unplug,
                                      .opaque = m },
                                  &dev);
    return add(m, dev, "xen-platform", err, error);
}

/* The configured file as it is, or the first of the known places; no ROM for romfile="". */
static int read_vga_rom(struct machine *m, size_t *len, char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = m->config;
    char path[PATH_BYTES];
    int err = -ENOENT;
    *len = 0;
    if (c->vga_romfile && c->vga_romfile[0] == '\0')
        return 0;
    const char *name = c->vga_romfile ? c->vga_romfile : VGA_ROM_FILE;
    if (strchr(name, '/')) {
        err = m->host->read_file(m->host, name, ROM_MAX_BYTES, &m->vga_rom, len);
    } else if (c->firmware_dir) {
        snprintf(path, sizeof(path), "%s/%s", c->firmware_dir, name);
        err = m->host->read_file(m->host, path, ROM_MAX_BYTES, &m->vga_rom, len);
    }
    for (size_t i = 0; i < ARRAY_SIZE(firmware_dirs) && err == -ENOENT && !c->firmware_dir && !strchr(name, '/'); i++) {
        snprintf(path, sizeof(path), "%s/%s", firmware_dirs[i], name);
        err = m->host->read_file(m->host, path, ROM_MAX_BYTES, &m->vga_rom, len);
    }
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "can't read the VGA BIOS %.160s: %s (Debian: package seabios; or tell its folder by -L)",
                 name, strerror(-err));
    return err;
}

static int create_vga(struct machine *m, uint8_t slot, char error[CONFIG_ERROR_BYTES])
{
    size_t rom_bytes;
    int err = read_vga_rom(m, &rom_bytes, error);
    if (err)
        return err;
    err = m->hv->ops->vram_create(m->hv, m->config->vga_bytes >> PAGE_SHIFT, &m->vram);
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "no room for %llu MiB of video memory in the domain: %s",
                 (unsigned long long)(m->config->vga_bytes / MIB), strerror(-err));
        return err;
    }
    err = vga_create(&(struct vga_config){ .id = "vga", .loop = m->loop, .ports = &m->ports, .memory = &m->memory,
                         .pci = &m->pci, .devfn = PCI_DEVFN(slot, 0), .vram = m->vram,
                         .vram_bytes = m->config->vga_bytes, .rom = m->vga_rom, .rom_bytes = rom_bytes,
                         .rom_is_default = !m->config->vga_romfile,
                         .vram_moved = machine_vram_moved, .opaque = m },
                     &m->vga);
    return add(m, m->vga, "vga", err, error);
}

/* The keyboard controller's reset line, by which old software restarts a PC. */
static void cpu_reset(void *opaque)
{
    machine_power(opaque, HV_REBOOT);
}

static int create_input(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    struct device *dev;
    int err = i8042_create(&(struct i8042_config){ .id = "i8042", .loop = m->loop, .ports = &m->ports,
                               .irq_kbd = irq_isa(&m->irqs, IRQ_KEYBOARD), .irq_mouse = irq_isa(&m->irqs, IRQ_MOUSE),
                               .input = &m->input, .reset = cpu_reset, .opaque = m },
                           &dev);
    return add(m, dev, "i8042", err, error);
}

static int create_serial(struct machine *m, unsigned i, char error[CONFIG_ERROR_BYTES])
{
    const struct chr_config *line = &m->config->serials[i];
    struct device *dev;
    int err = m->host->chr_open(m->host, line, &m->serials[i]);
    if (err)
        return err;
    err = serial_create(&(struct serial_config){ .id = com_ports[i].id, .loop = m->loop, .ports = &m->ports,
                            .base = com_ports[i].base, .irq = irq_isa(&m->irqs, com_ports[i].irq), .chr = m->serials[i] },
                        &dev);
    if (err)
        chr_close(m->serials[i]);
    return add(m, dev, com_ports[i].id, err, error);
}

int xenfv_create_devices(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    const struct config *c = m->config;
    uint8_t slot = free_slot(c, SLOT_PIIX + 1);
    int err = create_chipset(m, error);
    if (!err)
        err = create_ide(m, error);
    if (!err)
        err = create_fdc(m, error);
    if (!err)
        err = create_cmos(m, error);
    if (!err && platform_slot(c))
        err = create_platform(m, error);
    if (!err && c->vga == VGA_STD) {
        err = create_vga(m, slot, error);
        slot = free_slot(c, slot + 1u);
    }
    if (!err && c->ahci)
        err = create_ahci(m, slot, error);
    if (!err && c->nvme)
        err = create_nvme(m, error);
    if (!err)
        err = create_input(m, error);
    for (unsigned i = 0; i < c->nr_serials && !err; i++)
        err = create_serial(m, i, error);
    return err;
}
