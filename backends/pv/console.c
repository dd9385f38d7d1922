/*
 * Consoles of type "ioemu": a stubdomain's log, save and restore streams and its guest's serial lines, the channels of
 * any guest. Bytes go between a ring of one page and what the toolstack's "output" node names. Whoever writes too fast
 * for its reader loses bytes in the end: a guest must not wait for someone who looks at its console.
 * Sources: xen/include/public/io/console.h; libxl_console.c, libxl_dm.c (the nodes); QEMU hw/char/xen_console.c.
 */
#include "pv-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* struct xencons_interface. */
enum { IN = 0, IN_BYTES = 1024, OUT = 1024, OUT_BYTES = 2048 };
enum { IN_CONS = 3072, IN_PROD = 3076, OUT_CONS = 3080, OUT_PROD = 3084 };

enum { SAVE_CONSOLE = 1, OUTPUT_BYTES = 1024 };
/* A saved device model is far smaller; the guest's memory is not in it. */
#define SAVE_LIMIT     (64 * MIB)
#define BACKLOG_LIMIT  MIB
#define RETRY_FIRST_NS (5 * NS_PER_MS)

struct console {
    struct pv_device dev;
    bool first; /* number 0: its ring is the builder's */
    /* The outside; chr NULL: bytes vanish, none come. */
    struct chr *chr;
    bool borrowed; /* from the command line */
    char output[OUTPUT_BYTES], strings[OUTPUT_BYTES];
    uint64_t left; /* bytes that the file may still grow by */
    uint64_t file_limit;
    /* What the outside didn't take yet: used bytes from head on, in a circle. */
    uint8_t *backlog; /* NULL: none is kept */
    size_t backlog_bytes, head, used;
    struct timer retry;
    uint64_t retry_ns, dropped;
    /* The connection. */
    uint8_t *shared; /* of the first one: from open() to destroy() */
    bool connected;
    bool starved; /* input waits for room in the ring */
};

static struct console *console_of(struct pv_device *dev)
{
    return container_of(dev, struct console, dev);
}

static struct log *log_of(struct console *c)
{
    return pv_config(&c->dev)->log;
}

/* --- The ring. The indices are the guest's to destroy: each is read once, and only counts modulo the size --- */

static uint32_t load(const struct console *c, unsigned offset)
{
    return atomic_load_explicit((_Atomic(uint32_t) *)(void *)(c->shared + offset), memory_order_acquire);
}

static void store(struct console *c, unsigned offset, uint32_t value)
{
    atomic_store_explicit((_Atomic(uint32_t) *)(void *)(c->shared + offset), value, memory_order_release);
}

static void refuse(struct console *c, const char *which, uint32_t bytes)
{
    log_limited(log_of(c), LOG_WARN, &c->dev.log_rate, c->dev.who,
                "the guest's %s ring holds %" PRIu32 " bytes, more than it has; ignored", which, bytes);
}

/* Where in a ring of size bytes index is, and how much of len lies in one piece there. */
static size_t piece(uint32_t index, size_t size, size_t len, size_t *at)
{
    *at = index % size;
    return (size_t)min_u64(len, size - *at);
}

/* Take what the guest has written, at most once round the ring. How many bytes. */
static size_t take_output(struct console *c, uint8_t buf[OUT_BYTES])
{
    uint32_t cons = load(c, OUT_CONS), prod = load(c, OUT_PROD), len = prod - cons;
    size_t at, n = piece(cons, OUT_BYTES, len, &at);
    if (len > OUT_BYTES) {
        refuse(c, "output", len);
        return 0;
    }
    memcpy(buf, c->shared + OUT + at, n);
    memcpy(buf + n, c->shared + OUT, len - n);
    if (len > 0) {
        store(c, OUT_CONS, prod);
        pv_notify(&c->dev); /* it may wait for room */
    }
    return len;
}

static size_t input_room(struct console *c)
{
    uint32_t used = load(c, IN_PROD) - load(c, IN_CONS);
    if (used > IN_BYTES)
        refuse(c, "input", used);
    return used > IN_BYTES ? 0 : IN_BYTES - used;
}

/* --- To the outside --- */

static void keep(struct console *c, const uint8_t *buf, size_t len)
{
    size_t at, n, room = c->backlog_bytes - c->used;
    if (len > room) {
        c->dropped += len - room;
        log_limited(log_of(c), LOG_WARN, &c->dev.log_rate, c->dev.who,
                    "%s takes no more, and %zu bytes wait: %" PRIu64 " dropped so far", c->chr->filename, c->used,
                    c->dropped);
        len = room;
    }
    for (; len > 0; buf += n, len -= n, c->used += n) {
        at = (c->head + c->used) % c->backlog_bytes;
        n = (size_t)min_u64(len, c->backlog_bytes - at);
        memcpy(c->backlog + at, buf, n);
    }
}

/* What was kept goes before anything new. */
static void flush(struct console *c)
{
    size_t done = 1;
    while (c->used > 0 && done > 0) {
        done = chr_write(c->chr, c->backlog + c->head, (size_t)min_u64(c->used, c->backlog_bytes - c->head));
        c->head = (c->head + done) % c->backlog_bytes;
        c->used -= done;
        if (done > 0)
            c->retry_ns = RETRY_FIRST_NS;
    }
    if (c->used == 0)
        timer_cancel(&c->retry);
    else if (!c->retry.armed)
        timer_arm(&c->retry, c->retry_ns);
}

/* The outside doesn't tell when it takes bytes again. One that never will costs a look a second. */
static void retry(void *opaque)
{
    struct console *c = opaque;
    c->retry_ns = min_u64(2 * c->retry_ns, NS_PER_S);
    flush(c);
}

/* How much of len still goes into a file that must not grow for ever. */
static size_t within_limit(struct console *c, size_t len)
{
    if (len <= c->left) {
        c->left -= len;
        return len;
    }
    size_t rest = (size_t)c->left;
    if (c->file_limit > 0)
        log_print(log_of(c), LOG_WARN, c->dev.who, "%s has reached its limit of %" PRIu64 " bytes; output is dropped",
                  c->chr->filename, c->file_limit);
    c->file_limit = c->left = 0; /* told once */
    return rest;
}

static void put_out(struct console *c, const uint8_t *buf, size_t len)
{
    if (!c->chr)
        return;
    len = within_limit(c, len);
    flush(c);
    size_t done = c->used == 0 ? chr_write(c->chr, buf, len) : 0;
    if (done < len) {
        keep(c, buf + done, len - done);
        flush(c);
    }
}

static void serve(struct console *c)
{
    uint8_t buf[OUT_BYTES];
    if (!c->connected || pv_paused(&c->dev))
        return;
    put_out(c, buf, take_output(c, buf));
    if (c->starved && input_room(c) > 0) {
        c->starved = false;
        chr_resume(c->chr);
    }
}

/* --- From the outside --- */

static size_t console_room(void *opaque)
{
    struct console *c = opaque;
    size_t room = c->connected && !pv_paused(&c->dev) ? input_room(c) : 0;
    c->starved |= room == 0;
    return room;
}

static void console_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct console *c = opaque;
    uint32_t prod = load(c, IN_PROD);
    size_t at, n = piece(prod, IN_BYTES, len, &at);
    memcpy(c->shared + IN + at, buf, n);
    memcpy(c->shared + IN, buf + n, len - n);
    store(c, IN_PROD, prod + (uint32_t)len);
    pv_notify(&c->dev);
}

static const struct chr_user outside = { .room = console_room, .recv = console_recv };

/* --- Open, close --- */

/* One that the toolstack gave on the command line, as its "chardev:ID" says. */
static struct chr *borrow(struct console *c, const char *id)
{
    const struct pv_config *config = pv_config(&c->dev);
    for (unsigned i = 0; i < config->nr_chrs; i++) {
        struct chr *chr = config->chrs[i];
        if (chr && !chr->user && strcmp(chr->label, id) == 0)
            return chr;
    }
    return NULL;
}

/* No node, or "none": nobody is at the other end. */
static int open_output(struct console *c)
{
    struct pv_device *dev = &c->dev;
    const struct pv_config *config = pv_config(dev);
    struct chr_config how;
    char why[CONFIG_ERROR_BYTES];
    int err = pv_read_text(dev, dev->front, "output", c->output, sizeof(c->output));
    if (err == -ENOENT || (!err && (!c->output[0] || strcmp(c->output, "none") == 0)))
        return 0;
    if (err)
        return pv_error(dev, err, "its output node can't be read: %s", strerror(-err));
    if (strncmp(c->output, "chardev:", 8) == 0) {
        c->chr = borrow(c, c->output + 8);
        c->borrowed = true;
        return c->chr ? 0 : pv_error(dev, -ENODEV, "no -chardev has the id %.32s and no user", c->output + 8);
    }
    if (options_chr(c->output, c->strings, &how, why))
        return pv_error(dev, -EINVAL, "%.140s", why);
    (void)snprintf(how.label, sizeof(how.label), "xencons%.8s", dev->name);
    how.wait = false; /* the toolstack waits for this process, not for that peer */
    err = config->host->chr_open(config->host, &how, &c->chr);
    if (err)
        return pv_error(dev, err, "%.100s can't be opened: %s", c->output, strerror(-err));
    if (how.kind == CHR_FILE && c->first)
        c->file_limit = config->log_limit_bytes;
    else if (how.kind == CHR_FILE && strcmp(dev->name, "1") == 0)
        c->file_limit = SAVE_LIMIT;
    if (how.kind == CHR_PTY)
        pv_write_front(dev, "tty", c->chr->filename + strlen("pty:"));
    return 0;
}

/* Grants come later; this ring is there before the guest runs, and no right to map it may be left when it does. */
static int map_first(struct console *c)
{
    struct pv_device *dev = &c->dev;
    const struct pv_config *config = pv_config(dev);
    uint64_t frame;
    void *page;
    int err = pv_read_number(dev, dev->front, "ring-ref", UINT64_MAX >> PAGE_SHIFT, &frame);
    if (err)
        return pv_error(dev, err, "it has no ring-ref");
    err = config->ops->map_frame(config->opaque, frame, &page);
    if (err)
        return pv_error(dev, err, "its ring in frame %" PRIu64 " can't be mapped: %s", frame, strerror(-err));
    c->shared = page;
    return 0;
}

static bool console_ours(struct pv_device *dev)
{
    char type[16];
    return pv_read_text(dev, dev->front, "type", type, sizeof(type)) == 0 && strcmp(type, "ioemu") == 0;
}

static int console_open(struct pv_device *dev)
{
    struct console *c = console_of(dev);
    timer_init(&c->retry, pv_config(dev)->loop, retry, c);
    c->retry_ns = RETRY_FIRST_NS;
    c->first = strcmp(dev->name, "0") == 0;
    c->backlog_bytes = (size_t)pv_number_or(dev, dev->front, "limit", BACKLOG_LIMIT, BACKLOG_LIMIT);
    int err = c->first ? map_first(c) : 0;
    if (!err)
        err = open_output(c);
    if (err)
        return err;
    c->left = c->file_limit > 0 ? c->file_limit : UINT64_MAX;
    if (c->chr && c->backlog_bytes > 0)
        c->backlog = malloc(c->backlog_bytes); /* takes memory when it's used */
    if (!c->backlog)
        c->backlog_bytes = 0;
    if (c->chr)
        chr_bind(c->chr, &outside, c);
    pv_write_text(dev, "hotplug-status", "connected");
    log_print(log_of(c), LOG_INFO, dev->who, "%s", c->chr ? c->chr->filename : "nobody at the other end");
    return 0;
}

/* The builder has connected the first one; it has no state node. */
static int console_front_state(struct pv_device *dev)
{
    struct console *c = console_of(dev);
    return c->first ? XenbusStateConnected : -1;
}

static int map_granted(struct console *c)
{
    struct pv_device *dev = &c->dev;
    const struct pv_config *config = pv_config(dev);
    uint64_t ref;
    void *page;
    int err = pv_read_number(dev, dev->front, "ring-ref", UINT32_MAX, &ref);
    if (err)
        return pv_error(dev, err, "the front end gives no ring-ref");
    err = config->ops->map(config->opaque, &(uint32_t){ (uint32_t)ref }, 1, true, &page);
    if (err)
        return pv_error(dev, err, "the ring can't be mapped: %s", strerror(-err));
    c->shared = page;
    return 0;
}

static int console_connect(struct pv_device *dev)
{
    struct console *c = console_of(dev);
    uint64_t port;
    int err = c->first ? 0 : map_granted(c);
    if (err)
        return err;
    err = pv_read_number(dev, dev->front, "port", UINT32_MAX, &port);
    if (err)
        return pv_error(dev, err, "the front end gives no port");
    err = pv_bind(dev, (uint32_t)port);
    if (err)
        return pv_error(dev, err, "event channel %" PRIu64 " can't be bound: %s", port, strerror(-err));
    c->connected = true;
    serve(c);
    return 0;
}

/* The last words of a front end that leaves or has died count as well. */
static bool console_disconnect(struct pv_device *dev)
{
    struct console *c = console_of(dev);
    const struct pv_config *config = pv_config(dev);
    serve(c);
    c->connected = false;
    pv_unbind(dev);
    if (!c->first && c->shared) {
        config->ops->unmap(config->opaque, c->shared, 1);
        c->shared = NULL;
    }
    return true;
}

static void console_event(struct pv_device *dev)
{
    serve(console_of(dev));
}

static void console_set_paused(struct pv_device *dev, bool paused)
{
    serve(console_of(dev));
}

static void console_destroy(struct pv_device *dev)
{
    struct console *c = console_of(dev);
    const struct pv_config *config = pv_config(dev);
    (void)console_disconnect(dev);
    if (c->chr)
        flush(c);
    timer_cancel(&c->retry);
    if (c->chr && c->borrowed)
        chr_bind(c->chr, NULL, NULL);
    else
        chr_close(c->chr);
    if (c->shared)
        config->ops->unmap_frame(config->opaque, c->shared);
    free(c->backlog);
    free(c);
}

static struct pv_device *console_create(void)
{
    struct console *c = calloc(1, sizeof(*c));
    return c ? &c->dev : NULL;
}

const struct pv_type pv_console = {
    .name = "console",
    .early = true,
    .create = console_create,
    .ours = console_ours,
    .open = console_open,
    .front_state = console_front_state,
    .connect = console_connect,
    .disconnect = console_disconnect,
    .event = console_event,
    .set_paused = console_set_paused,
    .destroy = console_destroy,
};
