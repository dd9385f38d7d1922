/*
 * qdisk: the disks and CDs that libxl gives to the device model (backendtype=qdisk). The nodes are those of QEMU's
 * xen-block, which toolstacks and front ends know, and what its back end doesn't have: barriers, indirect segments,
 * persistent grants, a CD whose medium changes.
 * Sources: xen/include/public/io/blkif.h; libxl_disk.c (the entry, cd-insert); Linux drivers/block/xen-blkfront.c.
 */
#include "qdisk-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct qdisk *qdisk_of(struct pv_device *dev)
{
    return container_of(dev, struct qdisk, dev);
}

/* --- The image --- */

/*
 * params is FORMAT:PATH, or a PATH alone, which may be that of a server (nbd:...). The names are libxl's; what they
 * stand for is known, never guessed from the image.
 */
static const struct {
    const char *prefix, *format;
} formats[] = {
    { "aio:", "raw" }, { "raw:", "raw" },   { "qcow2:", "qcow2" },     { "qcow:", "qcow" },
    { "vhd:", "vpc" }, { "vpc:", "vpc" },   { "qed:", "qed" },         { "vmdk:", "vmdk" },
    { "vdi:", "vdi" }, { "vhdx:", "vhdx" }, { "host_device:", "raw" },
};

/* What params says: d->format and d->path, which is in d->params. d->path NULL: no medium. */
static int read_params(struct qdisk *d)
{
    int err = pv_read_text(&d->dev, d->dev.back, "params", d->params, sizeof(d->params));
    d->format = "raw";
    d->path = NULL;
    if (err)
        return pv_error(&d->dev, err, "params can't be read: %s", strerror(-err));
    d->path = d->params;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        size_t len = strlen(formats[i].prefix);
        if (strncmp(d->params, formats[i].prefix, len) == 0) {
            d->format = formats[i].format;
            d->path = d->params + len;
        }
    }
    if (*d->path == '\0')
        d->path = NULL;
    return 0;
}

/* No medium is well for a CD drive. */
static int open_image(struct qdisk *d)
{
    const struct pv_config *c = pv_config(&d->dev);
    if (!d->path)
        return d->cdrom ? 0 : pv_error(&d->dev, -ENOENT, "there is no image");
    struct block_open how = { .path = d->path,
                              .fd = -1,
                              .format = d->format,
                              .cache = d->direct ? BLOCK_NONE : BLOCK_WRITEBACK,
                              .read_only = d->read_only,
                              .discard = d->discard,
                              .lock = !c->shared && !d->read_only,
                              .loop = c->loop,
                              .log = c->log };
    int err = c->host->block_open(c->host, &how, &d->block);
    return err ? pv_error(&d->dev, err, "%.100s can't be opened: %s", d->path, strerror(-err)) : 0;
}

/* Two views of an image format would overwrite each other's tables: the second one opens when the first one has gone.
 */
static bool opens_late(struct qdisk *d)
{
    return pv_config(&d->dev)->shared && !d->read_only && d->path && strcmp(d->format, "raw") != 0;
}

static void close_image(struct qdisk *d)
{
    block_close(d->block);
    d->block = NULL;
    d->path = NULL;
}

/* Front ends count in units of 512 bytes, whatever sector-size says [Linux xen-blkfront.c]. */
static void write_size(struct qdisk *d)
{
    d->sectors = d->block ? d->block->size_bytes / BLKIF_SECTOR : 0;
    pv_write_number(&d->dev, "sector-size", d->block ? d->block->sector_bytes : BLKIF_SECTOR);
    pv_write_number(&d->dev, "sectors", d->sectors);
}

static int qdisk_open(struct pv_device *dev)
{
    struct qdisk *d = qdisk_of(dev);
    char text[16] = "";
    task_init(&d->task, pv_config(dev)->loop, qdisk_run, d);
    (void)pv_read_text(dev, dev->back, "device-type", text, sizeof(text));
    d->cdrom = strcmp(text, "cdrom") == 0;
    text[0] = '\0';
    (void)pv_read_text(dev, dev->back, "mode", text, sizeof(text));
    d->read_only = d->cdrom || strcmp(text, "w") != 0;
    d->discard = pv_number_or(dev, dev->back, "discard-enable", 1, 1) == 1 && !d->read_only;
    d->direct = pv_number_or(dev, dev->back, "direct-io-safe", 1, 0) == 1;
    int err = read_params(d);
    if (!err && !opens_late(d))
        err = open_image(d);
    if (err && !d->cdrom)
        return err; /* an unreadable CD is an empty drive */
    if (d->block ? d->block->discard : d->discard) {
        pv_write_number(dev, "feature-discard", 1);
        pv_write_number(dev, "discard-granularity", d->block ? d->block->sector_bytes : BLKIF_SECTOR);
        pv_write_number(dev, "discard-alignment", 0);
    }
    pv_write_number(dev, "feature-flush-cache", 1);
    pv_write_number(dev, "feature-barrier", 1);
    pv_write_number(dev, "feature-persistent", pv_config(dev)->data == PV_PERSISTENT);
    pv_write_number(dev, "feature-max-indirect-segments", QDISK_MAX_SEGMENTS);
    pv_write_number(dev, "max-ring-page-order", QDISK_MAX_ORDER);
    pv_write_number(dev, "info", (d->cdrom ? VDISK_CDROM : 0) | (d->read_only ? VDISK_READONLY : 0));
    write_size(d);
    pv_write_text(dev, "hotplug-status", "connected");
    log_print(pv_config(dev)->log, LOG_INFO, dev->who, "%s, %" PRIu64 " sectors, %s", d->path ? d->path : "no medium",
              d->sectors, d->read_only ? "read-only" : "writable");
    return 0;
}

/* The size that the front end knows is not the image's any more. */
static void tell_size(struct qdisk *d)
{
    write_size(d);
    if (d->dev.state == XenbusStateConnected)
        pv_repeat_state(&d->dev); /* what makes front ends look again */
}

/* The toolstack writes an empty path to take a medium out, then the next one [libxl_disk.c, cd-insert]. */
static void qdisk_params_changed(struct pv_device *dev)
{
    struct qdisk *d = qdisk_of(dev);
    char params[sizeof(d->params)];
    if (!d->cdrom) { /* the image stays, but it may have grown */
        if (d->block && block_grew(d->block))
            tell_size(d);
        return;
    }
    int err = pv_read_text(dev, dev->back, "params", params, sizeof(params));
    if (!err && strcmp(params, d->params) == 0)
        return;
    qdisk_drain(d);
    close_image(d);
    if (read_params(d) == 0)
        (void)open_image(d);
    tell_size(d);
    log_print(pv_config(dev)->log, LOG_INFO, dev->who, "medium: %s", d->path ? d->path : "none");
}

/* --- The connection --- */

/* ring-ref, or with more than one page ring-ref0 and so on [blkif.h, note 6]; some number a single page as well. */
static int read_ring_refs(struct qdisk *d, uint32_t refs[1 << QDISK_MAX_ORDER])
{
    struct pv_device *dev = &d->dev;
    uint64_t order = 0, ref;
    int err = pv_read_number(dev, dev->front, "ring-page-order", QDISK_MAX_ORDER, &order);
    if (err && err != -ENOENT)
        return pv_error(dev, -EINVAL, "the front end's ring-page-order is not 0 to %d", QDISK_MAX_ORDER);
    d->pages = 1u << order;
    for (unsigned i = 0; i < d->pages; i++) {
        char node[24];
        (void)snprintf(node, sizeof(node), "ring-ref%u", i);
        err = -ENOENT;
        if (d->pages == 1)
            err = pv_read_number(dev, dev->front, "ring-ref", UINT32_MAX, &ref);
        if (err == -ENOENT)
            err = pv_read_number(dev, dev->front, node, UINT32_MAX, &ref);
        if (err)
            return pv_error(dev, err, "the front end gives no %s", d->pages > 1 ? node : "ring-ref");
        refs[i] = (uint32_t)ref;
    }
    return 0;
}

static int read_abi(struct qdisk *d, unsigned *bits)
{
    struct pv_device *dev = &d->dev;
    char protocol[32];
    int err = pv_read_text(dev, dev->front, "protocol", protocol, sizeof(protocol));
    *bits = 64; /* not said: native, as this process is */
    if (err == -ENOENT || (!err && strcmp(protocol, "x86_64-abi") == 0))
        return 0;
    *bits = 32;
    if (!err && strcmp(protocol, "x86_32-abi") == 0)
        return 0;
    return pv_error(dev, -EPROTO, "the front end speaks neither x86_32-abi nor x86_64-abi");
}

/* Memory for every request that fits the ring: none is allocated while it runs. */
static int allocate(struct qdisk *d)
{
    struct pv_device *dev = &d->dev;
    bool persistent =
        pv_config(dev)->data == PV_PERSISTENT && pv_number_or(dev, dev->front, "feature-persistent", 1, 0) == 1;
    d->reqs = calloc(d->ring.entries, sizeof(*d->reqs));
    if (!d->reqs || qdisk_data_open(d, persistent))
        return pv_error(dev, -ENOMEM, "no memory for %u requests", d->ring.entries);
    qdisk_ring_open(d);
    return 0;
}

static int qdisk_connect(struct pv_device *dev)
{
    struct qdisk *d = qdisk_of(dev);
    const struct pv_config *c = pv_config(dev);
    uint32_t refs[1 << QDISK_MAX_ORDER];
    uint64_t port;
    unsigned bits;
    int err = d->block || d->cdrom ? 0 : open_image(d);
    if (!err)
        err = read_ring_refs(d, refs);
    if (!err)
        err = read_abi(d, &bits);
    if (err)
        return err;
    err = pv_read_number(dev, dev->front, "event-channel", UINT32_MAX, &port);
    if (err)
        return pv_error(dev, err, "the front end gives no event-channel");
    err = c->ops->map(c->opaque, refs, d->pages, true, &d->shared);
    if (err) {
        d->shared = NULL;
        return pv_error(dev, err, "the ring of %u pages can't be mapped: %s", d->pages, strerror(-err));
    }
    err = blkif_ring_init(&d->ring, d->shared, (size_t)d->pages * PAGE_BYTES, bits);
    if (err)
        return pv_error(dev, err, "the front end's ring is not empty and not sane");
    err = allocate(d);
    if (err)
        return err;
    err = pv_bind(dev, (uint32_t)port);
    if (err)
        return pv_error(dev, err, "event channel %" PRIu64 " can't be bound: %s", port, strerror(-err));
    write_size(d);
    d->closing = false;
    qdisk_pace_init(&d->pace, c->loop, qdisk_run, d);
    log_print(c->log, LOG_INFO, dev->who, "connected: %u-bit ring of %u pages%s", bits, d->pages,
              d->data.persistent ? ", persistent grants" : "");
    task_post(&d->task); /* what is in the ring already */
    return 0;
}

/* All requests have ended. */
static void release(struct qdisk *d)
{
    const struct pv_config *c = pv_config(&d->dev);
    pv_unbind(&d->dev);
    task_cancel(&d->task);
    qdisk_pace_finish(&d->pace);
    if (d->reqs)
        qdisk_data_close(d);
    free(d->reqs);
    d->reqs = NULL;
    if (d->shared)
        c->ops->unmap(c->opaque, d->shared, d->pages);
    d->shared = NULL;
}

static bool qdisk_disconnect(struct pv_device *dev)
{
    struct qdisk *d = qdisk_of(dev);
    d->closing = true;
    if (d->in_flight > 0)
        return false; /* qdisk_run() kicks; a slow disk doesn't hold up the loop */
    release(d);
    return true;
}

static void qdisk_event(struct pv_device *dev)
{
    qdisk_serve(qdisk_of(dev));
}

static void qdisk_set_paused(struct pv_device *dev, bool paused)
{
    struct qdisk *d = qdisk_of(dev);
    if (paused)
        qdisk_drain(d);
    else
        qdisk_serve(d);
}

static bool qdisk_block_info(const struct pv_device *dev, struct pv_block_info *info)
{
    const struct qdisk *d = container_of(dev, struct qdisk, dev);
    *info = (struct pv_block_info){ .id = dev->name, .file = d->path, .format = d->format, .removable = d->cdrom,
                                    .read_only = d->read_only };
    if (d->block) {
        info->size_bytes = d->block->size_bytes;
        info->stats = d->block->stats;
    }
    return true;
}

static void qdisk_destroy(struct pv_device *dev)
{
    struct qdisk *d = qdisk_of(dev);
    d->closing = true;
    qdisk_drain(d);
    release(d);
    close_image(d);
    free(d);
}

static struct pv_device *qdisk_create(void)
{
    struct qdisk *d = calloc(1, sizeof(*d));
    return d ? &d->dev : NULL;
}

const struct pv_type pv_qdisk = {
    .name = "qdisk",
    .create = qdisk_create,
    .open = qdisk_open,
    .connect = qdisk_connect,
    .disconnect = qdisk_disconnect,
    .event = qdisk_event,
    .params_changed = qdisk_params_changed,
    .set_paused = qdisk_set_paused,
    .block_info = qdisk_block_info,
    .destroy = qdisk_destroy,
};
