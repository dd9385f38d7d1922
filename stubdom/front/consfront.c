/*
 * Consoles but the first, which is the log: serial ports of the guest, streams to save and to restore. What is written
 * before the back end comes waits in the ring. Source: xen/include/public/io/console.h.
 */
#include "ring-chr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/console.h>

static void look(struct ring_chr *c)
{
    c->chr.connected = !c->over && c->front.back_state == XenbusStateConnected;
}

static void state_changed(struct front *front)
{
    ring_chr_run(container_of(front, struct ring_chr, front));
}

static void lay_out(struct ring_chr *c)
{
    struct xencons_interface *page = (void *)c->page.at;
    c->in = (struct byte_ring){ (uint8_t *)page->in, sizeof(page->in), &page->in_cons, &page->in_prod, 0 };
    c->out = (struct byte_ring){ (uint8_t *)page->out, sizeof(page->out), &page->out_cons, &page->out_prod, 0 };
}

/* Nothing is negotiated, so it is not waited for the back end [libxl and QEMU's xen_console.c do it this way]. */
static int connect(struct ring_chr *c)
{
    struct front_nodes nodes = { 0 };
    int err = front_pages_alloc(&c->front, &c->page, 1);
    if (err)
        return front_error(&c->front, err, "no memory or grant for its page: %s; not connected", strerror(-err));
    lay_out(c);
    err = front_open_port(&c->front, ring_chr_event, c);
    if (err)
        return err;
    front_add_number(&c->front, &nodes, "ring-ref", c->page.refs[0]);
    front_add_number(&c->front, &nodes, "port", c->front.port);
    c->front.changed = state_changed;
    return front_publish(&c->front, &nodes, XenbusStateConnected);
}

int consfront_open(unsigned nr, struct loop *loop, struct log *log, struct chr **out)
{
    char dir[32];
    struct ring_chr *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    (void)snprintf(dir, sizeof(dir), "device/console/%u", nr);
    (void)snprintf(c->chr.filename, sizeof(c->chr.filename), "console:%u", nr);
    c->look = look;
    c->release = ring_chr_free;
    ring_chr_init(c, loop);
    int err = front_open(&c->front, dir, log);
    if (!err)
        err = connect(c);
    if (err) {
        ring_chr_free(c);
        return err;
    }
    *out = &c->chr;
    return 0;
}
