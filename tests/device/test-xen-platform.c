/* Xen platform device; [UNPLUG] is xen/docs/misc/hvm-emulated-unplug.pandoc. */
#include <errno.h>

#include "chipset-rig.h"
#include "xen-platform.h"

enum { DEVFN = PCI_DEVFN(2, 0), P10 = 0x10, P12 = 0x12, BAR0 = 0xc000, BAR1 = 0xf0000000 };

static struct {
    unsigned calls;
    uint16_t last;
    int memtype_error;
    uint64_t first, nr;
    enum hv_memtype type;
} seen;
static const struct hv_ops *rig_ops;

static void unplugged(void *opaque, uint16_t mask)
{
    seen.calls++;
    seen.last = mask;
}

static int set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    if (seen.memtype_error)
        return seen.memtype_error;
    seen.first = first;
    seen.nr = nr;
    seen.type = type;
    return rig_ops->set_memtype(hv, first, nr, type);
}

static int create(struct rig *r, struct bus *ports, struct device **out)
{
    return xen_platform_create(&(struct xen_platform_config){ .id = "xen-platform",
                                                              .ports = ports,
                                                              .pci = &r->pci,
                                                              .devfn = DEVFN,
                                                              .hv = &r->hv,
                                                              .unplug = unplugged,
                                                              .opaque = r },
                               out);
}

static int plug_in(void **state)
{
    static struct hv_ops ops;
    struct rig *r = *state = *state ? *state : rig_new();
    rig_ops = rig_ops ? rig_ops : r->hv.ops;
    ops = *rig_ops;
    ops.set_memtype = set_memtype;
    r->hv.ops = &ops;
    memset(&seen, 0, sizeof(seen));
    int err = create(r, &r->ports, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static void map_bars(struct rig *r)
{
    rig_cfg_write(r, DEVFN, 0x10, 4, BAR0);
    rig_cfg_write(r, DEVFN, 0x14, 4, BAR1);
}

static void say(struct rig *r, uint16_t port, const char *text)
{
    for (; *text; text++)
        rig_out8(r, port, (uint8_t)*text);
}

static void identity(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x00, 4), 0x00015853);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x04, 4), 0x00000003);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x08, 4), 0xff800001);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x0e, 1), 0);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x2c, 4), 0x00015853);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x34, 1), 0); /* no capabilities */
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x3d, 1), 1);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x10, 4), 0x00000001);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x14, 4), 0x00000008);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x30, 4), 0); /* no ROM */
}

static void bars_have_their_sizes(void **state)
{
    struct rig *r = *state;
    rig_cfg_write(r, DEVFN, 0x04, 2, 0);
    for (unsigned reg = 0x10; reg < 0x28; reg += 4)
        rig_cfg_write(r, DEVFN, reg, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x10, 4), 0xffffff01);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x14, 4), 0xff000008);
    for (unsigned reg = 0x18; reg < 0x28; reg += 4)
        assert_int_equal(rig_cfg_read(r, DEVFN, reg, 4), 0);
}

/* Every width of ports 10 and 12 is another register, the rest is ones. */
static void fixed_ports_by_width(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, P10), 0x00);
    assert_int_equal(rig_in16(r, P10), 0x49d2);
    assert_int_equal(rig_in32(r, P10), 0xffffffff);
    assert_int_equal(rig_in8(r, P12), 0x01);
    assert_int_equal(rig_in16(r, P12), 0xffff);
    assert_int_equal(rig_in32(r, P12), 0xffffffff);
    for (unsigned port = 0x10; port < 0x20; port++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            if (port == P10 || port == P12)
                continue;
            bus_write(&r->ports, port, size, 0xffffffff);
            assert_int_equal(bus_read(&r->ports, port, size), all_ones(size));
        }
    }
    assert_int_equal(seen.calls, 0);
    assert_int_equal(r->memtype_calls, 0);
    rig_out16(r, 0x0f, 0xff00); /* an access from the neighbour ends as a byte on port 10: flags, not a mask */
    assert_int_equal(seen.calls, 0);
    assert_int_equal(rig_in16(r, P10), 0x49d2);
}

/* [UNPLUG] As Linux does it, before PCI is looked at. */
static void linux_handshake(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in16(r, P10), 0x49d2);
    assert_int_equal(rig_in8(r, P12), 1);
    rig_out16(r, P12, 3);
    rig_out32(r, P10, 0x000000ff);
    assert_int_equal(rig_in16(r, P10), 0x49d2);
    assert_int_equal(seen.calls, 0);
    rig_out16(r, P10, 3);
    assert_int_equal(seen.calls, 1); /* done when the write returns */
    assert_int_equal(seen.last, UNPLUG_DISKS | UNPLUG_NICS);
    assert_int_equal(xen_platform_unplugged(r->dev), 3);
}

/* Windows drivers unplug in several writes, old ones without a handshake. */
static void masks_add_up(void **state)
{
    struct rig *r = *state;
    rig_out16(r, P10, 0x0009);
    assert_int_equal(seen.last, UNPLUG_DISKS | UNPLUG_NVME);
    rig_out16(r, P10, 0x0002);
    assert_int_equal(seen.last, UNPLUG_NICS);
    rig_out16(r, P10, 0x0002);
    assert_int_equal(seen.calls, 3);
    assert_int_equal(xen_platform_unplugged(r->dev), 0xb);
}

static void reserved_bits_are_dropped(void **state)
{
    struct rig *r = *state;
    rig_out16(r, P10, 0);
    rig_out16(r, P10, 0xfff0);
    assert_int_equal(seen.calls, 0);
    rig_out16(r, P10, 0xfff4);
    assert_int_equal(seen.last, UNPLUG_AUX_DISKS);
    assert_int_equal(xen_platform_unplugged(r->dev), UNPLUG_AUX_DISKS);
}

/* A guest that wakes up has PV drivers on the same images. */
static void reset_keeps_the_mask(void **state)
{
    struct rig *r = *state;
    rig_out16(r, P10, 3);
    r->dev->desc->reset(r->dev);
    assert_int_equal(xen_platform_unplugged(r->dev), 3);
    assert_int_equal(seen.calls, 1);
}

static void rom_lock(void **state)
{
    struct rig *r = *state;
    rig_out8(r, P10, 0xff);
    assert_int_equal(rig_in8(r, P10), 0x01);
    assert_int_equal(seen.first, 0xc0);
    assert_int_equal(seen.nr, 0x40);
    assert_int_equal(seen.type, HV_RAM_RO);
    rig_out8(r, P10, 0xfe);
    assert_int_equal(rig_in8(r, P10), 0x00);
    assert_int_equal(seen.type, HV_RAM_RW);
    rig_out8(r, P10, 0x01);
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in8(r, P10), 0x00);
    assert_int_equal(seen.type, HV_RAM_RW);
}

static void refused_lock_doesn_t_show(void **state)
{
    struct rig *r = *state;
    seen.memtype_error = -EPERM;
    rig_out8(r, P10, 0x01);
    assert_int_equal(rig_in8(r, P10), 0x00);
    assert_int_equal(r->log_lines, 1);
}

static void interrupt_is_never_driven(void **state)
{
    struct rig *r = *state;
    map_bars(r);
    for (unsigned port = 0x10; port < 0x20; port++)
        rig_out8(r, (uint16_t)port, 0xff);
    for (unsigned wire = 0; wire < RIG_LINES; wire++)
        assert_int_equal(r->wire_edges[wire], 0);
}

static void hole_reads_zero(void **state)
{
    struct rig *r = *state;
    map_bars(r);
    assert_int_equal(rig_mmio_read(r, BAR1, 4), 0);
    rig_mmio_write(r, BAR1, 8, UINT64_MAX);
    for (unsigned size = 1; size <= 8; size *= 2) {
        assert_int_equal(rig_mmio_read(r, BAR1, size), 0);
        assert_int_equal(rig_mmio_read(r, BAR1 + (16 << 20) - size, size), 0);
        assert_int_equal(rig_mmio_read(r, BAR1 + 0x1003, size), 0);
    }
    assert_int_equal(rig_mmio_read(r, (uint64_t)BAR1 + (16 << 20), 4), 0xffffffff);
}

/* What SUSE's first drivers use. */
static void legacy_ports(void **state)
{
    struct rig *r = *state;
    map_bars(r);
    for (unsigned off = 1; off < 256; off++)
        assert_int_equal(rig_in8(r, (uint16_t)(BAR0 + off)), 0xff);
    rig_out8(r, BAR0, 0x01);
    assert_int_equal(rig_in8(r, BAR0), 0x01);
    assert_int_equal(rig_in8(r, P10), 0x01);
    rig_out8(r, BAR0 + 4, 2);
    assert_int_equal(seen.calls, 0);
    rig_out32(r, BAR0 + 4, 1);
    assert_int_equal(seen.last, UNPLUG_DISKS | UNPLUG_NICS);
    rig_out16(r, BAR0 + 4, 1);
    assert_int_equal(seen.calls, 2);
    rig_out8(r, BAR0 + 8, 1);
    assert_int_equal(seen.last, UNPLUG_DISKS);
    rig_out8(r, BAR0 + 8, 2);
    assert_int_equal(seen.last, UNPLUG_NICS);
    say(r, BAR0 + 8, "old\n");
    assert_non_null(strstr(r->log_last, "old"));
    assert_int_equal(seen.calls, 4);
}

static void log_port_speaks_in_lines(void **state)
{
    struct rig *r = *state;
    say(r, P12, "Hello ");
    assert_int_equal(r->log_lines, 0);
    say(r, P12, "\x1b[2J%s%n\tworld~\x7f\r\n\n");
    assert_int_equal(r->log_lines, 1);
    assert_string_equal(r->log_last, "xen-platform: the guest says: Hello [2J%s%n world~");
    for (unsigned i = 0; i < 5000; i++)
        rig_out8(r, P12, 'x');
    assert_in_range(r->log_lines, 2, 14); /* a line without an end comes in pieces */
}

/* [XSA-180] */
static void xsa_180_log_stays_short(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 100000; i++) {
        say(r, P12, "spam\n");
        rig_out32(r, P10, i);
    }
    assert_in_range(r->log_lines, 1, LOG_RATE_BURST + 1);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    map_bars(r);
    rig_out16(r, P12, 3);
    rig_out32(r, P10, 0x51234567);
    rig_out16(r, P10, 3);
    rig_out8(r, P10, 1);
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    assert_int_equal(xen_platform_unplugged(r->dev), 0);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(xen_platform_unplugged(r->dev), 3);
    assert_int_equal(seen.calls, 0); /* the devices have records of their own: one that stayed is not disturbed */
    assert_int_equal(rig_in8(r, P10), 1);
    assert_int_equal(seen.type, HV_RAM_RO); /* memory types don't migrate */
    assert_int_equal(rig_in8(r, BAR0), 1);
    assert_int_equal(rig_mmio_read(r, BAR1, 4), 0);
    struct snap_buf first = r->saved;
    r->saved = (struct snap_buf){ 0 };
    rig_save(r); /* product and build are in it, though no port shows them */
    assert_int_equal(r->saved.len, first.len);
    assert_memory_equal(r->saved.data, first.data, first.len);
    snap_buf_free(&first);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    rig_save(r);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(seen.calls, 0); /* nothing was unplugged */
    rig_poke(r, "flags", 2);
    assert_int_equal(rig_restore(r), -EINVAL);
    rig_save(r);
    rig_poke(r, "flags", 0);
    rig_poke(r, "unplugged", 0x10);
    assert_int_equal(rig_restore(r), -EINVAL);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(r->memtype_calls, 0);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    map_bars(r);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in16(r, P10), 0xffff); /* "no magic" */
    assert_int_equal(rig_in8(r, BAR0), 0xff);
    assert_int_equal(rig_mmio_read(r, BAR1, 4), 0xffffffff);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0, 4), 0xffffffff);
}

static void taken_places(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    struct bus other;
    assert_int_equal(create(r, &r->ports, &second), -EEXIST);
    assert_int_equal(bus_init(&other, true), 0);
    assert_int_equal(create(r, &other, &second), -EEXIST);
    assert_int_equal(other.nr_regions, 0);
    assert_null(second);
    bus_finish(&other);
}

/* [CVE-2015-5166] The callback takes devices off the buses while the guest's write is still running, its own too. */
static void unplug_self(void *opaque, uint16_t mask)
{
    struct rig *r = opaque;
    r->dev->desc->unplug(r->dev);
}

static void cve_2015_5166_unplug_inside_the_write(void **state)
{
    struct rig *r = *state;
    device_free(r->dev);
    struct xen_platform_config config = { .id = "xen-platform",
                                          .ports = &r->ports,
                                          .pci = &r->pci,
                                          .devfn = DEVFN,
                                          .hv = &r->hv,
                                          .unplug = unplug_self,
                                          .opaque = r };
    assert_int_equal(xen_platform_create(&config, &r->dev), 0);
    chip_start(r);
    map_bars(r);
    rig_out32(r, BAR0 + 4, 1);
    assert_int_equal(rig_in16(r, P10), 0xffff);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    map_bars(*state);
    chip_every_port(*state, (struct port_range){ 0x10, 0x1f });
    chip_every_port(*state, (struct port_range){ BAR0, BAR0 + 0xff });
    chip_every_config(*state, DEVFN);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    map_bars(*state);
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0x0d, 0x21 }, { BAR0, BAR0 + 0x10 } };
    map_bars(*state);
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), DEVFN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(identity),
        TEST(bars_have_their_sizes),
        TEST(fixed_ports_by_width),
        TEST(linux_handshake),
        TEST(masks_add_up),
        TEST(reserved_bits_are_dropped),
        TEST(reset_keeps_the_mask),
        TEST(rom_lock),
        TEST(refused_lock_doesn_t_show),
        TEST(interrupt_is_never_driven),
        TEST(hole_reads_zero),
        TEST(legacy_ports),
        TEST(log_port_speaks_in_lines),
        TEST(xsa_180_log_stays_short),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(taken_places),
        TEST(cve_2015_5166_unplug_inside_the_write),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
