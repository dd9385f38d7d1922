/*
 * Commands on namespaces [NVMe 6]: between pinned guest memory and the back ends, no copy in between.
 *
 * A piece of a transfer is what NVME_CMD_PINS pinned runs of guest memory hold, in whole sectors. Distinct buckets of
 * guest memory are what is scarce: all commands together have at most NVME_BUCKETS of them pinned, and one that gets
 * none waits until another lets go of its own. Where other devices have them all, commands go through a buffer, one at
 * a time, a page at a time. Left out: fused commands, compare, verify, protection information, reservations; hints
 * (access frequency, directives) have no effect.
 */
#include "nvme-private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

enum { IO_FLUSH = 0x00, IO_WRITE = 0x01, IO_READ = 0x02, IO_WRITE_ZEROES = 0x08, IO_DATASET = 0x09 };
enum { FLAGS_FUSED = 0x03, FLAGS_SGL = 0xc0, DW12_FUA = 0x40000000, DW11_DEALLOCATE = 0x4, RANGE_BYTES = 16 };

static void step(struct nvme_cmd *c);

void nvme_io_init(struct nvme *s)
{
    s->free = NULL;
    s->stalled = NULL;
    s->stalled_end = &s->stalled;
    for (unsigned i = 0; i < NVME_COMMANDS; i++) {
        s->cmds[i].s = s;
        s->cmds[i].next = s->free;
        s->free = &s->cmds[i];
    }
    s->shutdown.s = s;
}

/* Pin run bytes at addr as the command's next run. -EFAULT, or -ENOBUFS: that would be one bucket too many. */
static int pin(struct nvme_cmd *c, uint64_t addr, uint64_t run)
{
    struct nvme *s = c->s;
    struct mem_pin *p = &c->pin[c->nr_pins];
    int err = mem_pin(s->mem, addr, run, p);
    if (err)
        return err;
    uint16_t *pins = &s->bucket_pins[p->bucket - s->mem->buckets];
    if (*pins == 0 && s->buckets == NVME_BUCKETS) {
        mem_unpin(s->mem, p, 0);
        return -ENOBUFS;
    }
    s->buckets += *pins == 0;
    ++*pins;
    c->vec[c->nr_pins++] = p->vec;
    return 0;
}

/* Let go of the last run; written: bytes that the device stored there. */
static void unpin_last(struct nvme_cmd *c, size_t written)
{
    struct nvme *s = c->s;
    struct mem_pin *p = &c->pin[--c->nr_pins];
    uint16_t *pins = &s->bucket_pins[p->bucket - s->mem->buckets];
    --*pins;
    s->buckets -= *pins == 0;
    mem_unpin(s->mem, p, written);
}

static void unpin(struct nvme_cmd *c)
{
    while (c->nr_pins > 0)
        unpin_last(c, c->req.op == BLOCK_READ ? c->vec[c->nr_pins - 1].len : 0);
}

static void finish(struct nvme_cmd *c, uint16_t status)
{
    struct nvme *s = c->s;
    assert(c->nr_pins == 0 && s->active > 0);
    s->active--;
    if (c == &s->shutdown) {
        s->regs.csts = (s->regs.csts & ~(uint32_t)CSTS_SHST) | CSTS_SHUT;
    } else {
        c->next = s->free;
        s->free = c;
        nvme_complete(s, c->sq, c->cid, 0, status);
        nvme_run_later(s); /* there is a slot again */
    }
    if (s->active == 0)
        nvme_idle(s);
}

static uint16_t status_of(struct nvme_cmd *c, int err)
{
    log_limited(c->s->dev.log, LOG_WARN, &c->s->dev.log_rate, c->s->dev.id,
                "namespace %u: command %d at byte %" PRIu64 " failed (error %d); reported to the guest", c->ns + 1,
                (int)c->kind, c->offset + c->done, -err);
    switch (err) {
    case -ENOSPC: return NVME_CAPACITY_EXCEEDED;
    case -EROFS: return NVME_WRITE_PROTECTED;
    case -ENOMEM:
    case -ECANCELED: return NVME_INTERNAL_ERROR;
    }
    return c->req.op == BLOCK_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

/* Those that wait try again, each once. */
static void retry_stalled(struct nvme *s)
{
    struct nvme_cmd *c = s->stalled, *next;
    s->stalled = NULL;
    s->stalled_end = &s->stalled;
    for (; c; c = next) {
        next = c->next; /* step() may put it into a list again */
        step(c);
    }
}

void nvme_io_cancel_stalled(struct nvme *s)
{
    struct nvme_cmd *c = s->stalled, *next;
    s->stalled = NULL;
    s->stalled_end = &s->stalled;
    for (; c; c = next) {
        next = c->next;
        finish(c, NVME_INTERNAL_ERROR);
    }
}

/* The buffer is free again; what was read into it goes to the guest, if that still waits for it. */
static uint16_t empty_buffer(struct nvme_cmd *c, int err)
{
    struct nvme *s = c->s;
    s->bouncing = NULL;
    bool wanted = !err && c->req.op == BLOCK_READ && nvme_is_answering(s);
    return wanted ? nvme_prps_write(s, &c->prps, c->done, s->bounce, c->req.len) : NVME_OK;
}

static void io_done(struct block_req *req, int err)
{
    struct nvme_cmd *c = req->opaque;
    struct nvme *s = c->s;
    uint16_t status = s->bouncing == c ? empty_buffer(c, err) : NVME_OK;
    unpin(c);
    if (err == -EOPNOTSUPP && req->op == BLOCK_DISCARD)
        err = 0; /* it was a hint */
    if (req->op != BLOCK_FLUSH && req->op != BLOCK_DISCARD)
        c->done += req->len;
    if (c != &s->shutdown && !nvme_is_answering(s)) {
        finish(c, NVME_INTERNAL_ERROR); /* nobody wants the rest */
    } else if (err && c != &s->shutdown) {
        finish(c, status_of(c, err));
    } else if (status != NVME_OK) {
        finish(c, status);
    } else {
        if (err)
            (void)status_of(c, err); /* a shutdown goes on with the next disk */
        step(c);
    }
    retry_stalled(s);
}

static void submit(struct nvme_cmd *c, enum block_op op, uint64_t offset, uint64_t len, size_t nvec)
{
    c->req = (struct block_req){
        .op = op, .offset = offset, .len = len, .vec = c->vec, .nvec = nvec, .done = io_done, .opaque = c
    };
    block_submit(c->s->ns[c->ns].block, &c->req);
}

/* Let go of excess bytes at the end of the pinned runs. */
static void trim(struct nvme_cmd *c, uint64_t excess)
{
    while (excess > 0) {
        size_t *len = &c->vec[c->nr_pins - 1].len;
        if (*len <= excess) {
            excess -= *len;
            unpin_last(c, 0);
        } else {
            *len -= excess;
            excess = 0;
        }
    }
}

/* Pin guest memory for up to left bytes; how many, whole sectors. *err: why it is less. */
static uint64_t gather(struct nvme_cmd *c, uint64_t left, int *err)
{
    uint64_t sum = 0;
    *err = 0;
    while (sum < left && c->nr_pins < NVME_CMD_PINS) {
        uint64_t run, addr = nvme_prps_at(&c->prps, c->done + sum, &run);
        *err = pin(c, addr, run);
        if (*err)
            break;
        sum += c->vec[c->nr_pins - 1].len;
    }
    uint64_t excess = sum % c->s->ns[c->ns].sector_bytes;
    trim(c, excess);
    return sum - excess;
}

static void no_memory(struct nvme_cmd *c)
{
    log_guest(&c->s->dev, "DMA to an address without memory; the command fails");
    finish(c, NVME_TRANSFER_ERROR);
}

/* The next sectors through the buffer. */
static void bounce(struct nvme_cmd *c)
{
    struct nvme *s = c->s;
    uint64_t len = min_u64(c->len - c->done, sizeof(s->bounce));
    bool write = c->kind == NVME_KIND_WRITE;
    if (write && nvme_prps_read(s, &c->prps, c->done, s->bounce, len) != NVME_OK) {
        no_memory(c);
        return;
    }
    s->bouncing = c;
    c->vec[0] = (struct vec){ s->bounce, len };
    submit(c, write ? BLOCK_WRITE : BLOCK_READ, c->offset + c->done, len, 1);
}

static void data_piece(struct nvme_cmd *c)
{
    struct nvme *s = c->s;
    int err;
    uint64_t sum = gather(c, c->len - c->done, &err);
    if (sum > 0) {
        submit(c, c->kind == NVME_KIND_READ ? BLOCK_READ : BLOCK_WRITE, c->offset + c->done, sum, c->nr_pins);
    } else if (err == -EFAULT) {
        no_memory(c);
    } else if (s->buckets > 0 || s->bouncing) {
        c->next = NULL;
        *s->stalled_end = c;
        s->stalled_end = &c->next;
    } else {
        bounce(c);
    }
}

static void zeroes_piece(struct nvme_cmd *c)
{
    unsigned n = 0;
    uint64_t sum = 0, left = c->len - c->done;
    for (; sum < left && n < NVME_CMD_PINS; n++) {
        c->vec[n] = (struct vec){ c->s->zeroes, (size_t)min_u64(left - sum, sizeof(c->s->zeroes)) };
        sum += c->vec[n].len;
    }
    submit(c, BLOCK_WRITE, c->offset + c->done, sum, n);
}

static void after_data(struct nvme_cmd *c)
{
    if (!c->flush_after) {
        finish(c, NVME_OK);
        return;
    }
    c->flush_after = false;
    submit(c, BLOCK_FLUSH, 0, 0, 0);
}

static void next_flush(struct nvme_cmd *c)
{
    unsigned i = (unsigned)c->done;
    while (i < NVME_NAMESPACES && !c->s->ns[i].block)
        i++;
    if (i >= c->len || i >= NVME_NAMESPACES) {
        finish(c, NVME_OK);
        return;
    }
    c->ns = i;
    c->done = i + 1u;
    submit(c, BLOCK_FLUSH, 0, 0, 0);
}

static bool in_range(const struct nvme_ns *ns, uint64_t lba, uint64_t nr)
{
    return lba <= ns->sectors && nr <= ns->sectors - lba;
}

/* The next range that is worth a request; each is copied from the guest once. */
static void next_discard(struct nvme_cmd *c)
{
    const struct nvme_ns *ns = &c->s->ns[c->ns];
    while (c->done < c->len) {
        uint8_t range[RANGE_BYTES];
        uint16_t status = nvme_prps_read(c->s, &c->prps, c->done * RANGE_BYTES, range, sizeof(range));
        uint64_t nr = le32_get(range + 4), lba = le64_get(range + 8);
        if (status == NVME_OK && !in_range(ns, lba, nr))
            status = NVME_LBA_RANGE;
        if (status != NVME_OK) {
            finish(c, status);
            return;
        }
        c->done++;
        if (nr > 0 && ns->discard) {
            submit(c, BLOCK_DISCARD, lba * ns->sector_bytes, nr * ns->sector_bytes, 0);
            return;
        }
    }
    finish(c, NVME_OK);
}

/* What comes next for the command: a request, or its end. */
static void step(struct nvme_cmd *c)
{
    switch (c->kind) {
    case NVME_KIND_FLUSH: next_flush(c); break;
    case NVME_KIND_DISCARD: next_discard(c); break;
    case NVME_KIND_READ:
    case NVME_KIND_WRITE:
        if (c->done < c->len)
            data_piece(c);
        else
            after_data(c);
        break;
    case NVME_KIND_ZEROES:
        if (c->done < c->len)
            zeroes_piece(c);
        else
            after_data(c);
        break;
    }
}

/* Range of a read or write; the disk's bytes go into c. */
static uint16_t check_range(struct nvme_cmd *c, const struct nvme_sqe *sqe)
{
    const struct nvme_ns *ns = &c->s->ns[c->ns];
    uint64_t lba = sqe->dw[10] | (uint64_t)sqe->dw[11] << 32, nr = (sqe->dw[12] & 0xffff) + UINT64_C(1);
    if (c->kind != NVME_KIND_ZEROES && nr * ns->sector_bytes > NVME_MAX_TRANSFER)
        return NVME_BAD_FIELD;
    if (c->kind != NVME_KIND_READ && ns->read_only)
        return NVME_WRITE_PROTECTED;
    if (!in_range(ns, lba, nr))
        return NVME_LBA_RANGE;
    c->offset = lba * ns->sector_bytes;
    c->len = nr * ns->sector_bytes;
    c->flush_after = c->kind != NVME_KIND_READ && ((sqe->dw[12] & DW12_FUA) || !(c->s->features.write_cache & 1));
    if (c->kind == NVME_KIND_ZEROES)
        return NVME_OK;
    return nvme_prps_load(c->s, &c->prps, sqe->prp1, sqe->prp2, c->len);
}

static uint16_t check_dataset(struct nvme_cmd *c, const struct nvme_sqe *sqe)
{
    uint64_t nr = (sqe->dw[10] & 0xff) + UINT64_C(1);
    if (c->s->ns[c->ns].read_only)
        return NVME_WRITE_PROTECTED;
    c->offset = 0;
    c->len = sqe->dw[11] & DW11_DEALLOCATE ? nr : 0; /* the other attributes are hints of future use */
    return nvme_prps_load(c->s, &c->prps, sqe->prp1, sqe->prp2, nr * RANGE_BYTES);
}

static uint16_t check_namespace(struct nvme_cmd *c, const struct nvme_sqe *sqe)
{
    struct nvme *s = c->s;
    bool all = sqe->nsid == NVME_ALL_NAMESPACES && sqe->opcode == IO_FLUSH;
    if (!all && (sqe->nsid == 0 || sqe->nsid > s->nr_ns))
        return NVME_BAD_NAMESPACE;
    if (!all && !s->ns[sqe->nsid - 1].block)
        return NVME_BAD_FIELD; /* an inactive one [NVMe 6.1.5] */
    c->ns = all ? 0 : sqe->nsid - 1;
    if (sqe->opcode == IO_FLUSH) {
        c->done = c->ns;
        c->len = all ? NVME_NAMESPACES : sqe->nsid;
    }
    return NVME_OK;
}

static uint16_t prepare(struct nvme_cmd *c, const struct nvme_sqe *sqe)
{
    c->done = 0;
    if (sqe->flags & (FLAGS_FUSED | FLAGS_SGL))
        return NVME_BAD_FIELD;
    uint16_t status = check_namespace(c, sqe);
    switch (sqe->opcode) {
    case IO_FLUSH: c->kind = NVME_KIND_FLUSH; break;
    case IO_WRITE: c->kind = NVME_KIND_WRITE; break;
    case IO_READ: c->kind = NVME_KIND_READ; break;
    case IO_WRITE_ZEROES: c->kind = NVME_KIND_ZEROES; break;
    case IO_DATASET: c->kind = NVME_KIND_DISCARD; break;
    default: return NVME_BAD_OPCODE;
    }
    if (status != NVME_OK || c->kind == NVME_KIND_FLUSH)
        return status;
    return c->kind == NVME_KIND_DISCARD ? check_dataset(c, sqe) : check_range(c, sqe);
}

void nvme_io(struct nvme *s, uint16_t sq, const struct nvme_sqe *sqe)
{
    struct nvme_cmd *c = s->free;
    c->sq = sq;
    c->cid = sqe->cid;
    uint16_t status = prepare(c, sqe);
    if (status != NVME_OK) {
        nvme_complete(s, sq, sqe->cid, 0, status);
        return;
    }
    s->free = c->next;
    s->active++;
    step(c);
}

void nvme_io_flush_all(struct nvme *s)
{
    s->shutdown.kind = NVME_KIND_FLUSH;
    s->shutdown.done = 0;
    s->shutdown.len = NVME_NAMESPACES;
    s->active++;
    step(&s->shutdown);
}

void nvme_io_drain(struct nvme *s)
{
    while (s->active > 0) {
        for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
            if (s->ns[i].block)
                block_drain(s->ns[i].block);
        }
    }
}
