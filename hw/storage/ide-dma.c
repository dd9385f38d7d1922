/*
 * The bus master of a channel: registers, the walk of the guest's descriptor table, transfers between guest memory and
 * the back end.
 * Source: Intel 82371SB (PIIX3), order 290550, 2.7 and 3.5; SFF-8038i revision 1.0. Left out: the direction bit is
 * stored only, the drive's command says where data go; the drives' DMA timing.
 *
 * A piece of a transfer is what IDE_PINS pinned runs of guest memory hold, in whole sectors. Descriptors that chop a
 * sector up finer than that go through the channel's buffer, BOUNCE_BYTES at a time. An address without RAM behind it
 * ends the transfer with the error bit, as a master abort does.
 */
#include "ide-private.h"

#include <errno.h>

enum { PRD_BYTES = 8, PRD_MAX_ENTRIES = 8192 }; /* a table doesn't cross 64 KiB [SFF-8038i 1.2] */
#define BOUNCE_BYTES UINT32_C(4096)
#define PIECE_UNITS  UINT32_C(0x4000) /* more than the pins hold in one run each, 3 MiB, of the smaller sectors */
enum prd_result { PRD_OK, PRD_END, PRD_FAULT, PRD_CROWDED };

/* Have bytes in prd->left, from the next entry if need be. */
static enum prd_result prd_load(struct ide_channel *c)
{
    struct ide_prd *p = &c->prd;
    uint8_t entry[PRD_BYTES];
    if (p->left > 0)
        return PRD_OK;
    if (p->last || p->entries >= PRD_MAX_ENTRIES)
        return PRD_END;
    if (mem_read(c->mem, p->next, entry, sizeof(entry)))
        return PRD_FAULT;
    uint32_t count = le32_get(entry + 4);
    p->base = le32_get(entry) & ~1u;
    p->left = count & 0xfffe ? count & 0xfffe : 0x10000; /* 0 stands for 64 KiB */
    p->last = count >> 31;
    p->next += PRD_BYTES;
    p->entries++;
    return PRD_OK;
}

static bool prd_exhausted(const struct ide_channel *c)
{
    return c->prd.left == 0 && (c->prd.last || c->prd.entries >= PRD_MAX_ENTRIES);
}

/* Bytes of the present entry up to the end of the 32-bit address space, where a region wraps. */
static uint32_t prd_run(const struct ide_prd *p, uint32_t limit)
{
    uint64_t room = (UINT64_C(1) << 32) - p->base;
    return (uint32_t)min_u64(min_u64(p->left, limit), room);
}

static void prd_advance(struct ide_prd *p, uint32_t bytes)
{
    p->base += bytes;
    p->left -= bytes;
}

/* Copy len bytes between buf and the regions. PRD_OK: all of them. */
static enum prd_result prd_copy(struct ide_channel *c, uint8_t *buf, uint32_t len, bool to_guest)
{
    while (len > 0) {
        enum prd_result result = prd_load(c);
        if (result != PRD_OK)
            return result;
        uint32_t run = prd_run(&c->prd, len);
        int err = to_guest ? mem_write(c->mem, c->prd.base, buf, run) : mem_read(c->mem, c->prd.base, buf, run);
        if (err)
            return PRD_FAULT;
        prd_advance(&c->prd, run);
        buf += run;
        len -= run;
    }
    return PRD_OK;
}

void ide_dma_unpin(struct ide_channel *c)
{
    for (unsigned i = 0; i < c->nr_pins; i++)
        mem_unpin(c->mem, &c->pin[i], c->req.op == BLOCK_READ ? c->vec[i].len : 0);
    c->nr_pins = 0;
}

/* Give excess bytes at the end of the pinned runs back to the table. */
static void give_back(struct ide_channel *c, uint32_t excess)
{
    while (excess > 0) {
        unsigned i = c->nr_pins - 1;
        uint32_t len = (uint32_t)c->vec[i].len;
        c->prd = c->pin_prd[i];
        if (len <= excess) {
            mem_unpin(c->mem, &c->pin[i], 0);
            c->nr_pins--;
            excess -= len;
        } else {
            c->vec[i].len = len - excess;
            prd_advance(&c->prd, len - excess);
            excess = 0;
        }
    }
}

/* Pin runs of guest memory for up to want bytes; *got is a multiple of unit. Why it stopped short is the result. */
static enum prd_result gather(struct ide_channel *c, uint32_t want, uint32_t unit, uint32_t *got)
{
    enum prd_result result = PRD_OK;
    uint32_t sum = 0;
    c->nr_pins = 0;
    while (sum < want) {
        unsigned i = c->nr_pins;
        result = i < IDE_PINS ? prd_load(c) : PRD_CROWDED;
        if (result != PRD_OK)
            break;
        int err = mem_pin(c->mem, c->prd.base, prd_run(&c->prd, want - sum), &c->pin[i]);
        if (err) {
            result = err == -ENOBUFS ? PRD_CROWDED : PRD_FAULT;
            break;
        }
        c->vec[i] = c->pin[i].vec;
        c->pin_prd[i] = c->prd;
        c->nr_pins++;
        prd_advance(&c->prd, (uint32_t)c->vec[i].len);
        sum += (uint32_t)c->vec[i].len;
    }
    give_back(c, sum % unit);
    *got = sum - sum % unit;
    return result;
}

/*
 * The table was too short, or led to where no memory is. The bus master stops and the drive goes on waiting, without
 * an interrupt [SFF-8038i 3.1]; the guest starts it anew or resets.
 */
static void stop_short(struct ide_channel *c, enum prd_result result)
{
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    if (result == PRD_FAULT) {
        c->bm_status |= BM_ERROR;
        log_guest(c->dev, "drive %u: DMA to an address without memory; the bus master stops", ide_active(c)->index);
    }
}

/* The drive has what it wants. Active stays if the regions hold more than that [SFF-8038i 3.1]. */
static void end_of_command(struct ide_channel *c)
{
    if (prd_exhausted(c))
        c->bm_status &= (uint8_t)~BM_ACTIVE;
}

static void bounce(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    uint32_t units = BOUNCE_BYTES / x->host_bytes;
    units = x->careful > 0 ? 1 : units < x->left ? units : x->left;
    c->piece_prd = c->prd;
    c->vec[0] = (struct vec){ c->buf, (size_t)units * ide_sector_bytes(ide_active(c)) };
    c->req.nvec = 1;
    if (x->step == STEP_WRITE) {
        enum prd_result result = prd_copy(c, c->buf, units * x->host_bytes, false);
        if (result == PRD_OK) {
            ide_submit(c, IO_BOUNCE, BLOCK_WRITE, x->lba, units);
            return;
        }
        c->prd = c->piece_prd;
        if (units == 1) {
            stop_short(c, result);
        } else {
            x->careful = units; /* find the sectors before the bad address */
            bounce(c);
        }
        return;
    }
    ide_submit(c, IO_BOUNCE, BLOCK_READ, x->lba, units);
}

static void medium_piece(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    uint32_t unit = ide_sector_bytes(ide_active(c)), got;
    uint32_t units = x->careful > 0 ? 1 : x->left < PIECE_UNITS ? x->left : PIECE_UNITS;
    if (x->host_bytes != unit) {
        bounce(c);
        return;
    }
    c->piece_prd = c->prd;
    enum prd_result result = gather(c, units * unit, unit, &got);
    if (got > 0) {
        c->req.nvec = c->nr_pins;
        ide_submit(c, IO_DMA, x->step == STEP_WRITE ? BLOCK_WRITE : BLOCK_READ, x->lba, got / unit);
    } else if (result == PRD_CROWDED) {
        bounce(c);
    } else {
        stop_short(c, result);
    }
}

/* A reply or parameters: they lie in the buffer. */
static void buffer_piece(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    struct ide_drive *d = ide_active(c);
    bool to_guest = x->step == STEP_REPLY;
    enum prd_result result = prd_copy(c, c->buf, x->filled, to_guest);
    if (result != PRD_OK) {
        stop_short(c, result);
        return;
    }
    end_of_command(c);
    if (to_guest) {
        ide_complete(d);
        return;
    }
    x->phase = PHASE_IDLE;
    if (x->packet)
        atapi_parameters(d);
    else
        ata_parameters(d);
}

static void run(struct ide_channel *c)
{
    struct ide_xfer *x = &c->x;
    if (!(c->bm_status & BM_ACTIVE) || c->io != IO_NONE || c->halt)
        return;
    if (!pci_is_master(c->pci))
        stop_short(c, PRD_FAULT); /* it doesn't get the bus */
    else if (x->step == STEP_READ || x->step == STEP_WRITE)
        medium_piece(c);
    else
        buffer_piece(c);
}

void ide_dma_begin(struct ide_channel *c)
{
    c->x.phase = PHASE_DMA;
    ide_active(c)->status = ST_READY | ST_DRQ;
    if (c->host)
        c->host->transfer(c);
    else
        run(c);
}

void ide_dma_done(struct ide_channel *c, enum ide_io io, int err)
{
    struct ide_xfer *x = &c->x;
    uint32_t units = c->io_units;
    bool write = x->step == STEP_WRITE;
    ide_dma_unpin(c);
    if (err && units == 1) {
        ide_medium_failed(c, write, err);
        return;
    }
    if (err) {
        c->prd = c->piece_prd;
        x->careful = units;
        run(c);
        return;
    }
    if (io == IO_BOUNCE && !write) {
        if (x->host_bytes == CD_RAW_SECTOR)
            ide_make_raw(c->buf, x->lba, units);
        enum prd_result result = prd_copy(c, c->buf, units * x->host_bytes, true);
        if (result != PRD_OK) {
            stop_short(c, result);
            return;
        }
    }
    x->lba += units;
    x->left -= units;
    x->careful -= x->careful > 0 ? units : 0;
    if (x->left > 0) {
        run(c);
        return;
    }
    end_of_command(c);
    x->phase = PHASE_IDLE;
    if (write)
        ide_medium_written(c);
    else
        ide_complete(ide_active(c));
}

uint8_t ide_bm_read(struct ide_channel *c, unsigned off)
{
    switch (off) {
    case 0: return c->bm_command;
    case 2: return c->bm_status;
    case 4:
    case 5:
    case 6:
    case 7: return (uint8_t)(c->bm_table >> (8 * (off - 4)));
    }
    return 0xff;
}

static void write_bm_command(struct ide_channel *c, uint8_t val)
{
    bool start = val & BM_START, was = c->bm_command & BM_START;
    c->bm_command = val & (BM_START | BM_TO_MEMORY);
    if (start && !was) {
        c->prd = (struct ide_prd){ .next = c->bm_table };
        c->bm_status |= BM_ACTIVE;
        if (c->x.phase == PHASE_DMA)
            run(c);
    } else if (!start && was) {
        /* The guest takes its memory back now: what is on its way there must arrive before [82371SB 2.7.1, bit 0]. */
        if (c->io == IO_DMA || c->io == IO_BOUNCE || c->nr_pins > 0) {
            c->halt = true;
            ide_drive_drain(ide_active(c));
            c->halt = false;
        }
        c->bm_status &= (uint8_t)~BM_ACTIVE;
    }
}

void ide_bm_write(struct ide_channel *c, unsigned off, uint8_t val)
{
    unsigned shift = 8 * (off - 4);
    switch (off) {
    case 0: write_bm_command(c, val); break;
    case 2:
        /* Capable bits are the guest's own, error and interrupt go with a one [82371SB 2.7.2]. */
        c->bm_status &= (uint8_t) ~(BM_CAPABLE | (val & (BM_ERROR | BM_INTERRUPT)));
        c->bm_status |= val & BM_CAPABLE;
        break;
    case 4:
    case 5:
    case 6:
    case 7: c->bm_table = ((c->bm_table & ~(UINT32_C(0xff) << shift)) | (uint32_t)val << shift) & ~3u; break;
    }
}
