/*
 * The IDE function of the PIIX3: configuration space, bus master ports, the two channels as one device; media control
 * and unplug. Source: Intel 82371SB (PIIX3), order 290550, 2.3 and 2.7. Left out: the enable bits and timings of IDETIM
 * have no effect, both channels always decode.
 */
#include "ide-piix3.h"
#include "ide-private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { BAR_BUS_MASTER = 4, BUS_MASTER_BYTES = 16, CHANNEL_BYTES = 8, DATA_BYTES = 1, CTL_BYTES = 1 };

struct ide_piix3 {
    struct device dev;
    struct pci_func pci;
    /* Guest-visible state is in here too; ide_fields[] says what. */
    struct ide_channel chan[IDE_CHANNELS];
};

#define SNAP_CHANNEL(c)                                                                                                \
    SNAP(struct ide_piix3, chan[c].control), SNAP(struct ide_piix3, chan[c].selected),                                 \
        SNAP(struct ide_piix3, chan[c].bm_command), SNAP(struct ide_piix3, chan[c].bm_status),                         \
        SNAP(struct ide_piix3, chan[c].bm_table), SNAP(struct ide_piix3, chan[c].prd.next),                            \
        SNAP(struct ide_piix3, chan[c].prd.base), SNAP(struct ide_piix3, chan[c].prd.left),                            \
        SNAP(struct ide_piix3, chan[c].prd.entries), SNAP(struct ide_piix3, chan[c].prd.last),                         \
        SNAP(struct ide_piix3, chan[c].x.phase), SNAP(struct ide_piix3, chan[c].x.step),                               \
        SNAP(struct ide_piix3, chan[c].x.unit), SNAP(struct ide_piix3, chan[c].x.command),                             \
        SNAP(struct ide_piix3, chan[c].x.packet), SNAP(struct ide_piix3, chan[c].x.dma),                               \
        SNAP(struct ide_piix3, chan[c].x.ext), SNAP(struct ide_piix3, chan[c].x.fua),                                  \
        SNAP_ARRAY(struct ide_piix3, chan[c].x.cdb), SNAP(struct ide_piix3, chan[c].x.pos),                            \
        SNAP(struct ide_piix3, chan[c].x.end), SNAP(struct ide_piix3, chan[c].x.filled),                               \
        SNAP(struct ide_piix3, chan[c].x.block), SNAP(struct ide_piix3, chan[c].x.lba),                                \
        SNAP(struct ide_piix3, chan[c].x.left), SNAP(struct ide_piix3, chan[c].x.careful),                             \
        SNAP(struct ide_piix3, chan[c].x.host_bytes)

static const struct snap_field ide_fields[] = {
    SNAP_ARRAY(struct ide_piix3, pci.config),
    IDE_SNAP_DRIVE(struct ide_piix3, chan[0].drive[0]),
    IDE_SNAP_DRIVE(struct ide_piix3, chan[0].drive[1]),
    IDE_SNAP_DRIVE(struct ide_piix3, chan[1].drive[0]),
    IDE_SNAP_DRIVE(struct ide_piix3, chan[1].drive[1]),
    SNAP_CHANNEL(0),
    SNAP_CHANNEL(1),
    SNAP_PART(struct ide_piix3, chan[0].buf, chan[0].saved),
    SNAP_PART(struct ide_piix3, chan[1].buf, chan[1].saved),
    SNAP_END,
};

static const struct pci_desc ide_pci_desc = {
    .vendor = 0x8086,
    .device = 0x7010,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x010180, /* legacy ports only, bus master [82371SB 2.3.5] */
    .status_reset = 0x0280,
};

static struct ide_drive *drive_at(struct ide_piix3 *s, unsigned i)
{
    return &s->chan[i / IDE_UNITS].drive[i % IDE_UNITS];
}

static struct ide_drive *find_drive(struct ide_piix3 *s, const char *id)
{
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        struct ide_drive *d = drive_at(s, i);
        if (d->kind != IDE_NONE && d->id[0] && strcmp(d->id, id) == 0)
            return d;
    }
    return NULL;
}

static uint64_t bm_read(void *opaque, uint64_t off, unsigned size)
{
    struct ide_piix3 *s = opaque;
    return ide_bm_read(&s->chan[off / CHANNEL_BYTES], (unsigned)off % CHANNEL_BYTES);
}

static void bm_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ide_piix3 *s = opaque;
    ide_bm_write(&s->chan[off / CHANNEL_BYTES], (unsigned)off % CHANNEL_BYTES, (uint8_t)val);
}

static const struct bus_ops bm_ops = { .read = bm_read, .write = bm_write, .sizes = BUS_1 };

/* No request in flight afterwards; commands at work are forgotten. */
static void halt_channel(struct ide_channel *c)
{
    c->halt = true;
    ide_abandon(c);
    for (unsigned i = 0; i < IDE_UNITS; i++)
        ide_drive_drain(&c->drive[i]);
    c->halt = false;
}

static void ide_reset(struct device *dev)
{
    struct ide_piix3 *s = container_of(dev, struct ide_piix3, dev);
    pci_reset(&s->pci);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        halt_channel(&s->chan[i]);
        ide_channel_reset(&s->chan[i]);
    }
}

/* A refused state stays until the device goes: nothing in it may lead astray. */
static void disarm(struct ide_piix3 *s)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        s->chan[i].x = (struct ide_xfer){ 0 };
        s->chan[i].selected = 0;
    }
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        struct ide_drive *d = drive_at(s, i);
        d->kind = d->ahead.data ? d->configured : IDE_NONE;
    }
}

static int check_restored(struct ide_piix3 *s)
{
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        int err = ide_channel_restored(&s->chan[i]);
        if (err)
            return err;
    }
    return pci_restored(&s->pci);
}

static int ide_restored(struct device *dev)
{
    struct ide_piix3 *s = container_of(dev, struct ide_piix3, dev);
    int err = check_restored(s);
    if (err) {
        disarm(s);
        return err;
    }
    /* A guest saved without its disks doesn't get them back: the images belong to its PV back ends. */
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        if (drive_at(s, i)->kind == IDE_NONE)
            ide_drive_remove(drive_at(s, i));
    }
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *c = &s->chan[i];
        uint8_t bm_status = c->bm_status;
        ide_update_irq(c);
        c->bm_status = bm_status; /* the edge was before the save */
        if (c->x.phase == PHASE_DMA)
            ide_dma_begin(c);
    }
    return 0;
}

/* What was read ahead is a cache of the medium: forgotten here, as it is by whoever restores this. */
static void ide_saving(struct device *dev)
{
    struct ide_piix3 *s = container_of(dev, struct ide_piix3, dev);
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        if (!drive_at(s, i)->ahead.busy)
            ide_ahead_drop(drive_at(s, i));
    }
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_saving(&s->chan[i]);
}

static bool ide_quiet(const struct device *dev)
{
    const struct ide_piix3 *s = container_of(dev, struct ide_piix3, dev);
    bool quiet = true;
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        const struct ide_channel *c = &s->chan[i];
        quiet &= c->io == IO_NONE && c->due == DUE_NONE && c->x.phase == PHASE_IDLE;
        for (unsigned unit = 0; unit < IDE_UNITS; unit++)
            quiet &= !c->drive[unit].ahead.busy;
    }
    return quiet;
}

static void ide_unplug(struct device *dev)
{
    struct ide_piix3 *s = container_of(dev, struct ide_piix3, dev);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *c = &s->chan[i];
        bus_detach(&c->data);
        bus_detach(&c->regs);
        bus_detach(&c->ctl);
        halt_channel(c);
        for (unsigned unit = 0; unit < IDE_UNITS; unit++) {
            ide_drive_flush(&c->drive[unit]);
            ide_drive_remove(&c->drive[unit]);
            c->drive[unit].irq = false;
        }
        ide_update_irq(c);
    }
    pci_detach(&s->pci);
}

static const struct device_desc ide_desc = {
    .name = "ide-piix3",
    .version = 1,
    .fields = ide_fields,
    .saving = ide_saving,
    .quiet = ide_quiet,
    .restored = ide_restored,
    .reset = ide_reset,
    .unplug = ide_unplug,
};

static struct ide_piix3 *ide_of(const struct device *dev)
{
    assert(dev->desc == &ide_desc);
    return container_of(dev, struct ide_piix3, dev);
}

void ide_drain(struct device *ide)
{
    struct ide_piix3 *s = ide_of(ide);
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ide_drive_drain(drive_at(s, i));
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        ide_drive_flush(drive_at(s, i));
}

/* The function as stock leaves it: nothing enabled, no bus master ports; IDETIM says that the channels are there. */
static void reset_function(struct ide_piix3 *s)
{
    if (!s->pci.bus)
        return;
    pci_config_write(s->pci.bus, s->pci.devfn, PCI_COMMAND, 2, 0);
    pci_config_write(s->pci.bus, s->pci.devfn, PCI_BAR0 + 4 * BAR_BUS_MASTER, 4, 0);
}

void ide_unplug_disks(struct device *ide, bool keep_primary_master)
{
    struct ide_piix3 *s = ide_of(ide);
    ide_drain(ide); /* commands at work go on to their end: what the guest wrote is on the disk */
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        struct ide_drive *d = drive_at(s, i);
        if (d->kind != IDE_DISK || (i == 0 && keep_primary_master))
            continue;
        if (ide_active(d->chan) == d)
            ide_abandon(d->chan);
        ide_drive_remove(d);
    }
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        halt_channel(&s->chan[i]);
        ide_channel_reset(&s->chan[i]);
    }
    reset_function(s);
}

bool ide_drive_info(const struct device *ide, unsigned i, struct ide_drive_info *info)
{
    const struct ide_drive *d = i < IDE_DRIVES ? drive_at(ide_of(ide), i) : NULL;
    if (!d || d->kind == IDE_NONE)
        return false;
    *info = (struct ide_drive_info){
        .id = d->id, .cdrom = d->kind == IDE_CD, .locked = d->cd.locked, .tray_open = d->cd.tray_open, .block = d->block
    };
    return true;
}

int ide_eject(struct device *ide, const char *id, bool force)
{
    struct ide_drive *d = find_drive(ide_of(ide), id);
    return d ? atapi_eject(d, force) : -ENOENT;
}

int ide_change_medium(struct device *ide, const char *id, bool force, struct block *block)
{
    struct ide_drive *d = find_drive(ide_of(ide), id);
    return d ? atapi_change_medium(d, force, block) : -ENOENT;
}

static int init_channel(struct ide_piix3 *s, unsigned i, const struct ide_piix3_config *config)
{
    static const uint16_t command_ports[] = { 0x1f0, 0x170 }, control_ports[] = { 0x3f6, 0x376 };
    struct ide_channel *c = &s->chan[i];
    c->dev = &s->dev;
    c->loop = config->loop;
    c->mem = config->mem;
    c->pci = &s->pci;
    c->irq = config->irq[i];
    c->tray_moved = config->tray_moved;
    c->opaque = config->opaque;
    for (unsigned unit = 0; unit < IDE_UNITS; unit++) {
        unsigned index = i * IDE_UNITS + unit;
        int err = ide_drive_init(c, unit, index, index + 1, &config->drives[index]);
        if (err)
            return err;
    }
    int err = bus_attach(config->ports, &c->data, &ide_data_ops, c, command_ports[i], DATA_BYTES);
    if (!err)
        err = bus_attach(config->ports, &c->regs, &ide_regs_ops, c, command_ports[i] + REG_ERROR,
                         IDE_NR_REGS - REG_ERROR);
    if (!err)
        err = bus_attach(config->ports, &c->ctl, &ide_ctl_ops, c, control_ports[i], CTL_BYTES);
    return err;
}

int ide_piix3_create(const struct ide_piix3_config *config, struct device **out)
{
    struct ide_piix3 *s = device_new(&ide_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->pci.opaque = s;
    s->pci.bars[BAR_BUS_MASTER] = (struct pci_bar){ .kind = PCI_BAR_IO, .size = BUS_MASTER_BYTES, .ops = &bm_ops };
    int err = 0;
    for (unsigned i = 0; !err && i < IDE_CHANNELS; i++)
        err = init_channel(s, i, config);
    if (!err)
        err = pci_attach(&s->pci, config->pci, config->devfn, &ide_pci_desc);
    if (err) {
        device_free(&s->dev); /* the blocks are still the caller's */
        return err;
    }
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        drive_at(s, i)->block = config->drives[i].present ? config->drives[i].block : NULL;
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_channel_reset(&s->chan[i]);
    *out = &s->dev;
    return 0;
}
