/* The MC146818; [RTC name] is a section of its data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "rtc.h"

enum {
    SECOND,
    SECOND_ALARM,
    MINUTE,
    MINUTE_ALARM,
    HOUR,
    HOUR_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    A,
    B,
    C,
    D,
    CENTURY = 0x32
};
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, SQWE = 0x08, BINARY = 0x04, H24 = 0x02 };
#define BASE_TIME INT64_C(1769870096) /* Saturday 2026-01-31 14:34:56 UTC */

static struct cmos_config cmos_of(struct rig *r)
{
    return (struct cmos_config){ .id = "rtc",
                                 .ports = &r->ports,
                                 .ram_below_4g_bytes = 64 * MIB,
                                 .boot_order = "cd",
                                 .vcpus = 2,
                                 .century = 19,
                                 .drives = { { .cylinders = 100, .heads = 4, .sectors = 17 } } };
}

static int plug_in_at(void **state, int64_t base_time_s)
{
    struct rig *r = *state = *state ? *state : rig_new();
    struct cmos_config cmos = cmos_of(r);
    int err = rtc_create(
        &(struct rtc_config){ .cmos = &cmos, .loop = &r->loop, .irq = rig_irq(r), .base_time_s = base_time_s },
        &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in(void **state)
{
    return plug_in_at(state, BASE_TIME);
}

static uint8_t get(struct rig *r, unsigned index)
{
    rig_out8(r, 0x70, (uint8_t)index);
    return rig_in8(r, 0x71);
}

static void put(struct rig *r, unsigned index, uint8_t val)
{
    rig_out8(r, 0x70, (uint8_t)index);
    rig_out8(r, 0x71, val);
}

/* yyyymmdd and hhmmss as the (BCD, 24 h) registers show them. */
static void assert_shows(struct rig *r, uint32_t date, uint32_t time)
{
    assert_int_equal((uint32_t)get(r, CENTURY) << 24 | (uint32_t)get(r, YEAR) << 16 | (uint32_t)get(r, MONTH) << 8 |
                         get(r, DAY),
                     date);
    assert_int_equal((uint32_t)get(r, HOUR) << 16 | (uint32_t)get(r, MINUTE) << 8 | get(r, SECOND), time);
}

static void set_clock(struct rig *r, uint32_t date, uint32_t time)
{
    uint8_t b = get(r, B);
    put(r, B, b | SET);
    put(r, CENTURY, (uint8_t)(date >> 24));
    put(r, YEAR, (uint8_t)(date >> 16));
    put(r, MONTH, (uint8_t)(date >> 8));
    put(r, DAY, (uint8_t)date);
    put(r, HOUR, (uint8_t)(time >> 16));
    put(r, MINUTE, (uint8_t)(time >> 8));
    put(r, SECOND, (uint8_t)time);
    put(r, B, b);
}

static void seconds(struct rig *r, uint64_t n)
{
    rig_run(r, n * NS_PER_S);
}

static void initial_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, 0x70), 0xff);
    assert_shows(r, 0x20260131, 0x143456);
    assert_int_equal(get(r, WEEKDAY), 7);
    assert_int_equal(get(r, A), 0x26);
    assert_int_equal(get(r, B), 0x02);
    assert_int_equal(get(r, C), 0x00);
    assert_int_equal(get(r, D), 0x80);
    assert_true(rtc_time(r->dev) == BASE_TIME);
    assert_null(r->loop.timers);
}

/* The bytes of the cmos device, and those of the clock in front of them. */
static void ram_is_the_chipsets(void **state)
{
    struct rig *r = *state;
    struct cmos_config config = cmos_of(r);
    uint8_t expected[CMOS_BYTES];
    cmos_fill(&config, expected);
    for (unsigned i = CMOS_FIRST; i < CMOS_BYTES; i++) {
        if (i == CENTURY || i == 0x37)
            continue;
        assert_int_equal(get(r, i), expected[i]);
        assert_int_equal(rtc_cmos_get(r->dev, i), expected[i]);
        put(r, i, (uint8_t)~expected[i]);
        assert_int_equal(get(r, i), (uint8_t)~expected[i]);
    }
    assert_int_equal(get(r, 0x37), 0x20); /* the century's second place */
    rtc_cmos_set(r->dev, CMOS_SHUTDOWN_STATUS, CMOS_RESUME_FROM_S3);
    r->dev->desc->reset(r->dev); /* a battery */
    assert_int_equal(get(r, 0x0f), 0xfe);
    assert_int_equal(rtc_cmos_get(r->dev, B), 0xff);
    rtc_cmos_set(r->dev, B, 0xff);
    rtc_cmos_set(r->dev, CMOS_BYTES, 0xff);
    assert_int_equal(get(r, B), 0x02);
    assert_int_equal(rtc_cmos_get(r->dev, UINT32_MAX), 0xff);
}

static void accesses_by_size(void **state)
{
    struct rig *r = *state;
    rig_out16(r, 0x70, 0x5540); /* index and data as one word */
    assert_int_equal(get(r, 0x40), 0x55);
    rig_out8(r, 0x70, 0xc0); /* bit 7 gates NMI */
    assert_int_equal(rig_in16(r, 0x70), 0x55ff);
    assert_int_equal(rig_in32(r, 0x70), 0xffff55ff);
}

static void time_passes(void **state)
{
    struct rig *r = *state;
    rig_run(r, NS_PER_S - 1);
    assert_shows(r, 0x20260131, 0x143456);
    rig_run(r, 1);
    assert_shows(r, 0x20260131, 0x143457);
    seconds(r, 86400 - 1);
    assert_shows(r, 0x20260201, 0x143456);
    assert_int_equal(get(r, WEEKDAY), 1);
    seconds(r, UINT64_C(86400) * 365 * 3);
    assert_shows(r, 0x20290131, 0x143456);
}

static void calendar(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint32_t date, next;
    } cases[] = {
        { 0x20240228, 0x20240229 }, { 0x20240229, 0x20240301 }, { 0x20250228, 0x20250301 }, { 0x21000228, 0x21000301 },
        { 0x20000228, 0x20000229 }, { 0x19991231, 0x20000101 }, { 0x20260430, 0x20260501 }, { 0x20261231, 0x20270101 },
        { 0x99991231, 0x00000101 }, { 0x00000228, 0x00000229 }, { 0x19700101, 0x19700102 }, { 0x19040229, 0x19040301 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        set_clock(r, cases[i].date, 0x235959);
        assert_shows(r, cases[i].date, 0x235959);
        seconds(r, 1);
        assert_shows(r, cases[i].next, 0x000000);
    }
    set_clock(r, 0x19700101, 0);
    assert_in_range(rtc_time(r->dev), 0, 1);
}

static void weekday_is_its_own_counter(void **state)
{
    struct rig *r = *state;
    put(r, WEEKDAY, 3);
    assert_int_equal(get(r, WEEKDAY), 3);
    assert_shows(r, 0x20260131, 0x143456);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(get(r, WEEKDAY), 1 + (2 + i) % 7);
        seconds(r, 86400);
    }
}

/* [RTC Time, Calendar and Alarm Locations, Table 2] */
static void formats(void **state)
{
    struct rig *r = *state;
    put(r, B, BINARY | H24);
    assert_int_equal(get(r, HOUR), 14);
    assert_int_equal(get(r, SECOND), 56);
    assert_int_equal(get(r, YEAR), 26);
    assert_int_equal(get(r, CENTURY), 20);
    put(r, B, BINARY);
    assert_int_equal(get(r, HOUR), 0x82);
    put(r, B, 0);
    assert_int_equal(get(r, HOUR), 0x82);
    static const struct {
        uint8_t hour24, hour12;
    } cases[] = { { 0x00, 0x12 }, { 0x01, 0x01 }, { 0x11, 0x11 }, { 0x12, 0x92 }, { 0x13, 0x81 }, { 0x23, 0x91 } };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        put(r, HOUR, cases[i].hour12);
        assert_int_equal(get(r, HOUR), cases[i].hour12);
        put(r, B, H24);
        assert_int_equal(get(r, HOUR), cases[i].hour24);
        put(r, B, 0);
    }
}

/* [RTC Register B, SET] */
static void set_holds_the_time(void **state)
{
    struct rig *r = *state;
    put(r, B, H24 | UIE);
    put(r, B, H24 | UIE | SET);
    assert_int_equal(get(r, B), H24 | SET); /* takes the update interrupt along */
    seconds(r, 100);
    assert_shows(r, 0x20260131, 0x143456);
    put(r, SECOND, 0xee); /* anything stores */
    assert_int_equal(get(r, SECOND), 0xee);
    assert_int_equal(get(r, C) & 0x10, 0);
    put(r, SECOND, 0x59);
    put(r, B, H24);
    rig_run(r, NS_PER_S);
    assert_shows(r, 0x20260131, 0x143500);
}

static void nonsense_is_made_a_time(void **state)
{
    struct rig *r = *state;
    set_clock(r, 0xffffffff, 0xffffff);
    assert_shows(r, 0x99991231, 0x235959);
    set_clock(r, 0, 0);
    assert_shows(r, 0x00000101, 0);
    set_clock(r, 0x20260231, 0x126000);
    assert_shows(r, 0x20260303, 0x125900);
    put(r, WEEKDAY, 0);
    assert_int_equal(get(r, WEEKDAY), 1);
    put(r, WEEKDAY, 0xff);
    assert_int_equal(get(r, WEEKDAY), 7);
}

/* [RTC Update Cycle] */
static void update_in_progress(void **state)
{
    struct rig *r = *state;
    rig_run(r, NS_PER_S - 244001);
    assert_int_equal(get(r, A), 0x26);
    rig_run(r, 1);
    assert_int_equal(get(r, A), 0xa6);
    put(r, B, SET | H24);
    assert_int_equal(get(r, A), 0x26); /* none is coming */
    put(r, B, H24);
    rig_run(r, 243999);
    assert_int_equal(get(r, A), 0xa6);
    rig_run(r, 1);
    assert_int_equal(get(r, A), 0x26);
    put(r, A, 0xa6); /* read-only */
    assert_int_equal(get(r, A), 0x26);
}

static void update_ended_interrupt(void **state)
{
    struct rig *r = *state;
    put(r, A, 0x20); /* nothing periodic */
    seconds(r, 3);
    assert_int_equal(get(r, C), 0x10); /* the flag comes without its interrupt */
    assert_int_equal(get(r, C), 0x00);
    rig_run(r, NS_PER_S / 4);
    put(r, B, H24 | UIE);
    rig_run(r, NS_PER_S * 3 / 4 - 1);
    assert_false(r->level);
    rig_run(r, 1);
    assert_true(r->level);
    assert_null(r->loop.timers); /* until it is acknowledged */
    seconds(r, 5);
    assert_int_equal(r->edges, 1);
    assert_int_equal(get(r, C), 0x90);
    assert_false(r->level);
    seconds(r, 1);
    assert_int_equal(r->edges, 2);
    put(r, B, H24);
    assert_false(r->level);
    assert_int_equal(get(r, C), 0x10);
    seconds(r, 1);
    put(r, B, H24 | UIE); /* the flag was there */
    assert_true(r->level);
}

/* [RTC Table 3] */
static void periodic_rates(void **state)
{
    struct rig *r = *state;
    for (unsigned rate = 0; rate < 16; rate++) {
        unsigned hz = rate == 0 ? 0 : 32768u >> (rate <= 2 ? rate + 6 : rate - 1);
        put(r, A, (uint8_t)(0x20 | rate));
        (void)get(r, C);
        put(r, B, H24 | PIE);
        unsigned count = 0;
        uint64_t end = r->now_ns + NS_PER_S;
        while (r->loop.timers && r->now_ns + timer_left(r->loop.timers) <= end) {
            rig_run(r, timer_left(r->loop.timers));
            assert_true(r->level);
            assert_int_equal(get(r, C) & 0xc0, 0xc0);
            assert_false(r->level);
            count++;
        }
        assert_int_equal(count, hz);
        put(r, B, H24);
        rig_run(r, end - r->now_ns);
    }
    put(r, A, 0x2f);
    (void)get(r, C);
    rig_run(r, NS_PER_S / 2);
    assert_int_equal(get(r, C) & 0x40, 0x40); /* polled */
}

static void set_alarm(struct rig *r, uint8_t hour, uint8_t minute, uint8_t second)
{
    put(r, HOUR_ALARM, hour);
    put(r, MINUTE_ALARM, minute);
    put(r, SECOND_ALARM, second);
}

/* [RTC Alarm] */
static void alarm_interrupt(void **state)
{
    struct rig *r = *state;
    put(r, A, 0x20);
    set_alarm(r, 0x15, 0x00, 0x00);
    put(r, B, H24 | AIE);
    seconds(r, 25 * 60 + 3);
    assert_false(r->level);
    seconds(r, 1);
    assert_true(r->level);
    assert_shows(r, 0x20260131, 0x150000);
    assert_int_equal(get(r, C), 0xb0);
    seconds(r, 86399);
    assert_false(r->level);
    seconds(r, 1);
    assert_true(r->level);
    (void)get(r, C);
    set_alarm(r, 0xff, 0xff, 0x30); /* every minute */
    seconds(r, 29);
    assert_false(r->level);
    for (unsigned i = 0; i < 3; i++) {
        seconds(r, i == 0 ? 1 : 60);
        assert_true(r->level);
        assert_int_equal(get(r, C) & 0xa0, 0xa0);
    }
    set_alarm(r, 0xc0, 0xc0, 0xc0); /* every second */
    seconds(r, 1);
    assert_true(r->level);
    (void)get(r, C);
    set_alarm(r, 0x25, 0, 0); /* never */
    assert_null(r->loop.timers);
    seconds(r, 200000);
    assert_int_equal(get(r, C), 0x10);
}

static void alarm_in_other_formats(void **state)
{
    struct rig *r = *state;
    put(r, B, 0);
    set_alarm(r, 0x83, 0xff, 0xff); /* 3 PM */
    put(r, B, AIE);
    seconds(r, 25 * 60 + 3);
    assert_false(r->level);
    seconds(r, 1);
    assert_true(r->level);
    (void)get(r, C);
    put(r, B, BINARY | H24);
    set_alarm(r, 16, 10, 11);
    put(r, B, BINARY | H24 | AIE);
    seconds(r, 70 * 60 + 10);
    assert_false(r->level);
    seconds(r, 1);
    assert_true(r->level);
}

/* The flag is found when it is looked at, even long after. */
static void alarm_polled(void **state)
{
    struct rig *r = *state;
    set_alarm(r, 0x15, 0x00, 0x00);
    assert_null(r->loop.timers);
    seconds(r, 25 * 60 + 3);
    assert_int_equal(get(r, C) & 0x20, 0);
    seconds(r, 500000);
    assert_int_equal(get(r, C) & 0x20, 0x20);
    assert_int_equal(get(r, C) & 0x20, 0);
}

/* [RTC Divider Control] */
static void divider_reset(void **state)
{
    struct rig *r = *state;
    rig_run(r, NS_PER_S * 9 / 10);
    put(r, A, 0x76);
    assert_int_equal(get(r, C), 0x40);
    put(r, B, H24 | PIE | UIE);
    assert_null(r->loop.timers);
    seconds(r, 100);
    assert_shows(r, 0x20260131, 0x143456);
    assert_int_equal(get(r, C), 0);
    put(r, A, 0x20);
    rig_run(r, NS_PER_S / 2 - 1);
    assert_shows(r, 0x20260131, 0x143456);
    rig_run(r, 1);
    assert_shows(r, 0x20260131, 0x143457);
    assert_true(r->level);
}

static void reset_clears_interrupts_only(void **state)
{
    struct rig *r = *state;
    put(r, A, 0x2a);
    put(r, B, PIE | AIE | UIE | SQWE | BINARY | 1);
    set_alarm(r, 1, 2, 3);
    seconds(r, 2);
    assert_true(r->level);
    r->dev->desc->reset(r->dev);
    assert_false(r->level);
    assert_null(r->loop.timers);
    assert_int_equal(get(r, A), 0x2a);
    assert_int_equal(get(r, B), BINARY | 1);
    assert_int_equal(get(r, C), 0);
    assert_int_equal(get(r, HOUR_ALARM), 1);
    assert_int_equal(get(r, SECOND), 58);
}

static void read_only_registers(void **state)
{
    struct rig *r = *state;
    put(r, C, 0xff);
    put(r, D, 0x00);
    assert_int_equal(get(r, C), 0);
    assert_int_equal(get(r, D), 0x80);
    assert_false(r->level);
}

static void busy_state(struct rig *r)
{
    put(r, A, 0x2f);
    set_alarm(r, 0x14, 0x35, 0x10);
    put(r, WEEKDAY, 2);
    put(r, 0x40, 0x5a);
    put(r, B, H24 | AIE);
    rig_run(r, NS_PER_S * 3 / 2);
    rig_out8(r, 0x70, 0x40);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    r->now_ns += 12345678901; /* a clock of its own */
    plug_in_at(state, 0);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, 0x71), 0x5a);
    assert_shows(r, 0x20260131, 0x143457);
    assert_int_equal(get(r, WEEKDAY), 2);
    rig_run(r, NS_PER_S / 2 - 1);
    assert_shows(r, 0x20260131, 0x143457);
    rig_run(r, 1);
    assert_shows(r, 0x20260131, 0x143458);
    assert_int_equal(get(r, C), 0x50);
    seconds(r, 11);
    assert_false(r->level);
    seconds(r, 1);
    assert_true(r->level);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        unsigned i;
        uint64_t val;
    } bad[] = { { "time_s", 0, UINT64_MAX },
                { "time_s", 0, UINT64_C(3652425) * 86400 },
                { "chain_ns", 0, 1000000000 },
                { "weekday", 0, 7 },
                { "index", 0, 0x80 },
                { "data", A, 0xa6 },
                { "data", C, 0x80 },
                { "data", D, 0 },
                { "data", A, 0x60 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        struct snap_buf good = r->saved;
        good.data = malloc(good.len);
        memcpy(good.data, r->saved.data, good.len);
        rig_poke_at(r, bad[i].field, bad[i].i, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        snap_buf_free(&r->saved); /* a battery: reset doesn't undo it */
        r->saved = good;
        assert_int_equal(rig_restore(r), 0);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    put(r, A, 0x23);
    put(r, B, H24 | PIE | UIE);
    seconds(r, 1);
    assert_true(r->level);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->level);
    assert_null(r->loop.timers);
    assert_int_equal(get(r, SECOND), 0xff);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct cmos_config cmos = cmos_of(r);
    struct device *second = NULL;
    assert_int_equal(rtc_create(&(struct rtc_config){ .cmos = &cmos, .loop = &r->loop }, &second), -EEXIST);
    assert_null(second);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ 0x70, 0x71 });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    chip_damaged_snapshots(r);
}

static void random_accesses(void **state)
{
    struct rig *r = *state;
    static const struct port_range ports[] = { { 0x6f, 0x72 } };
    chip_random_guest(r, ports, 1, -1);
    uint64_t seed = 146818;
    for (unsigned step = 0; step < 50000; step++) { /* and with time, on the clock's own registers */
        put(r, chip_random(&seed) % 15, (uint8_t)chip_random(&seed));
        rig_run(r, UINT64_C(1) << chip_random(&seed) % 31);
        (void)get(r, chip_random(&seed) % 15);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(initial_values),
        TEST(ram_is_the_chipsets),
        TEST(accesses_by_size),
        TEST(time_passes),
        TEST(calendar),
        TEST(weekday_is_its_own_counter),
        TEST(formats),
        TEST(set_holds_the_time),
        TEST(nonsense_is_made_a_time),
        TEST(update_in_progress),
        TEST(update_ended_interrupt),
        TEST(periodic_rates),
        TEST(alarm_interrupt),
        TEST(alarm_in_other_formats),
        TEST(alarm_polled),
        TEST(divider_reset),
        TEST(reset_clears_interrupts_only),
        TEST(read_only_registers),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_ports),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
