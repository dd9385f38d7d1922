/*
 * IDE channel: task file, data port, interrupt, resets; the same for disks and CD-ROMs.
 * Source: ATA8-ACS (T13/1699-D r6a), ATA8-APT; below [ACS n], [APT n]. A channel works on one command at a time: a
 * command to one drive makes its neighbour forget an unfinished transfer. Left out: overlap, queuing, timing.
 */
#include "ide-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The drive that register accesses go to. */
static struct ide_drive *selected(struct ide_channel *c)
{
    return &c->drive[c->selected];
}

/* Nobody may start anything: a request is with the back end, or a reset isn't over. */
static bool busy(const struct ide_channel *c)
{
    return c->io != IO_NONE || c->due != DUE_NONE || (c->control & DC_SRST);
}

void ide_update_irq(struct ide_channel *c)
{
    bool level = selected(c)->irq && !(c->control & DC_NIEN);
    if (level && !c->irq.level)
        c->bm_status |= BM_INTERRUPT; /* latched at the rising edge, DMA or not [82371SB 2.7.2] */
    irq_set(&c->irq, level);
}

void ide_raise(struct ide_drive *d)
{
    if (d->chan->host) {
        d->chan->host->ended(d->chan);
        return;
    }
    d->irq = true;
    ide_update_irq(d->chan);
}

void ide_complete(struct ide_drive *d)
{
    struct ide_xfer *x = &d->chan->x;
    x->phase = PHASE_IDLE;
    x->step = STEP_NONE;
    d->status = ST_READY;
    d->error = 0;
    if (x->packet)
        d->regs.count = IR_IO | IR_CD;
    ide_raise(d);
}

void ide_fail(struct ide_drive *d, uint8_t error)
{
    struct ide_xfer *x = &d->chan->x;
    x->phase = PHASE_IDLE;
    x->step = STEP_NONE;
    x->left = 0;
    d->status = ST_READY | ST_ERR;
    d->error = error;
    ide_raise(d);
}

void ide_set_signature(struct ide_drive *d)
{
    bool cd = d->kind == IDE_CD, none = d->kind == IDE_NONE;
    d->regs.count = d->regs.low = 1;
    d->regs.mid = none ? 0xff : cd ? 0x14 : 0;
    d->regs.high = none ? 0xff : cd ? 0xeb : 0;
    d->regs.device &= DEV_UNIT | DEV_ONES;
}

/* A DRQ block of this many bytes waits; for packets the byte count and reason tell so too [ACS 7.18]. */
static void present(struct ide_channel *c, enum ide_phase phase, uint32_t bytes, bool irq)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    x->phase = (uint8_t)phase;
    x->end = x->pos + bytes;
    d->status = ST_READY | ST_DRQ;
    if (x->packet) {
        d->regs.count = x->step == STEP_PACKET ? IR_CD : phase == PHASE_IN ? IR_IO : 0;
        if (x->step != STEP_PACKET) {
            d->regs.mid = (uint8_t)bytes;
            d->regs.high = (uint8_t)(bytes >> 8);
        }
    }
    if (irq)
        ide_raise(d);
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void ide_pio_in_next(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    uint32_t have = x->filled - x->pos;
    if (x->left > 0 && have < x->block) {
        x->phase = PHASE_IDLE;
        d->status = ST_READY;
        ide_medium_in(c);
    } else if (have > 0) {
        present(c, PHASE_IN, min_u32(have, x->block), true);
    } else if (x->packet) {
        ide_complete(d);
    } else {
        /* The last block's interrupt came with its data [APT 5.3]. */
        x->phase = PHASE_IDLE;
        x->step = STEP_NONE;
        d->status = ST_READY;
    }
}

void ide_reply(struct ide_drive *d, uint32_t bytes)
{
    struct ide_xfer *x = &d->chan->x;
    x->step = STEP_REPLY;
    x->pos = 0;
    x->filled = bytes;
    x->left = 0;
    if (x->dma || d->chan->host) {
        ide_dma_begin(d->chan);
    } else {
        if (!x->packet)
            x->block = bytes;
        ide_pio_in_next(d->chan);
    }
}

void ide_receive(struct ide_drive *d, enum ide_step step, uint32_t bytes, bool irq)
{
    struct ide_xfer *x = &d->chan->x;
    x->step = (uint8_t)step;
    x->pos = 0;
    x->filled = bytes;
    if (d->chan->host || (x->dma && step != STEP_PACKET))
        ide_dma_begin(d->chan);
    else
        present(d->chan, PHASE_OUT, min_u32(bytes, x->block), irq);
}

/* The host moved the last byte of a DRQ block. */
static void block_end(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    if (x->phase == PHASE_IN) {
        ide_pio_in_next(c);
        return;
    }
    if (x->pos < x->filled) {
        present(c, PHASE_OUT, min_u32(x->filled - x->pos, x->block), true);
        return;
    }
    x->phase = PHASE_IDLE;
    d->status = ST_READY;
    switch (x->step) {
    case STEP_PACKET: atapi_packet(d); break;
    case STEP_WRITE: ide_medium_out(c); break;
    default:
        if (x->packet)
            atapi_parameters(d);
        else
            ata_parameters(d);
    }
}

/* How many whole elements of size bytes the data port can move in this direction right now. */
static size_t movable(const struct ide_channel *c, enum ide_phase phase, unsigned size, size_t count)
{
    const struct ide_xfer *x = &c->x;
    size_t room = x->phase == phase && x->unit == c->selected ? (x->end - x->pos) / size : 0;
    return room < count ? room : count;
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    struct ide_channel *c = opaque;
    struct ide_xfer *x = &c->x;
    if (movable(c, PHASE_IN, 1, 1) == 0)
        return 0;
    /* The last element of a block with an odd length is padded [ACS 7.18]. */
    uint32_t bytes = min_u32(size, x->end - x->pos);
    uint64_t val = le_get(c->buf + x->pos, bytes);
    x->pos += bytes;
    if (x->pos == x->end)
        block_end(c);
    return val;
}

static void data_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ide_channel *c = opaque;
    struct ide_xfer *x = &c->x;
    if (movable(c, PHASE_OUT, 1, 1) == 0)
        return;
    uint32_t bytes = min_u32(size, x->end - x->pos);
    le_put(c->buf + x->pos, bytes, val);
    x->pos += bytes;
    if (x->pos == x->end)
        block_end(c);
}

/* REP INS: as much of the DRQ block as is asked for, in one copy; the bus calls again for the next block. */
static size_t data_read_block(void *opaque, uint64_t off, unsigned size, void *buf, size_t count)
{
    struct ide_channel *c = opaque;
    struct ide_xfer *x = &c->x;
    if (movable(c, PHASE_IN, 1, 1) == 0) {
        memset(buf, 0, size * count);
        return count;
    }
    size_t n = movable(c, PHASE_IN, size, count);
    memcpy(buf, c->buf + x->pos, n * size);
    x->pos += (uint32_t)(n * size);
    if (x->pos == x->end)
        block_end(c);
    return n;
}

static size_t data_write_block(void *opaque, uint64_t off, unsigned size, const void *buf, size_t count)
{
    struct ide_channel *c = opaque;
    struct ide_xfer *x = &c->x;
    if (movable(c, PHASE_OUT, 1, 1) == 0)
        return count;
    size_t n = movable(c, PHASE_OUT, size, count);
    memcpy(c->buf + x->pos, buf, n * size);
    x->pos += (uint32_t)(n * size);
    if (x->pos == x->end)
        block_end(c);
    return n;
}

/* An absent drive reads 0, which no present one does when ready: guests give up on it at once. */
static uint8_t status(struct ide_channel *c)
{
    const struct ide_drive *d = selected(c);
    if (d->kind == IDE_NONE)
        return 0;
    return busy(c) ? ST_BSY : d->status;
}

static uint8_t read_reg(struct ide_channel *c, unsigned reg)
{
    const struct ide_drive *d = selected(c);
    const struct ide_regs *r = &d->regs;
    bool hob = c->control & DC_HOB;
    if (c->drive[0].kind == IDE_NONE && c->drive[1].kind == IDE_NONE)
        return 0;
    switch (reg) {
    case REG_ERROR: return d->kind == IDE_NONE ? 0 : hob ? r->hob_features : d->error;
    case REG_COUNT: return hob ? r->hob_count : r->count;
    case REG_LOW: return hob ? r->hob_low : r->low;
    case REG_MID: return hob ? r->hob_mid : r->mid;
    case REG_HIGH: return hob ? r->hob_high : r->high;
    case REG_DEVICE: return (uint8_t)(r->device | DEV_ONES);
    }
    return 0;
}

static uint64_t regs_read(void *opaque, uint64_t off, unsigned size)
{
    struct ide_channel *c = opaque;
    unsigned reg = (unsigned)off + 1; /* the data port is a region of its own */
    if (reg != REG_STATUS)
        return read_reg(c, reg);
    uint8_t val = status(c);
    selected(c)->irq = false; /* the acknowledge [APT 4.1] */
    ide_update_irq(c);
    return val;
}

static uint64_t ctl_read(void *opaque, uint64_t off, unsigned size)
{
    return status(opaque); /* the alternate status doesn't acknowledge [ACS 6.2] */
}

void ide_abandon(struct ide_channel *c)
{
    struct ide_drive *d = ide_active(c);
    if (c->io == IO_AHEAD)
        c->io = IO_NONE; /* the reading ahead goes on for itself */
    else if (c->io != IO_NONE)
        c->io = IO_ORPHAN;
    c->x = (struct ide_xfer){ .unit = c->x.unit };
    d->status &= (uint8_t)~ST_DRQ;
    if (c->host)
        c->host->abandoned(c);
}

void ide_drive_reset(struct ide_drive *d)
{
    d->irq = false;
    d->error = DIAG_PASSED;
    /* A packet device says it isn't ready so that it is not taken for a disk [ACS 7.9.3]. */
    d->status = d->kind == IDE_DISK ? ST_READY : 0;
    d->regs = (struct ide_regs){ .device = (uint8_t)(DEV_ONES | (d == &d->chan->drive[1] ? DEV_UNIT : 0)) };
    ide_set_signature(d);
}

/* What was due happens, once no request is in flight. */
static void settle_reset(struct ide_channel *c)
{
    enum ide_due due = (enum ide_due)c->due;
    if (due == DUE_NONE || c->io != IO_NONE)
        return;
    c->due = DUE_NONE;
    if (due == DUE_DEVICE_RESET) {
        struct ide_drive *d = selected(c);
        uint8_t device = d->regs.device;
        ide_drive_reset(d);
        d->regs.device = (uint8_t)(device & (DEV_UNIT | DEV_ONES)); /* stays selected [ACS 7.8] */
        return;
    }
    for (unsigned i = 0; i < IDE_UNITS; i++)
        ide_drive_reset(&c->drive[i]);
    c->selected = 0;
    if (due == DUE_DIAGNOSTIC && c->drive[0].kind != IDE_NONE)
        ide_raise(&c->drive[0]);
    ide_update_irq(c);
}

void ide_orphan_done(struct ide_channel *c)
{
    settle_reset(c);
    if (c->host)
        c->host->idle(c);
}

static void reset_now(struct ide_channel *c, enum ide_due due)
{
    ide_abandon(c);
    c->due = (uint8_t)due;
    settle_reset(c);
}

static void write_control(struct ide_channel *c, uint8_t val)
{
    uint8_t rising = val & ~c->control, falling = c->control & ~val;
    c->control = val;
    if (rising & DC_SRST) {
        ide_abandon(c);
        c->due = DUE_NONE;
        for (unsigned i = 0; i < IDE_UNITS; i++)
            c->drive[i].irq = false;
    } else if (falling & DC_SRST) {
        reset_now(c, DUE_SOFT_RESET);
    }
    ide_update_irq(c);
}

void ide_begin(struct ide_drive *d, uint8_t command)
{
    struct ide_channel *c = d->chan;
    ide_abandon(c);
    c->x.unit = (uint8_t)(d - c->drive);
    c->x.command = command;
    d->irq = false;
    d->error = 0;
    d->status = ST_READY;
    ide_update_irq(c);
}

/* Commands that both kinds of drive know; the rest is the drive's own. */
void ide_run(struct ide_drive *d)
{
    struct ide_channel *c = d->chan;
    switch (c->x.command) {
    case CMD_DIAGNOSTIC: reset_now(c, DUE_DIAGNOSTIC); break;
    case CMD_PACKET:
        if (d->kind == IDE_CD)
            atapi_packet_command(d);
        else
            ide_fail(d, ER_ABRT);
        break;
    case CMD_IDENTIFY_PACKET:
        if (d->kind == IDE_CD) {
            ata_identify_packet(d, c->buf);
            ide_reply(d, DISK_SECTOR);
        } else {
            ide_fail(d, ER_ABRT);
        }
        break;
    case CMD_SET_FEATURES: ata_set_features(d); break;
    default: ata_command(d); break;
    }
}

static void write_command(struct ide_channel *c, uint8_t command)
{
    struct ide_drive *d = selected(c);
    struct ide_xfer *x = &c->x;
    bool mine = x->unit == c->selected;
    if (d->kind == IDE_NONE && command != CMD_DIAGNOSTIC)
        return;
    if (c->control & DC_SRST)
        return;
    if (command == CMD_DEVICE_RESET && d->kind == IDE_CD) {
        /* The only command that a busy drive takes [ACS 7.8]. */
        if (!busy(c) || mine)
            reset_now(c, DUE_DEVICE_RESET);
        ide_update_irq(c);
        return;
    }
    /* A transfer must be finished first, but for a DMA that nobody is going to serve. */
    if (busy(c) || (mine && (x->phase == PHASE_IN || x->phase == PHASE_OUT)))
        return;
    if (mine && x->phase == PHASE_DMA && (c->bm_status & BM_ACTIVE))
        return;
    ide_begin(d, command);
    ide_run(d);
}

static void select_drive(struct ide_channel *c, uint8_t val)
{
    c->drive[0].regs.device = (uint8_t)((val & ~DEV_UNIT) | DEV_ONES);
    c->drive[1].regs.device = val | DEV_UNIT | DEV_ONES;
    c->selected = val & DEV_UNIT ? 1 : 0;
    ide_update_irq(c);
}

/* Both drives see every write; a register keeps its previous value for 48-bit commands [APT 4.3]. */
static void write_reg(struct ide_channel *c, unsigned reg, uint8_t val)
{
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_regs *r = &c->drive[i].regs;
        switch (reg) {
        case REG_ERROR:
            r->hob_features = r->features;
            r->features = val;
            break;
        case REG_COUNT:
            r->hob_count = r->count;
            r->count = val;
            break;
        case REG_LOW:
            r->hob_low = r->low;
            r->low = val;
            break;
        case REG_MID:
            r->hob_mid = r->mid;
            r->mid = val;
            break;
        case REG_HIGH:
            r->hob_high = r->high;
            r->high = val;
            break;
        }
    }
}

static void regs_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct ide_channel *c = opaque;
    unsigned reg = (unsigned)off + 1;
    c->control &= (uint8_t)~DC_HOB; /* any write to the command block ends it [APT 4.3] */
    if (reg == REG_STATUS) {
        write_command(c, (uint8_t)val);
        return;
    }
    if (busy(c))
        return;
    if (reg == REG_DEVICE)
        select_drive(c, (uint8_t)val);
    else
        write_reg(c, reg, (uint8_t)val);
}

static void ctl_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    write_control(opaque, (uint8_t)val);
}

const struct bus_ops ide_data_ops = {
    .read = data_read,
    .write = data_write,
    .sizes = BUS_1 | BUS_2 | BUS_4,
    .overhang = true,
    .read_block = data_read_block,
    .write_block = data_write_block,
};
const struct bus_ops ide_regs_ops = { .read = regs_read, .write = regs_write, .sizes = BUS_1 };
const struct bus_ops ide_ctl_ops = { .read = ctl_read, .write = ctl_write, .sizes = BUS_1 };

int ide_drive_init(struct ide_channel *c, unsigned unit, unsigned index, unsigned serial_nr,
                   const struct ide_drive_config *config)
{
    struct ide_drive *d = &c->drive[unit];
    d->chan = c;
    d->index = (uint8_t)index;
    (void)snprintf(d->serial, sizeof(d->serial), "QM%05u", serial_nr);
    if (!config->present)
        return 0;
    if (!config->cdrom && (!config->block || config->block->size_bytes < DISK_SECTOR))
        return -EINVAL;
    if (config->block && config->block->sector_bytes > (config->cdrom ? CD_SECTOR : DISK_SECTOR))
        return -EINVAL;
    d->configured = d->kind = config->cdrom ? IDE_CD : IDE_DISK;
    (void)snprintf(d->id, sizeof(d->id), "%s", config->id ? config->id : "");
    d->ahead.next = UINT64_MAX;
    if (!c->host) { /* nobody reads by PIO otherwise */
        d->ahead.data = malloc(IDE_AHEAD_BYTES);
        if (!d->ahead.data)
            return -ENOMEM;
    }
    if (config->block) {
        d->sectors = config->block->size_bytes / ide_sector_bytes(d);
        d->geometry = ide_guess_geometry(config->block->size_bytes);
    }
    return 0;
}

void ide_drive_remove(struct ide_drive *d)
{
    ide_drive_close(d);
    free(d->ahead.data);
    d->ahead.data = NULL;
    d->kind = IDE_NONE;
}

void ide_channel_reset(struct ide_channel *c)
{
    ide_abandon(c);
    c->x.unit = 0;
    c->due = DUE_NONE;
    c->control = c->selected = 0;
    c->bm_command = c->bm_status = 0;
    c->bm_table = 0;
    c->prd = (struct ide_prd){ 0 };
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_drive *d = &c->drive[i];
        ide_drive_reset(d);
        d->transfer_mode = 0;
        ata_reset(d);
        atapi_reset(d);
    }
    ide_update_irq(c);
}

/* What the host hasn't read yet, or has written so far; between commands nothing. */
void ide_channel_saving(struct ide_channel *c)
{
    const struct ide_xfer *x = &c->x;
    c->saved = (struct snap_part){ 0 };
    if (x->phase == PHASE_IN)
        c->saved = (struct snap_part){ x->pos, x->filled - x->pos };
    else if (x->phase == PHASE_OUT)
        c->saved = (struct snap_part){ 0, x->pos };
    else if (x->phase == PHASE_DMA)
        c->saved = (struct snap_part){ 0, x->filled };
}

static bool xfer_valid(const struct ide_channel *c)
{
    const struct ide_xfer *x = &c->x;
    const struct ide_drive *d = &c->drive[x->unit & 1];
    bool medium = x->step == STEP_READ || x->step == STEP_WRITE || x->step == STEP_VERIFY;
    if (x->unit >= IDE_UNITS || x->phase >= NR_PHASES || x->step >= NR_STEPS)
        return false;
    if (x->filled > sizeof(c->buf) || x->end > x->filled || x->pos > x->end)
        return false;
    if (x->phase == PHASE_IDLE)
        return true;
    if (d->kind == IDE_NONE || x->step == STEP_NONE || x->step == STEP_VERIFY || (x->packet && d->kind != IDE_CD))
        return false;
    if ((x->phase == PHASE_DMA) != (x->dma && x->step != STEP_PACKET))
        return false;
    if (x->phase != PHASE_DMA && (x->pos == x->end || (x->block == 0 && x->step != STEP_PACKET)))
        return false;
    if (x->block > UINT16_MAX)
        return false;
    if ((x->phase == PHASE_IN && x->step != STEP_REPLY && x->step != STEP_READ) ||
        (x->phase == PHASE_OUT && (x->step == STEP_REPLY || x->step == STEP_READ)))
        return false;
    if (!medium && x->left > 0)
        return false;
    if (medium && (x->lba > d->sectors || x->left > d->sectors - x->lba || x->careful > x->left))
        return false;
    if (d->kind == IDE_DISK)
        return !medium || x->host_bytes == DISK_SECTOR;
    if (!x->packet && x->step != STEP_REPLY)
        return false;
    return !medium || x->host_bytes == CD_SECTOR || x->host_bytes == CD_RAW_SECTOR;
}

/* Whole sectors of a command that has as many left to write. */
static bool write_valid(const struct ide_channel *c)
{
    const struct ide_xfer *x = &c->x;
    if (x->phase == PHASE_IDLE || x->step != STEP_WRITE)
        return true;
    return c->drive[x->unit].kind == IDE_DISK && x->left > 0 && x->filled % DISK_SECTOR == 0 &&
           x->filled <= (uint64_t)x->left * DISK_SECTOR;
}

int ide_channel_restored(struct ide_channel *c)
{
    if (c->selected >= IDE_UNITS || (c->bm_command & ~(BM_START | BM_TO_MEMORY)) || (c->bm_table & 3))
        return -EINVAL;
    if (c->bm_status & ~(BM_CAPABLE | BM_ACTIVE | BM_ERROR | BM_INTERRUPT))
        return -EINVAL;
    if ((c->bm_status & BM_ACTIVE) && !(c->bm_command & BM_START))
        return -EINVAL;
    if (c->prd.left > 0x10000)
        return -EINVAL;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        const struct ide_drive *d = &c->drive[i];
        if (d->kind != IDE_NONE && (d->kind != d->configured || !d->ahead.data))
            return -EINVAL;
        if (d->status & ~(ST_READY | ST_DRQ | ST_ERR))
            return -EINVAL;
        if (ata_restored(d) || atapi_restored(d))
            return -EINVAL;
    }
    return xfer_valid(c) && write_valid(c) ? 0 : -EINVAL;
}
