/* The HPET; [HPET n] is a section of its specification. */
#include <errno.h>

#include "hpet.h"
#include "legacy-rig.h"

enum { CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0, ROUTES = 0x00f00004 };
enum { LEVEL = 2, INTERRUPT = 4, PERIODIC = 8, SET = 0x40, BITS_32 = 0x100, ROUTE_20 = 20 << 9, ROUTE_21 = 21 << 9 };

static unsigned timer_at(unsigned i)
{
    return 0x100 + 0x20 * i;
}

static void route(void *opaque, unsigned pin, bool level)
{
    struct rig *r = opaque;
    assert_in_range(pin, 0, 31);
    assert_int_not_equal(r->wires[pin], level); /* told of changes only */
    r->wires[pin] = level;
    r->wire_edges[pin] += level;
}

static void legacy_wire(void *opaque, unsigned wire, bool level)
{
    struct rig *r = opaque;
    r->wires[100 + wire] = level;
    r->wire_edges[100 + wire] += level;
}

static void legacy_changed(void *opaque, bool on)
{
    ((struct rig *)opaque)->s_state = on;
}

static struct irq legacy(struct rig *r, unsigned i)
{
    return (struct irq){ .fn = legacy_wire, .opaque = r, .wire = i };
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = hpet_create(&(struct hpet_config){ .id = "hpet",
                                                 .loop = &r->loop,
                                                 .memory = &r->memory,
                                                 .base = HPET_BASE,
                                                 .routes = ROUTES,
                                                 .route = route,
                                                 .legacy = { legacy(r, 0), legacy(r, 1) },
                                                 .legacy_changed = legacy_changed,
                                                 .opaque = r },
                          &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static uint64_t get(struct rig *r, unsigned reg)
{
    return rig_mmio_read(r, HPET_BASE + reg, 8);
}

static void put(struct rig *r, unsigned reg, uint64_t val)
{
    rig_mmio_write(r, HPET_BASE + reg, 8, val);
}

static void set_timer(struct rig *r, unsigned i, uint32_t config, uint64_t comparator)
{
    put(r, timer_at(i), config);
    put(r, timer_at(i) + 8, comparator);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(get(r, 0), UINT64_C(0x009896808086a201));
    assert_int_equal(get(r, CONFIG), 0);
    assert_int_equal(get(r, STATUS), 0);
    assert_int_equal(get(r, COUNTER), 0);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        assert_int_equal(get(r, timer_at(i)), (uint64_t)ROUTES << 32 | 0x30);
        assert_true(get(r, timer_at(i) + 8) == UINT64_MAX);
        assert_int_equal(get(r, timer_at(i) + 0x10), 0);
    }
    assert_int_equal(get(r, timer_at(3)), 0);
    rig_run(r, NS_PER_S);
    assert_int_equal(get(r, COUNTER), 0);
    assert_null(r->loop.timers);
}

static void reset_undoes_everything(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 3);
    set_timer(r, 0, INTERRUPT | PERIODIC | SET, 1000);
    set_timer(r, 2, INTERRUPT | LEVEL | ROUTE_20, 1000);
    rig_run(r, 20000);
    assert_true(r->wires[100]);
    assert_true(r->wires[20]);
    r->dev->desc->reset(r->dev);
    assert_false(r->wires[100]);
    assert_false(r->wires[20]);
    assert_int_equal(r->s_state, 0);
    reset_values(state);
}

/* [HPET 2.3.2] */
static void accesses_by_size(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_mmio_read(r, HPET_BASE, 4), 0x8086a201);
    assert_int_equal(rig_mmio_read(r, HPET_BASE + 4, 4), 0x00989680);
    rig_mmio_write(r, HPET_BASE + COUNTER + 4, 4, 0x11223344);
    rig_mmio_write(r, HPET_BASE + COUNTER, 4, 0x55667788);
    assert_int_equal(get(r, COUNTER), UINT64_C(0x1122334455667788));
    assert_int_equal(rig_mmio_read(r, HPET_BASE + COUNTER + 4, 4), 0x11223344);
    assert_int_equal(rig_mmio_read(r, HPET_BASE + COUNTER, 1), 0xff); /* refused */
    assert_int_equal(rig_mmio_read(r, HPET_BASE + COUNTER, 2), 0xffff);
    rig_mmio_write(r, HPET_BASE + COUNTER, 2, 0);
    assert_int_equal(get(r, COUNTER), UINT64_C(0x1122334455667788));
    rig_mmio_write(r, HPET_BASE + CONFIG + 4, 4, 3); /* the high half of a register is not the low one */
    rig_mmio_write(r, HPET_BASE + timer_at(0) + 4, 4, 0xffffffff);
    assert_int_equal(get(r, CONFIG), 0);
    assert_int_equal(get(r, timer_at(0)), (uint64_t)ROUTES << 32 | 0x30);
}

static void registers_store_what_they_have(void **state)
{
    struct rig *r = *state;
    put(r, 0, UINT64_MAX);
    assert_int_equal(get(r, 0), UINT64_C(0x009896808086a201));
    put(r, CONFIG, UINT64_MAX);
    assert_int_equal(get(r, CONFIG), 3);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        put(r, timer_at(i), UINT64_MAX); /* route 31 can't be */
        assert_int_equal(get(r, timer_at(i)), (uint64_t)ROUTES << 32 | 0x17e);
        put(r, timer_at(i), ROUTE_21);
        assert_int_equal(get(r, timer_at(i)), (uint64_t)ROUTES << 32 | 0x30 | ROUTE_21);
        put(r, timer_at(i), 5 << 9);
        assert_int_equal(get(r, timer_at(i)) & 0x3e00, ROUTE_21);
    }
}

static void counter_follows_the_clock(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    rig_run(r, 999);
    assert_int_equal(get(r, COUNTER), 99);
    rig_run(r, 1);
    assert_int_equal(get(r, COUNTER), 100);
    for (unsigned i = 0; i < 100; i++) { /* reading rounds nothing away */
        rig_run(r, 7);
        (void)get(r, COUNTER);
    }
    assert_int_equal(get(r, COUNTER), 170);
    put(r, CONFIG, 0);
    rig_run(r, NS_PER_S);
    assert_int_equal(get(r, COUNTER), 170);
    put(r, COUNTER, UINT64_MAX);
    put(r, CONFIG, 1);
    rig_run(r, 20);
    assert_int_equal(get(r, COUNTER), 1);
}

static void one_shot_edge(void **state)
{
    struct rig *r = *state;
    set_timer(r, 1, INTERRUPT | ROUTE_20, 1000);
    assert_null(r->loop.timers);
    put(r, CONFIG, 1);
    rig_run(r, 9999);
    assert_false(r->wires[20]);
    rig_run(r, 1);
    assert_true(r->wires[20]);
    assert_int_equal(get(r, STATUS), 0); /* edges have none [HPET 2.3.6] */
    assert_null(r->loop.timers);
    put(r, timer_at(1) + 8, 2000);
    rig_run(r, 10000);
    assert_int_equal(r->wire_edges[20], 2); /* a new edge */
    put(r, timer_at(1), ROUTE_20);
    assert_false(r->wires[20]);
}

static void level_until_status_is_cleared(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    set_timer(r, 2, INTERRUPT | LEVEL | ROUTE_21, 1000);
    rig_run(r, 10000);
    assert_true(r->wires[21]);
    assert_int_equal(get(r, STATUS), 4);
    put(r, STATUS, 3);
    assert_true(r->wires[21]);
    put(r, STATUS, 4);
    assert_false(r->wires[21]);
    assert_int_equal(get(r, STATUS), 0);
    set_timer(r, 2, LEVEL | ROUTE_21, 2000);
    rig_run(r, 10000);
    assert_false(r->wires[21]);
    assert_int_equal(get(r, STATUS), 4); /* status comes without interrupt too [HPET 2.3.8] */
    put(r, timer_at(2), INTERRUPT | LEVEL | ROUTE_21);
    assert_true(r->wires[21]);
    put(r, CONFIG, 0);
    assert_false(r->wires[21]);
    put(r, CONFIG, 1);
    assert_true(r->wires[21]);
    put(r, timer_at(2), INTERRUPT | ROUTE_21); /* an edge has no status to show */
    assert_false(r->wires[21]);
    assert_int_equal(get(r, STATUS), 0);
}

/* [HPET 2.3.9.2] */
static void periodic(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    rig_run(r, 1000000);
    set_timer(r, 0, INTERRUPT | PERIODIC | SET | ROUTE_20, 110000);
    assert_int_equal(get(r, timer_at(0)) & SET, 0); /* clears itself */
    put(r, timer_at(0) + 8, 10000);
    assert_int_equal(get(r, timer_at(0) + 8), 110000);
    rig_run(r, 99999);
    assert_int_equal(r->wire_edges[20], 0);
    rig_run(r, 1);
    assert_int_equal(r->wire_edges[20], 1);
    assert_int_equal(get(r, timer_at(0) + 8), 120000);
    rig_run(r, 1000000);
    assert_int_equal(r->wire_edges[20], 11);
    put(r, CONFIG, 0);
    rig_run(r, NS_PER_S);
    assert_int_equal(r->wire_edges[20], 11);
    assert_null(r->loop.timers);
}

/* Without anybody to hear it a periodic timer goes on by arithmetic. */
static void periodic_without_interrupt_needs_no_timer(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    set_timer(r, 0, PERIODIC | SET | LEVEL, 1000);
    assert_null(r->loop.timers);
    rig_run(r, NS_PER_S);
    assert_int_equal(get(r, timer_at(0) + 8), 100001000);
    assert_int_equal(get(r, STATUS), 1);
    put(r, timer_at(0), INTERRUPT | PERIODIC | LEVEL | ROUTE_20);
    assert_true(r->wires[20]);
    assert_null(r->loop.timers); /* the line can't get higher */
}

static void comparators_of_32_bits(void **state)
{
    struct rig *r = *state;
    put(r, COUNTER, UINT64_C(0x5fffffff0));
    put(r, CONFIG, 1);
    set_timer(r, 0, INTERRUPT | BITS_32 | ROUTE_20, UINT64_C(0x700000010));
    assert_int_equal(get(r, timer_at(0) + 8), 0x10);
    rig_run(r, 310);
    assert_int_equal(r->wire_edges[20], 0);
    rig_run(r, 10);
    assert_int_equal(r->wire_edges[20], 1);
    rig_run(r, UINT64_C(42949672960)); /* one-shot, but the low half comes round again */
    assert_int_equal(r->wire_edges[20], 2);
    put(r, timer_at(1) + 8, UINT64_MAX);
    put(r, timer_at(1), BITS_32);
    assert_int_equal(get(r, timer_at(1) + 8), UINT32_MAX);
}

static void late_comparators_match_at_once(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    rig_run(r, 100000000);
    set_timer(r, 0, INTERRUPT | ROUTE_20, 9950000); /* half a millisecond ago */
    assert_int_equal(r->wire_edges[20], 1);
    assert_null(r->loop.timers);
    put(r, timer_at(0) + 8, 1); /* long ago: the next wrap */
    assert_int_equal(r->wire_edges[20], 1);
    put(r, timer_at(0) + 8, get(r, COUNTER));
    assert_int_equal(r->wire_edges[20], 2);
    set_timer(r, 1, INTERRUPT | PERIODIC | SET | BITS_32 | ROUTE_21, 9990000);
    assert_int_equal(r->wire_edges[21], 1);
    assert_int_equal(get(r, timer_at(1) + 8), 9990000 * 2);
}

/* [HPET 2.3.5] */
static void legacy_replacement(void **state)
{
    struct rig *r = *state;
    assert_false(hpet_legacy(r->dev));
    put(r, CONFIG, 3);
    assert_true(hpet_legacy(r->dev));
    assert_int_equal(r->s_state, 1);
    set_timer(r, 0, INTERRUPT | ROUTE_20, 1000);
    set_timer(r, 1, INTERRUPT | ROUTE_20, 2000);
    set_timer(r, 2, INTERRUPT | ROUTE_21, 3000);
    rig_run(r, 10000);
    assert_int_equal(r->wire_edges[100], 1);
    assert_int_equal(r->wire_edges[101], 0);
    rig_run(r, 20000);
    assert_int_equal(r->wire_edges[101], 1);
    assert_int_equal(r->wire_edges[20], 0);
    assert_int_equal(r->wire_edges[21], 1);
    put(r, CONFIG, 1);
    assert_false(r->wires[100]);
    assert_true(r->wires[20]);
    assert_int_equal(r->s_state, 0);
}

static void shared_pins(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    set_timer(r, 0, INTERRUPT | LEVEL | ROUTE_20, 1000);
    set_timer(r, 1, INTERRUPT | LEVEL | ROUTE_20, 1000);
    rig_run(r, 10000);
    assert_int_equal(r->wire_edges[20], 1);
    put(r, STATUS, 1);
    assert_true(r->wires[20]);
    put(r, STATUS, 2);
    assert_false(r->wires[20]);
    set_timer(r, 2, INTERRUPT, 2000); /* route 0 can't be: nowhere */
    rig_run(r, 10000);
    assert_false(r->wires[0]);
}

static void short_periods_are_throttled(void **state)
{
    struct rig *r = *state;
    put(r, CONFIG, 1);
    set_timer(r, 0, INTERRUPT | PERIODIC | SET | ROUTE_20, 1);
    rig_run(r, 10000000);
    assert_in_range(r->wire_edges[20], 100, 201);
    set_timer(r, 0, INTERRUPT | PERIODIC | SET | ROUTE_20, 0); /* no period: once */
    unsigned edges = r->wire_edges[20];
    rig_run(r, 10000000);
    assert_in_range(r->wire_edges[20], edges, edges + 1);
}

static void busy_state(struct rig *r)
{
    put(r, CONFIG, 1);
    rig_run(r, 1003);
    set_timer(r, 0, INTERRUPT | PERIODIC | SET | ROUTE_20, 1000);
    put(r, timer_at(0) + 8, 5000);
    set_timer(r, 1, INTERRUPT | LEVEL | ROUTE_21, 1000);
    set_timer(r, 2, INTERRUPT | BITS_32 | ROUTE_20, 30000);
    rig_run(r, 20000);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    memset(r->wires, 0, sizeof(r->wires));
    memset(r->wire_edges, 0, sizeof(r->wire_edges));
    r->now_ns += 5 * NS_PER_S; /* a clock of its own */
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_true(r->wires[20]);
    assert_true(r->wires[21]);
    assert_int_equal(get(r, STATUS), 2);
    assert_int_equal(get(r, COUNTER), 2100);
    rig_run(r, 6);
    assert_int_equal(get(r, COUNTER), 2100);
    rig_run(r, 1);
    assert_int_equal(get(r, COUNTER), 2101);
    assert_int_equal(get(r, timer_at(0) + 8), 6000);
    rig_run(r, 38990);
    assert_int_equal(r->wire_edges[20], 2);
    assert_int_equal(get(r, timer_at(0) + 8), 11000);
    rig_run(r, 240000);
    assert_int_equal(r->wire_edges[20], 7);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "config", 4 },
                { "status", 8 },
                { "status", 1 },
                { "residue_ns", 10 },
                { "edges", 1 },
                { "timer_config", 1 },
                { "timer_config", 1 << 9 },
                { "timer_config", BITS_32 },
                { "edges", 8 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke(r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
}

/* The number of timers is no part of the state; more or fewer of them don't fit the record. */
static void cve_2013_4527_number_of_timers(void **state)
{
    struct rig *r = *state;
    static const int counts[] = { 0, 33, 255 };
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        rig_save(r);
        uint32_t bytes = le32_get(r->saved.data + DEVICE_ID_BYTES + 2);
        le32_put(r->saved.data + DEVICE_ID_BYTES + 2, (uint32_t)((int)bytes + (counts[i] - HPET_TIMERS) * 20));
        assert_int_equal(rig_restore(r), -EINVAL);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    put(r, CONFIG, 3);
    assert_int_equal(r->s_state, 1);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(r->s_state, 0);
    assert_false(r->wires[20]);
    assert_false(r->wires[21]);
    assert_false(r->wires[100]);
    assert_null(r->loop.timers);
    assert_int_equal(rig_mmio_read(r, HPET_BASE, 4), UINT32_MAX);
}

static void taken_memory(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(
        hpet_create(&(struct hpet_config){ .id = "2", .loop = &r->loop, .memory = &r->memory, .base = HPET_BASE },
                    &second),
        -EEXIST);
    assert_null(second);
}

static void cve_2020_25742_every_address_every_size(void **state)
{
    legacy_every_address(*state, HPET_BASE, 0x180);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    busy_state(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    struct rig *r = *state;
    uint64_t seed = 20041001;
    static const unsigned regs[] = { CONFIG, STATUS, COUNTER, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148 };
    for (unsigned step = 0; step < 20000; step++) {
        unsigned reg = regs[chip_random(&seed) % ARRAY_SIZE(regs)];
        uint64_t val = (uint64_t)chip_random(&seed) << 32 | chip_random(&seed);
        put(r, reg, reg == CONFIG ? val | 1 : val >> chip_random(&seed) % 64);
        rig_run(r, UINT64_C(1) << val % 20);
        (void)get(r, reg);
    }
    legacy_random_guest(r, HPET_BASE, 0x170, 0x40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(reset_undoes_everything),
        TEST(accesses_by_size),
        TEST(registers_store_what_they_have),
        TEST(counter_follows_the_clock),
        TEST(one_shot_edge),
        TEST(level_until_status_is_cleared),
        TEST(periodic),
        TEST(periodic_without_interrupt_needs_no_timer),
        TEST(comparators_of_32_bits),
        TEST(late_comparators_match_at_once),
        TEST(legacy_replacement),
        TEST(shared_pins),
        TEST(short_periods_are_throttled),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(cve_2013_4527_number_of_timers),
        TEST(unplug_is_final),
        TEST(taken_memory),
        TEST(cve_2020_25742_every_address_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
