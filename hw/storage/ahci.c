/*
 * AHCI: the PCI function of the ICH9, the registers of controller and ports, resets, the interrupt; the device.
 * Source: AHCI 1.3.1, chapter 3 and 10; Intel ICH9 data sheet, order 316972, 15.1. The values of the capabilities are
 * those of the machine that Xen guests know. Left out, as there: port multipliers, command list override, staggered
 * spin-up, link power management, coalescing of interrupts, enclosure management, BIOS hand-over. IS tells the ports
 * whose PxIS is pending now: it needs no acknowledge of its own.
 */
#include "ahci-private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the controller [AHCI 3.1]. */
enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0c, VS = 0x10, PORT_BASE = 0x100, PORT_BYTES = 0x80 };
/* Of a port [AHCI 3.3]. */
enum {
    PXCLB = 0x00,
    PXCLBU = 0x04,
    PXFB = 0x08,
    PXFBU = 0x0c,
    PXIS = 0x10,
    PXIE = 0x14,
    PXCMD = 0x18,
    PXTFD = 0x20,
    PXSIG = 0x24,
    PXSSTS = 0x28,
    PXSCTL = 0x2c,
    PXSERR = 0x30,
    PXSACT = 0x34,
    PXCI = 0x38
};
#define CAP_VALUE   UINT32_C(0xc0141f05) /* 64-bit addresses, NCQ, AHCI only, 1.5 Gbit/s, 32 slots, 6 ports */
#define VS_VALUE    UINT32_C(0x00010000)
#define GHC_AE      UINT32_C(0x80000000)
#define PXIE_MASK   UINT32_C(0xfdc000ff)
#define NO_SIG      UINT32_C(0xffffffff)
#define ABAR_BYTES  UINT32_C(4096)
#define INDEX_WMASK (ABAR_BYTES - 4)
enum { GHC_HR = 0x1, GHC_IE = 0x2, PI_VALUE = (1 << AHCI_PORTS) - 1 };
enum { PXCMD_WMASK = PXCMD_ST | PXCMD_FRE | PXCMD_ATAPI | PXCMD_DLAE, PXCMD_RESET = PXCMD_SUD | PXCMD_POD };
enum { PXSCTL_WMASK = 0xfff, DET_OFFLINE = 4, SSTS_UP = 0x113, SSTS_OFFLINE = 0x004 };
enum { CLB_ALIGN = 1024, FB_ALIGN = 256 };
enum { BAR_INDEX = 4, BAR_ABAR = 5, INDEX_BYTES = 32, INDEX_REG = 0x10, DATA_REG = 0x14 };
enum { CAP_MSI = 0x80, CAP_SATA = 0xa8 };
enum { FIRST_SERIAL = 5 /* the IDE controller has four before */, SERIALS_PER_PORT = 2 };

#define SNAP_PORT(n)                                                                                                   \
    SNAP(struct ahci, port[n].clb), SNAP(struct ahci, port[n].fb), SNAP(struct ahci, port[n].is),                      \
        SNAP(struct ahci, port[n].ie), SNAP(struct ahci, port[n].cmd_reg), SNAP(struct ahci, port[n].sig),             \
        SNAP(struct ahci, port[n].sctl), SNAP(struct ahci, port[n].serr), SNAP(struct ahci, port[n].sact),             \
        SNAP(struct ahci, port[n].ci), SNAP(struct ahci, port[n].tfd), SNAP(struct ahci, port[n].owe_signature),       \
        SNAP(struct ahci, port[n].srst), SNAP(struct ahci, port[n].halted), SNAP(struct ahci, port[n].queue_failed),   \
        SNAP_ARRAY(struct ahci, port[n].queue_log), IDE_SNAP_DRIVE(struct ahci, port[n].chan.drive[0])

static const struct snap_field ahci_fields[] = {
    SNAP_ARRAY(struct ahci, pci.config),
    SNAP(struct ahci, ghc),
    SNAP(struct ahci, index),
    SNAP_PORT(0),
    SNAP_PORT(1),
    SNAP_PORT(2),
    SNAP_PORT(3),
    SNAP_PORT(4),
    SNAP_PORT(5),
    SNAP_END,
};

/* Address map register: AHCI mode [ICH9 15.1.31]; SATA capability: registers by index in BAR 4 [ICH9 15.1.32]. */
static const struct pci_reg ahci_pci_regs[] = {
    { .reg = PCI_CAP_PTR, .size = 1, .reset = CAP_SATA },
    { .reg = 0x90, .size = 1, .reset = 0x40, .wmask = 0xff },
    { .reg = CAP_SATA, .size = 4, .reset = 0x00100012 },
    { .reg = CAP_SATA + 4, .size = 4, .reset = 0x00000048 },
};

static const struct pci_desc ahci_pci_desc = {
    .vendor = 0x8086,
    .device = 0x2922,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x010601,
    .revision = 2,
    .pin = 1,
    .status_reset = 0x0010,
    .regs = ahci_pci_regs,
    .nr_regs = ARRAY_SIZE(ahci_pci_regs),
};

static bool present(const struct ahci_port *p)
{
    return p->chan.drive[0].kind != IDE_NONE;
}

static uint32_t pending(const struct ahci *s)
{
    uint32_t ports = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ports |= s->port[i].is & s->port[i].ie ? UINT32_C(1) << i : 0;
    return ports;
}

/* A message goes out for each port that becomes pending, or stays so after an acknowledge [AHCI 10.7.2]. */
void ahci_update_irq(struct ahci *s)
{
    uint32_t ports = s->ghc & GHC_IE ? pending(s) : 0;
    bool news = ports & ~s->told;
    s->told = ports;
    if (!pci_msi_enabled(&s->msi)) {
        pci_set_intx(&s->pci, ports != 0);
        return;
    }
    pci_set_intx(&s->pci, false);
    if (news)
        pci_msi_raise(&s->msi);
}

bool ahci_has_orphans(const struct ahci_port *p)
{
    return p->chan.io == IO_ORPHAN || p->in_state[XFER_ORPHAN] > 0;
}

void ahci_abandon(struct ahci_port *p)
{
    for (unsigned i = 0; i < ahci_nr_transfers(p); i++)
        ahci_xfer_orphan(&p->xfer[i]);
    p->queue = p->finished = 0;
    p->cmd.busy = false;
    ide_abandon(&p->chan);
}

void ahci_send_signature(struct ahci_port *p)
{
    const struct ide_regs *r = &ahci_drive(p)->regs;
    if (!p->owe_signature || !(p->cmd_reg & PXCMD_FRE) || (p->sctl & PXSCTL_DET))
        return;
    if (ahci_has_orphans(p)) {
        p->tfd = ST_BSY; /* the drive is there, and not ready yet */
        return;
    }
    p->owe_signature = false;
    p->sig = (uint32_t)r->high << 24 | (uint32_t)r->mid << 16 | (uint32_t)r->low << 8 | r->count;
    ahci_post_d2h(p, false);
}

void ahci_orphan_gone(struct ahci_port *p)
{
    struct ahci *s = p->hba;
    bool any = false;
    for (unsigned i = 0; i < AHCI_PORTS && s->resetting && !any; i++)
        any = ahci_has_orphans(&s->port[i]);
    s->resetting = s->resetting && any;
    if (ahci_has_orphans(p))
        return;
    if (!p->owe_signature && !p->cmd.busy) /* the command was forgotten with the port's stop; the drive is free again */
        p->tfd &= (uint16_t)~ST_BSY;
    ahci_send_signature(p);
    task_post(&p->task);
}

/* After COMRESET, or when the link came up anew: the drive as at power-on, but for its tray and medium. */
static void link_reset(struct ahci_port *p)
{
    struct ide_drive *d = ahci_drive(p);
    ahci_abandon(p);
    ide_drive_reset(d);
    ata_reset(d);
    d->transfer_mode = 0;
    d->cd.locked = false;
    p->tfd = PXTFD_NO_DEVICE;
    p->sig = NO_SIG;
    p->srst = p->queue_failed = false;
    memset(p->queue_log, 0, sizeof(p->queue_log));
    p->owe_signature = present(p);
}

/* All but the addresses of the memory structures [AHCI 10.4.3]. */
static void reset_port(struct ahci_port *p)
{
    p->is = p->ie = p->sctl = p->serr = p->sact = p->ci = 0;
    p->cmd_reg = PXCMD_RESET;
    p->halted = false;
    link_reset(p);
}

/* It lasts until no request writes to guest memory any more. */
static void reset_hba(struct ahci *s)
{
    s->ghc = GHC_AE;
    s->resetting = false;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        reset_port(&s->port[i]);
        s->resetting |= ahci_has_orphans(&s->port[i]);
    }
    ahci_update_irq(s);
}

static uint32_t ssts(const struct ahci_port *p)
{
    unsigned det = p->sctl & PXSCTL_DET;
    if (det != 0)
        return det == DET_OFFLINE ? SSTS_OFFLINE : 0;
    return present(p) && !p->hba->resetting ? SSTS_UP : 0;
}

static uint32_t read_cmd(const struct ahci_port *p)
{
    bool fre = p->cmd_reg & PXCMD_FRE, running = fre && (p->cmd_reg & PXCMD_ST);
    return p->cmd_reg | (fre ? PXCMD_FR : 0) | (running || ahci_has_orphans(p) ? PXCMD_CR : 0);
}

static uint32_t read_port(const struct ahci_port *p, unsigned reg)
{
    switch (reg) {
    case PXCLB: return (uint32_t)p->clb;
    case PXCLBU: return (uint32_t)(p->clb >> 32);
    case PXFB: return (uint32_t)p->fb;
    case PXFBU: return (uint32_t)(p->fb >> 32);
    case PXIS: return p->is;
    case PXIE: return p->ie;
    case PXCMD: return read_cmd(p);
    case PXTFD: return p->tfd;
    case PXSIG: return p->sig;
    case PXSSTS: return ssts(p);
    case PXSCTL: return p->sctl;
    case PXSERR: return p->serr;
    case PXSACT: return p->sact;
    case PXCI: return p->ci;
    }
    return 0;
}

/* The register at off, a multiple of 4. */
static uint32_t read_reg(const struct ahci *s, unsigned off)
{
    unsigned port = (off - PORT_BASE) / PORT_BYTES;
    switch (off) {
    case CAP: return CAP_VALUE;
    case GHC: return s->ghc | (s->resetting ? GHC_HR : 0);
    case IS: return pending(s);
    case PI: return PI_VALUE;
    case VS: return VS_VALUE;
    }
    return off >= PORT_BASE && port < AHCI_PORTS ? read_port(&s->port[port], off % PORT_BYTES) : 0;
}

/* The port stops: commands are forgotten, CR stays until their requests are gone [AHCI 3.3.7, 10.3.1]. */
static void stop(struct ahci_port *p)
{
    ahci_abandon(p);
    p->sact = p->ci = 0;
    p->cmd_reg &= ~(uint32_t)PXCMD_CCS;
    p->halted = false;
    if (!ahci_has_orphans(p) && !p->owe_signature)
        p->tfd &= (uint16_t)~ST_BSY;
}

static void write_cmd(struct ahci_port *p, uint32_t val)
{
    bool stops = (p->cmd_reg & PXCMD_ST) && !(val & PXCMD_ST);
    p->cmd_reg = (p->cmd_reg & ~(uint32_t)PXCMD_WMASK) | (val & PXCMD_WMASK);
    if (stops)
        stop(p);
    ahci_send_signature(p);
    ahci_update_irq(p->hba);
    task_post(&p->task);
}

static void write_sctl(struct ahci_port *p, uint32_t val)
{
    unsigned was = p->sctl & PXSCTL_DET, det = val & PXSCTL_DET;
    p->sctl = val & PXSCTL_WMASK;
    if (det != was)
        link_reset(p);
    ahci_send_signature(p);
    ahci_update_irq(p->hba);
    task_post(&p->task);
}

/* mask: the bits that the access covers; val has no others. */
static uint32_t merge(uint64_t old, uint32_t val, uint32_t mask)
{
    return ((uint32_t)old & ~mask) | val;
}

static void write_port(struct ahci_port *p, unsigned reg, uint32_t val, uint32_t mask)
{
    uint64_t high = UINT64_C(0xffffffff) << 32;
    switch (reg) {
    case PXCLB: p->clb = (p->clb & high) | (merge(p->clb, val, mask) & ~(uint32_t)(CLB_ALIGN - 1)); break;
    case PXCLBU: p->clb = (p->clb & ~high) | (uint64_t)merge(p->clb >> 32, val, mask) << 32; break;
    case PXFB: p->fb = (p->fb & high) | (merge(p->fb, val, mask) & ~(uint32_t)(FB_ALIGN - 1)); break;
    case PXFBU: p->fb = (p->fb & ~high) | (uint64_t)merge(p->fb >> 32, val, mask) << 32; break;
    case PXIS:
        p->is &= ~val;
        p->hba->told &= ~(UINT32_C(1) << p->chan.drive[0].index);
        ahci_update_irq(p->hba);
        break;
    case PXIE:
        p->ie = merge(p->ie, val, mask) & PXIE_MASK;
        ahci_update_irq(p->hba);
        break;
    case PXCMD: write_cmd(p, merge(p->cmd_reg, val, mask)); break;
    case PXSCTL: write_sctl(p, merge(p->sctl, val, mask)); break;
    case PXSERR: p->serr &= ~val; break;
    case PXSACT: p->sact |= p->cmd_reg & PXCMD_ST ? val : 0; break;
    case PXCI:
        p->ci |= p->cmd_reg & PXCMD_ST ? val : 0;
        task_post(&p->task);
        break;
    }
}

static void write_reg(struct ahci *s, unsigned off, uint32_t val, uint32_t mask)
{
    unsigned port = (off - PORT_BASE) / PORT_BYTES;
    if (s->resetting) /* nobody is there to take it */
        return;
    if (off == GHC && (val & GHC_HR)) {
        reset_hba(s);
    } else if (off == GHC) {
        s->ghc = (merge(s->ghc, val, mask) & GHC_IE) | GHC_AE;
        ahci_update_irq(s);
    } else if (off == IS) {
        s->told = 0;
        ahci_update_irq(s);
    } else if (off >= PORT_BASE && port < AHCI_PORTS) {
        write_port(&s->port[port], off % PORT_BYTES, val, mask);
    }
}

/* Any width at any place: the registers that it covers, byte by byte of them. Reading has no side effects. */
static uint64_t abar_read(void *opaque, uint64_t off, unsigned size)
{
    const struct ahci *s = opaque;
    unsigned first = (unsigned)off & ~3u, shift = 8 * ((unsigned)off & 3);
    uint64_t val = read_reg(s, first);
    if (shift + 8 * size > 32)
        val |= (uint64_t)read_reg(s, first + 4) << 32;
    return val >> shift;
}

static void abar_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ahci *s = opaque;
    unsigned first = (unsigned)off & ~3u, shift = 8 * ((unsigned)off & 3);
    uint64_t mask = all_ones(size) << shift;
    val = (val << shift) & mask;
    write_reg(s, first, (uint32_t)val, (uint32_t)mask);
    if (mask >> 32)
        write_reg(s, first + 4, (uint32_t)(val >> 32), (uint32_t)(mask >> 32));
}

static const struct bus_ops abar_ops = { .read = abar_read, .write = abar_write, .sizes = BUS_1 | BUS_2 | BUS_4 };

/* The same registers by index and data, for real-mode code [AHCI 10.14; ICH9 15.2.3]. */
static uint64_t index_read(void *opaque, uint64_t off, unsigned size)
{
    const struct ahci *s = opaque;
    if (off >= DATA_REG && off < DATA_REG + 4)
        return abar_read(opaque, s->index + (off - DATA_REG), size);
    return off >= INDEX_REG && off < DATA_REG ? s->index >> (8 * (off - INDEX_REG)) : 0;
}

static void index_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ahci *s = opaque;
    unsigned shift = 8 * ((unsigned)off & 3);
    if (off >= DATA_REG && off < DATA_REG + 4)
        abar_write(opaque, s->index + (off - DATA_REG), size, val);
    else if (off >= INDEX_REG && off < DATA_REG)
        s->index = merge(s->index, (uint32_t)(val << shift), (uint32_t)(all_ones(size) << shift)) & INDEX_WMASK;
}

static const struct bus_ops index_ops = { .read = index_read, .write = index_write, .sizes = BUS_1 | BUS_2 | BUS_4 };

static void config_written(void *opaque, unsigned reg, unsigned size)
{
    struct ahci *s = opaque;
    pci_msi_config_written(&s->msi);
    if (reg < CAP_SATA && reg + size > CAP_MSI) {
        s->told = 0;
        ahci_update_irq(s);
    }
}

static void drain(struct ahci *s)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned i = 0; i < AHCI_PORTS; i++) {
            struct ahci_port *p = &s->port[i];
            ide_drive_drain(ahci_drive(p));
            ahci_resume(p);
            busy |= p->in_state[XFER_FLYING] + p->in_state[XFER_WAITING] + p->in_state[XFER_ORPHAN] > 0;
            ahci_queue_report(p);
        }
    }
    ahci_update_irq(s);
}

/* No request in flight afterwards, nothing written to guest memory by us; commands at work are forgotten. */
static void halt(struct ahci *s)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        reset_port(&s->port[i]);
    drain(s);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        task_cancel(&s->port[i].task);
}

static void ahci_reset(struct device *dev)
{
    struct ahci *s = container_of(dev, struct ahci, dev);
    halt(s);
    pci_reset(&s->pci);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ahci_port *p = &s->port[i];
        ide_channel_reset(&p->chan);
        p->clb = p->fb = 0;
    }
    s->index = 0;
    reset_hba(s);
}

static bool port_valid(const struct ahci_port *p)
{
    const struct ide_drive *d = &p->chan.drive[0];
    if (d->kind != IDE_NONE && (d->kind != d->configured || !p->xfer))
        return false;
    if (d->status & ~(ST_READY | ST_DRQ | ST_ERR))
        return false;
    if (ata_restored(d) || atapi_restored(d))
        return false;
    if ((p->clb & (CLB_ALIGN - 1)) || (p->fb & (FB_ALIGN - 1)) || (p->ie & ~PXIE_MASK) ||
        (p->sctl & ~(uint32_t)PXSCTL_WMASK))
        return false;
    if (p->owe_signature && d->kind == IDE_NONE)
        return false;
    return (p->cmd_reg & ~(uint32_t)(PXCMD_WMASK | PXCMD_CCS)) == PXCMD_RESET;
}

static int check_restored(struct ahci *s)
{
    bool valid = (s->ghc & ~(uint32_t)GHC_IE) == GHC_AE && !(s->index & ~INDEX_WMASK);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        valid = valid && port_valid(&s->port[i]);
    return valid ? pci_restored(&s->pci) : -EINVAL;
}

/* Take the drive and its image away; nothing is in flight. */
static void remove_drive(struct ahci_port *p)
{
    ide_drive_remove(ahci_drive(p));
    free(p->xfer);
    p->xfer = NULL;
    p->in_state[XFER_IDLE] = 0;
}

/* A refused state stays until the device goes: nothing in it may lead astray. */
static void disarm(struct ahci *s)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ide_drive *d = ahci_drive(&s->port[i]);
        d->kind = s->port[i].xfer ? d->configured : IDE_NONE;
        ata_reset(d);
        atapi_reset(d);
        reset_port(&s->port[i]);
    }
    s->index = 0;
}

static int ahci_restored(struct device *dev)
{
    struct ahci *s = container_of(dev, struct ahci, dev);
    int err = check_restored(s);
    if (err) {
        disarm(s);
        return err;
    }
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ahci_port *p = &s->port[i];
        if (!present(p)) /* it was unplugged before the save: the image belongs to a PV back end */
            remove_drive(p);
        task_post(&p->task);
    }
    s->told = s->ghc & GHC_IE ? pending(s) : 0; /* the messages went out before the save */
    ahci_update_irq(s);
    return 0;
}

/* Commands that wait in CI are none's yet: they are in the saved state. */
static bool ahci_quiet(const struct device *dev)
{
    const struct ahci *s = container_of(dev, struct ahci, dev);
    bool quiet = !s->resetting;
    for (unsigned i = 0; i < AHCI_PORTS && quiet; i++) {
        const struct ahci_port *p = &s->port[i];
        quiet = p->chan.io == IO_NONE && !p->cmd.busy && p->queue == 0 && !ahci_has_orphans(p);
    }
    return quiet;
}

static void ahci_unplug(struct device *dev)
{
    struct ahci *s = container_of(dev, struct ahci, dev);
    halt(s);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ide_drive *d = ahci_drive(&s->port[i]);
        ide_drive_flush(d);
        remove_drive(&s->port[i]);
        s->port[i].owe_signature = false;
    }
    pci_detach(&s->pci);
}

static const struct device_desc ahci_desc = {
    .name = "ahci",
    .version = 1,
    .fields = ahci_fields,
    .quiet = ahci_quiet,
    .restored = ahci_restored,
    .reset = ahci_reset,
    .unplug = ahci_unplug,
};

static struct ahci *ahci_of(const struct device *dev)
{
    assert(dev->desc == &ahci_desc);
    return container_of(dev, struct ahci, dev);
}

void ahci_drain(struct device *ahci)
{
    struct ahci *s = ahci_of(ahci);
    drain(s);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        ide_drive_flush(ahci_drive(&s->port[i]));
}

void ahci_unplug_disks(struct device *ahci)
{
    struct ahci *s = ahci_of(ahci);
    ahci_drain(ahci); /* commands at work go on to their end: what the guest wrote is on the disk */
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (ahci_drive(&s->port[i])->kind == IDE_DISK)
            remove_drive(&s->port[i]);
    }
    reset_hba(s);
}

bool ahci_drive_info(const struct device *ahci, unsigned i, struct ide_drive_info *info)
{
    const struct ide_drive *d = i < AHCI_PORTS ? ahci_drive(&ahci_of(ahci)->port[i]) : NULL;
    if (!d || d->kind == IDE_NONE)
        return false;
    *info = (struct ide_drive_info){
        .id = d->id, .cdrom = d->kind == IDE_CD, .locked = d->cd.locked, .tray_open = d->cd.tray_open, .block = d->block
    };
    return true;
}

static struct ide_drive *find_drive(struct ahci *s, const char *id)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        struct ide_drive *d = ahci_drive(&s->port[i]);
        if (d->kind != IDE_NONE && d->id[0] && strcmp(d->id, id) == 0)
            return d;
    }
    return NULL;
}

int ahci_eject(struct device *ahci, const char *id, bool force)
{
    struct ide_drive *d = find_drive(ahci_of(ahci), id);
    return d ? atapi_eject(d, force) : -ENOENT;
}

int ahci_change_medium(struct device *ahci, const char *id, bool force, struct block *block)
{
    struct ide_drive *d = find_drive(ahci_of(ahci), id);
    return d ? atapi_change_medium(d, force, block) : -ENOENT;
}

static int init_port(struct ahci *s, unsigned i, const struct ahci_config *config)
{
    struct ahci_port *p = &s->port[i];
    struct ide_channel *c = &p->chan;
    p->hba = s;
    task_init(&p->task, config->loop, ahci_port_run, p);
    c->dev = &s->dev;
    c->host = &ahci_host;
    c->loop = config->loop;
    c->mem = config->mem;
    c->pci = &s->pci;
    c->tray_moved = config->tray_moved;
    c->opaque = config->opaque;
    c->drive[0].queue = AHCI_SLOTS;
    c->drive[0].chan = c->drive[1].chan = c; /* the second is never there */
    if (config->drives[i].present) {
        p->xfer = calloc(AHCI_TRANSFERS, sizeof(*p->xfer));
        if (!p->xfer)
            return -ENOMEM;
    }
    p->in_state[XFER_IDLE] = (uint8_t)ahci_nr_transfers(p);
    for (unsigned t = 0; t < ahci_nr_transfers(p); t++)
        p->xfer[t].port = p;
    return ide_drive_init(c, 0, i, FIRST_SERIAL + i * SERIALS_PER_PORT, &config->drives[i]);
}

int ahci_create(const struct ahci_config *config, struct device **out)
{
    struct ahci *s = device_new(&ahci_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->mem = config->mem;
    s->pci.opaque = s;
    s->pci.config_written = config_written;
    s->pci.bars[BAR_INDEX] = (struct pci_bar){ .kind = PCI_BAR_IO, .size = INDEX_BYTES, .ops = &index_ops };
    s->pci.bars[BAR_ABAR] = (struct pci_bar){ .kind = PCI_BAR_MEM32, .size = ABAR_BYTES, .ops = &abar_ops };
    s->msi.func = &s->pci;
    int err = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        int failed = init_port(s, i, config);
        err = err ? err : failed;
    }
    if (!err)
        err = pci_attach(&s->pci, config->pci, config->devfn, &ahci_pci_desc);
    if (err) {
        device_free(&s->dev); /* the blocks are still the caller's */
        return err;
    }
    pci_msi_init(&s->msi, &s->pci, config->hv, CAP_MSI, false);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        ahci_drive(&s->port[i])->block = config->drives[i].present ? config->drives[i].block : NULL;
        ide_channel_reset(&s->port[i].chan);
    }
    reset_hba(s);
    *out = &s->dev;
    return 0;
}
