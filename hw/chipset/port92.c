/*
 * System control port A. The guest's A20 is always on: its bit stores only.
 * Source: Intel 82371SB (PIIX3), order 290550, P92.
 */
#include "port92.h" /* struct port92_config, port92_create() */

#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { PORT = 0x92, FAST_INIT = 0x01 };

struct port92 {
    struct device dev;
    struct bus_region region;
    void (*power)(void *opaque, enum hv_shutdown reason);
    void *opaque;
    /* Guest-visible state. */
    uint8_t latch;
};

static const struct snap_field port92_fields[] = { SNAP(struct port92, latch), SNAP_END };

static uint64_t port92_read(void *opaque, uint64_t off, unsigned size)
{
    const struct port92 *s = opaque;
    return s->latch;
}

static void port92_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct port92 *s = opaque;
    s->latch = (uint8_t)val;
    if ((val & FAST_INIT) && s->power)
        s->power(s->opaque, HV_REBOOT);
}

static void port92_reset(struct device *dev)
{
    struct port92 *s = container_of(dev, struct port92, dev);
    s->latch = 0;
}

static void port92_unplug(struct device *dev)
{
    struct port92 *s = container_of(dev, struct port92, dev);
    bus_detach(&s->region);
}

static const struct bus_ops port92_ops = { port92_read, port92_write, .sizes = BUS_1 };
/* No restored(): every value of the latch is one a guest may write, and nothing is derived from it. */
static const struct device_desc port92_desc = {
    .name = "port92",
    .version = 1,
    .fields = port92_fields,
    .reset = port92_reset,
    .unplug = port92_unplug,
};

int port92_create(const struct port92_config *config, struct device **out)
{
    struct port92 *s = device_new(&port92_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->power = config->power;
    s->opaque = config->opaque;
    int err = bus_attach(config->ports, &s->region, &port92_ops, s, PORT, 1);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    *out = &s->dev;
    return 0;
}
