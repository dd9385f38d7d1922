/* core/bus.c: who answers an access, how it is split, and what may happen in the middle of one. */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A region that writes each call into the trace and answers with its offset in every byte. */
struct probe {
    struct bus_region region;
    struct bus_region *detach; /* detached from inside the next call */
    char name;
};

static char trace[512];

static void note(const struct probe *p, char op, uint64_t off, unsigned size, uint64_t val)
{
    size_t len = strlen(trace);
    if (op == 'r')
        (void)snprintf(trace + len, sizeof(trace) - len, "%cr%llu.%u ", p->name, (unsigned long long)off, size);
    else
        (void)snprintf(trace + len, sizeof(trace) - len, "%c%c%llu.%u=%llx ", p->name, op, (unsigned long long)off,
                       size, (unsigned long long)val);
}

static void detach_now(struct probe *p)
{
    if (p->detach)
        bus_detach(p->detach);
    p->detach = NULL;
}

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
    struct probe *p = opaque;
    uint64_t val = 0;
    note(p, 'r', off, size, 0);
    for (unsigned i = 0; i < 8; i++) /* more than asked for: the bus masks */
        val |= ((off + i) & 0xff) << (8 * i);
    detach_now(p);
    return val;
}

static void probe_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct probe *p = opaque;
    note(p, 'w', off, size, val);
    detach_now(p);
}

static const struct bus_ops bytes_only = { probe_read, probe_write, .sizes = BUS_1 };
static const struct bus_ops dwords_only = { probe_read, probe_write, .sizes = BUS_4 };
static const struct bus_ops all_sizes = { probe_read, probe_write, .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8 };
static const struct bus_ops words_exact = { probe_read, probe_write, .sizes = BUS_2, .exact = true };
static const struct bus_ops words_hang = { probe_read, probe_write, .sizes = BUS_1 | BUS_2 | BUS_4, .overhang = true };
static const struct bus_ops mute = { NULL, NULL, .sizes = BUS_1 };

static int clear_trace(void **state)
{
    trace[0] = '\0';
    return rig_setup(state);
}

static void unclaimed_reads_ones_and_drops_writes(void **state)
{
    struct rig *r = *state;
    assert_int_equal(bus_read(&r->ports, 0x80, 1), 0xff);
    assert_int_equal(bus_read(&r->ports, 0xffff, 4), 0xffffffff);
    assert_int_equal(bus_read(&r->ports, 0x10000, 2), 0xffff); /* behind the space */
    assert_true(bus_read(&r->memory, 0xfee00000, 8) == UINT64_MAX);
    assert_true(bus_read(&r->memory, UINT64_MAX, 8) == UINT64_MAX);
    bus_write(&r->memory, UINT64_MAX - 2, 8, 0);
    bus_write(&r->ports, UINT64_MAX, 4, 0);
}

static void attach_checks_range_and_overlap(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' }, b = { .name = 'b' };
    struct bus *spaces[] = { &r->ports, &r->memory };
    assert_int_equal(bus_attach(&r->ports, &a.region, &all_sizes, &a, 0xffff, 2), -EINVAL);
    assert_int_equal(bus_attach(&r->ports, &a.region, &all_sizes, &a, 0x10000, 1), -EINVAL);
    assert_int_equal(bus_attach(&r->ports, &a.region, &all_sizes, &a, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(bus_attach(&r->memory, &a.region, &all_sizes, &a, UINT64_MAX, 2), -EINVAL);
    for (unsigned i = 0; i < ARRAY_SIZE(spaces); i++) {
        assert_int_equal(bus_attach(spaces[i], &a.region, &all_sizes, &a, 0x100, 0), -EINVAL);
        assert_int_equal(bus_attach(spaces[i], &a.region, &all_sizes, &a, 0x100, 16), 0);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0xf0, 17), -EEXIST);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0x10f, 1), -EEXIST);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0xf0, 0x100), -EEXIST);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0x104, 4), -EEXIST);
        assert_null(b.region.bus);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0x110, 1), 0);
        bus_detach(&b.region);
        assert_int_equal(bus_attach(spaces[i], &b.region, &all_sizes, &b, 0xf0, 16), 0);
        bus_detach(&b.region);
        bus_detach(&b.region); /* harmless */
        bus_detach(&a.region);
        assert_int_equal(spaces[i]->nr_regions, 0);
        assert_int_equal(bus_read(spaces[i], 0x104, 1), 0xff);
    }
}

static void last_byte_of_each_space_can_be_claimed(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' }, b = { .name = 'b' };
    assert_int_equal(bus_attach(&r->ports, &a.region, &all_sizes, &a, 0, 0x10000), 0);
    assert_int_equal(bus_attach(&r->memory, &b.region, &all_sizes, &b, UINT64_MAX, 1), 0);
    assert_int_equal(bus_read(&r->ports, 0xffff, 1), 0xff); /* offset 0xffff, cut */
    /* Neither space wraps to its first byte. */
    assert_int_equal(bus_read(&r->ports, 0xffff, 2), 0xffff);
    bus_write(&r->memory, UINT64_MAX, 4, 0x44332211);
    assert_string_equal(trace, "ar65535.1 ar65535.1 bw0.1=11 ");
    bus_detach(&a.region);
    bus_detach(&b.region);
}

static void too_many_regions_are_refused(void **state)
{
    struct rig *r = *state;
    static struct probe many[BUS_MAX_REGIONS + 1];
    struct bus *spaces[] = { &r->ports, &r->memory };
    for (unsigned s = 0; s < ARRAY_SIZE(spaces); s++) {
        /* Backwards, so that memory is sorted in. */
        for (unsigned i = BUS_MAX_REGIONS; i > 0; i--)
            assert_int_equal(bus_attach(spaces[s], &many[i].region, &all_sizes, &many[i], 4 * i, 4), 0);
        assert_int_equal(bus_attach(spaces[s], &many[0].region, &all_sizes, &many[0], 0, 4), -ENOSPC);
        assert_int_equal(bus_attach(spaces[s], &many[0].region, &all_sizes, &many[0], 40, 4), -EEXIST);
        for (unsigned i = 1; i <= BUS_MAX_REGIONS; i++) {
            many[i].name = (char)('a' + i % 26);
            trace[0] = '\0';
            (void)bus_read(spaces[s], 4 * i + 1, 1);
            assert_int_equal(trace[0], many[i].name);
        }
        bus_detach(&many[100].region);
        assert_int_equal(bus_attach(spaces[s], &many[0].region, &all_sizes, &many[0], 0, 4), 0);
        for (unsigned i = 0; i <= BUS_MAX_REGIONS; i++)
            bus_detach(&many[i].region);
    }
}

static void wide_access_is_split_low_part_first(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    assert_int_equal(bus_attach(&r->ports, &a.region, &bytes_only, &a, 0x60, 8), 0);
    assert_int_equal(bus_read(&r->ports, 0x60, 4), 0x03020100);
    bus_write(&r->ports, 0x62, 2, 0xbbaa);
    assert_string_equal(trace, "ar0.1 ar1.1 ar2.1 ar3.1 aw2.1=aa aw3.1=bb ");
    bus_detach(&a.region);
    trace[0] = '\0';
    assert_int_equal(bus_attach(&r->memory, &a.region, &dwords_only, &a, 0x1000, 0x100), 0);
    assert_true(bus_read(&r->memory, 0x1010, 8) == UINT64_C(0x1716151413121110));
    bus_write(&r->memory, 0x1001, 4, UINT64_C(0xff11223344)); /* unaligned is the device's matter; excess is cut */
    assert_string_equal(trace, "ar16.4 ar20.4 aw1.4=11223344 ");
    bus_detach(&a.region);
}

static void narrow_access_is_refused(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    assert_int_equal(bus_attach(&r->memory, &a.region, &dwords_only, &a, 0x1000, 0x100), 0);
    assert_int_equal(bus_read(&r->memory, 0x1000, 1), 0xff);
    assert_int_equal(bus_read(&r->memory, 0x1000, 2), 0xffff);
    bus_write(&r->memory, 0x1000, 1, 0);
    bus_write(&r->memory, 0x1000, 2, 0);
    assert_string_equal(trace, "");
    bus_detach(&a.region);
}

static void access_over_two_regions_is_split(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' }, b = { .name = 'b' };
    assert_int_equal(bus_attach(&r->memory, &a.region, &all_sizes, &a, 0x1000, 3), 0);
    assert_int_equal(bus_attach(&r->memory, &b.region, &all_sizes, &b, 0x1004, 4), 0);
    assert_true(bus_read(&r->memory, 0x1000, 8) == UINT64_C(0x03020100ff020100));
    assert_string_equal(trace, "ar0.2 ar2.1 br0.4 ");
    trace[0] = '\0';
    bus_write(&r->memory, 0xffe, 8, UINT64_C(0x8877665544332211)); /* begins where nobody is */
    assert_string_equal(trace, "aw0.2=4433 aw2.1=55 bw0.2=8877 ");
    bus_detach(&a.region);
    bus_detach(&b.region);
}

static void exact_region_takes_whole_accesses_only(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    assert_int_equal(bus_attach(&r->ports, &a.region, &words_exact, &a, 0x10, 4), 0);
    assert_int_equal(bus_read(&r->ports, 0x10, 2), 0x0100);
    assert_int_equal(bus_read(&r->ports, 0x10, 4), 0xffffffff);
    assert_int_equal(bus_read(&r->ports, 0x10, 1), 0xff);
    assert_int_equal(bus_read(&r->ports, 0x13, 2), 0xffff); /* ends behind it */
    bus_write(&r->ports, 0x10, 4, 0);
    assert_string_equal(trace, "ar0.2 ");
    bus_detach(&a.region);
}

static void overhang_belongs_to_the_first_region(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' }, b = { .name = 'b' };
    assert_int_equal(bus_attach(&r->ports, &a.region, &words_hang, &a, 0x1f0, 1), 0);
    assert_int_equal(bus_attach(&r->ports, &b.region, &bytes_only, &b, 0x1f1, 7), 0);
    (void)bus_read(&r->ports, 0x1f0, 4);
    bus_write(&r->ports, 0x1f0, 2, 0x1234);
    bus_write(&r->ports, 0x1f1, 2, 0x1234);
    assert_string_equal(trace, "ar0.4 aw0.2=1234 bw0.1=34 bw1.1=12 ");
    bus_detach(&a.region);
    bus_detach(&b.region);
}

static void missing_functions_read_ones(void **state)
{
    struct rig *r = *state;
    struct bus_region region = { 0 };
    assert_int_equal(bus_attach(&r->ports, &region, &mute, NULL, 0x10, 1), 0);
    assert_int_equal(bus_read(&r->ports, 0x10, 1), 0xff);
    bus_write(&r->ports, 0x10, 1, 5);
    bus_detach(&region);
}

/* A write to a register may unplug other devices, or the device itself: the rest of the access finds nobody. */
static void callback_may_detach_any_region(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' }, b = { .name = 'b' };
    struct bus *spaces[] = { &r->ports, &r->memory };
    for (unsigned i = 0; i < ARRAY_SIZE(spaces); i++) {
        trace[0] = '\0';
        assert_int_equal(bus_attach(spaces[i], &a.region, &bytes_only, &a, 0x10, 2), 0);
        assert_int_equal(bus_attach(spaces[i], &b.region, &bytes_only, &b, 0x12, 2), 0);
        a.detach = &b.region;
        bus_write(spaces[i], 0x11, 2, 0x2211);
        assert_string_equal(trace, "aw1.1=11 ");
        a.detach = &a.region;
        assert_int_equal(bus_read(spaces[i], 0x10, 2), 0xff00);
        assert_string_equal(trace, "aw1.1=11 ar0.1 ");
        assert_int_equal(spaces[i]->nr_regions, 0);
    }
}

static uint8_t fifo[16];
static size_t fifo_len, block_limit;

static size_t probe_read_block(void *opaque, uint64_t off, unsigned size, void *buf, size_t count)
{
    struct probe *p = opaque;
    size_t moved = count < block_limit ? count : block_limit;
    note(p, 'R', off, size, moved);
    memset(buf, 0xab, moved * size);
    detach_now(p);
    return moved;
}

static size_t probe_write_block(void *opaque, uint64_t off, unsigned size, const void *buf, size_t count)
{
    size_t moved = count < block_limit ? count : block_limit;
    note(opaque, 'W', off, size, moved);
    assert_true(fifo_len + moved * size <= sizeof(fifo));
    memcpy(fifo + fifo_len, buf, moved * size);
    fifo_len += moved * size;
    return moved;
}

static const struct bus_ops block_port = {
    probe_read, probe_write, .sizes = BUS_2, .read_block = probe_read_block, .write_block = probe_write_block,
};

static void block_forms_move_what_they_can(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    uint8_t buf[10];
    assert_int_equal(bus_attach(&r->ports, &a.region, &block_port, &a, 0x10, 2), 0);
    block_limit = 3;
    bus_read_rep(&r->ports, 0x10, 2, buf, 5);
    assert_string_equal(trace, "aR0.2=3 aR0.2=2 ");
    trace[0] = '\0';
    block_limit = 0; /* not now: one by one */
    bus_read_rep(&r->ports, 0x10, 2, buf, 2);
    assert_string_equal(trace, "aR0.2=0 ar0.2 aR0.2=0 ar0.2 ");
    assert_memory_equal(buf, "\x00\x01\x00\x01\xab\xab", 6);
    trace[0] = '\0';
    block_limit = 100;
    fifo_len = 0;
    bus_write_rep(&r->ports, 0x10, 2, "12345678", 4);
    assert_string_equal(trace, "aW0.2=4 ");
    assert_memory_equal(fifo, "12345678", 8);
    trace[0] = '\0';
    bus_write_rep(&r->ports, 0x10, 4, "12345678", 2); /* not a size of the region: split */
    assert_string_equal(trace, "aw0.2=3231 aw0.2=3635 ");
    bus_detach(&a.region);
}

static void rep_goes_on_without_a_region(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    uint8_t buf[8] = { 0 };
    bus_read_rep(&r->ports, 0x10, 4, buf, 2);
    assert_memory_equal(buf, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    bus_write_rep(&r->ports, 0x10, 4, buf, 2);
    assert_int_equal(bus_attach(&r->ports, &a.region, &block_port, &a, 0x10, 2), 0);
    block_limit = 2;
    a.detach = &a.region;
    bus_read_rep(&r->ports, 0x10, 2, buf, 4);
    assert_memory_equal(buf, "\xab\xab\xab\xab\xff\xff\xff\xff", 8);
    bus_read_rep(&r->ports, 0x10, 1, buf, 0);
    bus_detach(&a.region);
}

struct seen {
    uint64_t first, last;
    unsigned attached, detached;
    bool there; /* the region answered while the listener was told */
};

static void listener(void *opaque, const struct bus *bus, uint64_t first, uint64_t last, bool present)
{
    struct seen *seen = opaque;
    seen->first = first;
    seen->last = last;
    if (present)
        seen->attached++;
    else
        seen->detached++;
    seen->there = bus->nr_regions == 1;
}

static void listener_hears_of_every_range(void **state)
{
    struct rig *r = *state;
    struct probe a = { .name = 'a' };
    struct seen seen = { 0 };
    const struct bus_listener hook = { listener, &seen };
    r->memory.listener = &hook;
    assert_int_equal(bus_attach(&r->memory, &a.region, &all_sizes, &a, 0xe0000000, 0x1000), 0);
    assert_int_equal(seen.attached, 1);
    assert_true(seen.there && seen.first == 0xe0000000 && seen.last == 0xe0000fff);
    struct probe b = { .name = 'b' };
    assert_int_equal(bus_attach(&r->memory, &b.region, &all_sizes, &b, 0xe0000000, 1), -EEXIST);
    assert_int_equal(seen.attached, 1);
    bus_detach(&a.region);
    assert_true(seen.detached == 1 && seen.there && seen.last == 0xe0000fff);
    bus_detach(&a.region);
    assert_int_equal(seen.detached, 1);
}

static void finish_is_harmless_when_repeated(void **state)
{
    struct bus bus = { 0 };
    bus_finish(&bus);
    assert_int_equal(bus_init(&bus, true), 0);
    bus_finish(&bus);
    bus_finish(&bus);
    assert_null(bus.port_slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unclaimed_reads_ones_and_drops_writes, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(attach_checks_range_and_overlap, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(last_byte_of_each_space_can_be_claimed, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(too_many_regions_are_refused, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(wide_access_is_split_low_part_first, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(narrow_access_is_refused, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(access_over_two_regions_is_split, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(exact_region_takes_whole_accesses_only, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(overhang_belongs_to_the_first_region, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(missing_functions_read_ones, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(callback_may_detach_any_region, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(block_forms_move_what_they_can, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(rep_goes_on_without_a_region, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(listener_hears_of_every_range, clear_trace, rig_teardown),
        cmocka_unit_test_setup_teardown(finish_is_harmless_when_repeated, clear_trace, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
