/* The task file, the data port, interrupts and resets. [ACS n] is section n of ATA8-ACS, [APT n] of ATA8-APT. */
#include "ide-bench.h"

static int one_disk(void **state)
{
    *state = bench_new("d---");
    return 0;
}

static int disk_and_cd(void **state)
{
    *state = bench_new("dd-c");
    return 0;
}

static int disk_and_cd_together(void **state)
{
    *state = bench_new("dc--");
    return 0;
}

/* Signature and status after power-on [ACS 7.9.3, APT 4.2]. */
static void reset_values(void **state)
{
    struct bench *b = *state;
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(in8(b, PRIMARY_CTL), READY);
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
    assert_int_equal(in8(b, PRIMARY + COUNT), 1);
    assert_int_equal(in8(b, PRIMARY + LOW), 1);
    assert_int_equal(in8(b, PRIMARY + MID), 0);
    assert_int_equal(in8(b, PRIMARY + HIGH), 0);
    assert_int_equal(in8(b, PRIMARY + DEVICE), 0xa0);
    select_unit(b, SECONDARY, 1);
    assert_int_equal(in8(b, SECONDARY + STATUS), 0);
    assert_int_equal(in8(b, SECONDARY + MID), 0x14);
    assert_int_equal(in8(b, SECONDARY + HIGH), 0xeb);
    assert_int_equal(in8(b, SECONDARY + DEVICE), 0xb0);
    assert_false(b->r->wires[14]);
    assert_false(b->r->wires[15]);
}

/* Nobody answers for an absent drive, and it is never busy. */
static void absent_drives_read_zero(void **state)
{
    struct bench *b = *state;
    for (unsigned port = SECONDARY; port < SECONDARY + 8; port++)
        assert_int_equal(in8(b, port), 0);
    assert_int_equal(in8(b, SECONDARY_CTL), 0);
    select_unit(b, PRIMARY, 1);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(in8(b, PRIMARY_CTL), 0);
    assert_int_equal(in8(b, PRIMARY + ERROR), 0);
    command28(b, PRIMARY, 1, 0x20, 0, 1);
    command28(b, SECONDARY, 0, 0xec, 0, 1);
    rig_settle(b->r);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(in8(b, SECONDARY + STATUS), 0);
    assert_false(b->r->wires[14]);
}

/* Both drives hear every write; HOB shows the previous value until the next one [APT 4.3]. */
static void registers_have_a_previous_value(void **state)
{
    struct bench *b = *state;
    for (unsigned reg = COUNT; reg <= HIGH; reg++) {
        out8(b, PRIMARY + reg, (uint8_t)(0x10 + reg));
        out8(b, PRIMARY + reg, (uint8_t)(0x20 + reg));
        assert_int_equal(in8(b, PRIMARY + reg), 0x20 + reg);
        out8(b, PRIMARY_CTL, 0x80);
        assert_int_equal(in8(b, PRIMARY + reg), 0x10 + reg);
        out8(b, PRIMARY + DEVICE, 0xb0); /* ends it, and shows the neighbour's */
        assert_int_equal(in8(b, PRIMARY + reg), 0x20 + reg);
        out8(b, PRIMARY + DEVICE, 0xa0);
    }
}

/* 8, 16 and 32 bits at a time, in any mixture, and strings over the end of a DRQ block. */
static void data_port_widths(void **state)
{
    struct bench *b = *state;
    uint8_t got[2048], *image = b->disk[0]->data;
    size_t at = 0;
    command28(b, PRIMARY, 0, 0x20, 5, 4);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    got[at++] = in8(b, PRIMARY);
    le16_put(got + at, rig_in16(b->r, PRIMARY));
    at += 2;
    le32_put(got + at, rig_in32(b->r, PRIMARY));
    at += 4;
    got[at++] = in8(b, PRIMARY);
    bus_read_rep(&b->r->ports, PRIMARY, 4, got + at, 250);
    at += 1000;
    bus_read_rep(&b->r->ports, PRIMARY, 1, got + at, 2048 - at);
    assert_memory_equal(got, image + 5 * 512, sizeof(got));
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(rig_in32(b->r, PRIMARY), 0); /* nothing is left */
    memset(got, 0xee, 16);
    bus_read_rep(&b->r->ports, PRIMARY, 2, got, 8);
    assert_int_equal(got[0] | got[15], 0);
}

static void data_port_takes_all_widths(void **state)
{
    struct bench *b = *state;
    uint8_t data[1024], *image = b->disk[0]->data;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    command28(b, PRIMARY, 0, 0x30, 9, 2);
    out8(b, PRIMARY, data[0]);
    rig_out16(b->r, PRIMARY, le16_get(data + 1));
    rig_out32(b->r, PRIMARY, le32_get(data + 3));
    out8(b, PRIMARY, data[7]);
    bus_write_rep(&b->r->ports, PRIMARY, 4, data + 8, 254);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(image + 9 * 512, data, sizeof(data));
    rig_out32(b->r, PRIMARY, 0xffffffff); /* falls on the floor */
    assert_memory_equal(image + 9 * 512, data, sizeof(data));
}

/* INTRQ rises with each DRQ block, falls with a read of the status, not of the alternate one [APT 4.1]. */
static void interrupt_and_acknowledge(void **state)
{
    struct bench *b = *state;
    uint8_t data[1024];
    command28(b, PRIMARY, 0, 0x20, 0, 2);
    assert_false(b->r->wires[14]);
    assert_int_equal(in8(b, PRIMARY_CTL), BSY);
    rig_settle(b->r);
    assert_true(b->r->wires[14]);
    assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ);
    assert_true(b->r->wires[14]);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY | DRQ);
    assert_false(b->r->wires[14]);
    insw(b, PRIMARY, data, 512);
    assert_true(b->r->wires[14]); /* the second block */
    assert_int_equal(in8(b, PRIMARY + STATUS), READY | DRQ);
    insw(b, PRIMARY, data + 512, 512);
    assert_false(b->r->wires[14]); /* none at the end of a read */
    assert_int_equal(b->r->wire_edges[14], 2);
    assert_int_equal(b->r->wire_edges[15], 0);
}

static void interrupt_enable_gates_the_line(void **state)
{
    struct bench *b = *state;
    out8(b, PRIMARY_CTL, 0x02);
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    rig_settle(b->r);
    assert_false(b->r->wires[14]);
    out8(b, PRIMARY_CTL, 0x00);
    assert_true(b->r->wires[14]);
    out8(b, PRIMARY_CTL, 0x02);
    assert_false(b->r->wires[14]);
    out8(b, PRIMARY_CTL, 0x00);
    out8(b, PRIMARY + DEVICE, 0xb0); /* the other drive doesn't drive it */
    assert_false(b->r->wires[14]);
    out8(b, PRIMARY + DEVICE, 0xa0);
    assert_true(b->r->wires[14]);
    command28(b, PRIMARY, 0, 0x00, 0, 0);
    assert_true(b->r->wires[14]); /* refused: DRQ is up */
}

static void software_reset(void **state)
{
    struct bench *b = *state;
    command28(b, PRIMARY, 0, 0x20, 77, 2);
    rig_settle(b->r);
    out8(b, PRIMARY + DEVICE, 0xf0);
    out8(b, PRIMARY_CTL, 0x04);
    assert_int_equal(in8(b, PRIMARY + STATUS), BSY);
    assert_false(b->r->wires[14]);
    out8(b, PRIMARY + STATUS, 0xec); /* nothing works meanwhile */
    out8(b, PRIMARY_CTL, 0x00);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(in8(b, PRIMARY + DEVICE), 0xa0); /* drive 0 is selected */
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
    assert_int_equal(in8(b, PRIMARY + COUNT), 1);
    assert_int_equal(in8(b, PRIMARY + LOW), 1);
    assert_int_equal(in8(b, PRIMARY + HIGH), 0);
    assert_false(b->r->wires[14]);
    select_unit(b, PRIMARY, 1);
    assert_int_equal(in8(b, PRIMARY + MID), 0x14);
    assert_int_equal(in8(b, PRIMARY + HIGH), 0xeb);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
}

static void diagnostic(void **state)
{
    struct bench *b = *state;
    out8(b, PRIMARY + DEVICE, 0xb0); /* any drive selected: both do it [ACS 7.9] */
    out8(b, PRIMARY + STATUS, 0x90);
    assert_true(b->r->wires[14]);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
    assert_int_equal(in8(b, PRIMARY + DEVICE), 0xa0);
}

/* DEVICE RESET is the packet drive's, works while DRQ is up, and leaves it selected [ACS 7.8]. */
static void device_reset(void **state)
{
    struct bench *b = *state;
    static const uint8_t inquiry[12] = { 0x12, 0, 0, 0, 36 };
    out8(b, PRIMARY + DEVICE, 0xa0);
    out8(b, PRIMARY + STATUS, 0x08);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
    packet(b, PRIMARY, 1, inquiry, 0xfffe, false);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    out8(b, PRIMARY + STATUS, 0x08);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(in8(b, PRIMARY + DEVICE), 0xb0);
    assert_int_equal(in8(b, PRIMARY + MID), 0x14);
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
}

/* A neighbour's command ends an unfinished transfer: there is one buffer. */
static void one_command_per_channel(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    command28(b, PRIMARY, 0, 0x20, 0, 8);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    command28(b, PRIMARY, 1, 0x20, 3, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    select_unit(b, PRIMARY, 0);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(rig_in16(b->r, PRIMARY), 0);
    select_unit(b, PRIMARY, 1);
    insw(b, PRIMARY, data, 512);
    assert_memory_equal(data, b->disk[1]->data + 3 * 512, 512);
}

/* While a request is with the back end, the registers are the drive's. */
static void busy_drive_ignores_writes(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    b->disk[0]->hold = true;
    command28(b, PRIMARY, 0, 0x20, 6, 1);
    for (unsigned i = 0; i < 100; i++) {
        rig_settle(b->r);
        assert_int_equal(in8(b, PRIMARY + STATUS), BSY);
    }
    command28(b, PRIMARY, 0, 0x30, 9, 9);
    out8(b, PRIMARY + DEVICE, 0xb0);
    rig_disk_release(b->disk[0]);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    insw(b, PRIMARY, data, 512);
    assert_memory_equal(data, b->disk[0]->data + 6 * 512, 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
}

/* LP 1887303, LP 1887309: a reset forgets the command, the drive stays busy until its request is gone. */
static void reset_orphans_the_request_in_flight(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    b->disk[0]->hold = true;
    command28(b, PRIMARY, 0, 0x20, 6, 1);
    rig_settle(b->r);
    out8(b, PRIMARY_CTL, 0x04);
    out8(b, PRIMARY_CTL, 0x00);
    assert_int_equal(in8(b, PRIMARY + STATUS), BSY);
    command28(b, PRIMARY, 0, 0x20, 7, 1);
    out8(b, PRIMARY_CTL, 0x04);
    out8(b, PRIMARY_CTL, 0x00);
    rig_disk_release(b->disk[0]);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(in8(b, PRIMARY + LOW), 1);
    assert_false(b->r->wires[14]);
    assert_int_equal(b->r->wire_edges[14], 0);
    command28(b, PRIMARY, 0, 0x20, 7, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, 512, 512), 512);
    assert_memory_equal(data, b->disk[0]->data + 7 * 512, 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reset_values, disk_and_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(absent_drives_read_zero, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(registers_have_a_previous_value, disk_and_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(data_port_widths, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(data_port_takes_all_widths, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(interrupt_and_acknowledge, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(interrupt_enable_gates_the_line, disk_and_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(software_reset, disk_and_cd_together, bench_teardown),
        cmocka_unit_test_setup_teardown(diagnostic, disk_and_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(device_reset, disk_and_cd_together, bench_teardown),
        cmocka_unit_test_setup_teardown(one_command_per_channel, disk_and_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(busy_drive_ignores_writes, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_orphans_the_request_in_flight, one_disk, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
