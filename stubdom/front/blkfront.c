/* The connection of a PV disk: see front.h and blkfront-private.h. */
#include "blkfront-private.h"

#include "../kernel/mm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/protocols.h>

/* More, and a byte of the disk would have no number. */
#define MAX_SECTORS ((uint64_t)INT64_MAX / BLKFRONT_SECTOR)

enum { SECTORS, SECTOR_SIZE, INFO, FLUSH_CACHE, BARRIER, DISCARD, INDIRECT, NR_PROPERTIES };

/* --- The life of a connection --- */

/* The back end writes its state again after it changed the size [Linux xen-blkfront.c, blkback_changed()]. */
static void read_size(struct blkfront *b)
{
    struct front_number sectors = { .name = "sectors", .max = MAX_SECTORS, .required = true };
    if (front_read(&b->front, &sectors, 1) || sectors.value * BLKFRONT_SECTOR == b->size_bytes)
        return;
    b->size_bytes = sectors.value * BLKFRONT_SECTOR;
    log_limited(b->front.log, LOG_INFO, &b->front.log_rate, b->front.who, "the size is %" PRIu64 " sectors now",
                sectors.value);
}

static void state_changed(struct front *front)
{
    struct blkfront *b = container_of(front, struct blkfront, front);
    switch (front->back_state) {
    case XenbusStateConnected: read_size(b); break;
    case XenbusStateClosing:
    case XenbusStateClosed:
        if (b->broken)
            break; /* that was said */
        blkfront_give_up(b, "the back end closes");
        front_show(front, XenbusStateClosed); /* the toolstack may wait for it */
        break;
    default: break; /* on the way to one of them */
    }
}

static void release(struct blkfront *b)
{
    front_close(&b->front);
    front_pages_free(&b->front, &b->pool);
    front_pages_free(&b->front, &b->ring_pages);
    free(b);
}

static void blkfront_close(struct block *block)
{
    struct blkfront *b = container_of(block, struct blkfront, block);
    blkfront_drain(block);
    task_cancel(&b->kick);
    release(b);
}

static uint64_t blkfront_measure(struct block *block)
{
    return container_of(block, struct blkfront, block)->size_bytes;
}

static const struct block_ops blkfront_ops = { blkfront_submit, blkfront_drain, blkfront_close, blkfront_measure };

/* --- Connecting --- */

static int offer_ring(struct blkfront *b)
{
    struct front_number order = { .name = "max-ring-page-order", .max = UINT32_MAX };
    struct front_nodes nodes = { 0 };
    char name[24] = "ring-ref";
    int err = front_wait(&b->front, XenbusStateInitWait, &order, 1);
    if (err)
        return err;
    order.value = min_u64(order.value, BLKFRONT_RING_ORDER);
    err = front_pages_alloc(&b->front, &b->ring_pages, (size_t)1 << order.value);
    if (err)
        return front_error(&b->front, err, "no memory or grants for its ring: %s; not connected", strerror(-err));
    front_ring_init(&b->ring, &b->ring_pages, sizeof(union blkif_sring_entry));
    err = front_open_port(&b->front, blkfront_event, b);
    if (err)
        return err;
    /* One page has another node than several [blkif.h, note 6]. */
    if (order.value > 0)
        front_add_number(&b->front, &nodes, "ring-page-order", order.value);
    for (unsigned i = 0; i < b->ring_pages.nr; i++) {
        if (order.value > 0)
            (void)snprintf(name, sizeof(name), "ring-ref%u", i);
        front_add_number(&b->front, &nodes, name, b->ring_pages.refs[i]);
    }
    front_add_number(&b->front, &nodes, "event-channel", b->front.port);
    front_add(&b->front, &nodes, "protocol", XEN_IO_PROTO_ABI_X86_64);
    /* Our pages are the same ones for ever, whatever the back end makes of it [blkif.h, feature-persistent]. */
    front_add_number(&b->front, &nodes, "feature-persistent", 1);
    return front_publish(&b->front, &nodes, XenbusStateInitialised);
}

static int make_pool(struct blkfront *b, uint64_t indirect)
{
    size_t nr = BLKFRONT_POOL_PAGES;
    int err = -ENOMEM;
    while (nr / 2 >= BLKFRONT_POOL_MIN && nr > pages_free() / 4)
        nr /= 2; /* others need memory as well */
    for (; nr >= BLKFRONT_POOL_MIN && err; nr /= 2)
        err = front_pages_alloc(&b->front, &b->pool, nr);
    if (err)
        return front_error(&b->front, err, "no memory or grants for its data: %s; not connected", strerror(-err));
    b->max_segments = (uint16_t)min_u64(b->pool.nr / 2 - 1, indirect);
    if (b->max_segments < BLKIF_MAX_SEGMENTS_PER_REQUEST)
        b->max_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
    return 0;
}

/* What the back end says about the disk, once it is connected: some of it is not there before. */
static int read_properties(struct blkfront *b, struct front_number p[NR_PROPERTIES])
{
    p[SECTORS] = (struct front_number){ .name = "sectors", .max = MAX_SECTORS, .required = true };
    p[SECTOR_SIZE] = (struct front_number){ .name = "sector-size", .value = BLKFRONT_SECTOR, .max = PAGE_BYTES };
    p[INFO] = (struct front_number){ .name = "info", .max = UINT32_MAX };
    p[FLUSH_CACHE] = (struct front_number){ .name = "feature-flush-cache", .max = UINT32_MAX };
    p[BARRIER] = (struct front_number){ .name = "feature-barrier", .max = UINT32_MAX };
    p[DISCARD] = (struct front_number){ .name = "feature-discard", .max = UINT32_MAX };
    p[INDIRECT] = (struct front_number){ .name = "feature-max-indirect-segments", .max = UINT32_MAX };
    int err = front_wait(&b->front, XenbusStateConnected, p, NR_PROPERTIES);
    if (!err && (!is_pow2(p[SECTOR_SIZE].value) || p[SECTOR_SIZE].value < BLKFRONT_SECTOR))
        err = front_error(&b->front, -EIO, "sectors of %" PRIu64 " bytes; not connected", p[SECTOR_SIZE].value);
    return err;
}

static int connect(struct blkfront *b, struct loop *loop)
{
    struct front_number p[NR_PROPERTIES];
    uint64_t handle = 0;
    int err = offer_ring(b);
    if (!err)
        err = read_properties(b, p);
    if (!err)
        err = make_pool(b, p[INDIRECT].value);
    if (err)
        return err;
    (void)store_number(strrchr(b->front.dir, '/') + 1, &handle); /* back ends have no use for it */
    b->handle = (uint16_t)handle;
    b->flush = p[FLUSH_CACHE].value ? BLKFRONT_FLUSH_CACHE
               : p[BARRIER].value   ? BLKFRONT_FLUSH_BARRIER
                                    : BLKFRONT_FLUSH_NONE;
    b->size_bytes = p[SECTORS].value * BLKFRONT_SECTOR;
    block_init(&b->block, &blkfront_ops, loop, b->size_bytes, (uint32_t)p[SECTOR_SIZE].value);
    b->block.read_only = p[INFO].value & VDISK_READONLY;
    b->block.discard = p[DISCARD].value && !b->block.read_only;
    blkfront_io_init(b);
    task_init(&b->kick, loop, blkfront_run, b);
    b->front.changed = state_changed;
    log_print(b->front.log, LOG_INFO, b->front.who,
              "%s, %" PRIu64 " sectors of 512 bytes%s%s; %u pages of a ring, %zu of data, %u in a request",
              p[INFO].value & VDISK_CDROM ? "CD drive" : "disk", p[SECTORS].value,
              b->block.read_only ? ", read-only" : "", b->block.discard ? ", discards" : "", (unsigned)b->ring_pages.nr,
              b->pool.nr, b->max_segments);
    front_show(&b->front, XenbusStateConnected);
    return 0;
}

int blkfront_open(const char *dir, struct loop *loop, struct log *log, struct block **out)
{
    struct blkfront *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    int err = front_open(&b->front, dir, log);
    if (!err)
        err = connect(b, loop);
    if (err) {
        release(b);
        return err;
    }
    *out = &b->block;
    return 0;
}
