/* The firmware's debug ports. */
#include <errno.h>

#include "chipset-rig.h"
#include "debugport.h"

static int plug_in_with(void **state, bool with_chr)
{
    struct rig *r = *state = *state ? *state : rig_new();
    struct debugport_config config = { .id = "debugport", .ports = &r->ports, .chr = with_chr ? rig_chr(r) : NULL };
    int err = debugport_create(&config, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in(void **state)
{
    return plug_in_with(state, false);
}

static int plug_in_chr(void **state)
{
    return plug_in_with(state, true);
}

static void say(struct rig *r, uint16_t port, const char *text)
{
    for (; *text; text++)
        rig_out8(r, port, (uint8_t)*text);
}

/* OVMF writes only if this answers. */
static void reads_say_present(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, 0x402), 0xe9);
    assert_int_equal(rig_in8(r, 0xe9), 0xe9);
    assert_int_equal(rig_in16(r, 0x402), 0xffe9);
    assert_int_equal(rig_in32(r, 0xe7), 0xffe9ffff);
}

static void lines_go_to_the_log(void **state)
{
    struct rig *r = *state;
    say(r, 0x402, "SecCoreStartupWithStack(0x%x)\r\n");
    assert_string_equal(r->log_last, "debugport: the guest says: SecCoreStartupWithStack(0x%x)");
    say(r, 0xe9, "half ");
    say(r, 0x402, "and half\n");
    assert_string_equal(r->log_last, "debugport: the guest says: half and half");
    assert_int_equal(r->log_lines, 2);
    say(r, 0x402, "lost");
    r->dev->desc->reset(r->dev);
    say(r, 0x402, "new\n");
    assert_string_equal(r->log_last, "debugport: the guest says: new");
}

static void bytes_go_to_the_chr_as_they_are(void **state)
{
    struct rig *r = *state;
    rig_out8(r, 0x402, 0x00);
    rig_out16(r, 0x402, 0x41ff); /* 403 isn't ours */
    rig_out8(r, 0xe9, '\n');
    assert_int_equal(r->out_len, 3);
    assert_memory_equal(r->out, "\x00\xff\n", 3);
    assert_int_equal(r->log_lines, 0);
}

static void xsa_180_log_stays_short(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < 100000; i++)
        say(r, 0x402, "spam\n");
    for (unsigned i = 0; i < 100000; i++)
        rig_out8(r, 0x402, 'x');
    assert_in_range(r->log_lines, 1, LOG_RATE_BURST + 1);
}

static void snapshot_has_nothing(void **state)
{
    struct rig *r = *state;
    rig_save(r);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, 0x402), 0xe9);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in8(r, 0x402), 0xff);
    assert_int_equal(rig_in8(r, 0xe9), 0xff);
    rig_out8(r, 0x402, 'x');
    assert_int_equal(r->out_len, 0);
    assert_true(r->chr_closed);
}

/* A failed create leaves the chr to the caller. */
static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    struct debugport_config config = { .id = "second", .ports = &r->ports, .chr = rig_chr(r) };
    assert_int_equal(debugport_create(&config, &second), -EEXIST);
    assert_null(second);
    assert_false(r->chr_closed);
    assert_int_equal(r->ports.nr_regions, 2);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    chip_every_port(*state, (struct port_range){ 0x402, 0x402 });
    chip_every_port(*state, (struct port_range){ 0xe9, 0xe9 });
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0xe7, 0xeb }, { 0x400, 0x404 } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), -1);
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)
#define TEST_CHR(name) cmocka_unit_test_setup_teardown(name, plug_in_chr, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_say_present),
        TEST(lines_go_to_the_log),
        TEST_CHR(bytes_go_to_the_chr_as_they_are),
        TEST(xsa_180_log_stays_short),
        TEST(snapshot_has_nothing),
        TEST_CHR(unplug_is_final),
        TEST(taken_ports),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
