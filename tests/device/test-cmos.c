/* The device model's share of the CMOS RAM: what SeaBIOS, hvmloader and OVMF read there. */
#include <errno.h>

#include "chipset-rig.h"
#include "cmos.h"

static struct cmos_config config_of(struct rig *r)
{
    return (struct cmos_config){
        .id = "cmos",
        .ports = &r->ports,
        .ram_below_4g_bytes = 3840 * MIB,
        .ram_above_4g_bytes = 4352 * MIB,
        .boot_order = "cdn",
        .vcpus = 4,
        .century = 20,
        .drives = { { .cylinders = 16383, .heads = 16, .sectors = 63, .translation = 1 },
                    { .cylinders = 615, .heads = 4, .sectors = 17 },
                    { 0 },
                    { .cylinders = 1024, .heads = 16, .sectors = 63, .translation = 2 } },
    };
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    struct cmos_config config = config_of(r);
    int err = cmos_create(&config, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static void plug_in_other(struct rig *r, const struct cmos_config *config)
{
    device_free(r->dev);
    r->dev = NULL;
    assert_int_equal(cmos_create(config, &r->dev), 0);
    chip_start(r);
}

static uint8_t get(struct rig *r, uint8_t index)
{
    rig_out8(r, 0x70, index);
    return rig_in8(r, 0x71);
}

static uint16_t get16(struct rig *r, uint8_t index)
{
    return (uint16_t)(get(r, index) | get(r, (uint8_t)(index + 1)) << 8);
}

static void put(struct rig *r, uint8_t index, uint8_t val)
{
    rig_out8(r, 0x70, index);
    rig_out8(r, 0x71, val);
}

/* Every byte, so that none is set by mistake. */
static void contents(void **state)
{
    struct rig *r = *state;
    static const uint8_t expected[CMOS_BYTES] = {
        [0x12] = 0xff,
        [0x14] = 0x06,
        [0x15] = 0x80,
        [0x16] = 0x02,
        [0x17] = 0xff,
        [0x18] = 0xff,
        [0x19] = 47,
        [0x1a] = 47,
        [0x1b] = 0xff,
        0x3f,
        16,
        0xff,
        0xff,
        0xc8,
        0xff,
        0x3f,
        63,
        [0x24] = 0x67,
        0x02,
        4,
        0xff,
        0xff,
        0xc0,
        0x67,
        0x02,
        17,
        [0x30] = 0xff,
        [0x31] = 0xff,
        [0x32] = 0x20,
        [0x34] = 0x00,
        [0x35] = 0xef,
        [0x37] = 0x20,
        [0x38] = 0x40,
        [0x39] = 0x81,
        [0x3d] = 0x32,
        [0x5b] = 0x00,
        [0x5c] = 0x10,
        [0x5d] = 0x01,
        [0x5f] = 3,
    };
    for (unsigned i = CMOS_FIRST; i < CMOS_BYTES; i++)
        assert_int_equal(get(r, (uint8_t)i), expected[i]);
}

static void memory_sizes(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint64_t below, above;
        uint16_t extended, above_16m;
        uint32_t above_4g;
    } cases[] = {
        { 0, 0, 0, 0, 0 },
        { 1 * MIB, 0, 0, 0, 0 },
        { 16 * MIB, 0, 15360, 0, 0 },
        { 128 * MIB, 64 * KIB, 0xffff, 0x700, 1 },
        { 4 * GIB, 2048 * GIB * 1024, 0xffff, 0xff00, 0xffffff },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cmos_config config = config_of(r);
        config.ram_below_4g_bytes = cases[i].below;
        config.ram_above_4g_bytes = cases[i].above;
        plug_in_other(r, &config);
        assert_int_equal(get16(r, 0x15), 640);
        assert_int_equal(get16(r, 0x17), cases[i].extended);
        assert_int_equal(get16(r, 0x30), cases[i].extended);
        assert_int_equal(get16(r, 0x34), cases[i].above_16m);
        assert_int_equal(get16(r, 0x5b) | (uint32_t)get(r, 0x5d) << 16, cases[i].above_4g);
    }
}

static void boot_orders(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *order;
        uint8_t first_two, third;
    } cases[] = { { "cda", 0x32, 0x10 }, { "dc", 0x23, 0x00 }, { "n", 0x04, 0x00 },     { "", 0x00, 0x00 },
                  { NULL, 0, 0 },        { "b", 0x01, 0x00 },  { "cdnac", 0x32, 0x40 }, { "x?cd", 0x32, 0x00 } };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cmos_config config = config_of(r);
        config.boot_order = cases[i].order;
        plug_in_other(r, &config);
        assert_int_equal(get(r, 0x3d), cases[i].first_two);
        assert_int_equal(get(r, 0x38), cases[i].third);
    }
}

static void no_disks(void **state)
{
    struct rig *r = *state;
    struct cmos_config config = config_of(r);
    memset(config.drives, 0, sizeof(config.drives));
    config.drives[1] = (struct cmos_drive){ .cylinders = 1, .heads = 9, .sectors = 1, .translation = 3 };
    plug_in_other(r, &config);
    assert_int_equal(get(r, 0x12), 0x0f);
    assert_int_equal(get(r, 0x19), 0);
    assert_int_equal(get(r, 0x1a), 47);
    for (uint8_t i = 0x1b; i <= 0x23; i++)
        assert_int_equal(get(r, i), 0);
    assert_int_equal(get(r, 0x29), 0xc8); /* more than 8 heads */
    assert_int_equal(get(r, 0x39), 0x0c);
    config.drives[0] = config.drives[1];
    config.drives[1].cylinders = 0;
    plug_in_other(r, &config);
    assert_int_equal(get(r, 0x12), 0xf0);
    assert_int_equal(get(r, 0x1a), 0);
}

/* [PC/AT BIOS data, bytes 10 and 14] */
static void floppies(void **state)
{
    static const struct {
        uint8_t first, second, types, equipment;
    } boards[] = { { 0, 0, 0x00, 0x06 }, { 4, 0, 0x40, 0x07 }, { 0, 2, 0x02, 0x07 }, { 5, 4, 0x54, 0x47 } };
    for (unsigned i = 0; i < ARRAY_SIZE(boards); i++) {
        struct cmos_config config = { .vcpus = 1, .century = 20, .floppies = { boards[i].first, boards[i].second } };
        uint8_t data[CMOS_BYTES];
        cmos_fill(&config, data);
        assert_int_equal(data[0x10], boards[i].types);
        assert_int_equal(data[0x14], boards[i].equipment);
    }
}

static void centuries_and_cpus(void **state)
{
    struct rig *r = *state;
    struct cmos_config config = config_of(r);
    config.century = 19;
    config.vcpus = 128;
    plug_in_other(r, &config);
    assert_int_equal(get(r, 0x32), 0x19);
    assert_int_equal(get(r, 0x5f), 127);
}

static void century_has_two_places(void **state)
{
    struct rig *r = *state;
    put(r, 0x37, 0x21);
    assert_int_equal(get(r, 0x32), 0x21);
    put(r, 0x32, 0x22);
    assert_int_equal(get(r, 0x37), 0x22);
    cmos_set(r->dev, 0x37, 0x23);
    assert_int_equal(cmos_get(r->dev, 0x32), 0x23);
}

/* hvmloader corrects the memory sizes. */
static void bytes_store(void **state)
{
    struct rig *r = *state;
    for (unsigned i = CMOS_FIRST; i < CMOS_BYTES; i++) {
        if (i != 0x37)
            put(r, (uint8_t)i, (uint8_t)~i);
    }
    for (unsigned i = CMOS_FIRST; i < CMOS_BYTES; i++)
        assert_int_equal(get(r, (uint8_t)i), i == 0x37 ? (uint8_t)~0x32u : (uint8_t)~i);
}

static void index_port_is_write_only(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x70, 0x14);
    assert_int_equal(rig_in8(r, 0x70), 0xff);
    assert_int_equal(rig_in8(r, 0x71), 0x06);
    rig_out8(r, 0x70, 0x94); /* bit 7 gates NMI */
    assert_int_equal(rig_in8(r, 0x71), 0x06);
    rig_out16(r, 0x70, 0x5510); /* index and data as one word */
    assert_int_equal(get(r, 0x10), 0x55);
    assert_int_equal(rig_in16(r, 0x70), 0x55ff);
}

/* 00-0d are the hypervisor's clock. */
static void clock_is_elsewhere(void **state)
{
    struct rig *r = *state;
    for (uint8_t i = 0; i < CMOS_FIRST; i++) {
        put(r, i, 0x11);
        assert_int_equal(get(r, i), 0xff);
        cmos_set(r->dev, i, 0x11);
        assert_int_equal(cmos_get(r->dev, i), 0xff);
    }
    cmos_set(r->dev, CMOS_BYTES, 0x11);
    cmos_set(r->dev, UINT32_MAX, 0x11);
    assert_int_equal(cmos_get(r->dev, CMOS_BYTES), 0xff);
}

/* S3: the machine sets the byte, the wake-up resets devices, the firmware reads it. */
static void battery_survives_a_reset(void **state)
{
    struct rig *r = *state;
    cmos_set(r->dev, CMOS_SHUTDOWN_STATUS, CMOS_RESUME_FROM_S3);
    put(r, 0x34, 0x12);
    r->dev->desc->reset(r->dev);
    assert_int_equal(get(r, 0x0f), 0xfe);
    assert_true(r->dev->desc->keeps_s3);
    assert_int_equal(get(r, 0x34), 0x12);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    bytes_store(state);
    rig_out8(r, 0x70, 0x42);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, 0x71), (uint8_t)~0x42u);
    for (unsigned i = CMOS_FIRST; i < CMOS_BYTES; i++)
        assert_int_equal(get(r, (uint8_t)i), i == 0x37 ? (uint8_t)~0x32u : (uint8_t)~i);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    rig_save(r);
    rig_poke(r, "index", 0x80);
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(get(r, 0x14), 0xff);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct cmos_config config = config_of(r);
    struct device *second = NULL;
    assert_int_equal(cmos_create(&config, &second), -EEXIST);
    assert_null(second);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ 0x70, 0x71 });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0x6f, 0x72 } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents),
        TEST(memory_sizes),
        TEST(boot_orders),
        TEST(no_disks),
        cmocka_unit_test(floppies),
        TEST(centuries_and_cpus),
        TEST(century_has_two_places),
        TEST(bytes_store),
        TEST(index_port_is_write_only),
        TEST(clock_is_elsewhere),
        TEST(battery_survives_a_reset),
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
