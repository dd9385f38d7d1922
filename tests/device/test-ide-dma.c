/*
 * The bus master's table, clause by clause; errors of the host with every command; what is stopped or reset while a
 * request is on its way; a drive alone as the second one. [SFF n] is section n of SFF-8038i, [ACS n] of ATA8-ACS.
 */
#include "ide-bench.h"

enum { FAR = 0x300000 }; /* a second place for data */

static int one_disk(void **state)
{
    *state = bench_new("d---");
    return 0;
}

static int second_only(void **state)
{
    *state = bench_new("-d-c");
    return 0;
}

static int cd(void **state)
{
    *state = bench_new("--c-");
    return 0;
}

/* One whole DMA command: set up, command, start. Returns the bus master's status. */
static uint8_t dma(struct bench *b, uint8_t code, uint64_t lba, uint16_t count)
{
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, code, lba, count);
    bm_start(b, BM, code == 0x25);
    (void)wait_ready(b, PRIMARY);
    return in8(b, BM + 2);
}

static const uint8_t *image(struct bench *b, uint64_t lba)
{
    return b->disk[0]->data + lba * 512;
}

/* --- The table [SFF 1.2] --- */

static void a_count_of_zero_is_64_kib(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram;
    memset(ram + DATA, 0xee, 0x20000);
    put_prd(b, 0, DATA + 0x1000, 0, true);
    assert_int_equal(dma(b, 0x25, 7, 128), 0x64);
    assert_memory_equal(ram + DATA + 0x1000, image(b, 7), 0x10000);
    assert_true(ram[DATA + 0xfff] == 0xee && ram[DATA + 0x11000] == 0xee);
    assert_int_equal(dma(b, 0x25, 7, 129), 0x60); /* a sector more than the table holds */
    out8(b, PRIMARY_CTL, 4);
    out8(b, PRIMARY_CTL, 0);
    assert_int_equal(dma(b, 0x25, 7, 127), 0x65); /* a sector less: active stays [SFF 3.1] */
}

/* Drivers must not, and those who do find their data one after the other. */
static void a_region_goes_on_over_64_kib(void **state)
{
    struct bench *b = *state;
    put_prd(b, 0, DATA + 0xf800, 0x1000, true);
    assert_int_equal(dma(b, 0x25, 40, 8), 0x64);
    assert_memory_equal(b->r->ram + DATA + 0xf800, image(b, 40), 4096);
    assert_int_equal(dma(b, 0x35, 4000, 8), 0x64);
    assert_memory_equal(image(b, 4000), image(b, 40), 4096);
}

static void regions_over_pages(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram;
    put_prd(b, 0, DATA + 0xffe, 0x1004, false); /* the end of a page, a whole one, the start of another */
    put_prd(b, 1, FAR + 0xfff00, 0x200, false); /* over a MiB */
    put_prd(b, 2, DATA + 0x8000, 0x2000 - 0x1204, true);
    assert_int_equal(dma(b, 0x25, 99, 16), 0x64);
    assert_memory_equal(ram + DATA + 0xffe, image(b, 99), 0x1004);
    assert_memory_equal(ram + FAR + 0xfff00, image(b, 99) + 0x1004, 0x200);
    assert_memory_equal(ram + DATA + 0x8000, image(b, 99) + 0x1204, 0x2000 - 0x1204);
    assert_int_equal(dma(b, 0x35, 4000, 16), 0x64);
    assert_memory_equal(image(b, 4000), image(b, 99), 0x2000);
}

/* Bit 0 of addresses and counts is not there. */
static void odd_numbers_lose_a_bit(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram;
    put_prd(b, 0, DATA + 1, 0x101, false);
    put_prd(b, 1, DATA + 0x1001, 0xff, false);
    put_prd(b, 2, DATA + 0x2000, 3, true);
    memset(ram + DATA, 0xee, 0x3000);
    assert_int_equal(dma(b, 0x25, 3, 1), 0x64);
    assert_memory_equal(ram + DATA, image(b, 3), 0x100);
    assert_memory_equal(ram + DATA + 0x1000, image(b, 3) + 0x100, 0xfe);
    assert_memory_equal(ram + DATA + 0x2000, image(b, 3) + 0x1fe, 2);
    assert_true(ram[DATA + 0x100] == 0xee && ram[DATA + 0x10fe] == 0xee && ram[DATA + 0x2002] == 0xee);
    put_prd(b, 0, DATA, 1, false); /* a count of one is one of none: 64 KiB */
    put_prd(b, 1, FAR, 512, true);
    assert_int_equal(dma(b, 0x25, 3, 128), 0x65);
    assert_memory_equal(ram + DATA, image(b, 3), 0x10000);
}

/* Entries that lie over a page, and over the 64 KiB that the table should stay in. */
static void a_table_over_pages(void **state)
{
    struct bench *b = *state;
    static const uint32_t tables[] = { 0x8ffc, 0xfff8, 0xfffc };
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        uint8_t *table = b->r->ram + tables[i];
        for (unsigned n = 0; n < 4; n++) {
            le32_put(table + 8 * n, DATA + 0x3000 * n);
            le32_put(table + 8 * n + 4, 1024 | (n == 3 ? UINT32_C(0x80000000) : 0));
        }
        bm_setup(b, BM);
        rig_out32(b->r, BM + 4, tables[i]);
        command48(b, PRIMARY, 0, 0x25, 70 + i, 8);
        bm_start(b, BM, true);
        assert_int_equal(wait_ready(b, PRIMARY), READY);
        assert_int_equal(in8(b, BM + 2), 0x64);
        for (unsigned n = 0; n < 4; n++)
            assert_memory_equal(b->r->ram + DATA + 0x3000 * n, image(b, 70 + i) + 1024 * n, 1024);
    }
}

/* --- Stopped and started --- */

/* What was on its way arrives; the rest waits for another start, with another table, and nothing is lost. */
static void stopped_in_flight_and_started_again(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram;
    static uint8_t before[160 * 512];
    for (unsigned write = 0; write < 2; write++) {
        uint64_t lba = write ? 5000 : 200;
        for (unsigned i = 0; i < 160; i++)
            put_prd(b, i, DATA + 1024 * i, 512, i == 159); /* more regions than one request takes */
        for (unsigned i = 0; i < 160; i++)
            memset(ram + DATA + 1024 * i, (int)(write ? i + 1 : 0), 512);
        memcpy(before, image(b, lba), sizeof(before));
        b->disk[0]->hold = true;
        bm_setup(b, BM);
        command48(b, PRIMARY, 0, write ? 0x35 : 0x25, lba, 160);
        bm_start(b, BM, !write);
        rig_settle(b->r);
        assert_int_equal(b->disk[0]->block.in_flight, 1);
        unsigned done = (unsigned)(b->disk[0]->first->len / 512);
        assert_in_range(done, 1, 159);
        out8(b, BM, 0);
        assert_int_equal(b->disk[0]->block.in_flight, 0);
        assert_int_equal(b->r->mem.nr_pinned, 0);
        rig_settle(b->r);
        assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ); /* it waits */
        assert_int_equal(in8(b, BM + 2) & 5, 0);
        assert_int_equal(b->r->wire_edges[14], write);
        for (unsigned i = 0; i < done; i++)
            assert_memory_equal(ram + DATA + 1024 * i, image(b, lba + i), 512);
        if (write)
            assert_memory_equal(image(b, lba + done), before + done * 512, (160 - done) * 512);
        memset(ram + FAR, 0x77, 160 * 512);
        put_prd(b, 0, FAR, (160 - done) * 512, true);
        bm_setup(b, BM);
        rig_disk_release(b->disk[0]);
        bm_start(b, BM, !write);
        assert_int_equal(wait_ready(b, PRIMARY), READY);
        assert_int_equal(in8(b, BM + 2), 0x64);
        assert_memory_equal(ram + FAR, image(b, lba + done), (160 - done) * 512);
        assert_int_equal(b->r->wire_edges[14], write + 1);
    }
}

/* --- Errors of the host --- */

enum how { NO_DATA, PIO_IN, PIO_OUT, DMA_IN, DMA_OUT };

/* Eight sectors at lba, the data of writes in memory at DATA. The status at the end. */
static uint8_t perform(struct bench *b, uint8_t code, enum how how, uint64_t lba)
{
    static uint8_t buf[8 * 512];
    size_t block = code == 0xc4 || code == 0x29 || code == 0xc5 || code == 0x39 || code == 0xce ? sizeof(buf) : 512;
    bool trim = code == 0x06;
    if (trim) {
        memset(b->r->ram + DATA, 0, 512);
        le64_put(b->r->ram + DATA, UINT64_C(8) << 48 | lba);
    }
    put_prd(b, 0, DATA, trim ? 512 : sizeof(buf), true);
    bm_setup(b, BM);
    out8(b, PRIMARY + ERROR, trim);
    command48(b, PRIMARY, 0, code, trim ? 0 : lba, trim ? 1 : 8);
    if (how == PIO_OUT)
        pio_out(b, PRIMARY, b->r->ram + DATA, sizeof(buf), block);
    if (how == DMA_IN || how == DMA_OUT)
        bm_start(b, BM, how == DMA_IN);
    if (how == PIO_IN)
        (void)pio_in(b, PRIMARY, buf, sizeof(buf), block);
    return wait_ready(b, PRIMARY);
}

/* Each command by which a request can fail, with each error a back end has; the drive works on after it. */
static void every_error_has_its_code(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint8_t code;
        enum how how;
        enum block_op fails;
        uint8_t error;
    } rows[] = {
        { 0x20, PIO_IN, BLOCK_READ, UNC },      { 0x24, PIO_IN, BLOCK_READ, UNC },
        { 0xc4, PIO_IN, BLOCK_READ, UNC },      { 0x29, PIO_IN, BLOCK_READ, UNC },
        { 0xc8, DMA_IN, BLOCK_READ, UNC },      { 0x25, DMA_IN, BLOCK_READ, UNC },
        { 0x40, NO_DATA, BLOCK_READ, UNC },     { 0x42, NO_DATA, BLOCK_READ, UNC },
        { 0x30, PIO_OUT, BLOCK_WRITE, ABRT },   { 0x34, PIO_OUT, BLOCK_WRITE, ABRT },
        { 0xc5, PIO_OUT, BLOCK_WRITE, ABRT },   { 0x39, PIO_OUT, BLOCK_WRITE, ABRT },
        { 0x3c, PIO_OUT, BLOCK_WRITE, ABRT },   { 0xce, PIO_OUT, BLOCK_WRITE, ABRT },
        { 0xca, DMA_OUT, BLOCK_WRITE, ABRT },   { 0x35, DMA_OUT, BLOCK_WRITE, ABRT },
        { 0x3d, DMA_OUT, BLOCK_WRITE, ABRT },   { 0x3c, PIO_OUT, BLOCK_FLUSH, ABRT },
        { 0xce, PIO_OUT, BLOCK_FLUSH, ABRT },   { 0x3d, DMA_OUT, BLOCK_FLUSH, ABRT },
        { 0xe7, NO_DATA, BLOCK_FLUSH, ABRT },   { 0xea, NO_DATA, BLOCK_FLUSH, ABRT },
        { 0x06, DMA_OUT, BLOCK_DISCARD, ABRT },
    };
    static const int errors[] = { -EIO, -ENOSPC, -EROFS, -ENOMEM, -ECANCELED, -EFBIG };
    for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(errors); i++) {
        size_t row = i / ARRAY_SIZE(errors);
        b->disk[0]->fail_op = rows[row].fails;
        b->disk[0]->fail = errors[i % ARRAY_SIZE(errors)];
        memset(b->r->ram + DATA, (int)i + 1, 4096);
        unsigned edges = b->r->wire_edges[14];
        assert_int_equal(perform(b, rows[row].code, rows[row].how, 0x1234), READY | ERR);
        assert_int_equal(in8(b, PRIMARY + ERROR), rows[row].error);
        assert_true(b->r->wire_edges[14] > edges);
        if (rows[row].fails == BLOCK_READ || rows[row].fails == BLOCK_WRITE)
            assert_int_equal(in8(b, PRIMARY + LOW) | in8(b, PRIMARY + MID) << 8, 0x1234); /* which sector */
        assert_int_equal(in8(b, BM + 2) & 2, 0); /* it is the drive's error, not the bus's */
        b->disk[0]->fail = 0;
        assert_int_equal(perform(b, rows[row].code, rows[row].how, 0x1234), READY);
        assert_int_equal(b->disk[0]->block.in_flight, 0);
        assert_int_equal(b->r->mem.nr_pinned, 0);
    }
}

/* With the write cache off every write flushes, and fails with the flush [ACS 7.47.4]. */
static void a_failed_flush_fails_uncached_writes(void **state)
{
    struct bench *b = *state;
    static const uint8_t codes[] = { 0x30, 0x34, 0xc5, 0x39, 0xca, 0x35 };
    out8(b, PRIMARY + ERROR, 0x82);
    command28(b, PRIMARY, 0, 0xef, 0, 0);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    b->disk[0]->fail_op = BLOCK_FLUSH;
    for (size_t i = 0; i < sizeof(codes); i++) {
        enum how how = i < 4 ? PIO_OUT : DMA_OUT;
        b->disk[0]->fail = -EIO;
        assert_int_equal(perform(b, codes[i], how, 9), READY | ERR);
        assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
        b->disk[0]->fail = 0;
        assert_int_equal(perform(b, codes[i], how, 9), READY);
    }
}

/* The same of a CD: MEDIUM ERROR, unrecovered read, with the block's number; by PIO and by DMA. */
static void every_read_of_a_cd_has_its_error(void **state)
{
    struct bench *b = *state;
    static const uint8_t cdbs[][12] = {
        { 0x28, 0, 0, 0, 0, 20, 0, 0, 3 },        { 0xa8, 0, 0, 0, 0, 20, 0, 0, 0, 3 },
        { 0xbe, 0, 0, 0, 0, 20, 0, 0, 3, 0x10 },  { 0xbe, 0, 0, 0, 0, 20, 0, 0, 3, 0xf8 },
        { 0xb9, 0, 0, 0, 2, 20, 0, 2, 23, 0x10 },
    };
    static uint8_t data[3 * 2352];
    uint8_t ask[12] = { 0x03, 0, 0, 0, 18 };
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cdbs); i++) {
        bool by_dma = i % 2;
        for (unsigned good = 0; good < 2; good++) {
            b->disk[2]->fail_op = BLOCK_READ;
            b->disk[2]->fail = good ? 0 : -EIO;
            put_prd(b, 0, DATA, 0x8000, true);
            bm_setup(b, BM + 8);
            if (by_dma) {
                packet(b, SECONDARY, 0, cdbs[i / 2], 0xfffe, true);
                bm_start(b, BM + 8, true);
                assert_int_equal(wait_ready(b, SECONDARY), good ? READY : READY | ERR);
            } else {
                long got = packet_in(b, SECONDARY, 0, cdbs[i / 2], data, sizeof(data), 0xfffe);
                assert_true(good ? got > 0 : got == -1);
            }
            if (good)
                continue;
            assert_int_equal(in8(b, SECONDARY + ERROR) >> 4, 3);
            assert_int_equal(packet_in(b, SECONDARY, 0, ask, data, 18, 0xfffe), 18);
            assert_int_equal(data[2] << 16 | data[12] << 8 | data[13], 0x31100);
            assert_int_equal(be32_get(data + 3), 20);
        }
    }
}

/* --- Reset --- */

/* Whatever is on its way, a reset is over only when that is; nothing of it follows, and the drive is as new. */
static void reset_during_every_kind_of_request(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint8_t code;
        enum how how;
    } rows[] = { { 0x20, PIO_IN },  { 0xc4, PIO_IN },  { 0x30, PIO_OUT }, { 0x25, DMA_IN }, { 0x35, DMA_OUT },
                 { 0x3d, DMA_OUT }, { 0x40, NO_DATA }, { 0xe7, NO_DATA }, { 0x06, DMA_OUT } };
    static uint8_t data[8 * 512];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t code = rows[i].code;
        le64_put(b->r->ram + DATA, UINT64_C(8) << 48 | 600);
        put_prd(b, 0, DATA, code == 0x06 ? 512 : 4096, true);
        bm_setup(b, BM);
        b->disk[0]->hold = true;
        out8(b, PRIMARY + ERROR, code == 0x06);
        command48(b, PRIMARY, 0, code, code == 0x06 ? 0 : 800 + 100 * i, code == 0x06 ? 1 : 8);
        if (rows[i].how == PIO_OUT)
            pio_out(b, PRIMARY, data, sizeof(data), 512);
        if (rows[i].how == DMA_IN || rows[i].how == DMA_OUT)
            bm_start(b, BM, rows[i].how == DMA_IN);
        rig_settle(b->r);
        assert_int_equal(b->disk[0]->block.in_flight, 1);
        unsigned edges = b->r->wire_edges[14], flushes = b->disk[0]->flushes;
        out8(b, PRIMARY_CTL, 4);
        out8(b, PRIMARY_CTL, 0);
        assert_int_equal(in8(b, PRIMARY_CTL) & (BSY | DRQ), BSY);
        rig_disk_release(b->disk[0]);
        assert_int_equal(wait_ready(b, PRIMARY), READY);
        assert_int_equal(in8(b, PRIMARY + ERROR), 1);
        assert_int_equal(b->r->wire_edges[14], edges);
        assert_int_equal(b->disk[0]->block.in_flight, 0);
        assert_int_equal(b->disk[0]->flushes, flushes + (code == 0xe7));
        assert_int_equal(b->r->mem.nr_pinned, 0);
        out8(b, BM, 0);
        assert_int_equal(perform(b, 0x25, DMA_IN, 3), READY);
        assert_memory_equal(b->r->ram + DATA, image(b, 3), 4096);
    }
}

/* --- A drive alone as the second one of its channel --- */

static void the_second_drive_alone(void **state)
{
    struct bench *b = *state;
    static uint8_t data[16 * 512];
    const uint8_t *disk = b->disk[1]->data;
    static const uint8_t test_ready[12] = { 0 };
    select_unit(b, PRIMARY, 0);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    command28(b, PRIMARY, 0, 0x20, 0, 1); /* to the first, who isn't there */
    rig_settle(b->r);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(b->r->wire_edges[14], 0);
    select_unit(b, PRIMARY, 1);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
    command28(b, PRIMARY, 1, 0xec, 0, 0);
    assert_int_equal(pio_in(b, PRIMARY, data, 512, 512), 512);
    assert_int_equal(le64_get(data + 200), DISK_BYTES / 512);
    command28(b, PRIMARY, 1, 0xc4, 9, 16);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), sizeof(data)), sizeof(data));
    assert_memory_equal(data, disk + 9 * 512, sizeof(data));
    for (unsigned write = 0; write < 2; write++) {
        put_prd(b, 0, DATA, 4096, true);
        bm_setup(b, BM);
        command48(b, PRIMARY, 1, write ? 0x35 : 0x25, write ? 4000 : 77, 8);
        bm_start(b, BM, !write);
        assert_int_equal(wait_ready(b, PRIMARY), READY);
        assert_int_equal(in8(b, BM + 2), 0x64);
    }
    assert_memory_equal(b->r->ram + DATA, disk + 77 * 512, 4096);
    assert_memory_equal(disk + 4000 * 512, disk + 77 * 512, 4096);
    out8(b, PRIMARY_CTL, 4);
    out8(b, PRIMARY_CTL, 0);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0); /* a reset selects the first */
    select_unit(b, PRIMARY, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    out8(b, PRIMARY + STATUS, 0x90);
    select_unit(b, PRIMARY, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(in8(b, PRIMARY + ERROR), 1);
    assert_int_equal(packet_in(b, SECONDARY, 1, test_ready, data, 0, 0xfffe), 0); /* a CD in the same way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_count_of_zero_is_64_kib, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(a_region_goes_on_over_64_kib, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(regions_over_pages, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(odd_numbers_lose_a_bit, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(a_table_over_pages, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(stopped_in_flight_and_started_again, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(every_error_has_its_code, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(a_failed_flush_fails_uncached_writes, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(every_read_of_a_cd_has_its_error, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_during_every_kind_of_request, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(the_second_drive_alone, second_only, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
