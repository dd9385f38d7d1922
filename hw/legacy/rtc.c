/*
 * MC146818 clock and CMOS RAM. Time is a function of the loop's clock: a timer runs only for the next event that would
 * interrupt; flags of others are found when they are looked at. An update takes no time, so update-in-progress covers
 * only the 244 us before it. Left out: daylight saving (DSE stores), the square wave, other crystals (they run like
 * 32768 Hz). Source: Motorola MC146818A, [RTC name] is its section.
 */
#include "rtc.h"

#include "ticks.h"
#include <errno.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { PORT = 0x70, NR_PORTS = 2, INDEX = 0, INDEX_MASK = 0x7f };
enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR };
enum { REG_A = 0x0a, REG_B, REG_C, REG_D, CENTURY = 0x32, CENTURY_PS2 = 0x37 };
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_RESET = 0x60, A_RATE = 0x0f, A_START = 0x26 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, C_FLAGS = 0x70, D_VRT = 0x80 };
enum { PM = 0x80, ANY = 0xc0, CHAIN_HZ = 32768, UIP_NS = 244000, HALF_SECOND_NS = 500000000 };
enum { DAY_S = 86400, DAYS_TO_1970 = 719528, NO_MATCH = 0xff };
#define DAYS_10000_YEARS UINT64_C(3652425)
#define MAX_TIME_S       (DAYS_10000_YEARS * DAY_S)
#define NEVER            UINT64_MAX

struct rtc {
    struct device dev;
    struct bus_region region;
    struct loop *loop;
    struct irq irq;
    struct timer timer;
    uint64_t ref_ns;       /* loop time of time_s and chain_ns */
    uint64_t next_alarm_s; /* derived; NEVER: none */
    /* Guest-visible state. */
    uint64_t time_s;   /* since the beginning of the year 0 */
    uint32_t chain_ns; /* of the divider chain since its last whole second */
    uint8_t weekday;   /* how far the weekday register is ahead of the calendar, 0-6 */
    uint8_t index, data[CMOS_BYTES];
};

static const struct snap_field rtc_fields[] = {
    SNAP(struct rtc, time_s), SNAP(struct rtc, chain_ns),   SNAP(struct rtc, weekday),
    SNAP(struct rtc, index),  SNAP_ARRAY(struct rtc, data), SNAP_END,
};

/* Days from the beginning of the year 0 (Gregorian) to the first of a month 1-12. */
static uint64_t days_before(unsigned year, unsigned month)
{
    static const uint16_t before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    unsigned y = year + (month > 2); /* leap days so far: those of the years before, and this one's after February */
    return UINT64_C(365) * year + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400 + before[month - 1];
}

static void split_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    *year = (unsigned)(days * 400 / 146097);
    while (*year > 0 && days_before(*year, 1) > days)
        (*year)--;
    while (days_before(*year + 1, 1) <= days)
        (*year)++;
    *month = 12;
    while (days_before(*year, *month) > days)
        (*month)--;
    *day = (unsigned)(days - days_before(*year, *month)) + 1;
}

static bool is_binary(const struct rtc *s)
{
    return s->data[REG_B] & B_BINARY;
}

static uint8_t encode(const struct rtc *s, unsigned val)
{
    return (uint8_t)(is_binary(s) ? val : val / 10 << 4 | val % 10);
}

static unsigned decode(const struct rtc *s, uint8_t val)
{
    return is_binary(s) ? val : (val >> 4) * 10u + (val & 15);
}

static uint8_t encode_hour(const struct rtc *s, unsigned hour)
{
    if (s->data[REG_B] & B_24H)
        return encode(s, hour);
    return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0);
}

static unsigned decode_hour(const struct rtc *s, uint8_t val)
{
    if (s->data[REG_B] & B_24H)
        return decode(s, val);
    return decode(s, val & (uint8_t)~PM) % 12 + (val & PM ? 12 : 0);
}

/* Time to registers. While SET holds them they are the guest's [RTC Register B, SET]. */
static void show_time(struct rtc *s)
{
    unsigned year, month, day, second = (unsigned)(s->time_s % DAY_S);
    uint64_t days = s->time_s / DAY_S;
    if (s->data[REG_B] & B_SET)
        return;
    split_days(days, &year, &month, &day);
    s->data[SECONDS] = encode(s, second % 60);
    s->data[MINUTES] = encode(s, second / 60 % 60);
    s->data[HOURS] = encode_hour(s, second / 3600);
    s->data[WEEKDAY] = encode(s, (unsigned)((days + 6 + s->weekday) % 7) + 1); /* 1 January of 0 was a Saturday, 7 */
    s->data[DAY] = encode(s, day);
    s->data[MONTH] = encode(s, month);
    s->data[YEAR] = encode(s, year % 100);
    s->data[CENTURY] = encode(s, year / 100);
}

static unsigned clamp(unsigned val, unsigned low, unsigned high)
{
    return val < low ? low : val > high ? high : val;
}

/* Registers to time. What isn't a time is the nearest one. */
static void take_time(struct rtc *s)
{
    const uint8_t *d = s->data;
    unsigned year = clamp(decode(s, d[CENTURY]), 0, 99) * 100 + clamp(decode(s, d[YEAR]), 0, 99);
    uint64_t days = days_before(year, clamp(decode(s, d[MONTH]), 1, 12)) + clamp(decode(s, d[DAY]), 1, 31) - 1;
    days %= DAYS_10000_YEARS;
    s->time_s = days * DAY_S + clamp(decode_hour(s, d[HOURS]), 0, 23) * 3600 +
                clamp(decode(s, d[MINUTES]), 0, 59) * 60 + clamp(decode(s, d[SECONDS]), 0, 59);
    s->weekday = (uint8_t)((clamp(decode(s, d[WEEKDAY]), 1, 7) + 7 - ((days + 6) % 7 + 1)) % 7);
}

/* What an alarm byte asks for: a value, ANY, or NO_MATCH [RTC Alarm]. */
static unsigned alarm_field(const struct rtc *s, unsigned reg)
{
    uint8_t val = s->data[reg];
    if ((val & ANY) == ANY)
        return ANY;
    unsigned wanted = reg == HOURS_ALARM ? decode_hour(s, val) : decode(s, val);
    return wanted < (reg == HOURS_ALARM ? 24u : 60u) ? wanted : NO_MATCH;
}

static bool field_matches(unsigned wanted, unsigned val)
{
    return wanted == ANY || wanted == val;
}

/* The first second after time_s that the alarm bytes name, or NEVER: at most a day on, hour by hour, then finer. */
static uint64_t find_alarm(const struct rtc *s)
{
    unsigned hour = alarm_field(s, HOURS_ALARM), minute = alarm_field(s, MINUTES_ALARM),
             second = alarm_field(s, SECONDS_ALARM);
    uint64_t at = s->time_s + 1, end = at + DAY_S;
    if (hour == NO_MATCH || minute == NO_MATCH || second == NO_MATCH)
        return NEVER;
    while (at <= end) {
        if (!field_matches(hour, (unsigned)(at / 3600 % 24)))
            at += 3600 - at % 3600;
        else if (!field_matches(minute, (unsigned)(at / 60 % 60)))
            at += 60 - at % 60;
        else if (!field_matches(second, (unsigned)(at % 60)))
            at++;
        else
            return at;
    }
    return NEVER;
}

static bool chain_is_reset(const struct rtc *s) /* [RTC Register A, DV2-DV0] */
{
    return (s->data[REG_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool clock_runs(const struct rtc *s)
{
    return !(s->data[REG_B] & B_SET) && !chain_is_reset(s);
}

/* Ticks of the chain per periodic interrupt, 0: none [RTC Table 3]. */
static unsigned period_ticks(const struct rtc *s)
{
    unsigned rate = s->data[REG_A] & A_RATE;
    if (rate == 0 || chain_is_reset(s))
        return 0;
    return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* Bring time, flags and registers up to now. */
static void advance(struct rtc *s)
{
    uint64_t now = loop_now(s->loop), ns = now - s->ref_ns + s->chain_ns;
    unsigned period = period_ticks(s);
    if (period && ticks_at(ns, CHAIN_HZ) / period > ticks_at(s->chain_ns, CHAIN_HZ) / period)
        s->data[REG_C] |= C_PF;
    s->ref_ns = now;
    if (chain_is_reset(s))
        return;
    s->chain_ns = (uint32_t)(ns % NS_PER_S);
    if (!clock_runs(s) || ns < NS_PER_S)
        return;
    s->data[REG_C] |= C_UF;
    s->time_s += ns / NS_PER_S;
    if (s->time_s >= s->next_alarm_s)
        s->data[REG_C] |= C_AF;
    s->time_s %= MAX_TIME_S;
    s->next_alarm_s = find_alarm(s);
    show_time(s);
}

static bool wanted(const struct rtc *s,
                   uint8_t bit) /* enabled and not yet there; enables and flags have the same places */
{
    return s->data[REG_B] & ~s->data[REG_C] & bit;
}

/* Ends every path that changes state: the line and the timer for the next event that would raise it. */
static void update(struct rtc *s)
{
    uint64_t delay = NEVER;
    unsigned period = period_ticks(s);
    irq_set(&s->irq, s->data[REG_B] & s->data[REG_C] & C_FLAGS);
    if (wanted(s, C_PF) && period)
        delay = ticks_ns((ticks_at(s->chain_ns, CHAIN_HZ) / period + 1) * period, CHAIN_HZ) - s->chain_ns;
    if (wanted(s, C_UF) && clock_runs(s))
        delay = min_u64(delay, NS_PER_S - s->chain_ns);
    if (wanted(s, C_AF) && clock_runs(s) && s->next_alarm_s != NEVER)
        delay = min_u64(delay, (s->next_alarm_s - s->time_s) * NS_PER_S - s->chain_ns);
    timer_cancel(&s->timer);
    if (delay != NEVER && !s->irq.level) /* a line that is high can't get higher */
        timer_arm(&s->timer, delay);
}

static void timer_due(void *opaque)
{
    struct rtc *s = opaque;
    advance(s);
    update(s);
}

static uint8_t data_read(struct rtc *s, unsigned index)
{
    uint8_t val = s->data[index == CENTURY_PS2 ? CENTURY : index];
    if (index == REG_A && clock_runs(s) && s->chain_ns >= NS_PER_S - UIP_NS)
        val |= A_UIP;
    if (index == REG_C) { /* reading clears and ends the interrupt [RTC Register C] */
        val |= s->data[REG_B] & val & C_FLAGS ? C_IRQF : 0;
        s->data[REG_C] = 0;
    }
    return val;
}

static void control_write(struct rtc *s, unsigned index, uint8_t val)
{
    uint8_t old = s->data[index];
    if (index == REG_A) {
        s->data[REG_A] = val & (uint8_t)~A_UIP;
        if (chain_is_reset(
                s)) /* the first update comes half a second after the chain is let go [RTC Divider Control] */
            s->chain_ns = HALF_SECOND_NS;
    } else if (index == REG_B) {
        if (val & ~old & B_SET)
            val &= (uint8_t)~B_UIE; /* [RTC Register B, UIE] */
        s->data[REG_B] = val;
        if (old & ~val & B_SET)
            take_time(s);
    } /* C and D are read-only */
}

static void data_write(struct rtc *s, unsigned index, uint8_t val)
{
    if (index == CENTURY_PS2)
        index = CENTURY;
    if (index >= REG_A && index <= REG_D) {
        control_write(s, index, val);
    } else {
        s->data[index] = val;
        if ((index < REG_A || index == CENTURY) && !(s->data[REG_B] & B_SET))
            take_time(s);
    }
    if (index > REG_D && index != CENTURY)
        return;
    s->next_alarm_s = find_alarm(s);
    show_time(s);
}

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
    struct rtc *s = opaque;
    if (off == INDEX) /* write-only */
        return 0xff;
    advance(s);
    uint8_t val = data_read(s, s->index);
    update(s);
    return val;
}

static void rtc_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct rtc *s = opaque;
    if (off == INDEX) {
        s->index = val & INDEX_MASK; /* bit 7 gates NMI */
        return;
    }
    advance(s);
    data_write(s, s->index, (uint8_t)val);
    update(s);
}

void rtc_cmos_set(struct device *dev, unsigned index, uint8_t val)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    if (index < CMOS_FIRST || index >= CMOS_BYTES)
        return;
    advance(s);
    data_write(s, index, val);
    update(s);
}

uint8_t rtc_cmos_get(const struct device *dev, unsigned index)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    if (index < CMOS_FIRST || index >= CMOS_BYTES)
        return 0xff;
    advance(s);
    return data_read(s, index);
}

int64_t rtc_time(const struct device *dev)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    advance(s);
    return (int64_t)s->time_s - (int64_t)DAYS_TO_1970 * DAY_S;
}

/* What the RESET pin does; time and RAM have a battery [RTC RESET]. */
static void rtc_reset(struct device *dev)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    advance(s);
    s->index = 0;
    s->data[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->data[REG_C] = 0;
    update(s);
}

static int rtc_restored(struct device *dev)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    const uint8_t *d = s->data;
    if (s->time_s >= MAX_TIME_S || s->chain_ns >= NS_PER_S || s->weekday > 6 || s->index > INDEX_MASK)
        return -EINVAL;
    if ((d[REG_A] & A_UIP) || (d[REG_C] & ~C_FLAGS) || d[REG_D] != D_VRT)
        return -EINVAL;
    if (chain_is_reset(s) && s->chain_ns != HALF_SECOND_NS)
        return -EINVAL;
    s->ref_ns = loop_now(s->loop);
    s->next_alarm_s = find_alarm(s);
    show_time(s);
    update(s);
    return 0;
}

static void rtc_saving(struct device *dev)
{
    advance(container_of(dev, struct rtc, dev));
}

static void rtc_unplug(struct device *dev)
{
    struct rtc *s = container_of(dev, struct rtc, dev);
    bus_detach(&s->region);
    s->data[REG_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE);
    update(s);
    s->irq = (struct irq){ 0 };
}

static const struct bus_ops rtc_ops = { rtc_read, rtc_write, .sizes = BUS_1 };
static const struct device_desc rtc_desc = {
    .name = "rtc",
    .version = 1,
    .keeps_s3 = true,
    .fields = rtc_fields,
    .saving = rtc_saving,
    .restored = rtc_restored,
    .reset = rtc_reset,
    .unplug = rtc_unplug,
};

int rtc_create(const struct rtc_config *config, struct device **out)
{
    struct rtc *s = device_new(&rtc_desc, config->cmos->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = config->loop;
    timer_init(&s->timer, config->loop, timer_due, s);
    int err = bus_attach(config->cmos->ports, &s->region, &rtc_ops, s, PORT, NR_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    s->irq = config->irq;
    cmos_fill(config->cmos, s->data);
    s->data[REG_A] = A_START;
    s->data[REG_B] = B_24H;
    s->data[REG_D] = D_VRT;
    s->ref_ns = loop_now(s->loop);
    s->time_s = (uint64_t)(config->base_time_s + (int64_t)DAYS_TO_1970 * DAY_S) % MAX_TIME_S;
    s->next_alarm_s = find_alarm(s);
    show_time(s);
    *out = &s->dev;
    return 0;
}
