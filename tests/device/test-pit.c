/* The 8254 and port 61; [8254 name] is a section of the data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "pit.h"

enum { C0 = 0x40, C2 = 0x42, CONTROL = 0x43, SYSTEM = 0x61 };

static int plug_in_as(void **state, bool counts_at_reset)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = pit_create(
        &(struct pit_config){
            .id = "pit", .loop = &r->loop, .ports = &r->ports, .irq = rig_irq(r), .counts_at_reset = counts_at_reset },
        &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in(void **state)
{
    return plug_in_as(state, false);
}

static int plug_in_counting(void **state)
{
    return plug_in_as(state, true);
}

/* Nanoseconds until clock n after a count was loaded. */
static uint64_t clocks_ns(uint64_t n)
{
    return n * NS_PER_S / PIT_HZ;
}

static void program(struct rig *r, unsigned channel, unsigned mode, uint16_t count)
{
    rig_out8(r, CONTROL, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    rig_out8(r, (uint16_t)(C0 + channel), (uint8_t)count);
    rig_out8(r, (uint16_t)(C0 + channel), (uint8_t)(count >> 8));
}

static uint16_t read_count(struct rig *r, unsigned channel)
{
    rig_out8(r, CONTROL, (uint8_t)(channel << 6));
    uint8_t low = rig_in8(r, (uint16_t)(C0 + channel));
    return (uint16_t)(low | rig_in8(r, (uint16_t)(C0 + channel)) << 8);
}

static uint8_t read_status(struct rig *r, unsigned channel)
{
    rig_out8(r, CONTROL, (uint8_t)(0xe0 | 2u << channel));
    return rig_in8(r, (uint16_t)(C0 + channel));
}

/* Let the clock stand right at clock n, counted from start. */
static void run_to(struct rig *r, uint64_t start, uint64_t n)
{
    rig_run(r, start + clocks_ns(n) - r->now_ns);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        assert_int_equal(read_status(r, i), 0x70); /* no count */
        assert_int_equal(read_count(r, i), 0);
    }
    assert_int_equal(rig_in8(r, CONTROL), 0xff);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0);
    assert_false(r->level);
    assert_null(r->loop.timers); /* nothing wakes an idle machine */
}

/* What QEMU's device tests see: half of 65536 clocks to the first edge. */
static void counting_at_reset(void **state)
{
    struct rig *r = *state;
    assert_int_equal(timer_left(r->loop.timers), 27462700);
    assert_true(r->level);
    rig_run(r, 27462699);
    assert_true(r->level);
    rig_run(r, 1);
    assert_false(r->level);
    assert_int_equal(timer_left(r->loop.timers), 27462701); /* 54925401.6 in all */
    rig_run(r, 27462701);
    assert_true(r->level);
    assert_int_equal(r->edges, 2);
    assert_int_equal(read_status(r, 0), 0xb6);
}

/* [8254 Mode 0] */
static void mode_0_interrupts_on_zero(void **state)
{
    struct rig *r = *state;
    rig_out8(r, CONTROL, 0x30);
    assert_false(r->level);
    rig_out8(r, C0, 0xe8);
    assert_null(r->loop.timers);
    rig_out8(r, C0, 0x03);
    uint64_t start = r->now_ns;
    assert_int_equal(read_count(r, 0), 1000);
    assert_int_equal(read_status(r, 0), 0x30);
    run_to(r, start, 999);
    assert_int_equal(read_count(r, 0), 1);
    assert_false(r->level);
    run_to(r, start, 1000);
    assert_true(r->level);
    assert_int_equal(read_count(r, 0), 0);
    assert_int_equal(read_status(r, 0), 0xb0);
    assert_null(r->loop.timers);
    run_to(r, start, 1001);
    assert_int_equal(read_count(r, 0), 0xffff); /* counts on */
    rig_run(r, NS_PER_S);
    assert_true(r->level);
    rig_out8(r, C0, 0x10); /* the first byte takes the output down and stops the count */
    assert_false(r->level);
    uint16_t at = read_count(r, 0);
    rig_run(r, NS_PER_S);
    assert_int_equal(read_count(r, 0), at);
    rig_out8(r, C0, 0x00);
    assert_int_equal(read_count(r, 0), 0x10);
    rig_run(r, clocks_ns(16));
    assert_true(r->level);
    assert_int_equal(r->edges, 2);
}

static void mode_0_waits_for_its_gate(void **state)
{
    struct rig *r = *state;
    program(r, 2, 0, 1000);
    rig_run(r, NS_PER_S);
    assert_int_equal(read_count(r, 2), 1000);
    rig_out8(r, SYSTEM, 0x01);
    rig_run(r, clocks_ns(400));
    assert_int_equal(read_count(r, 2), 600);
    rig_out8(r, SYSTEM, 0x00);
    rig_run(r, NS_PER_S);
    assert_int_equal(read_count(r, 2), 600);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x00);
    rig_out8(r, SYSTEM, 0x01);
    rig_run(r, clocks_ns(600) + 1);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x21);
    assert_null(r->loop.timers); /* counter 2 needs none */
}

/* [8254 Mode 1] */
static void mode_1_shoots_once_per_trigger(void **state)
{
    struct rig *r = *state;
    program(r, 2, 1, 500);
    assert_true(pit_out(r->dev, 2));
    assert_int_equal(read_status(r, 2), 0xf2); /* the count isn't loaded before the trigger */
    rig_run(r, NS_PER_S);
    assert_true(pit_out(r->dev, 2));
    rig_out8(r, SYSTEM, 0x01);
    assert_false(pit_out(r->dev, 2));
    assert_int_equal(read_status(r, 2), 0x32);
    rig_run(r, clocks_ns(300));
    rig_out8(r, SYSTEM, 0x00); /* a falling gate changes nothing */
    assert_int_equal(read_count(r, 2), 200);
    rig_out8(r, SYSTEM, 0x01); /* a rising one starts anew */
    rig_run(r, clocks_ns(499));
    assert_false(pit_out(r->dev, 2));
    rig_out8(r, C2, 100); /* of the next shot */
    rig_out8(r, C2, 0);
    assert_int_equal(read_count(r, 2), 1);
    rig_run(r, clocks_ns(1) + 1);
    assert_true(pit_out(r->dev, 2));
    rig_out8(r, SYSTEM, 0x00);
    rig_out8(r, SYSTEM, 0x01);
    rig_run(r, clocks_ns(100) - 1);
    assert_false(pit_out(r->dev, 2));
    rig_run(r, 1);
    assert_true(pit_out(r->dev, 2));
}

static void mode_1_without_trigger_stays(void **state)
{
    struct rig *r = *state;
    program(r, 0, 1, 500); /* gate 0 is tied high: it never rises */
    assert_true(r->level);
    rig_run(r, NS_PER_S);
    assert_true(r->level);
    assert_null(r->loop.timers);
}

/* [8254 Mode 2] */
static void mode_2_divides(void **state)
{
    struct rig *r = *state;
    program(r, 0, 2, 1000);
    uint64_t start = r->now_ns;
    assert_true(r->level);
    unsigned edges = r->edges;
    run_to(r, start, 998);
    assert_int_equal(read_count(r, 0), 2);
    assert_true(r->level);
    run_to(r, start, 999);
    assert_false(r->level);
    assert_int_equal(read_count(r, 0), 1);
    run_to(r, start, 1000);
    assert_true(r->level);
    assert_int_equal(read_count(r, 0), 1000);
    run_to(r, start, 1000000);
    assert_int_equal(r->edges, edges + 1000);
    rig_run(r, clocks_ns(250));
    rig_out8(r, C0, 200); /* the cycle ends first */
    rig_out8(r, C0, 0);
    assert_int_equal(read_status(r, 0) & 0x40, 0x40);
    run_to(r, start, 1000999);
    assert_false(r->level);
    run_to(r, start, 1001000);
    assert_true(r->level);
    assert_int_equal(read_count(r, 0), 200);
    assert_int_equal(read_status(r, 0) & 0x40, 0);
    run_to(r, start, 1001199);
    assert_false(r->level);
}

static void modes_2_and_3_start_with_their_gate(void **state)
{
    struct rig *r = *state;
    for (unsigned mode = 2; mode <= 3; mode++) {
        rig_out8(r, SYSTEM, 0x00);
        program(r, 2, mode, 1000);
        rig_run(r, clocks_ns(5555));
        assert_int_equal(read_count(r, 2), 1000);
        rig_out8(r, SYSTEM, 0x01);
        rig_run(r, clocks_ns(999) + 1);
        assert_false(pit_out(r->dev, 2));
        rig_out8(r, SYSTEM, 0x00); /* at once, wherever it was */
        assert_true(pit_out(r->dev, 2));
        rig_out8(r, SYSTEM, 0x01);
        assert_int_equal(read_count(r, 2), 1000);
    }
}

/* [8254 Mode 3] */
static void mode_3_is_a_square_wave(void **state)
{
    struct rig *r = *state;
    program(r, 0, 3, 1000);
    uint64_t start = r->now_ns;
    run_to(r, start, 100);
    assert_int_equal(read_count(r, 0), 800);
    run_to(r, start, 499);
    assert_true(r->level);
    assert_int_equal(read_count(r, 0), 2);
    run_to(r, start, 500);
    assert_false(r->level);
    assert_int_equal(read_count(r, 0), 1000);
    run_to(r, start, 999);
    assert_false(r->level);
    run_to(r, start, 1000);
    assert_true(r->level);
    program(r, 0, 3, 5); /* odd: three high, two low */
    start = r->now_ns;
    static const struct {
        bool level;
        uint16_t count;
    } expected[] = { { true, 4 }, { true, 2 }, { true, 0 }, { false, 4 }, { false, 2 } };
    for (unsigned n = 0; n < 50; n++) {
        run_to(r, start, n);
        assert_int_equal(pit_out(r->dev, 0), expected[n % 5].level);
        assert_int_equal(read_count(r, 0), expected[n % 5].count);
    }
}

static void mode_3_loads_after_half_a_cycle(void **state)
{
    struct rig *r = *state;
    program(r, 0, 3, 1000);
    uint64_t start = r->now_ns;
    run_to(r, start, 100);
    rig_out8(r, C0, 0x2c); /* 300 */
    rig_out8(r, C0, 0x01);
    run_to(r, start, 499);
    assert_true(r->level);
    run_to(r, start, 500);
    assert_false(r->level);
    run_to(r, start, 649);
    assert_false(r->level);
    rig_out8(r, C0, 0x64); /* 100 */
    rig_out8(r, C0, 0x00);
    run_to(r, start, 650);
    assert_true(r->level);
    run_to(r, start, 699);
    assert_true(r->level);
    rig_run(r, clocks_ns(1) + 2);
    assert_false(r->level);
}

/* [8254 Mode 4] */
static void mode_4_strobes_once(void **state)
{
    struct rig *r = *state;
    program(r, 0, 4, 300);
    uint64_t start = r->now_ns;
    assert_true(r->level);
    run_to(r, start, 299);
    assert_true(r->level);
    run_to(r, start, 300);
    assert_false(r->level);
    run_to(r, start, 301);
    assert_true(r->level);
    assert_null(r->loop.timers);
    assert_int_equal(read_count(r, 0), 0xffff);
    rig_run(r, NS_PER_S);
    rig_out8(r, C0, 10); /* a new count strobes again */
    assert_null(r->loop.timers);
    rig_out8(r, C0, 0);
    rig_run(r, clocks_ns(10));
    assert_false(r->level);
    rig_run(r, clocks_ns(1) + 1);
    assert_true(r->level);
}

/* [8254 Mode 5] */
static void mode_5_strobes_per_trigger(void **state)
{
    struct rig *r = *state;
    program(r, 2, 5, 300);
    rig_run(r, NS_PER_S);
    for (unsigned i = 0; i < 2; i++) {
        rig_out8(r, SYSTEM, 0x01);
        rig_run(r, clocks_ns(200));
        assert_true(pit_out(r->dev, 2));
        rig_out8(r, SYSTEM, 0x00);
        rig_run(r, clocks_ns(100) + 1);
        assert_false(pit_out(r->dev, 2));
        rig_run(r, clocks_ns(1));
        assert_true(pit_out(r->dev, 2));
    }
    program(r, 2, 7, 300); /* 6 and 7 are 2 and 3 */
    assert_int_equal(read_status(r, 2) & 0x0e, 0x06);
}

static void counts_of_zero_are_the_highest(void **state)
{
    struct rig *r = *state;
    program(r, 0, 2, 0);
    uint64_t start = r->now_ns;
    run_to(r, start, 65535);
    assert_false(r->level);
    rig_out8(r, CONTROL, 0x35); /* BCD: 10000 */
    rig_out8(r, C0, 0);
    rig_out8(r, C0, 0);
    start = r->now_ns;
    assert_int_equal(read_count(r, 0), 0);
    run_to(r, start, 1);
    assert_int_equal(read_count(r, 0), 0x9999);
    run_to(r, start, 9999);
    assert_false(r->level);
    assert_int_equal(read_count(r, 0), 0x0001);
}

static void counts_in_bcd(void **state)
{
    struct rig *r = *state;
    rig_out8(r, CONTROL, 0x31);
    rig_out8(r, C0, 0x34);
    rig_out8(r, C0, 0x12);
    uint64_t start = r->now_ns;
    assert_int_equal(read_status(r, 0), 0x31);
    run_to(r, start, 35);
    assert_int_equal(read_count(r, 0), 0x1199);
    run_to(r, start, 1234);
    assert_true(r->level);
    run_to(r, start, 1235);
    assert_int_equal(read_count(r, 0), 0x9999);
    rig_out8(r, C0, 0xff); /* no digits: 16665 */
    rig_out8(r, C0, 0xff);
    rig_run(r, clocks_ns(16665));
    assert_true(r->level);
}

/* A count of one never moves the output of a periodic mode, and doesn't wake anybody. */
static void counts_of_one(void **state)
{
    struct rig *r = *state;
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(r, 0, mode, 1);
        assert_null(r->loop.timers);
        rig_run(r, NS_PER_S);
        (void)read_count(r, 0);
    }
}

/* The shortest periods don't hold the host busy: an edge per 64 clocks at most. */
static void short_periods_are_throttled(void **state)
{
    struct rig *r = *state;
    program(r, 0, 2, 2);
    unsigned edges = r->edges;
    rig_run(r, NS_PER_MS * 10);
    assert_in_range(r->edges - edges, 90, 187);
    program(r, 0, 2, 64);
    edges = r->edges;
    rig_run(r, NS_PER_MS * 10);
    assert_in_range(r->edges - edges, 186, 187);
}

static void access_by_halves(void **state)
{
    struct rig *r = *state;
    rig_out8(r, CONTROL, 0x10); /* low byte only */
    rig_out8(r, C0, 200);
    assert_int_equal(read_status(r, 0), 0x10);
    assert_int_equal(rig_in8(r, C0), 200);
    rig_run(r, clocks_ns(1));
    assert_int_equal(rig_in8(r, C0), 199);
    rig_run(r, clocks_ns(199) + 1);
    assert_true(r->level);
    rig_out8(r, CONTROL, 0x24); /* high byte only, mode 2 */
    rig_out8(r, C0, 2);
    assert_int_equal(rig_in8(r, C0), 2);
    rig_out8(r, CONTROL, 0x00);
    assert_int_equal(rig_in8(r, C0), 2);
    rig_run(r, clocks_ns(511));
    assert_false(r->level);
    program(r, 0, 2, 0x1234);
    assert_int_equal(rig_in8(r, C0), 0x34); /* without a latch: halves alternate */
    assert_int_equal(rig_in8(r, C0), 0x12);
    assert_int_equal(rig_in8(r, C0), 0x34);
}

/* [8254 Counter Latch Command] */
static void latch_holds_until_read(void **state)
{
    struct rig *r = *state;
    program(r, 0, 2, 0x5000);
    rig_out8(r, CONTROL, 0x00);
    uint64_t start = r->now_ns;
    run_to(r, start, 0x1000);
    rig_out8(r, CONTROL, 0x00); /* the first one counts */
    assert_int_equal(rig_in8(r, C0), 0x00);
    run_to(r, start, 0x2000);
    assert_int_equal(rig_in8(r, C0), 0x50);
    assert_int_equal(read_count(r, 0), 0x3000);
}

/* [8254 Read-Back Command] */
static void read_back(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        program(r, i, 2, (uint16_t)(0x1111 * (i + 1)));
    rig_out8(r, CONTROL, 0xce); /* counts and status of all */
    rig_run(r, clocks_ns(10));
    rig_out8(r, CONTROL, 0xce); /* ignored */
    for (uint16_t i = 0; i < PIT_CHANNELS; i++) {
        assert_int_equal(rig_in8(r, C0 + i), 0xb4); /* status comes first */
        assert_int_equal(rig_in8(r, C0 + i), 0x11 * (i + 1));
        assert_int_equal(rig_in8(r, C0 + i), 0x11 * (i + 1));
    }
    rig_out8(r, CONTROL, 0xd8); /* count of counter 2 only */
    assert_int_equal(rig_in8(r, C2), 0x33);
    assert_int_equal(rig_in8(r, C2), 0x33);
    rig_out8(r, CONTROL, 0xe2); /* status of counter 0 */
    assert_int_equal(rig_in8(r, C0), 0xb4);
}

static void system_port(void **state)
{
    struct rig *r = *state;
    rig_out8(r, SYSTEM, 0xff);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x0f);
    rig_out8(r, SYSTEM, 0x02);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x02);
    uint8_t before = rig_in8(r, SYSTEM) & 0x10;
    rig_run(r, 15085);
    assert_int_equal(rig_in8(r, SYSTEM) & 0x10, before ^ 0x10);
    rig_run(r, 15085);
    assert_int_equal(rig_in8(r, SYSTEM) & 0x10, before);
    program(r, 2, 3, 1000);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x22);
}

static void wide_accesses_are_bytes(void **state)
{
    struct rig *r = *state;
    program(r, 0, 2, 0x1234);
    program(r, 1, 2, 0x5678);
    assert_int_equal(rig_in16(r, C0), 0x7834);
    assert_int_equal(rig_in32(r, C0), 0xff005612);
    rig_out32(r, C0, 0x30aabbcc); /* the control word comes last */
    assert_int_equal(read_status(r, 0), 0x70);
}

static void nobody_listens(void **state)
{
    struct rig *r = *state;
    pit_set_wanted(r->dev, false);
    program(r, 0, 2, 1000);
    assert_null(r->loop.timers);
    unsigned edges = r->edges;
    rig_run(r, clocks_ns(1500));
    assert_int_equal(r->edges, edges);
    pit_update(r->dev);
    assert_int_equal(r->edges, edges + 1); /* one for those that went by */
    rig_run(r, clocks_ns(5000));
    pit_set_wanted(r->dev, true);
    assert_int_equal(r->edges, edges + 2);
    rig_run(r, clocks_ns(5000));
    assert_int_equal(r->edges, edges + 7);
}

/* A host that slept through edges delivers one, not all of them and not none. */
static void late_timers(void **state)
{
    struct rig *r = *state;
    program(r, 0, 3, 1000);
    unsigned edges = r->edges;
    r->now_ns += clocks_ns(100250);
    rig_settle(r);
    assert_true(r->level);
    assert_int_equal(r->edges, edges + 1);
    rig_run(r, clocks_ns(1000));
    assert_int_equal(r->edges, edges + 2);
}

static void busy_state(struct rig *r)
{
    program(r, 0, 3, 1000);
    rig_run(r, clocks_ns(100));
    rig_out8(r, C0, 0x2c); /* waits for the end of the half */
    rig_out8(r, C0, 0x01);
    rig_out8(r, C0, 0x55); /* and half of another */
    program(r, 1, 2, 0x2000);
    rig_out8(r, CONTROL, 0x40);
    (void)rig_in8(r, C0 + 1); /* half of a latched count */
    rig_out8(r, SYSTEM, 0x03);
    program(r, 2, 0, 0x1000);
    rig_out8(r, CONTROL, 0xc8);
    rig_run(r, clocks_ns(100));
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    r->now_ns += 5 * NS_PER_S; /* a clock of its own */
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    uint64_t start = r->now_ns - 2 * clocks_ns(100);
    assert_true(r->level);
    assert_int_equal(rig_in8(r, C0 + 1), 0x20);
    assert_int_equal(rig_in8(r, C2), 0x30);
    assert_int_equal(rig_in8(r, C2), 0x00);
    assert_int_equal(rig_in8(r, C2), 0x10);
    assert_int_equal(read_count(r, 2), 0x1000 - 100);
    assert_int_equal(rig_in8(r, SYSTEM) & ~0x10, 0x03);
    assert_int_equal(read_status(r, 0), 0xf6);
    run_to(r, start, 500);
    assert_false(r->level);
    run_to(r, start, 649);
    assert_false(r->level);
    rig_run(r, clocks_ns(1) + 2);
    assert_true(r->level);
    rig_out8(r, C0, 0x00); /* the other half: 55 */
    run_to(r, start, 800);
    assert_false(r->level);
    rig_run(r, clocks_ns(0x2a) + 1);
    assert_true(r->level);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "channels[0].mode", 6 },
                { "channels[1].access", 0 },
                { "channels[1].access", 4 },
                { "channels[2].latched", 3 },
                { "channels[0].gate", 0 },
                { "channels[2].gate", 1 },
                { "channels[0].loaded", 1 },
                { "system", 0x10 },
                { "system", 0x01 },
                { "channels[0].elapsed_ns", UINT64_MAX },
                { "channels[0].load_tick", UINT64_MAX },
                { "channels[0].bcd", 2 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke(r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
    assert_null(r->loop.timers);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    program(r, 0, 3, 1000);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->level);
    assert_null(r->loop.timers);
    pit_set_wanted(r->dev, true);
    r->dev->desc->reset(r->dev);
    rig_run(r, NS_PER_S);
    assert_false(r->level);
    assert_int_equal(rig_in8(r, C0), 0xff);
    assert_int_equal(rig_in8(r, SYSTEM), 0xff);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(pit_create(&(struct pit_config){ .id = "2", .loop = &r->loop, .ports = &r->ports }, &second),
                     -EEXIST);
    assert_null(second);
    assert_int_equal(r->ports.nr_regions, 2);
}

/* Reads of port 43 and all others, in every size and every state of the latches. */
static void cve_2015_3214_control_port_reads(void **state)
{
    struct rig *r = *state;
    for (unsigned control = 0; control < 256; control++) {
        rig_out8(r, CONTROL, (uint8_t)control);
        for (uint16_t port = C0 - 3; port <= CONTROL + 3; port++) {
            (void)rig_in8(r, port);
            (void)rig_in16(r, port);
            (void)rig_in32(r, port);
            rig_out8(r, C0, (uint8_t)port);
        }
        assert_int_equal(rig_in8(r, CONTROL), 0xff);
    }
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    static const struct port_range ports[] = { { C0, CONTROL }, { SYSTEM, SYSTEM } };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        chip_every_port(*state, ports[i]);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    busy_state(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    struct rig *r = *state;
    static const struct port_range ports[] = { { 0x3f, 0x44 }, { 0x60, 0x62 } };
    chip_random_guest(r, ports, ARRAY_SIZE(ports), -1);
    uint64_t seed = 8254;
    for (unsigned step = 0; step < 20000; step++) { /* and with time */
        rig_out8(r, (uint16_t)(chip_random(&seed) % 5 == 4 ? SYSTEM : C0 + chip_random(&seed) % 4),
                 (uint8_t)chip_random(&seed));
        rig_run(r, UINT64_C(1) << chip_random(&seed) % 25);
        pit_update(r->dev); /* short periods lag behind */
        assert_int_equal(r->level, pit_out(r->dev, 0));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        cmocka_unit_test_setup_teardown(counting_at_reset, plug_in_counting, rig_teardown),
        TEST(mode_0_interrupts_on_zero),
        TEST(mode_0_waits_for_its_gate),
        TEST(mode_1_shoots_once_per_trigger),
        TEST(mode_1_without_trigger_stays),
        TEST(mode_2_divides),
        TEST(modes_2_and_3_start_with_their_gate),
        TEST(mode_3_is_a_square_wave),
        TEST(mode_3_loads_after_half_a_cycle),
        TEST(mode_4_strobes_once),
        TEST(mode_5_strobes_per_trigger),
        TEST(counts_of_zero_are_the_highest),
        TEST(counts_in_bcd),
        TEST(counts_of_one),
        TEST(short_periods_are_throttled),
        TEST(access_by_halves),
        TEST(latch_holds_until_read),
        TEST(read_back),
        TEST(system_port),
        TEST(wide_accesses_are_bytes),
        TEST(nobody_listens),
        TEST(late_timers),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_ports),
        TEST(cve_2015_3214_control_port_reads),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
