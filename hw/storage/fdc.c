/*
 * The floppy controller's registers, its drives and their media. Commands are in fdc-cmd.c, sectors in fdc-data.c.
 * Everything mechanical takes no time. As in QEMU's, where guests' firmware may rely on it: it comes up out of reset,
 * with implied seeks, at 500 kbit/s; the DMA gate also chooses between DMA and programmed I/O, and doesn't stop the
 * interrupt. Not here: status registers A and B, which an AT doesn't have [82078 Status Register A].
 * Source: Intel 82078, order 290474.
 */
#include "fdc.h" /* struct fdc_config, fdc_create(), fdc_eject(), fdc_change_medium() ... */

#include "fdc-private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { PORT = 0x3f0, NR_PORTS = 6, PORT_DIR = 0x3f7 };
enum { DOR = 2, TDR = 3, MSR = 4, DSR = 4, FIFO = 5 };
enum { TDR_TAPE = 0x03, DIR_CHANGED = 0x80, DSR_KEPT = 0x7f, DSR_NOT_RATE = 0x7c };
enum { MSR_READY = 0x80, MSR_TO_HOST = 0x40, MSR_NO_DMA = 0x20, MSR_BUSY = 0x10 };
enum { CONFIG_AT_RESET = CONFIG_IMPLIED_SEEK | CONFIG_NO_FIFO, KEPT_PERPENDICULAR = 0x3c };
enum { TYPE_1M2 = 2, TYPE_1M44 = 4, TYPE_2M88 = 5 };

static const struct snap_field fdc_fields[] = {
    SNAP(struct fdc, dor),
    SNAP(struct fdc, tdr),
    SNAP(struct fdc, dsr),
    SNAP(struct fdc, phase),
    SNAP(struct fdc, op),
    SNAP_ARRAY(struct fdc, fifo),
    SNAP(struct fdc, pos),
    SNAP(struct fdc, len),
    SNAP(struct fdc, unit),
    SNAP(struct fdc, cylinder),
    SNAP(struct fdc, head),
    SNAP(struct fdc, sector),
    SNAP(struct fdc, st2),
    SNAP(struct fdc, left),
    SNAP(struct fdc, dma),
    SNAP(struct fdc, end),
    SNAP(struct fdc, at),
    SNAP_ARRAY(struct fdc, data),
    SNAP_ARRAY(struct fdc, timing),
    SNAP(struct fdc, config),
    SNAP(struct fdc, precompensation),
    SNAP(struct fdc, perpendicular),
    SNAP(struct fdc, last_sector),
    SNAP(struct fdc, power),
    SNAP_ARRAY(struct fdc, specs),
    SNAP(struct fdc, locked),
    SNAP_ARRAY(struct fdc, track),
    SNAP(struct fdc, polls),
    SNAP(struct fdc, seeks),
    SNAP(struct fdc, faults),
    SNAP(struct fdc, interrupt),
    SNAP_ARRAY(struct fdc, changed),
    SNAP_END,
};

/* By size, but that what is larger than usual follows its kind. */
static const struct fdc_format formats[] = {
    { 40, 1, 8, 1, TYPE_1M2 },   { 40, 1, 9, 1, TYPE_1M2 },   { 40, 2, 8, 1, TYPE_1M2 },   { 40, 2, 9, 1, TYPE_1M2 },
    { 80, 2, 15, 0, TYPE_1M2 },  { 80, 2, 9, 2, TYPE_1M44 },  { 80, 2, 10, 2, TYPE_1M44 }, { 80, 2, 18, 0, TYPE_1M44 },
    { 80, 2, 20, 0, TYPE_1M44 }, { 80, 2, 21, 0, TYPE_1M44 }, { 82, 2, 21, 0, TYPE_1M44 }, { 83, 2, 21, 0, TYPE_1M44 },
    { 80, 2, 22, 0, TYPE_1M44 }, { 80, 2, 23, 0, TYPE_1M44 }, { 80, 2, 24, 0, TYPE_1M44 }, { 80, 2, 36, 3, TYPE_2M88 },
    { 80, 2, 39, 3, TYPE_2M88 }, { 80, 2, 40, 3, TYPE_2M88 }, { 80, 2, 44, 3, TYPE_2M88 }, { 80, 2, 48, 3, TYPE_2M88 },
};
enum { FIRST_LARGE = 7 }; /* what an image of no usual size is part of */

static uint64_t format_bytes(const struct fdc_format *f)
{
    return (uint64_t)f->cylinders * f->heads * f->sectors * FDC_SECTOR;
}

/* NULL: no floppy. */
static const struct fdc_format *find_format(const struct block *block)
{
    if (block->sector_bytes != FDC_SECTOR || block->size_bytes == 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (format_bytes(&formats[i]) == block->size_bytes)
            return &formats[i];
    }
    for (size_t i = FIRST_LARGE; i < ARRAY_SIZE(formats); i++) {
        if (format_bytes(&formats[i]) > block->size_bytes)
            return &formats[i];
    }
    return NULL;
}

static bool drive_takes(uint8_t type, const struct fdc_format *f)
{
    return f->type == type || (type == TYPE_2M88 && f->type == TYPE_1M44);
}

void fdc_update(struct fdc *s)
{
    bool wants = s->interrupt || s->phase == PHASE_IN || s->phase == PHASE_OUT;
    irq_set(&s->irq, wants && (s->dor & DOR_NOT_RESET));
}

/* What DOR and DSR have in common; where the heads are isn't known then [82078 Reset]. */
static void soft_reset(struct fdc *s)
{
    fdc_abandon(s);
    s->interrupt = false;
    s->polls = s->seeks = s->faults = 0;
    s->perpendicular &= KEPT_PERPENDICULAR;
    if (!s->locked) {
        s->config = CONFIG_AT_RESET;
        s->precompensation = 0;
    }
    memset(s->track, 0, sizeof(s->track));
}

/* Every unit says that it is ready, in one interrupt. */
static void leave_reset(struct fdc *s)
{
    fdc_raise(s);
    s->polls = FDC_UNITS;
}

static void dor_write(struct fdc *s, uint8_t val)
{
    bool was = s->dor & DOR_NOT_RESET, now = val & DOR_NOT_RESET;
    s->dor = val;
    if (was && !now)
        soft_reset(s);
    if (!was && now)
        leave_reset(s);
}

static void dsr_write(struct fdc *s, uint8_t val)
{
    s->dsr = val & DSR_KEPT;
    if ((val & DSR_RESET) && (s->dor & DOR_NOT_RESET)) {
        soft_reset(s);
        leave_reset(s);
    }
}

static uint8_t msr_read(const struct fdc *s)
{
    static const uint8_t by_phase[] = {
        [PHASE_COMMAND] = MSR_READY,
        [PHASE_WAIT] = MSR_BUSY,
        [PHASE_IN] = MSR_READY | MSR_TO_HOST | MSR_NO_DMA | MSR_BUSY,
        [PHASE_OUT] = MSR_READY | MSR_NO_DMA | MSR_BUSY,
        [PHASE_RESULT] = MSR_READY | MSR_TO_HOST | MSR_BUSY,
    };
    if (!(s->dor & DOR_NOT_RESET))
        return 0;
    if (s->phase == PHASE_COMMAND && s->pos > 0)
        return MSR_READY | MSR_BUSY;
    return by_phase[s->phase] | (s->phase == PHASE_WAIT && !s->dma ? MSR_NO_DMA : 0);
}

/* The interrupt of a result is over with its last byte; that of a seek that ended meanwhile isn't told yet. */
static uint8_t result_read(struct fdc *s)
{
    uint8_t val = s->fifo[s->pos++];
    if (s->pos == s->len) {
        s->phase = PHASE_COMMAND;
        s->pos = s->len = 0;
        s->interrupt = s->seeks != 0;
    }
    return val;
}

static uint8_t fifo_read(struct fdc *s)
{
    uint8_t val = 0;
    if (s->phase == PHASE_RESULT)
        val = result_read(s);
    else if (s->phase == PHASE_IN)
        val = fdc_data_in(s);
    fdc_update(s);
    return val;
}

static void fifo_write(struct fdc *s, uint8_t val)
{
    if (!(s->dor & DOR_NOT_RESET))
        return;
    if (s->phase == PHASE_COMMAND)
        fdc_command_byte(s, val);
    else if (s->phase == PHASE_OUT)
        fdc_data_out(s, val);
}

static uint64_t fdc_read(void *opaque, uint64_t off, unsigned size)
{
    struct fdc *s = opaque;
    switch (off) {
    case DOR: return s->dor;
    case TDR: return s->tdr;
    case MSR: return msr_read(s);
    case FIFO: return fifo_read(s);
    default: return 0xff;
    }
}

static void fdc_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct fdc *s = opaque;
    switch (off) {
    case DOR: dor_write(s, (uint8_t)val); break;
    case TDR: s->tdr = val & TDR_TAPE; break;
    case DSR: dsr_write(s, (uint8_t)val); break;
    case FIFO: fifo_write(s, (uint8_t)val); break;
    default: break;
    }
    fdc_update(s);
}

/* The change line is that of the drive which DOR selects, its motor on or not. */
static uint64_t dir_read(void *opaque, uint64_t off, unsigned size)
{
    const struct fdc *s = opaque;
    unsigned unit = s->dor & DOR_UNIT;
    return unit < FDC_DRIVES && s->changed[unit] ? DIR_CHANGED : 0;
}

static void ccr_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct fdc *s = opaque;
    s->dsr = (uint8_t)((s->dsr & DSR_NOT_RATE) | (val & DSR_RATE));
}

static void drain(const struct fdc *s)
{
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        if (s->drives[i].block)
            block_drain(s->drives[i].block);
    }
}

static void fdc_reset(struct device *dev)
{
    struct fdc *s = container_of(dev, struct fdc, dev);
    fdc_abandon(s);
    drain(s);
    s->locked = false;
    soft_reset(s);
    s->dor = DOR_NOT_RESET | DOR_DMA;
    s->tdr = s->dsr = 0;
    s->unit = s->cylinder = s->head = s->sector = s->st2 = 0;
    s->left = s->at = 0;
    s->dma = s->end = false;
    s->perpendicular = s->last_sector = s->power = 0;
    memset(s->fifo, 0, sizeof(s->fifo));
    memset(s->data, 0, sizeof(s->data));
    memset(s->timing, 0, sizeof(s->timing));
    memset(s->specs, 0, sizeof(s->specs));
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        s->changed[i] = s->drives[i].type != 0;
    fdc_update(s);
}

static bool position_is_sane(const struct fdc *s)
{
    switch (s->phase) {
    case PHASE_COMMAND: return s->op == OP_NONE && fdc_command_is_sane(s);
    case PHASE_RESULT: return s->op == OP_NONE && s->pos < s->len && s->len <= FDC_FIFO;
    case PHASE_IN: return s->op == OP_READ && s->at < FDC_SECTOR;
    case PHASE_OUT: return s->op == OP_WRITE ? s->at < FDC_SECTOR : s->op == OP_FORMAT && s->at < FDC_FORMAT_ID;
    default: return false; /* WAIT: there is no request to wait for */
    }
}

static int fdc_restored(struct device *dev)
{
    struct fdc *s = container_of(dev, struct fdc, dev);
    bool moves = s->phase == PHASE_IN || s->phase == PHASE_OUT;
    bool sane = position_is_sane(s) && s->unit < FDC_UNITS && (s->op != OP_FORMAT || s->left > 0) &&
                !(moves && (s->dma || !(s->dor & DOR_NOT_RESET))) && s->polls <= FDC_UNITS &&
                s->seeks < 1u << FDC_UNITS && !(s->faults & ~s->seeks);
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        sane = sane && (!s->changed[i] || s->drives[i].type != 0);
    if (!sane) {
        fdc_reset(dev); /* nothing of a refused state may lead astray */
        return -EINVAL;
    }
    fdc_update(s);
    return 0;
}

static bool fdc_quiet(const struct device *dev)
{
    return !container_of(dev, struct fdc, dev)->busy;
}

static void take_out(struct fdc *s, unsigned i)
{
    struct block *block = s->drives[i].block;
    s->drives[i].block = NULL; /* first, so that a command at work doesn't go on with it */
    s->drives[i].format = NULL;
    block_close(block);
}

static void fdc_unplug(struct device *dev)
{
    struct fdc *s = container_of(dev, struct fdc, dev);
    bus_detach(&s->region);
    bus_detach(&s->dir_region);
    fdc_abandon(s);
    for (unsigned i = 0; i < FDC_DRIVES; i++)
        take_out(s, i);
    irq_set(&s->irq, false);
}

static const struct bus_ops fdc_ops = { fdc_read, fdc_write, .sizes = BUS_1 };
static const struct bus_ops dir_ops = { dir_read, ccr_write, .sizes = BUS_1 };
static const struct device_desc fdc_desc = {
    .name = "fdc",
    .version = 1,
    .fields = fdc_fields,
    .reset = fdc_reset,
    .quiet = fdc_quiet,
    .restored = fdc_restored,
    .unplug = fdc_unplug,
};

static struct fdc *fdc_of(const struct device *dev)
{
    assert(dev->desc == &fdc_desc);
    return container_of(dev, struct fdc, dev);
}

uint8_t fdc_drive_type(const struct device *fdc, unsigned i)
{
    return i < FDC_DRIVES ? fdc_of(fdc)->drives[i].type : 0;
}

struct block *fdc_block(const struct device *fdc, unsigned i)
{
    return i < FDC_DRIVES ? fdc_of(fdc)->drives[i].block : NULL;
}

void fdc_eject(struct device *fdc, unsigned i)
{
    struct fdc *s = fdc_of(fdc);
    assert(fdc_drive_type(fdc, i) != 0);
    take_out(s, i);
    s->changed[i] = true;
}

int fdc_change_medium(struct device *fdc, unsigned i, struct block *block)
{
    struct fdc *s = fdc_of(fdc);
    const struct fdc_format *f = find_format(block);
    if (!f || !drive_takes(fdc_drive_type(fdc, i), f))
        return -EINVAL;
    fdc_eject(fdc, i);
    s->drives[i].block = block;
    s->drives[i].format = f;
    return 0;
}

static void flush_done(struct block_req *req, int err)
{
    if (err)
        log_device(req->opaque, LOG_ERROR, "flushing a floppy failed (error %d)", -err);
}

void fdc_drain(struct device *fdc)
{
    struct fdc *s = fdc_of(fdc);
    drain(s);
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        struct block *block = s->drives[i].block;
        struct block_req flush = { .op = BLOCK_FLUSH, .done = flush_done, .opaque = fdc };
        if (!block || block->read_only)
            continue;
        block_submit(block, &flush);
        block_drain(block);
    }
}

int fdc_create(const struct fdc_config *config, struct device **out)
{
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        if (config->drives[i].block && !find_format(config->drives[i].block))
            return -EINVAL;
    }
    struct fdc *s = device_new(&fdc_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = bus_attach(config->ports, &s->region, &fdc_ops, s, PORT, NR_PORTS);
    if (!err)
        err = bus_attach(config->ports, &s->dir_region, &dir_ops, s, PORT_DIR, 1);
    if (err) {
        device_free(&s->dev); /* the blocks are still the caller's */
        return err;
    }
    s->irq = config->irq;
    s->transfer = config->transfer;
    s->opaque = config->opaque;
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        struct fdc_drive *d = &s->drives[i];
        d->block = config->drives[i].block;
        d->format = d->block ? find_format(d->block) : NULL;
        if (config->drives[i].present)
            d->type = d->format ? d->format->type : TYPE_2M88; /* which takes most */
    }
    *out = &s->dev;
    return 0;
}
