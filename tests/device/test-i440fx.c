/* 440FX host bridge and configuration ports; [FX name] is a register of the 82441FX data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "i440fx.h"

enum { CF8 = 0xcf8, CF9 = 0xcf9, CFC = 0xcfc };
#define ENABLE UINT32_C(0x80000000)

static struct {
    uint8_t register_cf9;
    unsigned reads, writes;
} south;

static uint8_t south_read(void *opaque)
{
    south.reads++;
    return south.register_cf9;
}

static void south_write(void *opaque, uint8_t val)
{
    south.writes++;
    south.register_cf9 = val;
}

static int plug_in_with(void **state, uint64_t ram_bytes)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = i440fx_create(
        &(struct i440fx_config){ .id = "i440fx", .ports = &r->ports, .pci = &r->pci, .ram_bytes = ram_bytes }, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in(void **state)
{
    memset(&south, 0, sizeof(south));
    return plug_in_with(state, 512 * MIB);
}

static void identity(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_cfg_read(r, 0, 0x00, 4), 0x12378086);
    assert_int_equal(rig_cfg_read(r, 0, 0x04, 4), 0); /* command and status */
    assert_int_equal(rig_cfg_read(r, 0, 0x08, 4), 0x06000002);
    assert_int_equal(rig_cfg_read(r, 0, 0x0e, 1), 0);
    assert_int_equal(rig_cfg_read(r, 0, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(r, 0, 0x3d, 1), 0);
    assert_int_equal(rig_cfg_read(r, 0, 0x72, 1), 0x02); /* [FX SMRAM] */
    for (unsigned reg = 0x10; reg < 0x28; reg += 4)
        assert_int_equal(rig_cfg_read(r, 0, reg, 4), 0);
}

static void ram_size_is_told_in_8_mib(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint64_t ram;
        uint8_t expected;
    } cases[] = { { 0, 0 }, { 8 * MIB - 1, 0 }, { 512 * MIB, 64 }, { 2040 * MIB, 255 }, { 16 * GIB, 255 } };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        device_free(r->dev);
        assert_int_equal(plug_in_with(state, cases[i].ram), 0);
        assert_int_equal(rig_cfg_read(r, 0, 0x57, 1), cases[i].expected);
    }
}

/* PAM and SMRAM store and do nothing: nothing was mapped by them. */
static void memory_attributes_store(void **state)
{
    struct rig *r = *state;
    for (unsigned reg = 0x59; reg <= 0x5f; reg++) {
        assert_int_equal(rig_cfg_read(r, 0, reg, 1), 0);
        rig_cfg_write(r, 0, reg, 1, 0x33);
        assert_int_equal(rig_cfg_read(r, 0, reg, 1), 0x33);
    }
    rig_cfg_write(r, 0, 0x72, 1, 0xff);
    assert_int_equal(rig_cfg_read(r, 0, 0x72, 1), 0xff);
    assert_true(r->dev->desc->keeps_s3);
    assert_int_equal(r->memory.nr_regions, 0);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_cfg_read(r, 0, 0x59, 1), 0);
    assert_int_equal(rig_cfg_read(r, 0, 0x72, 1), 0x02);
}

/* [FX CONFADD] Linux looks for the mechanism like this. */
static void latch_takes_dwords_only(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0xcfb, 0x01);
    rig_out32(r, CF8, 0x80000000);
    assert_int_equal(rig_in32(r, CF8), 0x80000000);
    rig_out8(r, CF8, 0x12);
    rig_out16(r, CF8, 0x3456);
    rig_out16(r, 0xcfa, 0x3456);
    rig_out16(r, CF9, 0x3456);
    assert_int_equal(rig_in32(r, CF8), 0x80000000);
    assert_int_equal(rig_in8(r, CF8), 0xff);
    assert_int_equal(rig_in16(r, 0xcfa), 0xffff);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in32(r, CF8), 0);
}

static void byte_cf9_is_the_south_bridges(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, CF9), 0xff); /* nobody is bound */
    rig_out8(r, CF9, 0x06);
    i440fx_bind_reset_control(r->dev, south_read, south_write, NULL);
    rig_out8(r, CF9, 0x02);
    assert_int_equal(south.register_cf9, 0x02);
    assert_int_equal(rig_in8(r, CF9), 0x02);
    assert_int_equal(rig_in32(r, CF8), 0);
    rig_out32(r, CF8, 0x80000600);
    rig_out16(r, CF9, 0x0606);
    rig_out16(r, CF8, 0x0606);
    rig_out32(r, CF9, 0x06060606);
    (void)rig_in16(r, CF8);
    (void)rig_in32(r, CF8);
    assert_int_equal(south.writes, 1);
    assert_int_equal(south.reads, 1);
    i440fx_bind_reset_control(r->dev, NULL, NULL, NULL);
    assert_int_equal(rig_in8(r, CF9), 0xff);
}

static void configuration_through_the_ports(void **state)
{
    struct rig *r = *state;
    rig_out32(r, CF8, ENABLE);
    assert_int_equal(rig_in32(r, CFC), 0x12378086);
    assert_int_equal(rig_in16(r, CFC + 2), 0x1237);
    assert_int_equal(rig_in8(r, CFC + 1), 0x80);
    rig_out32(r, CF8, ENABLE | 0x58);
    rig_out8(r, CFC + 1, 0x11);
    rig_out16(r, CFC + 2, 0x3322);
    assert_int_equal(rig_in32(r, CFC), 0x33221100);
    rig_out32(r, CF8, ENABLE | 0x5a); /* bits 1-0 are the port's */
    assert_int_equal(rig_in32(r, CFC), 0x33221100);
}

static void data_ports_without_an_address(void **state)
{
    struct rig *r = *state;
    static const uint32_t latches[] = { 0x00000000, ENABLE | 0x10000, ENABLE | 0x01000000, ENABLE | 0x0800 };
    for (unsigned i = 0; i < ARRAY_SIZE(latches); i++) { /* disabled, bus 1, register 100, absent function */
        rig_out32(r, CF8, latches[i]);
        rig_out32(r, CFC, 0);
        assert_int_equal(rig_in32(r, CFC), 0xffffffff);
        assert_int_equal(rig_in8(r, CFC + 3), 0xff);
    }
}

/* [CVE-2020-13791] The end of the space, and accesses that run past the dword. */
static void cve_2020_13791_end_of_configuration_space(void **state)
{
    struct rig *r = *state;
    rig_out32(r, CF8, ENABLE | 0xfc);
    rig_out32(r, CFC, 0x44332211);
    assert_int_equal(rig_in32(r, CFC), 0x44332211);
    assert_int_equal(rig_in32(r, CFC + 1), 0xff443322);
    assert_int_equal(rig_in32(r, CFC + 3), 0xffffff44);
    assert_int_equal(rig_in16(r, CFC + 3), 0xff44);
    rig_out32(r, CFC + 3, 0xaaaaaa55);
    assert_int_equal(rig_in32(r, CFC), 0x55332211);
    rig_out32(r, CF8, ENABLE | 0x54); /* inside the space it is one access, as in the hypervisor's requests */
    rig_out32(r, CFC + 1, 0x67452301);
    assert_int_equal(rig_in32(r, CFC + 1), 0x67452301);
    assert_int_equal(rig_cfg_read(r, 0, 0x55, 4), 0x67452301);
}

/* A guest that was moved between cf8 and cfc: the hypervisor lost its latch, this one didn't. */
static void latch_survives_a_snapshot(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, 0, 0x59, 1, 0x30);
    rig_out32(r, CF8, ENABLE);
    rig_save(r);
    device_free(r->dev);
    plug_in(state);
    assert_int_equal(rig_in32(r, CFC), 0xffffffff);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in32(r, CF8), ENABLE);
    assert_int_equal(rig_in32(r, CFC), 0x12378086);
    assert_int_equal(rig_cfg_read(r, 0, 0x59, 1), 0x30);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    rig_save(r);
    rig_poke_at(r, "pci.config", 0, 0x12); /* vendor */
    assert_int_equal(rig_restore(r), -EINVAL);
    rig_save(r);
    rig_poke_at(r, "pci.config", 0x10, 0xff); /* a BAR that isn't there */
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    rig_out32(r, CF8, ENABLE);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in32(r, CF8), 0xffffffff);
    assert_int_equal(rig_in32(r, CFC), 0xffffffff);
    assert_int_equal(rig_cfg_read(r, 0, 0, 4), 0xffffffff);
}

static void taken_places(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    struct i440fx_config config = { .id = "second", .ports = &r->ports, .pci = &r->pci };
    assert_int_equal(i440fx_create(&config, &second), -EEXIST);
    struct bus other;
    assert_int_equal(bus_init(&other, true), 0);
    config.ports = &other;
    assert_int_equal(i440fx_create(&config, &second), -EEXIST);
    assert_int_equal(other.nr_regions, 0);
    assert_null(second);
    bus_finish(&other);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ CF8, CFC + 3 });
    chip_every_config(*state, 0);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { CF8 - 3, CFC + 6 } };
    i440fx_bind_reset_control(((struct rig *)*state)->dev, south_read, south_write, NULL);
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity),
        TEST(ram_size_is_told_in_8_mib),
        TEST(memory_attributes_store),
        TEST(latch_takes_dwords_only),
        TEST(byte_cf9_is_the_south_bridges),
        TEST(configuration_through_the_ports),
        TEST(data_ports_without_an_address),
        TEST(cve_2020_13791_end_of_configuration_space),
        TEST(latch_survives_a_snapshot),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_places),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
