/*
 * HPET with three comparators, all periodic and 64 bits wide, without messages (FSB). The counter is a function of
 * time: a timer runs only for the next match that would interrupt. Registers are accessed by 4 or 8 bytes [HPET 2.3.2].
 * An edge leaves its line high until the next one or until it is disabled: the controllers drop a request that falls.
 * Source: IA-PC HPET specification 1.0a, [HPET n] is its section n.
 */
#include "hpet.h"

#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

/* Registers [HPET 2.3.1]; each timer has 32 bytes. */
enum { CAPABILITIES = 0x000, CONFIG = 0x010, STATUS = 0x020, COUNTER = 0x0f0, TIMERS = 0x100, TIMER_BYTES = 0x20 };
enum { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, BLOCK_BYTES = 0x400 };
enum { ENABLE = 1, LEGACY = 2, CONFIG_BITS = 3, STATUS_BITS = (1 << HPET_TIMERS) - 1 };
/* [HPET 2.3.8] */
enum {
    T_LEVEL = 0x2,
    T_INTERRUPT = 0x4,
    T_PERIODIC = 0x8,
    T_SET = 0x40,
    T_32 = 0x100,
    T_ROUTE_SHIFT = 9,
    T_ROUTE = 0x3e00
};
enum { T_WRITABLE = T_LEVEL | T_INTERRUPT | T_PERIODIC | T_SET | T_32 | T_ROUTE, T_CAPABLE = 0x30 };
/* Vendor, legacy route, 64 bits, last timer, revision; period in femtoseconds [HPET 2.3.4]. */
#define CAPABILITIES_VALUE                                                                                             \
    ((uint64_t)HPET_TICK_NS * 1000000 << 32 | UINT64_C(0x8086) << 16 | 0x8000 | 0x2000 | (HPET_TIMERS - 1) << 8 | 1)
#define NEVER       UINT64_MAX
#define FARTHEST    (UINT64_C(1) << 58) /* ticks: 91 years */
#define SHORT_TICKS UINT64_C(5000)      /* periods below 50 us are served every 50 us */
#define PAST_TICKS  UINT64_C(100000)    /* a comparator 1 ms in the past was late, not meant for the next wrap */

struct hpet {
    struct device dev;
    struct bus_region region;
    struct loop *loop;
    struct timer timer;
    irq_fn *route;
    struct irq legacy[2];
    void (*legacy_changed)(void *opaque, bool on);
    void *opaque;
    uint64_t ref_ns; /* loop time at which counter was right, while it runs */
    uint32_t routes;
    uint32_t driven; /* pins that are high */
    bool legacy_told;
    /* Guest-visible state. */
    uint64_t counter, comparator[HPET_TIMERS], period[HPET_TIMERS];
    uint32_t timer_config[HPET_TIMERS];
    uint8_t config, status, residue_ns; /* residue: of the clock since the last whole tick */
    uint8_t edges;                      /* timers whose last edge left the line high */
};

static const struct snap_field hpet_fields[] = {
    SNAP(struct hpet, counter),
    SNAP_ARRAY(struct hpet, comparator),
    SNAP_ARRAY(struct hpet, period),
    SNAP_ARRAY(struct hpet, timer_config),
    SNAP(struct hpet, config),
    SNAP(struct hpet, status),
    SNAP(struct hpet, residue_ns),
    SNAP(struct hpet, edges),
    SNAP_END,
};

static uint64_t width(const struct hpet *s, unsigned i)
{
    return s->timer_config[i] & T_32 ? UINT32_MAX : UINT64_MAX;
}

/* Ticks until the counter, as it stands, matches the next time. */
static uint64_t until_match(const struct hpet *s, unsigned i)
{
    uint64_t distance = (s->comparator[i] - s->counter) & width(s, i);
    if (distance != 0)
        return distance;
    return s->timer_config[i] & T_32 ? UINT64_C(1) << 32 : NEVER;
}

static bool may_interrupt(const struct hpet *s, unsigned i)
{
    return (s->config & ENABLE) && (s->timer_config[i] & T_INTERRUPT);
}

static void match(struct hpet *s, unsigned i, bool *edges)
{
    if (s->timer_config[i] & T_LEVEL)
        s->status |= (uint8_t)(1u << i);
    else if (may_interrupt(s, i))
        edges[i] = true;
}

/* Bring the counter up to now; edges[]: timers that matched on the way. */
static void advance(struct hpet *s, bool edges[HPET_TIMERS])
{
    uint64_t now = loop_now(s->loop), ns = now - s->ref_ns + s->residue_ns, ticks = ns / HPET_TICK_NS;
    s->ref_ns = now;
    if (!(s->config & ENABLE))
        return;
    s->residue_ns = (uint8_t)(ns % HPET_TICK_NS);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        uint64_t first = until_match(s, i);
        if (ticks < first)
            continue;
        match(s, i, edges);
        if ((s->timer_config[i] & T_PERIODIC) && s->period[i] != 0)
            s->comparator[i] += s->period[i] * (1 + (ticks - first) / s->period[i]);
        s->comparator[i] &= width(s, i);
    }
    s->counter += ticks;
}

static bool active(const struct hpet *s, unsigned i)
{
    uint8_t cause = s->timer_config[i] & T_LEVEL ? s->status : s->edges;
    return may_interrupt(s, i) && (cause >> i & 1);
}

static bool by_legacy(const struct hpet *s, unsigned i)
{
    return (s->config & LEGACY) && i < ARRAY_SIZE(s->legacy);
}

/* Pin that timer i drives, as a bit. */
static uint32_t pin_of(const struct hpet *s, unsigned i)
{
    return UINT32_C(1) << ((s->timer_config[i] & T_ROUTE) >> T_ROUTE_SHIFT) & s->routes;
}

static void drive_pins(struct hpet *s, uint32_t pins)
{
    uint32_t changed = pins ^ s->driven;
    s->driven = pins;
    for (unsigned pin = 0; changed != 0; pin++, changed >>= 1) {
        if ((changed & 1) && s->route)
            s->route(s->opaque, pin, pins >> pin & 1);
    }
}

/* drop: pins on which an edge is due, so that earlier ones don't count any more. */
static void drive(struct hpet *s, uint32_t drop)
{
    uint32_t pins = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        if (by_legacy(s, i))
            irq_set(&s->legacy[i], active(s, i));
        else if (active(s, i))
            pins |= pin_of(s, i) & (s->timer_config[i] & T_LEVEL ? UINT32_MAX : ~drop);
        if (i < ARRAY_SIZE(s->legacy) && !by_legacy(s, i))
            irq_set(&s->legacy[i], false);
    }
    drive_pins(s, pins);
}

/* A timer for the earliest match that changes a line. */
static void rearm(struct hpet *s)
{
    uint64_t next = NEVER;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        bool high_already = (s->timer_config[i] & T_LEVEL) && (s->status >> i & 1);
        if (!may_interrupt(s, i) || high_already)
            continue;
        uint64_t ticks = until_match(s, i);
        if ((s->timer_config[i] & T_PERIODIC) && s->period[i] < SHORT_TICKS)
            ticks = max_u64(ticks, SHORT_TICKS);
        next = min_u64(next, ticks);
    }
    timer_cancel(&s->timer);
    if (next < FARTHEST)
        timer_arm(&s->timer, next * HPET_TICK_NS - s->residue_ns);
}

/* Ends every path that changes state. An edge on a line that is high goes through low. */
static void update(struct hpet *s, const bool edges[HPET_TIMERS])
{
    uint32_t drop = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        drop |= edges[i] && !by_legacy(s, i) ? pin_of(s, i) : 0;
        if (edges[i] || !may_interrupt(s, i) || (s->timer_config[i] & T_LEVEL))
            s->edges &= (uint8_t)~bit;
    }
    if (s->legacy_told != ((s->config & LEGACY) != 0)) {
        s->legacy_told = s->config & LEGACY;
        if (s->legacy_changed)
            s->legacy_changed(s->opaque, s->legacy_told);
    }
    drive(s, drop);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        if (edges[i] && may_interrupt(s, i) && !(s->timer_config[i] & T_LEVEL))
            s->edges |= (uint8_t)(1u << i);
    }
    drive(s, 0);
    rearm(s);
}

static void timer_due(void *opaque)
{
    struct hpet *s = opaque;
    bool edges[HPET_TIMERS] = { false };
    advance(s, edges);
    update(s, edges);
}

static uint64_t timer_read(const struct hpet *s, unsigned i, unsigned reg)
{
    switch (reg) {
    case TIMER_CONFIG: return (uint64_t)s->routes << 32 | s->timer_config[i] | T_CAPABLE;
    case TIMER_COMPARATOR: return s->comparator[i];
    default: return 0; /* no messages */
    }
}

static uint64_t register_read(const struct hpet *s, unsigned reg)
{
    if (reg >= TIMERS && (reg - TIMERS) / TIMER_BYTES < HPET_TIMERS)
        return timer_read(s, (reg - TIMERS) / TIMER_BYTES, (reg - TIMERS) % TIMER_BYTES);
    switch (reg) {
    case CAPABILITIES: return CAPABILITIES_VALUE;
    case CONFIG: return s->config;
    case STATUS: return s->status;
    case COUNTER: return s->counter;
    default: return 0;
    }
}

static void timer_config_write(struct hpet *s, unsigned i, uint32_t val)
{
    uint32_t old = s->timer_config[i];
    val &= T_WRITABLE;
    /* A route that can't be reads back as the old one, which is how software finds out [HPET 2.3.8, INT_ROUTE_CNF]. */
    if (!(s->routes >> ((val & T_ROUTE) >> T_ROUTE_SHIFT) & 1))
        val = (val & ~(uint32_t)T_ROUTE) | (old & T_ROUTE);
    s->timer_config[i] = val;
    if ((old ^ val) & (T_LEVEL | T_ROUTE))
        s->edges &= (uint8_t) ~(1u << i);
    if (!(val & T_LEVEL))
        s->status &= (uint8_t) ~(1u << i);
    s->comparator[i] &= width(s, i);
    s->period[i] &= width(s, i);
}

/* [HPET 2.3.9.2]: in periodic mode a write is the period, and with the set bit the first match too. */
static void comparator_write(struct hpet *s, unsigned i, uint64_t val, uint64_t mask, bool edges[HPET_TIMERS])
{
    bool periodic = s->timer_config[i] & T_PERIODIC;
    if (periodic)
        s->period[i] = ((s->period[i] & ~mask) | (val & mask)) & width(s, i);
    if (periodic && !(s->timer_config[i] & T_SET))
        return;
    s->timer_config[i] &= ~(uint32_t)T_SET;
    s->comparator[i] = ((s->comparator[i] & ~mask) | (val & mask)) & width(s, i);
    /* The guest lost the processor between reading the counter and this: hardware is never so late. */
    uint64_t past = (s->counter - s->comparator[i]) & width(s, i);
    if (!(s->config & ENABLE) || past > PAST_TICKS)
        return;
    match(s, i, edges);
    if (periodic && s->period[i] != 0)
        s->comparator[i] = (s->comparator[i] + s->period[i] * (1 + past / s->period[i])) & width(s, i);
}

/* mask: which bits of the register the access covers. */
static void register_write(struct hpet *s, unsigned reg, uint64_t val, uint64_t mask, bool edges[HPET_TIMERS])
{
    unsigned i = (reg - TIMERS) / TIMER_BYTES;
    if (reg >= TIMERS && i < HPET_TIMERS) {
        unsigned timer_reg = (reg - TIMERS) % TIMER_BYTES;
        if (timer_reg == TIMER_CONFIG && (mask & UINT32_MAX))
            timer_config_write(s, i, (uint32_t)val);
        else if (timer_reg == TIMER_COMPARATOR)
            comparator_write(s, i, val, mask, edges);
        return;
    }
    switch (reg) {
    case CONFIG:
        if (mask & UINT32_MAX)
            s->config = val & CONFIG_BITS;
        break;
    case STATUS: s->status &= (uint8_t) ~(val & mask); break; /* [HPET 2.3.6] */
    case COUNTER:
        s->counter = (s->counter & ~mask) | (val & mask);
        s->residue_ns = 0;
        break;
    }
}

/* 4 or 8 bytes; what isn't aligned to 4 is undefined [HPET 2.3.2] and here nothing. */
static uint64_t hpet_read(void *opaque, uint64_t off, unsigned size)
{
    struct hpet *s = opaque;
    bool edges[HPET_TIMERS] = { false };
    if (off % 4 != 0)
        return 0;
    advance(s, edges);
    update(s, edges);
    return register_read(s, (unsigned)off & ~7u) >> (off & 4 ? 32 : 0);
}

static void hpet_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct hpet *s = opaque;
    bool edges[HPET_TIMERS] = { false };
    unsigned shift = off & 4 ? 32 : 0;
    if (off % 4 != 0)
        return;
    advance(s, edges);
    register_write(s, (unsigned)off & ~7u, val << shift, all_ones(size) << shift, edges);
    update(s, edges);
}

bool hpet_legacy(const struct device *dev)
{
    const struct hpet *s = container_of(dev, struct hpet, dev);
    return s->config & LEGACY;
}

static void hpet_reset(struct device *dev)
{
    struct hpet *s = container_of(dev, struct hpet, dev);
    static const bool no_edges[HPET_TIMERS];
    s->counter = 0;
    s->config = s->status = s->residue_ns = s->edges = 0;
    s->ref_ns = loop_now(s->loop);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        s->timer_config[i] = 0;
        s->comparator[i] = UINT64_MAX; /* [HPET 2.3.9] */
        s->period[i] = 0;
    }
    update(s, no_edges);
}

static int hpet_restored(struct device *dev)
{
    struct hpet *s = container_of(dev, struct hpet, dev);
    static const bool no_edges[HPET_TIMERS];
    if ((s->config & ~CONFIG_BITS) || ((s->status | s->edges) & ~STATUS_BITS) || s->residue_ns >= HPET_TICK_NS)
        return -EINVAL;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        uint32_t config = s->timer_config[i];
        bool level = config & T_LEVEL;
        if ((config & ~(uint32_t)T_WRITABLE) || ((config & T_ROUTE) && pin_of(s, i) == 0))
            return -EINVAL;
        if (((s->comparator[i] | s->period[i]) & ~width(s, i)) || ((level ? s->edges : s->status) >> i & 1))
            return -EINVAL;
        if ((s->edges >> i & 1) && !may_interrupt(s, i))
            return -EINVAL;
    }
    s->ref_ns = loop_now(s->loop);
    update(s, no_edges);
    return 0;
}

static void hpet_saving(struct device *dev)
{
    timer_due(container_of(dev, struct hpet, dev));
}

static void hpet_unplug(struct device *dev)
{
    struct hpet *s = container_of(dev, struct hpet, dev);
    bus_detach(&s->region);
    hpet_reset(dev); /* lines low, timer off, legacy interrupts back to their owners */
    s->route = NULL;
    s->legacy_changed = NULL;
    s->legacy[0] = s->legacy[1] = (struct irq){ 0 };
}

static const struct bus_ops hpet_ops = { hpet_read, hpet_write, .sizes = BUS_4 | BUS_8 };
static const struct device_desc hpet_desc = {
    .name = "hpet",
    .version = 1,
    .fields = hpet_fields,
    .saving = hpet_saving,
    .restored = hpet_restored,
    .reset = hpet_reset,
    .unplug = hpet_unplug,
};

int hpet_create(const struct hpet_config *config, struct device **out)
{
    struct hpet *s = device_new(&hpet_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = config->loop;
    timer_init(&s->timer, config->loop, timer_due, s);
    int err = bus_attach(config->memory, &s->region, &hpet_ops, s, config->base, BLOCK_BYTES);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->routes = config->routes;
    s->route = config->route;
    s->legacy[0] = config->legacy[0];
    s->legacy[1] = config->legacy[1];
    s->legacy_changed = config->legacy_changed;
    s->opaque = config->opaque;
    *out = &s->dev;
    return 0;
}
