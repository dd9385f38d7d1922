/*
 * Debug ports 402 and e9: a sink for firmware's text, and a read that says so. No state the guest can see.
 * Source: OvmfPkg/README of EDK II (debug port); the Bochs e9 convention.
 */
#include "debugport.h" /* struct debugport_config, debugport_create() */

#include "guest-line.h"
#include <errno.h>
#include <thindm/bus.h>
#include <thindm/chr.h>
#include <thindm/device.h>

enum { PORT_E9 = 0xe9, PORT_402 = 0x402, PRESENT = 0xe9 };

struct debugport {
    struct device dev;
    struct bus_region e9, p402;
    struct chr *chr; /* owned until unplug, then NULL; NULL: log lines */
    struct guest_line line;
};

static const struct snap_field debugport_fields[] = { SNAP_END };

static uint64_t debugport_read(void *opaque, uint64_t off, unsigned size)
{
    return PRESENT;
}

static void debugport_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct debugport *s = opaque;
    uint8_t byte = (uint8_t)val;
    if (s->chr)
        (void)chr_write(s->chr, &byte, 1); /* a full back end drops it */
    else
        guest_line_put(&s->line, &s->dev, byte);
}

static void debugport_reset(struct device *dev)
{
    struct debugport *s = container_of(dev, struct debugport, dev);
    s->line.len = 0;
}

static void debugport_unplug(struct device *dev)
{
    struct debugport *s = container_of(dev, struct debugport, dev);
    bus_detach(&s->e9);
    bus_detach(&s->p402);
    chr_close(s->chr);
    s->chr = NULL;
}

static const struct bus_ops debugport_ops = { debugport_read, debugport_write, .sizes = BUS_1 };
static const struct chr_user debugport_user = { 0 }; /* what comes in isn't wanted */
static const struct device_desc debugport_desc = {
    .name = "debugport",
    .version = 1,
    .fields = debugport_fields,
    .reset = debugport_reset,
    .unplug = debugport_unplug,
};

int debugport_create(const struct debugport_config *config, struct device **out)
{
    struct debugport *s = device_new(&debugport_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = bus_attach(config->ports, &s->e9, &debugport_ops, s, PORT_E9, 1);
    if (!err)
        err = bus_attach(config->ports, &s->p402, &debugport_ops, s, PORT_402, 1);
    if (err) {
        device_free(&s->dev); /* config->chr is still the caller's */
        return err;
    }
    s->chr = config->chr;
    if (s->chr)
        chr_bind(s->chr, &debugport_user, s);
    *out = &s->dev;
    return 0;
}
