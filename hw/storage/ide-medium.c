/*
 * Between a channel's buffer and the back end: pieces of a command as large as the buffer, reading ahead for guests
 * that read by PIO, flushes. What fails in a large request is tried again sector by sector, so that the guest hears of
 * the very sector and gets all before it.
 */
#include "ide-private.h"

#include <inttypes.h>
#include <string.h>

/* How long sectors read ahead are good: somebody else (a PV driver of the same guest) may write to the image. */
#define AHEAD_NS (100 * NS_PER_MS)
#define NOWHERE  UINT64_MAX

void ide_ahead_drop(struct ide_drive *d)
{
    struct ide_ahead *a = &d->ahead;
    a->stale = a->busy;
    a->next = NOWHERE;
    if (!a->busy)
        a->units = 0;
}

static void ahead_done(struct block_req *req, int err)
{
    struct ide_drive *d = req->opaque;
    struct ide_channel *c = d->chan;
    struct ide_ahead *a = &d->ahead;
    a->busy = false;
    a->time_ns = loop_now(c->loop);
    if (err || a->stale) {
        a->stale = false;
        ide_ahead_drop(d); /* a real error shows again when the guest's own read comes there */
    }
    if (c->io == IO_AHEAD && ide_active(c) == d) {
        c->io = IO_NONE;
        ide_medium_in(c);
    }
}

static void ahead_start(struct ide_drive *d, uint64_t lba)
{
    struct ide_ahead *a = &d->ahead;
    uint32_t bytes = ide_sector_bytes(d);
    a->units = (uint32_t)min_u64(IDE_AHEAD_BYTES / bytes, d->sectors - lba);
    a->lba = lba;
    a->busy = true;
    a->stale = false;
    a->vec = (struct vec){ a->data, (size_t)a->units * bytes };
    a->req = (struct block_req){ .op = BLOCK_READ,
                                 .offset = lba * bytes,
                                 .len = (uint64_t)a->units * bytes,
                                 .vec = &a->vec,
                                 .nvec = 1,
                                 .done = ahead_done,
                                 .opaque = d };
    block_submit(d->block, &a->req);
}

static bool ahead_holds(const struct ide_ahead *a, uint64_t lba)
{
    return a->units > 0 && !a->stale && lba >= a->lba && lba - a->lba < a->units;
}

/* Copy up to units sectors at lba that were read ahead. Returns how many; the next ones are asked for at the end. */
static uint32_t ahead_take(struct ide_drive *d, uint64_t lba, uint32_t units, uint8_t *to)
{
    struct ide_ahead *a = &d->ahead;
    uint32_t bytes = ide_sector_bytes(d);
    if (a->busy || !ahead_holds(a, lba))
        return 0;
    if (loop_now(d->chan->loop) - a->time_ns > AHEAD_NS) {
        ide_ahead_drop(d);
        return 0;
    }
    uint32_t skip = (uint32_t)(lba - a->lba), got = a->units - skip;
    if (got > units)
        got = units;
    memcpy(to, a->data + (size_t)skip * bytes, (size_t)got * bytes);
    if (skip + got == a->units && lba + got < d->sectors)
        ahead_start(d, lba + got);
    return got;
}

static void io_done(struct block_req *req, int err);

void ide_submit(struct ide_channel *c, enum ide_io io, enum block_op op, uint64_t lba, uint32_t units)
{
    struct ide_drive *d = ide_active(c);
    uint32_t bytes = ide_sector_bytes(d);
    c->io = (uint8_t)io;
    c->io_units = units;
    c->req.op = op;
    c->req.offset = lba * bytes;
    c->req.len = (uint64_t)units * bytes;
    c->req.vec = c->vec;
    c->req.done = io_done;
    c->req.opaque = c;
    if (op == BLOCK_WRITE || op == BLOCK_DISCARD)
        ide_ahead_drop(d);
    block_submit(d->block, &c->req);
}

/* Sync pattern, address and mode before 2048 bytes of data, no error correction behind them [ECMA-130 14]. */
void ide_make_raw(uint8_t *buf, uint64_t lba, uint32_t units)
{
    for (uint32_t i = units; i-- > 0;) {
        uint8_t *to = buf + (size_t)i * CD_RAW_SECTOR;
        uint32_t frame = (uint32_t)(lba + i) + 150, minute = frame / (75 * 60) % 100, second = frame / 75 % 60;
        memmove(to + 16, buf + (size_t)i * CD_SECTOR, CD_SECTOR);
        memset(to, 0xff, 12);
        to[0] = to[11] = 0;
        to[12] = (uint8_t)(minute / 10 << 4 | minute % 10);
        to[13] = (uint8_t)(second / 10 << 4 | second % 10);
        to[14] = (uint8_t)(frame % 75 / 10 << 4 | frame % 75 % 10);
        to[15] = 1;
        memset(to + 16 + CD_SECTOR, 0, CD_RAW_SECTOR - 16 - CD_SECTOR);
    }
}

/* units sectors of x->lba are in buf, behind what the host hasn't taken yet. */
static void arrived(struct ide_channel *c, uint32_t units)
{
    struct ide_xfer *x = &c->x;
    if (x->host_bytes == CD_RAW_SECTOR)
        ide_make_raw(c->buf + x->filled, x->lba, units);
    x->lba += units;
    x->left -= units;
    x->careful -= x->careful > 0 ? units : 0; /* units is 1 then */
    ide_active(c)->ahead.next = x->lba;
    if (x->step == STEP_READ) {
        x->filled += units * x->host_bytes;
        ide_pio_in_next(c);
    } else if (x->left > 0) {
        ide_medium_in(c);
    } else {
        ide_complete(ide_active(c));
    }
}

void ide_medium_in(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    uint32_t keep = x->filled - x->pos, units = (uint32_t)(sizeof(c->buf) - keep) / x->host_bytes;
    memmove(c->buf, c->buf + x->pos, keep);
    x->pos = x->end = 0;
    x->filled = keep;
    units = x->careful > 0 ? 1 : units < x->left ? units : x->left;
    if (x->careful == 0 && x->step == STEP_READ) {
        uint32_t got = ahead_take(d, x->lba, units, c->buf + keep);
        if (got > 0) {
            arrived(c, got);
            return;
        }
        /* On its way already, or worth starting: the guest reads on from where it was. */
        bool coming = d->ahead.busy && ahead_holds(&d->ahead, x->lba);
        if (!coming && !d->ahead.busy && d->ahead.next == x->lba) {
            ahead_start(d, x->lba);
            coming = true;
        }
        if (coming) {
            c->io = IO_AHEAD;
            return;
        }
    }
    c->vec[0] = (struct vec){ c->buf + keep, (size_t)units * ide_sector_bytes(d) };
    c->req.nvec = 1;
    ide_submit(c, x->step == STEP_READ ? IO_READ : IO_VERIFY, BLOCK_READ, x->lba, units);
}

static void write_piece(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    uint32_t units = x->careful > 0 ? 1 : (x->filled - x->pos) / DISK_SECTOR;
    c->vec[0] = (struct vec){ c->buf + x->pos, (size_t)units * DISK_SECTOR };
    c->req.nvec = 1;
    ide_submit(c, IO_WRITE, BLOCK_WRITE, x->lba, units);
}

void ide_medium_out(struct ide_channel *c)
{
    c->x.pos = 0; /* from now on: what is written */
    write_piece(c);
}

/* What the guest asks for next, or as much of it as the buffer holds. */
static void write_done(struct ide_channel *c, uint32_t units)
{
    struct ide_xfer *x = &c->x;
    x->lba += units;
    x->left -= units;
    x->pos += units * DISK_SECTOR;
    x->careful -= x->careful > 0 ? units : 0;
    if (x->pos < x->filled) {
        write_piece(c);
        return;
    }
    if (x->left > 0)
        ide_receive(ide_active(c), STEP_WRITE, (uint32_t)min_u64((uint64_t)x->left * DISK_SECTOR, sizeof(c->buf)),
                    true);
    else
        ide_medium_written(c);
}

void ide_medium_written(struct ide_channel *c)
{
    if (c->x.fua)
        ide_medium_flush(c);
    else
        ide_complete(ide_active(c));
}

void ide_medium_flush(struct ide_channel *c)
{
    c->req.nvec = 0;
    ide_submit(c, IO_FLUSH, BLOCK_FLUSH, 0, 0);
}

void ide_medium_failed(struct ide_channel *c, bool write, int err)
{
    struct ide_drive *d = ide_active(c);
    struct ide_xfer *x = &c->x;
    log_limited(c->dev->log, LOG_WARN, &c->dev->log_rate, c->dev->id,
                "drive %u: %s of sector %" PRIu64 " failed (error %d); reported to the guest", d->index,
                write ? "write" : "read", x->lba, -err);
    if (d->kind == IDE_CD) {
        atapi_medium_failed(d, x->lba);
        return;
    }
    ata_put_lba(d, x->lba);
    ide_fail(d, write ? ER_ABRT : ER_UNC);
}

static void piece_failed(struct ide_channel *c, enum ide_io io, uint32_t units, int err)
{
    struct ide_xfer *x = &c->x;
    if (units == 1) {
        ide_medium_failed(c, io == IO_WRITE, err);
        return;
    }
    x->careful = units;
    if (io == IO_WRITE)
        write_piece(c);
    else
        ide_medium_in(c);
}

static void io_done(struct block_req *req, int err)
{
    struct ide_channel *c = req->opaque;
    enum ide_io io = (enum ide_io)c->io;
    uint32_t units = c->io_units;
    c->io = IO_NONE;
    switch (io) {
    case IO_READ:
    case IO_VERIFY:
        if (err)
            piece_failed(c, io, units, err);
        else
            arrived(c, units);
        break;
    case IO_WRITE:
        if (err)
            piece_failed(c, io, units, err);
        else
            write_done(c, units);
        break;
    case IO_DMA:
    case IO_BOUNCE: ide_dma_done(c, io, err); break;
    case IO_FLUSH:
        if (err)
            ide_fail(ide_active(c), ER_ABRT);
        else
            ide_complete(ide_active(c));
        break;
    case IO_TRIM: ata_trim_next(c, err); break;
    default: /* an orphan: nobody waits for its data */
        ide_dma_unpin(c);
        ide_orphan_done(c);
        break;
    }
}

void ide_drive_drain(struct ide_drive *d)
{
    if (d->block)
        block_drain(d->block);
}

struct flush_wait {
    int err;
};

static void flush_done(struct block_req *req, int err)
{
    struct flush_wait *wait = req->opaque;
    wait->err = err;
}

void ide_drive_flush(struct ide_drive *d)
{
    struct flush_wait wait = { 0 };
    struct block_req req = { .op = BLOCK_FLUSH, .done = flush_done, .opaque = &wait };
    if (!d->block || d->kind != IDE_DISK)
        return;
    block_submit(d->block, &req);
    block_drain(d->block);
    if (wait.err)
        log_device(d->chan->dev, LOG_ERROR,
                   "drive %u: flush failed (error %d); the image may lack what was written last", d->index, -wait.err);
}

void ide_drive_close(struct ide_drive *d)
{
    block_close(d->block);
    d->block = NULL;
    d->sectors = 0;
    ide_ahead_drop(d);
}
