/*
 * PIIX4 power management and the ACPI hardware of the machine. Of the PM block (b000-b03f) only PM1 control is here: PM1
 * status, enable and the timer are the hypervisor's and never get here, or another device's by piix4_pm_bind_events(). APM
 * commands store and raise no SMI.
 * Source: Intel 82371AB (PIIX4), order 290562, [P4 n] is its section n; ACPI 2.0, [ACPI n]. Hot-plug ports:
 * the machine's own, as its ACPI tables use them, xen/tools/libacpi/mk_dsdt.c.
 */
#include "piix4-pm.h" /* struct piix4_pm_config, piix4_pm_create(), piix4_pm_cpu_add() ... */

#include "piix4-smbus.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <thindm/device.h>
#include <thindm/pci.h>

/* Configuration registers [P4 7.1]; _3: the highest byte of the four. */
enum { PMBA = 0x40, DEVACTB = 0x58, DEVRESA_3 = 0x5f, DEVRESB_3 = 0x63, DEVRESC_3 = 0x67 };
enum { PMREGMISC = 0x80, SMBBA = 0x90, SMBHSTCFG = 0xd2 };
enum { PMBA_MASK = 0xffc0, SMBBA_MASK = 0xfff0, PMIOSE = 0x01, SMB_HST_EN = 0x01 };
enum { SMB_INTRSEL = 0x0e, SMB_INTRSEL_IRQ9 = 0x08 };
/* Port blocks. */
enum { PM_BYTES = 64, APM_BASE = 0xb2, APM_BYTES = 2, PCI_BASE = 0xae00, PCI_BYTES = 16 };
enum { CPU_BASE = 0xaf00, CPU_BYTES = 32, GPE_BASE = 0xafe0, GPE_BYTES = 4 };
enum { PMCNTRL = 4, EVENT_BYTES = 12 }; /* [P4 7.2.3] */
enum { SCI_EN = 0x0001, SUS_TYP_SHIFT = 10, SUS_TYP_MASK = 0x7, SUS_EN = 0x2000 };
enum { TYPE_S5 = 0, TYPE_S3 = 1 };           /* of the ACPI tables' \_Sx */
enum { GPE_PCI = 0x0002, GPE_CPU = 0x0004 }; /* _E01, _E02 */
enum { SLOT_UP = 0, SLOT_DOWN = 4, SLOT_EJECT = 8, SLOT_REMOVABLE = 12, NR_SLOTS = 32 };
enum { APM_ACPI_ON = 0xf1, APM_ACPI_OFF = 0xf0 }; /* FADT ACPI_ENABLE, ACPI_DISABLE */

struct piix4_pm {
    struct device dev;
    struct pci_func pci;
    struct bus *ports;
    struct bus_region pm, smb, apm, slots, cpu, gpe;
    struct irq sci;
    unsigned max_vcpus;
    uint32_t removable;
    void (*power)(void *opaque, enum hv_shutdown reason);
    void (*sleep)(void *opaque);
    void (*eject)(void *opaque, unsigned slot);
    void *opaque;
    void (*events_read)(void *opaque, uint8_t *regs);
    void (*events_write)(void *opaque, unsigned off, unsigned size, uint32_t val);
    void *events_opaque;
    /* Guest-visible state. */
    uint16_t pm1_control, gpe_status, gpe_enable;
    uint32_t slots_up, slots_down;
    uint8_t cpus[PIIX4_PM_MAX_VCPUS / 8];
    uint8_t apm_command, apm_status;
    struct piix4_smbus smbus;
};

static const struct snap_field piix4_pm_fields[] = {
    SNAP_ARRAY(struct piix4_pm, pci.config),  SNAP(struct piix4_pm, pm1_control),
    SNAP(struct piix4_pm, gpe_status),        SNAP(struct piix4_pm, gpe_enable),
    SNAP(struct piix4_pm, slots_up),          SNAP(struct piix4_pm, slots_down),
    SNAP_ARRAY(struct piix4_pm, cpus),        SNAP(struct piix4_pm, apm_command),
    SNAP(struct piix4_pm, apm_status),        SNAP(struct piix4_pm, smbus.status),
    SNAP(struct piix4_pm, smbus.control),     SNAP(struct piix4_pm, smbus.command),
    SNAP(struct piix4_pm, smbus.address),     SNAP(struct piix4_pm, smbus.data0),
    SNAP(struct piix4_pm, smbus.data1),       SNAP(struct piix4_pm, smbus.slave_control),
    SNAP_ARRAY(struct piix4_pm, smbus.block), SNAP(struct piix4_pm, smbus.block_index),
    SNAP(struct piix4_pm, smbus.slave_event), SNAP_END,
};

static bool sci_level(const struct piix4_pm *s)
{
    bool smbus_on_9 = (s->pci.config[SMBHSTCFG] & SMB_INTRSEL) == SMB_INTRSEL_IRQ9;
    return (s->gpe_status & s->gpe_enable) || (smbus_on_9 && piix4_smbus_irq(&s->smbus));
}

/*
 * Ends every path that touches a cause. The hypervisor's PM1 event block drives the same bit and may have dropped the
 * line, so a high level is sent again; a low one isn't, for that would drop the hypervisor's own event.
 */
static void update(struct piix4_pm *s)
{
    bool was_high = s->sci.level, high = sci_level(s);
    irq_set(&s->sci, high);
    if (was_high && high)
        irq_refresh(&s->sci);
}

/* Bring a region to where the registers put it; base 0: off. */
static void place(struct piix4_pm *s, struct bus_region *region, const struct bus_ops *ops, uint16_t base, uint64_t len)
{
    if (region->bus ? region->base == base : base == 0)
        return;
    bus_detach(region);
    if (base == 0)
        return;
    int err = bus_attach(s->ports, region, ops, s, base, len);
    if (err)
        log_guest(&s->dev, "the guest put a block at port %x where another device is; it stays unmapped", base);
}

static uint64_t pm_read(void *opaque, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = opaque;
    uint8_t regs[PM_BYTES];
    memset(regs, 0xff, sizeof(regs));
    if (s->events_read)
        s->events_read(s->events_opaque, regs);
    le16_put(regs + PMCNTRL, s->pm1_control);
    return le_get(regs + off, size);
}

/* [ACPI 4.7.3.2.1]. SLP_EN is an order, not a state: it reads 0. */
static void pm1_control_written(struct piix4_pm *s, uint16_t val)
{
    s->pm1_control = val & (uint16_t)~SUS_EN;
    if (!(val & SUS_EN))
        return;
    if ((val >> SUS_TYP_SHIFT & SUS_TYP_MASK) == TYPE_S3) {
        if (s->sleep)
            s->sleep(s->opaque);
    } else if (s->power) {
        s->power(s->opaque, HV_POWEROFF); /* S5; S4 is a power-off whose guest has saved itself */
    }
}

static void pm_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct piix4_pm *s = opaque;
    uint8_t regs[PM_BYTES] = { 0 };
    if (s->events_write && off < EVENT_BYTES)
        s->events_write(s->events_opaque, (unsigned)off, size, (uint32_t)val);
    if (off + size <= PMCNTRL || off >= PMCNTRL + 2)
        return;
    le16_put(regs + PMCNTRL, s->pm1_control);
    le_put(regs + off, size, val);
    pm1_control_written(s, le16_get(regs + PMCNTRL));
}

static uint64_t apm_read(void *opaque, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = opaque;
    return off == 0 ? s->apm_command : s->apm_status;
}

static void apm_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct piix4_pm *s = opaque;
    if (off != 0) {
        s->apm_status = (uint8_t)val;
        return;
    }
    s->apm_command = (uint8_t)val;
    if (val == APM_ACPI_ON)
        s->pm1_control |= SCI_EN;
    else if (val == APM_ACPI_OFF)
        s->pm1_control &= (uint16_t)~SCI_EN;
}

static uint64_t gpe_read(void *opaque, uint64_t off, unsigned size)
{
    struct piix4_pm *s = opaque;
    uint8_t regs[GPE_BYTES];
    le16_put(regs, s->gpe_status);
    le16_put(regs + 2, s->gpe_enable);
    update(s);
    return le_get(regs + off, size);
}

/* Status bits clear where a one is written, enable bits store [ACPI 4.7.4.1]. */
static void gpe_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct piix4_pm *s = opaque;
    uint8_t clear[GPE_BYTES] = { 0 }, enable[GPE_BYTES];
    le16_put(enable + 2, s->gpe_enable);
    le_put(clear + off, size, val);
    le_put(enable + off, size, val);
    s->gpe_status &= (uint16_t)~le16_get(clear);
    s->gpe_enable = le16_get(enable + 2);
    update(s);
}

/* The masks stay when they are read: the tables' _E01 walks all slots each time. */
static uint64_t slots_read(void *opaque, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = opaque;
    uint8_t regs[PCI_BYTES] = { 0 };
    le32_put(regs + SLOT_UP, s->slots_up);
    le32_put(regs + SLOT_DOWN, s->slots_down);
    le32_put(regs + SLOT_REMOVABLE, s->removable);
    return le_get(regs + off, size);
}

/* One slot per write, the lowest: _EJ0 writes one bit. */
static void slots_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct piix4_pm *s = opaque;
    uint8_t regs[PCI_BYTES] = { 0 };
    le_put(regs + off, size, val);
    uint32_t eject = le32_get(regs + SLOT_EJECT);
    unsigned slot = 0;
    if (eject == 0)
        return;
    while (!(eject >> slot & 1))
        slot++;
    if (!(s->removable >> slot & 1)) {
        log_guest(&s->dev, "the guest ejects slot %u, which can't be removed; ignored", slot);
        return;
    }
    s->slots_up &= ~(UINT32_C(1) << slot);
    s->slots_down &= ~(UINT32_C(1) << slot);
    if (s->eject)
        s->eject(s->opaque, slot);
}

/* Zeros behind the last CPU: ones would make the guest start CPUs that don't exist. Writes do nothing. */
static uint64_t cpu_read(void *opaque, uint64_t off, unsigned size)
{
    const struct piix4_pm *s = opaque;
    uint8_t regs[CPU_BYTES] = { 0 };
    memcpy(regs, s->cpus, sizeof(s->cpus));
    return le_get(regs + off, size);
}

static uint64_t smb_read(void *opaque, uint64_t off, unsigned size)
{
    struct piix4_pm *s = opaque;
    return piix4_smbus_read(&s->smbus, (unsigned)off);
}

static void smb_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct piix4_pm *s = opaque;
    piix4_smbus_write(&s->smbus, (unsigned)off, (uint8_t)val);
    update(s);
}

static const struct bus_ops pm_ops = { pm_read, pm_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct bus_ops apm_ops = { apm_read, apm_write, .sizes = BUS_1 };
static const struct bus_ops gpe_ops = { gpe_read, gpe_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct bus_ops slots_ops = { slots_read, slots_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct bus_ops cpu_ops = { .read = cpu_read, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct bus_ops smb_ops = { smb_read, smb_write, .sizes = BUS_1 };

/* The blocks follow their own enable bits only: firmware leaves the function's I/O enable off, for it has no BARs. */
static void place_blocks(struct piix4_pm *s)
{
    const uint8_t *config = s->pci.config;
    bool pm_on = config[PMREGMISC] & PMIOSE, smb_on = config[SMBHSTCFG] & SMB_HST_EN;
    place(s, &s->pm, &pm_ops, pm_on ? le16_get(config + PMBA) & PMBA_MASK : 0, PM_BYTES);
    place(s, &s->smb, &smb_ops, smb_on ? le16_get(config + SMBBA) & SMBBA_MASK : 0, PIIX4_SMBUS_PORTS);
}

static void piix4_pm_config_written(void *opaque, unsigned reg, unsigned size)
{
    struct piix4_pm *s = opaque;
    place_blocks(s);
    update(s);
}

int piix4_pm_cpu_add(struct device *dev, unsigned index)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    if (index >= s->max_vcpus)
        return -EINVAL;
    if (piix4_pm_cpu_online(dev, index))
        return -EEXIST;
    s->cpus[index / 8] |= (uint8_t)(1u << index % 8);
    s->gpe_status |= GPE_CPU;
    update(s);
    return 0;
}

bool piix4_pm_cpu_online(const struct device *dev, unsigned index)
{
    const struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    return index < s->max_vcpus && (s->cpus[index / 8] >> index % 8 & 1);
}

void piix4_pm_bind_events(struct device *dev, void (*read)(void *opaque, uint8_t *regs),
                          void (*write)(void *opaque, unsigned off, unsigned size, uint32_t val), void *opaque)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    s->events_read = read;
    s->events_write = write;
    s->events_opaque = opaque;
}

static int slot_event(struct piix4_pm *s, uint32_t *mask, unsigned slot)
{
    if (slot >= NR_SLOTS || !(s->removable >> slot & 1))
        return -EINVAL;
    *mask |= UINT32_C(1) << slot;
    s->gpe_status |= GPE_PCI;
    update(s);
    return 0;
}

int piix4_pm_slot_inserted(struct device *dev, unsigned slot)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    return slot_event(s, &s->slots_up, slot);
}

int piix4_pm_slot_remove(struct device *dev, unsigned slot)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    return slot_event(s, &s->slots_down, slot);
}

/* CPUs stay: which are present isn't lost when the guest starts anew. */
static void piix4_pm_reset(struct device *dev)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    pci_reset(&s->pci);
    s->pm1_control = s->gpe_status = s->gpe_enable = 0;
    s->slots_up = s->slots_down = 0;
    s->apm_command = s->apm_status = 0;
    piix4_smbus_reset(&s->smbus);
    if (s->pci.bus) /* an unplugged function stays away */
        place_blocks(s);
    update(s);
}

static int piix4_pm_restored(struct device *dev)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    if ((s->pm1_control & SUS_EN) || (s->gpe_status & ~(GPE_PCI | GPE_CPU)))
        return -EINVAL;
    if ((s->slots_up | s->slots_down) & ~s->removable)
        return -EINVAL;
    if (!(s->cpus[0] & 1)) /* who asked for the snapshot */
        return -EINVAL;
    for (unsigned i = s->max_vcpus; i < PIIX4_PM_MAX_VCPUS; i++) {
        if (s->cpus[i / 8] >> i % 8 & 1)
            return -EINVAL;
    }
    int err = piix4_smbus_check(&s->smbus);
    if (!err)
        err = pci_restored(&s->pci);
    if (err)
        return err;
    if (s->pci.bus)
        place_blocks(s);
    update(s);
    return 0;
}

static void piix4_pm_unplug(struct device *dev)
{
    struct piix4_pm *s = container_of(dev, struct piix4_pm, dev);
    struct bus_region *regions[] = { &s->pm, &s->smb, &s->apm, &s->slots, &s->cpu, &s->gpe };
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++)
        bus_detach(regions[i]);
    pci_detach(&s->pci);
    irq_set(&s->sci, false);
}

/* Read-only bit 0 of a base register is one: I/O space. What isn't here stores and resets to 0. */
static const struct pci_reg piix4_pm_regs[] = {
    { .reg = PMBA, .size = 4, .reset = 0x00000001, .wmask = PMBA_MASK },
    { .reg = DEVACTB, .size = 4, .reset = 0x02000000, .wmask = 0xffffffff },
    { .reg = DEVRESB_3, .size = 1, .reset = 0x60, .wmask = 0xff },
    { .reg = SMBBA, .size = 4, .reset = 0x0000b101, .wmask = SMBBA_MASK },
    { .reg = SMBHSTCFG, .size = 1, .reset = SMB_INTRSEL_IRQ9 | SMB_HST_EN, .wmask = 0xff },
};
static const struct pci_desc piix4_pm_pci = {
    .vendor = 0x8086,
    .device = 0x7113,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x068000,
    .revision = 3,
    .pin = 1,
    .status_reset = 0x0280,
    .regs = piix4_pm_regs,
    .nr_regs = ARRAY_SIZE(piix4_pm_regs),
};
static const struct device_desc piix4_pm_desc = {
    .name = "piix4-pm",
    .version = 1,
    .keeps_s3 = true,
    .fields = piix4_pm_fields,
    .restored = piix4_pm_restored,
    .reset = piix4_pm_reset,
    .unplug = piix4_pm_unplug,
};

static int attach_all(struct piix4_pm *s, const struct piix4_pm_config *config)
{
    const struct {
        struct bus_region *region;
        const struct bus_ops *ops;
        uint16_t base, len;
    } fixed[] = {
        { &s->apm, &apm_ops, APM_BASE, APM_BYTES },
        { &s->slots, &slots_ops, PCI_BASE, PCI_BYTES },
        { &s->cpu, &cpu_ops, CPU_BASE, CPU_BYTES },
        { &s->gpe, &gpe_ops, GPE_BASE, GPE_BYTES },
    };
    int err = pci_attach(&s->pci, config->pci, config->devfn, &piix4_pm_pci);
    for (unsigned i = 0; !err && i < ARRAY_SIZE(fixed); i++)
        err = bus_attach(s->ports, fixed[i].region, fixed[i].ops, s, fixed[i].base, fixed[i].len);
    return err;
}

int piix4_pm_create(const struct piix4_pm_config *config, struct device **out)
{
    if (config->vcpus < 1 || config->vcpus > config->max_vcpus || config->max_vcpus > PIIX4_PM_MAX_VCPUS)
        return -EINVAL;
    struct piix4_pm *s = device_new(&piix4_pm_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->ports = config->ports;
    s->max_vcpus = config->max_vcpus;
    s->removable = config->removable_slots;
    s->pci.opaque = s;
    s->pci.config_written = piix4_pm_config_written;
    int err = attach_all(s, config);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->sci = config->sci;
    s->power = config->power;
    s->sleep = config->sleep;
    s->eject = config->eject;
    s->opaque = config->opaque;
    for (unsigned i = 0; i < config->vcpus; i++)
        s->cpus[i / 8] |= (uint8_t)(1u << i % 8);
    s->pci.reset[DEVRESA_3] = 0x10 | (config->parallel ? 0x80 : 0);
    s->pci.reset[DEVRESC_3] = (uint8_t)((config->com1 ? 0x08 : 0) | (config->com2 ? 0x90 : 0));
    *out = &s->dev;
    return 0;
}
