/* The legacy platform, wired. The hypervisor of this test hands the board's lines back, as one without a platform does.
 */
#include <errno.h>

#include "hpet.h"
#include "legacy-rig.h"
#include "platform.h"
#include "pm-timer.h"
#include "rtc.h"

enum { MASKED = 0x10000, LEVEL = 0x8000 };

struct world {
    struct rig *r;
    struct hv hv;
    struct hv_ops ops;
    struct irq_board board;
    struct devices devices;
    struct platform *platform;
    bool pins[48];
    unsigned changes[48];
};

static int to_isa(struct hv *hv, unsigned line, bool level)
{
    struct world *w = container_of(hv, struct world, hv);
    if (w->platform)
        platform_isa(w->platform, line, level);
    return 0;
}

static int to_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    platform_intx(container_of(hv, struct world, hv)->platform, slot, pin, level);
    return 0;
}

static int to_link(struct hv *hv, unsigned link, unsigned irq)
{
    platform_link(container_of(hv, struct world, hv)->platform, link, irq);
    return 0;
}

static int message(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct rig *r = container_of(hv, struct world, hv)->r;
    r->msi_addr = addr;
    r->msi_data = data;
    r->msis++;
    return 0;
}

static void pin_changed(void *opaque, unsigned pin, bool level)
{
    struct world *w = opaque;
    assert_in_range(pin, 0, 47);
    assert_int_not_equal(w->pins[pin], level);
    w->pins[pin] = level;
    w->changes[pin]++;
}

static struct platform_config config_of(struct world *w, const struct cmos_config *cmos)
{
    return (struct platform_config){ .loop = &w->r->loop,
                                     .ports = &w->r->ports,
                                     .memory = &w->r->memory,
                                     .hv = &w->hv,
                                     .irqs = &w->board,
                                     .devices = &w->devices,
                                     .cmos = cmos,
                                     .base_time_s = 1000000000,
                                     .ioapic_pins = 24,
                                     .ioapic_version = IOAPIC_V11,
                                     .hpet = true,
                                     .pm_timer = true,
                                     .intr = rig_irq(w->r),
                                     .pin_changed = pin_changed,
                                     .opaque = w };
}

static const struct cmos_config cmos = { .ram_below_4g_bytes = 64 * MIB, .vcpus = 1 };

static int plug_in_as(void **state, unsigned pins, bool counts_at_reset, bool hooked)
{
    struct world *w = *state = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->r = rig_new();
    w->ops = (struct hv_ops){ .isa_irq = to_isa, .pci_intx = to_intx, .pci_link = to_link, .msi = message };
    w->hv.ops = &w->ops;
    irq_board_init(&w->board, &w->hv);
    struct platform_config config = config_of(w, &cmos);
    config.ioapic_pins = pins;
    config.counts_at_reset = counts_at_reset;
    if (!hooked)
        config.pin_changed = NULL;
    int err = platform_create(&config, &w->platform);
    devices_reset(&w->devices);
    return err;
}

static int plug_in(void **state)
{
    return plug_in_as(state, 24, false, true);
}

static int plug_in_quiet(void **state)
{
    return plug_in_as(state, 24, false, false);
}

static int plug_in_like_qemu(void **state)
{
    return plug_in_as(state, 24, true, true);
}

static int plug_in_like_xen(void **state)
{
    return plug_in_as(state, 48, false, true);
}

static int teardown(void **state)
{
    struct world *w = *state;
    devices_free(&w->devices);
    platform_destroy(w->platform);
    rig_free(w->r);
    free(w);
    return 0;
}

static void init_pics(struct rig *r)
{
    static const uint8_t words[2][4] = { { 0x11, 0x20, 0x04, 0x01 }, { 0x11, 0x28, 0x02, 0x01 } };
    for (unsigned chip = 0; chip < 2; chip++) {
        for (unsigned i = 0; i < 4; i++)
            rig_out8(r, (uint16_t)((chip ? 0xa0 : 0x20) + (i > 0)), words[chip][i]);
    }
}

static void end_interrupt(struct rig *r)
{
    rig_out8(r, 0xa0, 0x20);
    rig_out8(r, 0x20, 0x20);
}

static void route(struct rig *r, unsigned pin, uint32_t low)
{
    rig_mmio_write(r, IOAPIC_BASE, 4, 0x10 + 2 * pin);
    rig_mmio_write(r, IOAPIC_BASE + 0x10, 4, low);
}

static void program_timer(struct rig *r, uint16_t count)
{
    rig_out8(r, 0x43, 0x34);
    rig_out8(r, 0x40, (uint8_t)count);
    rig_out8(r, 0x40, (uint8_t)(count >> 8));
}

static uint8_t cmos_read(struct rig *r, uint8_t index)
{
    rig_out8(r, 0x70, index);
    return rig_in8(r, 0x71);
}

/* A fresh machine as QEMU's tests know it: the first deadline, and the timer's pin 0. */
static void first_deadline_of_a_fresh_machine(void **state)
{
    struct world *w = *state;
    assert_true(w->pins[0]);
    assert_int_equal(timer_left(w->r->loop.timers), 27462700);
    rig_run(w->r, 27462700);
    assert_false(w->pins[0]);
    assert_int_equal(w->changes[0], 2);
    assert_int_equal(w->changes[2], 0);
    rig_out8(w->r, 0x21, 0xff); /* masks don't matter */
    assert_non_null(w->r->loop.timers);
    rig_run(w->r, 27462701);
    assert_true(w->pins[0]);
}

static void fresh_machine_is_idle(void **state)
{
    struct world *w = *state;
    assert_null(w->r->loop.timers);
    assert_null(w->r->loop.tasks);
    assert_false(w->r->level);
}

static void timer_reaches_both_controllers(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    init_pics(r);
    program_timer(r, 1193);
    assert_true(r->level);
    assert_int_equal(platform_acknowledge(w->platform), 0x20);
    end_interrupt(r);
    assert_false(r->level);
    route(r, 2, 0x30); /* the override: pin 2 */
    route(r, 0, 0x31);
    rig_run(r, NS_PER_MS);
    assert_true(r->level);
    assert_int_equal(r->msis, 1);
    assert_int_equal(r->msi_data, 0x30);
    assert_int_equal(r->msi_addr, 0xfee00000);
}

/* Systems with a better timer mask this one: it wakes nobody then, and its requests are there when they are looked for.
 */
static void masked_timer_sleeps(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    init_pics(r);
    program_timer(r, 1193);
    assert_int_equal(platform_acknowledge(w->platform), 0x20);
    end_interrupt(r);
    assert_non_null(r->loop.timers);
    rig_out8(r, 0x21, 0x01);
    assert_null(r->loop.timers);
    rig_out8(r, 0x20, 0x0a);
    assert_int_equal(rig_in8(r, 0x20), 0x00);
    rig_run(r, 10 * NS_PER_MS);
    assert_int_equal(rig_in8(r, 0x20), 0x01);
    rig_out8(r, 0x21, 0x00);
    assert_true(r->level);
    assert_non_null(r->loop.timers);
    rig_out8(r, 0x21, 0x01);
    assert_null(r->loop.timers);
    route(r, 2, 0x30); /* the other controller hears it */
    assert_non_null(r->loop.timers);
    unsigned msis = r->msis;
    rig_run(r, NS_PER_MS);
    assert_int_equal(r->msis, msis + 1);
    route(r, 2, MASKED | 0x30);
    assert_null(r->loop.timers);
}

static void clock_is_line_8(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    init_pics(r);
    assert_int_equal(cmos_read(r, 0x32), 0x20);
    assert_true(rtc_time(platform_rtc(w->platform)) == 1000000000);
    rig_out8(r, 0x70, 0x0b);
    rig_out8(r, 0x71, 0x12);
    rig_run(r, NS_PER_S);
    assert_true(w->pins[8]);
    assert_int_equal(platform_acknowledge(w->platform), 0x28);
    (void)cmos_read(r, 0x0c);
    assert_false(w->pins[8]);
    end_interrupt(r);
    rtc_cmos_set(platform_rtc(w->platform), 0x0f, 0xfe);
    assert_int_equal(cmos_read(r, 0x0f), 0xfe);
}

static void hpet_replaces_timer_and_clock(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    program_timer(r, 1193);
    assert_true(w->pins[0]);
    rig_mmio_write(r, HPET_BASE + 0x10, 8, 3);
    assert_false(w->pins[0]);
    rig_mmio_write(r, HPET_BASE + 0x100, 8, 4);
    rig_mmio_write(r, HPET_BASE + 0x108, 8, 1000);
    rig_mmio_write(r, HPET_BASE + 0x120, 8, 4);
    rig_mmio_write(r, HPET_BASE + 0x128, 8, 2000);
    unsigned changes = w->changes[0];
    rig_run(r, 10000);
    assert_int_equal(w->changes[0], changes + 1);
    assert_true(w->pins[0]);
    assert_false(w->pins[8]);
    rig_run(r, 10000);
    assert_true(w->pins[8]);
    rig_mmio_write(r, HPET_BASE + 0x10, 8, 0);
    assert_false(w->pins[8]);
    assert_true(w->pins[0]); /* the old timer's level again */
    rig_mmio_write(r, HPET_BASE + 0x140, 8, 20 << 9 | 6);
    rig_mmio_write(r, HPET_BASE + 0x148, 8, 5000);
    rig_mmio_write(r, HPET_BASE + 0x10, 8, 1);
    rig_run(r, 50000);
    assert_true(w->pins[20]);
    route(r, 20, LEVEL | 0x40);
    assert_int_equal(r->msi_data, 0xc040);
    platform_end_of_interrupt(w->platform, 0x40);
    assert_int_equal(r->msis, 2); /* still high */
}

static void lines_are_shared(void **state)
{
    struct world *w = *state;
    struct irq serial = irq_isa(&w->board, 9);
    irq_set(&serial, true);
    assert_true(w->pins[9]);
    pm_timer_event(platform_pm_timer(w->platform), PM_POWER_BUTTON);
    uint8_t regs[PM_TIMER_BYTES];
    pm_timer_write(platform_pm_timer(w->platform), 2, 2, PM_POWER_BUTTON);
    pm_timer_read(platform_pm_timer(w->platform), regs);
    irq_set(&serial, false);
    assert_true(w->pins[9]);
    platform_gsi(w->platform, 9, true);
    pm_timer_write(platform_pm_timer(w->platform), 0, 2, PM_POWER_BUTTON);
    assert_true(w->pins[9]);
    platform_gsi(w->platform, 9, false);
    assert_false(w->pins[9]);
    assert_int_equal(w->changes[9], 2);
    platform_isa(w->platform, 2, true); /* the cascade is nobody's */
    platform_gsi(w->platform, 2, true);
    platform_isa(w->platform, 16, true);
    platform_gsi(w->platform, 24, true);
    assert_false(w->r->level);
}

/* INTx comes out where its link is routed, and nowhere while that is off. */
static void links(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    struct irq a = irq_intx(&w->board, 3, 0), b = irq_intx(&w->board, 6, 1); /* both link 3 */
    init_pics(r);
    rig_out16(r, 0x4d0, 0x0c20);
    irq_set(&a, true);
    assert_false(r->level);
    w->ops.pci_link(&w->hv, 3, 11);
    assert_true(w->pins[11]);
    assert_int_equal(platform_acknowledge(w->platform), 0x2b);
    irq_set(&b, true);
    irq_set(&a, false);
    assert_true(w->pins[11]);
    w->ops.pci_link(&w->hv, 3, 10);
    assert_false(w->pins[11]);
    assert_true(w->pins[10]);
    w->ops.pci_link(&w->hv, 2, 10); /* another link on the same line */
    w->ops.pci_link(&w->hv, 3, 0);
    assert_false(w->pins[10]);
    irq_set(&b, false);
    platform_link(w->platform, 4, 5);
    platform_link(w->platform, 0, 16);
    platform_intx(w->platform, 32, 0, true);
    platform_intx(w->platform, 0, 4, true);
    assert_int_equal(w->changes[5], 0);
}

static void intx_has_pins_of_its_own_on_xen(void **state)
{
    struct world *w = *state;
    for (unsigned slot = 0; slot < IRQ_PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < IRQ_PCI_PINS; pin++) {
            unsigned expected = 16 + (slot * 4 + slot / 8 + pin) % 32;
            struct irq irq = irq_intx(&w->board, slot, pin);
            irq_set(&irq, true);
            assert_true(w->pins[expected]);
            irq_set(&irq, false);
            assert_false(w->pins[expected]);
        }
    }
    struct irq first = irq_intx(&w->board, 0, 0), same = irq_intx(&w->board, 31, 1);
    irq_set(&first, true);
    irq_set(&same, true); /* 16 + (124 + 3 + 1) mod 32: the same pin */
    irq_set(&first, false);
    assert_true(w->pins[16]);
    irq_set(&same, false);
    assert_false(w->pins[16]);
}

static void level_pins_end_by_the_local_apic(void **state)
{
    struct world *w = *state;
    route(w->r, 10, LEVEL | 0x50);
    platform_gsi(w->platform, 10, true);
    assert_int_equal(w->r->msis, 1);
    platform_end_of_interrupt(w->platform, 0x50);
    assert_int_equal(w->r->msis, 2);
    platform_gsi(w->platform, 10, false);
    platform_end_of_interrupt(w->platform, 0x50);
    assert_int_equal(w->r->msis, 2);
}

static void restored_machine_goes_on(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    init_pics(r);
    program_timer(r, 1193);
    route(r, 2, 0x30);
    rig_out8(r, 0x21, 0xfe);
    rig_run(r, 300000);
    struct snap_buf saved = { 0 };
    for (struct device *dev = w->devices.first; dev; dev = dev->next)
        assert_int_equal(snapshot_save_device(dev, &saved), 0);
    devices_reset(&w->devices);
    assert_false(r->level);
    r->msis = 0;
    for (struct device *dev = w->devices.first; dev; dev = dev->next)
        assert_int_equal(snapshot_restore_device(dev, &saved, NULL), 0);
    snap_buf_free(&saved);
    assert_true(r->level);
    assert_int_equal(platform_acknowledge(w->platform), 0x20);
    end_interrupt(r);
    assert_int_equal(r->msis, 0); /* its edge was sent before */
    rig_run(r, 700000);
    assert_true(r->level);
    assert_int_equal(r->msis, 1);
}

/* Lines that other devices drop while the machine is taken down reach nobody. */
static void parts_go_before_other_devices(void **state)
{
    struct world *w = *state;
    struct irq serial = irq_isa(&w->board, 4), nic = irq_intx(&w->board, 3, 0);
    platform_link(w->platform, 3, 11);
    irq_set(&serial, true);
    irq_set(&nic, true);
    program_timer(w->r, 1193);
    rig_mmio_write(w->r, HPET_BASE + 0x10, 8, 3);
    devices_free(&w->devices);
    irq_set(&serial, false);
    irq_set(&nic, false);
    assert_null(w->r->loop.timers);
}

static void failed_creation_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct platform_config config = config_of(w, &cmos);
    struct platform *second = NULL;
    static const struct bus_ops none = { .sizes = BUS_1 };
    struct bus_region region = { 0 };
    assert_int_equal(platform_create(&config, &second), -EEXIST);
    config.ioapic_pins = 0;
    assert_int_equal(platform_create(&config, &second), -EINVAL);
    config.ioapic_pins = 49;
    assert_int_equal(platform_create(&config, &second), -EINVAL);
    config.ioapic_pins = 24;
    devices_free(&w->devices);
    platform_destroy(w->platform);
    w->platform = NULL;
    static const uint16_t ports[] = { 0x20, 0x40, 0x61, 0x70 };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        assert_int_equal(bus_attach(&w->r->ports, &region, &none, NULL, ports[i], 1), 0);
        assert_int_equal(platform_create(&config, &second), -EEXIST);
        bus_detach(&region);
        assert_int_equal(w->r->ports.nr_regions, 0);
        assert_int_equal(w->r->memory.nr_regions, 0);
    }
    assert_int_equal(bus_attach(&w->r->memory, &region, &none, NULL, HPET_BASE, 1), 0);
    assert_int_equal(platform_create(&config, &second), -EEXIST);
    bus_detach(&region);
    assert_int_equal(w->r->memory.nr_regions, 0);
    assert_null(w->devices.first);
    assert_null(second);
}

/* Anything to all registers at once, with time and lines. */
static void random_accesses(void **state)
{
    struct world *w = *state;
    struct rig *r = w->r;
    static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x40, 0x42, 0x43, 0x61, 0x70, 0x71 };
    uint64_t seed = 1993;
    for (unsigned step = 0; step < 100000; step++) {
        uint32_t what = chip_random(&seed), val = chip_random(&seed);
        switch (what % 8) {
        case 0: rig_out8(r, ports[val % ARRAY_SIZE(ports)], (uint8_t)(val >> 8)); break;
        case 1: (void)rig_in8(r, ports[val % ARRAY_SIZE(ports)]); break;
        case 2: rig_mmio_write(r, HPET_BASE + (val % 0x60) * 4, 4, val >> val % 32); break;
        case 3: route(r, val % 24, val >> 8 & 0x1ffff); break;
        case 4: platform_intx(w->platform, val % 33, val >> 8 & 7, val >> 16 & 1); break;
        case 5: platform_link(w->platform, val % 5, val >> 8 & 15); break;
        case 6: rig_run(r, UINT64_C(1) << val % 22); break;
        case 7:
            (void)platform_acknowledge(w->platform);
            platform_end_of_interrupt(w->platform, (uint8_t)val);
            break;
        }
    }
}

#define TEST_AS(name, plug) cmocka_unit_test_setup_teardown(name, plug, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_AS(first_deadline_of_a_fresh_machine, plug_in_like_qemu),
        TEST_AS(fresh_machine_is_idle, plug_in_quiet),
        TEST_AS(timer_reaches_both_controllers, plug_in),
        TEST_AS(masked_timer_sleeps, plug_in_quiet),
        TEST_AS(clock_is_line_8, plug_in),
        TEST_AS(hpet_replaces_timer_and_clock, plug_in),
        TEST_AS(lines_are_shared, plug_in),
        TEST_AS(links, plug_in),
        TEST_AS(intx_has_pins_of_its_own_on_xen, plug_in_like_xen),
        TEST_AS(level_pins_end_by_the_local_apic, plug_in),
        TEST_AS(restored_machine_goes_on, plug_in),
        TEST_AS(parts_go_before_other_devices, plug_in),
        TEST_AS(failed_creation_leaves_nothing, plug_in),
        TEST_AS(random_accesses, plug_in),
        TEST_AS(random_accesses, plug_in_quiet),
        TEST_AS(random_accesses, plug_in_like_xen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
