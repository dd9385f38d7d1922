/* hw/storage/nvme-io.c, nvme-prp.c: [NVMe n] is NVM Express 1.4c, n. */
#include "nvme-bench.h"

static int ready(void **state)
{
    *state = bench_ready("d");
    return 0;
}

static int mixed(void **state)
{
    *state = bench_ready("drnk");
    return 0;
}

static uint8_t *ram(struct bench *b, uint64_t addr)
{
    return b->r->ram + addr;
}

static uint8_t *disk(struct bench *b, uint64_t lba)
{
    return b->disk[0]->data + lba * SECTOR;
}

/* A list of nr pages at addr, each second page of memory from DATA_AT + PAGE on. */
static void put_list(struct bench *b, uint64_t addr, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++)
        le64_put(ram(b, addr + 8 * i), DATA_AT + (UINT64_C(1) + 2 * i) * PAGE);
}

static void sectors_arrive(void **state)
{
    struct bench *b = *state;
    assert_int_equal(run(b, 1, io(READ, 77, 1, DATA_AT, 0)), 0);
    assert_memory_equal(ram(b, DATA_AT), disk(b, 77), SECTOR);
    assert_int_equal(le64_get(ram(b, DATA_AT + SECTOR)), 0);
    assert_int_equal(run(b, 1, io(WRITE, DISK_BYTES / SECTOR - 1, 1, DATA_AT, 0)), 0);
    assert_memory_equal(disk(b, 77), disk(b, DISK_BYTES / SECTOR - 1), SECTOR);
}

/* One page, two pages, a list; the first one from its middle. */
static void scattered_pages(void **state)
{
    struct bench *b = *state;
    static const struct {
        unsigned offset, sectors;
    } cases[] = { { 0, 8 }, { 0x200, 7 }, { 0, 16 }, { 0x800, 8 }, { 0, 17 }, { 0xe00, 10 }, { 4, 64 }, { 0xffc, 33 } };
    put_list(b, LIST_AT, 64);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned bytes = cases[i].sectors * SECTOR, first = PAGE - cases[i].offset, at = 0;
        bool list = bytes > first + PAGE;
        memset(ram(b, DATA_AT - PAGE), 0, 80 * PAGE);
        assert_int_equal(
            run(b, 1,
                io(READ, 1000, cases[i].sectors, DATA_AT - PAGE + cases[i].offset, list ? LIST_AT : DATA_AT + PAGE)),
            0);
        for (unsigned page = 0; at < bytes; page++) {
            uint64_t addr = page == 0 ? DATA_AT - PAGE + cases[i].offset : DATA_AT + PAGE * (2 * page - 1);
            unsigned len = page == 0 ? first : PAGE;
            len = len < bytes - at ? len : bytes - at;
            assert_memory_equal(ram(b, addr), disk(b, 1000) + at, len);
            if (addr + len < DATA_AT + 2 * PAGE * page)
                assert_int_equal(*ram(b, addr + len), 0);
            at += len;
        }
    }
}

/* The list begins near the end of its page: the last entry there points to the rest [NVMe 4.3]. */
static void chained_list(void **state)
{
    struct bench *b = *state;
    static const unsigned in_first[] = { 1, 2, 31 };
    for (size_t i = 0; i < ARRAY_SIZE(in_first); i++) {
        unsigned n = in_first[i];
        uint64_t list = LIST_AT + PAGE - 8 * (uint64_t)n, next = LIST_AT + 3 * PAGE;
        put_list(b, list, n - 1);
        le64_put(ram(b, LIST_AT + PAGE - 8), next);
        for (unsigned k = 0; k < 33 - n; k++)
            le64_put(ram(b, next + 8 * k), DATA_AT + (1 + 2 * (uint64_t)(n - 1 + k)) * PAGE);
        memset(ram(b, DATA_AT - PAGE), 0, 80 * PAGE);
        assert_int_equal(run(b, 1, io(READ, 5, 8 * 33, DATA_AT - PAGE, list)), 0);
        assert_memory_equal(ram(b, DATA_AT - PAGE), disk(b, 5), PAGE);
        for (unsigned k = 0; k < 32; k++)
            assert_memory_equal(ram(b, DATA_AT + (1 + 2 * (uint64_t)k) * PAGE), disk(b, 5) + (k + 1) * PAGE, PAGE);
        le64_put(ram(b, LIST_AT + PAGE - 8), next + 8); /* it must be a whole page */
        assert_int_equal(run(b, 1, io(READ, 5, 8 * 33, DATA_AT - PAGE, list)), BAD_OFFSET);
        le64_put(ram(b, LIST_AT + PAGE - 8), RIG_RAM);
        assert_int_equal(run(b, 1, io(READ, 5, 8 * 33, DATA_AT - PAGE, list)), BAD_DATA);
    }
}

/* A list whose last entry points to itself: read twice at most. */
static void list_that_chains_to_itself(void **state)
{
    struct bench *b = *state;
    le64_put(ram(b, LIST_AT + PAGE - 8), LIST_AT);
    for (unsigned i = 0; i < 511; i++)
        le64_put(ram(b, LIST_AT + 8 * i), LIST_AT + 4 * PAGE);
    assert_int_equal(run(b, 1, io(READ, 0, 1024, DATA_AT, LIST_AT + PAGE - 8)), 0);
}

static void largest_transfer(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 128; i++) /* backwards: no two pages are contiguous */
        le64_put(ram(b, LIST_AT + 8 * i), DATA_AT + (200 - (uint64_t)i) * PAGE);
    assert_int_equal(run(b, 1, io(READ, 3, 1024, DATA_AT + 4, LIST_AT)), 0);
    assert_memory_equal(ram(b, DATA_AT + 4), disk(b, 3), PAGE - 4);
    for (unsigned i = 0; i < 127; i++)
        assert_memory_equal(ram(b, DATA_AT + (200 - (uint64_t)i) * PAGE), disk(b, 3) + PAGE - 4 + i * PAGE, PAGE);
    assert_memory_equal(ram(b, DATA_AT + (200 - UINT64_C(127)) * PAGE), disk(b, 3) + 128 * PAGE - 4, 4);
    assert_int_equal(run(b, 1, io(READ, 3, 1025, DATA_AT, LIST_AT)), BAD_FIELD); /* beyond MDTS */
}

/* Contiguous pages are one run: 512 KiB in one request. */
static void contiguous_pages_are_one_request(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 127; i++)
        le64_put(ram(b, LIST_AT + 8 * i), DATA_AT + (UINT64_C(1) + i) * PAGE);
    assert_int_equal(run(b, 1, io(WRITE, 0, 1024, DATA_AT, LIST_AT)), 0);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_WRITE], 1);
    assert_int_equal(le64_get(disk(b, 1023)), 0);
}

static unsigned pinned_buckets(struct bench *b)
{
    unsigned nr = 0;
    for (unsigned i = 0; i < MEM_BUCKETS; i++)
        nr += b->r->mem.buckets[i].pins > 0;
    return nr;
}

/* More than all commands together may pin: some wait, none is lost. */
static void commands_share_the_buckets(void **state)
{
    struct bench *b = *state;
    unsigned answers = 0;
    uint16_t status;
    b->disk[0]->hold = true;
    for (unsigned i = 0; i < 60; i++) {
        struct cmd cmd = io(READ, 16 * i, 16, DATA_AT + 2 * i * PAGE, DATA_AT + MIB + i * PAGE); /* two buckets */
        (void)push(b, 1, &cmd);
        ring(b, 1);
        mem_invalidate(&b->r->mem); /* the next one gets mappings of its own */
    }
    rig_settle(b->r);
    assert_int_equal(pinned_buckets(b), MEM_BUCKETS / 4);
    assert_int_equal(b->disk[0]->block.in_flight, MEM_BUCKETS / 8);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    for (; reap(b, 1, &status); answers++)
        assert_int_equal(status, 0);
    assert_int_equal(answers, 60);
    assert_int_equal(pinned_buckets(b), 0);
    for (unsigned i = 0; i < 60; i++) {
        assert_memory_equal(ram(b, DATA_AT + 2 * i * PAGE), disk(b, 16 * i), PAGE);
        assert_memory_equal(ram(b, DATA_AT + MIB + i * PAGE), disk(b, 16 * i + 8), PAGE);
    }
}

/* Other devices have pinned all that may be: commands go one after the other, page by page, and none fails. */
static void no_bucket_at_all(void **state)
{
    struct bench *b = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    unsigned answers = 0;
    uint16_t status;
    rig_crowd(b->r, pins);
    b->disk[0]->hold = true;
    for (unsigned i = 0; i < 20; i++) {
        struct cmd cmd = io(i & 1 ? WRITE : READ, 16 * i, 16, DATA_AT + 2 * i * PAGE + 4, LIST_AT);
        put_list(b, LIST_AT, 2);
        if (i > 0) /* who has a list of two pages needs no memory for it */
            cmd =
                io(i & 1 ? WRITE : READ, 16 * i, 15, DATA_AT + MIB + 4 * i * PAGE, DATA_AT + MIB + (4 * i + 2) * PAGE);
        memset(ram(b, DATA_AT + MIB + 4 * i * PAGE), (int)(i + 1), 4 * PAGE);
        (void)push(b, 1, &cmd);
        ring(b, 1);
    }
    rig_settle(b->r);
    assert_int_equal(b->disk[0]->block.in_flight, 1);
    assert_int_equal(b->r->mem.nr_pinned, MEM_MAX_PINNED);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    for (; reap(b, 1, &status); answers++)
        assert_int_equal(status, 0);
    assert_int_equal(answers, 20);
    assert_memory_equal(ram(b, DATA_AT + 4), disk(b, 0), PAGE - 4);
    assert_memory_equal(ram(b, DATA_AT + PAGE), disk(b, 0) + PAGE - 4, PAGE);
    for (unsigned i = 1; i < 20; i++) {
        uint64_t data = DATA_AT + MIB + 4 * i * PAGE;
        assert_memory_equal(ram(b, data), disk(b, 16 * i), PAGE);
        assert_memory_equal(ram(b, data + 2 * PAGE), disk(b, 16 * i) + PAGE, PAGE - 512);
        assert_int_equal(*ram(b, data + 3 * PAGE - 512), i + 1);
        assert_int_equal(*disk(b, 16 * i), i & 1 ? i + 1 : *ram(b, data));
    }
    assert_int_equal(run(b, 1, io(READ, 0, 16, DATA_AT, RIG_HOLE)), BAD_DATA);
    assert_int_equal(run(b, 1, io(WRITE, 0, 16, DATA_AT, RIG_HOLE)), BAD_DATA);
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    assert_int_equal(run(b, 1, io(READ, 0, 16, DATA_AT, DATA_AT + PAGE)), READ_ERROR);
    b->disk[0]->fail = 0;
    rig_uncrowd(b->r, pins);
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0);
    assert_int_equal(pinned_buckets(b), 0);
}

/* The guest resets the controller while one command has the buffer and others wait for it: memory stays as it is. */
static void reset_of_a_crowd(void **state)
{
    struct bench *b = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    rig_crowd(b->r, pins);
    b->disk[0]->hold = true;
    memset(ram(b, DATA_AT), 0x5a, 8 * PAGE);
    for (unsigned i = 0; i < 4; i++) {
        struct cmd cmd = io(READ, 8 * i, 8, DATA_AT + i * PAGE, 0);
        (void)push(b, 1, &cmd);
        ring(b, 1);
    }
    rig_settle(b->r);
    wr(b, CC, 0);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS) & RDY, 0);
    for (unsigned i = 0; i < 4 * PAGE; i++)
        assert_int_equal(*ram(b, DATA_AT + i), 0x5a);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    rig_uncrowd(b->r, pins);
    assert_int_equal(pinned_buckets(b), 0);
}

/* CVE-2021-3929: a transfer from or to the controller's own registers, among them one that would reset it. */
static void prp_on_own_registers(void **state)
{
    struct bench *b = *state;
    memset(disk(b, 0), 0, 16 * SECTOR); /* what would clear CC */
    static const uint64_t targets[] = { BAR, BAR + CC, BAR + DOORBELL, BAR + TABLE };
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        assert_int_equal(run(b, 1, io(READ, 0, 1, targets[i], 0)), BAD_DATA);
        assert_int_equal(run(b, 1, io(WRITE, 0, 1, targets[i], 0)), BAD_DATA);
        assert_int_equal(run(b, 1, io(READ, 0, 16, DATA_AT, targets[i] & ~UINT64_C(0xfff))), BAD_DATA);
        assert_int_equal(run(b, 1, io(READ, 0, 17, DATA_AT, targets[i] & ~UINT64_C(0xfff))), BAD_DATA); /* the list */
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = IDENTIFY, .prp1 = targets[i], .dw10 = 1 }), BAD_DATA);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = LOG_PAGE, .prp1 = targets[i], .dw10 = 2 | 127 << 16 }),
                         BAD_DATA);
    }
    assert_int_equal(rd(b, CC), CC_ON);
    assert_int_equal(rd(b, CSTS), RDY);
}

static void prp_without_memory(void **state)
{
    struct bench *b = *state;
    static const uint64_t targets[] = { RIG_HOLE, RIG_RAM, UINT64_C(0xfffffffffffff000), UINT64_C(0x8000000000000000) };
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        assert_int_equal(run(b, 1, io(READ, 0, 1, targets[i], 0)), BAD_DATA);
        assert_int_equal(run(b, 1, io(READ, 0, 9, DATA_AT, targets[i])), BAD_DATA);
        assert_int_equal(run(b, 1, io(READ, 0, 17, DATA_AT, targets[i])), BAD_DATA);
        le64_put(ram(b, LIST_AT), DATA_AT + PAGE);
        le64_put(ram(b, LIST_AT + 8), targets[i]);
        assert_int_equal(run(b, 1, io(READ, 0, 24, DATA_AT, LIST_AT)), BAD_DATA);
    }
    /* Up to the hole, and no further. */
    assert_int_equal(run(b, 1, io(READ, 0, 1, RIG_HOLE - SECTOR, 0)), 0);
    assert_int_equal(run(b, 1, io(READ, 0, 2, RIG_HOLE - SECTOR, RIG_HOLE)), BAD_DATA);
    /* The guest's own address space ends. */
    le64_put(ram(b, LIST_AT), UINT64_C(0xfffffffffffff000));
    le64_put(ram(b, LIST_AT + 8), 0);
    assert_int_equal(run(b, 1, io(READ, 0, 24, DATA_AT, LIST_AT)), BAD_DATA);
}

static void misaligned_prps(void **state)
{
    struct bench *b = *state;
    put_list(b, LIST_AT, 8);
    for (unsigned bit = 0; bit < 12; bit++) {
        uint64_t off = UINT64_C(1) << bit;
        assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT + off, DATA_AT + PAGE)), bit < 2 ? BAD_OFFSET : 0);
        assert_int_equal(run(b, 1, io(READ, 0, 16, DATA_AT, DATA_AT + PAGE + off)), BAD_OFFSET);
        le64_put(ram(b, LIST_AT + 8), DATA_AT + off);
        assert_int_equal(run(b, 1, io(READ, 0, 24, DATA_AT, LIST_AT)), BAD_OFFSET);
        le64_put(ram(b, LIST_AT + 8), DATA_AT);
        if (bit < 3) /* list pointer misaligned */
            assert_int_equal(run(b, 1, io(READ, 0, 24, DATA_AT, LIST_AT + off)), BAD_OFFSET);
    }
}

static void range_overflows(void **state)
{
    struct bench *b = *state;
    uint64_t end = DISK_BYTES / SECTOR;
    static const uint8_t opcodes[] = { READ, WRITE, ZEROES };
    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        uint8_t op = opcodes[i];
        struct cmd cmd = io(op, 0, 1, DATA_AT, LIST_AT);
        cmd.dw12 = 0xffff; /* 0's based: 65536 sectors, 32 MiB */
        assert_int_equal(run(b, 1, cmd), op == ZEROES ? BAD_LBA : BAD_FIELD);
        assert_int_equal(run(b, 1, io(op, end, 1, DATA_AT, 0)), BAD_LBA);
        assert_int_equal(run(b, 1, io(op, end - 1, 2, DATA_AT, 0)), BAD_LBA);
        assert_int_equal(run(b, 1, io(op, UINT64_MAX, 1, DATA_AT, 0)), BAD_LBA);
        assert_int_equal(run(b, 1, io(op, UINT64_MAX, 2, DATA_AT, 0)), BAD_LBA);        /* the sum is 1 */
        assert_int_equal(run(b, 1, io(op, UINT64_C(1) << 55, 8, DATA_AT, 0)), BAD_LBA); /* the byte is 2^64 */
    }
    assert_int_equal(le64_get(disk(b, end - 1)),
                     (DISK_BYTES - SECTOR) * UINT64_C(0x9e3779b97f4a7c15) + DISK_BYTES - SECTOR);
}

static void bad_namespaces(void **state)
{
    struct bench *b = *state;
    static const uint32_t ids[] = { 0, 5, 0x80000000, 0xfffffffe, 0xffffffff };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct cmd cmd = io(READ, 0, 1, DATA_AT, 0);
        cmd.nsid = ids[i];
        assert_int_equal(run(b, 1, cmd), BAD_NS);
        cmd.opcode = FLUSH;
        assert_int_equal(run(b, 1, cmd), ids[i] == 0xffffffff ? 0 : BAD_NS);
    }
}

static void large_sectors(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = io(READ, 3, 2, DATA_AT + 0x10, LIST_AT);
    cmd.nsid = 4;
    put_list(b, LIST_AT, 2);
    assert_int_equal(run(b, 1, cmd), 0); /* the sectors straddle pages */
    assert_memory_equal(ram(b, DATA_AT + 0x10), b->disk[3]->data + 3 * PAGE, PAGE - 0x10);
    assert_memory_equal(ram(b, DATA_AT + PAGE), b->disk[3]->data + 4 * PAGE - 0x10, PAGE);
    assert_memory_equal(ram(b, DATA_AT + 3 * PAGE), b->disk[3]->data + 5 * PAGE - 0x10, 0x10);
    cmd.dw10 = (uint32_t)(DISK_BYTES / PAGE) - 1;
    assert_int_equal(run(b, 1, cmd), BAD_LBA);
    cmd.dw12 = 128;
    assert_int_equal(run(b, 1, cmd), BAD_FIELD);
}

static void flushes(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = io(WRITE, 0, 1, DATA_AT, 0);
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->flushes, 0);
    cmd.dw12 |= (uint32_t)FUA;
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->flushes, 1);
    cmd.opcode = ZEROES;
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->flushes, 2);
    cmd.opcode = READ;
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->flushes, 2);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = 6 }), 0); /* the write cache off */
    assert_int_equal(run(b, 1, io(WRITE, 0, 1, DATA_AT, 0)), 0);
    assert_int_equal(b->disk[0]->flushes, 3);
    assert_int_equal(run(b, 1, (struct cmd){ .opcode = FLUSH, .nsid = 3 }), 0);
    assert_true(b->disk[0]->flushes == 3 && b->disk[2]->flushes == 1);
    assert_int_equal(run(b, 1, (struct cmd){ .opcode = FLUSH, .nsid = 0xffffffff }), 0);
    assert_true(b->disk[0]->flushes == 4 && b->disk[1]->flushes == 1 && b->disk[2]->flushes == 2);
    assert_int_equal(b->disk[3]->flushes, 1);
    b->disk[2]->fail = -EIO;
    b->disk[2]->fail_op = BLOCK_FLUSH;
    assert_int_equal(run(b, 1, (struct cmd){ .opcode = FLUSH, .nsid = 0xffffffff }), WRITE_FAULT);
}

static void write_zeroes(void **state)
{
    struct bench *b = *state;
    uint8_t *before = malloc(DISK_BYTES);
    assert_non_null(before);
    memcpy(before, b->disk[0]->data, DISK_BYTES);
    assert_int_equal(run(b, 1, io(ZEROES, 5, 4001, UINT64_MAX, UINT64_MAX)), 0); /* no data: no addresses */
    memset(before + 5 * SECTOR, 0, 4001 * SECTOR);
    assert_memory_equal(before, b->disk[0]->data, DISK_BYTES);
    free(before);
}

static void put_range(struct bench *b, uint64_t addr, uint64_t lba, uint32_t nr)
{
    le32_put(ram(b, addr), 0xffffffff); /* attributes are hints */
    le32_put(ram(b, addr + 4), nr);
    le64_put(ram(b, addr + 8), lba);
}

static void discards(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = DATASET,
                       .nsid = 1,
                       .prp1 = DATA_AT + PAGE - 8,
                       .prp2 = DATA_AT + 2 * PAGE,
                       .dw10 = 2,
                       .dw11 = DEALLOCATE };
    put_range(b, DATA_AT + 4 * PAGE, 10, 2);
    memcpy(ram(b, DATA_AT + PAGE - 8), ram(b, DATA_AT + 4 * PAGE), 8); /* the first range straddles the pages */
    memcpy(ram(b, DATA_AT + 2 * PAGE), ram(b, DATA_AT + 4 * PAGE + 8), 8);
    put_range(b, DATA_AT + 2 * PAGE + 8, 0, 0);
    put_range(b, DATA_AT + 2 * PAGE + 24, DISK_BYTES / SECTOR - 1, 1);
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_DISCARD], 2);
    assert_true(le64_get(disk(b, 10)) == 0 && le64_get(disk(b, 11)) == 0 && le64_get(disk(b, 12)) != 0);
    assert_int_equal(le64_get(disk(b, DISK_BYTES / SECTOR - 1)), 0);
    cmd.nsid = 3; /* cannot discard: it is a hint */
    assert_int_equal(run(b, 1, cmd), 0);
    cmd.nsid = 1;
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_DISCARD;
    assert_int_equal(run(b, 1, cmd), WRITE_FAULT);
    b->disk[0]->fail = -EOPNOTSUPP;
    assert_int_equal(run(b, 1, cmd), 0);
    b->disk[0]->fail = 0;
    cmd.dw11 = 3; /* says nothing of deallocation */
    assert_int_equal(run(b, 1, cmd), 0);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_DISCARD], 2);
}

static void bad_discards(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = DATASET, .nsid = 1, .prp1 = DATA_AT, .dw10 = 255, .dw11 = DEALLOCATE };
    static const struct {
        uint64_t lba;
        uint32_t nr;
    } bad[] = { { DISK_BYTES / SECTOR, 1 },
                { DISK_BYTES / SECTOR + 1, 0 },
                { 0, 0xffffffff },
                { UINT64_MAX, 2 },
                { UINT64_C(1) << 55, 1 } };
    memset(ram(b, DATA_AT), 0, PAGE);
    assert_int_equal(run(b, 1, cmd), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        put_range(b, DATA_AT + 255 * 16, bad[i].lba, bad[i].nr);
        assert_int_equal(run(b, 1, cmd), BAD_LBA);
    }
    cmd.prp1 = RIG_HOLE;
    assert_int_equal(run(b, 1, cmd), BAD_DATA);
    cmd.prp1 = DATA_AT + 1;
    assert_int_equal(run(b, 1, cmd), BAD_OFFSET);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_DISCARD], 0);
}

/* CVE-2015-7311: a read-only disk stays as it is. */
static void read_only_disk(void **state)
{
    struct bench *b = *state;
    static const uint8_t opcodes[] = { WRITE, ZEROES, DATASET };
    uint8_t *before = malloc(DISK_BYTES);
    assert_non_null(before);
    memcpy(before, b->disk[1]->data, DISK_BYTES);
    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        struct cmd cmd = io(opcodes[i], 0, 8, DATA_AT, 0);
        cmd.nsid = 2;
        cmd.dw11 = opcodes[i] == DATASET ? DEALLOCATE : 0;
        assert_int_equal(run(b, 1, cmd), PROTECTED);
        assert_true(b->final);
    }
    assert_memory_equal(before, b->disk[1]->data, DISK_BYTES);
    assert_int_equal(b->disk[1]->block.stats.rejected[BLOCK_WRITE], 0); /* it didn't even try */
    struct cmd cmd = io(READ, 9, 1, DATA_AT, 0);
    cmd.nsid = 2;
    assert_int_equal(run(b, 1, cmd), 0);
    assert_memory_equal(ram(b, DATA_AT), before + 9 * SECTOR, SECTOR);
    free(before);
}

static void disk_errors(void **state)
{
    struct bench *b = *state;
    static const struct {
        enum block_op fail_op;
        uint8_t opcode;
        int err;
        uint16_t status;
        bool final;
    } cases[] = {
        { BLOCK_READ, READ, -EIO, READ_ERROR, true },    { BLOCK_WRITE, WRITE, -EIO, WRITE_FAULT, true },
        { BLOCK_WRITE, WRITE, -ENOSPC, NO_SPACE, true }, { BLOCK_WRITE, ZEROES, -ENOSPC, NO_SPACE, true },
        { BLOCK_WRITE, WRITE, -EROFS, PROTECTED, true }, { BLOCK_FLUSH, FLUSH, -EIO, WRITE_FAULT, true },
        { BLOCK_FLUSH, WRITE, -ENOSPC, NO_SPACE, true }, { BLOCK_READ, READ, -ENOMEM, 6, false },
        { BLOCK_READ, READ, -ECANCELED, 6, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cmd cmd = io(cases[i].opcode, 8, 8, DATA_AT, 0);
        cmd.dw12 |= (uint32_t)FUA;
        b->disk[0]->fail_op = cases[i].fail_op;
        b->disk[0]->fail = cases[i].err;
        assert_int_equal(run(b, 1, cmd), cases[i].status);
        assert_int_equal(b->final, cases[i].final);
        b->disk[0]->fail = 0;
        assert_int_equal(run(b, 1, cmd), 0);
    }
}

/* A random transfer: the pages, page[0] with an offset, and the list of all but the first if they are more than two. */
static unsigned random_pages(struct bench *b, uint64_t seed, uint64_t bytes, uint64_t list, uint64_t *page)
{
    unsigned nr = 1;
    page[0] = DATA_AT + (seed >> 50 & 0xff) * PAGE + (seed >> 20 & 0xffc);
    for (uint64_t at = PAGE - page[0] % PAGE; at < bytes; at += PAGE, nr++)
        page[nr] = DATA_AT + ((seed >> 50) + nr * (seed >> 55 & 7)) % 512 * PAGE;
    for (unsigned i = 1; nr > 2 && i < nr; i++) {
        if (list % PAGE == PAGE - 8 && i < nr - 1) {
            le64_put(ram(b, list), LIST_AT + 8 * PAGE);
            list = LIST_AT + 8 * PAGE;
        }
        le64_put(ram(b, list), page[i]);
        list += 8;
    }
    return nr;
}

/* Against plain copies of disk and memory: thousands of commands of all sizes and alignments; pages repeat. */
static void random_accesses(void **state)
{
    struct bench *b = *state;
    uint64_t seed = 1, page[130];
    uint8_t *model = malloc(DISK_BYTES), *memory = malloc(512 * PAGE);
    assert_non_null(model);
    assert_non_null(memory);
    memcpy(model, b->disk[0]->data, DISK_BYTES);
    memcpy(memory, ram(b, DATA_AT), 512 * PAGE);
    for (unsigned round = 0; round < 3000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned sectors = 1 + (unsigned)(seed >> 33) % (round % 8 ? 40 : 1024);
        uint64_t lba = (seed >> 40) % (DISK_BYTES / SECTOR - sectors), left = (uint64_t)sectors * SECTOR;
        uint64_t list = LIST_AT + (round % 512) * 8;
        bool write = seed >> 63;
        unsigned nr = random_pages(b, seed, left, list, page);
        assert_int_equal(run(b, 1, io(write ? WRITE : READ, lba, sectors, page[0], nr > 2 ? list : page[1])), 0);
        uint8_t *on_disk = model + lba * SECTOR;
        for (unsigned i = 0; i < nr; i++) {
            uint64_t len = min_u64(PAGE - page[i] % PAGE, left);
            uint8_t *in_memory = memory + (page[i] - DATA_AT);
            memcpy(write ? on_disk : in_memory, write ? in_memory : on_disk, len);
            on_disk += len;
            left -= len;
        }
    }
    assert_memory_equal(model, b->disk[0]->data, DISK_BYTES);
    assert_memory_equal(memory, ram(b, DATA_AT), 512 * PAGE);
    free(model);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sectors_arrive, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(scattered_pages, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(chained_list, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(list_that_chains_to_itself, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(largest_transfer, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(contiguous_pages_are_one_request, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(commands_share_the_buckets, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(no_bucket_at_all, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_of_a_crowd, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(prp_on_own_registers, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(prp_without_memory, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(misaligned_prps, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(range_overflows, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(bad_namespaces, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(large_sectors, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(flushes, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(write_zeroes, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(discards, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(bad_discards, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(read_only_disk, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(disk_errors, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(random_accesses, ready, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
