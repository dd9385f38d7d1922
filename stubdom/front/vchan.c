/*
 * The server's end of a vchan, for one client of Dom0 after the other: page, grant and channel stay, and the rings
 * begin anew when a client has left. It asks to be told of everything and tells everything: that is never wrong, and
 * there is little to tell. Source: xen/include/public/io/libxenvchan.h.
 */
#include "ring-chr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/libxenvchan.h>

enum { CLIENT_DOMID = 0, LEFT_ORDER = 10, RIGHT_ORDER = 11, GONE = 0, CONNECTED = 1, NOT_YET = 2 };

static struct vchan_interface *page_of(const struct ring_chr *c)
{
    return (void *)c->page.at;
}

/* Ready for a client. The orders tell where the rings are: behind as many bytes as they are long. */
static void begin_anew(struct ring_chr *c)
{
    struct vchan_interface *page = page_of(c);
    c->in =
        (struct byte_ring){ c->page.at + (1 << LEFT_ORDER), 1 << LEFT_ORDER, &page->left.cons, &page->left.prod, 0 };
    c->out = (struct byte_ring){ c->page.at + (1 << RIGHT_ORDER), 1 << RIGHT_ORDER, &page->right.cons,
                                 &page->right.prod, 0 };
    page->left.cons = page->left.prod = page->right.cons = page->right.prod = 0;
    page->left_order = LEFT_ORDER;
    page->right_order = RIGHT_ORDER;
    page->srv_live = CONNECTED;
    c->over = false;
    __atomic_store_n(&page->cli_live, NOT_YET, __ATOMIC_RELEASE); /* the last: now it may come */
}

static void look(struct ring_chr *c)
{
    struct vchan_interface *page = page_of(c);
    __atomic_store_n(&page->cli_notify, VCHAN_NOTIFY_WRITE | VCHAN_NOTIFY_READ, __ATOMIC_SEQ_CST);
    uint8_t live = __atomic_load_n(&page->cli_live, __ATOMIC_ACQUIRE);
    c->chr.connected = live == CONNECTED && !c->over;
    if (live == GONE)
        begin_anew(c);
}

static void hang_up(struct ring_chr *c)
{
    __atomic_store_n(&page_of(c)->srv_live, GONE, __ATOMIC_RELEASE);
    (void)events_notify(c->front.port);
    c->chr.connected = false;
}

static void release(struct ring_chr *c)
{
    if (c->page.at && c->front.has_port)
        hang_up(c);
    ring_chr_free(c);
}

static int publish(struct ring_chr *c, const char *path)
{
    char paths[2][FRONT_NODE_BYTES], values[2][FRONT_TEXT_BYTES];
    struct store_item items[2];
    static const char *const names[] = { "ring-ref", "event-channel" };
    uint32_t numbers[] = { c->page.refs[0], c->front.port };
    for (int i = 0; i < 2; i++) {
        int len = snprintf(paths[i], sizeof(paths[i]), "%s/%s", path, names[i]);
        if (len < 0 || (size_t)len >= sizeof(paths[i]))
            return front_error(&c->front, -ENAMETOOLONG, "the path %s is too long", path);
        (void)snprintf(values[i], sizeof(values[i]), "%" PRIu32, numbers[i]);
        items[i] = (struct store_item){ .path = paths[i], .value = values[i] };
    }
    int err = store_write_all(items, 2);
    return err ? front_error(&c->front, err, "xenstore refuses the nodes below %s: %s", path, strerror(-err)) : 0;
}

static int serve(struct ring_chr *c, const char *path)
{
    int err = front_pages_alloc(&c->front, &c->page, 1);
    if (err)
        return front_error(&c->front, err, "no memory or grant for its page: %s; no server", strerror(-err));
    begin_anew(c);
    err = front_open_port(&c->front, ring_chr_event, c);
    return err ? err : publish(c, path);
}

int vchan_open(const char *path, struct loop *loop, struct log *log, struct chr **out)
{
    const char *name = strrchr(path, '/');
    struct ring_chr *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    (void)snprintf(c->chr.filename, sizeof(c->chr.filename), "vchan:%s", path);
    (void)snprintf(c->front.who, sizeof(c->front.who), "%s", name ? name + 1 : path);
    c->front.log = log;
    c->front.back_id = CLIENT_DOMID;
    c->look = look;
    c->hang_up = hang_up;
    c->release = release;
    c->keeps = true; /* a reply of the monitor may be longer than the ring */
    ring_chr_init(c, loop);
    int err = serve(c, path);
    if (err) {
        release(c);
        return err;
    }
    *out = &c->chr;
    return 0;
}
