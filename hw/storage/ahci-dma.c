/*
 * Between the guest's physical regions and the medium: the walk of the descriptor table, requests straight on pinned
 * guest memory.
 * Source: AHCI 1.3.1, 4.2.3.3. Bit 0 of addresses and counts isn't looked at: odd regions work byte by byte, as in the
 * machine that Xen guests know. Left out: the interrupt bit of a descriptor.
 *
 * A piece of a transfer is what AHCI_PINS pinned runs of guest memory hold, in whole sectors. Descriptors that chop a
 * sector up finer than that go through the port's buffer. Distinct buckets are what is scarce: a transfer that finds
 * none waits for others of this controller to end, as one does that finds the buffer taken.
 */
#include "ahci-private.h"

#include <errno.h>

enum { PRD_BYTES = 16, PRD_COUNT = 0x3fffff };
#define PIECE_UNITS UINT32_C(0x4000) /* 8 MiB of the smaller sectors */

static void set_state(struct ahci_xfer *x, enum ahci_state state)
{
    x->port->in_state[x->state]--;
    x->state = (uint8_t)state;
    x->port->in_state[state]++;
}

static enum ahci_result load(struct ahci_port *p, struct ahci_prd *prd)
{
    uint8_t entry[PRD_BYTES];
    if (prd->left > 0)
        return AHCI_OK;
    if (prd->next >= prd->entries)
        return AHCI_SHORT;
    if (ahci_mem_read(p, prd->table + (uint64_t)PRD_BYTES * prd->next, entry, sizeof(entry)))
        return AHCI_FAULT;
    prd->addr = le64_get(entry);
    prd->left = (le32_get(entry + 12) & PRD_COUNT) + 1;
    prd->next++;
    return AHCI_OK;
}

static void advance(struct ahci_prd *prd, uint32_t bytes)
{
    prd->addr += bytes;
    prd->left -= bytes;
}

enum ahci_result ahci_copy(struct ahci_port *p, struct ahci_prd *prd, uint8_t *buf, uint32_t len, bool to_guest)
{
    while (len > 0) {
        enum ahci_result result = load(p, prd);
        if (result != AHCI_OK)
            return result;
        uint32_t run = (uint32_t)min_u64(prd->left, len);
        /* load() has seen that the function is bus master. */
        int err = to_guest ? mem_write(p->hba->mem, prd->addr, buf, run) : mem_read(p->hba->mem, prd->addr, buf, run);
        if (err)
            return AHCI_FAULT;
        advance(prd, run);
        buf += run;
        len -= run;
    }
    return AHCI_OK;
}

/* Take a pin of the bucket into the account. False: it would be one bucket too many. */
static bool charge(struct ahci *s, const struct mem_bucket *bucket)
{
    uint16_t *pins = &s->bucket_pins[bucket - s->mem->buckets];
    if (*pins == 0 && s->buckets == AHCI_BUCKETS)
        return false;
    if ((*pins)++ == 0)
        s->buckets++;
    return true;
}

static void discharge(struct ahci *s, const struct mem_bucket *bucket)
{
    uint16_t *pins = &s->bucket_pins[bucket - s->mem->buckets];
    if (--*pins == 0)
        s->buckets--;
}

static void unpin_one(struct ahci_xfer *x, unsigned i, size_t written)
{
    struct ahci *s = x->port->hba;
    discharge(s, x->pin[i].bucket);
    mem_unpin(s->mem, &x->pin[i], written);
}

/* The request is over: its pins go. Others may have waited for the buckets, or for the buffer. */
static void release(struct ahci_xfer *x)
{
    struct ahci *s = x->port->hba;
    for (unsigned i = 0; i < x->nr_pins; i++)
        unpin_one(x, i, x->req.op == BLOCK_READ ? x->vec[i].len : 0);
    x->nr_pins = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (s->port[i].in_state[XFER_WAITING] > 0)
            task_post(&s->port[i].task);
    }
}

static enum ahci_result pin(struct ahci_xfer *x, unsigned i, uint32_t limit)
{
    struct ahci *s = x->port->hba;
    int err = mem_pin(s->mem, x->prd.addr, (size_t)min_u64(x->prd.left, limit), &x->pin[i]);
    if (err)
        return err == -ENOBUFS ? AHCI_CROWDED : AHCI_FAULT;
    if (!charge(s, x->pin[i].bucket)) {
        mem_unpin(s->mem, &x->pin[i], 0);
        return AHCI_CROWDED;
    }
    return AHCI_OK;
}

/* Runs that reach from the last whole sector on are given back, and the table's position with them. */
static void keep(struct ahci_xfer *x, unsigned pins, size_t last_bytes, const struct ahci_prd *prd)
{
    while (x->nr_pins > pins)
        unpin_one(x, --x->nr_pins, 0);
    if (pins > 0)
        x->vec[pins - 1].len = last_bytes;
    x->prd = *prd;
}

/* Pin runs for up to want bytes; *got is a multiple of unit. Why it stopped short is the result. */
static enum ahci_result gather(struct ahci_xfer *x, uint32_t want, uint32_t unit, uint32_t *got)
{
    enum ahci_result result = AHCI_OK;
    struct ahci_prd whole = x->prd; /* where the last whole sector ends */
    unsigned whole_pins = 0;
    size_t whole_last = 0;
    uint32_t sum = 0;
    while (sum < want) {
        unsigned i = x->nr_pins;
        result = i < AHCI_PINS ? load(x->port, &x->prd) : AHCI_FULL;
        if (result == AHCI_OK)
            result = pin(x, i, want - sum);
        if (result != AHCI_OK)
            break;
        uint32_t len = (uint32_t)x->pin[i].vec.len, over = (sum + len) % unit;
        x->vec[i] = x->pin[i].vec;
        x->nr_pins++;
        if (over < len) {
            whole = x->prd;
            whole_pins = x->nr_pins;
            whole_last = len - over;
            advance(&whole, len - over);
        }
        advance(&x->prd, len);
        sum += len;
    }
    keep(x, whole_pins, whole_last, &whole);
    *got = sum - sum % unit;
    return result;
}

static void end(struct ahci_xfer *x, enum ahci_result result)
{
    set_state(x, XFER_IDLE);
    if (x->queued)
        ahci_queue_ended(x, result);
    else
        ahci_plain_ended(x, result);
}

static void request_done(struct block_req *req, int err);

static void submit(struct ahci_xfer *x, enum block_op op, uint32_t units)
{
    struct ide_drive *d = ahci_drive(x->port);
    uint32_t bytes = ide_sector_bytes(d);
    set_state(x, XFER_FLYING);
    x->units = units;
    x->req.op = op;
    x->req.offset = op == BLOCK_FLUSH ? 0 : x->lba * bytes;
    x->req.len = (uint64_t)units * bytes;
    x->req.vec = x->vec;
    x->req.done = request_done;
    x->req.opaque = x;
    block_submit(d->block, &x->req);
}

static void piece(struct ahci_xfer *x);

/* The next sectors through the port's buffer. */
static void bounce(struct ahci_xfer *x)
{
    struct ahci_port *p = x->port;
    if (p->bouncing) {
        set_state(x, XFER_WAITING);
        return;
    }
    uint32_t units = (uint32_t)AHCI_BOUNCE_BYTES / x->host_bytes;
    units = x->careful > 0 ? 1 : units < x->left ? units : x->left;
    x->piece_prd = x->prd;
    x->bounced = true;
    x->vec[0] = (struct vec){ p->bounce, (size_t)units * ide_sector_bytes(ahci_drive(p)) };
    x->req.nvec = 1;
    if (!x->write) {
        p->bouncing = x;
        submit(x, BLOCK_READ, units);
        return;
    }
    enum ahci_result result = ahci_copy(p, &x->prd, p->bounce, units * x->host_bytes, false);
    if (result == AHCI_OK) {
        p->bouncing = x;
        submit(x, BLOCK_WRITE, units);
    } else if (units == 1) {
        end(x, result);
    } else {
        x->prd = x->piece_prd;
        x->careful = units; /* find the sectors before the bad address */
        piece(x);
    }
}

static void piece(struct ahci_xfer *x)
{
    struct ahci *s = x->port->hba;
    uint32_t unit = ide_sector_bytes(ahci_drive(x->port)), got;
    uint32_t units = x->careful > 0 ? 1 : x->left < PIECE_UNITS ? x->left : PIECE_UNITS;
    if (x->host_bytes != unit) {
        bounce(x);
        return;
    }
    x->piece_prd = x->prd;
    x->bounced = false;
    enum ahci_result result = gather(x, units * unit, unit, &got);
    if (got > 0) {
        x->req.nvec = x->nr_pins;
        submit(x, x->write ? BLOCK_WRITE : BLOCK_READ, got / unit);
    } else if (result == AHCI_CROWDED && s->buckets > 0) {
        set_state(x, XFER_WAITING);
    } else if (result == AHCI_FULL || result == AHCI_CROWDED) {
        bounce(x);
    } else {
        end(x, result);
    }
}

/* Sectors arrived, or are written: the next ones, or the end. */
static void moved(struct ahci_xfer *x)
{
    uint32_t units = x->units;
    x->lba += units;
    x->left -= units;
    x->careful -= x->careful > 0 ? units : 0;
    x->moved_bytes += units * x->host_bytes;
    if (x->left > 0) {
        piece(x);
    } else if (x->fua) {
        x->flushing = true;
        x->req.nvec = 0;
        submit(x, BLOCK_FLUSH, 0);
    } else {
        end(x, AHCI_OK);
    }
}

static void request_done(struct block_req *req, int err)
{
    struct ahci_xfer *x = req->opaque;
    struct ahci_port *p = x->port;
    bool orphan = x->state == XFER_ORPHAN;
    set_state(x, XFER_IDLE);
    x->err = err;
    if (p->bouncing == x)
        p->bouncing = NULL; /* until somebody submits, what is in the buffer stays */
    release(x);
    if (orphan) {
        ahci_orphan_gone(p);
    } else if (x->flushing) {
        end(x, err ? AHCI_FAILED : AHCI_OK);
    } else if (err && x->units == 1) {
        end(x, AHCI_FAILED);
    } else if (err) {
        x->prd = x->piece_prd;
        x->careful = x->units; /* one by one, to find which */
        piece(x);
    } else if (x->bounced && !x->write) {
        if (x->host_bytes == CD_RAW_SECTOR)
            ide_make_raw(p->bounce, x->lba, x->units);
        enum ahci_result result = ahci_copy(p, &x->prd, p->bounce, x->units * x->host_bytes, true);
        if (result == AHCI_OK)
            moved(x);
        else
            end(x, result);
    } else {
        moved(x);
    }
}

void ahci_xfer_start(struct ahci_xfer *x)
{
    x->bounced = x->flushing = false;
    x->careful = x->units = x->moved_bytes = 0;
    x->err = 0;
    piece(x);
}

void ahci_resume(struct ahci_port *p)
{
    unsigned waiting = p->in_state[XFER_WAITING];
    for (unsigned i = 0; waiting > 0 && i < AHCI_TRANSFERS; i++) {
        if (p->xfer[i].state != XFER_WAITING)
            continue;
        waiting--;
        piece(&p->xfer[i]); /* it may wait again */
    }
}

void ahci_xfer_orphan(struct ahci_xfer *x)
{
    if (x->state == XFER_WAITING)
        set_state(x, XFER_IDLE);
    else if (x->state == XFER_FLYING)
        set_state(x, XFER_ORPHAN);
}
