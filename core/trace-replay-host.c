/*
 * The world of a replay: a hypervisor, a host, disks and character channels that do what the trace says. Guest memory
 * is scratch, as everything that the device model reads there comes out of the trace.
 */
#include "trace-replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/mem.h>

static struct trace_replay *replay_of(struct hv *hv)
{
    return container_of(hv, struct trace_replay, hv);
}

static int call(struct hv *hv, uint64_t what, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t v[TRACE_MAX_FIELDS] = { what, a, b, c };
    struct trace_replay *r = replay_of(hv);
    if (r->depth == 0)
        return 0; /* outside of steps nothing was recorded: the end of the machine */
    return replay_expect(r, TRACE_HV, v) ? (int)(int64_t)v[4] : 0;
}

static int hv_port_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return call(hv, TRACE_HV_PORTS, first, last, claim);
}

static int hv_mmio_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return call(hv, TRACE_HV_MMIO, first, last, claim);
}

static int hv_pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    return call(hv, TRACE_HV_FUNCTION, devfn, claim, 0);
}

static int hv_isa_irq(struct hv *hv, unsigned line, bool level)
{
    struct hv *lines = replay_of(hv)->lines;
    if (lines)
        (void)lines->ops->isa_irq(lines, line, level);
    return call(hv, TRACE_HV_ISA, line, level, 0);
}

static int hv_pci_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    struct hv *lines = replay_of(hv)->lines;
    if (lines)
        (void)lines->ops->pci_intx(lines, slot, pin, level);
    return call(hv, TRACE_HV_INTX, slot, pin, level);
}

static int hv_pci_link(struct hv *hv, unsigned link, unsigned irq)
{
    struct hv *lines = replay_of(hv)->lines;
    if (lines)
        (void)lines->ops->pci_link(lines, link, irq);
    return call(hv, TRACE_HV_LINK, link, irq, 0);
}

static int hv_msi(struct hv *hv, uint64_t addr, uint32_t data)
{
    return call(hv, TRACE_HV_MSI, addr, data, 0);
}

static int hv_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    *ptr = calloc(nr, PAGE_BYTES);
    return *ptr ? 0 : -ENOMEM;
}

static void hv_unmap(struct hv *hv, void *ptr, size_t nr)
{
    free(ptr);
}

static int hv_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    return 0;
}

static int hv_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    return call(hv, TRACE_HV_MEMTYPE, first, nr, type);
}

static void hv_vram_destroy(struct hv *hv)
{
    struct trace_replay *r = replay_of(hv);
    free(r->vram);
    r->vram = NULL;
}

static int hv_vram_create(struct hv *hv, size_t nr, void **ptr)
{
    struct trace_replay *r = replay_of(hv);
    int err = call(hv, TRACE_HV_VRAM_CREATE, nr, 0, 0);
    if (err)
        return err;
    hv_vram_destroy(hv);
    *ptr = r->vram = calloc(nr, PAGE_BYTES);
    return r->vram ? 0 : -ENOMEM;
}

static int hv_vram_move(struct hv *hv, uint64_t first)
{
    replay_of(hv)->vram_shown |= first != HV_VRAM_PARKED;
    return call(hv, TRACE_HV_VRAM_MOVE, first, 0, 0);
}

static int hv_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap)
{
    return -ENODATA;
}

static int hv_shutdown(struct hv *hv, enum hv_shutdown reason)
{
    return call(hv, TRACE_HV_SHUTDOWN, reason, 0, 0);
}

static int hv_set_s_state(struct hv *hv, unsigned state)
{
    return call(hv, TRACE_HV_S_STATE, state, 0, 0);
}

static const struct hv_ops replay_hv_ops = {
    .port_range = hv_port_range,
    .mmio_range = hv_mmio_range,
    .pci_function = hv_pci_function,
    .isa_irq = hv_isa_irq,
    .pci_intx = hv_pci_intx,
    .pci_link = hv_pci_link,
    .msi = hv_msi,
    .map = hv_map,
    .unmap = hv_unmap,
    .modified = hv_modified,
    .set_memtype = hv_set_memtype,
    .vram_create = hv_vram_create,
    .vram_move = hv_vram_move,
    .vram_destroy = hv_vram_destroy,
    .vram_dirty = hv_vram_dirty,
    .shutdown = hv_shutdown,
    .set_s_state = hv_set_s_state,
};

/* --- Disks --- */

static void disk_submit(struct block *block, struct block_req *req)
{
    struct replay_block *b = container_of(block, struct replay_block, block);
    req->next = NULL;
    *b->last = req;
    b->last = &req->next;
}

/* What ended while the device waited stands next in the trace, of this disk or of others. */
static void disk_drain(struct block *block)
{
    struct replay_block *b = container_of(block, struct replay_block, block);
    struct trace_replay *r = b->replay;
    while (b->first) {
        const struct trace_entry *e = r->depth > 0 ? replay_peek(r) : NULL;
        if (e && e->kind == TRACE_BLOCK_DONE) {
            replay_block_done(r);
            continue;
        }
        if (e)
            replay_diverge(r, e, "the device waits for its disk, but no request ended", "waiting for a disk request");
        struct block_req *req = b->first; /* it waits in vain: let it go */
        b->first = req->next;
        b->last = b->first ? b->last : &b->first;
        block_done(req, -ECANCELED);
    }
}

static void disk_close(struct block *block)
{
    struct replay_block *b = container_of(block, struct replay_block, block);
    disk_drain(block);
    b->replay->blocks[block->trace_id - 1] = NULL;
    free(b);
}

static const struct block_ops disk_ops = { disk_submit, disk_drain, disk_close };

static struct block_req *find_request(struct replay_block *b, uint64_t nr)
{
    for (struct block_req **link = &b->first; *link; link = &(*link)->next) {
        struct block_req *req = *link;
        if (req->trace_nr != nr)
            continue;
        *link = req->next;
        if (!*link)
            b->last = link;
        return req;
    }
    return NULL;
}

void replay_block_done(struct trace_replay *r)
{
    const struct trace_entry *e = replay_peek(r);
    struct replay_block *b = e && e->v[0] >= 1 && e->v[0] <= REPLAY_MAX_BLOCKS ? r->blocks[e->v[0] - 1] : NULL;
    struct block_req *req = b ? find_request(b, e->v[1]) : NULL;
    if (req) {
        block_done(req, 0); /* the hook has the rest from the trace */
        return;
    }
    if (b && b->block.rejected && b->block.rejected->trace_nr == e->v[1]) {
        task_cancel(&b->block.reject_task);
        b->block.reject_task.fn(b->block.reject_task.opaque);
        return;
    }
    if (e)
        replay_diverge(r, e, "a disk request ended that was not submitted", "no such request");
}

/* --- The host --- */

static int host_block_open(struct host *host, const struct block_open *open, struct block **out)
{
    struct trace_replay *r = host->opaque;
    uint64_t v[TRACE_MAX_FIELDS] = { ++r->nr_blocks };
    if (r->depth == 0 || r->nr_blocks > REPLAY_MAX_BLOCKS || !replay_expect(r, TRACE_BLOCK_OPEN, v))
        return -EIO;
    if (v[1])
        return (int64_t)v[1] < 0 && (int64_t)v[1] > -4096 ? (int)(int64_t)v[1] : -EIO;
    if (!is_pow2(v[3]) || v[3] > 65536 || v[2] > INT64_MAX)
        return -EIO;
    struct replay_block *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    bool naming = r->loop.naming;
    r->loop.naming = false;
    block_init(&b->block, &disk_ops, &r->loop, v[2], (uint32_t)v[3]);
    r->loop.naming = naming;
    b->block.read_only = v[4] & 1;
    b->block.discard = v[4] >> 1 & 1;
    b->block.trace = &r->trace;
    b->block.trace_id = r->nr_blocks;
    b->replay = r;
    b->last = &b->first;
    r->blocks[r->nr_blocks - 1] = b;
    *out = &b->block;
    return 0;
}

static size_t line_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct replay_chr *c = container_of(chr, struct replay_chr, chr);
    struct trace_replay *r = c->replay;
    uint64_t v[TRACE_MAX_FIELDS] = { c->id, len, 0, len <= FULL_BYTES ? TRACE_FULL : TRACE_OMITTED };
    if (r->depth == 0)
        return len;
    const struct trace_entry *e = replay_expect(r, TRACE_CHR_WRITE, v);
    if (e && v[3] == TRACE_FULL && (e->len != len || memcmp(e->bytes, buf, len) != 0))
        replay_diverge(r, e, "other bytes were sent", "other bytes");
    return e ? (size_t)min_u64(v[2], len) : len;
}

static void line_close(struct chr *chr)
{
    struct replay_chr *c = container_of(chr, struct replay_chr, chr);
    c->replay->chrs[c->id - 1] = NULL;
    free(c);
}

static const struct chr_ops line_ops = { .write = line_write, .close = line_close };

static int host_chr_open(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct trace_replay *r = host->opaque;
    uint64_t v[TRACE_MAX_FIELDS] = { ++r->nr_chrs };
    if (r->depth == 0 || r->nr_chrs > REPLAY_MAX_CHRS || !replay_expect(r, TRACE_CHR_OPEN, v))
        return -EIO;
    if (v[1])
        return -EIO;
    struct replay_chr *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->chr.ops = &line_ops;
    c->chr.connected = v[2];
    (void)snprintf(c->chr.label, sizeof(c->chr.label), "%s", config->label);
    c->replay = r;
    c->id = r->nr_chrs;
    r->chrs[c->id - 1] = c;
    *out = &c->chr;
    return 0;
}

static int host_read_file(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    struct trace_replay *r = host->opaque;
    uint64_t v[TRACE_MAX_FIELDS] = { 0 };
    const struct trace_entry *e = r->depth > 0 ? replay_expect(r, TRACE_FILE, v) : NULL;
    if (!e)
        return -EIO;
    if (v[0])
        return (int64_t)v[0] < 0 && (int64_t)v[0] > -4096 ? (int)(int64_t)v[0] : -EIO;
    *data = v[1] <= max ? calloc(1, v[1] > 0 ? v[1] : 1) : NULL;
    if (!*data)
        return -EIO;
    if (v[2] != TRACE_FULL) {
        r->no_memory = true;
    } else if (!replay_bytes(r, e, *data, (size_t)v[1])) {
        free(*data);
        *data = NULL;
        return -EIO;
    }
    *len = (size_t)v[1];
    return 0;
}

static void host_close_fd(struct host *host, int fd)
{
}

static uint64_t host_now(void *opaque)
{
    return ((struct trace_replay *)opaque)->clock_ns;
}

static int host_wait(void *opaque, int64_t timeout_ns)
{
    return -EDEADLK; /* the replay runs what the loop would, nobody steps it */
}

void replay_host_init(struct trace_replay *r)
{
    static const struct loop_host loop_host = { host_now, host_wait };
    r->hv.ops = &replay_hv_ops;
    loop_init(&r->loop, &loop_host, r);
    r->loop.trace = &r->trace;
    r->loop.naming = true;
    r->host = (struct host){ .loop = &r->loop,
                             .log = r->config.log,
                             .opaque = r,
                             .chr_open = host_chr_open,
                             .block_open = host_block_open,
                             .close_fd = host_close_fd,
                             .read_file = host_read_file };
}

void replay_host_finish(struct trace_replay *r)
{
    hv_vram_destroy(&r->hv);
}
