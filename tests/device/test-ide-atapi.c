/* The CD-ROM. [MMC n] is section n of MMC-6, [ACS n] of ATA8-ACS. */
#include "ide-bench.h"

#define SECTORS (CD_BYTES / 2048)
#define ID      "ide-5632"

enum {
    NOT_READY_EMPTY = 0x23a01,
    NOT_READY_OPEN = 0x23a02,
    CHANGED = 0x62800,
    BAD_OPCODE = 0x52000,
    BAD_LBA = 0x52100,
    BAD_FIELD = 0x52400,
    BAD_PARAMETER = 0x52600,
    LOCKED = 0x55302,
    WRONG_TRACK = 0x56400,
    NOT_SAVED = 0x53900,
    WRONG_MEDIUM = 0x53000,
    READ_ERROR = 0x31100
};

static int cd(void **state)
{
    *state = bench_new("--c-");
    return 0;
}

static int empty_cd(void **state)
{
    *state = bench_new("--e-");
    return 0;
}

static int two_cds(void **state)
{
    *state = bench_new("--cc");
    return 0;
}

static long run(struct bench *b, const uint8_t cdb[12], void *buf, size_t bytes)
{
    return packet_in(b, SECONDARY, 0, cdb, buf, bytes, 0xfffe);
}

static uint8_t scratch[70000];

/* A packet of up to 12 bytes; the result of packet_in(). */
#define RUN(b, ...) run(b, (const uint8_t[12]){ __VA_ARGS__ }, scratch, sizeof(scratch))

static unsigned why(struct bench *b)
{
    return sense(b, SECONDARY, 0);
}

/* READ(10); returns the bytes. */
static long read10(struct bench *b, uint32_t lba, uint16_t count, uint16_t limit, void *buf, size_t bytes)
{
    uint8_t cdb[12] = { 0x28 };
    be32_put(cdb + 2, lba);
    be16_put(cdb + 7, count);
    return packet_in(b, SECONDARY, 0, cdb, buf, bytes, limit);
}

static void identity(void **state)
{
    struct bench *b = *state;
    uint8_t id[512];
    out8(b, SECONDARY + DEVICE, 0xa0);
    out8(b, SECONDARY + STATUS, 0xa1);
    assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
    insw(b, SECONDARY, id, 512);
    assert_int_equal(le16_get(id), 0x85c0);
    assert_memory_equal(id + 20, "MQ0000 3", 6);
    assert_memory_equal(id + 54, "EQUMD DVR-MO", 12);
    assert_int_equal(le16_get(id + 98), 0x0300);
    assert_int_equal(le16_get(id + 176), 0x203f);
    /* IDENTIFY DEVICE and READ SECTORS tell what kind of drive it is instead [ACS 7.16]. */
    static const uint8_t codes[] = { 0xec, 0x20 };
    for (size_t i = 0; i < sizeof(codes); i++) {
        out8(b, SECONDARY + MID, 0);
        out8(b, SECONDARY + STATUS, codes[i]);
        assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
        assert_int_equal(in8(b, SECONDARY + ERROR), ABRT);
        assert_int_equal(in8(b, SECONDARY + MID), 0x14);
        assert_int_equal(in8(b, SECONDARY + HIGH), 0xeb);
    }
}

/* CVE-2015-6855, LP 1915535: the disk's commands have no disk to divide or write by. */
static void disk_commands_abort(void **state)
{
    struct bench *b = *state;
    for (unsigned code = 1; code < 256; code++) {
        if (code == 0x08 || (code >= 0x90 && code <= 0x99) || code == 0xa0 || code == 0xa1 ||
            (code >= 0xe0 && code <= 0xe7))
            continue;
        if (code == 0xea || code == 0xef)
            continue;
        out8(b, SECONDARY + STATUS, (uint8_t)code);
        assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
        assert_int_equal(in8(b, SECONDARY + ERROR), ABRT);
    }
    out8(b, SECONDARY + STATUS, 0xe7);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    out8(b, SECONDARY + ERROR, 0x03);
    out8(b, SECONDARY + COUNT, 0x42);
    out8(b, SECONDARY + STATUS, 0xef);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    out8(b, SECONDARY + ERROR, 0x82);
    out8(b, SECONDARY + STATUS, 0xef);
    assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
}

static void inquiry(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 255), 36);
    assert_int_equal(scratch[0], 5);
    assert_int_equal(scratch[1], 0x80);
    assert_memory_equal(scratch + 8, "QEMU    QEMU DVD-ROM    2.5+", 28);
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 5), 5);
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 0), 0);
    assert_int_equal(RUN(b, 0x12, 1, 0, 0, 255), -1); /* no vital product data */
    assert_int_equal(why(b), BAD_FIELD);
    assert_int_equal(RUN(b, 0x12, 0, 0x80, 0, 255), -1);
}

static void ready_and_capacity(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x00), 0);
    assert_int_equal(RUN(b, 0x25), 8);
    assert_int_equal(be32_get(scratch), SECTORS - 1);
    assert_int_equal(be32_get(scratch + 4), 2048);
    assert_int_equal(RUN(b, 0x23, 0, 0, 0, 0, 0, 0, 0, 255), 12);
    assert_int_equal(be32_get(scratch + 4), SECTORS);
    assert_int_equal(why(b), 0);
    assert_int_equal(RUN(b, 0xff), -1);
    assert_int_equal(in8(b, SECONDARY + ERROR), 0x54);
    assert_int_equal(why(b), BAD_OPCODE);
    assert_int_equal(why(b), 0); /* told once */
}

/* Every reading command, with every kind of limit: even, odd, larger than all, the special ffff. */
static void read_commands(void **state)
{
    struct bench *b = *state;
    static const uint16_t limits[] = { 2048, 2, 512, 513, 2047, 0xfffe, 0xffff, 0xf800, 8192, 30000 };
    static uint8_t data[40 * 2048];
    const uint8_t *image = b->disk[2]->data;
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        memset(data, 0, sizeof(data));
        assert_int_equal(read10(b, 7, 40, limits[i], data, sizeof(data)), sizeof(data));
        assert_memory_equal(data, image + 7 * 2048, sizeof(data));
    }
    assert_int_equal(RUN(b, 0xa8, 0, 0, 0, 1, 2, 0, 0, 0, 3), 3 * 2048);
    assert_memory_equal(scratch, image + 0x102 * 2048, 3 * 2048);
    assert_int_equal(RUN(b, 0xbe, 0, 0, 0, 1, 2, 0, 0, 3, 0x10), 3 * 2048);
    assert_memory_equal(scratch, image + 0x102 * 2048, 3 * 2048);
    assert_int_equal(RUN(b, 0xb9, 0, 0, 0, 3, 1, 0, 3, 4, 0x10), 3 * 2048); /* 00:03.01 to 00:03.04 */
    assert_memory_equal(scratch, image + 76 * 2048, 3 * 2048);
    assert_int_equal(read10(b, 5, 0, 0xfffe, data, 0), 0); /* nothing is not an error [MMC 6.16] */
    assert_int_equal(RUN(b, 0xbe, 0, 0, 0, 1, 2, 0, 0, 3, 0x00), 0);
    assert_int_equal(RUN(b, 0x2b, 0, 0, 0, 1, 2), 0);
    assert_int_equal(RUN(b, 0x2f, 0, 0, 0, 1, 2, 0, 0, 100), 0);
}

/* Raw sectors: sync, address, data [ECMA-130 14]; more of them than the buffer holds. */
static void read_raw(void **state)
{
    struct bench *b = *state;
    static uint8_t data[100 * 2352];
    static const uint8_t cdb[12] = { 0xbe, 0, 0, 0, 0, 0, 0, 0, 100, 0xf8 };
    static const uint8_t head[16] = { 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0x00, 0x02, 0x74, 1 };
    assert_int_equal(run(b, cdb, data, sizeof(data)), sizeof(data));
    for (size_t i = 0; i < 100; i++)
        assert_memory_equal(data + i * 2352 + 16, b->disk[2]->data + i * 2048, 2048);
    assert_memory_equal(data + 74 * 2352, head, 16);
    assert_int_equal(RUN(b, 0xbe, 0x04, 0, 0, 0, 0, 0, 0, 1, 0x10), -1); /* as audio */
    assert_int_equal(why(b), WRONG_TRACK);
    assert_int_equal(RUN(b, 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0xf8, 1), -1); /* sub-channel */
    assert_int_equal(why(b), BAD_FIELD);
    assert_int_equal(RUN(b, 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0x20), -1);
    assert_int_equal(why(b), BAD_FIELD);
}

/* CVE-2020-29443: no address outside of the medium is taken, and the data port gives nothing after that. */
static void range_is_checked(void **state)
{
    struct bench *b = *state;
    static uint8_t junk[65536];
    assert_int_equal(read10(b, 0xffffffff, 1, 0xfffe, scratch, 0), -1);
    assert_int_equal(why(b), BAD_LBA);
    insw(b, SECONDARY, junk, sizeof(junk));
    assert_int_equal(junk[0] | junk[65535], 0);
    assert_int_equal(read10(b, 0xffffffff, 0xffff, 0xfffe, scratch, 0), -1);
    assert_int_equal(read10(b, SECTORS, 1, 0xfffe, scratch, 0), -1);
    assert_int_equal(read10(b, SECTORS - 1, 2, 0xfffe, scratch, 0), -1);
    assert_int_equal(RUN(b, 0xa8, 0, 0, 0, 0, 1, 255, 255, 255, 255), -1);
    assert_int_equal(RUN(b, 0xbe, 0, 255, 255, 255, 255, 255, 255, 255, 0xf8), -1);
    assert_int_equal(why(b), BAD_LBA);
    assert_int_equal(RUN(b, 0xb9, 0, 0, 255, 255, 255, 0, 0, 0, 0xf8), -1);
    assert_int_equal(RUN(b, 0xb9, 0, 0, 0, 0, 0, 255, 255, 255, 0xf8), -1);
    assert_int_equal(RUN(b, 0x2b, 0, 255, 255, 255, 255), -1);
    assert_int_equal(RUN(b, 0x2f, 0, 255, 255, 255, 255, 0, 0, 1), -1);
    assert_int_equal(why(b), BAD_LBA);
}

/* CVE-2015-5154: PACKET while data are pending; the port can be read and written as often as one likes. */
static void packet_while_data_wait(void **state)
{
    struct bench *b = *state;
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 3 };
    uint8_t data[3 * 2048];
    packet(b, SECONDARY, 0, cdb, 510, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
    insw(b, SECONDARY, data, 100);
    out8(b, SECONDARY + MID, 2);
    out8(b, SECONDARY + HIGH, 0);
    out8(b, SECONDARY + STATUS, 0xa0);
    for (unsigned i = 0; i < 1000; i++) {
        rig_out16(b->r, SECONDARY, 0x2828);
        (void)rig_in16(b->r, SECONDARY);
        rig_settle(b->r);
    }
    out8(b, SECONDARY + STATUS, 0x08);
    assert_int_equal(wait_ready(b, SECONDARY), 0);
    assert_int_equal(read10(b, 9, 3, 2048, data, sizeof(data)), sizeof(data));
    assert_memory_equal(data, b->disk[2]->data + 9 * 2048, sizeof(data));
}

/* A limit of 0 is an error of the ATA command unless nothing is to be transferred [ACS 7.18.5]. */
static void limit_of_zero(void **state)
{
    struct bench *b = *state;
    static const uint8_t inquiry_cdb[12] = { 0x12, 0, 0, 0, 36 }, test_cdb[12] = { 0 };
    packet(b, SECONDARY, 0, test_cdb, 0, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    packet(b, SECONDARY, 0, inquiry_cdb, 0, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
    assert_int_equal(in8(b, SECONDARY + ERROR), ABRT);
    packet(b, SECONDARY, 0, inquiry_cdb, 1, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 1), 1);
    out8(b, SECONDARY + ERROR, 0x02); /* overlap */
    out8(b, SECONDARY + STATUS, 0xa0);
    assert_int_equal(wait_ready(b, SECONDARY), READY | ERR);
}

static void read_toc(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 0, 0, 255), 20);
    assert_int_equal(be16_get(scratch), 18);
    assert_int_equal(scratch[5], 0x14);
    assert_int_equal(scratch[6], 1);
    assert_int_equal(be32_get(scratch + 8), 0);
    assert_int_equal(scratch[14], 0xaa);
    assert_int_equal(be32_get(scratch + 16), SECTORS);
    assert_int_equal(RUN(b, 0x43, 2, 0, 0, 0, 0, 0xaa, 0, 255), 12);
    assert_int_equal(scratch[9] * 4500 + scratch[10] * 75 + scratch[11], SECTORS + 150);
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 2, 0, 255), -1);
    assert_int_equal(why(b), BAD_FIELD);
    assert_int_equal(RUN(b, 0x43, 0, 1, 0, 0, 0, 0, 0, 255), 12);
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0x40), 12); /* the old place of the format */
    assert_int_equal(RUN(b, 0x43, 2, 2, 0, 0, 0, 0, 0, 255), 48);
    assert_int_equal(scratch[7], 0xa0);
    assert_int_equal(RUN(b, 0x43, 0, 5, 0, 0, 0, 0, 0, 255), -1);
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 0, 0, 4), 4);
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 0, 0, 0), 0);
}

static void disc_and_track_information(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x51, 0, 0, 0, 0, 0, 0, 0, 255), 34);
    assert_int_equal(scratch[2], 0x0e);
    assert_int_equal(RUN(b, 0x51, 1, 0, 0, 0, 0, 0, 0, 255), -1);
    assert_int_equal(RUN(b, 0x52, 1, 0, 0, 0, 1, 0, 0, 255), 36);
    assert_int_equal(be32_get(scratch + 24), SECTORS);
    assert_int_equal(RUN(b, 0x52, 1, 0, 0, 0, 2, 0, 0, 255), -1);
    assert_int_equal(RUN(b, 0x52, 0, 255, 255, 255, 255, 0, 0, 255), -1);
    assert_int_equal(RUN(b, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    assert_int_equal(RUN(b, 0x42, 2, 0x40, 1, 0, 0, 0, 0, 255), 16);
    assert_int_equal(RUN(b, 0x42, 0, 0, 0, 0, 0, 0, 0, 255), 4);
    assert_int_equal(RUN(b, 0x42, 0, 0x40, 2, 0, 0, 0, 0, 255), -1);
    assert_int_equal(RUN(b, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1), 24);
    assert_int_equal(RUN(b, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3), 8);
    assert_int_equal(RUN(b, 0xac, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9), -1);
    assert_int_equal(RUN(b, 0xbb, 0, 255, 255), 0);
    assert_int_equal(RUN(b, 0x35), 0);
}

static void configuration(void **state)
{
    struct bench *b = *state;
    long all = RUN(b, 0x46, 0, 0, 0, 0, 0, 0, 255, 255);
    assert_true(all > 60);
    assert_int_equal(be32_get(scratch), all - 4);
    assert_int_equal(be16_get(scratch + 6), 8); /* a CD */
    assert_int_equal(be16_get(scratch + 8), 0);
    assert_int_equal(scratch[14], 0);
    assert_int_equal(scratch[18], 1);
    assert_int_equal(RUN(b, 0x46, 2, 0, 3, 0, 0, 0, 0, 255), 16);
    assert_int_equal(RUN(b, 0x46, 2, 0x77, 3, 0, 0, 0, 0, 255), 8);
    assert_int_equal(RUN(b, 0x46, 3, 0, 3, 0, 0, 0, 0, 255), -1);
    long current = RUN(b, 0x46, 1, 0, 0, 0, 0, 0, 255, 255);
    assert_int_equal(current, all - 4); /* but for DVD read */
    assert_int_equal(RUN(b, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
}

static void mode_pages(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), 30);
    assert_int_equal(be16_get(scratch), 28);
    assert_int_equal(scratch[2], 1);
    assert_int_equal(scratch[8], 0x2a);
    assert_int_equal(scratch[14] & 0x02, 0);
    assert_int_equal(RUN(b, 0x1a, 0, 0x2a, 0, 255), 26);
    assert_int_equal(scratch[0], 25);
    assert_int_equal(RUN(b, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), 8 + 8 + 16 + 12 + 12 + 22);
    assert_int_equal(RUN(b, 0x5a, 0, 0xc1, 0, 0, 0, 0, 0, 255), -1);
    assert_int_equal(why(b), NOT_SAVED);
    assert_int_equal(RUN(b, 0x5a, 0, 0x33, 0, 0, 0, 0, 0, 255), -1);
    assert_int_equal(why(b), BAD_FIELD);
}

/* Send a parameter list with MODE SELECT(10). Returns the status at the end. */
static uint8_t mode_select(struct bench *b, const uint8_t *list, uint16_t len)
{
    uint8_t cdb[12] = { 0x55, 0x10, 0, 0, 0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len };
    packet(b, SECONDARY, 0, cdb, 16, false);
    for (uint16_t at = 0; at < len;) {
        assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
        assert_int_equal(in8(b, SECONDARY + COUNT), 0);
        uint16_t block = (uint16_t)(in8(b, SECONDARY + MID) | in8(b, SECONDARY + HIGH) << 8);
        assert_in_range(block, 1, 16);
        outsw(b, SECONDARY, list + at, (block + 1) & ~1u);
        at = (uint16_t)(at + block);
    }
    return wait_ready(b, SECONDARY);
}

static void mode_select_lists(void **state)
{
    struct bench *b = *state;
    uint8_t list[64] = { 0 };
    list[8] = 0x01;
    list[9] = 6;
    list[10] = 0x20;
    list[11] = 5;
    assert_int_equal(mode_select(b, list, 16), READY);
    assert_int_equal(RUN(b, 0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255), 16);
    assert_int_equal(scratch[11], 5);
    assert_int_equal(RUN(b, 0x5a, 0, 0x81, 0, 0, 0, 0, 0, 255), 16); /* the default is another matter */
    assert_int_equal(scratch[11], 0);
    list[12] = 1; /* can't be changed */
    list[11] = 9;
    assert_int_equal(mode_select(b, list, 16), READY | ERR);
    assert_int_equal(why(b), BAD_PARAMETER);
    assert_int_equal(RUN(b, 0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255), 16);
    assert_int_equal(scratch[11], 5);
    list[12] = 0;
    for (uint16_t len = 1; len < 16; len++) { /* cut anywhere */
        if (len != 8)
            assert_int_equal(mode_select(b, list, len), READY | ERR);
    }
    assert_int_equal(mode_select(b, list, 8), READY);
    list[6] = 0xff; /* block descriptors beyond the list */
    assert_int_equal(mode_select(b, list, 16), READY | ERR);
    list[6] = 0;
    list[8] = 0x3f; /* CVE-2021-3930: no table is indexed by the page code */
    assert_int_equal(mode_select(b, list, 16), READY | ERR);
    list[8] = 0x7f;
    assert_int_equal(mode_select(b, list, 16), READY | ERR);
    assert_int_equal(RUN(b, 0x55, 0x10), 0);
    assert_int_equal(RUN(b, 0x55, 0x00, 0, 0, 0, 0, 0, 0, 8), -1);
}

static void dvd_structures(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4), -1);
    assert_int_equal(why(b), WRONG_MEDIUM);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 0xff, 8, 4), 16);
    assert_int_equal(bench_change(b, ID, true, &rig_disk(b->r, 900 * MIB)->block), 0);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 0, 255, 255), 2052);
    assert_int_equal(be16_get(scratch), 2050);
    assert_int_equal(be32_get(scratch + 12), 0x30000 + 900 * 512 - 1);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 1, 255, 255), 8);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 4, 0, 7), 7);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 0, 3, 255, 255), -1);
    assert_int_equal(RUN(b, 0xad, 0, 0, 0, 0, 0, 1, 0, 255, 255), -1);
    assert_int_equal(RUN(b, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    assert_int_equal(be16_get(scratch + 6), 0x10);
}

/* Every reply is cut to its allocation length, also to nothing. */
static void allocation_lengths(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint8_t cdb[12], at; /* of the 16-bit length */
    } rows[] = {
        { { 0x12 }, 3 },
        { { 0x43 }, 7 },
        { { 0x46 }, 7 },
        { { 0x4a, 1, 0, 0, 0x10 }, 7 },
        { { 0x51 }, 7 },
        { { 0x52, 1, 0, 0, 0, 1 }, 7 },
        { { 0x5a, 0, 0x3f }, 7 },
        { { 0xad, 0, 0, 0, 0, 0, 0, 0xff }, 8 },
        { { 0xbd }, 8 },
        { { 0x23 }, 7 },
        { { 0x42, 0, 0x40, 1 }, 7 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t cdb[12];
        memcpy(cdb, rows[i].cdb, 12);
        be16_put(cdb + rows[i].at, 0xffff);
        long full = run(b, cdb, scratch, sizeof(scratch));
        assert_true(full > 0);
        for (uint16_t alloc = 0; alloc <= full; alloc++) {
            be16_put(cdb + rows[i].at, alloc);
            assert_int_equal(run(b, cdb, scratch, alloc), alloc);
        }
    }
}

static void empty_drive(void **state)
{
    struct bench *b = *state;
    static const uint8_t need[] = { 0x00, 0x25, 0x28, 0x2b, 0x2f, 0x42, 0x43, 0x51, 0x52, 0xa8, 0xad, 0xb9, 0xbe };
    for (size_t i = 0; i < sizeof(need); i++) {
        assert_int_equal(RUN(b, need[i], 0, 0, 0, 0, 0, 0, 0, 1), -1);
        assert_int_equal(why(b), NOT_READY_EMPTY);
    }
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 36), 36);
    assert_int_equal(RUN(b, 0x46, 0, 0, 0, 0, 0, 0, 0, 8), 8);
    assert_int_equal(be16_get(scratch + 6), 0);
    assert_int_equal(RUN(b, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), 30);
    assert_int_equal(scratch[2], 0x70);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[5], 0);
    assert_int_equal(RUN(b, 0x23, 0, 0, 0, 0, 0, 0, 0, 12), 12);
    assert_int_equal(scratch[8], 3);
    assert_int_equal(bench_eject(b, ID, false), 0);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_OPEN);
}

static void events(void **state)
{
    struct bench *b = *state;
    assert_int_equal(RUN(b, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8), -1); /* asynchronous */
    assert_int_equal(why(b), BAD_FIELD);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8), 4); /* another class */
    assert_int_equal(scratch[2], 0x80);
    assert_int_equal(scratch[3], 0x10);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 0);
    assert_int_equal(scratch[5], 2);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 2), 0); /* out */
    assert_true(b->tray_open);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4), 4); /* doesn't fit, so it stays */
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 3);
    assert_int_equal(scratch[5], 1);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_OPEN);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 3), 0); /* and in */
    assert_int_equal(b->tray_moves, 2);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 2);
    assert_int_equal(RUN(b, 0x00), 0);             /* the medium is what it was */
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 0), 0); /* stop, start, sleep: nothing moves */
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 1), 0);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 0x52), 0);
    assert_int_equal(b->tray_moves, 2);
}

/* The guest's lock holds back the tray, for the guest and for the operator, who has the guest asked. */
static void tray_lock(void **state)
{
    struct bench *b = *state;
    struct ide_drive_info info;
    assert_int_equal(RUN(b, 0x1e, 0, 0, 0, 1), 0);
    assert_true(bench_info(b, 2, &info));
    assert_true(info.locked && !info.tray_open && info.cdrom);
    assert_string_equal(info.id, ID);
    assert_ptr_equal(info.block, &b->disk[2]->block);
    assert_int_equal(RUN(b, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), 30);
    assert_int_equal(scratch[14] & 0x02, 0x02);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 2), -1);
    assert_int_equal(why(b), LOCKED);
    assert_int_equal(bench_eject(b, ID, false), -EBUSY);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 1); /* please eject */
    assert_false(b->closed[2]);
    assert_int_equal(RUN(b, 0x1e, 0, 0, 0, 0), 0);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 2), 0);
    assert_false(b->closed[2]); /* the medium lies in the tray */
    assert_int_equal(bench_eject(b, ID, false), 0);
    assert_true(b->closed[2]);
    assert_int_equal(RUN(b, 0x1b, 0, 0, 0, 3), 0);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_EMPTY);
}

/* xl cd-insert: eject, change; the guest sees an empty drive, then a changed medium, then the new data. */
static void medium_change(void **state)
{
    struct bench *b = *state;
    bool closed = false;
    struct rig_disk *next = bench_image(b, 3 * 2048, &closed), *last = bench_image(b, 10 * 2048, NULL);
    assert_int_equal(bench_eject(b, "ide-0", false), -ENOENT);
    assert_int_equal(bench_eject(b, ID, false), 0);
    assert_int_equal(bench_eject(b, ID, false), 0);
    assert_true(b->closed[2]);
    assert_int_equal(b->tray_moves, 1);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_OPEN);
    memset(next->data, 0x42, 3 * 2048);
    assert_int_equal(bench_change(b, ID, false, &next->block), 0);
    assert_int_equal(b->tray_moves, 2);
    assert_int_equal(RUN(b, 0x12, 0, 0, 0, 36), 36); /* works all the time */
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_EMPTY);
    assert_int_equal(RUN(b, 0x25), -1);
    assert_int_equal(why(b), CHANGED);
    assert_int_equal(RUN(b, 0x25), 8);
    assert_int_equal(be32_get(scratch), 2);
    assert_int_equal(read10(b, 2, 1, 2048, scratch, 2048), 2048);
    assert_int_equal(scratch[0], 0x42);
    assert_int_equal(read10(b, 3, 1, 2048, scratch, 2048), -1);
    assert_int_equal(bench_change(b, ID, false, &last->block), 0); /* at once */
    assert_true(closed);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(RUN(b, 0x03, 0, 0, 0, 18), 18);
    assert_int_equal(RUN(b, 0x03, 0, 0, 0, 18), 18); /* an attention can be asked for too */
    assert_int_equal(scratch[2], 6);
    assert_int_equal(RUN(b, 0x25), 8);
    assert_int_equal(be32_get(scratch), 9);
}

/* Who takes the event isn't shown an empty drive: the next command has the attention, the one after it the medium. */
static void change_told_by_event(void **state)
{
    struct bench *b = *state;
    struct rig_disk *next = bench_image(b, 3 * 2048, NULL), *last = bench_image(b, 10 * 2048, NULL);
    assert_int_equal(bench_change(b, ID, false, &next->block), 0);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 2);
    assert_int_equal(scratch[5], 2);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), CHANGED);
    assert_int_equal(RUN(b, 0x43, 0, 0, 0, 0, 0, 0, 0, 12), 12);
    assert_int_equal(RUN(b, 0x25), 8);
    assert_int_equal(be32_get(scratch), 2);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 0); /* it was one event, the removal is part of it */
    /* An event that doesn't fit hasn't been told. */
    assert_int_equal(bench_change(b, ID, false, &last->block), 0);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4), 4);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_EMPTY);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), CHANGED);
    assert_int_equal(RUN(b, 0x00), 0);
}

/* Looked at between eject and insertion: two events. The first one says nothing of the medium to come. */
static void removal_and_insertion(void **state)
{
    struct bench *b = *state;
    struct rig_disk *next = bench_image(b, 3 * 2048, NULL);
    assert_int_equal(bench_eject(b, ID, false), 0);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 3);
    assert_int_equal(scratch[5], 1);
    assert_int_equal(bench_change(b, ID, false, &next->block), 0);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), NOT_READY_EMPTY);
    assert_int_equal(RUN(b, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), 8);
    assert_int_equal(scratch[4], 2);
    assert_int_equal(scratch[5], 2);
    assert_int_equal(RUN(b, 0x00), -1);
    assert_int_equal(why(b), CHANGED);
    assert_int_equal(RUN(b, 0x00), 0);
}

/* What the guest reads when the medium goes away ends as on hardware, with any number of requests on their way. */
static void eject_during_a_read(void **state)
{
    struct bench *b = *state;
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 0, 0, 1, 0 };
    static uint8_t data[1024];
    for (unsigned stage = 0; stage < 4; stage++) {
        struct rig_disk *disk = bench_image(b, CD_BYTES, &b->closed[2]);
        assert_int_equal(bench_change(b, ID, true, &disk->block), 0);
        assert_int_equal(RUN(b, 0x00), -1);
        assert_int_equal(RUN(b, 0x00), -1);
        assert_int_equal(RUN(b, 0x00), 0);
        disk->hold = stage & 1;
        packet(b, SECONDARY, 0, cdb, 2048, stage >= 2);
        if (stage >= 2) {
            put_prd(b, 0, DATA, 0, true);
            bm_setup(b, BM + 8);
            bm_start(b, BM + 8, true);
        }
        rig_settle(b->r);
        if (stage == 0)
            insw(b, SECONDARY, data, sizeof(data));
        assert_int_equal(bench_eject(b, ID, true), 0);
        assert_true(b->closed[2]);
        assert_int_equal(in8(b, SECONDARY + STATUS), READY | ERR);
        assert_int_equal(why(b), NOT_READY_OPEN);
        out8(b, BM + 8, 0);
    }
}

/* The same when the drive has read all and the guest hasn't taken it: a snapshot of that must be restorable. */
static void eject_with_data_buffered(void **state)
{
    struct bench *b = *state;
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 1 };
    packet(b, SECONDARY, 0, cdb, 2048, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
    assert_int_equal(bench_eject(b, ID, true), 0);
    assert_int_equal(in8(b, SECONDARY + STATUS), READY | ERR);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    assert_int_equal(why(b), NOT_READY_OPEN);
}

static void unreadable_sector(void **state)
{
    struct bench *b = *state;
    uint8_t cdb[12] = { 0x03, 0, 0, 0, 18 };
    b->disk[2]->fail = -EIO;
    b->disk[2]->fail_op = BLOCK_READ;
    assert_int_equal(read10(b, 0x123, 30, 2048, scratch, sizeof(scratch)), -1);
    assert_int_equal(run(b, cdb, scratch, 18), 18);
    assert_int_equal(scratch[0], 0xf0);
    assert_int_equal(scratch[2] << 16 | be16_get(scratch + 12), READ_ERROR);
    assert_int_equal(be32_get(scratch + 3), 0x123);
    b->disk[2]->fail = 0;
    assert_int_equal(read10(b, 0x123, 30, 2048, scratch, sizeof(scratch)), 30 * 2048);
}

/* SeaBIOS and isolinux read on in small commands: few requests, never busy after the first. */
static void reading_ahead(void **state)
{
    struct bench *b = *state;
    struct block_stats *stats = &b->disk[2]->block.stats;
    for (uint32_t lba = 0; lba < 500; lba += 4) {
        assert_int_equal(read10(b, lba, 4, 2048, scratch, 8192), 8192);
        assert_memory_equal(scratch, b->disk[2]->data + 2048 * lba, 8192);
        rig_settle(b->r);
    }
    assert_true(stats->ops[BLOCK_READ] < 13);
}

/* Both drives of a channel, in turn, each with its own sequence. */
static void two_drives_in_turn(void **state)
{
    struct bench *b = *state;
    for (uint32_t lba = 0; lba < 200; lba += 2) {
        for (unsigned unit = 0; unit < 2; unit++) {
            uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, (uint8_t)(lba + unit), 0, 0, 2 };
            assert_int_equal(packet_in(b, SECONDARY, unit, cdb, scratch, 4096, 1000), 4096);
            assert_memory_equal(scratch, b->disk[2 + unit]->data + 2048 * (lba + unit), 4096);
        }
    }
}

static void replies_by_dma(void **state)
{
    struct bench *b = *state;
    static const uint8_t inquiry_cdb[12] = { 0x12, 0, 0, 0, 255 }, read_cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 20 };
    static const uint8_t raw_cdb[12] = { 0xbe, 0, 0, 0, 0, 9, 0, 0, 7, 0xf8 };
    put_prd(b, 0, DATA, 10, false);
    put_prd(b, 1, DATA + 4096, 2000, true);
    bm_setup(b, BM + 8);
    packet(b, SECONDARY, 0, inquiry_cdb, 0, true);
    bm_start(b, BM + 8, true);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    assert_int_equal(in8(b, SECONDARY + COUNT), 3);
    assert_int_equal(in8(b, BM + 8 + 2), 0x65); /* interrupt; the regions hold more, so still active */
    assert_memory_equal(b->r->ram + DATA + 8, "QE", 2);
    assert_memory_equal(b->r->ram + DATA + 4096, "MU", 2);
    put_prd(b, 1, DATA + 4096, 40960 - 10, true);
    bm_setup(b, BM + 8);
    packet(b, SECONDARY, 0, read_cdb, 0, true);
    bm_start(b, BM + 8, true);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    assert_int_equal(in8(b, BM + 8 + 2), 0x64);
    assert_memory_equal(b->r->ram + DATA, b->disk[2]->data + 9 * 2048, 10);
    assert_memory_equal(b->r->ram + DATA + 4096, b->disk[2]->data + 9 * 2048 + 10, 40950);
    put_prd(b, 0, DATA, 7 * 2352, true);
    bm_setup(b, BM + 8);
    packet(b, SECONDARY, 0, raw_cdb, 0, true);
    bm_start(b, BM + 8, true);
    assert_int_equal(wait_ready(b, SECONDARY), READY);
    for (unsigned i = 0; i < 7; i++)
        assert_memory_equal(b->r->ram + DATA + i * 2352 + 16, b->disk[2]->data + (9 + i) * 2048, 2048);
}

static void snapshot_in_the_middle(void **state)
{
    struct bench *b = *state;
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 100 };
    static uint8_t data[100 * 2048];
    assert_int_equal(RUN(b, 0x1e, 0, 0, 0, 1), 0);
    packet(b, SECONDARY, 0, cdb, 4096, false);
    assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
    insw(b, SECONDARY, data, 30 * 4096 + 222);
    bench_drain(b);
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    insw(b, SECONDARY, data + 30 * 4096 + 222, 4096 - 222);
    assert_int_equal(pio_in(b, SECONDARY, data + 31 * 4096, sizeof(data) - 31 * 4096, 4096), sizeof(data) - 31 * 4096);
    assert_memory_equal(data, b->disk[2]->data + 9 * 2048, sizeof(data));
    assert_int_equal(bench_eject(b, ID, false), -EBUSY); /* the lock is still there */
    select_unit(b, SECONDARY, 0);
    out8(b, SECONDARY + STATUS, 0xa0); /* and before the packet is complete */
    outsw(b, SECONDARY, cdb, 6);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    outsw(b, SECONDARY, cdb + 6, 6);
    assert_int_equal(wait_ready(b, SECONDARY), READY | DRQ);
    insw(b, SECONDARY, data, 4096);
    assert_memory_equal(data, b->disk[2]->data + 9 * 2048, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(disk_commands_abort, empty_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(inquiry, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(ready_and_capacity, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(read_commands, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(read_raw, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(range_is_checked, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(packet_while_data_wait, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(limit_of_zero, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(read_toc, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(disc_and_track_information, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(configuration, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(mode_pages, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(mode_select_lists, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(dvd_structures, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(allocation_lengths, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(empty_drive, empty_cd, bench_teardown),
        cmocka_unit_test_setup_teardown(events, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(tray_lock, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(medium_change, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(change_told_by_event, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(removal_and_insertion, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(eject_during_a_read, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(eject_with_data_buffered, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(unreadable_sector, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(reading_ahead, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(two_drives_in_turn, two_cds, bench_teardown),
        cmocka_unit_test_setup_teardown(replies_by_dma, cd, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot_in_the_middle, cd, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
