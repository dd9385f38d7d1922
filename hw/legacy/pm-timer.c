/*
 * PM1 event registers and the ACPI timer. The count is a function of time; a timer runs only for the next change of its
 * highest bit that would interrupt. PM1 control and GPE0 are the chipset's.
 * Source: ACPI 2.0, [ACPI n] is its section n.
 */
#include "pm-timer.h"

#include "ticks.h"
#include <errno.h>
#include <string.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { PM1_STATUS = 0, PM1_ENABLE = 2, PM_TMR = 8 };
enum { TIMER = 0x0001, GLOBAL = 0x0020 };
/* BM_STS, which nothing here sets, is 10; WAK_STS has no enable bit [ACPI 4.7.3.1]. */
enum { STATUS_BITS = TIMER | GLOBAL | PM_POWER_BUTTON | PM_SLEEP_BUTTON | PM_RTC_ALARM | PM_WAKE };
enum { ENABLE_BITS = STATUS_BITS & ~PM_WAKE };
#define MAX_ELAPSED_NS (UINT64_C(1) << 62)

struct pm_timer {
    struct device dev;
    struct bus_region region;
    struct loop *loop;
    struct irq sci;
    struct timer timer;
    unsigned top_bit; /* 23 or 31 */
    uint64_t ref_ns;
    /* Guest-visible state. */
    uint64_t elapsed_ns;
    uint16_t status, enable;
};

static const struct snap_field pm_timer_fields[] = {
    SNAP(struct pm_timer, elapsed_ns),
    SNAP(struct pm_timer, status),
    SNAP(struct pm_timer, enable),
    SNAP_END,
};

static uint64_t ticks(const struct pm_timer *s)
{
    return ticks_at(s->elapsed_ns, PM_TIMER_HZ);
}

static void advance(struct pm_timer *s)
{
    uint64_t now = loop_now(s->loop), before = ticks(s);
    s->elapsed_ns += now - s->ref_ns;
    s->ref_ns = now;
    if (s->elapsed_ns > MAX_ELAPSED_NS) /* 146 years; the timer may be anything after a pause */
        s->elapsed_ns = 0;
    if (before >> s->top_bit != ticks(s) >> s->top_bit) /* either way [ACPI 4.7.2.1] */
        s->status |= TIMER;
}

/* Ends every path that changes state. */
static void update(struct pm_timer *s)
{
    irq_set(&s->sci, s->status & s->enable);
    timer_cancel(&s->timer);
    if ((s->enable & ~s->status & TIMER) && !s->sci.level) {
        uint64_t change = ((ticks(s) >> s->top_bit) + 1) << s->top_bit;
        timer_arm(&s->timer, ticks_ns(change, PM_TIMER_HZ) - s->elapsed_ns);
    }
}

static void timer_due(void *opaque)
{
    struct pm_timer *s = opaque;
    advance(s);
    update(s);
}

void pm_timer_event(struct device *dev, uint16_t events)
{
    struct pm_timer *s = container_of(dev, struct pm_timer, dev);
    advance(s);
    s->status |= events & STATUS_BITS;
    update(s);
}

void pm_timer_read(void *opaque, uint8_t regs[PM_TIMER_BYTES])
{
    struct pm_timer *s = container_of(opaque, struct pm_timer, dev);
    advance(s);
    le16_put(regs + PM1_STATUS, s->status);
    le16_put(regs + PM1_ENABLE, s->enable);
    le32_put(regs + PM_TMR, (uint32_t)(ticks(s) & ((UINT64_C(2) << s->top_bit) - 1)));
    update(s);
}

/* Status bits clear where a one is written, enable bits store [ACPI 4.7.3.1]; the timer is read-only. */
void pm_timer_write(void *opaque, unsigned off, unsigned size, uint32_t val)
{
    struct pm_timer *s = container_of(opaque, struct pm_timer, dev);
    uint8_t clear[PM_TIMER_BYTES] = { 0 }, store[PM_TIMER_BYTES];
    advance(s);
    le16_put(store + PM1_ENABLE, s->enable);
    for (unsigned i = 0; i < size && off + i < PM_TIMER_BYTES; i++)
        clear[off + i] = store[off + i] = (uint8_t)(val >> (8 * i));
    s->status &= (uint16_t)~le16_get(clear + PM1_STATUS);
    s->enable = le16_get(store + PM1_ENABLE) & ENABLE_BITS;
    update(s);
}

static uint64_t ports_read(void *opaque, uint64_t off, unsigned size)
{
    uint8_t regs[PM_TIMER_BYTES];
    memset(regs, 0xff, sizeof(regs));
    pm_timer_read(opaque, regs);
    return le_get(regs + off, size);
}

static void ports_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    pm_timer_write(opaque, (unsigned)off, size, (uint32_t)val);
}

static void pm_timer_reset(struct device *dev)
{
    struct pm_timer *s = container_of(dev, struct pm_timer, dev);
    s->elapsed_ns = 0;
    s->ref_ns = loop_now(s->loop);
    s->status = s->enable = 0;
    update(s);
}

static int pm_timer_restored(struct device *dev)
{
    struct pm_timer *s = container_of(dev, struct pm_timer, dev);
    if (s->elapsed_ns > MAX_ELAPSED_NS || (s->status & ~STATUS_BITS) || (s->enable & ~ENABLE_BITS))
        return -EINVAL;
    s->ref_ns = loop_now(s->loop);
    update(s);
    return 0;
}

static void pm_timer_saving(struct device *dev)
{
    advance(container_of(dev, struct pm_timer, dev));
}

static void pm_timer_unplug(struct device *dev)
{
    struct pm_timer *s = container_of(dev, struct pm_timer, dev);
    bus_detach(&s->region);
    s->enable = 0;
    update(s);
    s->sci = (struct irq){ 0 };
}

static const struct bus_ops ports_ops = { ports_read, ports_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct device_desc pm_timer_desc = {
    .name = "pm-timer",
    .version = 1,
    .keeps_s3 = true,
    .fields = pm_timer_fields,
    .saving = pm_timer_saving,
    .restored = pm_timer_restored,
    .reset = pm_timer_reset,
    .unplug = pm_timer_unplug,
};

int pm_timer_create(const struct pm_timer_config *config, struct device **out)
{
    struct pm_timer *s = device_new(&pm_timer_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = config->loop;
    s->top_bit = config->wide ? 31 : 23;
    timer_init(&s->timer, config->loop, timer_due, s);
    int err = 0;
    if (config->ports)
        err = bus_attach(config->ports, &s->region, &ports_ops, &s->dev, config->base, PM_TIMER_BYTES);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->sci = config->sci;
    *out = &s->dev;
    return 0;
}
