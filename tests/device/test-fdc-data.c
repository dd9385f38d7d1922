/* The floppy controller: sectors read, written and formatted. */
#include "fdc-bench.h"

/* --- Reading --- */

static void read_by_dma(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 3 * SECTOR);
    run(b, READ, 0, 2, 1, 5, 18);
    ENDED(b, 0x04, 0, 0, 2, 1, 8, 2);
    assert_memory_equal(ram(b), at_sector(b, 2, 1, 5), 3 * SECTOR);
    assert_int_equal(ram(b)[3 * SECTOR], 0);
    arm(b, TO_MEMORY, AT, 36 * SECTOR); /* both sides, the next sector is on the next cylinder */
    run(b, READ | MT, 0, 79, 0, 1, 18);
    ENDED(b, 0x04, 0, 0, 80, 0, 1, 2);
    assert_memory_equal(ram(b), at_sector(b, 79, 0, 1), 36 * SECTOR);
    arm(b, TO_MEMORY, AT, 18 * SECTOR);
    run(b, READ | MT, 0, 3, 0, 1, 18);
    ENDED(b, 0, 0, 0, 3, 1, 1, 2);
    arm(b, TO_MEMORY, AT, 18 * SECTOR);
    run(b, READ, 0, 3, 0, 1, 18);
    ENDED(b, 0, 0, 0, 4, 0, 1, 2);
    arm(b, TO_MEMORY, AT, 100); /* less than a sector */
    memset(ram(b), 0x5a, SECTOR);
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, 0, 0, 0, 0, 0, 2, 2);
    assert_memory_equal(ram(b), at_sector(b, 0, 0, 1), 100);
    assert_int_equal(ram(b)[100], 0x5a);
}

/* [82078 Data Transfer Termination]: more is wanted than the command has. */
static void the_last_sector_ends_a_read(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 0x10000);
    run(b, READ, 0, 1, 0, 17, 18);
    ENDED(b, ABNORMAL, END, 0, 2, 0, 1, 2);
    assert_memory_equal(ram(b), at_sector(b, 1, 0, 17), 2 * SECTOR);
    arm(b, TO_MEMORY, AT, 0x10000);
    run(b, READ | MT, 0, 1, 0, 18, 18);
    ENDED(b, ABNORMAL | 4, END, 0, 2, 0, 1, 2);
    arm(b, TO_MEMORY, AT, 0x10000);
    run(b, READ, 0, 1, 0, 17, 20); /* sector 19 isn't there */
    ENDED(b, ABNORMAL, NO_SECTOR, 0, 1, 0, 19, 2);
}

static void wrong_addresses(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 0x10000);
    memset(ram(b), 0x5a, SECTOR);
    run(b, READ, 0, 0, 0, 0, 18);
    ENDED(b, ABNORMAL, NO_SECTOR, 0, 0, 0, 0, 2);
    run(b, READ, 0, 80, 0, 1, 18);
    ENDED(b, ABNORMAL, NO_SECTOR, 0x10, 80, 0, 1, 2);
    run(b, READ, 0, 255, 0, 255, 255);
    ENDED(b, ABNORMAL, NO_SECTOR, 0x10, 255, 0, 255, 2);
    SEND(b, READ, 0, 0, 2, 1, 2, 18, 0, 0xff); /* head 2 */
    rig_settle(b->r);
    RESULT_IS(b, ABNORMAL | 4, NO_SECTOR, 0, 0, 2, 1, 2);
    SEND(b, READ, 0, 0, 0, 1, 3, 18, 0, 0xff); /* sectors of 1024 bytes */
    RESULT_IS(b, ABNORMAL, NO_SECTOR, 0, 0, 0, 1, 2);
    run(b, READ, 1, 0, 0, 1, 18); /* no drive */
    ENDED(b, ABNORMAL | 1, NO_ID, 0, 0, 0, 1, 2);
    run(b, READ, 3, 0, 0, 1, 18);
    ENDED(b, ABNORMAL | 3, NO_ID, 0, 0, 0, 1, 2);
    assert_int_equal(ram(b)[0], 0x5a);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_READ], 0);
}

/* [82078 Configure]: without EIS the heads must be there already. */
static void implied_seek(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, SECTOR);
    run(b, READ, 0, 7, 0, 1, 18);
    ENDED(b, 0, 0, 0, 7, 0, 2, 2);
    SEND(b, CONFIGURE, 0, 0, 0);
    arm(b, TO_MEMORY, AT, SECTOR);
    run(b, READ, 0, 6, 0, 1, 18);
    ENDED(b, ABNORMAL, NO_SECTOR, 0x10, 6, 0, 1, 2);
    seek(b, 0, 6);
    run(b, READ, 0, 6, 0, 1, 18);
    ENDED(b, 0, 0, 0, 6, 0, 2, 2);
}

static void dma_that_is_not_set_up(void **state)
{
    struct bench *b = *state;
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, OVERRUN, 0, 0, 0, 1, 2);
    arm(b, FROM_MEMORY, AT, SECTOR); /* the wrong way */
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, OVERRUN, 0, 0, 0, 1, 2);
    arm(b, TO_MEMORY, AT, SECTOR);
    run(b, WRITE, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, OVERRUN, 0, 0, 0, 1, 2);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_WRITE], 0);
    arm(b, DMA_VERIFY_MODE, AT, SECTOR);
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, 0, 0, 0, 0, 0, 2, 2);
    assert_int_equal(ram(b)[1], 0);
    arm(b, TO_MEMORY, 0xa0000, SECTOR); /* no RAM: the bytes vanish */
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, 0, 0, 0, 0, 0, 2, 2);
}

static void read_by_pio(void **state)
{
    struct bench *b = *state;
    SEND(b, SPECIFY, 0xaf, PIO);
    SEND(b, READ | MT, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
    assert_int_equal(in(b, MSR), 0x30);
    for (unsigned side = 0; side < 2; side++) {
        rig_settle(b->r);
        for (unsigned i = 0; i < SECTOR; i++) {
            assert_true(b->r->level);
            assert_int_equal(in(b, MSR), DATA_IN);
            out(b, FIFO, 0xff); /* isn't for it */
            assert_int_equal(in(b, FIFO), at_sector(b, 0, side, 1)[i]);
        }
    }
    assert_true(b->r->level);
    RESULT_IS(b, 4, 0, 0, 1, 0, 1, 2);
    assert_false(b->r->level);
    /* The gate of the DMA closed: the same. */
    SEND(b, SPECIFY, 0xaf, 0);
    out(b, DOR, 0x04);
    SEND(b, READ, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
    rig_settle(b->r);
    for (unsigned i = 0; i < SECTOR; i++)
        assert_int_equal(in(b, FIFO), at_sector(b, 0, 0, 18)[i]);
    RESULT_IS(b, 0, 0, 0, 1, 0, 1, 2);
}

static void verify_and_read_track(void **state)
{
    struct bench *b = *state;
    run(b, VERIFY | MT, 0, 0, 0, 1, 18);
    ENDED(b, 4, 0, 0, 1, 0, 1, 2);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_READ], 36);
    SEND(b, VERIFY, 0x80, 0, 0, 3, 2, 18, 0x1b, 4); /* four sectors */
    rig_settle(b->r);
    RESULT_IS(b, 0, 0, 0, 0, 0, 7, 2);
    SEND(b, VERIFY, 0x80, 0, 0, 17, 2, 18, 0x1b, 0); /* 256, which there are not */
    rig_settle(b->r);
    RESULT_IS(b, ABNORMAL, END, 0, 1, 0, 1, 2);
    run(b, VERIFY, 0, 0, 0, 17, 19);
    ENDED(b, ABNORMAL, NO_SECTOR, 0, 0, 0, 19, 2);
    arm(b, TO_MEMORY, AT, 3 * SECTOR);
    run(b, READ_TRACK, 0, 4, 0, 9, 18);
    ENDED(b, 0, 0, 0, 4, 0, 4, 2);
    assert_memory_equal(ram(b), at_sector(b, 4, 0, 1), 3 * SECTOR);
}

static void deleted_data(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 3 * SECTOR);
    run(b, READ_DELETED, 0, 0, 0, 1, 18); /* a sector with the other mark is read, and the last */
    ENDED(b, 0, 0, 0x40, 0, 0, 2, 2);
    assert_memory_equal(ram(b), at_sector(b, 0, 0, 1), SECTOR);
    run(b, READ_DELETED | SKIP, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, END, 0x40, 0, 0, 1, 2);
    arm(b, FROM_MEMORY, AT, SECTOR);
    memset(ram(b), 0x77, SECTOR);
    run(b, WRITE_DELETED, 0, 0, 0, 2, 18);
    ENDED(b, 0, 0, 0, 0, 0, 3, 2);
    assert_int_equal(at_sector(b, 0, 0, 2)[9], 0x77);
}

/* Who looks for the interleave sees one after the other; firmware finds the medium by its rate. */
static void read_id(void **state)
{
    struct bench *b = *state;
    seek(b, 0, 8);
    for (uint8_t i = 1; i <= 19; i++) {
        SEND(b, READ_ID, 4);
        assert_true(b->r->level);
        RESULT_IS(b, 4, 0, 0, 8, 1, i <= 18 ? i : 1, 2);
        assert_false(b->r->level);
    }
    for (uint8_t rate = RATE_300; rate <= RATE_1000; rate++) {
        out(b, CCR, rate);
        SEND(b, READ_ID, 0);
        assert_int_equal(result(b, 7)[0], ABNORMAL);
        assert_int_equal(b->result[1], NO_ID);
        run(b, READ, 0, 0, 0, 1, 18);
        assert_int_equal(b->result[1], NO_ID);
    }
    out(b, DSR, RATE_500);
    seek(b, 0, 80);
    SEND(b, READ_ID, 0);
    assert_int_equal(result(b, 7)[1], NO_ID);
}

/* --- Writing --- */

static void write_by_dma(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 3 * SECTOR; i++)
        ram(b)[i] = (uint8_t)(i * 5);
    arm(b, FROM_MEMORY, AT, 3 * SECTOR);
    run(b, WRITE | MT, 0, 4, 0, 17, 18);
    ENDED(b, 4, 0, 0, 4, 1, 2, 2);
    assert_memory_equal(at_sector(b, 4, 0, 17), ram(b), 3 * SECTOR);
    arm(b, FROM_MEMORY, AT, 10); /* [82078 Write Data]: zeros behind it */
    run(b, WRITE, 0, 4, 0, 1, 18);
    ENDED(b, 0, 0, 0, 4, 0, 2, 2);
    assert_memory_equal(at_sector(b, 4, 0, 1), ram(b), 10);
    for (unsigned i = 10; i < SECTOR; i++)
        assert_int_equal(at_sector(b, 4, 0, 1)[i], 0);
    arm(b, FROM_MEMORY, AT, 0x10000);
    run(b, WRITE, 0, 4, 0, 18, 19);
    ENDED(b, ABNORMAL, NO_SECTOR, 0, 4, 0, 19, 2);
}

static void write_by_pio(void **state)
{
    struct bench *b = *state;
    SEND(b, SPECIFY, 0xaf, PIO);
    SEND(b, WRITE, 0, 9, 0, 3, 2, 4, 0x1b, 0xff);
    for (unsigned i = 0; i < 2 * SECTOR; i++) {
        assert_int_equal(in(b, MSR), DATA_OUT);
        assert_true(b->r->level);
        assert_int_equal(in(b, FIFO), 0); /* isn't there */
        out(b, FIFO, i & 0xff);
        if (i % SECTOR == SECTOR - 1) {
            assert_int_equal(in(b, MSR), 0x30);
            out(b, FIFO, 0xee); /* too early, and lost */
            rig_settle(b->r);
        }
    }
    RESULT_IS(b, 0, 0, 0, 10, 0, 1, 2);
    for (unsigned i = 0; i < 2 * SECTOR; i++)
        assert_int_equal(at_sector(b, 9, 0, 3)[i], i & 0xff);
}

static void read_only_medium(void **state)
{
    struct bench *b = *state;
    assert_int_equal(insert(b, 0, MB144, true), 0);
    SEND(b, SENSE_DRIVE, 0);
    RESULT_IS(b, 0x78);
    arm(b, FROM_MEMORY, AT, SECTOR);
    run(b, WRITE, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, PROTECTED, 0, 0, 0, 1, 2);
    SEND(b, FORMAT, 0, 2, 18, 0x50, 0xf6);
    assert_int_equal(result(b, 7)[1], PROTECTED);
    /* Put in while the guest was giving a sector, or addresses. */
    SEND(b, SPECIFY, 0xaf, PIO);
    for (unsigned format = 0; format < 2; format++) {
        assert_int_equal(insert(b, 0, MB144, false), 0);
        if (format)
            SEND(b, FORMAT, 0, 2, 18, 0x50, 0xf6);
        else
            SEND(b, WRITE, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
        assert_int_equal(insert(b, 0, MB144, true), 0);
        for (unsigned i = 0; i < (format ? 4 : SECTOR); i++)
            out(b, FIFO, i);
        assert_int_equal(result(b, 7)[1], PROTECTED);
    }
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_WRITE], 0);
}

static void format_track(void **state)
{
    struct bench *b = *state;
    seek(b, 0, 5);
    for (unsigned i = 0; i < 18; i++) {
        const uint8_t id[] = { 5, 1, (uint8_t)(18 - i), 2 };
        memcpy(ram(b) + 4 * i, id, sizeof(id));
    }
    arm(b, FROM_MEMORY, AT, 72);
    SEND(b, FORMAT, 4, 2, 18, 0x50, 0xf6);
    rig_settle(b->r);
    assert_int_equal(result(b, 7)[0], 4);
    assert_int_equal(b->result[1], 0);
    for (unsigned i = 0; i < 18 * SECTOR; i++)
        assert_int_equal(at_sector(b, 5, 1, 1)[i], 0xf6);
    assert_int_not_equal(at_sector(b, 5, 1, 1)[-1] == 0xf6 && at_sector(b, 6, 0, 1)[0] == 0xf6, 1);
    /* By bytes; then addresses that an image has no room for, and none at all. */
    static const uint8_t bad[][4] = { { 5, 0, 3, 2 },  { 6, 0, 1, 2 }, { 5, 1, 1, 2 },
                                      { 5, 0, 19, 2 }, { 5, 0, 0, 2 }, { 5, 0, 1, 3 } };
    SEND(b, SPECIFY, 0xaf, PIO);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        SEND(b, FORMAT, 0, 2, 1, 0x50, 0x33);
        for (unsigned byte = 0; byte < 4; byte++) {
            assert_int_equal(in(b, MSR), DATA_OUT);
            out(b, FIFO, bad[i][byte]);
        }
        rig_settle(b->r);
        assert_int_equal(result(b, 7)[1], i == 0 ? 0 : NO_SECTOR);
    }
    assert_int_equal(at_sector(b, 5, 0, 3)[511], 0x33);
    SEND(b, FORMAT, 0, 2, 0, 0x50, 0x33);
    assert_int_equal(result(b, 7)[0], 0);
    SEND(b, FORMAT, 0, 1, 26, 0x50, 0x33);
    assert_int_equal(result(b, 7)[1], NO_SECTOR);
    SEND(b, SPECIFY, 0xaf, 0); /* terminal count before the last */
    arm(b, FROM_MEMORY, AT, 4);
    ram(b)[1] = 0;
    SEND(b, FORMAT, 0, 2, 9, 0x50, 0x44);
    rig_settle(b->r);
    assert_int_equal(result(b, 7)[1], 0);
    assert_int_equal(at_sector(b, 5, 0, 18)[0], 0x44);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_by_dma),
        TEST(the_last_sector_ends_a_read),
        TEST(wrong_addresses),
        TEST(implied_seek),
        TEST(dma_that_is_not_set_up),
        TEST(read_by_pio),
        TEST(verify_and_read_track),
        TEST(deleted_data),
        TEST(read_id),
        TEST(write_by_dma),
        TEST(write_by_pio),
        TEST(read_only_medium),
        TEST(format_track),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
