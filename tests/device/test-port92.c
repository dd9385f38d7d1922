/* System control port A. */
#include <errno.h>

#include "chipset-rig.h"
#include "port92.h"

static int create(struct rig *r, struct device **out)
{
    return port92_create(
        &(struct port92_config){ .id = "port92", .ports = &r->ports, .power = chip_power, .opaque = r }, out);
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = create(r, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static void a20_stores(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, 0x92), 0x00);
    rig_out8(r, 0x92, 0x02); /* OVMF */
    assert_int_equal(rig_in8(r, 0x92), 0x02);
    rig_out8(r, 0x92, 0xfc);
    assert_int_equal(rig_in8(r, 0x92), 0xfc);
    assert_int_equal(r->shutdown, -1);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in8(r, 0x92), 0x00);
}

/* The domain was told to end when the write returns. */
static void bit_0_reboots(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x92, 0x01);
    assert_int_equal(r->shutdown, HV_REBOOT);
    r->shutdown = -1;
    rig_out8(r, 0x92, 0xff);
    assert_int_equal(r->shutdown, HV_REBOOT);
}

static void wide_accesses_are_bytes(void **state)
{
    struct rig *r = *state;
    rig_out16(r, 0x92, 0x0102); /* 93 isn't ours */
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_in32(r, 0x92), 0xffffff02);
    rig_out16(r, 0x91, 0x0100);
    assert_int_equal(r->shutdown, HV_REBOOT);
}

static void power_is_optional(void **state)
{
    struct rig *r = *state;
    device_free(r->dev);
    assert_int_equal(port92_create(&(struct port92_config){ .id = "port92", .ports = &r->ports }, &r->dev), 0);
    rig_out8(r, 0x92, 0x01);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x92, 0x5a);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, 0x92), 0x5a);
    rig_poke(r, "latch", 0x01); /* a guest stopped in its reset: not again */
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(r->shutdown, -1);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    rig_out8(r, 0x92, 0x01);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_in8(r, 0x92), 0xff);
}

static void taken_port(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(create(r, &second), -EEXIST);
    assert_null(second);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ 0x92, 0x92 });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0x90, 0x93 } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a20_stores),
        TEST(bit_0_reboots),
        TEST(wide_accesses_are_bytes),
        TEST(power_is_optional),
        TEST(snapshot_is_complete),
        TEST(unplug_is_final),
        TEST(taken_port),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
