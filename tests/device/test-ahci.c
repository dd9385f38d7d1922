/* The AHCI function: registers, resets, interrupt, saved state, unplug. [AHCI n] is section n of AHCI 1.3.1. */
#include "ahci-bench.h"

static int mixed_bare(void **state)
{
    *state = bench_bare("dd-c--");
    return 0;
}

static int mixed(void **state)
{
    *state = bench_new("dd-c--");
    return 0;
}

static int full(void **state)
{
    *state = bench_new("drtdce");
    return 0;
}

static void configuration_space(void **state)
{
    struct bench *b = *state;
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x00, 4), 0x29228086);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x04, 4), 0x00100000);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x08, 4), 0x01060102);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x3d, 1), 1);
    for (unsigned bar = 0; bar < 4; bar++) {
        rig_cfg_write(b->r, DEVFN, 0x10 + 4 * bar, 4, 0xffffffff);
        assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x10 + 4 * bar, 4), 0);
    }
    rig_cfg_write(b->r, DEVFN, 0x20, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x20, 4), 0xffffffe1);
    rig_cfg_write(b->r, DEVFN, 0x24, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x24, 4), 0xfffff000);
    /* Capabilities: MSI, then SATA; registers by index are in BAR 4 at 10h [ICH9 15.1.32]. */
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x34, 1), 0x80);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x80, 4), 0x0080a805);
    rig_cfg_write(b->r, DEVFN, 0xa8, 4, 0xffffffff);
    rig_cfg_write(b->r, DEVFN, 0xac, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0xa8, 4), 0x00100012);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0xac, 4), 0x00000048);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x90, 1), 0x40);
    assert_int_equal(rig_mmio_read(b->r, ABAR, 4), 0xffffffff);
}

/* [AHCI 3.1, 3.3] as the machine's stock controller has them; what is reserved reads 0. */
static void reset_values(void **state)
{
    struct bench *b = *state;
    bench_place(b);
    for (unsigned off = 0; off < 4096; off += 4) {
        unsigned reg = off % 0x80;
        bool port = off >= 0x100 && off < 0x100 + AHCI_PORTS * 0x80;
        bool drive = port && b->layout[(off - 0x100) / 0x80] != '-';
        uint32_t want = 0;
        if (off < 0x100)
            want = off == CAP ? 0xc0141f05 : off == GHC ? 0x80000000 : off == PI ? 0x3f : off == VS ? 0x00010000 : 0;
        else if (port)
            want = reg == CMD    ? 0x06
                   : reg == TFD  ? 0x7f
                   : reg == SIG  ? 0xffffffff
                   : reg == SSTS ? (drive ? 0x113 : 0)
                                 : 0;
        assert_int_equal(hba(b, off), want);
    }
}

/* Which bits a guest can write. */
static void write_masks(void **state)
{
    struct bench *b = *state;
    static const struct {
        unsigned reg;
        uint32_t ones;
    } rows[] = { { CLB, 0xfffffc00 }, { CLBU, 0xffffffff }, { FB, 0xffffff00 }, { FBU, 0xffffffff }, { PIS, 0 },
                 { PIE, 0xfdc000ff }, { 0x1c, 0 },          { TFD, 0x7f },      { SIG, 0xffffffff }, { SSTS, 0 },
                 { SCTL, 0xfff },     { SERR, 0 },          { SACT, 0 },        { CI, 0 },           { 0x3c, 0 },
                 { 0x40, 0 },         { 0x44, 0 },          { 0x70, 0 },        { 0x7c, 0 } };
    bench_place(b);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        px_write(b, 2, rows[i].reg, 0xffffffff);
        assert_int_equal(px(b, 2, rows[i].reg), rows[i].ones);
    }
    px_write(b, 2, CMD, 0xffffffff);
    assert_int_equal(px(b, 2, CMD), 0x0300c017); /* ST, SUD, POD, FRE, FR, CR, ATAPI, DLAE */
    px_write(b, 2, CMD, 0);
    assert_int_equal(px(b, 2, CMD), 0x06);
    for (unsigned reg = 0; reg < 0x100; reg += 4) {
        if (reg == GHC)
            continue;
        uint32_t was = hba(b, reg);
        hba_write(b, reg, ~was);
        assert_int_equal(hba(b, reg), was);
    }
    hba_write(b, GHC, 0xfffffffe);
    assert_int_equal(hba(b, GHC), 0x80000002);
    hba_write(b, GHC, 0);
    assert_int_equal(hba(b, GHC), 0x80000000);
    hba_write(b, 0x100 + AHCI_PORTS * 0x80 + CLB, 0xffffffff);
    assert_int_equal(hba(b, 0x100 + AHCI_PORTS * 0x80 + CLB), 0);
}

/* Each width at each place reads and writes the bytes it covers; by memory, and by index and data. */
static void access_sizes(void **state)
{
    struct bench *b = *state;
    uint64_t base = ABAR + 0x100;
    bench_place(b);
    px_write(b, 0, CLB, 0x12345678);
    px_write(b, 0, CLBU, 0x9abcdef0);
    static const uint8_t bytes[] = { 0x00, 0x54, 0x34, 0x12, 0xf0, 0xde, 0xbc, 0x9a };
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off + size <= 8; off++)
            assert_true(rig_mmio_read(b->r, base + off, size) == le_get(bytes + off, size));
    }
    rig_mmio_write(b->r, base + CLB + 3, 1, 0xaa);
    assert_int_equal(px(b, 0, CLB), 0xaa345400);
    rig_mmio_write(b->r, base + CLB + 2, 2, 0x1122);
    assert_int_equal(px(b, 0, CLB), 0x11225400);
    rig_mmio_write(b->r, base + CLB + 2, 4, 0x55667788); /* over the border of two registers */
    assert_int_equal(px(b, 0, CLB), 0x77885400);
    assert_int_equal(px(b, 0, CLBU), 0x9abc5566);
    rig_mmio_write(b->r, base + FB, 8, UINT64_C(0x0102030405060708));
    assert_int_equal(px(b, 0, FB), 0x05060700);
    assert_int_equal(px(b, 0, FBU), 0x01020304);
    rig_mmio_write(b->r, base + PIE, 1, 0xff);
    assert_int_equal(px(b, 0, PIE), 0xff);
    rig_mmio_write(b->r, base + PIE + 3, 1, 0xff);
    assert_int_equal(px(b, 0, PIE), 0xfd0000ff);
    assert_int_equal(rig_mmio_read(b->r, ABAR + 4095, 1), 0);
    assert_int_equal(rig_mmio_read(b->r, ABAR + 4093, 2), 0);

    rig_out32(b->r, INDEX_PORT + 0x10, 0xffffffff);
    assert_int_equal(rig_in32(b->r, INDEX_PORT + 0x10), 0xffc);
    rig_out16(b->r, INDEX_PORT + 0x10, 0x100 + FB);
    assert_int_equal(rig_in32(b->r, INDEX_PORT + 0x10), 0x108);
    assert_int_equal(rig_in32(b->r, INDEX_PORT + 0x14), 0x05060700);
    assert_int_equal(rig_in16(b->r, INDEX_PORT + 0x16), 0x0506);
    assert_int_equal(rig_in8(b->r, INDEX_PORT + 0x15), 0x07);
    rig_out32(b->r, INDEX_PORT + 0x14, 0xfee00000);
    assert_int_equal(px(b, 0, FB), 0xfee00000);
    rig_out8(b->r, INDEX_PORT + 0x17, 0x01);
    assert_int_equal(px(b, 0, FB), 0x01e00000);
    rig_out8(b->r, INDEX_PORT + 0x11, 0); /* byte 1 of the index */
    assert_int_equal(rig_in32(b->r, INDEX_PORT + 0x10), 0x08);
    for (unsigned off = 0; off < 0x10; off += 4)
        assert_int_equal(rig_in32(b->r, (uint16_t)(INDEX_PORT + off)), 0);
    assert_int_equal(rig_in32(b->r, INDEX_PORT + 0x18), 0);
}

/* The drive's first frame comes when frames are received [AHCI 10.1.2]; without an interrupt [SATA 11.2]. */
static void signatures(void **state)
{
    struct bench *b = *state;
    bench_place(b);
    for (unsigned port = 0; port < AHCI_PORTS; port++)
        bench_start(b, port);
    assert_int_equal(px(b, 0, SIG), 0x00000101);
    assert_int_equal(px(b, 0, TFD), 0x0150);
    assert_int_equal(px(b, 3, SIG), 0xeb140101);
    assert_int_equal(px(b, 3, TFD), 0x0100);
    assert_int_equal(px(b, 2, SIG), 0xffffffff);
    assert_int_equal(px(b, 2, TFD), 0x7f);
    const uint8_t *fis = frames_of(b, 3) + 0x40;
    static const uint8_t want[20] = { 0x34, 0, 0, 1, 1, 0x14, 0xeb, 0xa0, 0, 0, 0, 0, 1 };
    assert_memory_equal(fis, want, sizeof(want));
    assert_int_equal(px(b, 0, PIS), 0);
    assert_int_equal(hba(b, IS), 0);
    assert_false(b->r->wires[WIRE]);
    assert_int_equal(px(b, 0, CMD), 0xc017);
    px_write(b, 0, CMD, 0);
    assert_int_equal(px(b, 0, CMD), 0x06);
}

/* INTx from PxIS, PxIE, GHC.IE [AHCI 5.6.2]; MSI one message per news [AHCI 10.7.2]. */
static void interrupts(void **state)
{
    struct bench *b = *state;
    put_fis(b, 0, 0xe7, 0, 0, 0);
    put_header(b, 0, 0, 0, 0);
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, PIS), DHRS);
    assert_int_equal(hba(b, IS), 1);
    assert_true(b->r->wires[WIRE]);
    hba_write(b, GHC, 0);
    assert_false(b->r->wires[WIRE]);
    hba_write(b, GHC, 2);
    assert_true(b->r->wires[WIRE]);
    px_write(b, 0, PIE, ~(uint32_t)DHRS);
    assert_false(b->r->wires[WIRE]);
    assert_int_equal(hba(b, IS), 0);
    px_write(b, 0, PIE, 0xffffffff);
    assert_true(b->r->wires[WIRE]);
    rig_cfg_write(b->r, DEVFN, 0x84, 4, 0xfee01000);
    rig_cfg_write(b->r, DEVFN, 0x8c, 2, 0x4031);
    rig_cfg_write(b->r, DEVFN, 0x82, 2, 0x81);
    assert_false(b->r->wires[WIRE]);
    assert_int_equal(b->r->msis, 1);
    assert_int_equal(b->r->msi_data, 0x4031);
    hba_write(b, IS, 1); /* not acknowledged where it comes from: again */
    assert_int_equal(b->r->msis, 2);
    px_write(b, 0, PIS, 0xffffffff);
    assert_int_equal(b->r->msis, 2);
    assert_int_equal(hba(b, IS), 0);
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(b->r->msis, 3);
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(b->r->msis, 3); /* the first wasn't acknowledged */
    list_of(b, 1)[0] = 5;
    memcpy(list_of(b, 1), list_of(b, 0), 32);
    issue(b, 1, 0);
    rig_settle(b->r);
    assert_int_equal(b->r->msis, 4); /* another port */
    px_write(b, 1, PIS, DHRS);
    assert_int_equal(b->r->msis, 4);
    assert_int_equal(hba(b, IS), 1);
    rig_cfg_write(b->r, DEVFN, 0x82, 2, 0x80);
    assert_true(b->r->wires[WIRE]);
    px_write(b, 0, PIS, DHRS);
    assert_false(b->r->wires[WIRE]);
}

static void put_read(struct bench *b, unsigned port, unsigned slot)
{
    put_fis(b, slot, 0x25, 64, 8, 0);
    put_prd(b, slot, 0, DATA, 4096);
    put_header(b, port, slot, 1, 0);
}

/* A guest stops the port with a request in flight: CR tells when its memory is its own again [AHCI 10.3.1]. */
static void stop_in_flight(void **state)
{
    struct bench *b = *state;
    put_read(b, 0, 0);
    b->disk[0]->hold = true;
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, TFD), 0xd0);
    assert_int_equal(px(b, 0, CI), 1);
    px_write(b, 0, CMD, FRE);
    assert_int_equal(px(b, 0, CMD) & (CR | ST), CR);
    assert_int_equal(px(b, 0, CI), 0);
    px_write(b, 0, CMD, FRE | ST); /* too early: what comes now waits */
    put_read(b, 0, 3);
    issue(b, 0, 3);
    rig_settle(b->r);
    assert_int_equal(b->disk[0]->block.in_flight, 1);
    assert_int_equal(px(b, 0, PIS), 0);
    rig_disk_release(b->disk[0]);
    assert_int_equal(finish(b, 0), DHRS);
    assert_int_equal(px(b, 0, CI), 0);
    assert_int_equal(px(b, 0, TFD), READY);
    assert_true(b->disk[0]->block.stats.ops[BLOCK_READ] == 2);
    b->disk[0]->hold = true;
    issue(b, 0, 3);
    rig_settle(b->r);
    px_write(b, 0, CMD, FRE);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, CMD) & CR, 0);
    assert_int_equal(px(b, 0, TFD), READY);
    assert_int_equal(px(b, 0, PIS), 0);
}

/* GHC.HR stays until no request writes to guest memory any more [AHCI 10.4.3]; the structures' addresses stay. */
static void hba_reset_in_flight(void **state)
{
    struct bench *b = *state;
    put_read(b, 0, 0);
    b->disk[0]->hold = true;
    issue(b, 0, 0);
    rig_settle(b->r);
    hba_write(b, GHC, 0x80000003);
    assert_int_equal(hba(b, GHC), 0x80000001);
    assert_int_equal(px(b, 0, SSTS), 0);
    px_write(b, 0, CMD, FRE | ST);
    assert_int_equal(px(b, 0, CMD) & (FRE | ST), 0); /* nobody is there */
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    memset(b->r->ram + DATA, 0x5a, 4096);
    rig_settle(b->r);
    assert_int_equal(b->r->ram[DATA], 0x5a);
    assert_int_equal(hba(b, GHC), 0x80000000);
    assert_int_equal(px(b, 0, CMD), 0x06);
    assert_int_equal(px(b, 0, CLB), LISTS);
    assert_int_equal(px(b, 0, FB), LISTS + FRAMES);
    assert_int_equal(px(b, 0, SIG), 0xffffffff);
    assert_int_equal(px(b, 0, TFD), 0x7f);
    assert_int_equal(px(b, 0, SSTS), 0x113);
    assert_int_equal(px(b, 0, PIE), 0);
    assert_false(b->r->wires[WIRE]);
    bench_start(b, 0);
    assert_int_equal(command(b, 0, 0x25, 64, 8, 4096), DHRS);
    assert_memory_equal(b->r->ram + DATA, b->disk[0]->data + 64 * 512, 4096);
}

/* COMRESET: no device while it lasts, then the signature; with a request in flight not before its end [AHCI 10.4.2]. */
static void comreset(void **state)
{
    struct bench *b = *state;
    (void)command(b, 0, 0xc6, 0, 2, 0); /* a setting that doesn't outlive it */
    px_write(b, 0, CMD, FRE);
    px_write(b, 0, SCTL, 0x301);
    assert_int_equal(px(b, 0, SCTL), 0x301);
    assert_int_equal(px(b, 0, SSTS), 0);
    assert_int_equal(px(b, 0, TFD), 0x7f);
    assert_int_equal(px(b, 0, SIG), 0xffffffff);
    px_write(b, 0, SCTL, 0x300);
    assert_int_equal(px(b, 0, SSTS), 0x113);
    assert_int_equal(px(b, 0, SIG), 0x101);
    assert_int_equal(px(b, 0, TFD), 0x150);
    px_write(b, 0, CMD, FRE | ST);
    assert_int_equal(command(b, 0, 0xec, 0, 0, 512), PSS);
    assert_int_equal(le16_get(b->r->ram + DATA + 2 * 59), 0x0110);
    put_read(b, 0, 0);
    b->disk[0]->hold = true;
    issue(b, 0, 0);
    rig_settle(b->r);
    px_write(b, 0, CMD, FRE);
    px_write(b, 0, SCTL, 0x301);
    px_write(b, 0, SCTL, 0x300);
    assert_int_equal(px(b, 0, TFD), BSY);
    assert_int_equal(px(b, 0, SIG), 0xffffffff);
    assert_int_equal(px(b, 0, CMD) & CR, CR);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, SIG), 0x101);
    assert_int_equal(px(b, 0, CMD) & CR, 0);
    px_write(b, 0, SCTL, 4); /* off line */
    assert_int_equal(px(b, 0, SSTS), 4);
    px_write(b, 0, CMD, FRE | ST);
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, CI), 1); /* nobody takes it */
    assert_int_equal(b->disk[0]->block.in_flight, 0);
}

static void control(struct bench *b, unsigned port, bool srst)
{
    put_fis(b, 0, 0, 0, 0, 0);
    table_of(b, 0)[1] = 0;
    table_of(b, 0)[15] = srst ? 4 : 0;
    put_header(b, port, 0, 0, 0);
    list_of(b, port)[1] = srst ? 5 : 0; /* reset, and clear busy upon R_OK */
    issue(b, port, 0);
    rig_settle(b->r);
    assert_int_equal(px(b, port, CI), 0);
}

/* Soft reset by two control frames [AHCI 10.4.1]. */
static void soft_reset(void **state)
{
    struct bench *b = *state;
    static const unsigned ports[] = { 0, 3 };
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        unsigned port = ports[i];
        (void)command(b, port, 0xff, 0, 0, 0);
        restart(b, port);
        memset(frames_of(b, port), 0, 256);
        control(b, port, true);
        assert_int_equal(px(b, port, TFD) & BSY, 0);
        control(b, port, false);
        assert_int_equal(px(b, port, SIG), port == 0 ? 0x101 : 0xeb140101);
        assert_int_equal(px(b, port, TFD), port == 0 ? 0x150 : 0x100);
        assert_int_equal(frames_of(b, port)[0x40], 0x34);
        assert_int_equal(px(b, port, PIS), 0);
    }
    control(b, 0, false); /* without the first frame: nothing */
    assert_int_equal(px(b, 0, TFD), 0x150);
}

/* Saved with commands in flight and one not yet begun: those end in the drain, that one after the restore. */
static void snapshot(void **state)
{
    struct bench *b = *state;
    put_queued(b, 0, 4, false, 100, 8);
    put_queued(b, 0, 5, false, 200, 8);
    put_read(b, 1, 7);
    b->disk[0]->hold = b->disk[1]->hold = true;
    issue_queued(b, 0, 0x30);
    issue(b, 1, 7);
    rig_settle(b->r);
    put_read(b, 1, 9);
    le64_put(table_of(b, 9) + 0x80, DATA + 0x1000);
    issue(b, 1, 9);
    assert_int_equal(px(b, 0, SACT), 0x30);
    assert_false(b->r->dev->desc->quiet(b->r->dev));
    ahci_drain(b->r->dev);
    assert_true(b->r->dev->desc->quiet(b->r->dev));
    assert_int_equal(px(b, 0, SACT), 0);
    assert_int_equal(px(b, 1, CI), 0x200);
    memset(b->r->ram + DATA + 0x1000, 0, 4096);
    rig_save(b->r);
    device_free(b->r->dev);
    assert_false(b->r->wires[WIRE]);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->r->wires[WIRE]);
    assert_int_equal(px(b, 0, PIS), SDBS);
    rig_settle(b->r);
    assert_int_equal(px(b, 1, CI), 0);
    assert_memory_equal(b->r->ram + DATA + 0x1000, b->disk[1]->data + 64 * 512, 4096);
    assert_memory_equal(b->r->ram + DATA + 0x40000, b->disk[0]->data + 100 * 512, 4096);
    assert_int_equal(px(b, 0, CMD), 0xc517); /* CCS: slot 5 */
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x24, 4), (uint32_t)ABAR);
}

/* Every field that a snapshot must not choose freely. */
static void hostile_snapshot(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } rows[] = {
        { "ghc", 0 },
        { "ghc", 0x80000001 },
        { "index", 0x1000 },
        { "index", 2 },
        { "port[0].clb", 0x10001 },
        { "port[0].fb", 0x10080 },
        { "port[5].ie", 0x02000000 },
        { "port[0].cmd_reg", 0 },
        { "port[0].cmd_reg", 0x8006 },
        { "port[1].sctl", 0x1000 },
        { "port[2].owe_signature", 1 },
        { "port[0].chan.drive[0].kind", 2 },
        { "port[2].chan.drive[0].kind", 1 },
        { "port[3].chan.drive[0].kind", 1 },
        { "port[3].chan.drive[0].kind", 9 },
        { "port[0].chan.drive[0].status", 0x80 },
        { "port[0].chan.drive[0].disk.heads", 0 },
        { "port[0].chan.drive[0].disk.heads", 17 },
        { "port[1].chan.drive[0].disk.sectors", 0 },
        { "port[1].chan.drive[0].disk.multiple", 3 },
        { "port[3].chan.drive[0].cd.change", 3 },
        { "port[3].chan.drive[0].cd.events", 0x80 },
        { "port[3].chan.drive[0].cd.key", 0x10 },
        { "pci.config", 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        rig_save(b->r);
        rig_poke(b->r, rows[i].field, rows[i].val);
        assert_int_equal(rig_restore(b->r), -EINVAL);
        rig_settle(b->r);
        b->r->dev->desc->reset(b->r->dev); /* what was refused does no harm */
        bench_place(b);
        bench_start(b, 0);
        assert_int_equal(command(b, 0, 0x25, 64, 8, 4096), DHRS);
        bench_start(b, 1);
        bench_start(b, 3);
    }
    /* Odd but possible: commands in all slots, at addresses without memory. */
    rig_save(b->r);
    rig_poke(b->r, "port[0].ci", 0xffffffff);
    rig_poke(b->r, "port[0].sact", 0xffffffff);
    rig_poke(b->r, "port[0].clb", UINT64_C(0xfffffffffffffc00));
    rig_poke(b->r, "port[0].fb", UINT64_C(0xffffffffffffff00));
    assert_int_equal(rig_restore(b->r), 0);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, PIS) & HBFS, HBFS);
}

/* The Xen unplug: disks go, also while requests run (XSA-139), CD-ROMs stay; for the life of the device. */
static void unplug_disks(void **state)
{
    struct bench *b = *state;
    struct ide_drive_info info;
    static const uint8_t cdb[12] = { 0x28, 0, 0, 0, 0, 7, 0, 0, 1 };
    memset(b->r->ram + DATA, 0x99, 4096);
    put_fis(b, 0, 0x35, 9, 8, 0);
    put_prd(b, 0, 0, DATA, 4096);
    put_header(b, 0, 0, 1, HEADER_WRITE);
    b->disk[0]->hold = b->disk[1]->hold = true;
    issue(b, 0, 0);
    put_queued(b, 1, 3, false, 0, 8);
    issue_queued(b, 1, 8);
    rig_settle(b->r);
    ahci_unplug_disks(b->r->dev);
    assert_true(b->closed[0] && b->closed[1] && !b->closed[3]);
    assert_false(b->r->wires[WIRE]);
    assert_false(ahci_drive_info(b->r->dev, 0, &info));
    assert_true(ahci_drive_info(b->r->dev, 3, &info) && info.cdrom);
    for (unsigned port = 0; port < AHCI_PORTS; port++) {
        bench_start(b, port);
        assert_int_equal(px(b, port, SSTS), port == 3 ? 0x113 : 0);
        assert_int_equal(px(b, port, TFD), port == 3 ? 0x100 : 0x7f);
    }
    issue(b, 0, 0);
    rig_settle(b->r);
    assert_int_equal(px(b, 0, CI), 1);
    px_write(b, 0, SCTL, 1);
    px_write(b, 0, SCTL, 0);
    assert_int_equal(px(b, 0, SIG), 0xffffffff);
    assert_int_equal(packet(b, 3, cdb, 2048, true), DHRS);
    assert_memory_equal(b->r->ram + DATA, b->disk[3]->data + 7 * 2048, 2048);
    ahci_unplug_disks(b->r->dev);
    b->r->dev->desc->reset(b->r->dev); /* a reset doesn't bring them back */
    assert_false(ahci_drive_info(b->r->dev, 1, &info));
    rig_save(b->r);
    device_free(b->r->dev);
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0); /* nor does a restore */
    assert_true(b->closed[0] && b->closed[1] && !b->closed[3]);
    assert_false(ahci_drive_info(b->r->dev, 0, &info));
    assert_true(ahci_drive_info(b->r->dev, 3, &info));
}

/* What was written before the unplug is on the disk, and flushed. */
static void unplug_flushes(void **state)
{
    struct bench *b = *state;
    struct rig_disk *disk = b->disk[0];
    memset(b->r->ram + DATA, 0x99, 4096);
    disk->hold = true;
    put_queued(b, 0, 0, true, 9, 8);
    memset(b->r->ram + DATA, 0x99, 4096);
    issue_queued(b, 0, 1);
    rig_settle(b->r);
    ahci_drain(b->r->dev);
    assert_int_equal(disk->data[9 * 512], 0x99);
    assert_int_equal(disk->flushes, 1);
}

static void unplug_is_final(void **state)
{
    struct bench *b = *state;
    put_read(b, 0, 0);
    b->disk[0]->hold = true;
    issue(b, 0, 0);
    rig_settle(b->r);
    b->r->dev->desc->unplug(b->r->dev);
    assert_true(b->closed[0] && b->closed[1] && b->closed[3]);
    assert_int_equal(hba(b, CAP), 0xffffffff);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0, 4), 0xffffffff);
    b->r->dev->desc->unplug(b->r->dev);
    rig_settle(b->r);
}

/* A machine reset in the middle of everything. */
static void power_on_state(void **state)
{
    struct bench *b = *state;
    put_read(b, 0, 0);
    b->disk[0]->hold = true;
    issue(b, 0, 0);
    rig_settle(b->r);
    b->r->dev->desc->reset(b->r->dev);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0x24, 4), 0);
    reset_values(state);
    assert_int_equal(px(b, 0, CLB), 0);
}

/* What can't be made, and leaves nothing behind. */
static void refused_configurations(void **state)
{
    struct bench *b = *state;
    struct device *dev = NULL;
    struct ahci_config config = {
        .id = "x", .loop = &b->r->loop, .mem = &b->r->mem, .hv = &b->r->hv, .pci = &b->r->pci, .devfn = DEVFN
    };
    assert_int_equal(ahci_create(&config, &dev), -EEXIST);
    config.devfn = DEVFN + 8;
    config.drives[0].present = true;
    assert_int_equal(ahci_create(&config, &dev), -EINVAL); /* a disk without image */
    struct rig_disk *disk = rig_disk(b->r, 1 << 20);
    disk->block.sector_bytes = 4096;
    config.drives[0].block = &disk->block;
    assert_int_equal(ahci_create(&config, &dev), -EINVAL);
    assert_int_equal(rig_cfg_read(b->r, DEVFN + 8, 0, 4), 0xffffffff);
    block_close(&disk->block);
    assert_null(dev);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* A guest without sense: registers of any width, structures of any content, disks that hold back and fail. */
static void random_accesses(void **state)
{
    struct bench *b = *state;
    static const uint8_t codes[] = { 0x60, 0x61, 0x25, 0x35, 0x20, 0x30, 0xec, 0xa0, 0xa1, 0x06,
                                     0x2f, 0x42, 0xea, 0x90, 0x08, 0xb0, 0xef, 0xc4, 0xc5, 0x3d };
    uint64_t seed = 88172645463325252;
    for (unsigned round = 0; round < 60000; round++) {
        uint64_t r = next_random(&seed), val = next_random(&seed);
        unsigned port = (unsigned)(r >> 8) % AHCI_PORTS, slot = (unsigned)(r >> 16) % 32;
        switch (r % 16) {
        case 0: rig_mmio_write(b->r, ABAR + val % 4096, 1u << (r >> 32) % 4, next_random(&seed)); break;
        case 1: (void)rig_mmio_read(b->r, ABAR + val % 4096, 1u << (r >> 32) % 4); break;
        case 2: rig_out32(b->r, (uint16_t)(INDEX_PORT + val % 32), (uint32_t)r); break;
        case 3:
            put_fis(b, slot, codes[val % ARRAY_SIZE(codes)], val >> 8 & 0x3fff, (uint16_t)(val >> 32), (uint16_t)r);
            if (val & 0x40000000)
                le16_put(table_of(b, slot) + 12, (uint16_t)(slot << 3));
            memcpy(table_of(b, slot) + 0x40, &val, 8);
            break;
        case 4: table_of(b, slot)[val % 0x200] = (uint8_t)(val >> 16); break;
        case 5: put_prd(b, slot, (unsigned)(val % 8), val >> 40, (uint32_t)(val & 0x3fffff) >> (r >> 40) % 22); break;
        case 6: put_header(b, port, slot, (unsigned)(val % 8), (uint8_t)(val >> 8 & 0x60)); break;
        case 7: list_of(b, port)[val % 0x500] = (uint8_t)(val >> 16); break;
        case 8: px_write(b, port, SACT, (uint32_t)val); break;
        case 9: issue(b, port, slot); break;
        case 10: px_write(b, port, CI, (uint32_t)val); break;
        case 11: bench_start(b, port); break;
        case 12: px_write(b, port, CMD, FRE); break;
        case 13:
            if (b->disk[port]) {
                b->disk[port]->hold = val & 1;
                b->disk[port]->fail = val & 6 ? 0 : -EIO;
                b->disk[port]->fail_op = (enum block_op)(val >> 4 & 3);
                if (!(val & 1))
                    rig_disk_release(b->disk[port]);
            }
            break;
        case 14: rig_settle(b->r); break;
        case 15:
            if (val % 64 == 0)
                hba_write(b, GHC, 0x80000003);
            else if (val % 64 == 1)
                b->r->dev->desc->reset(b->r->dev);
            else if (val % 64 == 2)
                ahci_drain(b->r->dev);
            bench_place(b);
            break;
        }
    }
    for (unsigned port = 0; port < AHCI_PORTS; port++) {
        if (b->disk[port]) {
            b->disk[port]->fail = 0;
            rig_disk_release(b->disk[port]);
        }
    }
    rig_settle(b->r);
    hba_write(b, GHC, 0x80000001);
    rig_settle(b->r);
    bench_place(b);
    bench_start(b, 0);
    assert_int_equal(command(b, 0, 0x25, 64, 8, 4096), DHRS); /* still there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration_space, mixed_bare, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_values, mixed_bare, bench_teardown),
        cmocka_unit_test_setup_teardown(write_masks, mixed_bare, bench_teardown),
        cmocka_unit_test_setup_teardown(access_sizes, mixed_bare, bench_teardown),
        cmocka_unit_test_setup_teardown(signatures, mixed_bare, bench_teardown),
        cmocka_unit_test_setup_teardown(interrupts, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(stop_in_flight, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(hba_reset_in_flight, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(comreset, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(soft_reset, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshot, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_disks, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_flushes, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_is_final, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(power_on_state, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(refused_configurations, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(random_accesses, full, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
