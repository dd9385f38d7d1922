/* PM1 event registers and the ACPI timer; [ACPI n] is a section of ACPI 2.0. */
#include <errno.h>

#include "chipset-rig.h"
#include "piix4-pm.h"
#include "pm-timer.h"

enum { PM = 0x600, STATUS = PM, ENABLE = PM + 2, TIMER = PM + 8 };
#define TOGGLE_24_NS UINT64_C(2343484437) /* 2^23 clocks */

static int plug_in_as(void **state, bool wide)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = pm_timer_create(
        &(struct pm_timer_config){
            .id = "pm-timer", .loop = &r->loop, .sci = rig_irq(r), .wide = wide, .ports = &r->ports, .base = PM },
        &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in(void **state)
{
    return plug_in_as(state, false);
}

static int plug_in_wide(void **state)
{
    return plug_in_as(state, true);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in32(r, STATUS), 0);
    assert_int_equal(rig_in32(r, TIMER), 0);
    assert_int_equal(rig_in32(r, PM + 4), UINT32_MAX); /* PM1 control is elsewhere */
    assert_null(r->loop.timers);
}

static void reset_undoes_everything(void **state)
{
    struct rig *r = *state;
    rig_out16(r, ENABLE, 0xffff);
    rig_run(r, 3 * NS_PER_S);
    pm_timer_event(r->dev, PM_POWER_BUTTON);
    assert_true(r->level);
    r->dev->desc->reset(r->dev);
    assert_false(r->level);
    reset_values(state);
}

/* [ACPI 4.7.3.3] */
static void timer_counts(void **state)
{
    struct rig *r = *state;
    rig_run(r, NS_PER_S);
    assert_int_equal(rig_in32(r, TIMER), 3579545);
    for (unsigned i = 0; i < 1000; i++) { /* reading rounds nothing away */
        rig_run(r, 1000001);
        (void)rig_in32(r, TIMER);
    }
    assert_int_equal(rig_in32(r, TIMER), 3579545 + UINT64_C(3579545) * 1000001000 / NS_PER_S);
    rig_out32(r, TIMER, 0);
    assert_int_equal(rig_in32(r, TIMER), 3579545 + UINT64_C(3579545) * 1000001000 / NS_PER_S);
    uint32_t val = rig_in32(r, TIMER);
    assert_int_equal(rig_in16(r, TIMER), val & 0xffff);
    assert_int_equal(rig_in8(r, TIMER + 2), val >> 16);
    rig_run(r, 3 * NS_PER_S);
    assert_true(rig_in32(r, TIMER) < 1u << 24);
}

static void wide_timer(void **state)
{
    struct rig *r = *state;
    rig_run(r, UINT64_C(1000) * NS_PER_S);
    assert_int_equal(rig_in32(r, TIMER), UINT32_C(3579545000));
    assert_int_equal(rig_in16(r, STATUS), 1); /* bit 31 rose */
    rig_out16(r, STATUS, 1);
    rig_run(r, UINT64_C(199) * NS_PER_S);
    assert_int_equal(rig_in16(r, STATUS), 0);
    rig_run(r, NS_PER_S);
    assert_int_equal(rig_in16(r, STATUS), 1); /* and fell */
}

/* [ACPI 4.7.2.1] */
static void top_bit_changes_interrupt(void **state)
{
    struct rig *r = *state;
    rig_out16(r, ENABLE, 0x0001);
    uint64_t start = r->now_ns;
    for (unsigned i = 1; i <= 3; i++) {
        uint64_t at = start + (UINT64_C(1) << 23) * i * NS_PER_S / PM_TIMER_HZ;
        rig_run(r, at - 1 - r->now_ns);
        assert_false(r->level);
        rig_run(r, 1);
        assert_true(r->level);
        assert_null(r->loop.timers);
        assert_int_equal(rig_in16(r, STATUS), 0x0001);
        rig_out8(r, STATUS, 0x01);
        assert_false(r->level);
    }
    rig_out16(r, ENABLE, 0);
    assert_null(r->loop.timers); /* nobody hears it */
    rig_run(r, UINT64_C(100) * NS_PER_S);
    assert_int_equal(rig_in16(r, STATUS), 0x0001); /* found when it is looked at */
    rig_out16(r, ENABLE, 1);
    assert_true(r->level);
}

/* [ACPI 4.7.3.1] */
static void status_and_enable(void **state)
{
    struct rig *r = *state;
    static const uint16_t events[] = { PM_POWER_BUTTON, PM_SLEEP_BUTTON, PM_RTC_ALARM };
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        pm_timer_event(r->dev, events[i]);
        assert_false(r->level);
        assert_int_equal(rig_in16(r, STATUS), events[i]);
        rig_out16(r, ENABLE, events[i]);
        assert_true(r->level);
        rig_out16(r, STATUS, (uint16_t)~events[i]);
        assert_true(r->level);
        rig_out16(r, STATUS, events[i]);
        assert_false(r->level);
        rig_out16(r, ENABLE, 0);
    }
    pm_timer_event(r->dev, PM_WAKE);
    rig_out16(r, ENABLE, 0xffff);
    assert_int_equal(rig_in16(r, ENABLE), 0x0721);
    assert_false(r->level); /* has no enable */
    assert_int_equal(rig_in16(r, STATUS), 0x8000);
    rig_out8(r, STATUS + 1, 0x80);
    assert_int_equal(rig_in16(r, STATUS), 0);
    rig_out8(r, ENABLE, 0x00);
    assert_int_equal(rig_in16(r, ENABLE), 0x0700);
    pm_timer_event(r->dev, PM_POWER_BUTTON);
    rig_out32(r, STATUS, 0x00200100); /* both registers at once */
    assert_int_equal(rig_in32(r, STATUS), 0x00200000);
    assert_false(r->level);
}

/* Behind the chipset's PM block: the same registers at its base, PM1 control between them. */
static void behind_the_chipset(void **state)
{
    struct rig *r = *state;
    struct device *chipset;
    assert_int_equal(piix4_pm_create(&(struct piix4_pm_config){ .id = "piix4-pm",
                                                                .ports = &r->ports,
                                                                .pci = &r->pci,
                                                                .devfn = PCI_DEVFN(1, 3),
                                                                .sci = irq_isa(&r->irqs, 9),
                                                                .vcpus = 1,
                                                                .max_vcpus = 1 },
                                     &chipset),
                     0);
    chipset->desc->reset(chipset);
    rig_cfg_write(r, PCI_DEVFN(1, 3), 0x40, 4, 0xb000);
    rig_cfg_write(r, PCI_DEVFN(1, 3), 0x80, 1, 1);
    assert_int_equal(rig_in32(r, 0xb008), UINT32_MAX);
    piix4_pm_bind_events(chipset, pm_timer_read, pm_timer_write, r->dev);
    rig_run(r, NS_PER_S);
    assert_int_equal(rig_in32(r, 0xb008), 3579545);
    assert_int_equal(rig_in32(r, 0xb000), 0);
    assert_int_equal(rig_in16(r, 0xb004), 0);
    assert_int_equal(rig_in32(r, 0xb00c), UINT32_MAX);
    rig_out16(r, 0xb002, 0x0100);
    pm_timer_event(r->dev, PM_POWER_BUTTON);
    assert_true(r->level);
    rig_out32(r, 0xb003, 0x00000101); /* enable's high byte and PM1 control */
    assert_int_equal(rig_in16(r, 0xb004), 1);
    assert_int_equal(rig_in16(r, 0xb002), 0x0100);
    rig_out16(r, 0xb000, 0x0100);
    assert_false(r->level);
    for (unsigned off = 0; off < 64; off++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            if (off + size <= 4 || off >= 6)
                bus_write(&r->ports, 0xb000 + off, size, UINT64_MAX);
            (void)bus_read(&r->ports, 0xb000 + off, size);
        }
    }
    piix4_pm_bind_events(chipset, NULL, NULL, NULL);
    assert_int_equal(rig_in32(r, 0xb008), UINT32_MAX);
    device_free(chipset);
}

static void busy_state(struct rig *r)
{
    rig_out16(r, ENABLE, 0x0101);
    rig_run(r, 3 * NS_PER_S);
    rig_out16(r, STATUS, 1);
    pm_timer_event(r->dev, PM_POWER_BUTTON);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    r->now_ns += 12345678901; /* a clock of its own */
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_true(r->level);
    assert_int_equal(rig_in32(r, TIMER), 3 * 3579545);
    assert_int_equal(rig_in32(r, STATUS), 0x01010100);
    rig_out16(r, STATUS, 0x0100);
    assert_false(r->level);
    rig_run(r, 2 * TOGGLE_24_NS - 3 * NS_PER_S - 1);
    assert_false(r->level);
    rig_run(r, 2);
    assert_true(r->level);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "elapsed_ns", UINT64_MAX }, { "status", 0x0002 }, { "enable", 0x8000 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke(r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    busy_state(r);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->level);
    assert_null(r->loop.timers);
    pm_timer_event(r->dev, PM_POWER_BUTTON);
    assert_false(r->level);
    assert_int_equal(rig_in32(r, TIMER), UINT32_MAX);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    struct pm_timer_config config = { .id = "2", .loop = &r->loop, .ports = &r->ports, .base = PM + 8 };
    assert_int_equal(pm_timer_create(&config, &second), -EEXIST);
    assert_null(second);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ PM, PM + 11 });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    busy_state(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { PM - 1, PM + 12 } };
    chip_random_guest(*state, ports, 1, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(reset_undoes_everything),
        TEST(timer_counts),
        cmocka_unit_test_setup_teardown(wide_timer, plug_in_wide, rig_teardown),
        TEST(top_bit_changes_interrupt),
        TEST(status_and_enable),
        TEST(behind_the_chipset),
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
