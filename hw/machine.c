/* What holds the board together: see machine.h. */
#include "machine.h"
#include "chipset/cmos.h"
#include "chipset/piix4-pm.h"
#include "chipset/xen-platform.h"
#include "legacy/platform.h"
#include "legacy/rtc.h"
#include "storage/ahci.h"
#include "storage/fdc.h"
#include "storage/ide-piix3.h"
#include "storage/nvme.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Where video memory may be moved: moving frees what is there, so never into low memory nor into the frames that
 * hvmloader and Xen keep below 4 GiB [xen/tools/firmware/hvmloader/config.h].
 */
#define VRAM_LOWEST  MIB
#define VRAM_HIGHEST UINT64_C(0xfc000000)

static void port_changed(void *opaque, const struct bus *bus, uint64_t first, uint64_t last, bool present)
{
    struct machine *m = opaque;
    int err = m->hv->ops->port_range(m->hv, first, last, present);
    if (err)
        log_print(m->log, LOG_ERROR, "machine", "ports %llx-%llx can't be %s: %s; the guest %s them",
                  (unsigned long long)first, (unsigned long long)last, present ? "claimed" : "given back",
                  strerror(-err), present ? "won't reach" : "still reaches");
}

/* addr: guest physical, or HV_VRAM_PARKED. */
static int vram_move(struct machine *m, uint64_t addr)
{
    int err = m->hv->ops->vram_move(m->hv, addr == HV_VRAM_PARKED ? addr : addr >> PAGE_SHIFT);
    if (err)
        return err;
    m->vram_at = addr;
    mem_invalidate(&m->mem); /* frames changed their addresses */
    return 0;
}

/* Video memory left behind where its BAR was (see machine_vram_moved()) must not cover what is put there now. */
static void uncover(struct machine *m, uint64_t first, uint64_t last)
{
    uint64_t bytes = m->config->vga_bytes;
    bool same = first == m->vram_at && last - first == bytes - 1; /* its own BAR, coming back */
    if (m->vram_shown || m->vram_at == HV_VRAM_PARKED || same || last < m->vram_at || first - m->vram_at >= bytes)
        return;
    (void)vram_move(m, HV_VRAM_PARKED);
}

static void memory_changed(void *opaque, const struct bus *bus, uint64_t first, uint64_t last, bool present)
{
    struct machine *m = opaque;
    if (present)
        uncover(m, first, last);
    int err = m->hv->ops->mmio_range(m->hv, first, last, present);
    if (err)
        log_print(m->log, LOG_ERROR, "machine", "memory %llx-%llx can't be %s: %s; the guest %s it",
                  (unsigned long long)first, (unsigned long long)last, present ? "claimed" : "given back",
                  strerror(-err), present ? "won't reach" : "still reaches");
}

static void function_changed(void *opaque, uint8_t devfn, bool present)
{
    struct machine *m = opaque;
    int err = m->hv->ops->pci_function(m->hv, devfn, present);
    if (err)
        log_print(m->log, LOG_ERROR, "machine", "PCI function 00:%02x.%x can't be %s: %s", devfn >> 3, devfn & 7,
                  present ? "claimed" : "given back", strerror(-err));
}

/* Is [addr, addr + bytes) clear of guest RAM and of reserved frames? */
static bool vram_may_go(const struct machine *m, uint64_t addr, uint64_t bytes)
{
    uint64_t ram = m->config->ram_bytes, low = min_u64(ram, m->config->max_ram_below_4g);
    uint64_t above_4g = ram > low ? 4 * GIB + (ram - low) : 4 * GIB;
    if (addr >= 4 * GIB)
        return addr >= above_4g && addr < UINT64_C(1) << 46;
    return addr >= max_u64(low, VRAM_LOWEST) && addr <= VRAM_HIGHEST - bytes;
}

/*
 * Guests switch decoding off and on again at the same place whenever they size BARs. Moving thousands of frames each
 * time would cost milliseconds, so they stay until the BAR is enabled elsewhere or something else claims the place.
 */
void machine_vram_moved(void *opaque, uint64_t addr, bool mapped)
{
    struct machine *m = opaque;
    m->vram_shown = mapped;
    if (!mapped || addr == m->vram_at)
        return;
    if (!vram_may_go(m, addr, m->config->vga_bytes)) {
        log_print(m->log, LOG_WARN, "machine",
                  "the guest put video memory at %llx; it is served there access by access", (unsigned long long)addr);
        return;
    }
    int err = vram_move(m, addr);
    if (err)
        log_print(m->log, LOG_ERROR, "machine", "moving video memory to %llx failed: %s; it is served access by access",
                  (unsigned long long)addr, strerror(-err));
}

int machine_vram_restored(struct machine *m, uint64_t addr)
{
    if (addr == m->vram_at)
        return 0;
    bool fine = addr == HV_VRAM_PARKED || (addr % PAGE_BYTES == 0 && vram_may_go(m, addr, m->config->vga_bytes));
    return fine && m->vga && vram_move(m, addr) == 0 ? 0 : -EINVAL;
}

void machine_power(void *opaque, enum hv_shutdown reason)
{
    struct machine *m = opaque;
    if (m->power)
        m->power(m->opaque, reason);
    int err = m->hv->ops->shutdown(m->hv, reason);
    if (err)
        log_print(m->log, LOG_ERROR, "machine", "the hypervisor refused the guest's %s: %s; the guest hangs",
                  reason == HV_REBOOT ? "reset" : "power-off", strerror(-err));
}

void machine_sleep(void *opaque)
{
    struct machine *m = opaque;
    if (m->platform)
        rtc_cmos_set(platform_rtc(m->platform), CMOS_SHUTDOWN_STATUS, CMOS_RESUME_FROM_S3);
    else
        cmos_set(m->cmos, CMOS_SHUTDOWN_STATUS, CMOS_RESUME_FROM_S3);
    int err = m->hv->ops->set_s_state(m->hv, 3);
    if (err) {
        log_print(m->log, LOG_ERROR, "machine", "the guest can't sleep (S3): %s; it stays awake", strerror(-err));
        return;
    }
    if (m->sleep)
        m->sleep(m->opaque);
}

int machine_wakeup(struct machine *m)
{
    /* The chipset keeps its registers: on Xen no firmware runs at a wake-up that would program them again. */
    for (struct device *dev = m->devices.first; dev; dev = dev->next) {
        if (dev->desc->reset && !dev->desc->keeps_s3)
            dev->desc->reset(dev);
    }
    return m->hv->ops->set_s_state(m->hv, 0);
}

void machine_unplug(void *opaque, uint16_t mask)
{
    struct machine *m = opaque;
    if (m->ide && mask & (UNPLUG_DISKS | UNPLUG_AUX_DISKS)) {
        bool keep_first = !(mask & UNPLUG_DISKS);
        ide_unplug_disks(m->ide, keep_first);
        log_print(m->log, LOG_INFO, "machine", "the guest unplugged its emulated disks%s (mask %x)",
                  keep_first ? " but the first" : "", mask);
    }
    if (m->ahci && mask & UNPLUG_DISKS) {
        ahci_unplug_disks(m->ahci);
        log_print(m->log, LOG_INFO, "machine", "the guest unplugged its AHCI disks (mask %x)", mask);
    }
    if (m->nvme && mask & UNPLUG_NVME) {
        nvme_unplug_disks(m->nvme);
        log_print(m->log, LOG_INFO, "machine", "the guest unplugged its NVMe disks (mask %x)", mask);
    }
}

static void set_policy(struct machine *m, const struct config_drive *d, struct block *block)
{
    block_set_policy(block, &(struct block_policy){ .errors = m->errors, .device = d->id, .read_error = d->read_error,
                                .write_error = d->write_error });
}

int machine_open_drive(struct machine *m, const struct config_drive *d, struct block **out)
{
    struct block_open open = { .path = d->path, .fd = -1, .format = d->format, .cache = d->cache,
                               .read_only = d->read_only || d->cdrom, .discard = d->discard, .lock = !d->cdrom,
                               .loop = m->loop, .log = m->log };
    int err = m->host->block_open(m->host, &open, out);
    if (!err)
        set_policy(m, d, *out);
    return err;
}

static bool on_ahci(const struct machine *m, const struct config_drive *d)
{
    return d >= m->config->ahci_ports && d < m->config->ahci_ports + CONFIG_MAX_AHCI;
}

static bool on_nvme(const struct machine *m, const struct config_drive *d)
{
    return d >= m->config->nvme_disks && d < m->config->nvme_disks + CONFIG_MAX_NVME;
}

static bool on_fdc(const struct machine *m, const struct config_drive *d)
{
    return d >= m->config->floppies && d < m->config->floppies + CONFIG_MAX_FLOPPIES;
}

static unsigned floppy_index(const struct machine *m, const struct config_drive *d)
{
    return (unsigned)(d - m->config->floppies);
}

bool machine_drive_is_removable(const struct machine *m, const struct config_drive *d)
{
    return d->cdrom || on_fdc(m, d);
}

/* Drive i of those that a board can have, present or not. */
static const struct config_drive *configured(const struct machine *m, unsigned i)
{
    if (i < CONFIG_MAX_IDE)
        return &m->config->ide[i];
    i -= CONFIG_MAX_IDE;
    if (i < CONFIG_MAX_AHCI)
        return &m->config->ahci_ports[i];
    i -= CONFIG_MAX_AHCI;
    return i < CONFIG_MAX_NVME ? &m->config->nvme_disks[i] : &m->config->floppies[i - CONFIG_MAX_NVME];
}

const struct config_drive *machine_drive(const struct machine *m, unsigned i, struct ide_drive_info *info)
{
    if (!m->config) /* a process of PV back ends has no board */
        return NULL;
    const struct config_drive *d = configured(m, i);
    bool there;
    if (on_fdc(m, d)) {
        there = m->fdc && d->present;
        *info = (struct ide_drive_info){ .id = d->id, .block = there ? fdc_block(m->fdc, floppy_index(m, d)) : NULL };
    } else if (on_nvme(m, d)) {
        unsigned disk = (unsigned)(d - m->config->nvme_disks);
        *info = (struct ide_drive_info){ .id = d->id, .block = m->nvme ? nvme_block(m->nvme, disk) : NULL };
        there = info->block != NULL;
    } else if (on_ahci(m, d)) {
        there = m->ahci && ahci_drive_info(m->ahci, (unsigned)(d - m->config->ahci_ports), info);
    } else {
        there = m->ide && ide_drive_info(m->ide, i, info);
    }
    return there ? d : NULL;
}

/* The drive that QMP calls id, by its own name or that of its -device; NULL with a line in error. */
static const struct config_drive *find_drive(const struct machine *m, const char *id, char error[CONFIG_ERROR_BYTES])
{
    for (unsigned i = 0; m->ide && i < MACHINE_DRIVES; i++) {
        const struct config_drive *d = configured(m, i);
        if (d->present && (strcmp(d->id, id) == 0 || strcmp(d->qdev_id, id) == 0))
            return d;
    }
    snprintf(error, CONFIG_ERROR_BYTES, "Device '%.64s' not found", id);
    return NULL;
}

static int media_error(int err, const char *id, char error[CONFIG_ERROR_BYTES])
{
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "Device '%.64s' %s", id,
                 err == -EBUSY    ? "is locked and force was not specified, wait for tray to open and try again"
                 : err == -EINVAL ? "is not removable, or doesn't take this medium"
                                  : strerror(-err));
    return err;
}

int machine_eject(struct machine *m, const char *id, bool force, char error[CONFIG_ERROR_BYTES])
{
    const struct config_drive *d = find_drive(m, id, error);
    if (!d)
        return -ENODEV;
    int err = 0;
    if (on_fdc(m, d))
        fdc_eject(m->fdc, floppy_index(m, d));
    else
        err = on_nvme(m, d)   ? -EINVAL
              : on_ahci(m, d) ? ahci_eject(m->ahci, d->id, force)
                              : ide_eject(m->ide, d->id, force);
    return media_error(err, id, error);
}

static struct machine_medium *medium_of(struct machine *m, const struct config_drive *d)
{
    if (on_fdc(m, d))
        return &m->media[CONFIG_MAX_IDE + CONFIG_MAX_AHCI + floppy_index(m, d)];
    return on_ahci(m, d) ? &m->media[CONFIG_MAX_IDE + (d - m->config->ahci_ports)] : &m->media[d - m->config->ide];
}

static int open_medium(struct machine *m, const struct config_drive *d, const struct qmp_medium *medium,
                       struct block **out, char error[CONFIG_ERROR_BYTES])
{
    struct block_open open = { .path = medium->fd < 0 ? medium->path : NULL, .fd = medium->fd,
                               .format = medium->format, .cache = d->cache, .read_only = d->cdrom || d->read_only,
                               .lock = !d->cdrom, .loop = m->loop, .log = m->log };
    int err = m->host->block_open(m->host, &open, out);
    if (!err)
        set_policy(m, d, *out);
    else
        snprintf(error, CONFIG_ERROR_BYTES, "Could not open '%.96s': %s%s", medium->path, strerror(-err),
                 err == -EPERM ? "; under -sandbox and -chroot media must be raw and come by add-fd" : "");
    return err;
}

int machine_change_medium(struct machine *m, const char *id, const struct qmp_medium *medium,
                          char error[CONFIG_ERROR_BYTES])
{
    const struct config_drive *d = find_drive(m, id, error);
    struct block *block = NULL;
    size_t size = strlen(medium->path) + 1;
    char *path = malloc(size);
    int err = !d ? -ENODEV : !machine_drive_is_removable(m, d) ? media_error(-EINVAL, id, error) : path ? 0 : -ENOMEM;
    if (!err)
        err = open_medium(m, d, medium, &block, error);
    if (err) {
        if (medium->fd >= 0)
            m->host->close_fd(m->host, medium->fd);
        free(path);
        return err;
    }
    err = on_fdc(m, d)    ? fdc_change_medium(m->fdc, floppy_index(m, d), block)
          : on_ahci(m, d) ? ahci_change_medium(m->ahci, d->id, medium->force, block)
                          : ide_change_medium(m->ide, d->id, medium->force, block);
    if (err) {
        block_close(block);
        free(path);
        return media_error(err, id, error);
    }
    struct machine_medium *now = medium_of(m, d);
    free(now->path);
    now->path = memcpy(path, medium->path, size);
    snprintf(now->format, sizeof(now->format), "%s", medium->format ? medium->format : "raw");
    return 0;
}

bool machine_block_info(struct machine *m, unsigned i, struct qmp_block_info *info)
{
    for (unsigned n = 0; n < MACHINE_DRIVES; n++) {
        struct ide_drive_info drive;
        const struct config_drive *d = machine_drive(m, n, &drive);
        if (!d || i-- > 0)
            continue;
        *info = (struct qmp_block_info){ .device = d->id, .qdev = d->qdev_id, .cache = d->cache,
                                         .removable = machine_drive_is_removable(m, d),
                                         .no_tray = on_fdc(m, d), .read_only = d->read_only || d->cdrom,
                                         .locked = drive.locked, .tray_open = drive.tray_open };
        if (drive.block) {
            const struct block *block = drive.block;
            const struct machine_medium *changed = info->removable ? medium_of(m, d) : NULL;
            bool is = changed && changed->path;
            info->file = is ? changed->path : d->path ? d->path : "";
            info->format = is ? changed->format : d->format;
            info->size_bytes = block->size_bytes;
            info->stats = block->stats;
            info->io_error = block->held != NULL;
            info->idle_ns = m->loop->host->now_ns(m->loop->host_opaque) - block->stats.last_ns;
        }
        return true;
    }
    return false;
}

void machine_drain(struct machine *m)
{
    if (m->ide)
        ide_drain(m->ide);
    if (m->ahci)
        ahci_drain(m->ahci);
    if (m->nvme)
        nvme_drain(m->nvme);
    if (m->fdc)
        fdc_drain(m->fdc);
}

int machine_create(struct machine *m, char error[CONFIG_ERROR_BYTES])
{
    int err = bus_init(&m->ports, true);
    if (!err)
        err = bus_init(&m->memory, false);
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        bus_finish(&m->ports);
        return err;
    }
    m->port_listener = (struct bus_listener){ port_changed, m };
    m->memory_listener = (struct bus_listener){ memory_changed, m };
    m->pci_listener = (struct pci_listener){ function_changed, m };
    m->ports.listener = &m->port_listener;
    m->memory.listener = &m->memory_listener;
    m->vram_at = HV_VRAM_PARKED;
    irq_board_init(&m->irqs, m->hv);
    mem_init(&m->mem, m->hv);
    pci_bus_init(&m->pci, &m->ports, &m->memory, &m->irqs);
    m->pci.listener = &m->pci_listener;
    m->devices.log = m->log;
    err = xenfv_create_devices(m, error);
    if (err)
        machine_destroy(m);
    else
        devices_reset(&m->devices);
    return err;
}

void machine_destroy(struct machine *m)
{
    m->ports.listener = NULL; /* the hypervisor's side goes as a whole */
    m->memory.listener = NULL;
    m->pci.listener = NULL;
    if (m->platform && m->pm)
        piix4_pm_bind_events(m->pm, NULL, NULL, NULL); /* the timer goes first */
    devices_free(&m->devices);
    platform_destroy(m->platform);
    m->platform = NULL;
    m->ide = m->ahci = m->nvme = m->fdc = m->dma = m->pm = m->cmos = m->vga = NULL;
    mem_finish(&m->mem);
    if (m->vram)
        m->hv->ops->vram_destroy(m->hv);
    m->vram = NULL;
    free(m->vga_rom);
    m->vga_rom = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(m->media); i++) {
        free(m->media[i].path);
        m->media[i].path = NULL;
    }
    bus_finish(&m->ports);
    bus_finish(&m->memory);
}
