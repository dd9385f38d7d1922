/*
 * 8254 timer with the system's port 61. Counters are a function of time: nothing runs but, for counter 0 when somebody
 * hears it, a timer for the next edge of its output. A count takes effect at once, not with the clock pulse after its
 * write. Left out: the sound of the speaker; counts below 64 don't interrupt more often than every 64 clocks.
 * Source: Intel 8254, order 231164, [8254 name] is its section; Intel 82371SB (PIIX3), order 290550, [P3 name].
 */
#include "pit.h"

#include "ticks.h"
#include <assert.h>
#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { PORT = 0x40, NR_PORTS = 4, CONTROL = 3, SYSTEM_PORT = 0x61 };
/* The control word [8254 Control Word Format] and the read-back command. */
enum {
    SELECT_SHIFT = 6,
    READ_BACK = 3,
    ACCESS_SHIFT = 4,
    ACCESS_LATCH = 0,
    ACCESS_LOW = 1,
    ACCESS_HIGH = 2,
    ACCESS_BOTH = 3
};
enum { MODE_SHIFT = 1, MODE_MASK = 7, MODE_X = 4, BCD = 0x01, BACK_NO_COUNT = 0x20, BACK_NO_STATUS = 0x10 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
enum { ON_ZERO, ONE_SHOT, RATE, SQUARE, STROBE, HARD_STROBE, NR_MODES }; /* modes 0-5 */
/* Port 61 [P3 NMISC]. */
enum { GATE_2 = 0x01, SYSTEM_STORED = 0x0f, REFRESH = 0x10, OUT_2 = 0x20, REFRESH_NS = 15085 };
enum { SHORT_COUNT = 64 };
#define NO_TICK        UINT64_MAX
#define MAX_ELAPSED_NS (UINT64_C(1) << 62)

struct pit_channel {
    uint64_t ref_ns; /* loop time at which elapsed_ns was right, while the counter runs */
    /* Guest-visible state. */
    uint64_t elapsed_ns; /* of counting since the count was loaded */
    uint64_t load_tick;  /* modes 2, 3, a new count waits: the end of the cycle, when it is loaded */
    uint16_t reload;     /* the count register, as written */
    uint16_t count;      /* what was loaded from it; 0 is the highest */
    uint16_t latch;
    uint8_t mode, access, status, latched, low_byte; /* latched: bytes of the latch still to be read */
    bool bcd, gate;
    bool programmed; /* a whole count was written since the control word */
    bool loaded;     /* and got into the counting element */
    bool waiting;    /* another one was written since, "null count" */
    bool write_high, read_high, status_latched;
};

struct pit {
    struct device dev;
    struct bus_region counters_region, system_region;
    struct loop *loop;
    struct irq irq;
    struct timer edge;
    uint64_t edge_tick; /* of counter 0, the next one; NO_TICK: none */
    bool counts_at_reset, unwanted;
    /* Guest-visible state. */
    struct pit_channel channels[PIT_CHANNELS];
    uint8_t system; /* port 61, the bits that store */
};

#define CHANNEL_FIELDS(c)                                                                                              \
    SNAP(struct pit, c.elapsed_ns), SNAP(struct pit, c.load_tick), SNAP(struct pit, c.reload),                         \
        SNAP(struct pit, c.count), SNAP(struct pit, c.latch), SNAP(struct pit, c.mode), SNAP(struct pit, c.access),    \
        SNAP(struct pit, c.status), SNAP(struct pit, c.latched), SNAP(struct pit, c.low_byte),                         \
        SNAP(struct pit, c.bcd), SNAP(struct pit, c.gate), SNAP(struct pit, c.programmed), SNAP(struct pit, c.loaded), \
        SNAP(struct pit, c.waiting), SNAP(struct pit, c.write_high), SNAP(struct pit, c.read_high),                    \
        SNAP(struct pit, c.status_latched)

static const struct snap_field pit_fields[] = {
    CHANNEL_FIELDS(channels[0]),
    CHANNEL_FIELDS(channels[1]),
    CHANNEL_FIELDS(channels[2]),
    SNAP(struct pit, system),
    SNAP_END,
};

static bool is_periodic(const struct pit_channel *c)
{
    return c->mode == RATE || c->mode == SQUARE;
}

static bool is_triggered(const struct pit_channel *c) /* started by a rising gate, which then doesn't hold it */
{
    return c->mode == ONE_SHOT || c->mode == HARD_STROBE;
}

/* A half-written count holds mode 0 [8254 Mode 0]. */
static bool runs(const struct pit_channel *c)
{
    return c->loaded && (c->gate || is_triggered(c)) && !(c->mode == ON_ZERO && c->write_high);
}

/* Clocks that a count stands for: 1-65536, in BCD 1-10000 (a digit above 9 counts what it says). */
static uint32_t clocks(const struct pit_channel *c, uint16_t count)
{
    if (!c->bcd)
        return count ? count : 0x10000;
    uint32_t val = (count >> 12) * 1000u + (count >> 8 & 15) * 100u + (count >> 4 & 15) * 10u + (count & 15);
    return val ? val : 10000;
}

/* Bring elapsed_ns up to now, and load a count whose time has come [8254 Modes 2 and 3]. */
static void advance(struct pit *s, struct pit_channel *c)
{
    uint64_t now = loop_now(s->loop);
    if (runs(c))
        c->elapsed_ns += now - c->ref_ns;
    c->ref_ns = now;
    if (c->elapsed_ns > MAX_ELAPSED_NS) /* 146 years; whole seconds are whole clocks */
        c->elapsed_ns = 0;
    if (!c->loaded || !c->waiting || !is_periodic(c) || ticks_at(c->elapsed_ns, PIT_HZ) < c->load_tick)
        return;
    /* The square wave may be in the middle: the new count then begins with its low half. */
    uint32_t old = clocks(c, c->count), fresh = clocks(c, c->reload);
    bool half = c->mode == SQUARE && c->load_tick % old != 0;
    c->elapsed_ns -= ticks_ns(c->load_tick, PIT_HZ);
    c->elapsed_ns += half ? ticks_ns((fresh + 1) / 2, PIT_HZ) : 0;
    c->count = c->reload;
    c->waiting = false;
}

/* Clocks since the count was loaded; advance() came before. */
static uint64_t ticks(const struct pit_channel *c)
{
    return ticks_at(c->elapsed_ns, PIT_HZ);
}

static bool out(const struct pit_channel *c)
{
    uint64_t t = ticks(c);
    uint32_t n = clocks(c, c->count);
    if (!c->loaded)
        return c->mode != ON_ZERO;
    switch (c->mode) {
    case ON_ZERO: return t >= n && !c->write_high;
    case ONE_SHOT: return t >= n;
    case RATE: return !c->gate || t % n != n - 1;
    case SQUARE: return !c->gate || t % n < (n + 1) / 2;
    default: return t != n; /* both strobes: low for one clock */
    }
}

/* The first clock after t with another output than at t, or NO_TICK. */
static uint64_t next_edge(const struct pit_channel *c)
{
    uint64_t t = ticks(c);
    uint32_t n = clocks(c, c->count), half = (n + 1) / 2;
    if (!runs(c))
        return NO_TICK;
    switch (c->mode) {
    case ON_ZERO:
    case ONE_SHOT: return t < n ? n : NO_TICK;
    case RATE:
        if (n < 2)
            return NO_TICK;
        return t % n == n - 1 ? t + 1 : t - t % n + n - 1;
    case SQUARE:
        if (n < 2)
            return NO_TICK;
        return t % n < half ? t - t % n + half : t - t % n + n;
    default: return t <= n ? (t < n ? n : n + UINT64_C(1)) : NO_TICK;
    }
}

/* Ends every path that changes counter 0: its line and the timer for the next edge. */
static void update(struct pit *s)
{
    struct pit_channel *c = &s->channels[0];
    advance(s, c);
    bool level = out(c), missed = s->edge_tick != NO_TICK && ticks(c) >= s->edge_tick && level == s->irq.level;
    if (missed) /* there and back since the last look: make up for one */
        irq_set(&s->irq, !level);
    irq_set(&s->irq, level);
    s->edge_tick = next_edge(c);
    timer_cancel(&s->edge);
    if (s->edge_tick == NO_TICK || s->unwanted || !s->irq.fn)
        return;
    uint64_t delay = ticks_ns(s->edge_tick, PIT_HZ) - c->elapsed_ns;
    if (clocks(c, c->count) < SHORT_COUNT && is_periodic(c))
        delay = max_u64(delay, ticks_ns(SHORT_COUNT, PIT_HZ));
    /* A count that waits is loaded at an edge of the square wave, and in mode 2 right after one. */
    timer_arm(&s->edge, delay);
}

static void edge_due(void *opaque)
{
    struct pit *s = opaque;
    update(s);
}

static uint16_t to_register(const struct pit_channel *c, uint64_t val)
{
    if (!c->bcd)
        return (uint16_t)val;
    val %= 10000;
    return (uint16_t)(val / 1000 << 12 | val / 100 % 10 << 8 | val / 10 % 10 << 4 | val % 10);
}

/* The counting element now. It wraps where it doesn't reload [8254 Mode Definitions]. */
static uint16_t value(const struct pit_channel *c)
{
    uint64_t t = ticks(c);
    uint32_t n = clocks(c, c->count), half = (n + 1) / 2, range = c->bcd ? 10000 : 0x10000;
    if (!c->loaded)
        return 0;
    if (c->mode == RATE)
        return to_register(c, n - t % n);
    if (c->mode == SQUARE) /* counts by two, from an odd count less one */
        return to_register(c, (n & ~1u) - 2 * (t % n < half ? t % n : t % n - half));
    return to_register(c, n + range - t % range);
}

static void load(struct pit *s, struct pit_channel *c)
{
    c->count = c->reload;
    c->loaded = true;
    c->waiting = false;
    c->elapsed_ns = 0;
    c->ref_ns = loop_now(s->loop);
}

/* A whole count is in the register. */
static void count_written(struct pit *s, struct pit_channel *c)
{
    c->programmed = c->waiting = true;
    if (is_triggered(c)) /* until the gate rises */
        return;
    if (!c->loaded || !is_periodic(c)) {
        load(s, c);
        return;
    }
    /* The running cycle, or half of a square wave, ends first. While the gate holds it, the gate loads [8254 Mode 2].
     */
    uint64_t t = ticks(c);
    uint32_t n = clocks(c, c->count), half = (n + 1) / 2;
    c->load_tick = c->mode == SQUARE && t % n < half ? t - t % n + half : t - t % n + n;
}

static void counter_write(struct pit *s, struct pit_channel *c, uint8_t val)
{
    advance(s, c);
    if (c->access == ACCESS_BOTH && !c->write_high) {
        c->low_byte = val;
        c->write_high = true;
    } else {
        c->reload = (uint16_t)(c->access == ACCESS_LOW ? val : val << 8 | (c->access == ACCESS_BOTH ? c->low_byte : 0));
        c->write_high = false;
        count_written(s, c);
    }
}

static uint8_t counter_read(struct pit *s, struct pit_channel *c)
{
    advance(s, c);
    if (c->status_latched) { /* comes before a count latched by the same command [8254 Read-Back Command] */
        c->status_latched = false;
        return c->status;
    }
    uint16_t val = c->latched ? c->latch : value(c);
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
    if (c->latched)
        c->latched--;
    c->read_high = c->access == ACCESS_BOTH && !c->read_high;
    return (uint8_t)(high ? val >> 8 : val);
}

static void latch_count(struct pit_channel *c)
{
    if (c->latched) /* held until it is read [8254 Counter Latch Command] */
        return;
    c->latch = value(c);
    c->latched = c->access == ACCESS_BOTH ? 2 : 1;
    c->read_high = false;
}

static void latch_status(struct pit_channel *c)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)((out(c) ? STATUS_OUT : 0) | (c->waiting ? STATUS_NULL : 0) | c->access << ACCESS_SHIFT |
                          c->mode << MODE_SHIFT | (c->bcd ? BCD : 0));
    c->status_latched = true;
}

static void control_write(struct pit *s, uint8_t val)
{
    unsigned select = val >> SELECT_SHIFT, access = val >> ACCESS_SHIFT & 3, mode = val >> MODE_SHIFT & MODE_MASK;
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        struct pit_channel *c = &s->channels[i];
        if (select == READ_BACK ? !(val >> (i + 1) & 1) : i != select)
            continue;
        advance(s, c);
        if (select == READ_BACK) {
            if (!(val & BACK_NO_COUNT))
                latch_count(c);
            if (!(val & BACK_NO_STATUS))
                latch_status(c);
        } else if (access == ACCESS_LATCH) {
            latch_count(c);
        } else {
            bool gate = c->gate;
            *c = (struct pit_channel){ .gate = gate, .ref_ns = c->ref_ns, .waiting = true };
            c->access = (uint8_t)access;
            c->mode = (uint8_t)(mode >= NR_MODES ? mode - MODE_X : mode);
            c->bcd = val & BCD;
            if (i == 0)
                s->edge_tick = NO_TICK;
        }
    }
}

/* [8254 Gate Pin Operations Summary] */
static void set_gate(struct pit *s, struct pit_channel *c, bool gate)
{
    advance(s, c);
    bool rises = gate && !c->gate;
    c->gate = gate;
    c->ref_ns = loop_now(s->loop);
    if (rises && c->programmed && (is_triggered(c) || is_periodic(c)))
        load(s, c);
}

static uint64_t counters_read(void *opaque, uint64_t off, unsigned size)
{
    struct pit *s = opaque;
    return off == CONTROL ? 0xff : counter_read(s, &s->channels[off]); /* the control word can't be read */
}

static void counters_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct pit *s = opaque;
    update(s); /* what happened before belongs to the old count */
    if (off == CONTROL)
        control_write(s, (uint8_t)val);
    else
        counter_write(s, &s->channels[off], (uint8_t)val);
    if (off == 0)
        s->edge_tick = NO_TICK;
    update(s);
}

static uint64_t system_read(void *opaque, uint64_t off, unsigned size)
{
    struct pit *s = opaque;
    advance(s, &s->channels[2]);
    uint8_t refresh = loop_now(s->loop) / REFRESH_NS & 1 ? REFRESH : 0; /* firmware times delays with it */
    return s->system | refresh | (out(&s->channels[2]) ? OUT_2 : 0);
}

static void system_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct pit *s = opaque;
    s->system = val & SYSTEM_STORED;
    set_gate(s, &s->channels[2], val & GATE_2);
}

void pit_update(struct device *dev)
{
    update(container_of(dev, struct pit, dev));
}

void pit_set_wanted(struct device *dev, bool wanted)
{
    struct pit *s = container_of(dev, struct pit, dev);
    s->unwanted = !wanted;
    update(s);
}

bool pit_out(const struct device *dev, unsigned channel)
{
    struct pit *s = container_of(dev, struct pit, dev);
    assert(channel < PIT_CHANNELS);
    advance(s, &s->channels[channel]);
    return out(&s->channels[channel]);
}

/* The chip powers up undefined [8254 Programming]. Standing still, counter 0 looks like mode 0 with its output low. */
static void pit_reset(struct device *dev)
{
    struct pit *s = container_of(dev, struct pit, dev);
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        struct pit_channel *c = &s->channels[i];
        *c = (struct pit_channel){ .gate = i != 2, .access = ACCESS_BOTH, .waiting = true };
        if (s->counts_at_reset) {
            c->mode = SQUARE;
            c->programmed = true;
            load(s, c);
        }
    }
    s->system = 0;
    s->edge_tick = NO_TICK;
    if (s->counters_region.bus) /* an unplugged timer stays silent */
        update(s);
}

static bool is_sane(const struct pit_channel *c)
{
    if (c->elapsed_ns > MAX_ELAPSED_NS || c->load_tick > ticks_at(MAX_ELAPSED_NS, PIT_HZ) + 0x10000)
        return false;
    if (c->mode >= NR_MODES || c->access == ACCESS_LATCH || c->access > ACCESS_BOTH)
        return false;
    if (c->latched > (c->access == ACCESS_BOTH ? 2 : 1) || (c->write_high && c->access != ACCESS_BOTH))
        return false;
    if (c->read_high && (c->access != ACCESS_BOTH || c->latched == 2))
        return false;
    return !(c->loaded && !c->programmed);
}

static int pit_restored(struct device *dev)
{
    struct pit *s = container_of(dev, struct pit, dev);
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (!is_sane(&s->channels[i]) || (i < 2 && !s->channels[i].gate))
            return -EINVAL;
    }
    if ((s->system & ~SYSTEM_STORED) || s->channels[2].gate != ((s->system & GATE_2) != 0))
        return -EINVAL;
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        s->channels[i].ref_ns = loop_now(s->loop);
    s->edge_tick = NO_TICK;
    update(s);
    return 0;
}

static void pit_saving(struct device *dev)
{
    struct pit *s = container_of(dev, struct pit, dev);
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        advance(s, &s->channels[i]);
}

static void pit_unplug(struct device *dev)
{
    struct pit *s = container_of(dev, struct pit, dev);
    bus_detach(&s->counters_region);
    bus_detach(&s->system_region);
    s->unwanted = true;
    timer_cancel(&s->edge);
    irq_set(&s->irq, false);
    s->irq = (struct irq){ 0 };
}

static const struct bus_ops counters_ops = { counters_read, counters_write, .sizes = BUS_1 };
static const struct bus_ops system_ops = { system_read, system_write, .sizes = BUS_1 };
static const struct device_desc pit_desc = {
    .name = "pit",
    .version = 1,
    .fields = pit_fields,
    .saving = pit_saving,
    .restored = pit_restored,
    .reset = pit_reset,
    .unplug = pit_unplug,
};

int pit_create(const struct pit_config *config, struct device **out)
{
    struct pit *s = device_new(&pit_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = config->loop;
    s->counts_at_reset = config->counts_at_reset;
    s->edge_tick = NO_TICK;
    timer_init(&s->edge, config->loop, edge_due, s);
    int err = bus_attach(config->ports, &s->counters_region, &counters_ops, s, PORT, NR_PORTS);
    if (!err)
        err = bus_attach(config->ports, &s->system_region, &system_ops, s, SYSTEM_PORT, 1);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->irq = config->irq;
    *out = &s->dev;
    return 0;
}
