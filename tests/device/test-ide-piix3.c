/* The PCI function and the bus master; unplug; a guest without sense. [SFF n] is section n of SFF-8038i. */
#include "ide-bench.h"

#define SECTORS (DISK_BYTES / 512)

static int one_disk(void **state)
{
    *state = bench_new("d---");
    return 0;
}

static int full(void **state)
{
    *state = bench_new("ddcd");
    return 0;
}

static int cd_behind_disk(void **state)
{
    *state = bench_new("dc-d");
    return 0;
}

static int bare(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->r = rig_new();
    memcpy(b->layout, "d-c-", IDE_DRIVES);
    *state = b;
    return bench_create(b);
}

static void configuration_space(void **state)
{
    struct bench *b = *state;
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x00, 4), 0x70108086);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x04, 4), 0x02800000);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x08, 4), 0x01018000);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x0e, 1), 0);
    for (unsigned bar = 0; bar < 4; bar++) {
        rig_cfg_write(b->r, DEVFN, 0x10 + 4 * bar, 4, 0xffffffff);
        assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x10 + 4 * bar, 4), 0);
    }
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x20, 4), 1);
    rig_cfg_write(b->r, DEVFN, 0x20, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x20, 4), 0xfffffff1);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x3d, 1), 0);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x40, 4), 0);
    rig_cfg_write(b->r, DEVFN, 0x40, 4, 0x80038007);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x40, 4), 0x80038007);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY); /* decoded whatever the command register says */
    assert_int_equal(in8(b, BM), 0xff);
}

static void bus_master_registers(void **state)
{
    struct bench *b = *state;
    for (unsigned bm = BM; bm < BM + 16; bm += 8) {
        assert_int_equal(in8(b, bm), 0);
        assert_int_equal(in8(b, bm + 2), 0);
        assert_int_equal(in8(b, bm + 1), 0xff);
        assert_int_equal(in8(b, bm + 3), 0xff);
        rig_out32(b->r, (uint16_t)(bm + 4), 0x12345677);
        assert_int_equal(rig_in32(b->r, (uint16_t)(bm + 4)), 0x12345674);
        assert_int_equal(rig_in16(b->r, (uint16_t)(bm + 6)), 0x1234);
        assert_int_equal(in8(b, bm + 5), 0x56);
        rig_out16(b->r, (uint16_t)(bm + 4), 0xabcd);
        assert_int_equal(rig_in32(b->r, (uint16_t)(bm + 4)), 0x1234abcc);
        out8(b, bm + 2, 0xff);
        assert_int_equal(in8(b, bm + 2), 0x60); /* not simplex, active is not the guest's to set [SFF 2.2] */
        out8(b, bm, 0xff);
        assert_int_equal(in8(b, bm), 0x09);
        assert_int_equal(in8(b, bm + 2), 0x61);
        out8(b, bm, 0);
        assert_int_equal(in8(b, bm + 2), 0x60);
    }
}

/* One whole DMA command: set up, command, start. Returns the bus master status. */
static uint8_t dma(struct bench *b, uint8_t code, uint64_t lba, uint16_t count)
{
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, code, lba, count);
    bm_start(b, BM, code == 0x25);
    (void)wait_ready(b, PRIMARY);
    return in8(b, BM + 2);
}

/* Read, write, FUA; regions of odd places and lengths [SFF 1.2]. */
static void dma_both_ways(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    put_prd(b, 0, DATA + 2, 6, false);
    put_prd(b, 1, DATA + 0xffffe, 4096, false); /* over a MiB boundary */
    put_prd(b, 2, DATA + 8193, 59899, false);   /* bit 0 is not there, in neither */
    put_prd(b, 3, 0x10000, 0, true);
    assert_int_equal(dma(b, 0x25, 9, 253), 0x64);
    assert_memory_equal(ram + DATA + 2, image + 9 * 512, 6);
    assert_memory_equal(ram + DATA + 0xffffe, image + 9 * 512 + 6, 4096);
    assert_memory_equal(ram + DATA + 8192, image + 9 * 512 + 4102, 59898);
    assert_memory_equal(ram + 0x10000, image + 9 * 512 + 64000, 253 * 512 - 64000);
    memset(ram + 0x10000, 0x5c, 0x10000);
    assert_int_equal(dma(b, 0x35, 1000, 253), 0x64);
    assert_memory_equal(image + 1000 * 512 + 64000, ram + 0x10000, 253 * 512 - 64000);
    assert_memory_equal(image + 1000 * 512, image + 9 * 512, 64000);
    assert_int_equal(dma(b, 0x3d, 4000, 253), 0x64);
    assert_int_equal(b->disk[0]->flushes, 1);
    assert_memory_equal(image + 4000 * 512, image + 1000 * 512, 253 * 512);
    for (unsigned i = 0; i < MEM_BUCKETS; i++)
        assert_int_equal(b->r->mem.buckets[i].pins, 0);
}

/* Straight into guest memory, in one request; the interrupt comes with the last byte. */
static void dma_is_one_request(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 32; i++)
        put_prd(b, i, DATA + 0x3000 * i, 4096, i == 31);
    b->disk[0]->hold = true;
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x25, 77, 256);
    assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ);
    bm_start(b, BM, true);
    rig_settle(b->r);
    assert_int_equal(in8(b, PRIMARY_CTL), BSY);
    assert_int_equal(in8(b, BM + 2), 0x61);
    assert_int_equal(b->disk[0]->first->nvec, 32);
    assert_ptr_equal(b->disk[0]->first->vec[3].ptr, b->r->ram + DATA + 0x9000);
    assert_false(b->r->wires[14]);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_true(b->r->wires[14]);
    assert_int_equal(in8(b, BM + 2), 0x64);
    out8(b, BM + 2, 0x64);
    assert_int_equal(in8(b, BM + 2), 0x60);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_false(b->r->wires[14]);
    assert_int_equal(in8(b, BM + 2), 0x60);
}

/* The bus master may be started before the command comes. */
static void start_before_command(void **state)
{
    struct bench *b = *state;
    put_prd(b, 0, DATA, 512, true);
    bm_setup(b, BM);
    bm_start(b, BM, true);
    rig_settle(b->r);
    assert_int_equal(in8(b, BM + 2), 0x61);
    command28(b, PRIMARY, 0, 0xc8, 5, 1);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(in8(b, BM + 2), 0x64);
    assert_memory_equal(b->r->ram + DATA, b->disk[0]->data + 5 * 512, 512);
}

/* More regions than pins, of a page each: in pieces. Regions too small for that: through the buffer. */
static void many_regions(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    static const unsigned sizes[] = { 4096, 512, 514, 126, 10, 2 };
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        unsigned bytes = 0, n = 0;
        while (n < 8000 && bytes < 300 * 512) {
            put_prd(b, n, DATA + bytes, sizes[s], false);
            bytes += sizes[s];
            n++;
        }
        put_prd(b, n - 1, DATA + bytes - sizes[s], sizes[s], true);
        uint16_t sectors = (uint16_t)(bytes / 512);
        memset(ram + DATA, 0, bytes);
        assert_int_equal(dma(b, 0x25, 3 + s, sectors) & 0x66, 0x64);
        assert_memory_equal(ram + DATA, image + (3 + s) * 512, sectors * 512);
        assert_int_equal(dma(b, 0x35, 4000, sectors) & 0x66, 0x64);
        assert_memory_equal(image + 4000 * 512, ram + DATA, sectors * 512);
    }
}

/*
 * CVE-2014-9718: a table that is too short for the command stops the bus master without an interrupt [SFF 3.1], in
 * bounded time also if it never ends and its regions hold a few bytes each.
 */
static void short_tables(void **state)
{
    struct bench *b = *state;
    uint8_t *ram = b->r->ram;
    put_prd(b, 0, DATA, 1024, true);
    assert_int_equal(dma(b, 0x25, 5, 4), 0x60);
    assert_memory_equal(ram + DATA, b->disk[0]->data + 5 * 512, 1024);
    assert_int_equal(b->r->wire_edges[14], 0);
    assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ);
    put_prd(b, 0, DATA, 1024, true);
    bm_setup(b, BM);
    bm_start(b, BM, true); /* another table, and the drive goes on */
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_int_equal(in8(b, BM + 2), 0x64);
    assert_memory_equal(ram + DATA, b->disk[0]->data + 7 * 512, 1024);
    for (unsigned bytes = 0; bytes < 512; bytes += 73) {
        for (unsigned i = 0; i < 8192; i++)
            put_prd(b, i, DATA, bytes, false);
        (void)dma(b, 0x25, 0, 0); /* 65536 sectors: beyond the end */
        assert_int_equal(in8(b, PRIMARY + ERROR), IDNF);
        (void)dma(b, 0x25, 0, (uint16_t)(SECTORS - 1));
        assert_int_equal(in8(b, PRIMARY_CTL) & BSY, 0);
        out8(b, PRIMARY_CTL, 4);
        out8(b, PRIMARY_CTL, 0);
        (void)dma(b, 0x35, 0, (uint16_t)(SECTORS - 1));
        assert_int_equal(in8(b, PRIMARY_CTL) & BSY, 0);
        out8(b, PRIMARY_CTL, 4);
        out8(b, PRIMARY_CTL, 0);
    }
}

/* Other devices have pinned all that may be: through the channel's buffer, and the guest sees no difference. */
static void others_pinned_all(void **state)
{
    struct bench *b = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    uint8_t *ram = b->r->ram, *image = b->disk[0]->data;
    rig_crowd(b->r, pins);
    put_prd(b, 0, DATA + 0xff000, 0x8000, false);
    put_prd(b, 1, DATA, 0x8000, true);
    assert_int_equal(dma(b, 0x25, 9, 128), 0x64);
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_READ], 16); /* of the buffer's 4 KiB */
    assert_memory_equal(ram + DATA + 0xff000, image + 9 * 512, 0x8000);
    assert_memory_equal(ram + DATA, image + 9 * 512 + 0x8000, 0x8000);
    assert_int_equal(dma(b, 0x35, 1000, 128), 0x64);
    assert_memory_equal(image + 1000 * 512, image + 9 * 512, 0x10000);
    assert_int_equal(b->r->mem.nr_pinned, MEM_MAX_PINNED);
    put_prd(b, 1, RIG_HOLE, 0x8000, true);
    assert_int_equal(dma(b, 0x25, 9, 128), 0x62); /* what the guest does wrong is still its fault */
    rig_uncrowd(b->r, pins);
}

/* LP 1878253: nothing is read or written where no memory is, and where the function is no bus master. */
static void holes(void **state)
{
    struct bench *b = *state;
    static const struct {
        uint32_t table, addr;
        bool master;
    } rows[] = { { PRDT, RIG_HOLE, true },   { PRDT, 0xfffff000, true }, { RIG_HOLE, DATA, true },
                 { 0xfffffffc, DATA, true }, { RIG_RAM, DATA, true },    { PRDT, DATA, false } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (unsigned write = 0; write < 2; write++) {
            put_prd(b, 0, rows[i].addr, 4096, true);
            rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, rows[i].master ? 5 : 1);
            bm_setup(b, BM);
            rig_out32(b->r, BM + 4, rows[i].table);
            command48(b, PRIMARY, 0, write ? 0x35 : 0x25, 9, 8);
            bm_start(b, BM, !write);
            assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
            assert_int_equal(in8(b, BM + 2), 0x62);
            out8(b, PRIMARY_CTL, 4);
            out8(b, PRIMARY_CTL, 0);
            assert_int_equal(wait_ready(b, PRIMARY), READY);
        }
    }
    assert_true(b->disk[0]->block.stats.ops[BLOCK_WRITE] == 0);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, 5);
    put_prd(b, 0, RIG_HOLE - 1024, 4096, true); /* the part before the hole goes */
    assert_int_equal(dma(b, 0x25, 9, 8), 0x62);
    assert_memory_equal(b->r->ram + RIG_HOLE - 1024, b->disk[0]->data + 9 * 512, 1024);
    assert_int_equal(b->r->wire_edges[14], 0);
}

/* What fails in one request is found sector by sector. */
static void dma_error(void **state)
{
    struct bench *b = *state;
    put_prd(b, 0, DATA, 8192, true);
    b->disk[0]->fail = -EIO;
    b->disk[0]->fail_op = BLOCK_READ;
    assert_int_equal(dma(b, 0x25, 0x1234, 16) & 0x06, 0x04);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY | ERR);
    assert_int_equal(in8(b, PRIMARY + ERROR), UNC);
    assert_int_equal(in8(b, PRIMARY + LOW), 0x34);
    assert_int_equal(in8(b, PRIMARY + MID), 0x12);
    b->disk[0]->hold = true;
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x25, 500, 16);
    bm_start(b, BM, true);
    rig_disk_release(b->disk[0]);
    assert_int_equal(loop_step(&b->r->loop, 0), 0); /* as one: fails */
    b->disk[0]->fail = 0;
    assert_int_equal(wait_ready(b, PRIMARY), READY); /* one by one: works */
    assert_int_equal(in8(b, BM + 2), 0x64);
    assert_memory_equal(b->r->ram + DATA, b->disk[0]->data + 500 * 512, 8192);
    assert_true(b->disk[0]->block.stats.ops[BLOCK_READ] == 16);
}

/*
 * Stopping the bus master takes the memory back: no request works on it after that. LP 1681439 with a table of zeros,
 * CVE-2020-25743 with an absent drive selected.
 */
static void stop_during_a_transfer(void **state)
{
    struct bench *b = *state;
    put_prd(b, 0, DATA, 0, false);
    put_prd(b, 1, DATA + 0x10000, 0, true);
    b->disk[0]->hold = true;
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x25, 9, 256);
    bm_start(b, BM, true);
    rig_settle(b->r);
    assert_int_equal(in8(b, BM + 2), 0x61);
    out8(b, BM, 0);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    assert_int_equal(in8(b, BM + 2) & 1, 0);
    memset(b->r->ram + PRDT, 0, 4096);
    for (unsigned i = 0; i < 64; i++)
        put_prd(b, i, DATA, 2, false);
    bm_setup(b, BM);
    out8(b, PRIMARY_CTL, 4);
    out8(b, PRIMARY_CTL, 0);
    b->disk[0]->hold = true;
    memset(b->r->ram + PRDT, 0, 4096); /* 64 KiB at address 0, over and over */
    command48(b, PRIMARY, 0, 0x35, 1000, 512);
    bm_start(b, BM, false);
    out8(b, BM, 0);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    out8(b, PRIMARY + STATUS, 0x08);
    rig_settle(b->r);
    assert_int_equal(wait_ready(b, PRIMARY) & DRQ, 0);
    select_unit(b, PRIMARY, 1);
    out8(b, BM, 1);
    out8(b, BM, 0);
    out8(b, BM + 8, 1);
    out8(b, BM + 8, 0);
    assert_int_equal(in8(b, BM + 2) & 1, 0);
}

/* CVE-2023-5088: a reset in the middle of a write lets it end where it belongs, and nothing follows. */
static void reset_during_a_write(void **state)
{
    struct bench *b = *state;
    static uint8_t before[4096 * 512];
    uint8_t *image = b->disk[0]->data;
    for (unsigned i = 0; i < 64; i++)
        put_prd(b, i, DATA + 0x1000 * i, 4096, i == 63);
    memset(b->r->ram + DATA, 0xd7, 0x40000);
    memcpy(before, image, sizeof(before));
    b->disk[0]->hold = true;
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x35, 4096, 512);
    bm_start(b, BM, false);
    rig_settle(b->r);
    out8(b, PRIMARY_CTL, 4);
    assert_int_equal(in8(b, PRIMARY + STATUS), BSY);
    out8(b, PRIMARY_CTL, 0);
    assert_int_equal(in8(b, PRIMARY + STATUS), BSY);
    rig_disk_release(b->disk[0]);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(image, before, sizeof(before));
    assert_int_equal(image[4096 * 512], 0xd7);
    assert_int_not_equal(image[4096 * 512 + 0x3f000], 0xd7); /* the second piece never started */
    assert_int_equal(b->r->wire_edges[14], 0);
    for (unsigned i = 0; i < MEM_BUCKETS; i++)
        assert_int_equal(b->r->mem.buckets[i].pins, 0);
}

/* Only what means something is saved of the buffers: a controller at rest takes little. */
static void small_at_rest(void **state)
{
    struct bench *b = *state;
    uint8_t data[512];
    rig_save(b->r);
    size_t rest = b->r->saved.len;
    assert_true(rest < 1024);
    command28(b, PRIMARY, 0, 0x20, 1, 2);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    rig_save(b->r);
    assert_int_equal(b->r->saved.len, rest + 1024);
    insw(b, PRIMARY, data, 512);
    assert_int_equal(wait_ready(b, PRIMARY), READY | DRQ);
    rig_save(b->r);
    assert_int_equal(b->r->saved.len, rest + 512);
    insw(b, PRIMARY, data, 512);
    rig_save(b->r);
    assert_int_equal(b->r->saved.len, rest);
    command28(b, PRIMARY, 0, 0x30, 1, 1);
    outsw(b, PRIMARY, data, 100);
    rig_save(b->r);
    assert_int_equal(b->r->saved.len, rest + 100);
}

/* Saved bytes that lie outside of the buffer, or of the record. The heads of both buffers are the last 16 bytes. */
static void hostile_parts_are_refused(void **state)
{
    static const struct {
        uint32_t at, val;
    } rows[] = { { 8, 1 },          { 4, UINT32_MAX }, { 4, 1 }, { 4, 4 }, { 0, 0x80000001 }, 
                 { 12, (128 << 10) + 1 }, { 12, UINT32_MAX } };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        rig_save(b->r);
        assert_int_equal(rig_restore(b->r), 0);
        uint8_t *heads = b->r->saved.data + b->r->saved.len - 16;
        le32_put(heads + rows[i].at, rows[i].val);
        if (rows[i].at % 8 == 0 && rows[i].val <= 128 << 10) { /* empty at a place within the buffer is fine */
            assert_int_equal(rig_restore(b->r), 0);
            continue;
        }
        if (rig_restore(b->r) != -EINVAL)
            fail_msg("row %u is taken", (unsigned)i);
    }
}

/* Saved with a DMA command before, in the middle of and after its table. */
static void snapshot_of_a_dma(void **state)
{
    struct bench *b = *state;
    put_prd(b, 0, DATA, 1024, true);
    assert_int_equal(dma(b, 0x25, 5, 4), 0x60); /* half of it */
    bench_drain(b);
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    assert_int_equal(in8(b, PRIMARY_CTL), READY | DRQ);
    bm_setup(b, BM);
    bm_start(b, BM, true);
    assert_int_equal(wait_ready(b, PRIMARY), READY);
    assert_memory_equal(b->r->ram + DATA, b->disk[0]->data + 7 * 512, 1024);
    b->disk[0]->hold = true; /* in flight: the drain brings it to its end */
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x25, 9, 2);
    bm_start(b, BM, true);
    bench_drain(b);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->r->wires[14]);
    assert_int_equal(in8(b, BM + 2), 0x64);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_true(rig_cfg_read(b->r, DEVFN, 0x20, 4) == (BM | 1));
}

/* The Xen unplug: disks go, images are flushed and closed, CD-ROMs stay, BAR 4 must be placed again. */
static void unplug_disks(void **state)
{
    struct bench *b = *state;
    struct ide_drive_info info;
    uint8_t data[2048], cdb[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 1 };
    rig_cfg_write(b->r, DEVFN, 0x40, 4, 0x80008000);
    put_prd(b, 0, DATA, 4096, true);
    memset(b->r->ram + DATA, 0x99, 4096);
    b->disk[0]->hold = b->disk[3]->hold = true; /* XSA-139: requests on their way */
    bm_setup(b, BM);
    command48(b, PRIMARY, 0, 0x35, 9, 8);
    bm_start(b, BM, false);
    command28(b, SECONDARY, 1, 0x20, 0, 1);
    bench_unplug(b, false);
    assert_true(b->closed[0] && b->closed[3] && !b->closed[1]);
    assert_false(b->r->wires[14] || b->r->wires[15]);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x20, 4), 1);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x04, 2), 0);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x40, 4), 0x80008000); /* or Linux drops the channels */
    assert_int_equal(in8(b, BM), 0xff);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(in8(b, SECONDARY + STATUS), 0);
    assert_int_equal(in8(b, SECONDARY + HIGH), 0);
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    insw(b, PRIMARY, data, 512);
    rig_settle(b->r);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0);
    assert_int_equal(packet_in(b, PRIMARY, 1, cdb, data, 2048, 2048), 2048);
    assert_memory_equal(data, b->disk[1]->data + 7 * 2048, 2048);
    assert_false(bench_info(b, 0, &info));
    assert_true(bench_info(b, 1, &info));
    bench_unplug(b, false);
    bench_unplug(b, true);
    b->r->dev->desc->reset(b->r->dev); /* a reset doesn't bring them back */
    assert_false(bench_info(b, 0, &info));
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0); /* nor does a restore */
    assert_true(b->closed[0] && b->closed[3] && !b->closed[1]);
    assert_false(bench_info(b, 3, &info));
    assert_true(bench_info(b, 1, &info));
}

/* What was written before the unplug is on the disk, and flushed. */
static void unplug_keeps_the_primary_master(void **state)
{
    struct bench *b = *state;
    struct ide_drive_info info;
    uint8_t id[512];
    bench_unplug(b, true);
    assert_true(!b->closed[0] && b->closed[1] && !b->closed[2] && b->closed[3]);
    assert_int_equal(b->disk[0]->flushes, 1);
    assert_true(bench_info(b, 0, &info));
    command28(b, PRIMARY, 0, 0xec, 0, 0);
    assert_int_equal(pio_in(b, PRIMARY, id, 512, 512), 512);
    bench_unplug(b, false);
    assert_true(b->closed[0]);
}

static void unplug_is_final(void **state)
{
    struct bench *b = *state;
    command28(b, PRIMARY, 0, 0x20, 0, 1);
    command28(b, SECONDARY, 1, 0x20, 0, 1);
    b->r->dev->desc->unplug(b->r->dev);
    rig_run(b->r, NS_PER_S);
    assert_true(b->closed[0] && b->closed[1] && b->closed[2] && b->closed[3]);
    assert_false(b->r->wires[14] || b->r->wires[15]);
    assert_int_equal(in8(b, PRIMARY + STATUS), 0xff);
    assert_int_equal(in8(b, SECONDARY_CTL), 0xff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0, 4), 0xffffffff);
    b->r->dev->desc->unplug(b->r->dev);
}

static void drain_flushes(void **state)
{
    struct bench *b = *state;
    b->disk[0]->hold = true;
    command28(b, PRIMARY, 0, 0x40, 0, 200);
    bench_drain(b);
    assert_int_equal(in8(b, PRIMARY + STATUS), READY);
    assert_int_equal(b->disk[0]->flushes, 1);
    assert_int_equal(b->disk[1]->flushes, 1);
    assert_int_equal(b->disk[2]->flushes, 0); /* a CD */
    assert_int_equal(b->disk[3]->flushes, 1);
    b->disk[1]->fail = -EIO;
    b->disk[1]->fail_op = BLOCK_FLUSH;
    bench_drain(b);
    assert_int_equal(b->r->log_lines, 1);
}

/* A failed create leaves nothing, and the images are still the caller's. */
static void create_fails_cleanly(void **state)
{
    struct rig *r = rig_new();
    bool closed = false;
    struct rig_disk *disk = rig_disk(r, DISK_BYTES);
    struct bus_region taken = { 0 };
    static const struct bus_ops no_ops = { .sizes = BUS_1 };
    struct device *out = NULL;
    struct ide_piix3_config config = {
        .id = "ide", .loop = &r->loop, .ports = &r->ports, .pci = &r->pci, .devfn = DEVFN, .mem = &r->mem
    };
    disk->closed_flag = &closed;
    config.drives[1] = (struct ide_drive_config){ .present = true };
    assert_int_equal(ide_piix3_create(&config, &out), -EINVAL); /* a disk without an image */
    config.drives[1].block = &disk->block;
    disk->block.sector_bytes = 4096;
    assert_int_equal(ide_piix3_create(&config, &out), -EINVAL);
    disk->block.sector_bytes = 512;
    assert_int_equal(bus_attach(&r->ports, &taken, &no_ops, NULL, SECONDARY_CTL, 1), 0);
    assert_int_equal(ide_piix3_create(&config, &out), -EEXIST);
    bus_detach(&taken);
    assert_false(closed);
    assert_int_equal(ide_piix3_create(&config, &out), 0);
    struct device *second = NULL;
    assert_int_equal(ide_piix3_create(&config, &second), -EEXIST);
    assert_false(closed);
    device_free(out);
    assert_true(closed);
    rig_free(r);
}

/* Public inputs that broke another device model: a port, a size, a value; or port 0, a register of the function. */
struct access {
    uint16_t port;
    uint8_t reg, size;
    uint32_t val;
};

static void feed(struct bench *b, const struct access *script, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct access *a = &script[i];
        if (a->port == 0)
            rig_cfg_write(b->r, DEVFN, a->reg, a->size, a->val);
        else
            bus_write(&b->r->ports, a->port, a->size, a->val);
        if (i % 3 == 2)
            rig_settle(b->r);
    }
    rig_run(b->r, NS_PER_S);
    assert_int_equal(in8(b, PRIMARY_CTL) & BSY, 0);
}

static void published_inputs(void **state)
{
    struct bench *b = *state;
    static const struct access lp1681439[] = {
        { 0x171, 0, 2, 0x32a }, { 0x176, 0, 2, 0x3570 }, { 0, 3, 4, 0x4e002700 },
        { 0, 0x20, 1, 0x5e },   { 0x58, 0, 1, 0xe1 },    { 0x57, 0, 2, 0x0 },
    };
    static const struct access lp1878253[] = {
        { 0, 0x20, 4, 0xc001 },  { 0, 0x04, 2, 0x7 },    { 0x1f7, 0, 1, 0xc8 },  { 0x3f6, 0, 2, 0xe784 },
        { 0x3f6, 0, 2, 0xeb01 }, { 0xc005, 0, 1, 0x21 }, { 0xc000, 0, 1, 0x1b }, { 0x1f7, 0, 2, 0xff35 },
    };
    static const struct access lp1887303[] = {
        { 0x176, 0, 2, 0x3538 }, { 0x376, 0, 2, 0x6007 }, { 0x376, 0, 2, 0x6b6b }, { 0x176, 0, 2, 0x985c },
        { 0, 3, 4, 0x2f2931 },   { 0, 0x20, 1, 0x6b },    { 0x68, 0, 1, 0x7 },     { 0x176, 0, 2, 0x2530 },
    };
    static const struct access lp1887309[] = {
        { 0x176, 0, 2, 0x3538 }, { 0, 3, 4, 0x184275c }, { 0x376, 0, 1, 0x2f }, { 0x376, 0, 1, 0x0 },
        { 0x176, 0, 2, 0xa1a4 }, { 0, 0x20, 1, 0xff },   { 0xf8, 0, 1, 0x9 },
    };
    feed(b, lp1681439, ARRAY_SIZE(lp1681439));
    b->r->dev->desc->reset(b->r->dev);
    feed(b, lp1878253, ARRAY_SIZE(lp1878253));
    b->r->dev->desc->reset(b->r->dev);
    feed(b, lp1887303, ARRAY_SIZE(lp1887303));
    b->r->dev->desc->reset(b->r->dev);
    feed(b, lp1887309, ARRAY_SIZE(lp1887309));
}

/* A small generator with fixed seeds: the same accesses each time, everywhere. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

static uint8_t random_command(uint64_t *seed)
{
    static const uint8_t usual[] = { 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x3d, 0x40, 0x42,
                                     0x06, 0x08, 0x90, 0x91, 0xa0, 0xa0, 0xa0, 0xa0, 0xa1, 0xb0, 0xc4,
                                     0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xec, 0xef, 0xf8, 0xce, 0x27 };
    uint32_t r = next_random(seed);
    return r & 0x10000 ? (uint8_t)r : usual[r % sizeof(usual)];
}

static void random_packet(struct bench *b, uint64_t *seed, unsigned base)
{
    static const uint8_t codes[] = { 0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x28,
                                     0x28, 0x2b, 0x2f, 0x35, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55,
                                     0x5a, 0xa7, 0xa8, 0xac, 0xad, 0xb9, 0xbb, 0xbd, 0xbe, 0xbe };
    uint8_t cdb[12];
    for (unsigned i = 0; i < 12; i++)
        cdb[i] = next_random(seed) & 3 ? 0 : (uint8_t)next_random(seed);
    if (next_random(seed) % 8)
        cdb[0] = codes[next_random(seed) % sizeof(codes)];
    out8(b, base + ERROR, next_random(seed) & 1);
    out8(b, base + STATUS, 0xa0);
    outsw(b, base, cdb, 12);
}

static void random_prds(struct bench *b, uint64_t *seed)
{
    static const uint32_t places[] = {
        DATA, 0x1000, RIG_HOLE - 700, RIG_RAM - 600, 0xfffffff0, 0x2ffff0, PRDT, RIG_HOLE
    };
    for (unsigned i = 0; i < 40; i++) {
        uint32_t r = next_random(seed), addr = places[r % 8 < 5 ? 0 : next_random(seed) % 8];
        put_prd(b, i, addr + next_random(seed) % 5000, r & 0x100 ? next_random(seed) % 5000 : 512,
                next_random(seed) % 9 == 0);
    }
}

static void random_step(struct bench *b, uint64_t *seed)
{
    static uint8_t words[8192];
    uint32_t r = next_random(seed), val = next_random(seed);
    unsigned base = r & 0x100 ? PRIMARY : SECONDARY, bm = BM + (r & 0x100 ? 0 : 8);
    switch (r % 20) {
    case 0:
    case 1: out8(b, base + STATUS, random_command(seed)); break;
    case 2:
    case 3: random_packet(b, seed, base); break;
    case 4:
    case 5: rig_settle(b->r); break;
    case 6: out8(b, base + 0x206, val % 4 ? 0 : (uint8_t)val); break;
    case 7: out8(b, base + DEVICE, (uint8_t)val); break;
    case 8: /* a plain address, so that commands find something */
        out8(b, base + DEVICE, (uint8_t)(0xe0 | (val & 0x10)));
        for (unsigned reg = LOW; reg <= HIGH; reg++) {
            out8(b, base + reg, 0);
            out8(b, base + reg, reg == HIGH ? 0 : (uint8_t)next_random(seed));
        }
        break;
    case 9: out8(b, base + COUNT, (uint8_t)(val % 3 ? val % 20 : val)); break;
    case 10: out8(b, base + val % 8, (uint8_t)next_random(seed)); break;
    case 11: insw(b, base, words, val % sizeof(words) & ~1u); break;
    case 12: outsw(b, base, words, val % sizeof(words) & ~1u); break;
    case 13: (void)bus_read(&b->r->ports, base + val % 8, 1u << (val >> 8) % 3); break;
    case 14: bus_write(&b->r->ports, base + val % 8, 1u << (val >> 8) % 3, next_random(seed)); break;
    case 15: out8(b, bm, val & 1 ? 0x09 : 0x01); break;
    case 16: out8(b, bm + val % 8, val & 0x100 ? (uint8_t)(val >> 9) : 0); break;
    case 17:
        random_prds(b, seed);
        rig_out32(b->r, (uint16_t)(bm + 4), PRDT);
        break;
    case 18: /* the world around */
        for (unsigned i = 0; i < IDE_DRIVES; i++) {
            if (!b->disk[i] || b->closed[i])
                continue;
            b->disk[i]->fail = next_random(seed) % 8 ? 0 : -EIO;
            b->disk[i]->fail_op = (enum block_op)(next_random(seed) % BLOCK_NR_OPS);
            b->disk[i]->hold = next_random(seed) % 2;
            if (!b->disk[i]->hold)
                rig_disk_release(b->disk[i]);
        }
        break;
    default:
        if (val % 16 == 0)
            rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, next_random(seed) % 4 ? 5 : 1);
        break;
    }
}

/* The CD changes, the state is saved and restored, the machine is reset, disks are unplugged. */
static void random_event(struct bench *b, uint64_t *seed)
{
    switch (next_random(seed) % 6) {
    case 0:
        if (bench_eject(b, "ide-5632", next_random(seed) & 1) == 0)
            b->closed[2] = true;
        break;
    case 1: {
        struct rig_disk *disk = bench_image(b, CD_BYTES, NULL);
        if (bench_change(b, "ide-5632", next_random(seed) & 1, &disk->block))
            block_close(&disk->block);
        b->closed[2] = true; /* the test's pointer is of no use now */
        b->disk[2] = NULL;
        break;
    }
    case 2:
    case 3:
        bench_drain(b);
        rig_save(b->r);
        assert_int_equal(rig_restore(b->r), 0);
        break;
    case 4:
        b->r->dev->desc->reset(b->r->dev);
        rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 16, 4, BM);
        rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, 5);
        break;
    case 5:
        if (next_random(seed) % 8 == 0)
            bench_unplug(b, next_random(seed) & 1);
        break;
    }
}

/* Saved states with a few bytes changed: refused, or good enough for anything that follows. */
static void mutated_snapshots(void **state)
{
    unsigned taken = 0, refused = 0;
    struct bench *b = bench_new("ddcd");
    uint64_t seed = 4711;
    for (unsigned round = 0; round < 1000; round++) {
        if (round % 50 == 49) { /* what was saved as unplugged stays away */
            bench_free(b);
            b = bench_new("ddcd");
        }
        for (unsigned i = 0; i < 60; i++)
            random_step(b, &seed);
        bench_drain(b);
        rig_save(b->r);
        for (unsigned i = 0; i < 1 + round % 3; i++) {
            const struct snap_field *fields = b->r->dev->desc->fields;
            unsigned count = 0;
            while (fields[count].kind != SNAP_KIND_END)
                count++;
            const struct snap_field *f = &fields[next_random(&seed) % count];
            uint64_t val = next_random(&seed) & 1 ? next_random(&seed) % 8 : next_random(&seed);
            if (f->kind == SNAP_KIND_PART) { /* the last ones: somewhere in their heads or bytes */
                b->r->saved.data[b->r->saved.len - 1 - next_random(&seed) % 24] ^= (uint8_t)val;
                continue;
            }
            rig_poke_at(b->r, f->name, next_random(&seed) % f->count, f->kind == SNAP_KIND_BOOL ? val & 1 : val);
        }
        if (rig_restore(b->r) == 0) {
            taken++;
            for (unsigned i = 0; i < 60; i++)
                random_step(b, &seed);
        } else {
            refused++;
        }
        b->r->dev->desc->reset(b->r->dev);
        rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 16, 4, BM);
        rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, 5);
    }
    assert_true(taken > 100 && refused > 100);
    bench_free(b);
}

/* Garbage in any order, with completions at any time: no crash, no leak, no request or pin left over. */
static void guest_without_sense(void **state)
{
    for (uint64_t start = 1; start <= 40; start++) {
        struct bench *b = bench_new(start % 3 ? "ddcd" : "dc-d");
        uint64_t seed = start * UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned i = 0; i < 5000; i++) {
            random_step(b, &seed);
            if (i % 500 == 499)
                random_event(b, &seed);
        }
        for (unsigned i = 0; i < IDE_DRIVES; i++) {
            if (b->disk[i] && !b->closed[i])
                rig_disk_release(b->disk[i]);
        }
        rig_run(b->r, NS_PER_S);
        b->r->dev->desc->reset(b->r->dev);
        for (unsigned i = 0; i < MEM_BUCKETS; i++)
            assert_int_equal(b->r->mem.buckets[i].pins, 0);
        for (unsigned i = 0; i < IDE_DRIVES; i++)
            assert_true(!b->disk[i] || b->closed[i] || b->disk[i]->block.in_flight == 0);
        assert_false(b->r->wires[14] || b->r->wires[15]);
        assert_int_equal(in8(b, PRIMARY + STATUS) & BSY, 0);
        bench_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration_space, bare, bench_teardown),
        cmocka_unit_test_setup_teardown(bus_master_registers, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(dma_both_ways, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(dma_is_one_request, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(start_before_command, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(many_regions, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(short_tables, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(others_pinned_all, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(holes, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(dma_error, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(stop_during_a_transfer, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_during_a_write, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(small_at_rest, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(hostile_parts_are_refused, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot_of_a_dma, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_disks, cd_behind_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_keeps_the_primary_master, full, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_is_final, full, bench_teardown),
        cmocka_unit_test_setup_teardown(drain_flushes, full, bench_teardown),
        cmocka_unit_test(create_fails_cleanly),
        cmocka_unit_test_setup_teardown(published_inputs, full, bench_teardown),
        cmocka_unit_test(mutated_snapshots),
        cmocka_unit_test(guest_without_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
