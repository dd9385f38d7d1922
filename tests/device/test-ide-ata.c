/* The commands of a disk. [ACS n] is section n of ATA8-ACS. */
#include "ide-bench.h"

#define SECTORS (DISK_BYTES / 512)

static int one_disk(void **state)
{
    *state = bench_new("d---");
    return 0;
}

static int three_disks(void **state)
{
    *state = bench_new("dd-d");
    return 0;
}

static uint16_t word(const uint8_t *identity, unsigned i)
{
    return le16_get(identity + 2 * i);
}

static void text(const uint8_t *identity, unsigned at, unsigned bytes, char *out)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (char)identity[(2 * at + i) ^ 1];
    out[bytes] = 0;
}

static void identify(struct bench *b, unsigned base, unsigned unit, uint8_t out[512])
{
    command28(b, base, unit, 0xec, 0, 0);
    assert_int_equal(pio_in(b, base, out, 512, 512), 512);
    assert_int_equal(wait_ready(b, base), READY);
}

/* No data, ends at once or after the back end; returns the status. */
static uint8_t simple(struct bench *b, uint8_t command, uint8_t features, uint8_t count)
{
    out8(b, PRIMARY + ERROR, features);
    command28(b, PRIMARY, 0, command, 0, count);
    return wait_ready(b, PRIMARY);
}

/* What an installed system knows its disk by. */
static void identity(void **state)
{
    struct bench *b = *state;
    uint8_t id[512];
    char s[41];
    identify(b, PRIMARY, 0, id);
    assert_int_equal(word(id, 0), 0x0040);
    assert_int_equal(word(id, 1), SECTORS / (16 * 63));
    assert_int_equal(word(id, 3), 16);
    assert_int_equal(word(id, 6), 63);
    text(id, 10, 20, s);
    assert_string_equal(s, "QM00001             ");
    text(id, 23, 8, s);
    assert_string_equal(s, "2.5+    ");
    text(id, 27, 40, s);
    assert_string_equal(s, "QEMU HARDDISK                           ");
    assert_int_equal(word(id, 47), 0x8010);
    assert_int_equal(word(id, 49), 0x0b00);
    assert_int_equal(word(id, 54), SECTORS / (16 * 63));
    assert_int_equal(word(id, 59), 0x0110);
    assert_int_equal(le32_get(id + 120), SECTORS);
    assert_int_equal(word(id, 83), 0x7400);
    assert_int_equal(word(id, 85), 0x4021);
    assert_int_equal(word(id, 88), 0x203f);
    assert_true(le64_get(id + 200) == SECTORS);
    assert_int_equal(word(id, 169), 1);
    identify(b, PRIMARY, 1, id);
    text(id, 10, 20, s);
    assert_string_equal(s, "QM00002             ");
    identify(b, SECONDARY, 1, id);
    text(id, 10, 20, s);
    assert_string_equal(s, "QM00004             ");
}

/* From the size alone. */
static void geometry(void **state)
{
    struct ide_geometry g = ide_guess_geometry(0);
    assert_int_equal(g.cylinders, 2);
    g = ide_guess_geometry(UINT64_C(1024) * 16 * 63 * 512);
    assert_int_equal(g.cylinders, 1024);
    assert_int_equal(g.translation, 0);
    g = ide_guess_geometry(UINT64_C(1025) * 16 * 63 * 512);
    assert_int_equal(g.translation, 1);
    g = ide_guess_geometry(UINT64_C(1) << 40);
    assert_int_equal(g.cylinders, 16383);
    assert_int_equal(g.heads, 16);
    assert_int_equal(g.sectors, 63);
}

/* READ SECTORS by all three kinds of address, up to more than the buffer holds. */
static void read_sectors(void **state)
{
    struct bench *b = *state;
    static uint8_t data[512 * 512];
    const uint8_t *image = b->disk[0]->data;
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
    assert_memory_equal(data, image, 512);
    command28(b, PRIMARY, 0, 0x21, 1000, 0); /* 256 */
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 256 * 512);
    assert_memory_equal(data, image + 1000 * 512, 256 * 512);
    command48(b, PRIMARY, 0, 0x24, 3000, 512);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), sizeof(data));
    assert_memory_equal(data, image + 3000 * 512, sizeof(data));
    out8(b, PRIMARY + DEVICE, 0xa2); /* cylinder 3, head 2, sector 5 */
    out8(b, PRIMARY + COUNT, 2);
    out8(b, PRIMARY + LOW, 5);
    out8(b, PRIMARY + MID, 3);
    out8(b, PRIMARY + HIGH, 0);
    out8(b, PRIMARY + STATUS, 0x20);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 1024);
    assert_memory_equal(data, image + ((3 * 16 + 2) * 63 + 4) * 512, 1024);
}

static void write_sectors(void **state)
{
    struct bench *b = *state;
    static uint8_t data[300 * 512];
    uint8_t *image = b->disk[0]->data;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i ^ i >> 8);
    command28(b, PRIMARY, 0, 0x30, 77, 2);
    assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ);
    assert_false(b->r->wires[14]); /* none for the first block [APT 5.4] */
    pio_out(b, PRIMARY, data, 1024, 512);
    rig_settle(b->r);
    assert_true(b->r->wires[14]);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(image + 77 * 512, data, 1024);
    command48(b, PRIMARY, 0, 0x34, 500, 300); /* more than the buffer */
    pio_out(b, PRIMARY, data, sizeof(data), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(image + 500 * 512, data, sizeof(data));
}

/* DRQ blocks of several sectors, the last one shorter; off after SET MULTIPLE 0 [ACS 7.27, 7.48]. */
static void multiple(void **state)
{
    struct bench *b = *state;
    static uint8_t data[20 * 512];
    uint8_t id[512];
    command28(b, PRIMARY, 0, 0xc4, 8, 20);
    unsigned edges = b->r->wire_edges[14];
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 16 * 512), sizeof(data));
    assert_memory_equal(data, b->disk[0]->data + 8 * 512, sizeof(data));
    assert_int_equal(b->r->wire_edges[14] - edges, 2);
    assert_int_equal(simple(b, 0xc6, 0, 4), READY);
    identify(b, PRIMARY, 0, id);
    assert_int_equal(word(id, 59), 0x0104);
    memset(data, 0x5a, sizeof(data));
    command48(b, PRIMARY, 0, 0x39, 100, 10);
    edges = b->r->wire_edges[14];
    pio_out(b, PRIMARY, data, 10 * 512, 4 * 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(b->r->wire_edges[14] - edges, 3);
    assert_memory_equal(b->disk[0]->data + 100 * 512, data, 10 * 512);
    assert_int_equal(simple(b, 0xc6, 0, 3), READY | ERR);
    assert_int_equal(simple(b, 0xc6, 0, 32), READY | ERR);
    assert_int_equal(simple(b, 0xc6, 0, 0), READY);
    command28(b, PRIMARY, 0, 0xc4, 8, 20);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
}

/* CVE-2008-0928: the whole range lies on the disk, or nothing is done. */
static void range_is_checked(void **state)
{
    struct bench *b = *state;
    static const uint8_t commands[] = { 0x24, 0x29, 0x34, 0x25, 0x35, 0x42, 0x3d, 0xce };
    for (size_t i = 0; i < sizeof(commands); i++) {
        const struct {
            uint64_t lba;
            uint16_t count;
        } bad[] = { { SECTORS, 1 }, { SECTORS - 1, 2 }, { SECTORS - 1, 0 }, { (UINT64_C(1) << 48) - 1, 0 } };
        for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
            command48(b, PRIMARY, 0, commands[i], bad[j].lba, bad[j].count);
            assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
            assert_int_equal(in8(b, PRIMARY + ERROR), IDNF);
            assert_int_equal(b->disk[0]->block.in_flight, 0);
        }
    }
    out8(b, PRIMARY + DEVICE, 0xa0); /* sector 0 doesn't exist in CHS */
    out8(b, PRIMARY + LOW, 0);
    out8(b, PRIMARY + STATUS, 0x20);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), IDNF);
}

/* A sector that can't be read: what lies before it arrives, then UNC with its address [ACS 6.3]. */
static void unreadable_sector(void **state)
{
    struct bench *b = *state;
    static uint8_t data[64 * 512];
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    command28(b, PRIMARY, 0, 0x20, 1234, 64);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), UNC);
    assert_int_equal(in8(b, PRIMARY + LOW) | in8(b, PRIMARY + MID) << 8, 1234);
    assert_true(b->r->log_lines > 0);
    command48(b, PRIMARY, 0, 0x24, 5678, 64);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + LOW) | in8(b, PRIMARY + MID) << 8, 5678);
    b->disk[0]->fail = 0;
    command28(b, PRIMARY, 0, 0x20, 1234, 64);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), sizeof(data));
    assert_memory_equal(data, b->disk[0]->data + 1234 * 512, sizeof(data));
}

/* The large request fails, the first single ones don't: their data come before the error. */
static void good_sectors_before_a_bad_one_arrive(void **state)
{
    struct bench *b = *state;
    uint8_t data[64 * 512];
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    b->disk[0]->hold = true;
    command28(b, PRIMARY, 0, 0x20, 100, 64);
    rig_disk_release(b->disk[0]);
    assert_int_equal(loop_step(&b->r->loop, 0), 0); /* fails, and the first sector is asked for */
    b->disk[0]->fail = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
        if (i == 2)
            b->disk[0]->fail = -EIO;
        insw(b, PRIMARY, data + 512 * i, 512);
    }
    assert_memory_equal(data, b->disk[0]->data + 100 * 512, 3 * 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), UNC);
    assert_int_equal(in8(b, PRIMARY + LOW), 103);
}

static void failed_write_and_flush(void **state)
{
    struct bench *b = *state;
    uint8_t data[1024] = { 1 };
    b->disk[0]->fail = -ENOSPC;
    b->disk[0]->fail_op = BLOCK_WRITE;
    command28(b, PRIMARY, 0, 0x30, 55, 2);
    pio_out(b, PRIMARY, data, sizeof(data), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
    assert_int_equal(in8(b, PRIMARY + LOW), 55);
    b->disk[0]->fail_op = BLOCK_FLUSH;
    assert_int_equal(simple(b, 0xe7, 0, 0), READY | ERR);
    b->disk[0]->fail = 0;
    assert_int_equal(simple(b, 0xe7, 0, 0), READY);
    assert_int_equal(b->disk[0]->flushes, 1);
    assert_int_equal(simple(b, 0xea, 0, 0), READY);
    assert_int_equal(b->disk[0]->flushes, 2);
}

/* CVE-2015-7311, LP 1915535: a read-only back end sees no write, the guest an abort. */
static void read_only_disk(void **state)
{
    struct bench *b = *state;
    static const uint8_t commands[] = { 0x30, 0x31, 0x34, 0x35, 0x39, 0x3c, 0x3d, 0xc5, 0xca, 0xcb, 0xce, 0x06 };
    b->disk[0]->block.read_only = true;
    for (size_t i = 0; i < sizeof(commands); i++) {
        out8(b, PRIMARY + ERROR, 1);
        command28(b, PRIMARY, 0, commands[i], 3, 1);
        assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
        assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
    }
    assert_true(b->disk[0]->block.stats.errors[BLOCK_WRITE] == 0);
    assert_true(b->disk[0]->block.stats.ops[BLOCK_WRITE] == 0);
}

/* Without the cache each write reaches the medium before it is reported [ACS 7.47.4]. */
static void write_cache_off(void **state)
{
    struct bench *b = *state;
    uint8_t data[512] = { 3 }, id[512];
    assert_int_equal(simple(b, 0xef, 0x82, 0), READY);
    assert_int_equal(b->disk[0]->flushes, 1);
    identify(b, PRIMARY, 0, id);
    assert_int_equal(word(id, 85), 0x4001);
    command28(b, PRIMARY, 0, 0x30, 55, 1);
    pio_out(b, PRIMARY, data, sizeof(data), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(b->disk[0]->flushes, 2);
    assert_int_equal(simple(b, 0xef, 0x02, 0), READY);
    command28(b, PRIMARY, 0, 0x30, 55, 1);
    pio_out(b, PRIMARY, data, sizeof(data), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(b->disk[0]->flushes, 2);
    command48(b, PRIMARY, 0, 0xce, 55, 1); /* WRITE MULTIPLE FUA EXT */
    pio_out(b, PRIMARY, data, sizeof(data), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(b->disk[0]->flushes, 3);
}

static void set_features(void **state)
{
    struct bench *b = *state;
    uint8_t id[512];
    static const uint8_t good[] = { 0x00, 0x01, 0x08, 0x0c, 0x10, 0x22, 0x40, 0x45 };
    static const uint8_t bad[] = { 0x02, 0x0d, 0x13, 0x23, 0x46, 0x80, 0xff };
    for (size_t i = 0; i < sizeof(good); i++)
        assert_int_equal(simple(b, 0xef, 0x03, good[i]), READY);
    for (size_t i = 0; i < sizeof(bad); i++)
        assert_int_equal(simple(b, 0xef, 0x03, bad[i]), READY | ERR);
    assert_int_equal(simple(b, 0xef, 0x03, 0x22), READY);
    identify(b, PRIMARY, 0, id);
    assert_int_equal(word(id, 63), 0x0407);
    assert_int_equal(word(id, 88), 0x003f);
    assert_int_equal(simple(b, 0xef, 0xaa, 0), READY);
    assert_int_equal(simple(b, 0xef, 0x55, 0), READY);
    assert_int_equal(simple(b, 0xef, 0x11, 0), READY | ERR);
}

/* LP 1887309: no translation divides by zero; the address of CHS follows the one in force. */
static void initialize_parameters(void **state)
{
    struct bench *b = *state;
    uint8_t data[512], id[512];
    out8(b, PRIMARY + DEVICE, 0xa3); /* 4 heads */
    out8(b, PRIMARY + COUNT, 10);
    out8(b, PRIMARY + STATUS, 0x91);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    identify(b, PRIMARY, 0, id);
    assert_int_equal(word(id, 55), 4);
    assert_int_equal(word(id, 56), 10);
    out8(b, PRIMARY + DEVICE, 0xa1);
    out8(b, PRIMARY + COUNT, 1);
    out8(b, PRIMARY + LOW, 10);
    out8(b, PRIMARY + MID, 2);
    out8(b, PRIMARY + HIGH, 0);
    out8(b, PRIMARY + STATUS, 0x20);
    assert_int_equal(pio_in(b, PRIMARY, data, 512, 512), 512);
    assert_memory_equal(data, b->disk[0]->data + ((2 * 4 + 1) * 10 + 9) * 512, 512);
    assert_int_equal(simple(b, 0x91, 0, 0), READY | ERR);
    assert_int_equal(simple(b, 0x10, 0, 0), READY);
}

static void native_max(void **state)
{
    struct bench *b = *state;
    assert_int_equal(simple(b, 0xf8, 0, 0), READY);
    assert_int_equal(in8(b, PRIMARY + LOW) | in8(b, PRIMARY + MID) << 8 | in8(b, PRIMARY + HIGH) << 16, SECTORS - 1);
    assert_int_equal(simple(b, 0x27, 0, 0), READY);
    assert_int_equal(in8(b, PRIMARY + LOW) | in8(b, PRIMARY + MID) << 8, SECTORS - 1);
    out8(b, PRIMARY_CTL, 0x80);
    assert_int_equal(in8(b, PRIMARY + LOW), 0);
}

static void power_modes(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    static const struct {
        uint8_t command, mode;
    } rows[] = { { 0xe0, 0x00 }, { 0xe1, 0x80 }, { 0xe2, 0x00 }, { 0xe3, 0x80 }, { 0xe6, 0x00 }, { 0x94, 0x00 } };
    assert_int_equal(simple(b, 0xe5, 0, 0), READY);
    assert_int_equal(in8(b, PRIMARY + COUNT), 0xff);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(simple(b, rows[i].command, 0, 0), READY);
        assert_int_equal(simple(b, 0xe5, 0, 0), READY);
        assert_int_equal(in8(b, PRIMARY + COUNT), rows[i].mode);
    }
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, 512, 512), 512);
    assert_int_equal(simple(b, 0x98, 0, 0), READY);
    assert_int_equal(in8(b, PRIMARY + COUNT), 0xff);
}

static void verify_and_seek(void **state)
{
    struct bench *b = *state;
    command48(b, PRIMARY, 0, 0x42, 0, 4000);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_true(b->disk[0]->block.stats.bytes[BLOCK_READ] == 4000 * 512);
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    command28(b, PRIMARY, 0, 0x40, 10, 4);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), UNC);
    command28(b, PRIMARY, 0, 0x70, SECTORS - 1, 0);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    command28(b, PRIMARY, 0, 0x70, SECTORS, 0);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
}

static uint8_t smart(struct bench *b, uint8_t feature, uint8_t count, uint8_t low)
{
    out8(b, PRIMARY + ERROR, feature);
    command28(b, PRIMARY, 0, 0xb0, UINT32_C(0xc24f00) | low, count);
    return wait_ready(b, PRIMARY);
}

static uint8_t sum(const uint8_t *data)
{
    uint8_t total = 0;
    for (unsigned i = 0; i < 512; i++)
        total = (uint8_t)(total + data[i]);
    return total;
}

static void smart_commands(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    static const uint8_t tables[][2] = { { 0xd0, 0 }, { 0xd1, 0 }, { 0xd5, 1 }, { 0xd5, 6 } };
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        assert_int_equal(smart(b, tables[i][0], 1, tables[i][1]), READY | DRQ);
        insw(b, PRIMARY, data, 512);
        assert_int_equal(sum(data), 0);
    }
    assert_int_equal(smart(b, 0xda, 0, 0), READY);
    assert_int_equal(in8(b, PRIMARY + MID), 0x4f);
    assert_int_equal(in8(b, PRIMARY + HIGH), 0xc2);
    assert_int_equal(smart(b, 0xd4, 0, 1), READY); /* a self-test, and its log */
    assert_int_equal(smart(b, 0xd5, 1, 6), READY | DRQ);
    insw(b, PRIMARY, data, 512);
    assert_int_equal(data[2], 1);
    assert_int_equal(data[508], 1);
    assert_int_equal(smart(b, 0xd4, 0, 0x82), READY);
    assert_int_equal(smart(b, 0xd4, 0, 0x55), READY | ERR);
    assert_int_equal(smart(b, 0xd5, 1, 9), READY | ERR);
    assert_int_equal(smart(b, 0xd6, 1, 0x80), READY | ERR);
    assert_int_equal(smart(b, 0xd2, 0xf1, 0), READY);
    assert_int_equal(smart(b, 0xd2, 0x11, 0), READY | ERR);
    assert_int_equal(smart(b, 0xd9, 0, 0), READY);
    assert_int_equal(smart(b, 0xda, 0, 0), READY | ERR); /* off */
    assert_int_equal(smart(b, 0xd8, 0, 0), READY);
    out8(b, PRIMARY + ERROR, 0xda);
    command28(b, PRIMARY, 0, 0xb0, 0, 0); /* without the key */
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
}

/* Whatever isn't there is aborted: the packet commands, security, and any code that nobody knows. */
static void other_commands_abort(void **state)
{
    struct bench *b = *state;
    static const uint8_t codes[] = { 0x00, 0x03, 0x08, 0x22, 0x26, 0x2f, 0x32, 0x37, 0x45, 0x50, 0x51, 0x60, 0x61,
                                     0x87, 0x92, 0xa0, 0xa1, 0xa2, 0xb1, 0xc0, 0xc7, 0xcc, 0xcd, 0xd0, 0xda, 0xde,
                                     0xe4, 0xe8, 0xe9, 0xed, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf9, 0xff };
    for (size_t i = 0; i < sizeof(codes); i++) {
        assert_int_equal(simple(b, codes[i], 0, 0), READY | ERR);
        assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
    }
}

/* A guest that reads on by PIO finds the next sectors there; what it writes in between is not an old copy. */
static void reading_ahead(void **state)
{
    struct bench *b = *state;
    uint8_t data[8 * 512], fresh[512];
    struct block_stats *stats = &b->disk[0]->block.stats;
    for (uint32_t i = 0; i < 100; i++) {
        command28(b, PRIMARY, 0, 0x20, 8 * i, 8);
        if (i > 1 && i < 30)
            assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ); /* never busy */
        assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), sizeof(data));
        assert_memory_equal(data, b->disk[0]->data + 4096 * i, sizeof(data));
        rig_settle(b->r);
    }
    assert_true(stats->ops[BLOCK_READ] < 10);
    memset(fresh, 0x77, sizeof(fresh));
    command28(b, PRIMARY, 0, 0x30, 800, 1);
    pio_out(b, PRIMARY, fresh, sizeof(fresh), 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    command28(b, PRIMARY, 0, 0x20, 800, 8);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), sizeof(data));
    assert_memory_equal(data, fresh, sizeof(fresh));
}

/* Somebody else may write to the image: what was read ahead long ago is not used. */
static void reading_ahead_grows_old(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    for (uint32_t i = 0; i < 3; i++) {
        command28(b, PRIMARY, 0, 0x20, i, 1);
        assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
    }
    memset(b->disk[0]->data + 3 * 512, 0x11, 512);
    rig_run(b->r, NS_PER_S);
    command28(b, PRIMARY, 0, 0x20, 3, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
    assert_int_equal(data[0] & data[511], 0x11);
}

/* Up to the last sector and not beyond; a failure there is the guest's only when it comes there. */
static void reading_ahead_at_the_end_and_over_errors(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    for (uint64_t lba = SECTORS - 5; lba < SECTORS; lba++) {
        command48(b, PRIMARY, 0, 0x24, lba, 1);
        assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
        assert_memory_equal(data, b->disk[0]->data + lba * 512, 512);
    }
    assert_true(b->disk[0]->block.stats.errors[BLOCK_READ] == 0);
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    command28(b, PRIMARY, 0, 0x20, 1, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    b->disk[0]->fail = 0;
    command28(b, PRIMARY, 0, 0x20, 1, 1);
    assert_int_equal(pio_in(b, PRIMARY, data, sizeof(data), 512), 512);
    assert_memory_equal(data, b->disk[0]->data + 512, 512);
}

/* Saved in the middle of a PIO read and a PIO write, and continued on a fresh device. */
static void snapshot_in_the_middle(void **state)
{
    struct bench *b = *state;
    static uint8_t data[300 * 512];
    struct rig_disk *disk;
    command48(b, PRIMARY, 0, 0x24, 9, 300);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    insw(b, PRIMARY, data, 1000);
    bench_drain(b);
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    disk = b->disk[0];
    assert_int_equal(rig_restore(b->r), 0);
    insw(b, PRIMARY, data + 1000, 24);
    assert_int_equal(pio_in(b, PRIMARY, data + 1024, sizeof(data) - 1024, 512), sizeof(data) - 1024);
    assert_memory_equal(data, disk->data + 9 * 512, sizeof(data));
    command28(b, PRIMARY, 0, 0x30, 20, 2);
    outsw(b, PRIMARY, data, 600);
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->r->wires[14]); /* of the second block */
    outsw(b, PRIMARY, data + 600, 424);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(b->disk[0]->data + 20 * 512, data, 1024);
}

static void hostile_snapshot_is_refused(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } rows[] = {
        { "chan[0].x.pos", 1 << 20 },
        { "chan[0].x.end", 0 },
        { "chan[0].x.end", (128 << 10) + 1 },
        { "chan[0].x.filled", (128 << 10) + 1 },
        { "chan[0].x.phase", 4 },
        { "chan[0].x.phase", 3 },
        { "chan[0].x.step", 7 },
        { "chan[0].x.step", 0 },
        { "chan[0].x.step", 2 },
        { "chan[0].x.unit", 2 },
        { "chan[0].x.unit", 1 },
        { "chan[0].x.left", 0 },
        { "chan[0].x.left", 1 << 20 },
        { "chan[0].x.lba", UINT64_MAX },
        { "chan[0].x.careful", 3 },
        { "chan[0].x.host_bytes", 0 },
        { "chan[0].x.host_bytes", 2352 },
        { "chan[0].x.block", 0 },
        { "chan[0].x.block", 1 << 17 },
        { "chan[0].x.packet", 1 },
        { "chan[0].x.dma", 1 },
        { "chan[0].selected", 2 },
        { "chan[0].bm_command", 0x10 },
        { "chan[0].bm_status", 0x80 },
        { "chan[0].bm_status", 1 },
        { "chan[0].bm_table", 2 },
        { "chan[0].prd.left", 0x10001 },
        { "chan[0].drive[0].kind", 2 },
        { "chan[0].drive[1].kind", 1 },
        { "chan[0].drive[0].status", 0x80 },
        { "chan[0].drive[0].disk.heads", 0 },
        { "chan[0].drive[0].disk.heads", 17 },
        { "chan[0].drive[0].disk.sectors", 0 },
        { "chan[0].drive[0].disk.multiple", 5 },
        { "chan[0].drive[0].cd.change", 3 },
        { "chan[0].drive[0].cd.events", 8 },
        { "chan[0].drive[0].cd.key", 16 },
    };
    command28(b, PRIMARY, 0, 0x30, 20, 2);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        rig_poke(b->r, rows[i].field, rows[i].val);
        if (rig_restore(b->r) != -EINVAL)
            fail_msg("%s = %llu is taken", rows[i].field, (unsigned long long)rows[i].val);
        b->r->dev->desc->reset(b->r->dev);
        command28(b, PRIMARY, 0, 0x30, 20, 2);
        rig_save(b->r);
    }
}

/* A reply is all in the buffer: none of it may be said to come from the medium. */
static void hostile_snapshot_of_a_reply(void **state)
{
    struct bench *b = *state;
    command28(b, PRIMARY, 0, 0xec, 0, 0);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    rig_poke(b->r, "chan[0].x.left", 5);
    assert_int_equal(rig_restore(b->r), -EINVAL);
}

/* TRIM: ranges one after another, empty ones skipped, those beyond the end refused [ACS 7.10]. */
static void trim(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram + DATA;
    memset(ram, 0, 1024);
    le64_put(ram, UINT64_C(4) << 48 | 100);
    le64_put(ram + 16, UINT64_C(1) << 48 | 200);
    le64_put(ram + 512, UINT64_C(2) << 48 | 300);
    rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 16, 4, BM);
    put_prd(b, 0, DATA, 1024, true);
    bm_setup(b, BM);
    out8(b, PRIMARY + ERROR, 0);
    out8(b, PRIMARY + ERROR, 1);
    command48(b, PRIMARY, 0, 0x06, 0, 2);
    bm_start(b, BM, false);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_true(b->disk[0]->block.stats.ops[BLOCK_DISCARD] == 3);
    assert_int_equal(b->disk[0]->data[100 * 512 + 9] | b->disk[0]->data[301 * 512 + 9], 0);
    assert_int_equal(in8(b, BM + 2), 0x64);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    le64_put(ram + 512, UINT64_C(2) << 48 | (SECTORS - 1));
    bm_setup(b, BM);
    out8(b, PRIMARY + ERROR, 1);
    command48(b, PRIMARY, 0, 0x06, 0, 2);
    bm_start(b, BM, false);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), IDNF);
    command48(b, PRIMARY, 0, 0x06, 0, 9); /* more than word 105 allows */
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    b->disk[0]->block.discard = false;
    command48(b, PRIMARY, 0, 0x06, 0, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), ABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, three_disks, bench_teardown),
        cmocka_unit_test(geometry),
        cmocka_unit_test_setup_teardown(read_sectors, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(write_sectors, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(multiple, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(range_is_checked, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(unreadable_sector, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(good_sectors_before_a_bad_one_arrive, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(failed_write_and_flush, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(read_only_disk, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(write_cache_off, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(set_features, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(initialize_parameters, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(native_max, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(power_modes, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(verify_and_seek, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(smart_commands, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(other_commands_abort, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reading_ahead, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reading_ahead_grows_old, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reading_ahead_at_the_end_and_over_errors, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot_in_the_middle, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshot_is_refused, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshot_of_a_reply, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(trim, one_disk, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
