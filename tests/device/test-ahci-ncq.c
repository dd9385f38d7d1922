/* AHCI: queued commands, their errors and the log of them. [SATA n] is section n of Serial ATA 3.0. */
#include "ahci-bench.h"
#include "ahci-private.h"

#define SECTORS (DISK_BYTES / 512)

static int disks(void **state)
{
    *state = bench_new("drc---");
    return 0;
}

static int six_disks(void **state)
{
    *state = bench_new("dddddd");
    return 0;
}

static void queued_both_ways(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    for (unsigned slot = 0; slot < 16; slot++)
        put_queued(b, 0, slot, false, 100 + 16 * slot, 16);
    for (unsigned slot = 16; slot < 32; slot++) {
        put_queued(b, 0, slot, true, 4000 + 16 * slot, 16);
        memset(ram + DATA + 0x10000 * slot, (int)slot, 8192);
    }
    issue_queued(b, 0, 0xffffffff);
    assert_int_equal(finish(b, 0), SDBS);
    assert_int_equal(px(b, 0, SACT), 0);
    assert_int_equal(px(b, 0, CI), 0);
    assert_int_equal(px(b, 0, TFD), READY);
    for (unsigned slot = 0; slot < 16; slot++)
        assert_memory_equal(ram + DATA + 0x10000 * slot, image + (100 + 16 * slot) * 512, 8192);
    for (unsigned slot = 16; slot < 32; slot++)
        assert_memory_equal(ram + DATA + 0x10000 * slot, image + (4000 + 16 * slot) * 512, 8192);
    assert_int_equal(b->disk[0]->flushes, 0);
    put_queued(b, 0, 3, true, 9, 16);
    table_of(b, 3)[7] |= 0x80; /* FUA */
    issue_queued(b, 0, 8);
    assert_int_equal(finish(b, 0), SDBS);
    assert_int_equal(b->disk[0]->flushes, 1);
    put_queued(b, 0, 3, false, 0, 0); /* 0 stands for 65536: there are fewer */
    issue_queued(b, 0, 8);
    assert_int_equal(finish(b, 0), DHRS | TFES);
    assert_int_equal(px(b, 0, TFD), IDNF << 8 | READY | ERR);
}

/* All are at work at once, CI is clear, SACT tells what isn't finished; they end in any order [SATA 13.6.2]. */
static void out_of_order(void **state)
{
    struct bench *b = *state;
    struct rig_disk *disk = b->disk[0];
    disk->hold = true;
    for (unsigned slot = 0; slot < 32; slot++)
        put_queued(b, 0, slot, false, 8 * slot, 8);
    issue_queued(b, 0, 0xffffffff);
    rig_settle(b->r);
    assert_int_equal(disk->block.in_flight, 32);
    assert_int_equal(px(b, 0, CI), 0);
    assert_int_equal(px(b, 0, SACT), 0xffffffff);
    assert_int_equal(px(b, 0, PIS), 0);
    assert_int_equal(px(b, 0, TFD), READY);
    assert_int_equal(frames_of(b, 0)[0x41], 0); /* taken: a register frame without interrupt */
    uint32_t left = 0xffffffff;
    for (unsigned n = 0; n < 32; n++) {
        struct block_req **link = &disk->first; /* the one in the middle */
        for (unsigned i = 0; i < (32 - n) / 2 && (*link)->next; i++)
            link = &(*link)->next;
        struct block_req *req = *link;
        unsigned slot = (unsigned)(req->offset / 4096);
        *link = req->next;
        if (!*link)
            disk->last = link;
        memset(b->r->ram + DATA + 0x10000 * slot, 0x40 + (int)slot, 4096);
        block_done(req, 0);
        rig_settle(b->r);
        left &= ~(UINT32_C(1) << slot);
        assert_int_equal(px(b, 0, SACT), left);
        const uint8_t *fis = frames_of(b, 0) + 0x58;
        assert_int_equal(le32_get(fis), 0x005040a1);
        assert_int_equal(le32_get(fis + 4), UINT32_C(1) << slot);
        assert_int_equal(finish(b, 0), SDBS);
    }
    assert_int_equal(disk->block.in_flight, 0);
    disk->hold = false;
}

/* READ LOG EXT, page 10h. Returns PxIS. */
static uint32_t read_log(struct bench *b)
{
    memset(b->r->ram + DATA, 0xee, 512);
    return command(b, 0, 0x2f, 0x10, 1, 512);
}

static void check_log(struct bench *b, uint8_t tag, uint8_t error, uint32_t lba)
{
    const uint8_t *log = b->r->ram + DATA;
    uint8_t sum = 0;
    assert_int_equal(read_log(b), PSS);
    for (unsigned i = 0; i < 512; i++)
        sum = (uint8_t)(sum + log[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(log[0], tag);
    assert_int_equal(log[2], READY | ERR);
    assert_int_equal(log[3], error);
    const uint8_t where[] = { log[4], log[5], log[6], log[8] };
    assert_int_equal(le32_get(where), lba);
}

/*
 * One fails: those done before are told of, the rest ends without a word, the port stops; all commands are aborted
 * until the log was read [SATA 13.6.3; AHCI 6.2.2.2].
 */
static void failed_read(void **state)
{
    struct bench *b = *state;
    struct rig_disk *disk = b->disk[0];
    disk->hold = true;
    for (unsigned slot = 0; slot < 8; slot++)
        put_queued(b, 0, slot, slot == 7, 0x100 + 8 * slot, 8);
    issue_queued(b, 0, 0xff);
    rig_settle(b->r);
    struct block_req *second = disk->first->next;
    disk->first->next = second->next;
    block_done(second, 0);
    struct block_req *third = disk->first->next;
    disk->first->next = third->next;
    unsigned good = (unsigned)(second->offset / 512 - 0x100) / 8, bad = (unsigned)(third->offset / 512 - 0x100) / 8;
    disk->fail = -EIO;
    disk->fail_op = BLOCK_READ;
    block_done(third, -EIO);
    rig_disk_release(disk);
    assert_int_equal(finish(b, 0), SDBS | TFES);
    assert_int_equal(px(b, 0, SACT), 0x7f & ~(1u << good)); /* and the write, before the retry failed */
    assert_int_equal(px(b, 0, TFD), UNC << 8 | READY | ERR);
    assert_int_equal(le32_get(frames_of(b, 0) + 0x58), 0x405140a1);
    assert_int_equal(le32_get(frames_of(b, 0) + 0x5c), 0);
    put_queued(b, 0, 9, false, 0, 8);
    issue_queued(b, 0, 0x200);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, CI), 0x200); /* stopped */
    disk->fail = 0;
    restart(b, 0);
    assert_int_equal(px(b, 0, SACT), 0);
    assert_int_equal(command(b, 0, 0x25, 0, 8, 4096), DHRS | TFES);
    assert_int_equal(px(b, 0, TFD), ABRT << 8 | READY | ERR);
    restart(b, 0);
    put_queued(b, 0, 9, false, 0, 8);
    issue_queued(b, 0, 0x200);
    assert_int_equal(finish(b, 0), DHRS | TFES);
    restart(b, 0);
    uint32_t first_bad = 0x100 + 8 * bad;
    check_log(b, (uint8_t)bad, UNC, first_bad);
    put_queued(b, 0, 9, false, 0, 8);
    issue_queued(b, 0, 0x200);
    assert_int_equal(finish(b, 0), SDBS);
    assert_int_equal(command(b, 0, 0x2f, 0x00, 1, 512), PSS); /* the directory */
    assert_int_equal(le16_get(b->r->ram + DATA), 1);
    assert_int_equal(le16_get(b->r->ram + DATA + 0x20), 1);
}

/* What is refused as it comes: with a register frame, and the whole queue with it. */
static void refused(void **state)
{
    struct bench *b = *state;
    static const struct {
        unsigned port;
        bool write;
        uint64_t lba;
        uint16_t count;
        uint8_t tag, error;
    } rows[] = { { 0, false, SECTORS, 1, 5, IDNF },
                 { 0, true, SECTORS - 1, 2, 5, IDNF },
                 { 0, false, (UINT64_C(1) << 48) - 1, 1, 5, IDNF },
                 { 0, false, 0, 1, 6, ABRT }, /* not the slot's tag */
                 { 1, true, 0, 1, 5, ABRT },
                 { 2, false, 0, 1, 5, ABRT },
                 { 2, true, 0, 1, 5, ABRT } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned port = rows[i].port;
        put_queued(b, port, 5, rows[i].write, rows[i].lba, rows[i].count);
        table_of(b, 5)[12] = (uint8_t)(rows[i].tag << 3);
        issue_queued(b, port, 0x20);
        assert_int_equal(finish(b, port), DHRS | TFES);
        assert_int_equal(px(b, port, TFD), rows[i].error << 8 | READY | ERR);
        assert_int_equal(px(b, port, CI), 0x20);
        assert_int_equal(px(b, port, SACT), 0x20);
        restart(b, port);
        if (port == 0)
            check_log(b, 5, rows[i].error, (uint32_t)rows[i].lba);
    }
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        assert_true(!b->disk[i] || b->disk[i]->block.stats.ops[BLOCK_WRITE] == 0);
}

/* A slot that is at work is issued again; a command that isn't queued comes among the queue. */
static void disturbed_queue(void **state)
{
    struct bench *b = *state;
    b->disk[0]->hold = true;
    put_queued(b, 0, 5, false, 8, 8);
    put_queued(b, 0, 6, false, 16, 8);
    issue_queued(b, 0, 0x60);
    rig_settle(b->r);
    issue_queued(b, 0, 0x20);
    assert_int_equal(finish(b, 0), DHRS | TFES);
    assert_int_equal(b->disk[0]->block.in_flight, 2);
    px_write(b, 0, CMD, FRE);
    assert_int_equal(px(b, 0, CMD) & CR, CR);
    rig_disk_release(b->disk[0]);
    restart(b, 0);
    check_log(b, 5, ABRT, 8);
    b->disk[0]->hold = true;
    put_queued(b, 0, 5, false, 8, 8);
    issue_queued(b, 0, 0x20);
    rig_settle(b->r);
    assert_int_equal(command(b, 0, 0xec, 0, 0, 512), DHRS | TFES);
    assert_int_equal(px(b, 0, TFD), ABRT << 8 | READY | ERR);
    assert_int_equal(px(b, 0, SACT), 0x20);
    rig_disk_release(b->disk[0]);
    restart(b, 0);
    assert_int_equal(read_log(b), PSS);
    assert_int_equal(b->r->ram[DATA], 0x80); /* it wasn't a queued one */
    assert_int_equal(command(b, 0, 0xec, 0, 0, 512), PSS);
}

/* CVE-2016-1568: one with a good and a bad region; the port stops before the end, the tag is used again. */
static void bad_regions(void **state)
{
    struct bench *b = *state;
    static const uint32_t causes[] = { HBFS, OFS };
    for (unsigned i = 0; i < 2; i++) {
        put_queued(b, 0, 5, false, 8, 16);
        put_prd(b, 5, 0, DATA, 4096);
        put_prd(b, 5, 1, RIG_HOLE, 4096);
        put_header(b, 0, 5, i == 0 ? 2 : 1, 0);
        issue_queued(b, 0, 0x20);
        assert_int_equal(finish(b, 0), SDBS | TFES | causes[i]);
        assert_int_equal(px(b, 0, TFD), ABRT << 8 | READY | ERR);
        assert_memory_equal(b->r->ram + DATA, b->disk[0]->data + 8 * 512, 4096);
        restart(b, 0);
        check_log(b, 5, ABRT, 16);
    }
    b->disk[0]->hold = true;
    put_queued(b, 0, 5, false, 8, 16);
    put_prd(b, 5, 1, RIG_HOLE, 4096);
    put_prd(b, 5, 0, DATA, 4096);
    put_header(b, 0, 5, 2, 0);
    issue_queued(b, 0, 0x20);
    rig_settle(b->r);
    px_write(b, 0, CMD, FRE);
    px_write(b, 0, CMD, FRE | ST);
    put_queued(b, 0, 5, false, 800, 16);
    issue_queued(b, 0, 0x20);
    rig_settle(b->r);
    rig_disk_release(b->disk[0]);
    assert_int_equal(finish(b, 0), SDBS);
    assert_memory_equal(b->r->ram + DATA + 0x50000, b->disk[0]->data + 800 * 512, 8192);
}

/* A write fails; and a flush behind one. */
static void failed_write(void **state)
{
    struct bench *b = *state;
    b->disk[0]->fail = -ENOSPC;
    b->disk[0]->fail_op = BLOCK_WRITE;
    put_queued(b, 0, 31, true, 77, 8);
    issue_queued(b, 0, UINT32_C(1) << 31);
    assert_int_equal(finish(b, 0), SDBS | TFES);
    assert_int_equal(px(b, 0, TFD), ABRT << 8 | READY | ERR);
    restart(b, 0);
    b->disk[0]->fail = 0;
    check_log(b, 31, ABRT, 77);
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_FLUSH;
    table_of(b, 31)[7] |= 0x80;
    issue_queued(b, 0, UINT32_C(1) << 31);
    assert_int_equal(finish(b, 0), SDBS | TFES);
    b->disk[0]->fail = 0;
}

/* Transfers that find all of our buckets pinned wait for others to end, of other ports too; none fails. */
static void crowded_memory(void **state)
{
    struct bench *b = *state;
    struct ahci *s = container_of(b->r->dev, struct ahci, dev);
    s->buckets = AHCI_BUCKETS - 2; /* as if that many were pinned, of a guest with more memory than this one */
    for (unsigned port = 0; port < AHCI_PORTS; port++) {
        b->disk[port]->hold = true;
        for (unsigned slot = 0; slot < 32; slot++) {
            put_queued(b, port, slot, false, 8 * slot, 8);
            for (unsigned i = 0; i < 8; i++)
                put_prd(b, slot, i, 0x180000 + 0x100000 * ((i + slot) % 6) + 0x8000 * (i / 6) + 512 * slot, 512);
            put_header(b, port, slot, 8, 0);
        }
        issue_queued(b, port, 0xffffffff);
        rig_settle(b->r);
        assert_true(s->port[port].in_state[XFER_WAITING] > 0 || port == 0);
    }
    assert_int_equal(s->buckets, AHCI_BUCKETS);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned port = 0; port < AHCI_PORTS; port++) {
            rig_disk_release(b->disk[port]);
            rig_settle(b->r);
        }
    }
    for (unsigned port = 0; port < AHCI_PORTS; port++) {
        assert_int_equal(px(b, port, SACT), 0);
        assert_int_equal(px(b, port, PIS), SDBS);
        assert_true(b->disk[port]->block.stats.bytes[BLOCK_READ] == 32 * 4096);
    }
    assert_int_equal(s->buckets, AHCI_BUCKETS - 2);
    s->buckets = 0;
}

/* Other devices have pinned all that may be: through the ports' buffers, one command after the other. */
static void others_pinned_all(void **state)
{
    struct bench *b = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    rig_crowd(b->r, pins);
    for (unsigned slot = 0; slot < 32; slot++) {
        memset(ram + DATA + 0x10000 * slot, (int)slot + 1, 8192);
        put_queued(b, 0, slot, slot & 1, 3000 * (slot & 1) + 16 * slot, 16);
    }
    issue_queued(b, 0, 0xffffffff);
    assert_int_equal(finish(b, 0), SDBS);
    assert_int_equal(px(b, 0, SACT), 0);
    for (unsigned slot = 0; slot < 32; slot++) {
        assert_memory_equal(ram + DATA + 0x10000 * slot, image + (3000 * (slot & 1) + 16 * slot) * 512, 8192);
        assert_int_equal(ram[DATA + 0x10000 * slot] == slot + 1, slot & 1);
    }
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_READ], 32); /* of the buffer's 4 KiB */
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_WRITE], 32);
    assert_int_equal(b->r->mem.nr_pinned, MEM_MAX_PINNED);
    rig_uncrowd(b->r, pins);
}

/* Regions that need the port's buffer, in all commands of the queue: one after the other. */
static void chopped_sectors(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    for (unsigned slot = 0; slot < 32; slot++) {
        uint8_t *table = ram + 0x400000 + 0x5000 * slot;
        put_queued(b, 0, slot, slot & 1, 3000 * (slot & 1) + 8 * slot, 8);
        memcpy(table, table_of(b, slot), 0x80);
        for (unsigned i = 0; i < 1024; i++) {
            le64_put(table + 0x80 + 16 * i, DATA + 0x10000 * slot + 4 * i);
            le32_put(table + 0x80 + 16 * i + 12, 3);
        }
        memset(ram + DATA + 0x10000 * slot, (int)slot, 4096);
        put_header(b, 0, slot, 1024, 0);
        le64_put(list_of(b, 0) + 32 * slot + 8, 0x400000 + 0x5000 * slot);
    }
    issue_queued(b, 0, 0xffffffff);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, SACT), 0);
    for (unsigned slot = 0; slot < 32; slot++)
        assert_memory_equal(ram + DATA + 0x10000 * slot, image + (3000 * (slot & 1) + 8 * slot) * 512, 4096);
    b->disk[0]->hold = true; /* the one that has the buffer becomes an orphan; who waits is forgotten */
    issue_queued(b, 0, 0xffffffff);
    rig_settle(b->r);
    assert_int_equal(b->disk[0]->block.in_flight, 1);
    px_write(b, 0, CMD, FRE);
    rig_disk_release(b->disk[0]);
    restart(b, 0);
    issue_queued(b, 0, 0xff);
    assert_int_equal(finish(b, 0), SDBS);
    assert_int_equal(px(b, 0, SACT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queued_both_ways, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(out_of_order, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(failed_read, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(refused, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(disturbed_queue, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(bad_regions, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(failed_write, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(chopped_sectors, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(others_pinned_all, disks, bench_teardown),
        cmocka_unit_test_setup_teardown(crowded_memory, six_disks, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
