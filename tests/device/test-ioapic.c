/* The 82093AA; [IOAPIC n] is a section of the data sheet. */
#include <errno.h>

#include "ioapic.h"
#include "legacy-rig.h"

enum { MASKED = 0x10000, LEVEL = 0x8000, REMOTE = 0x4000, PINS = 24 };

struct bench {
    struct irq in[IOAPIC_MAX_PINS];
    unsigned changes;
};

static struct bench *bench(struct rig *r)
{
    return (struct bench *)(void *)r->out;
}

static void message(void *opaque, uint64_t addr, uint32_t data)
{
    struct rig *r = opaque;
    r->msi_addr = addr;
    r->msi_data = data;
    r->msis++;
}

static void masks_changed(void *opaque)
{
    bench(opaque)->changes++;
}

static int plug_in_as(void **state, unsigned pins, enum ioapic_version version)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = ioapic_create(&(struct ioapic_config){ .id = "ioapic",
                                                     .memory = &r->memory,
                                                     .base = IOAPIC_BASE,
                                                     .pins = pins,
                                                     .version = version,
                                                     .message = message,
                                                     .masks_changed = masks_changed,
                                                     .opaque = r },
                            &r->dev);
    if (err)
        return err;
    for (unsigned pin = 0; pin < pins; pin++)
        bench(r)->in[pin] = ioapic_pin(r->dev, pin);
    chip_start(r);
    return 0;
}

static int plug_in(void **state)
{
    return plug_in_as(state, PINS, IOAPIC_V11);
}

static int plug_in_v20(void **state)
{
    return plug_in_as(state, IOAPIC_MAX_PINS, IOAPIC_V20);
}

static void drive(struct rig *r, unsigned pin, bool level)
{
    irq_set(&bench(r)->in[pin], level);
}

static uint32_t get(struct rig *r, unsigned reg)
{
    rig_mmio_write(r, IOAPIC_BASE, 4, reg);
    return (uint32_t)rig_mmio_read(r, IOAPIC_BASE + 0x10, 4);
}

static void put(struct rig *r, unsigned reg, uint32_t val)
{
    rig_mmio_write(r, IOAPIC_BASE, 4, reg);
    rig_mmio_write(r, IOAPIC_BASE + 0x10, 4, val);
}

static void route(struct rig *r, unsigned pin, uint8_t dest, uint32_t low)
{
    put(r, 0x11 + 2 * pin, (uint32_t)dest << 24);
    put(r, 0x10 + 2 * pin, low);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE, 4), 0);
    assert_int_equal(get(r, 0), 0);
    assert_int_equal(get(r, 1), 0x00170011);
    assert_int_equal(get(r, 2), 0);
    for (unsigned reg = 3; reg < 0x10; reg++)
        assert_int_equal(get(r, reg), 0);
    for (unsigned pin = 0; pin < PINS; pin++) {
        assert_int_equal(get(r, 0x10 + 2 * pin), MASKED);
        assert_int_equal(get(r, 0x11 + 2 * pin), 0);
        assert_true(ioapic_masked(r->dev, pin));
    }
    assert_int_equal(get(r, 0x10 + 2 * PINS), 0);
    assert_int_equal(get(r, 0xff), 0);
}

static void reset_undoes_everything(void **state)
{
    struct rig *r = *state;
    put(r, 0, UINT32_MAX);
    for (unsigned pin = 0; pin < PINS; pin++)
        route(r, pin, 0xff, LEVEL | pin);
    drive(r, 3, true);
    r->dev->desc->reset(r->dev);
    reset_values(state);
    assert_true(ioapic_level(r->dev, 3));
}

/* [IOAPIC 3.1, 3.2] */
static void registers_store_what_they_have(void **state)
{
    struct rig *r = *state;
    put(r, 0, UINT32_MAX);
    assert_int_equal(get(r, 0), 0x0f000000);
    assert_int_equal(get(r, 2), 0x0f000000);
    put(r, 1, UINT32_MAX);
    assert_int_equal(get(r, 1), 0x00170011);
    put(r, 2, 0);
    assert_int_equal(get(r, 2), 0x0f000000);
    put(r, 0x10, UINT32_MAX);
    assert_int_equal(get(r, 0x10), 0x0001afff); /* remote IRR and delivery status are read-only */
    put(r, 0x11, UINT32_MAX);
    assert_int_equal(get(r, 0x11), 0xff000000);
    put(r, 0x10 + 2 * PINS, UINT32_MAX);
    assert_int_equal(get(r, 0x10 + 2 * PINS), 0);
    rig_mmio_write(r, IOAPIC_BASE, 4, 0x12345611);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE, 4), 0x11);
}

static void accesses_by_size(void **state)
{
    struct rig *r = *state;
    rig_mmio_write(r, IOAPIC_BASE, 1, 0x10);
    rig_mmio_write(r, IOAPIC_BASE + 0x10, 2, 0x0123);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 1), 0x23);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 2), 0x0123);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 4), 0x0123);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 8), 0x0123);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x11, 1), 0);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x100, 4), 0);
    rig_mmio_write(r, IOAPIC_BASE + 0x14, 4, 0xff);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 4), 0x0123);
}

static void edges_send_once(void **state)
{
    struct rig *r = *state;
    route(r, 4, 0x05, 0x34);
    drive(r, 4, true);
    assert_int_equal(r->msis, 1);
    assert_int_equal(r->msi_addr, 0xfee05000);
    assert_int_equal(r->msi_data, 0x34);
    drive(r, 4, false);
    assert_int_equal(r->msis, 1);
    drive(r, 4, true);
    assert_int_equal(r->msis, 2);
    route(r, 4, 0x06, 0x35); /* high already */
    assert_int_equal(r->msis, 2);
    assert_int_equal(get(r, 0x18), 0x35);
}

/* [IOAPIC 3.2.4, Interrupt Mask] */
static void masked_edges_are_lost_masked_levels_wait(void **state)
{
    struct rig *r = *state;
    route(r, 4, 0, MASKED | 0x34);
    route(r, 5, 0, MASKED | LEVEL | 0x35);
    drive(r, 4, true);
    drive(r, 5, true);
    assert_int_equal(r->msis, 0);
    put(r, 0x18, 0x34);
    assert_int_equal(r->msis, 0);
    put(r, 0x1a, LEVEL | 0x35);
    assert_int_equal(r->msis, 1);
    assert_int_equal(r->msi_data, 0xc035);
}

/* [IOAPIC 3.2.4, Remote IRR] */
static void levels_wait_for_their_end(void **state)
{
    struct rig *r = *state;
    route(r, 9, 1, LEVEL | 0x40);
    drive(r, 9, true);
    assert_int_equal(r->msis, 1);
    assert_int_equal(get(r, 0x22), LEVEL | REMOTE | 0x40);
    drive(r, 9, false);
    drive(r, 9, true);
    put(r, 0x22, LEVEL | 0x40);
    assert_int_equal(r->msis, 1);
    ioapic_end_of_interrupt(r->dev, 0x41); /* another's */
    assert_int_equal(r->msis, 1);
    ioapic_end_of_interrupt(r->dev, 0x40);
    assert_int_equal(r->msis, 2);
    drive(r, 9, false);
    ioapic_end_of_interrupt(r->dev, 0x40);
    assert_int_equal(r->msis, 2);
    assert_int_equal(get(r, 0x22), LEVEL | 0x40);
    drive(r, 9, true);
    put(r, 0x22, MASKED | LEVEL | 0x40);
    ioapic_end_of_interrupt(r->dev, 0x40);
    assert_int_equal(r->msis, 3);
    put(r, 0x22, LEVEL | 0x40);
    assert_int_equal(r->msis, 4);
}

/* Without an EOI register drivers make the pin an edge for a moment. */
static void edge_and_back_ends_a_level(void **state)
{
    struct rig *r = *state;
    route(r, 9, 1, LEVEL | 0x40);
    drive(r, 9, true);
    drive(r, 9, false);
    put(r, 0x22, MASKED | 0x40);
    assert_int_equal(get(r, 0x22), MASKED | 0x40);
    put(r, 0x22, LEVEL | 0x40);
    assert_int_equal(get(r, 0x22), LEVEL | 0x40);
    rig_mmio_write(r, IOAPIC_BASE + 0x40, 4, 0x40); /* not in version 11 */
    drive(r, 9, true);
    rig_mmio_write(r, IOAPIC_BASE + 0x40, 4, 0x40);
    assert_int_equal(get(r, 0x22), LEVEL | REMOTE | 0x40);
    assert_int_equal(r->msis, 2);
}

static void delivery_modes(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint32_t low;
        unsigned msis;
        uint64_t addr;
        uint32_t data;
    } cases[] = {
        { 0x0050, 1, 0xfee80000, 0x0050 },
        { 0x0950, 1, 0xfee8000c, 0x0150 },
        { 0x0850, 1, 0xfee80004, 0x0050 },
        { 0x0250, 1, 0xfee80000, 0x0250 },
        { 0x0350, 0, 0, 0 },
        { 0x8450, 1, 0xfee80000, 0x0450 },
        { 0x0550, 1, 0xfee80000, 0x0550 },
        { 0x0650, 0, 0, 0 },
        { 0x8750, 1, 0xfee80000, 0x0750 },
        { 0x8150, 1, 0xfee80008, 0xc150 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        drive(r, 0, false);
        r->msis = 0;
        route(r, 0, 0x80, cases[i].low);
        drive(r, 0, true);
        assert_int_equal(r->msis, cases[i].msis);
        if (cases[i].msis) {
            assert_int_equal(r->msi_addr, cases[i].addr);
            assert_int_equal(r->msi_data, cases[i].data);
        }
        put(r, 0x10, MASKED);
    }
}

static void mask_changes_are_told(void **state)
{
    struct rig *r = *state;
    unsigned before = bench(r)->changes;
    route(r, 2, 0, 0x30);
    assert_int_equal(bench(r)->changes, before + 1);
    assert_false(ioapic_masked(r->dev, 2));
    route(r, 2, 0, 0x31);
    assert_int_equal(bench(r)->changes, before + 1);
    put(r, 0x14, MASKED);
    assert_int_equal(bench(r)->changes, before + 2);
}

static void version_20_has_48_pins_and_eoi(void **state)
{
    struct rig *r = *state;
    assert_int_equal(get(r, 1), 0x002f0020);
    route(r, 47, 2, LEVEL | 0x55);
    drive(r, 47, true);
    assert_int_equal(r->msis, 1);
    assert_int_equal(r->msi_addr, 0xfee02000);
    rig_mmio_write(r, IOAPIC_BASE + 0x40, 4, 0x55);
    assert_int_equal(r->msis, 2);
    drive(r, 47, false);
    rig_mmio_write(r, IOAPIC_BASE + 0x40, 4, 0x55);
    assert_int_equal(get(r, 0x10 + 94), LEVEL | 0x55);
}

static void busy_state(struct rig *r)
{
    put(r, 0, 0x05000000);
    route(r, 9, 1, LEVEL | 0x40);
    route(r, 4, 2, 0x41);
    drive(r, 9, true);
    drive(r, 4, true);
    rig_mmio_write(r, IOAPIC_BASE, 4, 0x22);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    unsigned before = r->msis;
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(r->msis, before); /* what was sent isn't sent again */
    drive(r, 4, true);                 /* the drivers say so too */
    drive(r, 9, true);
    assert_int_equal(r->msis, before);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 4), LEVEL | REMOTE | 0x40);
    assert_int_equal(get(r, 0), 0x05000000);
    assert_int_equal(get(r, 0x19), 0x02000000);
    ioapic_end_of_interrupt(r->dev, 0x40);
    assert_int_equal(r->msis, before + 1);
    assert_int_equal(r->msi_addr, 0xfee01000);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        unsigned i;
        uint64_t val;
    } bad[] = { { "id", 0, 0x10 },
                { "lines", 0, UINT64_C(1) << PINS },
                { "table", 0, MASKED | 0x1000 },
                { "table", 1, MASKED | UINT64_C(1) << 55 },
                { "table", 2, MASKED | REMOTE },
                { "table", 3, LEVEL | REMOTE | 0x400 },
                { "table", PINS, 0 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke_at(r, bad[i].field, bad[i].i, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    route(r, 4, 0, 0x34);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    drive(r, 4, true);
    assert_int_equal(r->msis, 0);
    assert_int_equal(rig_mmio_read(r, IOAPIC_BASE + 0x10, 4), UINT32_MAX);
}

static void refused_configurations(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    struct ioapic_config config = { .id = "2", .memory = &r->memory, .base = IOAPIC_BASE + 0x800, .pins = 24 };
    assert_int_equal(ioapic_create(&config, &second), -EEXIST);
    config.base = 0xfec10000;
    config.pins = 0;
    assert_int_equal(ioapic_create(&config, &second), -EINVAL);
    config.pins = IOAPIC_MAX_PINS + 1;
    assert_int_equal(ioapic_create(&config, &second), -EINVAL);
    assert_null(second);
}

static void cve_2020_25742_every_address_every_size(void **state)
{
    legacy_every_address(*state, IOAPIC_BASE, 0x60);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    busy_state(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    struct rig *r = *state;
    uint64_t seed = 82093;
    for (unsigned step = 0; step < 100000; step++) {
        uint32_t what = chip_random(&seed), val = chip_random(&seed);
        switch (what % 4) {
        case 0: put(r, what >> 8 & 0x7f, val >> (what >> 16) % 32); break;
        case 1: (void)get(r, what >> 8 & 0xff); break;
        case 2: drive(r, val % PINS, val >> 8 & 1); break;
        case 3: ioapic_end_of_interrupt(r->dev, (uint8_t)val); break;
        }
    }
    legacy_random_guest(r, IOAPIC_BASE, 0x50, 0x20);
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)
#define TEST_V20(name) cmocka_unit_test_setup_teardown(name, plug_in_v20, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(reset_undoes_everything),
        TEST(registers_store_what_they_have),
        TEST(accesses_by_size),
        TEST(edges_send_once),
        TEST(masked_edges_are_lost_masked_levels_wait),
        TEST(levels_wait_for_their_end),
        TEST(edge_and_back_ends_a_level),
        TEST(delivery_modes),
        TEST(mask_changes_are_told),
        TEST_V20(version_20_has_48_pins_and_eoi),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(refused_configurations),
        TEST(cve_2020_25742_every_address_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
        TEST_V20(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
