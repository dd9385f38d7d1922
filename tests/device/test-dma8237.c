/* DMA controllers and page registers; [8237 name] is a register or command of the 8237A data sheet. */
#include <errno.h>

#include "chipset-rig.h"
#include "dma8237.h"

/* Register n of controller c: bytes at 0, words at c0, two ports apart. */
static uint16_t port(unsigned c, unsigned n)
{
    return (uint16_t)(c == 0 ? n : 0xc0 + 2 * n);
}

enum { COMMAND = 8, STATUS = 8, REQUEST, MASK, MODE, CLEAR_FLIP_FLOP, MASTER_CLEAR, CLEAR_MASK, MASK_ALL };

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    int err = dma8237_create(&(struct dma8237_config){ .id = "dma8237", .ports = &r->ports }, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static void program(struct rig *r, unsigned channel, uint8_t mode, uint16_t addr, uint16_t count)
{
    unsigned c = channel / 4, i = channel % 4;
    rig_out8(r, port(c, CLEAR_FLIP_FLOP), 0);
    rig_out8(r, port(c, MODE), (uint8_t)(mode | i));
    rig_out8(r, port(c, 2 * i), (uint8_t)addr);
    rig_out8(r, port(c, 2 * i), (uint8_t)(addr >> 8));
    rig_out8(r, port(c, 2 * i + 1), (uint8_t)count);
    rig_out8(r, port(c, 2 * i + 1), (uint8_t)(count >> 8));
    rig_out8(r, port(c, MASK), (uint8_t)i);
}

static uint16_t read_word(struct rig *r, unsigned c, unsigned n)
{
    uint8_t low = rig_in8(r, port(c, n));
    return (uint16_t)(low | rig_in8(r, port(c, n)) << 8);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    for (unsigned c = 0; c < 2; c++) {
        for (unsigned n = 0; n < 8; n++)
            assert_int_equal(read_word(r, c, n), 0);
        for (unsigned n = 8; n < 15; n++)
            assert_int_equal(rig_in8(r, port(c, n)), 0);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x0f);
    }
    for (uint16_t page = 0x81; page <= 0x8f; page++)
        assert_int_equal(rig_in8(r, page), page == 0x88 ? 0xff : 0);
}

/* [8237 Clear First/Last Flip-Flop] Halves alternate, for all registers with one flip-flop. */
static void flip_flop(void **state)
{
    struct rig *r = *state;
    for (unsigned c = 0; c < 2; c++) {
        rig_out8(r, port(c, 2), 0x34);
        rig_out8(r, port(c, 2), 0x12);
        assert_int_equal(rig_in8(r, port(c, 2)), 0x34);
        assert_int_equal(rig_in8(r, port(c, 2)), 0x12);
        assert_int_equal(rig_in8(r, port(c, 2)), 0x34);
        rig_out8(r, port(c, 5), 0xab); /* a high half, of another register */
        assert_int_equal(read_word(r, c, 5), 0xab00);
        (void)rig_in8(r, port(c, 2));
        rig_out8(r, port(c, CLEAR_FLIP_FLOP), 0x55);
        assert_int_equal(rig_in8(r, port(c, 2)), 0x34);
        (void)rig_in8(r, port(c, 2));
    }
}

static void each_register_is_its_own(void **state)
{
    struct rig *r = *state;
    for (unsigned channel = 0; channel < 8; channel++)
        program(r, channel, 0x44, (uint16_t)(0x1001 * channel + 0x0a05), (uint16_t)(0x2003 * channel + 0x0b07));
    for (unsigned channel = 0; channel < 8; channel++) {
        unsigned c = channel / 4, i = channel % 4;
        assert_int_equal(read_word(r, c, 2 * i), (uint16_t)(0x1001 * channel + 0x0a05));
        assert_int_equal(read_word(r, c, 2 * i + 1), (uint16_t)(0x2003 * channel + 0x0b07));
    }
}

static void wide_accesses_are_bytes(void **state)
{
    struct rig *r = *state;
    rig_out16(r, 0x00, 0x2211); /* address low half, then count high half */
    rig_out8(r, port(0, CLEAR_FLIP_FLOP), 0);
    assert_int_equal(read_word(r, 0, 0), 0x0011);
    assert_int_equal(read_word(r, 0, 1), 0x2200);
    rig_out16(r, 0xc0, 0x4433); /* odd ports of the second controller are the even ones */
    assert_int_equal(read_word(r, 1, 0), 0x4433);
    rig_out32(r, 0x84, 0x44332211);
    assert_int_equal(rig_in32(r, 0x84), 0x44332211);
}

static void masks(void **state)
{
    struct rig *r = *state;
    for (unsigned c = 0; c < 2; c++) {
        rig_out8(r, port(c, MASK), 0x02);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x0b);
        rig_out8(r, port(c, MASK), 0x06);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x0f);
        rig_out8(r, port(c, MASK_ALL), 0xf5);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x05);
        rig_out8(r, port(c, CLEAR_MASK), 0xff);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x00);
        rig_out8(r, port(c, MASTER_CLEAR), 0);
        assert_int_equal(rig_in8(r, port(c, MASK_ALL)), 0x0f);
    }
}

/* [8237 Status Register] Requests stay, terminal counts go when they are read. */
static void status_and_requests(void **state)
{
    struct rig *r = *state;
    rig_out8(r, port(0, REQUEST), 0x07);
    dma8237_set_request(r->dev, 1, true);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0xa0);
    rig_out8(r, port(0, REQUEST), 0x03);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x20);
    program(r, 2, 0x44, 0, 0);
    assert_true(dma8237_advance(r->dev, 2, 1));
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x24);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x20);
    dma8237_set_request(r->dev, 1, false);
    dma8237_set_request(r->dev, 6, true);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x00);
    assert_int_equal(rig_in8(r, port(1, STATUS)), 0x40);
}

/* [8237 Master Clear] */
static void master_clear_spares_addresses(void **state)
{
    struct rig *r = *state;
    program(r, 1, 0x58, 0x1234, 0x5678);
    rig_out8(r, port(0, REQUEST), 0x04);
    rig_out8(r, port(0, COMMAND), 0x04);
    (void)rig_in8(r, port(0, 0)); /* flip-flop set */
    rig_out8(r, port(0, MASTER_CLEAR), 0xff);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0);
    assert_int_equal(rig_in8(r, port(0, MASK_ALL)), 0x0f);
    assert_int_equal(read_word(r, 0, 2), 0x1234);
    assert_int_equal(read_word(r, 0, 3), 0x5678);
    rig_out8(r, port(0, MASK), 0x01);
    struct dma8237_channel channel = dma8237_channel(r->dev, 1);
    assert_true(channel.ready); /* the command is gone, the mode isn't */
    assert_true(channel.autoinit);
}

static void pages(void **state)
{
    struct rig *r = *state;
    static const uint16_t page_port[8] = { 0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a };
    for (unsigned i = 0; i < 8; i++)
        rig_out8(r, page_port[i], (uint8_t)(0x10 + 3 * i));
    for (unsigned i = 0; i < 8; i++) {
        program(r, i, 0x44, (uint16_t)(0x0a01 + i), 0);
        uint32_t page = 0x10 + 3 * i, addr = 0x0a01 + i;
        assert_int_equal(rig_in8(r, page_port[i]), page);
        assert_int_equal(dma8237_channel(r->dev, i).addr, i < 4 ? page << 16 | addr : (page & 0xfe) << 16 | addr << 1);
    }
    program(r, 5, 0x44, 0x8001, 0); /* the word address shares no bit with the page */
    assert_int_equal(dma8237_channel(r->dev, 5).addr, 0x1f0002);
}

/* 1f at port 88 tells hvmloader that another model's battery is there. */
static void port_88_never_reads_1f(void **state)
{
    struct rig *r = *state;
    for (unsigned val = 0; val < 256; val++) {
        rig_out8(r, 0x88, (uint8_t)val);
        rig_out16(r, 0x87, (uint16_t)(val << 8));
        assert_int_equal(rig_in8(r, 0x88), 0xff);
    }
    rig_out8(r, 0x80, 0x12); /* not ours: the host's own port */
    assert_int_equal(rig_in8(r, 0x80), 0xff);
}

static void channel_state(void **state)
{
    struct rig *r = *state;
    struct dma8237_channel channel = dma8237_channel(r->dev, 2);
    assert_false(channel.ready);
    assert_int_equal(channel.units, 1);
    program(r, 2, 0x66, 0x8000, 0x01ff);
    channel = dma8237_channel(r->dev, 2);
    assert_true(channel.ready);
    assert_true(channel.decrement);
    assert_false(channel.autoinit);
    assert_int_equal(channel.type, DMA_WRITE);
    assert_int_equal(channel.unit, 1);
    assert_int_equal(channel.units, 512);
    rig_out8(r, port(0, COMMAND), 0x04); /* controller disable */
    assert_false(dma8237_channel(r->dev, 2).ready);
    rig_out8(r, port(0, COMMAND), 0xfb);
    assert_true(dma8237_channel(r->dev, 2).ready);
    rig_out8(r, port(0, MODE), 0xc2); /* cascade */
    assert_false(dma8237_channel(r->dev, 2).ready);
    rig_out8(r, port(0, MODE), 0x5a);
    channel = dma8237_channel(r->dev, 2);
    assert_int_equal(channel.type, DMA_READ);
    assert_true(channel.autoinit);
    rig_out8(r, port(0, MASK), 0x06);
    assert_false(dma8237_channel(r->dev, 2).ready);
    program(r, 5, 0x45, 0x8000, 0xffff);
    channel = dma8237_channel(r->dev, 5);
    assert_int_equal(channel.unit, 2);
    assert_int_equal(channel.units, 65536);
}

static void transfers_move_address_and_count(void **state)
{
    struct rig *r = *state;
    program(r, 2, 0x44, 0xfff0, 0x1f);
    assert_false(dma8237_advance(r->dev, 2, 0));
    assert_false(dma8237_advance(r->dev, 2, 0x1f));
    assert_int_equal(read_word(r, 0, 4), 0x000f); /* within the page */
    assert_int_equal(read_word(r, 0, 5), 0x0000);
    assert_true(dma8237_advance(r->dev, 2, 1));
    assert_int_equal(read_word(r, 0, 5), 0xffff);
    assert_int_equal(rig_in8(r, port(0, MASK_ALL)), 0x0f); /* masked at the end */
    program(r, 2, 0x64, 0x0004, 0x0f);
    assert_false(dma8237_advance(r->dev, 2, 8));
    assert_int_equal(read_word(r, 0, 4), 0xfffc);
    program(r, 7, 0x47, 0x0000, 0xffff);
    assert_true(dma8237_advance(r->dev, 7, 65536));
}

/* [8237 Autoinitialize] */
static void autoinit_starts_over(void **state)
{
    struct rig *r = *state;
    program(r, 1, 0x58, 0x1000, 0x0f);
    rig_out8(r, port(0, REQUEST), 0x05);
    assert_true(dma8237_advance(r->dev, 1, 16));
    assert_int_equal(read_word(r, 0, 2), 0x1000);
    assert_int_equal(read_word(r, 0, 3), 0x000f);
    assert_true(dma8237_channel(r->dev, 1).ready);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x02); /* and the software request ends */
}

static struct dma8237_moved transfer(struct rig *r, unsigned channel, void *buf, size_t len)
{
    return dma8237_transfer(r->dev, channel, &r->mem, buf, len);
}

/* [8237 Mode Register] WRITE fills memory, READ empties it, VERIFY only counts. */
static void transfers_by_type(void **state)
{
    struct rig *r = *state;
    uint8_t buf[16] = "0123456789abcdef", back[16] = { 0 };
    rig_out8(r, 0x81, 0x12);
    program(r, 2, 0x44, 0x3000, 15);
    struct dma8237_moved moved = transfer(r, 2, buf, 10);
    assert_int_equal(moved.bytes, 10);
    assert_false(moved.end);
    moved = transfer(r, 2, buf + 10, 100); /* no more than was programmed */
    assert_int_equal(moved.bytes, 6);
    assert_true(moved.end);
    assert_memory_equal(r->ram + 0x123000, buf, 16);
    assert_int_equal(transfer(r, 2, buf, 1).bytes, 0); /* masked at the end */
    program(r, 2, 0x48, 0x3000, 15);
    assert_true(transfer(r, 2, back, 16).end);
    assert_memory_equal(back, buf, 16);
    memset(back, 0xee, sizeof(back));
    program(r, 2, 0x40, 0x3000, 15);
    moved = transfer(r, 2, back, 16);
    assert_int_equal(moved.bytes, 16);
    assert_true(moved.end);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(back[i], 0xee);
    assert_memory_equal(r->ram + 0x123000, buf, 16);
    program(r, 2, 0x4c, 0x3000, 15); /* illegal */
    assert_int_equal(transfer(r, 2, back, 16).bytes, 0);
    program(r, 2, 0xc4, 0x3000, 15); /* cascade */
    assert_int_equal(transfer(r, 2, back, 16).bytes, 0);
    program(r, 2, 0x44, 0x3000, 15);
    rig_out8(r, port(0, MASK), 0x06);
    assert_int_equal(transfer(r, 2, back, 16).bytes, 0);
}

/* Single, demand and block mode move the same when the device asks for all. */
static void transfers_by_mode(void **state)
{
    struct rig *r = *state;
    uint8_t buf[4] = { 1, 2, 3, 4 };
    for (uint8_t mode = 0x04; mode < 0xc0; mode = (uint8_t)(mode + 0x40)) {
        memset(r->ram + 0x5000, 0, 4);
        program(r, 1, mode, 0x5000, 3);
        assert_true(transfer(r, 1, buf, 4).end);
        assert_memory_equal(r->ram + 0x5000, buf, 4);
    }
}

static void transfers_wrap_in_their_page(void **state)
{
    struct rig *r = *state;
    uint8_t buf[8] = "abcdefgh";
    rig_out8(r, 0x83, 0x01);
    program(r, 1, 0x44, 0xfffc, 7);
    assert_true(transfer(r, 1, buf, 8).end);
    assert_memory_equal(r->ram + 0x1fffc, "abcd", 4);
    assert_memory_equal(r->ram + 0x10000, "efgh", 4);
    assert_int_equal(r->ram[0x20000], 0);
    rig_out8(r, 0x8b, 0x03); /* words: 128 KiB from 2 0000 */
    program(r, 5, 0x45, 0xfffe, 3);
    assert_true(transfer(r, 5, buf, 8).end);
    assert_memory_equal(r->ram + 0x3fffc, "abcd", 4);
    assert_memory_equal(r->ram + 0x20000, "efgh", 4);
    assert_int_equal(read_word(r, 1, 2), 0x0002);
}

static void transfers_downwards(void **state)
{
    struct rig *r = *state;
    uint8_t buf[600], back[600] = { 0 };
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(i * 7 + i / 256);
    rig_out8(r, 0x83, 0x01);
    program(r, 1, 0x64, 0x0100, sizeof(buf) - 1); /* wraps down */
    assert_true(transfer(r, 1, buf, sizeof(buf)).end);
    for (unsigned i = 0; i < sizeof(buf); i++)
        assert_int_equal(r->ram[0x10000 + (uint16_t)(0x0100 - i)], buf[i]);
    program(r, 1, 0x68, 0x0100, sizeof(buf) - 1);
    assert_true(transfer(r, 1, back, sizeof(back)).end);
    assert_memory_equal(back, buf, sizeof(buf));
    rig_out8(r, 0x8b, 0x02);
    program(r, 5, 0x65, 0x0004, 3); /* words keep their bytes in order */
    assert_true(transfer(r, 5, (uint8_t[]){ "abcdefgh" }, 8).end);
    assert_memory_equal(r->ram + 0x20002, "ghefcdab", 8);
}

static void transfers_start_over_with_autoinit(void **state)
{
    struct rig *r = *state;
    uint8_t buf[6] = "abcdef";
    program(r, 3, 0x54, 0x6000, 3);
    struct dma8237_moved moved = transfer(r, 3, buf, 6);
    assert_int_equal(moved.bytes, 4); /* up to terminal count */
    assert_true(moved.end);
    moved = transfer(r, 3, buf + 4, 2);
    assert_int_equal(moved.bytes, 2);
    assert_false(moved.end);
    assert_memory_equal(r->ram + 0x6000, "efcd", 4);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x08);
}

static void transfers_of_words_are_whole(void **state)
{
    struct rig *r = *state;
    uint8_t buf[5] = "abcde";
    program(r, 6, 0x46, 0x3000, 9);
    assert_int_equal(transfer(r, 6, buf, 5).bytes, 4);
    assert_int_equal(transfer(r, 6, buf, 1).bytes, 0);
    assert_int_equal(read_word(r, 1, 5), 7);
}

/* What has no RAM behind it, video memory and registers, is not reached. */
static void transfers_reach_ram_only(void **state)
{
    struct rig *r = *state;
    uint8_t buf[16];
    memset(buf, 0x55, sizeof(buf));
    rig_out8(r, 0x81, 0x0a);
    program(r, 2, 0x44, 0x0000, 15);
    assert_true(transfer(r, 2, buf, 16).end);
    program(r, 2, 0x48, 0x0000, 15);
    assert_true(transfer(r, 2, buf, 16).end);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(buf[i], 0xff);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    for (unsigned channel = 0; channel < 8; channel++)
        program(r, channel, 0x58, (uint16_t)(0x111 * channel), (uint16_t)(0x222 * channel + 7));
    for (uint16_t page = 0x81; page <= 0x8f; page++)
        rig_out8(r, page, (uint8_t)(page * 3));
    assert_false(dma8237_advance(r->dev, 6, 3));
    rig_out8(r, port(1, COMMAND), 0x10);
    rig_out8(r, port(1, REQUEST), 0x05);
    dma8237_set_request(r->dev, 2, true);
    (void)rig_in8(r, port(0, 4)); /* flip-flop in the middle */
    rig_save(r);
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, port(0, 4)), 0x02);
    assert_int_equal(read_word(r, 1, 4), 0x111 * 6 + 3);
    assert_int_equal(read_word(r, 1, 5), 0x222 * 6 + 7 - 3);
    assert_true(dma8237_advance(r->dev, 6, 0x222 * 6 + 7 - 3 + 1));
    assert_int_equal(read_word(r, 1, 4), 0x111 * 6); /* the base too */
    assert_int_equal(rig_in8(r, port(1, STATUS)), 0x24);
    assert_int_equal(rig_in8(r, port(0, STATUS)), 0x40);
    assert_int_equal(rig_in8(r, 0x8c), (uint8_t)(0x8c * 3));
    assert_int_equal(dma8237_channel(r->dev, 3).addr, (uint32_t)(uint8_t)(0x82 * 3) << 16 | 0x333);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const char *const fields[] = { "low.mask", "low.request", "low.dreq", "high.tc", "high.mask" };
    for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
        rig_save(r);
        rig_poke(r, fields[i], 0x10);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
    rig_save(r);
    rig_poke_at(r, "high.mode", 3, 0x01);
    assert_int_equal(rig_restore(r), -EINVAL);
    r->dev->desc->reset(r->dev);
    rig_save(r);
    rig_poke(r, "low.high_byte", 2);
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_int_equal(rig_in8(r, 0x0f), 0xff);
    assert_int_equal(rig_in8(r, 0xde), 0xff);
    assert_int_equal(rig_in8(r, 0x81), 0xff);
}

static void taken_ports(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    assert_int_equal(dma8237_create(&(struct dma8237_config){ .id = "second", .ports = &r->ports }, &second), -EEXIST);
    assert_null(second);
    assert_int_equal(r->ports.nr_regions, 3);
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    static const struct port_range ports[] = { { 0, 0xf }, { 0x81, 0x8f }, { 0xc0, 0xdf } };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        chip_every_port(*state, ports[i]);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    chip_damaged_snapshots(*state);
}

static void random_accesses(void **state)
{
    static const struct port_range ports[] = { { 0, 0x11 }, { 0x80, 0x90 }, { 0xc0, 0xdf } };
    chip_random_guest(*state, ports, ARRAY_SIZE(ports), -1);
    for (unsigned i = 0; i < DMA_CHANNELS; i++) { /* whatever it programmed, a transfer of all units ends */
        struct dma8237_channel channel = dma8237_channel(((struct rig *)*state)->dev, i);
        assert_in_range(channel.units, 1, 65536);
        assert_in_range(channel.addr, 0, 0xffffff);
        static uint8_t all[0x20000];
        (void)transfer(*state, i, all, 0x100);
        channel = dma8237_channel(((struct rig *)*state)->dev, i);
        assert_true(dma8237_advance(((struct rig *)*state)->dev, i, channel.units));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(flip_flop),
        TEST(each_register_is_its_own),
        TEST(wide_accesses_are_bytes),
        TEST(masks),
        TEST(status_and_requests),
        TEST(master_clear_spares_addresses),
        TEST(pages),
        TEST(port_88_never_reads_1f),
        TEST(channel_state),
        TEST(transfers_move_address_and_count),
        TEST(autoinit_starts_over),
        TEST(transfers_by_type),
        TEST(transfers_by_mode),
        TEST(transfers_wrap_in_their_page),
        TEST(transfers_downwards),
        TEST(transfers_start_over_with_autoinit),
        TEST(transfers_of_words_are_whole),
        TEST(transfers_reach_ram_only),
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
