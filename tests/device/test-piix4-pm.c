/* PIIX4 power management and the ACPI ports; [P4 n] is a section of the 82371AB data sheet, [ACPI n] of ACPI 2.0. */
#include <errno.h>

#include "chipset-rig.h"
#include "piix4-pm.h"

enum { DEVFN = PCI_DEVFN(1, 3), SCI = 9, PM = 0xb000, PM1_CNT = PM + 4, APM = 0xb2, SMB = 0xb100 };
enum { GPE_STS = 0xafe0, GPE_EN = 0xafe2, SLOTS = 0xae00, CPUS = 0xaf00 };
enum { VCPUS = 3, MAX_VCPUS = 12 };
#define REMOVABLE UINT32_C(0xfffffff0)

static struct {
    unsigned sleeps, ejects, slot;
} seen;

static void slept(void *opaque)
{
    seen.sleeps++;
}

static void ejected(void *opaque, unsigned slot)
{
    seen.ejects++;
    seen.slot = slot;
}

static struct piix4_pm_config config_of(struct rig *r)
{
    return (struct piix4_pm_config){ .id = "piix4-pm",
                                     .ports = &r->ports,
                                     .pci = &r->pci,
                                     .devfn = DEVFN,
                                     .sci = irq_isa(&r->irqs, SCI),
                                     .com1 = true,
                                     .vcpus = VCPUS,
                                     .max_vcpus = MAX_VCPUS,
                                     .removable_slots = REMOVABLE,
                                     .power = chip_power,
                                     .sleep = slept,
                                     .eject = ejected,
                                     .opaque = r };
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    struct piix4_pm_config config = config_of(r);
    memset(&seen, 0, sizeof(seen));
    int err = piix4_pm_create(&config, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

/* As hvmloader does it. */
static void place_pm(struct rig *r)
{
    rig_cfg_write(r, DEVFN, 0x40, 4, PM | 1);
    rig_cfg_write(r, DEVFN, 0x80, 1, 1);
}

static void identity(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x00, 4), 0x71138086);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x04, 4), 0x02800000);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x08, 4), 0x06800003);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x0e, 1), 0);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x3d, 1), 1);
    for (unsigned reg = 0x10; reg < 0x28; reg += 4) {
        rig_cfg_write(r, DEVFN, reg, 4, 0xffffffff);
        assert_int_equal(rig_cfg_read(r, DEVFN, reg, 4), 0);
    }
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    static const uint8_t expected[256] = {
        [0x40] = 0x01, [0x5b] = 0x02, [0x5f] = 0x10, [0x63] = 0x60,
        [0x67] = 0x08, [0x90] = 0x01, [0x91] = 0xb1, [0xd2] = 0x09,
    };
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned reg = 0x40; reg < 0x100; reg++)
            assert_int_equal(rig_cfg_read(r, DEVFN, reg, 1), expected[reg]);
        rig_cfg_write(r, DEVFN, 0x40, 4, PM);
        for (unsigned reg = 0x44; reg < 0x100; reg++)
            rig_cfg_write(r, DEVFN, reg, 1, 0x5a);
        assert_int_equal(rig_cfg_read(r, DEVFN, 0x44, 1), 0x5a);
        assert_int_equal(rig_cfg_read(r, DEVFN, 0xff, 1), 0x5a);
        r->dev->desc->reset(r->dev);
    }
    assert_int_equal(rig_in32(r, GPE_STS), 0);
    assert_int_equal(rig_in16(r, APM), 0);
    assert_false(r->wires[SCI]);
    assert_true(r->dev->desc->keeps_s3);
}

/* [P4 7.1] What the machine has is told in the device activity registers. */
static void legacy_ports_are_shown(void **state)
{
    struct rig *r = *state;
    struct piix4_pm_config config = config_of(r);
    device_free(r->dev);
    config.parallel = config.com2 = true;
    assert_int_equal(piix4_pm_create(&config, &r->dev), 0);
    chip_start(r);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x5f, 1), 0x90);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x63, 1), 0x60);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x67, 1), 0x98);
}

static void pm_block_is_where_the_guest_puts_it(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in16(r, PM1_CNT), 0xffff);
    rig_cfg_write(r, DEVFN, 0x40, 4, 0xffffb03f);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x40, 4), 0x0000b001); /* bits 15-6, bit 0 reads 1 */
    assert_int_equal(rig_in16(r, PM1_CNT), 0xffff);
    rig_cfg_write(r, DEVFN, 0x80, 1, 1);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0000);
    rig_cfg_write(r, DEVFN, 0x41, 1, 0xc0);
    assert_int_equal(rig_in16(r, PM1_CNT), 0xffff);
    assert_int_equal(rig_in16(r, 0xc004), 0x0000);
    rig_cfg_write(r, DEVFN, 0x80, 1, 0);
    assert_int_equal(rig_in16(r, 0xc004), 0xffff);
    rig_cfg_write(r, DEVFN, 0x40, 4, 0); /* base 0 is no place */
    rig_cfg_write(r, DEVFN, 0x80, 1, 1);
    assert_int_equal(rig_in16(r, 0x04), 0xffff);
    rig_cfg_write(r, DEVFN, 0x40, 4, 0xffc0); /* the last there is */
    assert_int_equal(rig_in16(r, 0xffc4), 0x0000);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in16(r, 0xffc4), 0xffff);
}

static void pm_block_on_another_device(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_cfg_write(r, DEVFN, 0x40, 2, GPE_STS & 0xffc0);
    assert_int_equal(rig_in32(r, GPE_STS), 0);
    assert_int_equal(rig_in16(r, PM1_CNT), 0xffff);
    assert_int_equal(r->log_lines, 1);
    rig_cfg_write(r, DEVFN, 0x40, 2, PM);
    assert_int_equal(rig_in16(r, PM1_CNT), 0);
}

/* PM1 status, enable and timer are the hypervisor's; the rest of the block has nothing. */
static void pm_block_shows_control_only(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    for (unsigned off = 0; off < 64; off++) {
        rig_out8(r, (uint16_t)(PM + off), 0x01);
        assert_int_equal(rig_in8(r, (uint16_t)(PM + off)), off == 4 || off == 5 ? 0x01 : 0xff);
    }
    assert_int_equal(rig_in32(r, PM1_CNT), 0xffff0101);
    assert_int_equal(rig_in16(r, PM + 3), 0x01ff);
    assert_int_equal(rig_in16(r, PM + 0x40), 0xffff);
}

static void control_by_bytes_and_words(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_out16(r, PM1_CNT, 0x1c03);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x1c03);
    rig_out8(r, PM1_CNT, 0x05);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x1c05);
    rig_out8(r, PM1_CNT + 1, 0x04);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0405);
    rig_out16(r, PM + 3, 0x77ff); /* its high byte is the low one of the register */
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0477);
    rig_out32(r, PM1_CNT, 0xffff0001);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0001);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(seen.sleeps, 0);
}

/* [ACPI 4.7.3.2.1] Type 0 is S5; SLP_EN is write-only. */
static void sleep_type_0_powers_off(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_out16(r, PM1_CNT, 0x0001);
    assert_int_equal(r->shutdown, -1);
    rig_out16(r, PM1_CNT, 0x2001);
    assert_int_equal(r->shutdown, HV_POWEROFF);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0001);
}

static void sleep_type_1_is_s3(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_out16(r, PM1_CNT, 0x0401);
    assert_int_equal(seen.sleeps, 0);
    rig_out8(r, PM1_CNT + 1, 0x24);
    assert_int_equal(seen.sleeps, 1);
    assert_int_equal(r->shutdown, -1);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0401);
}

static void other_sleep_types_power_off(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    for (unsigned type = 2; type < 8; type++) {
        r->shutdown = -1;
        rig_out16(r, PM1_CNT, (uint16_t)(0x2001 | type << 10));
        assert_int_equal(r->shutdown, HV_POWEROFF);
        assert_int_equal(rig_in16(r, PM1_CNT), 0x0001 | type << 10);
    }
    assert_int_equal(seen.sleeps, 0);
}

/* hvmloader stops if bit 0 of b004 isn't set after this. */
static void apm_switches_acpi_mode(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_out16(r, PM1_CNT, 0x0402);
    rig_out8(r, APM, 0xf1);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0403);
    assert_int_equal(rig_in8(r, APM), 0xf1);
    rig_out8(r, APM, 0x55);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0403);
    rig_out8(r, APM, 0xf0);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0402);
    rig_out16(r, APM, 0xf1aa); /* status is the second byte, and no command */
    assert_int_equal(rig_in8(r, APM), 0xaa);
    assert_int_equal(rig_in8(r, APM + 1), 0xf1);
    assert_int_equal(rig_in16(r, PM1_CNT), 0x0402);
}

static void gpe_raises_the_sci_until_cleared(void **state)
{
    struct rig *r = *state;
    assert_int_equal(piix4_pm_cpu_add(r->dev, 5), 0);
    assert_int_equal(rig_in16(r, GPE_STS), 0x0004);
    assert_false(r->wires[SCI]); /* not enabled */
    rig_out16(r, GPE_EN, 0x0004);
    assert_true(r->wires[SCI]);
    rig_out8(r, GPE_EN, 0x02);
    assert_false(r->wires[SCI]);
    rig_out8(r, GPE_EN, 0x06);
    assert_true(r->wires[SCI]);
    rig_out8(r, GPE_STS, 0x02); /* another bit */
    assert_true(r->wires[SCI]);
    rig_out8(r, GPE_STS, 0x04);
    assert_false(r->wires[SCI]);
    assert_int_equal(rig_in16(r, GPE_STS), 0);
}

static void gpe_registers_by_size(void **state)
{
    struct rig *r = *state;
    rig_out32(r, GPE_STS, 0xa5c3ffff);
    assert_int_equal(rig_in32(r, GPE_STS), 0xa5c30000); /* ones never set a status bit */
    assert_int_equal(rig_in8(r, GPE_EN), 0xc3);
    assert_int_equal(rig_in8(r, GPE_EN + 1), 0xa5);
    assert_int_equal(rig_in16(r, GPE_STS + 1), 0xc300);
    rig_out16(r, GPE_STS + 1, 0x0600);
    assert_int_equal(rig_in32(r, GPE_STS), 0xa5060000);
    assert_false(r->wires[SCI]);
}

/* The hypervisor's PM1 block drives the same bit and may have dropped the line. */
static void gpe_access_sends_a_lost_sci_again(void **state)
{
    struct rig *r = *state;
    rig_out16(r, GPE_EN, 0x0006);
    assert_int_equal(piix4_pm_cpu_add(r->dev, 5), 0);
    assert_int_equal(r->wire_edges[SCI], 1);
    r->wires[SCI] = false;
    (void)rig_in8(r, GPE_STS);
    assert_true(r->wires[SCI]);
    r->wires[SCI] = false;
    rig_out8(r, GPE_EN, 0x06);
    assert_true(r->wires[SCI]);
    r->wires[SCI] = false;
    assert_int_equal(piix4_pm_slot_inserted(r->dev, 6), 0); /* a second event over the first */
    assert_true(r->wires[SCI]);
    unsigned edges = r->wire_edges[SCI];
    assert_int_equal(piix4_pm_slot_inserted(r->dev, 7), 0); /* the line is up: a new event is a new edge */
    assert_int_equal(r->wire_edges[SCI], edges + 1);
}

/* And the other way round: without an own cause an access must not drop the hypervisor's event. */
static void gpe_access_leaves_the_hypervisors_sci_alone(void **state)
{
    struct rig *r = *state;
    r->wires[SCI] = true;
    (void)rig_in32(r, GPE_STS);
    rig_out32(r, GPE_STS, 0x0006ffff);
    assert_true(r->wires[SCI]);
}

static void cpu_bitmap_is_exact(void **state)
{
    struct rig *r = *state;
    static const uint8_t expected[32] = { 0x07 };
    for (unsigned off = 0; off < 32; off++) {
        rig_out8(r, (uint16_t)(CPUS + off), 0xff); /* no effect */
        assert_int_equal(rig_in8(r, (uint16_t)(CPUS + off)), expected[off]);
    }
    assert_int_equal(rig_in32(r, CPUS), 0x00000007);
    assert_int_equal(rig_in16(r, CPUS + 30), 0x0000);
    assert_int_equal(rig_in8(r, CPUS + 32), 0xff);
    assert_true(piix4_pm_cpu_online(r->dev, 2));
    assert_false(piix4_pm_cpu_online(r->dev, 3));
}

static void cpu_is_added(void **state)
{
    struct rig *r = *state;
    rig_out16(r, GPE_EN, 0x0004);
    assert_int_equal(piix4_pm_cpu_add(r->dev, 9), 0);
    assert_int_equal(rig_in16(r, CPUS), 0x0207);
    assert_int_equal(rig_in16(r, GPE_STS), 0x0004);
    assert_true(r->wires[SCI]);
    assert_true(piix4_pm_cpu_online(r->dev, 9));
    assert_int_equal(piix4_pm_cpu_add(r->dev, 9), -EEXIST);
    assert_int_equal(piix4_pm_cpu_add(r->dev, 0), -EEXIST);
    assert_int_equal(piix4_pm_cpu_add(r->dev, MAX_VCPUS), -EINVAL);
    assert_int_equal(piix4_pm_cpu_add(r->dev, UINT32_MAX), -EINVAL);
    assert_false(piix4_pm_cpu_online(r->dev, UINT32_MAX));
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in16(r, CPUS), 0x0207); /* it doesn't leave at a reset */
    assert_int_equal(rig_in16(r, GPE_STS), 0);
    assert_false(r->wires[SCI]);
}

static void every_vcpu_count(void **state)
{
    struct rig *r = *state;
    struct piix4_pm_config config = config_of(r);
    for (unsigned n = 1; n <= PIIX4_PM_MAX_VCPUS; n++) {
        device_free(r->dev);
        config.vcpus = n;
        config.max_vcpus = PIIX4_PM_MAX_VCPUS;
        assert_int_equal(piix4_pm_create(&config, &r->dev), 0);
        for (unsigned i = 0; i < 256; i++)
            assert_int_equal(rig_in8(r, (uint16_t)(CPUS + i / 8)) >> i % 8 & 1, i < n);
    }
    struct device *second = NULL;
    static const unsigned bad[][2] = { { 0, 1 }, { 2, 1 }, { 1, PIIX4_PM_MAX_VCPUS + 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        config.vcpus = bad[i][0];
        config.max_vcpus = bad[i][1];
        assert_int_equal(piix4_pm_create(&config, &second), -EINVAL);
    }
}

static void slots_come_and_go(void **state)
{
    struct rig *r = *state;
    rig_out16(r, GPE_EN, 0x0002);
    assert_int_equal(rig_in32(r, SLOTS + 12), REMOVABLE);
    assert_int_equal(piix4_pm_slot_inserted(r->dev, 6), 0);
    assert_true(r->wires[SCI]);
    assert_int_equal(rig_in32(r, SLOTS), 1 << 6);
    assert_int_equal(rig_in32(r, SLOTS), 1 << 6); /* reading doesn't clear */
    assert_int_equal(piix4_pm_slot_remove(r->dev, 6), 0);
    assert_int_equal(piix4_pm_slot_remove(r->dev, 31), 0);
    assert_int_equal(rig_in32(r, SLOTS + 4), 0x80000040);
    assert_int_equal(rig_in16(r, SLOTS + 6), 0x8000);
    assert_int_equal(rig_in8(r, SLOTS + 4), 0x40);
    rig_out32(r, SLOTS + 8, 1 << 6);
    assert_int_equal(seen.ejects, 1);
    assert_int_equal(seen.slot, 6);
    assert_int_equal(rig_in32(r, SLOTS), 0);
    assert_int_equal(rig_in32(r, SLOTS + 4), 0x80000000);
    assert_int_equal(rig_in32(r, SLOTS + 8), 0);
    rig_out8(r, SLOTS + 11, 0x80);
    assert_int_equal(seen.slot, 31);
    assert_int_equal(rig_in32(r, SLOTS + 4), 0);
    assert_int_equal(piix4_pm_slot_inserted(r->dev, 0), -EINVAL);
    assert_int_equal(piix4_pm_slot_remove(r->dev, 32), -EINVAL);
}

/* [CVE-2011-1751] The bridges must stay, whatever the guest writes. */
static void cve_2011_1751_eject_of_what_must_stay(void **state)
{
    struct rig *r = *state;
    rig_out32(r, SLOTS + 8, 0xffffffff); /* the lowest one: slot 0 */
    rig_out32(r, SLOTS + 8, 1 << 1);
    rig_out32(r, SLOTS + 8, 0);
    rig_out8(r, SLOTS + 8, 0x0e);
    assert_int_equal(seen.ejects, 0);
    rig_out32(r, SLOTS + 7, 0x00100000); /* unaligned: bit 12 of the register */
    assert_int_equal(seen.slot, 12);
    assert_int_equal(seen.ejects, 1);
    rig_out32(r, SLOTS, 0xffffffff); /* not registers one can write */
    rig_out32(r, SLOTS + 4, 0xffffffff);
    rig_out32(r, SLOTS + 12, 0xffffffff);
    assert_int_equal(seen.ejects, 1);
    assert_int_equal(rig_in32(r, SLOTS), 0);
    assert_int_equal(rig_in32(r, SLOTS + 12), REMOVABLE);
}

/* [CVE-2021-4158] There is no bus selector. */
static void cve_2021_4158_no_bus_selector(void **state)
{
    struct rig *r = *state;
    rig_out32(r, SLOTS + 16, 5);
    assert_int_equal(rig_in32(r, SLOTS + 16), 0xffffffff);
    for (uint16_t off = 0; off <= 0x14; off++) {
        rig_out32(r, (uint16_t)(SLOTS + off), 5);
        (void)rig_in32(r, (uint16_t)(SLOTS + off));
    }
    assert_int_equal(rig_in32(r, SLOTS + 12), REMOVABLE);
}

static void smbus_block_follows_its_registers(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, SMB), 0x00);
    rig_cfg_write(r, DEVFN, 0xd2, 2, 0); /* hvmloader */
    assert_int_equal(rig_in8(r, SMB), 0xff);
    rig_cfg_write(r, DEVFN, 0x90, 4, 0x0000c20f);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x90, 4), 0x0000c201);
    rig_cfg_write(r, DEVFN, 0xd2, 1, 0x09);
    assert_int_equal(rig_in8(r, 0xc200), 0x00);
    assert_int_equal(rig_in8(r, 0xc210), 0xff);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in8(r, SMB), 0x00);
}

/* [P4 7.3] Nobody acknowledges. */
static void smbus_transactions_fail(void **state)
{
    struct rig *r = *state;
    for (unsigned protocol = 0; protocol < 8; protocol++) {
        rig_out8(r, SMB + 4, 0xa1);
        rig_out8(r, SMB + 2, (uint8_t)(0x40 | protocol << 2));
        assert_int_equal(rig_in8(r, SMB), 0x04);
        assert_int_equal(rig_in8(r, SMB + 2), protocol << 2);
        assert_false(r->wires[SCI]); /* interrupts are off */
        rig_out8(r, SMB, 0x1b);
        assert_int_equal(rig_in8(r, SMB), 0x04);
        rig_out8(r, SMB, 0x04);
        assert_int_equal(rig_in8(r, SMB), 0x00);
    }
    assert_false(r->wires[SCI]);
}

static void smbus_interrupts_on_line_9(void **state)
{
    struct rig *r = *state;
    rig_out8(r, SMB + 2, 0x3f); /* no start, no interrupt */
    assert_int_equal(rig_in8(r, SMB), 0x00);
    rig_out8(r, SMB + 2, 0x41);
    assert_true(r->wires[SCI]);
    rig_cfg_write(r, DEVFN, 0xd2, 1, 0x01); /* to SMI, which doesn't exist */
    assert_false(r->wires[SCI]);
    rig_cfg_write(r, DEVFN, 0xd2, 1, 0x09);
    assert_true(r->wires[SCI]);
    rig_out8(r, SMB, 0xff);
    assert_false(r->wires[SCI]);
}

static void smbus_registers_store(void **state)
{
    struct rig *r = *state;
    static const uint8_t stored[16] = {
        [2] = 0x1d, [3] = 0xff, [4] = 0xff, [5] = 0xff, [6] = 0xff, [7] = 0xff, [8] = 0x0f, [10] = 0xff, [11] = 0xff
    };
    for (unsigned i = 0; i < 16; i++) {
        uint8_t val = i == 2 ? 0xbf : 0xff; /* no start */
        rig_out8(r, (uint16_t)(SMB + i), val);
        if (i == 7)
            (void)rig_in8(r, SMB + 2);
        assert_int_equal(rig_in8(r, (uint16_t)(SMB + i)), stored[i]);
    }
    (void)rig_in8(r, SMB + 2);
    rig_out8(r, SMB + 10, 0x12);
    assert_int_equal(rig_in16(r, SMB + 10), 0xff12);
    rig_out8(r, SMB + 11, 0x34);
    assert_int_equal(rig_in16(r, SMB + 10), 0x3412);
    for (unsigned i = 0; i < 40; i++)
        rig_out8(r, SMB + 7, (uint8_t)i); /* the block is a ring of 32 */
    (void)rig_in8(r, SMB + 2);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(rig_in8(r, SMB + 7), i < 8 ? i + 32 : i);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, DEVFN, 0x40, 4, 0xc100);
    rig_cfg_write(r, DEVFN, 0x80, 1, 1);
    rig_out16(r, 0xc104, 0x0401);
    rig_out16(r, GPE_EN, 0x0006);
    rig_out16(r, APM, 0x7755);
    assert_int_equal(piix4_pm_cpu_add(r->dev, 7), 0);
    assert_int_equal(piix4_pm_slot_inserted(r->dev, 5), 0);
    assert_int_equal(piix4_pm_slot_remove(r->dev, 6), 0);
    rig_out8(r, SMB + 3, 0x12);
    rig_out8(r, SMB + 7, 0x34);
    rig_out16(r, SMB + 10, 0xbeef);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    assert_false(r->wires[SCI]);
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_true(r->wires[SCI]);
    assert_int_equal(rig_in16(r, 0xc104), 0x0401);
    assert_int_equal(rig_in32(r, GPE_STS), 0x00060006);
    assert_int_equal(rig_in16(r, APM), 0x7755);
    assert_int_equal(rig_in16(r, CPUS), 0x0087);
    assert_int_equal(rig_in32(r, SLOTS), 1 << 5);
    assert_int_equal(rig_in32(r, SLOTS + 4), 1 << 6);
    assert_int_equal(rig_in8(r, SMB + 3), 0x12);
    assert_int_equal(rig_in16(r, SMB + 10), 0xbeef);
    rig_out8(r, SMB + 7, 0x56); /* at the second place */
    (void)rig_in8(r, SMB + 2);
    assert_int_equal(rig_in16(r, SMB + 6), 0x3400);
    rig_out16(r, GPE_STS, 0x0006);
    assert_false(r->wires[SCI]);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        unsigned i;
        uint64_t val;
    } bad[] = {
        { "pm1_control", 0, 0x2000 },
        { "gpe_status", 0, 0x0008 },
        { "slots_up", 0, 0x1 },
        { "slots_down", 0, 0x2 },
        { "cpus", 0, 0x06 },
        { "cpus", 1, 0x10 },
        { "cpus", 15, 0x80 },
        { "smbus.block_index", 0, 32 },
        { "smbus.status", 0, 0x01 },
        { "smbus.control", 0, 0x40 },
        { "smbus.slave_control", 0, 0x10 },
        { "pci.config", 0x40, 0x00 },
        { "pci.config", 0x02, 0x14 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke_at(r, bad[i].field, bad[i].i, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        device_free(r->dev);
        assert_int_equal(plug_in(state), 0);
    }
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    place_pm(r);
    rig_out16(r, GPE_EN, 0x0006);
    assert_int_equal(piix4_pm_cpu_add(r->dev, 5), 0);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_false(r->wires[SCI]);
    static const uint16_t ports[] = { PM1_CNT, APM, GPE_STS, SLOTS, CPUS, SMB };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        assert_int_equal(rig_in16(r, ports[i]), 0xffff);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0, 4), 0xffffffff);
    r->dev->desc->reset(r->dev); /* and a reset doesn't bring it back */
    assert_int_equal(r->ports.nr_regions, 0);
}

/* A machine without callbacks (replay of a trace) goes on. */
static void callbacks_are_optional(void **state)
{
    struct rig *r = *state;
    struct piix4_pm_config config = config_of(r);
    device_free(r->dev);
    config.power = NULL;
    config.sleep = NULL;
    config.eject = NULL;
    assert_int_equal(piix4_pm_create(&config, &r->dev), 0);
    chip_start(r);
    place_pm(r);
    rig_out16(r, PM1_CNT, 0x2000);
    rig_out16(r, PM1_CNT, 0x2400);
    rig_out32(r, SLOTS + 8, 1 << 8);
}

static void taken_places(void **state)
{
    struct rig *r = *state;
    struct piix4_pm_config config = config_of(r);
    struct device *second = NULL;
    assert_int_equal(piix4_pm_create(&config, &second), -EEXIST);
    config.devfn = PCI_DEVFN(5, 0);
    assert_int_equal(piix4_pm_create(&config, &second), -EEXIST);
    assert_null(second);
    assert_null(r->pci.functions[PCI_DEVFN(5, 0)]);
    assert_int_equal(r->ports.nr_regions, 5);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    static const struct port_range ports[] = { { PM, PM + 0x3f },   { APM, APM + 1 },         { SLOTS, SLOTS + 15 },
                                               { CPUS, CPUS + 31 }, { GPE_STS, GPE_STS + 3 }, { SMB, SMB + 15 } };
    place_pm(*state);
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        chip_every_port(*state, ports[i]);
    chip_every_config(*state, DEVFN);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    place_pm(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { PM, PM + 0x3f },   { APM, APM + 1 },         { SLOTS, SLOTS + 19 },
                                               { CPUS, CPUS + 31 }, { GPE_STS, GPE_STS + 3 }, { SMB, SMB + 15 } };
    place_pm(*state);
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), DEVFN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity),
        TEST(reset_values),
        TEST(legacy_ports_are_shown),
        TEST(pm_block_is_where_the_guest_puts_it),
        TEST(pm_block_on_another_device),
        TEST(pm_block_shows_control_only),
        TEST(control_by_bytes_and_words),
        TEST(sleep_type_0_powers_off),
        TEST(sleep_type_1_is_s3),
        TEST(other_sleep_types_power_off),
        TEST(apm_switches_acpi_mode),
        TEST(gpe_raises_the_sci_until_cleared),
        TEST(gpe_registers_by_size),
        TEST(gpe_access_sends_a_lost_sci_again),
        TEST(gpe_access_leaves_the_hypervisors_sci_alone),
        TEST(cpu_bitmap_is_exact),
        TEST(cpu_is_added),
        TEST(every_vcpu_count),
        TEST(slots_come_and_go),
        TEST(cve_2011_1751_eject_of_what_must_stay),
        TEST(cve_2021_4158_no_bus_selector),
        TEST(smbus_block_follows_its_registers),
        TEST(smbus_transactions_fail),
        TEST(smbus_interrupts_on_line_9),
        TEST(smbus_registers_store),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(callbacks_are_optional),
        TEST(taken_places),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
