/*
 * Sectors between a floppy and the guest, one at a time: never is there a length worked out from what the guest says.
 * A sector has 512 bytes; for other sizes none is found. The bit for FM is ignored. Without terminal count, commands
 * end at the last sector they name, which in programmed I/O isn't an error: nothing else can end them on a PC.
 */
#include "fdc-private.h"

#include <string.h>

enum { MULTI_TRACK = 0x80, SKIP = 0x20, CODE = 0x1f, READ_TRACK = 0x02, READ_DELETED = 0x0c };
enum { VERIFY_COUNTED = 0x80, NO_DMA = 0x01 };

static const struct fdc_drive *medium(const struct fdc *s)
{
    const struct fdc_drive *d = s->unit < FDC_DRIVES ? &s->drives[s->unit] : NULL;
    return d && d->block ? d : NULL;
}

/* Drives for 80 cylinders make two steps for each of a medium of 40. */
static unsigned steps(const struct fdc_format *f)
{
    return f->cylinders < 80 ? 2 : 1;
}

static bool multi_track(const struct fdc *s)
{
    return s->fifo[0] & MULTI_TRACK;
}

/* The result of a transfer; the sector is the next one if all went well [82078 Result Phase]. */
static void finish(struct fdc *s, uint8_t st1, uint8_t st2, bool moved)
{
    uint8_t cylinder = s->cylinder, head = s->head, sector = s->sector;
    bool last = sector == s->last_sector;
    uint8_t st0 = (uint8_t)((st1 ? ST0_ABNORMAL : 0) | (s->head ? ST0_HEAD : 0) | s->unit);
    if (moved && last) {
        cylinder = (uint8_t)(cylinder + (!multi_track(s) || head != 0));
        head = (uint8_t)(multi_track(s) ? !head : head);
    }
    if (moved)
        sector = (uint8_t)(last ? 1 : sector + 1);
    const uint8_t result[] = { st0, st1, st2, cylinder, head, sector, FDC_SIZE_CODE };
    memcpy(s->fifo, result, sizeof(result));
    fdc_result(s, sizeof(result));
    fdc_raise(s);
}

/* Is the medium there, turning at the rate that was set? 0 or what status register 1 says. */
static uint8_t id_error(const struct fdc *s)
{
    const struct fdc_drive *d = medium(s);
    return d && d->format->rate == (s->dsr & DSR_RATE) ? 0 : ST1_NO_ID;
}

/* Where the sector is in the image. False: the medium has no such sector under the heads, and the command is over. */
static bool find_sector(struct fdc *s, uint64_t *offset)
{
    const struct fdc_drive *d = medium(s);
    if (id_error(s)) {
        finish(s, ST1_NO_ID, 0, false);
        return false;
    }
    const struct fdc_format *f = d->format;
    if (s->cylinder >= f->cylinders || s->track[s->unit] != s->cylinder * steps(f)) {
        finish(s, ST1_NO_SECTOR, ST2_CYLINDER, false);
        return false;
    }
    *offset = (((uint64_t)s->cylinder * f->heads + s->head) * f->sectors + s->sector - 1) * FDC_SECTOR;
    if (s->head < f->heads && s->sector >= 1 && s->sector <= f->sectors &&
        *offset + FDC_SECTOR <= d->block->size_bytes) /* an image may be shorter than the format */
        return true;
    finish(s, ST1_NO_SECTOR, 0, false);
    return false;
}

static void next(struct fdc *s);

/* The sector has been moved. */
static void moved(struct fdc *s)
{
    bool last = s->sector == s->last_sector, other_side = last && multi_track(s) && s->head == 0;
    bool counted = s->op == OP_FORMAT || s->left > 0;
    if (counted && --s->left == 0) {
        finish(s, 0, 0, true);
    } else if (s->end || s->st2) {
        finish(s, 0, s->st2, true);
    } else if (s->op != OP_FORMAT && last && !other_side) {
        bool fine = s->op == OP_VERIFY ? !counted : !s->dma;
        finish(s, fine ? 0 : ST1_END, 0, true);
    } else {
        if (s->op != OP_FORMAT) {
            s->head = other_side ? 1 : s->head;
            s->sector = (uint8_t)(last ? 1 : s->sector + 1);
        }
        next(s);
    }
}

/* data holds what the guest is to get. */
static void to_guest(struct fdc *s)
{
    if (!s->dma) {
        s->phase = PHASE_IN;
        s->at = 0;
        return;
    }
    struct fdc_moved m = s->transfer(s->opaque, true, s->data, FDC_SECTOR);
    s->end = m.end;
    if (m.bytes == 0)
        finish(s, ST1_OVERRUN, 0, false);
    else
        moved(s);
}

static void done(struct block_req *req, int err)
{
    struct fdc *s = req->opaque;
    s->busy = false;
    if (s->orphan) {
        s->orphan = false;
        if (s->phase == PHASE_WAIT)
            next(s);
    } else if (err) {
        log_limited(s->dev.log, LOG_WARN, &s->dev.log_rate, s->dev.id,
                    "drive %u: %s of cylinder %u, head %u, sector %u failed (error %d); reported to the guest", s->unit,
                    req->op == BLOCK_WRITE ? "write" : "read", s->cylinder, s->head, s->sector, -err);
        finish(s, ST1_DATA, ST2_DATA, false);
    } else if (s->op == OP_READ) {
        to_guest(s);
    } else {
        moved(s);
    }
    fdc_update(s);
}

static void submit(struct fdc *s, enum block_op op)
{
    uint64_t offset;
    if (!find_sector(s, &offset))
        return;
    s->phase = PHASE_WAIT;
    s->busy = true;
    s->vec = (struct vec){ s->data, FDC_SECTOR };
    s->req = (struct block_req){
        .op = op, .offset = offset, .len = FDC_SECTOR, .vec = &s->vec, .nvec = 1, .done = done, .opaque = s
    };
    block_submit(s->drives[s->unit].block, &s->req);
}

/* data holds the address that a sector is to be formatted with. An image has no sectors but those of its format. */
static void format_sector(struct fdc *s)
{
    bool here = s->data[0] == s->cylinder && s->data[1] == s->head && s->data[3] == FDC_SIZE_CODE;
    s->sector = here ? s->data[2] : 0;
    memset(s->data, s->fifo[5], FDC_SECTOR);
    submit(s, BLOCK_WRITE);
}

static unsigned wanted(const struct fdc *s)
{
    return s->op == OP_FORMAT ? FDC_FORMAT_ID : FDC_SECTOR;
}

/* data holds what the guest gave, at bytes; after terminal count the rest of a sector is zeros [82078 Write Data]. */
static void from_guest(struct fdc *s)
{
    memset(s->data + s->at, 0, sizeof(s->data) - s->at);
    if (medium(s) && medium(s)->block->read_only)
        finish(s, ST1_PROTECTED, 0, false); /* it was changed meanwhile */
    else if (s->op == OP_FORMAT)
        format_sector(s);
    else
        submit(s, BLOCK_WRITE);
}

/* Begin the sector that is next. */
static void next(struct fdc *s)
{
    uint64_t offset;
    s->phase = PHASE_WAIT;
    s->at = 0;
    if (s->busy)
        return; /* an orphan: its done() goes on here */
    if (s->op == OP_READ || s->op == OP_VERIFY) {
        submit(s, BLOCK_READ);
    } else if (s->op == OP_WRITE && !find_sector(s, &offset)) {
        return;
    } else if (!s->dma) {
        s->phase = PHASE_OUT;
    } else {
        struct fdc_moved m = s->transfer(s->opaque, false, s->data, wanted(s));
        s->at = (uint16_t)m.bytes;
        s->end = m.end;
        if (m.bytes == 0)
            finish(s, ST1_OVERRUN, 0, false);
        else
            from_guest(s);
    }
}

uint8_t fdc_data_in(struct fdc *s)
{
    uint8_t val = s->data[s->at++];
    if (s->at == FDC_SECTOR)
        moved(s);
    return val;
}

void fdc_data_out(struct fdc *s, uint8_t val)
{
    s->data[s->at++] = val;
    if (s->at == wanted(s))
        from_guest(s);
}

void fdc_abandon(struct fdc *s)
{
    s->orphan = s->busy;
    s->phase = PHASE_COMMAND;
    s->op = OP_NONE;
    s->pos = s->len = 0;
}

/* What all have in common that look for sectors. False: the command is over. */
static bool begin(struct fdc *s, enum fdc_op op)
{
    s->op = (uint8_t)op;
    s->unit = s->fifo[1] & DOR_UNIT;
    s->dma = !(s->timing[1] & NO_DMA) && (s->dor & DOR_DMA);
    s->end = false;
    s->st2 = 0;
    s->left = 0;
    uint8_t st1 = id_error(s);
    if (st1 == 0 && (op == OP_WRITE || op == OP_FORMAT) && medium(s)->block->read_only)
        st1 = ST1_PROTECTED;
    if (st1)
        finish(s, st1, 0, false);
    return st1 == 0;
}

void fdc_transfer(struct fdc *s, enum fdc_op op)
{
    uint8_t code = s->fifo[0] & CODE;
    bool deleted = code == READ_DELETED, sized = s->fifo[5] == FDC_SIZE_CODE;
    s->cylinder = s->fifo[2];
    s->head = s->fifo[3];
    s->sector = code == READ_TRACK ? 1 : s->fifo[4];
    s->last_sector = s->fifo[6];
    if (!begin(s, op))
        return;
    const struct fdc_format *f = medium(s)->format;
    if ((s->config & CONFIG_IMPLIED_SEEK) && s->cylinder < f->cylinders)
        fdc_step(s, s->unit, (uint8_t)(s->cylinder * steps(f)));
    if (op == OP_VERIFY && (s->fifo[1] & VERIFY_COUNTED))
        s->left = s->fifo[8] ? s->fifo[8] : 256;
    if (deleted) /* no sector is: the first one ends the command, or all are skipped [82078 Read Deleted Data] */
        s->st2 = ST2_MARK;
    if (!sized)
        finish(s, ST1_NO_SECTOR, 0, false);
    else if (deleted && (s->fifo[0] & SKIP))
        finish(s, ST1_END, ST2_MARK, false);
    else
        next(s);
}

void fdc_format_track(struct fdc *s)
{
    s->unit = s->fifo[1] & DOR_UNIT;
    s->head = s->fifo[1] & ST0_HEAD ? 1 : 0;
    s->sector = 1;
    s->last_sector = s->fifo[3];
    s->cylinder = s->track[s->unit];
    if (!begin(s, OP_FORMAT))
        return;
    s->cylinder = (uint8_t)(s->cylinder / steps(medium(s)->format));
    s->left = s->fifo[3];
    if (s->fifo[2] != FDC_SIZE_CODE)
        finish(s, ST1_NO_SECTOR, 0, false);
    else if (s->left == 0)
        finish(s, 0, 0, false);
    else
        next(s);
}

/* The address of the sector that comes by; the medium turns on from one command to the next. */
void fdc_read_id(struct fdc *s)
{
    s->unit = s->fifo[1] & DOR_UNIT;
    s->head = s->fifo[1] & ST0_HEAD ? 1 : 0;
    s->cylinder = s->track[s->unit];
    uint8_t st1 = id_error(s);
    if (st1 == 0) {
        const struct fdc_format *f = medium(s)->format;
        bool found = s->head < f->heads && s->cylinder % steps(f) == 0 && s->cylinder / steps(f) < f->cylinders;
        s->cylinder = (uint8_t)(s->cylinder / steps(f));
        s->sector = (uint8_t)(s->sector % f->sectors + 1);
        st1 = found ? 0 : ST1_NO_ID;
    }
    finish(s, st1, 0, false);
}
