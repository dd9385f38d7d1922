/*
 * 440FX host bridge with the configuration ports. Memory is always RAM here: PAM and SMRAM registers are plain storage
 * without effect, and there is no system management mode.
 * Source: Intel 82441FX, order 290549; [FX name] is its register.
 */
#include "i440fx.h" /* struct i440fx_config, i440fx_create(), i440fx_bind_reset_control() */

#include <errno.h>
#include <thindm/device.h>
#include <thindm/pci.h>

enum { CONFADD = 0xcf8, CONFDATA = 0xcfc, NR_PORTS = 4, RESET_CONTROL = 1 /* cf9 */ };
enum { RAM_SIZE = 0x57, SMRAM = 0x72 };
/* [FX CONFADD]. Bits 27-24 extend the register number on other machines: set, they mean none of those here. */
#define CONFADD_ENABLE   0x80000000u
#define CONFADD_EXTENDED 0x0f000000u

struct i440fx {
    struct device dev;
    struct pci_func pci;
    struct bus_region address, data;
    struct pci_bus *bus;
    uint8_t (*reset_read)(void *opaque);
    void (*reset_write)(void *opaque, uint8_t val);
    void *reset_opaque;
    /* Guest-visible state. */
    uint32_t latch;
};

static const struct snap_field i440fx_fields[] = {
    SNAP_ARRAY(struct i440fx, pci.config),
    SNAP(struct i440fx, latch),
    SNAP_END,
};

/* Only whole dwords reach CONFADD; smaller accesses pass it by [FX CONFADD], and the byte cf9 is the south bridge's. */
static uint64_t address_read(void *opaque, uint64_t off, unsigned size)
{
    struct i440fx *s = opaque;
    if (size == 4)
        return s->latch;
    if (size == 1 && off == RESET_CONTROL && s->reset_read)
        return s->reset_read(s->reset_opaque);
    return all_ones(size);
}

static void address_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct i440fx *s = opaque;
    if (size == 4)
        s->latch = (uint32_t)val;
    else if (size == 1 && off == RESET_CONTROL && s->reset_write)
        s->reset_write(s->reset_opaque, (uint8_t)val);
}

/* Does the latch select a register of bus 0? Then *devfn and *reg are those of port cfc + off. */
static bool selected(const struct i440fx *s, uint64_t off, uint8_t *devfn, unsigned *reg)
{
    unsigned number = s->latch >> 16 & 0xff;
    if (!(s->latch & CONFADD_ENABLE) || (s->latch & CONFADD_EXTENDED) || number != 0)
        return false;
    *devfn = (uint8_t)(s->latch >> 8);
    *reg = (s->latch & 0xfc) + (unsigned)off;
    return true;
}

/*
 * The hypervisor turns these into configuration requests by a latch of its own, but loses that over a migration: an
 * access whose address was written before it arrives here.
 */
static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    struct i440fx *s = opaque;
    uint8_t devfn;
    unsigned reg;
    if (!selected(s, off, &devfn, &reg))
        return all_ones(size);
    return pci_config_read(s->bus, devfn, reg, size);
}

static void data_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct i440fx *s = opaque;
    uint8_t devfn;
    unsigned reg;
    if (selected(s, off, &devfn, &reg))
        pci_config_write(s->bus, devfn, reg, size, (uint32_t)val);
}

void i440fx_bind_reset_control(struct device *dev, uint8_t (*read)(void *opaque),
                               void (*write)(void *opaque, uint8_t val), void *opaque)
{
    struct i440fx *s = container_of(dev, struct i440fx, dev);
    s->reset_read = read;
    s->reset_write = write;
    s->reset_opaque = opaque;
}

static void i440fx_reset(struct device *dev)
{
    struct i440fx *s = container_of(dev, struct i440fx, dev);
    pci_reset(&s->pci);
    s->latch = 0;
}

static int i440fx_restored(struct device *dev) /* any value of the latch is one a guest may write */
{
    struct i440fx *s = container_of(dev, struct i440fx, dev);
    return pci_restored(&s->pci);
}

static void i440fx_unplug(struct device *dev)
{
    struct i440fx *s = container_of(dev, struct i440fx, dev);
    bus_detach(&s->address);
    bus_detach(&s->data);
    pci_detach(&s->pci);
}

static const struct bus_ops address_ops = { address_read, address_write, .sizes = BUS_1 | BUS_2 | BUS_4,
                                            .exact = true };
/* An access that runs past the dword is one access, as in the hypervisor's configuration requests. */
static const struct bus_ops data_ops = { data_read, data_write, .sizes = BUS_1 | BUS_2 | BUS_4, .overhang = true };

static const struct pci_reg i440fx_regs[] = {
    { .reg = SMRAM, .size = 1, .reset = 0x02, .wmask = 0xff },
};
static const struct pci_desc i440fx_pci = {
    .vendor = 0x8086,
    .device = 0x1237,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x060000,
    .revision = 2,
    .regs = i440fx_regs,
    .nr_regs = ARRAY_SIZE(i440fx_regs),
};
static const struct device_desc i440fx_desc = {
    .name = "i440fx",
    .version = 1,
    .keeps_s3 = true,
    .fields = i440fx_fields,
    .restored = i440fx_restored,
    .reset = i440fx_reset,
    .unplug = i440fx_unplug,
};

int i440fx_create(const struct i440fx_config *config, struct device **out)
{
    struct i440fx *s = device_new(&i440fx_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->bus = config->pci;
    s->pci.opaque = s;
    int err = pci_attach(&s->pci, config->pci, PCI_DEVFN(0, 0), &i440fx_pci);
    if (!err)
        err = bus_attach(config->ports, &s->address, &address_ops, s, CONFADD, NR_PORTS);
    if (!err)
        err = bus_attach(config->ports, &s->data, &data_ops, s, CONFDATA, NR_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->pci.reset[RAM_SIZE] = (uint8_t)min_u64(config->ram_bytes / (8 * MIB), 0xff); /* row boundary, 8 MiB [FX DRB] */
    *out = &s->dev;
    return 0;
}
