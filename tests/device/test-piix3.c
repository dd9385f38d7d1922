/* PIIX3 ISA bridge; [P3 name] is a register of the 82371SB data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "i440fx.h"
#include "piix3.h"

enum { DEVFN = PCI_DEVFN(1, 0), CF8 = 0xcf8, RC = 0xcf9 };

/* The bridge that hands port cf9 on; beside r->dev. */
static struct device *bridge;
static unsigned route_calls;
static int route_error;
static const struct hv_ops *rig_ops;

static int counted_route(struct hv *hv, unsigned link, unsigned irq)
{
    route_calls++;
    return route_error ? route_error : rig_ops->pci_link(hv, link, irq);
}

static int create(struct rig *r, struct device **out)
{
    return piix3_create(&(struct piix3_config){ .id = "piix3",
                                                .pci = &r->pci,
                                                .devfn = DEVFN,
                                                .hv = &r->hv,
                                                .host_bridge = bridge,
                                                .power = chip_power,
                                                .opaque = r },
                        out);
}

static int plug_in(void **state)
{
    static struct hv_ops ops;
    struct rig *r = *state = *state ? *state : rig_new();
    rig_ops = rig_ops ? rig_ops : r->hv.ops;
    ops = *rig_ops;
    ops.pci_link = counted_route;
    r->hv.ops = &ops;
    route_calls = 0;
    route_error = 0;
    int err = 0;
    if (!bridge) {
        err = i440fx_create(&(struct i440fx_config){ .id = "i440fx", .ports = &r->ports, .pci = &r->pci }, &bridge);
        if (err)
            return err;
    }
    err = create(r, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int pull_out(void **state)
{
    struct rig *r = *state;
    device_free(r->dev);
    r->dev = NULL;
    device_free(bridge);
    bridge = NULL;
    return rig_teardown(state);
}

static void identity(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x00, 4), 0x70008086);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x04, 4), 0x02000007);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x08, 4), 0x06010000);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x0e, 1), 0x80);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x3d, 1), 0);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    static const uint8_t expected[256] = {
        [0x4c] = 0x4d, [0x4e] = 0x03, [0x60] = 0x80, [0x61] = 0x80, [0x62] = 0x80, [0x63] = 0x80, [0x69] = 0x02,
        [0x70] = 0x80, [0x76] = 0x0c, [0x77] = 0x0c, [0x78] = 0x02, [0xa0] = 0x08, [0xa8] = 0x0f,
    };
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned reg = 0x40; reg < 0x100; reg++) {
            assert_int_equal(rig_cfg_read(r, DEVFN, reg, 1), expected[reg]);
            rig_cfg_write(r, DEVFN, reg, 1, 0x5a); /* all store */
            assert_int_equal(rig_cfg_read(r, DEVFN, reg, 1), 0x5a);
            rig_cfg_write(r, DEVFN, reg, 1, 0xff);
            assert_int_equal(rig_cfg_read(r, DEVFN, reg, 1), 0xff);
        }
        r->dev->desc->reset(r->dev);
    }
    assert_int_equal(rig_in8(r, RC), 0);
    assert_true(r->dev->desc->keeps_s3);
}

/* [P3 PIRQRC] What hvmloader writes, then what OVMF does. */
static void routes_reach_the_hypervisor(void **state)
{
    struct rig *r = *state;
    static const uint8_t hvmloader[4] = { 5, 10, 11, 5 };
    for (unsigned i = 0; i < 4; i++)
        rig_cfg_write(r, DEVFN, 0x60 + i, 1, hvmloader[i]);
    assert_memory_equal(r->links, hvmloader, 4);
    assert_int_equal(route_calls, 4);
    rig_cfg_write(r, DEVFN, 0x60, 4, 0x0b0b0a0a);
    assert_memory_equal(r->links, ((uint8_t[]){ 10, 10, 11, 11 }), 4);
    assert_int_equal(route_calls, 8);
}

static void bit_7_unroutes(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, DEVFN, 0x60, 4, 0x0a0a0a0a);
    rig_cfg_write(r, DEVFN, 0x62, 1, 0x8a);
    assert_int_equal(r->links[2], 0);
    assert_int_equal(r->links[1], 10);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x62, 1), 0x8a);
    for (unsigned val = 0; val < 256; val++) { /* nothing but 0-15 gets out: the rig checks that too */
        rig_cfg_write(r, DEVFN, 0x61, 1, val);
        assert_int_equal(r->links[1], val & 0x80 ? 0 : val & 0x0f);
    }
}

static void only_touched_links_are_sent(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, DEVFN, 0x61, 2, 0x0505);
    assert_int_equal(route_calls, 2);
    rig_cfg_write(r, DEVFN, 0x5e, 2, 0x0505);
    rig_cfg_write(r, DEVFN, 0x64, 4, 0x05050505);
    assert_int_equal(route_calls, 2);
    rig_cfg_write(r, DEVFN, 0x5e, 4, 0x05050505); /* unaligned: links A and B */
    assert_int_equal(route_calls, 4);
    assert_memory_equal(r->links, ((uint8_t[]){ 5, 5, 5, 0 }), 4);
}

static void reset_unroutes_what_was_routed(void **state)
{
    struct rig *r = *state;
    assert_int_equal(route_calls, 0); /* the first reset has nothing to take back: a restored guest's routes stay */
    rig_cfg_write(r, DEVFN, 0x60, 1, 5);
    r->dev->desc->reset(r->dev);
    assert_int_equal(r->links[0], 0);
    assert_int_equal(route_calls, 2);
    r->dev->desc->reset(r->dev);
    assert_int_equal(route_calls, 2);
}

static void refused_route_is_logged(void **state)
{
    struct rig *r = *state;
    route_error = -EPERM;
    rig_cfg_write(r, DEVFN, 0x60, 1, 5);
    assert_int_equal(r->log_lines, 1);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x60, 1), 5);
}

/* [P3 RC] Before the write returns; only the type is stored. */
static void reset_control_reboots(void **state)
{
    struct rig *r = *state;
    rig_out8(r, RC, 0xfb);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_in8(r, RC), 0x02);
    rig_out8(r, RC, 0xf8);
    assert_int_equal(rig_in8(r, RC), 0x00);
    assert_int_equal(r->shutdown, -1);
    rig_out8(r, RC, 0x06);
    assert_int_equal(r->shutdown, HV_REBOOT);
    assert_int_equal(rig_in8(r, RC), 0x02);
}

static void reset_control_is_one_byte(void **state)
{
    struct rig *r = *state;
    rig_out32(r, CF8, 0x06060606);
    rig_out16(r, CF8, 0x0606);
    rig_out16(r, RC, 0x0606);
    rig_out32(r, RC, 0x06060606);
    rig_out8(r, CF8, 0x06);
    rig_out8(r, CF8 + 2, 0x06);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_in8(r, RC), 0);
    assert_int_equal(rig_in32(r, CF8), 0x06060606);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, DEVFN, 0x60, 4, 0x0b800a05);
    rig_cfg_write(r, DEVFN, 0x82, 1, 0x01);
    rig_out8(r, RC, 0x02);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    memset(r->links, 0xee, sizeof(r->links));
    plug_in(state);
    assert_int_equal(route_calls, 0);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(route_calls, 4); /* no zeros in between */
    assert_memory_equal(r->links, ((uint8_t[]){ 5, 10, 0, 11 }), 4);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x82, 1), 0x01);
    assert_int_equal(rig_in8(r, RC), 0x02);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    rig_save(r);
    rig_poke(r, "reset_control", 0x04);
    assert_int_equal(rig_restore(r), -EINVAL);
    rig_save(r);
    rig_poke_at(r, "pci.config", 0x0e, 0x00);
    route_calls = 0;
    assert_int_equal(rig_restore(r), -EINVAL);
    assert_int_equal(route_calls, 0);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in8(r, RC), 0xff);
    rig_out8(r, RC, 0x06);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0, 4), 0xffffffff);
}

static void taken_function(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(create(r, &second), -EEXIST);
    assert_null(second);
    rig_out8(r, RC, 0x06); /* still bound to the first */
    assert_int_equal(r->shutdown, HV_REBOOT);
}

static void cve_2020_25742_every_register_every_size(void **state)
{
    chip_every_config(*state, DEVFN);
    chip_every_port(*state, (struct port_range){ RC, RC });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { CF8, CF8 + 7 } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), DEVFN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, pull_out)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity),
        TEST(reset_values),
        TEST(routes_reach_the_hypervisor),
        TEST(bit_7_unroutes),
        TEST(only_touched_links_are_sent),
        TEST(reset_unroutes_what_was_routed),
        TEST(refused_route_is_logged),
        TEST(reset_control_reboots),
        TEST(reset_control_is_one_byte),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_function),
        TEST(cve_2020_25742_every_register_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
