/*
 * Xen platform device. The interrupt pin is shown but never driven here: the hypervisor raises its event-channel upcall
 * on that line. No driver blacklist: the magic never changes.
 * Source: xen/docs/misc/hvm-emulated-unplug.pandoc [UNPLUG].
 */
#include "xen-platform.h" /* struct xen_platform_config, xen_platform_create(), xen_platform_unplugged() */

#include "guest-line.h"
#include <errno.h>
#include <thindm/device.h>
#include <thindm/pci.h>

enum { PORT_BASE = 0x10, NR_PORTS = 16, PORT_10 = 0, PORT_12 = 2 };
enum { MAGIC = 0x49d2, PROTOCOL = 1, FLAG_ROM_LOCK = 0x01 };
enum { ROM_FIRST = 0xc0, ROM_FRAMES = 0x40 }; /* c0000-fffff */
/* BAR0 is what SUSE's first drivers used before there were fixed ports. */
enum { BAR0_BYTES = 0x100, BAR0_FLAGS = 0, BAR0_UNPLUG = 4, BAR0_LOG = 8 };
enum { BAR1_BYTES = 16 << 20 };

struct xen_platform {
    struct device dev;
    struct pci_func pci;
    struct bus_region fixed;
    struct hv *hv;
    void (*unplug)(void *opaque, uint16_t mask);
    void *opaque;
    struct guest_line line;
    /* Guest-visible state. */
    uint8_t flags;
    uint16_t unplugged, product;
    uint32_t build;
};

static const struct snap_field xen_platform_fields[] = {
    SNAP_ARRAY(struct xen_platform, pci.config), SNAP(struct xen_platform, flags), SNAP(struct xen_platform, unplugged),
    SNAP(struct xen_platform, product),          SNAP(struct xen_platform, build), SNAP_END,
};

/* The flag shows what the memory is: it changes only if the hypervisor agreed. */
static void set_flags(struct xen_platform *s, uint8_t flags)
{
    bool lock = flags & FLAG_ROM_LOCK;
    int err = s->hv->ops->set_memtype(s->hv, ROM_FIRST, ROM_FRAMES, lock ? HV_RAM_RO : HV_RAM_RW);
    if (err)
        log_guest(&s->dev, "%s the ROM area failed (%d); it stays as it is", lock ? "locking" : "unlocking", err);
    else
        s->flags = flags & FLAG_ROM_LOCK;
}

/* Not gated by the handshake: old drivers write the mask alone. */
static void unplug(struct xen_platform *s, uint16_t mask)
{
    mask &= UNPLUG_ALL;
    if (mask == 0)
        return;
    s->unplugged |= mask;
    if (s->unplug)
        s->unplug(s->opaque, mask); /* the devices are gone when the guest goes on */
}

static uint64_t fixed_read(void *opaque, uint64_t off, unsigned size)
{
    const struct xen_platform *s = opaque;
    if (off == PORT_10 && size == 1)
        return s->flags;
    if (off == PORT_10 && size == 2)
        return MAGIC;
    if (off == PORT_12 && size == 1)
        return PROTOCOL;
    return all_ones(size);
}

static void fixed_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct xen_platform *s = opaque;
    if (off == PORT_10) {
        switch (size) {
        case 1: set_flags(s, (uint8_t)val); break;
        case 2: unplug(s, (uint16_t)val); break;
        default:
            s->build = (uint32_t)val;
            log_limited(s->dev.log, LOG_INFO, &s->dev.log_rate, s->dev.id, "PV drivers: product %u, build %x",
                        s->product, s->build);
        }
    } else if (off == PORT_12) {
        switch (size) {
        case 1: guest_line_put(&s->line, &s->dev, (uint8_t)val); break;
        case 2: s->product = (uint16_t)val; break;
        }
    }
}

/* Bytes only: the bus splits, so that a wide write of 1 is a 1 at its first byte. */
static uint64_t bar0_read(void *opaque, uint64_t off, unsigned size)
{
    const struct xen_platform *s = opaque;
    return off == BAR0_FLAGS ? s->flags : 0xff;
}

static void bar0_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct xen_platform *s = opaque;
    switch (off) {
    case BAR0_FLAGS: set_flags(s, (uint8_t)val); break;
    case BAR0_UNPLUG:
        if (val == 1)
            unplug(s, UNPLUG_DISKS | UNPLUG_NICS);
        break;
    case BAR0_LOG:
        if (val == 1)
            unplug(s, UNPLUG_DISKS);
        else if (val == 2)
            unplug(s, UNPLUG_NICS);
        else
            guest_line_put(&s->line, &s->dev, (uint8_t)val);
        break;
    }
}

/* Only addresses matter: PV drivers put grant tables and foreign pages into this hole. */
static uint64_t bar1_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

uint16_t xen_platform_unplugged(const struct device *dev)
{
    const struct xen_platform *s = container_of(dev, struct xen_platform, dev);
    return s->unplugged;
}

/* What was unplugged stays so [UNPLUG]: a guest that wakes from S3 has PV drivers on the same images. */
static void xen_platform_reset(struct device *dev)
{
    struct xen_platform *s = container_of(dev, struct xen_platform, dev);
    pci_reset(&s->pci);
    if (s->flags & FLAG_ROM_LOCK)
        set_flags(s, 0);
    s->line.len = 0;
    s->product = 0;
    s->build = 0;
}

static int xen_platform_restored(struct device *dev)
{
    struct xen_platform *s = container_of(dev, struct xen_platform, dev);
    if ((s->flags & ~FLAG_ROM_LOCK) || (s->unplugged & ~UNPLUG_ALL))
        return -EINVAL;
    int err = pci_restored(&s->pci);
    if (err)
        return err;
    if (s->flags & FLAG_ROM_LOCK) { /* memory types don't migrate */
        s->flags = 0;
        set_flags(s, FLAG_ROM_LOCK);
    }
    return 0; /* what was unplugged is gone by the records of the devices themselves */
}

static void xen_platform_unplug(struct device *dev)
{
    struct xen_platform *s = container_of(dev, struct xen_platform, dev);
    bus_detach(&s->fixed);
    pci_detach(&s->pci);
}

/* Every width is another register: no access is split or merged. */
static const struct bus_ops fixed_ops = { fixed_read, fixed_write, .sizes = BUS_1 | BUS_2 | BUS_4, .exact = true };
static const struct bus_ops bar0_ops = { bar0_read, bar0_write, .sizes = BUS_1 };
static const struct bus_ops bar1_ops = { .read = bar1_read, .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8 };

/* Old guests look for class ff80. */
static const struct pci_desc xen_platform_pci = {
    .vendor = 0x5853,
    .device = 0x0001,
    .subvendor = 0x5853,
    .subdevice = 0x0001,
    .class_code = 0xff8000,
    .revision = 1,
    .pin = 1,
    .command_reset = PCI_COMMAND_IO | PCI_COMMAND_MEMORY,
};
static const struct device_desc xen_platform_desc = {
    .name = "xen-platform",
    .version = 1,
    .fields = xen_platform_fields,
    .restored = xen_platform_restored,
    .reset = xen_platform_reset,
    .unplug = xen_platform_unplug,
};

int xen_platform_create(const struct xen_platform_config *config, struct device **out)
{
    struct xen_platform *s = device_new(&xen_platform_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->hv = config->hv;
    s->unplug = config->unplug;
    s->opaque = config->opaque;
    s->pci.opaque = s;
    s->pci.bars[0] = (struct pci_bar){ .kind = PCI_BAR_IO, .size = BAR0_BYTES, .ops = &bar0_ops };
    s->pci.bars[1] = (struct pci_bar){ .kind = PCI_BAR_MEM32_PREFETCH, .size = BAR1_BYTES, .ops = &bar1_ops };
    int err = pci_attach(&s->pci, config->pci, config->devfn, &xen_platform_pci);
    if (!err)
        err = bus_attach(config->ports, &s->fixed, &fixed_ops, s, PORT_BASE, NR_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    *out = &s->dev;
    return 0;
}
