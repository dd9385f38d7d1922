/* AHCI: command list, frames, regions, commands that aren't queued. [AHCI n] is section n of AHCI 1.3.1. */
#include "ahci-bench.h"

#define SECTORS (DISK_BYTES / 512)

static int mixed(void **state)
{
    *state = bench_new("drtc-e");
    return 0;
}

enum { DISK = 0, READ_ONLY = 1, TRIMMED = 2, CD = 3, ABSENT = 4, EMPTY = 5 };

/* The same disk as stock gives; serial numbers count on from the IDE controller's four drives. */
static void identify(void **state)
{
    struct bench *b = *state;
    const uint8_t *id = b->r->ram + DATA;
    assert_int_equal(command(b, DISK, 0xec, 0, 0, 512), PSS);
    assert_memory_equal(id + 20, "MQ00005 ", 6);
    assert_memory_equal(id + 54, "EQUMH RADDSI K", 14);
    assert_int_equal(le16_get(id + 2 * 75), 31);
    assert_int_equal(le16_get(id + 2 * 76), 0x0100);
    assert_int_equal(le32_get(id + 2 * 60), SECTORS);
    assert_int_equal(px(b, DISK, CI), 0);
    assert_int_equal(px(b, DISK, TFD), READY);
    assert_int_equal(le32_get(list_of(b, DISK) + 4), 512); /* PRDBC [AHCI 4.2.2] */
    /* PIO data-in: the PIO Setup frame tells the end, no register frame does [SATA 11.6]. */
    static const uint8_t frame[20] = { 0x5f, 0x60, 0x58, 0, 0, 0, 0, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 2 };
    assert_memory_equal(frames_of(b, DISK) + 0x20, frame, sizeof(frame));
    assert_int_equal(command(b, CD, 0xa1, 0, 0, 512), PSS);
    assert_int_equal(le16_get(id), 0x85c0);
    assert_int_equal(command(b, CD, 0xec, 0, 0, 512), DHRS | TFES);
    assert_int_equal(px(b, CD, TFD), ABRT << 8 | READY | ERR);
    assert_int_equal(frames_of(b, CD)[0x40 + 5], 0x14); /* its signature */
    assert_int_equal(frames_of(b, CD)[0x40 + 6], 0xeb);
}

/* Read and write by DMA and PIO, 28 and 48 bits, over odd regions. */
static void sectors_both_ways(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint8_t code;
        bool write, pio;
    } rows[] = { { 0x25, false, false }, { 0x35, true, false }, { 0xc8, false, false }, { 0xca, true, false },
                 { 0x3d, true, false },  { 0x20, false, true }, { 0x30, true, true },   { 0x24, false, true },
                 { 0x34, true, true },   { 0x29, false, true }, { 0x39, true, true },   { 0xc4, false, true },
                 { 0xc5, true, true },   { 0xce, true, true } };
    uint8_t *ram = b->r->ram, *image = b->disk[DISK]->data, line[20 * 512];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const uint32_t lba = 1000 + 100 * (uint32_t)i;
        put_fis(b, 2, rows[i].code, lba, 20, 0);
        put_prd(b, 2, 0, DATA + 0xffffe, 4096); /* over a MiB boundary */
        put_prd(b, 2, 1, DATA + 1, 1);          /* odd ones work byte by byte */
        put_prd(b, 2, 2, DATA + 3, 2047);
        put_prd(b, 2, 3, DATA + 0x10000, 4 << 20);
        put_header(b, DISK, 2, 4, rows[i].write ? HEADER_WRITE : 0);
        for (unsigned j = 0; j < 20 * 512; j++)
            ram[DATA + 0x10000 + j] = ram[DATA + 0xffffe + j % 4096] = ram[DATA + 1 + j % 2049] = (uint8_t)(j * i);
        issue(b, DISK, 2);
        uint32_t want = rows[i].pio && !rows[i].write ? PSS : rows[i].pio ? DHRS | PSS : DHRS;
        if (rows[i].pio && rows[i].code != 0x30 && rows[i].code != 0x34 && rows[i].write)
            want = DHRS | PSS; /* 16 sectors, then 4 */
        assert_int_equal(finish(b, DISK), want);
        assert_int_equal(px(b, DISK, CI), 0);
        assert_int_equal(px(b, DISK, TFD), READY);
        assert_int_equal(le32_get(list_of(b, DISK) + 64 + 4), 20 * 512);
        memcpy(line, ram + DATA + 0xffffe, 4096);
        line[4096] = ram[DATA + 1];
        memcpy(line + 4097, ram + DATA + 3, 2047);
        memcpy(line + 6144, ram + DATA + 0x10000, 4096);
        assert_memory_equal(image + lba * 512, line, 20 * 512);
    }
    assert_int_equal(b->disk[DISK]->flushes, 2);
    put_fis(b, 0, 0x30, 10, 1, 0); /* one block from the host: the first frame has no interrupt bit [SATA 11.7] */
    put_header(b, DISK, 0, 1, HEADER_WRITE);
    put_prd(b, 0, 0, DATA, 512);
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), DHRS);
    assert_int_equal(frames_of(b, DISK)[0x20 + 1], 0);
}

/* One request straight on guest memory, whatever the regions. */
static void scatter_is_one_request(void **state)
{
    struct bench *b = *state;
    put_fis(b, 0, 0x25, 77, 256, 0);
    for (unsigned i = 0; i < 32; i++)
        put_prd(b, 0, i, DATA + 0x3000 * i, 4096);
    put_header(b, DISK, 0, 32, 0);
    b->disk[DISK]->hold = true;
    issue(b, DISK, 0);
    rig_settle(b->r);
    assert_int_equal(b->disk[DISK]->first->nvec, 32);
    assert_ptr_equal(b->disk[DISK]->first->vec[3].ptr, b->r->ram + DATA + 0x9000);
    assert_int_equal(px(b, DISK, TFD), 0xd0);
    rig_disk_release(b->disk[DISK]);
    assert_int_equal(finish(b, DISK), DHRS);
}

/* More regions than pins; regions too small for a sector; the longest table. */
static void many_regions(void **state)
{
    struct bench *b = *state;
    static const unsigned sizes[] = { 4096, 512, 514, 126, 10, 2, 1 };
    uint8_t *ram = b->r->ram, *image = b->disk[DISK]->data, *table = ram + 0x200000;
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        unsigned n = 0, bytes = 0;
        memset(table, 0, 0x80);
        for (; n < 65535 && bytes < 300 * 512; n++, bytes += sizes[s]) {
            le64_put(table + 0x80 + 16 * n, DATA + bytes);
            le32_put(table + 0x80 + 16 * n + 12, sizes[s] - 1);
        }
        uint16_t sectors = (uint16_t)(bytes / 512);
        for (unsigned write = 0; write < 2; write++) {
            put_fis(b, 0, write ? 0x35 : 0x25, write ? 4000 : 3 + s, sectors, 0);
            memcpy(table, table_of(b, 0), 0x80);
            put_header(b, DISK, 0, n, 0);
            le64_put(list_of(b, DISK) + 8, 0x200000);
            if (!write)
                memset(ram + DATA, 0, bytes);
            issue(b, DISK, 0);
            assert_int_equal(finish(b, DISK), DHRS);
            assert_memory_equal(image + (write ? 4000 : 3 + s) * 512, ram + DATA, sectors * 512u);
        }
    }
}

/* CVE-2014-9718: a table too short for the command ends it with an error, what fits is there [AHCI 3.3.5, OFS]. */
static void short_tables(void **state)
{
    struct bench *b = *state;
    static const unsigned sizes[] = { 1024, 1, 511, 513, 73 };
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        memset(b->r->ram + DATA, 0, 2048);
        assert_int_equal(command(b, DISK, 0x25, 5, 4, sizes[i]), DHRS | OFS | TFES);
        assert_int_equal(px(b, DISK, TFD), ABRT << 8 | READY | ERR);
        assert_int_equal(px(b, DISK, CI), 1);
        assert_memory_equal(b->r->ram + DATA, b->disk[DISK]->data + 5 * 512, sizes[i] / 512 * 512);
        restart(b, DISK);
        assert_int_equal(command(b, DISK, 0x30, 5, 4, sizes[i]), DHRS | OFS | TFES | (sizes[i] == 1024 ? PSS : 0));
        restart(b, DISK);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(command(b, DISK, i ? 0xec : 0x25, 5, 1, 0), DHRS | OFS | TFES); /* none at all */
        restart(b, DISK);
    }
    uint8_t *table = b->r->ram + 0x200000; /* 65535 regions of a byte, and a command for 65536 sectors less one */
    for (unsigned n = 0; n < 65535; n++) {
        le64_put(table + 0x80 + 16 * n, DATA);
        le32_put(table + 0x80 + 16 * n + 12, 0);
    }
    for (unsigned write = 0; write < 2; write++) {
        put_fis(b, 0, write ? 0x35 : 0x25, 0, SECTORS - 1, 0);
        memcpy(table, table_of(b, 0), 0x80);
        put_header(b, DISK, 0, 65535, 0);
        le64_put(list_of(b, DISK) + 8, 0x200000);
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), DHRS | OFS | TFES);
        restart(b, DISK);
    }
}

/* Nothing is read or written where there is no memory, and while the function is no bus master. */
static void holes(void **state)
{
    struct bench *b = *state;
    static const uint64_t bad[] = { RIG_HOLE, RIG_RAM, ABAR, UINT64_C(0xfffffffffffffe00) };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        for (unsigned write = 0; write < 2; write++) {
            put_fis(b, 0, write ? 0x35 : 0x25, 9, 8, 0);
            put_prd(b, 0, 0, bad[i], 4096);
            put_header(b, DISK, 0, 1, 0);
            issue(b, DISK, 0);
            assert_int_equal(finish(b, DISK), DHRS | HBFS | TFES);
            restart(b, DISK);
        }
        put_fis(b, 0, 0xec, 0, 0, 0);
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), DHRS | HBFS | TFES);
        restart(b, DISK);
        le64_put(list_of(b, DISK) + 8, bad[i]); /* the table */
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), HBFS);
        restart(b, DISK);
        put_header(b, DISK, 0, 1, 0);
        px_write(b, DISK, CLB, (uint32_t)bad[i]); /* CVE-2016-2197, LP 1911075: the list, in our registers too */
        px_write(b, DISK, CLBU, (uint32_t)(bad[i] >> 32));
        restart(b, DISK);
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), HBFS);
        px_write(b, DISK, CLB, LISTS);
        px_write(b, DISK, CLBU, 0);
        restart(b, DISK);
        px_write(b, DISK, FB, (uint32_t)bad[i]); /* the frames */
        px_write(b, DISK, FBU, (uint32_t)(bad[i] >> 32));
        put_prd(b, 0, 0, DATA, 4096);
        put_fis(b, 0, 0x25, 9, 8, 0);
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), DHRS | HBFS);
        px_write(b, DISK, CMD, 0);
        bench_start(b, DISK);
    }
    assert_true(b->disk[DISK]->block.stats.ops[BLOCK_WRITE] == 0);
    assert_int_equal(px(b, DISK, CLB), LISTS);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), HBFS);
    restart(b, DISK);
    bench_place(b);
    put_prd(b, 0, 0, RIG_HOLE - 1024, 4096); /* the part before the hole goes */
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), DHRS | HBFS | TFES);
    assert_memory_equal(b->r->ram + RIG_HOLE - 1024, b->disk[DISK]->data + 9 * 512, 1024);
    restart(b, DISK);
    b->disk[DISK]->hold = true; /* bus master goes off in between: the bounced part isn't delivered */
    put_fis(b, 0, 0x25, 9, 8, 0);
    for (unsigned i = 0; i < 8; i++)
        put_prd(b, 0, i, DATA + 4 * i, 4);
    put_header(b, DISK, 0, 8, 0);
    memset(b->r->ram + DATA, 0x77, 64);
    issue(b, DISK, 0);
    rig_settle(b->r);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    rig_disk_release(b->disk[DISK]);
    rig_settle(b->r);
    assert_int_equal(b->r->ram[DATA], 0x77);
    assert_int_equal(px(b, DISK, PIS) & HBFS, HBFS);
    bench_place(b);
    restart(b, DISK);
}

/* Frames that no drive takes stop the port; it goes on after ST was cleared. */
static void bad_frames(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint8_t cfl, header1, type, flags;
    } rows[] = { { 0, 0, 0x27, 0x80 },    { 1, 0, 0x27, 0x80 },    { 4, 0, 0x27, 0x80 },   { 17, 0, 0x27, 0x80 },
                 { 31, 0, 0x27, 0x80 },   { 5, 0, 0x34, 0x80 },    { 5, 0, 0x00, 0x80 },   { 5, 0, 0xa1, 0x80 },
                 { 5, 0, 0x46, 0x80 },    { 5, 0, 0x27, 0x81 },    { 5, 0, 0x27, 0xf0 },   { 5, 0, 0x27, 0x10 },
                 { 5, 0x10, 0x27, 0x80 }, { 5, 0xf0, 0x27, 0x80 }, { 5, 0x02, 0x27, 0x80 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put_fis(b, 0, 0x35, 9, 8, 0);
        put_prd(b, 0, 0, DATA, 4096);
        put_header(b, DISK, 0, 1, 0);
        list_of(b, DISK)[0] = rows[i].cfl;
        list_of(b, DISK)[1] = rows[i].header1;
        table_of(b, 0)[0] = rows[i].type;
        table_of(b, 0)[1] = rows[i].flags;
        issue(b, DISK, 0);
        assert_int_equal(finish(b, DISK), IFS);
        assert_int_equal(px(b, DISK, SERR), 0x01000400);
        assert_int_equal(px(b, DISK, CI), 1);
        issue(b, DISK, 1); /* stopped */
        assert_int_equal(finish(b, DISK), 0);
        restart(b, DISK);
        assert_int_equal(px(b, DISK, SERR), 0);
        assert_int_equal(px(b, DISK, CI), 0);
    }
    assert_int_equal(command(b, DISK, 0x25, 9, 8, 4096), DHRS);
    assert_true(b->disk[DISK]->block.stats.ops[BLOCK_WRITE] == 0);
}

/* Commands in turn after the last slot [AHCI 5.3.2.3], one at a time; none while the port is stopped. */
static void slots_in_turn(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 32; i++) {
        put_fis(b, i, 0x25, i, 1, 0);
        put_prd(b, i, 0, DATA + 512 * i, 512);
        put_header(b, DISK, i, 1, 0);
    }
    b->disk[DISK]->hold = true;
    px_write(b, DISK, CI, 0xffffffff);
    rig_settle(b->r);
    for (unsigned n = 0; n < 32; n++) {
        unsigned slot = (n + 1) % 32;
        assert_int_equal(b->disk[DISK]->block.in_flight, 1);
        assert_int_equal(b->disk[DISK]->first->offset, 512 * slot);
        assert_int_equal(px(b, DISK, CMD) >> 8 & 31, slot); /* CCS */
        assert_true(px(b, DISK, CI) & UINT32_C(1) << slot);
        struct block_req *req = b->disk[DISK]->first;
        b->disk[DISK]->first = NULL;
        b->disk[DISK]->last = &b->disk[DISK]->first;
        memcpy(req->vec[0].ptr, b->disk[DISK]->data + req->offset, 512);
        block_done(req, 0);
        rig_settle(b->r);
        assert_false(px(b, DISK, CI) & UINT32_C(1) << slot);
    }
    assert_memory_equal(b->r->ram + DATA, b->disk[DISK]->data, 32 * 512);
    b->disk[DISK]->hold = false;
    px_write(b, DISK, CMD, FRE);
    px_write(b, DISK, CI, 1);
    px_write(b, DISK, SACT, 1);
    assert_int_equal(px(b, DISK, CI), 0);
    assert_int_equal(px(b, DISK, SACT), 0);
    px_write(b, DISK, CMD, ST); /* not without receiving frames [AHCI 10.3.1] */
    assert_int_equal(px(b, DISK, CMD) & (CR | FR), 0);
    px_write(b, DISK, CI, 1);
    rig_settle(b->r);
    assert_int_equal(px(b, DISK, CI), 1);
    px_write(b, DISK, CMD, ST | FRE);
    rig_settle(b->r);
    assert_int_equal(px(b, DISK, CI), 0);
}

/* What a disk refuses: the error is in the register frame, CI tells which command [AHCI 6.2.2.1]. */
static void refused_commands(void **state)
{
    struct bench *b = *state;
    static const struct {
        unsigned port;
        uint8_t code;
        uint64_t lba;
        uint16_t count;
        uint8_t error;
    } rows[] = { { DISK, 0xff, 0, 0, ABRT },       { DISK, 0x2f, 0x30, 1, ABRT },
                 { DISK, 0x2f, 0x10, 2, ABRT },    { DISK, 0x2f, 0x110, 1, ABRT },
                 { DISK, 0x63, 0, 0, ABRT },       { DISK, 0x64, 0, 0, ABRT },
                 { DISK, 0x08, 0, 0, ABRT },       { DISK, 0xa0, 0, 0, ABRT },
                 { DISK, 0xa1, 0, 0, ABRT },       { DISK, 0x06, 0, 1, ABRT },
                 { DISK, 0x25, SECTORS, 1, IDNF }, { DISK, 0x25, SECTORS - 1, 2, IDNF },
                 { DISK, 0x25, 0, 0, IDNF },       { DISK, 0x25, (UINT64_C(1) << 48) - 1, 1, IDNF },
                 { DISK, 0x35, SECTORS, 1, IDNF }, { DISK, 0x42, SECTORS, 1, IDNF },
                 { READ_ONLY, 0x35, 0, 1, ABRT },  { READ_ONLY, 0xca, 0, 1, ABRT },
                 { READ_ONLY, 0x30, 0, 1, ABRT },  { CD, 0x25, 0, 1, ABRT },
                 { CD, 0x35, 0, 1, ABRT },         { CD, 0x2f, 0x10, 1, ABRT },
                 { CD, 0xa0, 0, 0, ABRT }, /* without a packet */
                 { EMPTY, 0x20, 0, 1, ABRT },      { EMPTY, 0xf8, 0, 0, ABRT } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned port = rows[i].port;
        assert_int_equal(command(b, port, rows[i].code, rows[i].lba, rows[i].count, 4096), DHRS | TFES);
        assert_int_equal(px(b, port, TFD), rows[i].error << 8 | READY | ERR);
        assert_int_equal(px(b, port, CI), 1);
        assert_int_equal(frames_of(b, port)[0x40], 0x34);
        assert_int_equal(frames_of(b, port)[0x41], 0x40);
        assert_int_equal(frames_of(b, port)[0x42], READY | ERR);
        assert_int_equal(frames_of(b, port)[0x43], rows[i].error);
        restart(b, port);
    }
    assert_true(b->disk[READ_ONLY]->block.stats.ops[BLOCK_WRITE] == 0);
    px_write(b, ABSENT, CMD, ST | FRE);
    px_write(b, ABSENT, CI, 1);
    rig_settle(b->r);
    assert_int_equal(px(b, ABSENT, CI), 1);
    assert_int_equal(px(b, ABSENT, PIS), 0);
}

/* Commands that move no data, or in which the drive does something of its own. */
static void other_commands(void **state)
{
    struct bench *b = *state;
    assert_int_equal(command(b, DISK, 0xe7, 0, 0, 0), DHRS);
    assert_int_equal(command(b, DISK, 0xea, 0, 0, 0), DHRS);
    assert_int_equal(b->disk[DISK]->flushes, 2);
    assert_int_equal(command(b, DISK, 0x42, 100, 1000, 0), DHRS); /* VERIFY */
    assert_true(b->disk[DISK]->block.stats.bytes[BLOCK_READ] == 1000 * 512);
    assert_int_equal(command(b, DISK, 0x27, 0, 0, 0), DHRS);
    assert_int_equal(frames_of(b, DISK)[0x44] | frames_of(b, DISK)[0x45] << 8, SECTORS - 1);
    assert_int_equal(command(b, DISK, 0xe5, 0, 0, 0), DHRS);
    assert_int_equal(frames_of(b, DISK)[0x4c], 0xff);
    put_fis(b, 0, 0xef, 0, 0, 0x82); /* write cache off: what it holds is flushed, and each write from now on */
    put_header(b, DISK, 0, 0, 0);
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), DHRS);
    assert_int_equal(command(b, DISK, 0x35, 7, 1, 512), DHRS);
    assert_int_equal(b->disk[DISK]->flushes, 4);
    assert_int_equal(command(b, DISK, 0x90, 0, 0, 0), DHRS); /* DIAGNOSTIC: signature */
    assert_int_equal(px(b, DISK, TFD), 0x150);
    assert_int_equal(command(b, CD, 0x90, 0, 0, 0), DHRS);
    assert_int_equal(frames_of(b, CD)[0x45], 0x14);
    assert_int_equal(command(b, CD, 0x08, 0, 0, 0), DHRS); /* DEVICE RESET */
    assert_int_equal(frames_of(b, CD)[0x46], 0xeb);
    assert_int_equal(px(b, CD, TFD), 0x100);
    assert_int_equal(px(b, CD, CI), 0);
    put_fis(b, 0, 0xb0, 0xc24f00, 0, 0xd0); /* SMART READ DATA */
    put_header(b, DISK, 0, 1, 0);
    put_prd(b, 0, 0, DATA, 512);
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), PSS);
    le64_put(b->r->ram + DATA, UINT64_C(0x0008000000000064)); /* TRIM: 8 sectors at 100 */
    memset(b->r->ram + DATA + 8, 0, 504);
    put_fis(b, 0, 0x06, 0, 1, 1);
    put_header(b, TRIMMED, 0, 1, HEADER_WRITE);
    issue(b, TRIMMED, 0);
    assert_int_equal(finish(b, TRIMMED), DHRS);
    assert_int_equal(b->disk[TRIMMED]->data[100 * 512 + 8], 0);
    assert_int_not_equal(b->disk[TRIMMED]->data[108 * 512 + 8], 0);
}

/* What fails in one request is found sector by sector; the guest gets all before it and the number of the bad one. */
static void disk_errors(void **state)
{
    struct bench *b = *state;
    struct rig_disk *disk = b->disk[DISK];
    disk->fail = -EIO;
    disk->fail_op = BLOCK_READ;
    assert_int_equal(command(b, DISK, 0x25, 0x1234, 16, 8192), DHRS | TFES);
    assert_int_equal(px(b, DISK, TFD), UNC << 8 | READY | ERR);
    assert_int_equal(frames_of(b, DISK)[0x44], 0x34);
    assert_int_equal(frames_of(b, DISK)[0x45], 0x12);
    restart(b, DISK);
    assert_int_equal(command(b, DISK, 0x42, 50, 300, 0), DHRS | TFES);
    assert_int_equal(px(b, DISK, TFD), UNC << 8 | READY | ERR);
    restart(b, DISK);
    disk->fail_op = BLOCK_WRITE;
    assert_int_equal(command(b, DISK, 0x35, 50, 16, 8192), DHRS | TFES);
    assert_int_equal(px(b, DISK, TFD), ABRT << 8 | READY | ERR);
    restart(b, DISK);
    disk->fail_op = BLOCK_FLUSH;
    assert_int_equal(command(b, DISK, 0xea, 0, 0, 0), DHRS | TFES);
    restart(b, DISK);
    assert_int_equal(command(b, DISK, 0x3d, 50, 1, 512), DHRS | TFES);
    restart(b, DISK);
    disk->fail_op = BLOCK_READ; /* fails as one, works one by one */
    disk->hold = true;
    put_fis(b, 0, 0x25, 500, 16, 0);
    put_prd(b, 0, 0, DATA, 8192);
    put_header(b, DISK, 0, 1, 0);
    issue(b, DISK, 0);
    rig_settle(b->r);
    rig_disk_release(disk);
    assert_int_equal(loop_step(&b->r->loop, 0), 0);
    disk->fail = 0;
    assert_int_equal(finish(b, DISK), DHRS);
    assert_memory_equal(b->r->ram + DATA, disk->data + 500 * 512, 8192);
    assert_true(disk->block.stats.ops[BLOCK_READ] == 16);
}

/* Packets by DMA and by PIO; sense data; raw sectors. */
static void packets(void **state)
{
    struct bench *b = *state;
    static const uint8_t inquiry[12] = { 0x12, 0, 0, 0, 36 }, sense[12] = { 0x03, 0, 0, 0, 18 },
                         read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 40 }, none[12] = { 0x28 },
                         raw[12] = { 0xbe, 0, 0, 0, 0, 9, 0, 0, 3, 0xf8 }, unknown[12] = { 0x99 },
                         select[12] = { 0x55, 0x10, 0, 0, 0, 0, 0, 0, 8 };
    const uint8_t *ram = b->r->ram + DATA, *image = b->disk[CD]->data;
    for (unsigned dma = 0; dma < 2; dma++) {
        assert_int_equal(packet(b, CD, inquiry, 36, dma), dma ? DHRS : DHRS | PSS);
        assert_memory_equal(ram + 8, "QEMU    QEMU DVD-ROM", 20);
        assert_int_equal(le32_get(list_of(b, CD) + 4), 36);
        assert_int_equal(frames_of(b, CD)[0x4c], 3); /* interrupt reason */
        assert_int_equal(packet(b, CD, read, 40 * 2048, dma), dma ? DHRS : DHRS | PSS);
        assert_memory_equal(ram, image + 9 * 2048, 40 * 2048);
        assert_int_equal(packet(b, CD, raw, 3 * 2352, dma), dma ? DHRS : DHRS | PSS);
        assert_memory_equal(ram + 2352 + 16, image + 10 * 2048, 2048);
        assert_int_equal(packet(b, CD, none, 2048, dma), DHRS); /* no sectors at all */
        assert_int_equal(packet(b, CD, unknown, 2048, dma), DHRS | TFES);
        assert_int_equal(px(b, CD, TFD), 0x5400 | READY | ERR);
        restart(b, CD);
        assert_int_equal(packet(b, CD, sense, 18, dma), dma ? DHRS : DHRS | PSS);
        assert_int_equal(ram[2] << 16 | ram[12] << 8 | ram[13], 0x052000);
        memset(b->r->ram + DATA, 0, 8);
        assert_int_equal(packet(b, CD, select, 8, dma), DHRS);
        assert_int_equal(packet(b, CD, read, 2048, dma), DHRS | OFS | TFES | (dma ? 0 : PSS));
        restart(b, CD);
    }
    /* The PIO frame for the packet, before any other. */
    assert_int_equal(packet(b, CD, read, 40 * 2048, true), DHRS);
    assert_int_equal(frames_of(b, CD)[0x20 + 1], 0);
    assert_int_equal(le16_get(frames_of(b, CD) + 0x20 + 16), 12);
    b->disk[CD]->fail = -EIO;
    assert_int_equal(packet(b, CD, read, 40 * 2048, true), DHRS | TFES);
    assert_int_equal(px(b, CD, TFD), 0x3000 | READY | ERR);
    restart(b, CD);
    b->disk[CD]->fail = 0;
    static const uint8_t ready[12] = { 0 };
    assert_int_equal(packet(b, EMPTY, ready, 0, false), DHRS | TFES);
    assert_int_equal(px(b, EMPTY, TFD), 0x2000 | READY | ERR);
    restart(b, EMPTY);
}

/* A new medium: an empty drive, then unit attention; the old one goes while it is read. */
static void medium_change(void **state)
{
    struct bench *b = *state;
    static const uint8_t ready[12] = { 0 }, lock[12] = { 0x1e, 0, 0, 0, 1 },
                         read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 4 }, eject[12] = { 0x1b, 0, 0, 0, 2 };
    struct ide_drive_info info;
    struct rig_disk *disk = bench_image(b, CD_BYTES / 2, NULL);
    b->disk[CD]->hold = true;
    put_fis(b, 0, 0xa0, 0, 0, 1);
    memcpy(table_of(b, 0) + 0x40, read, 12);
    put_prd(b, 0, 0, DATA, 4 * 2048);
    put_header(b, CD, 0, 1, HEADER_ATAPI);
    issue(b, CD, 0);
    rig_settle(b->r);
    assert_int_equal(ahci_change_medium(b->r->dev, "none", false, &disk->block), -ENOENT);
    assert_int_equal(ahci_eject(b->r->dev, "ahcidisk-0", false), -EINVAL);
    assert_int_equal(ahci_change_medium(b->r->dev, "ahcidisk-3", false, &disk->block), 0);
    assert_true(b->closed[CD]);
    assert_int_equal(b->tray_moves, 2);
    assert_int_equal(finish(b, CD), DHRS | TFES); /* the read's end */
    restart(b, CD);
    assert_int_equal(packet(b, CD, ready, 0, false), DHRS | TFES);
    assert_int_equal(px(b, CD, TFD), 0x2000 | READY | ERR);
    restart(b, CD);
    assert_int_equal(packet(b, CD, ready, 0, false), DHRS | TFES);
    assert_int_equal(px(b, CD, TFD), 0x6000 | READY | ERR);
    restart(b, CD);
    assert_int_equal(packet(b, CD, ready, 0, false), DHRS);
    assert_int_equal(packet(b, CD, lock, 0, false), DHRS);
    assert_int_equal(ahci_eject(b->r->dev, "ahcidisk-3", false), -EBUSY);
    assert_int_equal(packet(b, CD, eject, 0, false), DHRS | TFES);
    px_write(b, CD, SCTL, 1); /* COMRESET opens the lock */
    px_write(b, CD, SCTL, 0);
    restart(b, CD);
    assert_int_equal(ahci_eject(b->r->dev, "ahcidisk-3", false), 0);
    assert_true(ahci_drive_info(b->r->dev, CD, &info));
    assert_true(info.tray_open && !info.block);
    assert_int_equal(packet(b, CD, ready, 0, false), DHRS | TFES);
}

/* What GET EVENT STATUS NOTIFICATION says of the medium: 0 nothing, 1 eject request, 2 new medium, 3 removed. */
static unsigned media_event(struct bench *b)
{
    static const uint8_t cdb[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
    (void)packet(b, CD, cdb, 8, true);
    assert_int_equal(px(b, CD, TFD) & ERR, 0);
    return b->r->ram[DATA + 4] & 0x0f;
}

/* Operating systems poll for events; nothing else tells of them, as on the machine that Xen guests know. */
static void media_events(void **state)
{
    struct bench *b = *state;
    static const uint8_t lock[12] = { 0x1e, 0, 0, 0, 1 }, unlock[12] = { 0x1e }, eject[12] = { 0x1b, 0, 0, 0, 2 };
    assert_int_equal(media_event(b), 0);
    assert_int_equal(packet(b, CD, lock, 0, false), DHRS);
    assert_int_equal(ahci_eject(b->r->dev, "ahcidisk-3", false), -EBUSY);
    assert_int_equal(b->tray_moves, 0);
    assert_int_equal(media_event(b), 1);
    assert_int_equal(packet(b, CD, unlock, 0, false), DHRS);
    assert_int_equal(packet(b, CD, eject, 0, false), DHRS);
    assert_int_equal(b->tray_moves, 1);
    assert_int_equal(media_event(b), 3);
    assert_int_equal(ahci_change_medium(b->r->dev, "ahcidisk-3", false, &bench_image(b, CD_BYTES, NULL)->block), 0);
    assert_int_equal(media_event(b), 2);
    assert_int_equal(media_event(b), 0);
    assert_int_equal(px(b, CD, PIS), 0); /* no interrupt, no hot-plug: the port and the link are as they were */
    assert_int_equal(px(b, CD, SERR), 0);
}

/* While a command runs its list goes where no memory is, or frames are no longer received: it ends all the same. */
static void structures_go_away(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 2; i++) {
        put_fis(b, 0, 0x25, 9, 8, 0);
        put_prd(b, 0, 0, DATA, 4096);
        put_header(b, DISK, 0, 1, 0);
        memset(frames_of(b, DISK), 0, 256);
        b->disk[DISK]->hold = true;
        issue(b, DISK, 0);
        rig_settle(b->r);
        if (i == 0)
            px_write(b, DISK, CLB, RIG_HOLE);
        else
            px_write(b, DISK, CMD, ST);
        rig_disk_release(b->disk[DISK]);
        assert_int_equal(finish(b, DISK), i == 0 ? DHRS | HBFS : DHRS);
        assert_int_equal(px(b, DISK, CI), 0);
        assert_int_equal(px(b, DISK, TFD), READY);
        assert_int_equal(frames_of(b, DISK)[0x40], i == 0 ? 0x34 : 0);
        bench_start(b, DISK);
        restart(b, DISK);
    }
    memcpy(b->r->ram + RIG_HOLE - 0x80, table_of(b, 0), 0x80); /* a table whose regions lie in the hole */
    le64_put(list_of(b, DISK) + 8, RIG_HOLE - 0x80);
    issue(b, DISK, 0);
    assert_int_equal(finish(b, DISK), DHRS | HBFS | TFES);
}

/* LP 1915539: the port is stopped and started within a command, and the command comes again. */
static void stop_within_a_command(void **state)
{
    struct bench *b = *state;
    for (unsigned step = 0; step < 4; step++) {
        put_fis(b, 0, 0x20, 5, 200, 0);
        for (unsigned i = 0; i < 200; i++)
            put_prd(b, 0, i, DATA + 512 * i, 512);
        put_header(b, DISK, 0, 200, 0);
        b->disk[DISK]->hold = true;
        issue(b, DISK, 0);
        for (unsigned i = 0; i < step; i++)
            assert_int_equal(loop_step(&b->r->loop, 0), 0);
        px_write(b, DISK, CMD, FRE);
        px_write(b, DISK, CMD, FRE | ST);
        issue(b, DISK, 0);
        rig_disk_release(b->disk[DISK]);
        assert_int_equal(finish(b, DISK), PSS);
        assert_memory_equal(b->r->ram + DATA, b->disk[DISK]->data + 5 * 512, 200 * 512);
    }
}

/* CVE-2023-5088: a reset in the middle of a write lets it end where it belongs, and nothing follows. */
static void reset_during_a_write(void **state)
{
    struct bench *b = *state;
    uint8_t *image = b->disk[DISK]->data;
    uint8_t *before = malloc(4096 * 512);
    assert_non_null(before);
    memcpy(before, image, 4096 * 512);
    memset(b->r->ram + DATA, 0xd7, 0x40000);
    put_fis(b, 0, 0x35, 4096, 512, 0);
    for (unsigned i = 0; i < 128; i++)
        put_prd(b, 0, i, DATA + 0x800 * i, 0x800);
    put_header(b, DISK, 0, 128, HEADER_WRITE);
    b->disk[DISK]->hold = true;
    issue(b, DISK, 0);
    rig_settle(b->r);
    hba_write(b, GHC, 1);
    rig_disk_release(b->disk[DISK]);
    rig_settle(b->r);
    assert_int_equal(hba(b, GHC), 0x80000000);
    assert_memory_equal(image, before, 4096 * 512);
    assert_int_equal(image[4096 * 512], 0xd7);
    assert_int_not_equal(image[4096 * 512 + 0x3f000], 0xd7); /* the second piece never started */
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identify, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(sectors_both_ways, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(scatter_is_one_request, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(many_regions, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(short_tables, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(holes, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(bad_frames, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(slots_in_turn, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(refused_commands, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(other_commands, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(disk_errors, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(packets, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(medium_change, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(media_events, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(structures_go_away, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(stop_within_a_command, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_during_a_write, mixed, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
