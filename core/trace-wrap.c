/*
 * What a recorder puts around the hypervisor, the host and character channels: each call goes on to the real one and
 * leaves its result in the trace.
 */
#include "trace-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- The hypervisor --- */

static struct trace_hv_wrap *hv_of(struct hv *hv)
{
    return container_of(hv, struct trace_hv_wrap, hv);
}

static int told(struct trace_hv_wrap *w, const uint64_t v[4], int err)
{
    const uint64_t all[] = { v[0], v[1], v[2], v[3], (uint64_t)(int64_t)err };
    if (trace_on(w->rec))
        trace_put(w->rec, TRACE_HV, all, 5);
    return err;
}

static int hv_port_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_PORTS, first, last, claim },
                in->ops->port_range(in, first, last, claim));
}

static int hv_mmio_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_MMIO, first, last, claim },
                in->ops->mmio_range(in, first, last, claim));
}

static int hv_pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_FUNCTION, devfn, claim }, in->ops->pci_function(in, devfn, claim));
}

static int hv_isa_irq(struct hv *hv, unsigned line, bool level)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_ISA, line, level }, in->ops->isa_irq(in, line, level));
}

static int hv_pci_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_INTX, slot, pin, level }, in->ops->pci_intx(in, slot, pin, level));
}

static int hv_pci_link(struct hv *hv, unsigned link, unsigned irq)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_LINK, link, irq }, in->ops->pci_link(in, link, irq));
}

static int hv_msi(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_MSI, addr, data }, in->ops->msi(in, addr, data));
}

/* Memory is told of by core/mem.c, which knows what is read and written. */
static int hv_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    struct hv *in = hv_of(hv)->inner;
    return in->ops->map(in, first, nr, ptr, err);
}

static void hv_unmap(struct hv *hv, void *ptr, size_t nr)
{
    struct hv *in = hv_of(hv)->inner;
    in->ops->unmap(in, ptr, nr);
}

static int hv_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    struct hv *in = hv_of(hv)->inner;
    return in->ops->modified(in, first, nr);
}

static int hv_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_MEMTYPE, first, nr, type },
                in->ops->set_memtype(in, first, nr, type));
}

static int hv_vram_create(struct hv *hv, size_t nr, void **ptr)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_VRAM_CREATE, nr }, in->ops->vram_create(in, nr, ptr));
}

static int hv_vram_move(struct hv *hv, uint64_t first)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_VRAM_MOVE, first }, in->ops->vram_move(in, first));
}

static void hv_vram_destroy(struct hv *hv)
{
    struct hv *in = hv_of(hv)->inner;
    in->ops->vram_destroy(in);
}

/* For displays only: the guest sees nothing of it. */
static int hv_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap)
{
    struct hv *in = hv_of(hv)->inner;
    return in->ops->vram_dirty(in, first, nr, bitmap);
}

static int hv_shutdown(struct hv *hv, enum hv_shutdown reason)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_SHUTDOWN, reason }, in->ops->shutdown(in, reason));
}

static int hv_set_s_state(struct hv *hv, unsigned state)
{
    struct hv *in = hv_of(hv)->inner;
    return told(hv_of(hv), (uint64_t[4]){ TRACE_HV_S_STATE, state }, in->ops->set_s_state(in, state));
}

static const struct hv_ops hv_ops = {
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

/* --- Character channels: one around the real one, as bytes go both ways --- */

struct trace_chr {
    struct chr chr;
    struct chr *inner;
    struct trace_recorder *rec;
    uint32_t id;
};

/* What QMP shows. */
static void chr_follow(struct trace_chr *c)
{
    memcpy(c->chr.label, c->inner->label, sizeof(c->chr.label));
    memcpy(c->chr.filename, c->inner->filename, sizeof(c->chr.filename));
    c->chr.connected = c->inner->connected;
}

static size_t chr_room(void *opaque)
{
    struct trace_chr *c = opaque;
    const struct chr_user *user = c->chr.user;
    return user && user->room ? user->room(c->chr.opaque) : 0;
}

static void chr_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct trace_chr *c = opaque;
    const uint64_t v[] = { c->id, len };
    trace_begin(c->rec);
    trace_put_bytes(c->rec, TRACE_CHR_RECV, v, 2, buf, len);
    c->chr.user->recv(c->chr.opaque, buf, len);
    trace_end(&c->rec->trace);
}

static void chr_changed(struct trace_chr *c, bool opened)
{
    const uint64_t v[] = { c->id, opened };
    void (*fn)(void *) = !c->chr.user ? NULL : opened ? c->chr.user->opened : c->chr.user->closed;
    chr_follow(c);
    if (!fn)
        return;
    trace_begin(c->rec);
    trace_put(c->rec, TRACE_CHR_EVENT, v, 2);
    fn(c->chr.opaque);
    trace_end(&c->rec->trace);
}

static void chr_opened(void *opaque)
{
    chr_changed(opaque, true);
}

static void chr_closed(void *opaque)
{
    chr_changed(opaque, false);
}

static size_t chr_wrap_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct trace_chr *c = container_of(chr, struct trace_chr, chr);
    size_t taken = chr_write(c->inner, buf, len);
    enum trace_form form = len <= FULL_BYTES ? TRACE_FULL : TRACE_OMITTED;
    const uint64_t v[] = { c->id, len, taken, form };
    if (trace_on(c->rec))
        trace_put_bytes(c->rec, TRACE_CHR_WRITE, v, 4, buf, form == TRACE_FULL ? len : 0);
    return taken;
}

static void chr_wrap_resume(struct chr *chr)
{
    struct trace_chr *c = container_of(chr, struct trace_chr, chr);
    static const struct chr_user user = {
        .room = chr_room, .recv = chr_recv, .opened = chr_opened, .closed = chr_closed
    };
    if (!c->inner->user)
        chr_bind(c->inner, &user, c); /* ours was bound by now */
    else
        chr_resume(c->inner);
}

static void chr_wrap_disconnect(struct chr *chr)
{
    chr_disconnect(container_of(chr, struct trace_chr, chr)->inner);
}

static void chr_wrap_close(struct chr *chr)
{
    struct trace_chr *c = container_of(chr, struct trace_chr, chr);
    chr_close(c->inner);
    free(c);
}

static const struct chr_ops chr_wrap_ops = { chr_wrap_write, chr_wrap_resume, chr_wrap_disconnect, chr_wrap_close };

/* --- The host --- */

static int host_chr_open(struct host *host, const struct chr_config *config, struct chr **out)
{
    struct trace_host_wrap *w = container_of(host, struct trace_host_wrap, host);
    struct trace_chr *c = calloc(1, sizeof(*c));
    bool naming = w->rec->loop->naming;
    w->rec->loop->naming = false; /* timers and tasks of the back end are none of the machine's */
    int err = c ? w->inner->chr_open(w->inner, config, &c->inner) : -ENOMEM;
    w->rec->loop->naming = naming;
    uint32_t id = ++w->rec->chrs;
    const uint64_t v[] = { id, (uint64_t)(int64_t)err, !err && c->inner->connected };
    if (trace_on(w->rec))
        trace_put(w->rec, TRACE_CHR_OPEN, v, 3);
    if (err) {
        free(c);
        return err;
    }
    c->chr.ops = &chr_wrap_ops;
    c->rec = w->rec;
    c->id = id;
    chr_follow(c);
    *out = &c->chr;
    return 0;
}

static int host_block_open(struct host *host, const struct block_open *open, struct block **out)
{
    struct trace_host_wrap *w = container_of(host, struct trace_host_wrap, host);
    bool naming = w->rec->loop->naming;
    w->rec->loop->naming = false;
    int err = w->inner->block_open(w->inner, open, out);
    w->rec->loop->naming = naming;
    struct block *b = err ? NULL : *out;
    uint32_t id = ++w->rec->blocks;
    const uint64_t v[] = { id, (uint64_t)(int64_t)err, b ? b->size_bytes : 0, b ? b->sector_bytes : 0,
                           b ? (unsigned)b->read_only | (unsigned)b->discard << 1 : 0 };
    if (trace_on(w->rec))
        trace_put_bytes(w->rec, TRACE_BLOCK_OPEN, v, 5, open->path,
                        open->path ? min_u64(strlen(open->path), FULL_BYTES) : 0);
    if (b) {
        b->trace = &w->rec->trace;
        b->trace_id = id;
    }
    return err;
}

static void host_close_fd(struct host *host, int fd)
{
    struct host *in = container_of(host, struct trace_host_wrap, host)->inner;
    in->close_fd(in, fd);
}

static int host_read_file(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    struct trace_host_wrap *w = container_of(host, struct trace_host_wrap, host);
    int err = w->inner->read_file(w->inner, path, max, data, len);
    bool full = !err && !(w->rec->flags & TRACE_NO_DATA);
    const uint64_t v[] = { (uint64_t)(int64_t)err, err ? 0 : *len, full ? TRACE_FULL : TRACE_OMITTED };
    if (trace_on(w->rec))
        trace_put_bytes(w->rec, TRACE_FILE, v, 3, full ? *data : NULL, full ? *len : 0);
    return err;
}

void trace_wrap_init(struct trace_recorder *rec, const struct trace_world *world)
{
    rec->hv = (struct trace_hv_wrap){ { &hv_ops }, *world->hv, rec };
    rec->host = (struct trace_host_wrap){ **world->host, *world->host, rec };
    rec->host.host.chr_open = host_chr_open;
    rec->host.host.block_open = host_block_open;
    rec->host.host.close_fd = host_close_fd;
    rec->host.host.read_file = host_read_file;
    *world->hv = &rec->hv.hv;
    *world->host = &rec->host.host;
}
