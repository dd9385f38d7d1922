/* The floppy controller: commands without data, media, reset, snapshots, known attacks. */
#include "fdc-bench.h"

/* --- Commands without data --- */

static void registers_at_power_on(void **state)
{
    struct bench *b = *state;
    static const uint8_t first[] = { 0xff, 0xff, 0x0c, 0, IDLE, 0 };
    for (unsigned i = 0; i < sizeof(first); i++)
        assert_int_equal(in(b, (uint16_t)(0x3f0 + i)), first[i]);
    assert_int_equal(in(b, DIR), 0x80);
    out(b, DOR, 0x0d); /* there is no such drive, and nothing drives its line */
    assert_int_equal(in(b, DIR), 0);
    out(b, TDR, 0xff);
    assert_int_equal(in(b, TDR), 3);
    assert_int_equal(in(b, DOR), 0x0d);
    assert_int_equal(fdc_drive_type(b->r->dev, 0), 4);
    assert_int_equal(fdc_drive_type(b->r->dev, 1), 0);
    assert_int_equal(fdc_drive_type(b->r->dev, 2), 0);
    assert_null(fdc_block(b->r->dev, 2));
    SEND(b, SENSE);
    RESULT_IS(b, 0x80); /* nothing has happened */
}

/* [82078 Reset]: four units say that they are ready. */
static void a_reset_is_told_by_four_senses(void **state)
{
    struct bench *b = *state;
    seek(b, 0, 5);
    for (unsigned how = 0; how < 2; how++) {
        SEND(b, READ, 0, 0); /* cut short */
        if (how == 0) {
            out(b, DOR, 0x08);
            assert_int_equal(in(b, MSR), 0);
            out(b, FIFO, SENSE); /* goes nowhere */
            out(b, DSR, 0x80);   /* it is in reset already */
            assert_int_equal(in(b, MSR), 0);
            assert_false(b->r->level);
            out(b, DOR, 0x0c);
        } else {
            out(b, DSR, 0x80);
        }
        assert_int_equal(in(b, MSR), IDLE);
        assert_true(b->r->level);
        for (uint8_t unit = 0; unit < 4; unit++) {
            SEND(b, SENSE);
            assert_false(b->r->level);
            RESULT_IS(b, 0xc0 | unit, 0);
        }
        SEND(b, SENSE);
        RESULT_IS(b, 0x80);
    }
    /* Who asks only once isn't told of units when it is about a seek. */
    out(b, DSR, 0x80);
    SEND(b, SENSE);
    RESULT_IS(b, 0xc0, 0);
    seek(b, 0, 3);
}

static void seeks(void **state)
{
    struct bench *b = *state;
    seek(b, 0, 8);
    SEND(b, 0xcf, 0, 1);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 9);
    SEND(b, 0x8f, 0, 4);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 5);
    SEND(b, 0x8f, 0, 255);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 0);
    seek(b, 0, 254);
    SEND(b, 0xcf, 0, 9);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 255);
    SEND(b, SENSE_DRIVE, 4);
    RESULT_IS(b, 0x2c);
    SEND(b, RECALIBRATE, 0);
    assert_true(b->r->level);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 0);
    SEND(b, SENSE_DRIVE, 0);
    RESULT_IS(b, 0x38);
    SEND(b, RECALIBRATE, 1); /* a drive that isn't there never says "track 0" [82078 Recalibrate] */
    SEND(b, SENSE);
    RESULT_IS(b, 0x71, 0);
    SEND(b, SENSE_DRIVE, 1);
    RESULT_IS(b, 0x29);
}

/* Each of several seeks is told, with an interrupt. */
static void overlapped_seeks(void **state)
{
    struct bench *b = *state;
    SEND(b, SEEK, 2, 7);
    SEND(b, RECALIBRATE, 3);
    SEND(b, SEEK, 0, 9);
    SEND(b, SENSE);
    RESULT_IS(b, 0x20, 9);
    assert_true(b->r->level);
    SEND(b, SENSE);
    RESULT_IS(b, 0x22, 7);
    assert_true(b->r->level);
    SEND(b, SENSE);
    RESULT_IS(b, 0x73, 0);
    assert_false(b->r->level);
    SEND(b, SENSE);
    RESULT_IS(b, 0x80);
}

static void settings(void **state)
{
    struct bench *b = *state;
    SEND(b, VERSION);
    RESULT_IS(b, 0x90);
    SEND(b, 0x18);
    RESULT_IS(b, 0x41);
    SEND(b, SPECIFY, 0xaf, 0x02);
    SEND(b, CONFIGURE, 0, 0x57, 0x20);
    SEND(b, 0x12, 0x87); /* perpendicular: drive 0, gap, write gate */
    SEND(b, 0x94);
    RESULT_IS(b, 0x10);
    SEND(b, 0x33, 0x80);
    SEND(b, 0x17, 0x05);
    RESULT_IS(b, 0x05);
    seek(b, 0, 6);
    SEND(b, 0x0e);
    RESULT_IS(b, 6, 0, 0, 0, 0xaf, 0x02, 0, 0x87, 0x57, 0x20);
    SEND(b, 0x2e);
    RESULT_IS(b, 0, 0, 6, 0, 0, 0, 0xaf, 0x02, 0, 0x87, 0x57, 0x20, 0x05, 0, 0, 0);
    out(b, DSR, 0x80); /* locked: the configuration stays, the gap doesn't [82078 Lock] */
    SEND(b, 0x0e);
    RESULT_IS(b, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x84, 0x57, 0x20);
    SEND(b, 0x14);
    RESULT_IS(b, 0);
    out(b, DSR, 0x80);
    SEND(b, 0x0e);
    RESULT_IS(b, 0, 0, 0, 0, 0xaf, 0x02, 0, 0x04, 0x60, 0);
    SEND(b, 0x12, 0x39); /* without overwrite drives stay */
    SEND(b, 0x4e, 0, 0, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0xff, 0xff, 0x44, 0x55, 0, 0, 0);
    SEND(b, 0x2e);
    RESULT_IS(b, 0, 0, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0xbf, 0x7f, 0x44, 0x55, 0, 0, 0);
}

static void drive_specification(void **state)
{
    struct bench *b = *state;
    SEND(b, 0x8e, 0x1f, 0x65, 0x80);
    RESULT_IS(b, 0x1f, 0, 0, 0x05);
    SEND(b, 0x8e, 0x22, 0xc0); /* no result is wanted */
    assert_int_equal(in(b, MSR), IDLE);
    SEND(b, 0x8e, 0x80);
    RESULT_IS(b, 0x1f, 0x02, 0, 0x05);
}

static void unknown_commands(void **state)
{
    struct bench *b = *state;
    static const uint8_t codes[] = {
        0x00, 0x01, 0x0b, 0x11, 0x19, 0x1d, 0x1f, 0x34, 0x4f, 0x51, 0x90, 0xcd, 0xef, 0xff
    };
    for (unsigned i = 0; i < sizeof(codes); i++) {
        SEND(b, codes[i]);
        RESULT_IS(b, 0x80);
        assert_false(b->r->level);
    }
    assert_int_equal(in(b, FIFO), 0); /* nothing is there to be read */
}

/* --- Media --- */

static void formats(void **state)
{
    static const struct {
        uint64_t bytes;
        unsigned type, cylinders, heads, sectors, rate;
    } media[] = {
        { 160 * KIB, 2, 40, 1, 8, RATE_300 },    { 180 * KIB, 2, 40, 1, 9, RATE_300 },
        { 320 * KIB, 2, 40, 2, 8, RATE_300 },    { 360 * KIB, 2, 40, 2, 9, RATE_300 },
        { 1200 * KIB, 2, 80, 2, 15, RATE_500 },  { 720 * KIB, 4, 80, 2, 9, RATE_250 },
        { MB144, 4, 80, 2, 18, RATE_500 },       { 1680 * KIB, 4, 80, 2, 21, RATE_500 },
        { 1722 * KIB, 4, 82, 2, 21, RATE_500 },  { 2880 * KIB, 5, 80, 2, 36, RATE_1000 },
        { 3840 * KIB, 5, 80, 2, 48, RATE_1000 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(media); i++) {
        struct bench *b = bench_new(1, media[i].bytes);
        unsigned c = media[i].cylinders - 1, h = media[i].heads - 1, r = media[i].sectors;
        assert_int_equal(fdc_drive_type(b->r->dev, 1), media[i].type);
        out(b, CCR, media[i].rate);
        arm(b, TO_MEMORY, AT, SECTOR);
        run(b, READ, 1, c, h, r, r);
        assert_int_equal(b->result[1], 0);
        assert_memory_equal(ram(b), b->disk[1]->data + media[i].bytes - SECTOR, SECTOR);
        SEND(b, READ_ID, (uint8_t)(h << 2 | 1)); /* where 40 cylinders are 80 tracks, too */
        assert_int_equal(result(b, 7)[3], c);
        assert_int_equal(b->result[1], 0);
        run(b, READ, 1, 0, h, r + 1, r + 1);
        assert_int_equal(b->result[1], NO_SECTOR);
        run(b, READ, 1, c + 1, h, 1, 1);
        assert_int_equal(b->result[1], NO_SECTOR);
        bench_free(b);
    }
}

/* A piece of 1.44 MB; what is no floppy at all. */
static void images_of_other_sizes(void **state)
{
    struct bench *b = bench_new(100 * SECTOR, 0);
    assert_int_equal(fdc_drive_type(b->r->dev, 0), 4);
    assert_int_equal(fdc_drive_type(b->r->dev, 1), 5);
    arm(b, TO_MEMORY, AT, 18 * SECTOR);
    run(b, READ, 0, 2, 1, 10, 18);
    ENDED(b, ABNORMAL | 4, NO_SECTOR, 0, 2, 1, 11, 2);
    assert_memory_equal(ram(b), b->disk[0]->data + 99 * SECTOR, SECTOR);
    bench_free(b);
    b = bench_bare();
    assert_int_equal(create(b, 4 * MIB, 1), -EINVAL);
    assert_false(b->closed[0]);
    block_close(&b->disk[0]->block);
    struct rig_disk *large = rig_disk(b->r, MB144), *empty = rig_disk(b->r, 0);
    large->block.sector_bytes = 4096;
    struct fdc_config config = { .id = "fdc", .ports = &b->r->ports, .drives = { { true, &large->block } } };
    assert_int_equal(fdc_create(&config, &b->r->dev), -EINVAL);
    config.drives[0].block = &empty->block;
    assert_int_equal(fdc_create(&config, &b->r->dev), -EINVAL);
    block_close(&large->block);
    block_close(&empty->block);
    assert_int_equal(create(b, 1, 1), 0);
    struct device *other;
    config.drives[0].block = NULL;
    assert_int_equal(fdc_create(&config, &other), -EEXIST);
    device_free(b->r->dev);
    static const struct bus_ops nothing = { .sizes = BUS_1 };
    struct bus_region taken = { 0 };
    assert_int_equal(bus_attach(&b->r->ports, &taken, &nothing, b, DIR, 1), 0);
    assert_int_equal(fdc_create(&config, &b->r->dev), -EEXIST);
    b->r->dev = NULL;
    bus_detach(&taken);
    bench_free(b);
}

/* [82078 DIR]: the line is up until the heads are moved with a medium in. */
static void disk_change_line(void **state)
{
    struct bench *b = *state;
    assert_int_equal(in(b, DIR), 0x80);
    seek(b, 0, 0);
    assert_int_equal(in(b, DIR), 0x80);
    seek(b, 0, 1);
    assert_int_equal(in(b, DIR), 0);
    eject(b, 0);
    assert_true(b->closed[0]);
    assert_null(fdc_block(b->r->dev, 0));
    seek(b, 0, 0);
    assert_int_equal(in(b, DIR), 0x80);
    run(b, READ, 0, 0, 0, 1, 18);
    ENDED(b, ABNORMAL, NO_ID, 0, 0, 0, 1, 2);
    assert_int_equal(insert(b, 0, 720 * KIB, false), 0);
    assert_ptr_equal(fdc_block(b->r->dev, 0), &b->disk[0]->block);
    assert_int_equal(in(b, DIR), 0x80);
    run(b, READ, 0, 0, 0, 1, 18);
    assert_int_equal(b->result[1], NO_ID); /* turns at another rate */
    out(b, CCR, RATE_250);
    arm(b, TO_MEMORY, AT, SECTOR);
    run(b, READ, 0, 1, 0, 1, 9);
    assert_int_equal(b->result[1], 0);
    assert_int_equal(in(b, DIR), 0);
    out(b, DOR, 0x0d); /* the other drive's */
    assert_int_equal(in(b, DIR), 0x80);
    SEND(b, RECALIBRATE, 1);
    assert_int_equal(in(b, DIR), 0x80);
    out(b, DOR, 0x0f);
    assert_int_equal(in(b, DIR), 0);
}

static void drives_take_what_fits(void **state)
{
    struct bench *b = *state; /* 1.44 MB; 2.88 MB, empty */
    assert_int_equal(insert(b, 0, 360 * KIB, false), -EINVAL);
    assert_int_equal(insert(b, 0, 2880 * KIB, false), -EINVAL);
    assert_int_equal(insert(b, 0, 8 * MIB, false), -EINVAL);
    assert_false(b->closed[0]); /* the old one stays */
    assert_int_equal(insert(b, 1, 1200 * KIB, false), -EINVAL);
    assert_int_equal(insert(b, 1, 2880 * KIB, false), 0);
    assert_int_equal(insert(b, 1, MB144, false), 0);
    arm(b, TO_MEMORY, AT, SECTOR);
    run(b, READ, 1, 0, 0, 1, 18);
    assert_int_equal(b->result[1], 0);
}

/* Ejected, changed within a command: it ends at the next sector. */
static void media_go_during_a_command(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 18 * SECTOR);
    b->disk[0]->hold = true;
    SEND(b, READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    rig_settle(b->r);
    assert_int_equal(in(b, MSR), WAITING);
    eject(b, 0);
    assert_true(b->closed[0]);
    RESULT_IS(b, ABNORMAL, NO_ID, 0, 0, 0, 2, 2);
    assert_int_equal(insert(b, 0, MB144, false), 0);
    SEND(b, SPECIFY, 0xaf, PIO);
    for (unsigned write = 0; write < 2; write++) {
        SEND(b, write ? WRITE : READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
        rig_settle(b->r);
        eject(b, 0);
        for (unsigned i = 0; i < SECTOR && write; i++)
            out(b, FIFO, 1);
        for (unsigned i = 0; i < SECTOR && !write; i++)
            (void)in(b, FIFO);
        RESULT_IS(b, ABNORMAL, NO_ID, 0, 0, 0, write ? 1 : 2, 2);
        assert_int_equal(insert(b, 0, MB144, false), 0);
    }
    SEND(b, READ, 0, 79, 1, 17, 2, 18, 0x1b, 0xff); /* a smaller one, at the same rate */
    rig_settle(b->r);
    assert_int_equal(insert(b, 0, 100 * SECTOR, false), 0);
    for (unsigned i = 0; i < SECTOR; i++)
        (void)in(b, FIFO);
    RESULT_IS(b, ABNORMAL | 4, NO_SECTOR, 0, 79, 1, 18, 2);
}

static void errors_of_the_host(void **state)
{
    struct bench *b = *state;
    b->disk[0]->fail = -EIO;
    arm(b, TO_MEMORY, AT, SECTOR);
    memset(ram(b), 0x5a, SECTOR);
    run(b, READ, 0, 3, 0, 4, 18);
    ENDED(b, ABNORMAL, BAD_DATA, 0x20, 3, 0, 4, 2);
    assert_int_equal(ram(b)[0], 0x5a);
    assert_non_null(strstr(b->r->log_last, "read of cylinder 3, head 0, sector 4"));
    b->disk[0]->fail_op = BLOCK_WRITE;
    b->disk[0]->fail = -ENOSPC;
    arm(b, FROM_MEMORY, AT, SECTOR);
    run(b, WRITE, 0, 3, 0, 4, 18);
    ENDED(b, ABNORMAL, BAD_DATA, 0x20, 3, 0, 4, 2);
    b->disk[0]->fail_op = BLOCK_FLUSH;
    rig_note(b->r, "op 0x3d00");
    fdc_drain(b->r->dev);
    assert_non_null(strstr(b->r->log_last, "flushing"));
    b->disk[0]->fail = 0;
    fdc_drain(b->r->dev);
    assert_int_equal(b->disk[0]->flushes, 1);
}

/* --- Reset, snapshots --- */

/* Nothing of the old command reaches the guest; the next one waits until the disk is free of it. */
static void reset_in_flight(void **state)
{
    struct bench *b = *state;
    for (unsigned how = 0; how < 2; how++) {
        arm(b, TO_MEMORY, AT, SECTOR);
        memset(ram(b), 0x5a, SECTOR);
        b->disk[0]->hold = true;
        SEND(b, READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
        rig_settle(b->r);
        if (how == 0) {
            out(b, DOR, 0);
            out(b, DOR, 0x0c);
        } else {
            out(b, DSR, 0x80);
        }
        assert_int_equal(in(b, MSR), IDLE);
        assert_false(b->r->dev->desc->quiet(b->r->dev));
        SEND(b, SPECIFY, 0xaf, PIO);
        SEND(b, WRITE, 0, 2, 0, 2, 2, 2, 0x1b, 0xff);
        assert_int_equal(in(b, MSR), 0x30);
        out(b, DSR, 0x80); /* once more */
        SEND(b, WRITE, 0, 2, 0, 2, 2, 2, 0x1b, 0xff);
        rig_disk_release(b->disk[0]);
        rig_settle(b->r);
        assert_int_equal(ram(b)[0], 0x5a);
        assert_int_equal(in(b, MSR), DATA_OUT);
        for (unsigned i = 0; i < SECTOR; i++)
            out(b, FIFO, 0x31);
        rig_settle(b->r);
        RESULT_IS(b, 0, 0, 0, 3, 0, 1, 2);
        assert_int_equal(at_sector(b, 2, 0, 2)[300], 0x31);
        SEND(b, SPECIFY, 0xaf, 0);
    }
    b->disk[0]->hold = true; /* an orphan that nobody waits for; then power on */
    SEND(b, READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    out(b, DSR, 0x80);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(in(b, MSR), IDLE);
    b->disk[0]->hold = true;
    SEND(b, READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    b->r->dev->desc->reset(b->r->dev);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    assert_int_equal(in(b, MSR), IDLE);
    assert_int_equal(ram(b)[0], 0x5a);
    assert_false(b->r->level);
}

static void unplug_in_flight(void **state)
{
    struct bench *b = *state;
    b->disk[0]->hold = true;
    SEND(b, READ, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    b->r->dev->desc->unplug(b->r->dev);
    assert_true(b->closed[0]);
    assert_false(b->r->level);
    assert_int_equal(in(b, MSR), 0xff);
    b->r->dev->desc->unplug(b->r->dev);
}

static void snapshots(void **state)
{
    struct bench *b = *state;
    SEND(b, READ, 0, 1);
    rig_save(b->r);
    out(b, DSR, 0x80);
    assert_int_equal(rig_restore(b->r), 0);
    assert_int_equal(in(b, MSR), PARAMETERS);
    assert_false(b->r->level);
    out(b, DSR, 0x80);
    SEND(b, SPECIFY, 0xaf, PIO);
    SEND(b, READ, 0, 1, 0, 4, 2, 18, 0x1b, 0xff);
    rig_settle(b->r);
    for (unsigned i = 0; i < 100; i++)
        (void)in(b, FIFO);
    rig_save(b->r);
    out(b, DSR, 0x80);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->r->level);
    for (unsigned i = 100; i < SECTOR; i++)
        assert_int_equal(in(b, FIFO), at_sector(b, 1, 0, 4)[i]);
    rig_settle(b->r);
    assert_int_equal(in(b, FIFO), at_sector(b, 1, 0, 5)[0]);
    chip_damaged_snapshots(b->r);
    out(b, DSR, 0x80);
    SEND(b, VERSION);
    chip_damaged_snapshots(b->r);
}

static void impossible_snapshots(void **state)
{
    enum { PHASE_COMMAND, PHASE_WAIT, PHASE_IN, PHASE_OUT, PHASE_RESULT, OP_READ = 1, OP_WRITE = 3, OP_FORMAT };
    struct bench *b = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "phase", PHASE_WAIT }, { "phase", 5 },  { "phase", 255 }, { "phase", PHASE_RESULT },
                { "op", OP_READ },       { "pos", 1 },    { "len", 1 },     { "unit", 4 },
                { "polls", 5 },          { "seeks", 16 }, { "faults", 1 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(b->r);
        rig_poke(b->r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(b->r), -EINVAL);
        SEND(b, VERSION); /* and it works */
        RESULT_IS(b, 0x90);
    }
    static const struct {
        unsigned phase, op, at, left, dor, pos, len;
        bool fine;
    } states[] = {
        { PHASE_RESULT, 0, 0, 0, 4, 16, 17, true },         { PHASE_RESULT, 0, 0, 0, 4, 17, 18, false },
        { PHASE_RESULT, 0, 0, 0, 4, 5, 5, false },          { PHASE_IN, OP_READ, 511, 0, 4, 0, 0, true },
        { PHASE_IN, OP_READ, 512, 0, 4, 0, 0, false },      { PHASE_IN, OP_WRITE, 0, 0, 4, 0, 0, false },
        { PHASE_IN, OP_READ, 0, 0, 0, 0, 0, false },        { PHASE_OUT, OP_WRITE, 511, 0, 4, 0, 0, true },
        { PHASE_OUT, OP_WRITE, 0xffff, 0, 4, 0, 0, false }, { PHASE_OUT, OP_FORMAT, 3, 1, 4, 0, 0, true },
        { PHASE_OUT, OP_FORMAT, 4, 1, 4, 0, 0, false },     { PHASE_OUT, OP_FORMAT, 3, 0, 4, 0, 0, false },
        { PHASE_OUT, OP_READ, 0, 0, 4, 0, 0, false },       { PHASE_COMMAND, 0, 0, 0, 4, 1, 9, false },
        { PHASE_COMMAND, 0, 0, 0, 4, 200, 255, false },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        b->r->dev->desc->reset(b->r->dev);
        rig_save(b->r);
        rig_poke(b->r, "phase", states[i].phase);
        rig_poke(b->r, "op", states[i].op);
        rig_poke(b->r, "at", states[i].at);
        rig_poke(b->r, "left", states[i].left);
        rig_poke(b->r, "dor", states[i].dor);
        rig_poke(b->r, "pos", states[i].pos);
        rig_poke(b->r, "len", states[i].len);
        assert_int_equal(rig_restore(b->r), states[i].fine ? 0 : -EINVAL);
        for (unsigned n = 0; n < 2 * SECTOR; n++) {
            out(b, FIFO, 0x4a);
            (void)in(b, FIFO);
        }
        rig_settle(b->r);
    }
    b->r->dev->desc->reset(b->r->dev);
    rig_save(b->r);
    rig_poke_at(b->r, "changed", 1, 1); /* of a drive that isn't there */
    assert_int_equal(rig_restore(b->r), -EINVAL);
}

/* --- Known attacks --- */

/* VENOM: parameters without end. */
static void cve_2015_3456_fifo_index(void **state)
{
    struct bench *b = *state;
    static const uint8_t codes[] = { 0x8e, 0x4a, 0x0a, 0x4e, 0x13, 0xff };
    for (unsigned i = 0; i < sizeof(codes); i++) {
        for (unsigned write = 0; write < 2; write++) {
            SEND(b, codes[i]);
            for (unsigned n = 0; n < 600; n++)
                out(b, FIFO, n & 0x7f);
            rig_save(b->r);
            assert_int_equal(rig_restore(b->r), 0); /* checks the index, too */
            for (unsigned n = 0; n < 600 && write; n++)
                (void)in(b, FIFO);
            out(b, DSR, 0x80);
        }
    }
    SEND(b, 0x8e, 1, 2, 3, 4, 5); /* at the fifth byte it is over */
    RESULT_IS(b, 0x80);
}

static void cve_2020_25741_no_medium(void **state)
{
    struct bench *b = *state; /* the second drive is empty, there is no third */
    SEND(b, SPECIFY, 0xaf, PIO);
    for (uint8_t unit = 1; unit < 4; unit++) {
        out(b, DOR, 0x0c | unit);
        SEND(b, FORMAT, unit, 2, 18, 0x50, 0xf6);
        RESULT_IS(b, ABNORMAL | unit, NO_ID, 0, 0, 0, 1, 2);
        SEND(b, WRITE, unit, 0, 0, 1, 2, 18, 0x1b, 0xff);
        RESULT_IS(b, ABNORMAL | unit, NO_ID, 0, 0, 0, 1, 2);
        for (unsigned i = 0; i < 600; i++)
            out(b, FIFO, 0x20);
        out(b, DSR, 0x80);
        SEND(b, READ, unit, 0, 0, 1, 2, 18, 0x1b, 0xff);
        RESULT_IS(b, ABNORMAL | unit, NO_ID, 0, 0, 0, 1, 2);
    }
}

static void cve_2021_20196_drive_changed_in_a_command(void **state)
{
    struct bench *b = *state;
    SEND(b, SPECIFY, 0xaf, PIO);
    for (unsigned write = 0; write < 2; write++) {
        SEND(b, write ? WRITE : READ, 0, 0, 0, 1, 2, 2, 0x1b, 0xff);
        rig_settle(b->r);
        for (unsigned i = 0; i < 2 * SECTOR; i++) {
            out(b, DOR, 0x0c | (i & 3));
            out(b, TDR, i);
            if (write)
                out(b, FIFO, 0x11);
            else
                assert_int_equal(in(b, FIFO), at_sector(b, 0, 0, 1)[i]);
            rig_settle(b->r);
        }
        RESULT_IS(b, 0, 0, 0, 1, 0, 1, 2);
    }
    for (unsigned i = 0; i < 2 * SECTOR; i++)
        assert_int_equal(at_sector(b, 0, 0, 1)[i], 0x11);
}

/* The last sector is before the first: once more than there are no sectors can't be moved. */
static void cve_2021_3507_last_sector_before_the_first(void **state)
{
    struct bench *b = *state;
    arm(b, TO_MEMORY, AT, 0x10000);
    memset(ram(b), 0x5a, 0x10000);
    run(b, READ, 0, 0, 0, 5, 0);
    ENDED(b, ABNORMAL, NO_SECTOR, 0, 0, 0, 19, 2);
    assert_memory_equal(ram(b), at_sector(b, 0, 0, 5), 14 * SECTOR);
    for (unsigned i = 14 * SECTOR; i < 0x10000; i++)
        assert_int_equal(ram(b)[i], 0x5a);
    for (unsigned eot = 0; eot < 256; eot += 17) {
        arm(b, TO_MEMORY, AT, 0x10000);
        run(b, READ | MT, 0, 0, 0, 18, eot);
        arm(b, FROM_MEMORY, AT, 0x10000);
        run(b, WRITE | MT, 0, 0, 0, 18, eot);
        run(b, VERIFY | MT, 0, 0, 1, 255, eot);
    }
}

static void every_port_in_every_size(void **state)
{
    struct bench *b = *state;
    chip_every_port(b->r, (struct port_range){ 0x3f0, 0x3f7 });
}

static void random_guest(void **state)
{
    static const struct port_range ranges[] = {
        { 0x3f2, 0x3f5 }, { FIFO, FIFO }, { FIFO, FIFO }, { 0x3f7, 0x3f7 }, { 0, 15 }
    };
    struct bench *b = *state;
    uint64_t seed = 20261121;
    for (unsigned step = 0; step < 300000; step++) {
        const struct port_range *range = &ranges[chip_random(&seed) % ARRAY_SIZE(ranges)];
        uint16_t port = (uint16_t)(range->first + chip_random(&seed) % (range->last - range->first + 1u));
        if (chip_random(&seed) & 1)
            out(b, port, chip_random(&seed) & chip_random(&seed) & 0xff);
        else
            (void)in(b, port);
        if (step % 7 == 0)
            rig_settle(b->r);
        if (step % 1000 == 0) {
            fdc_drain(b->r->dev);
            rig_save(b->r);
            assert_int_equal(rig_restore(b->r), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_at_power_on),
        TEST(a_reset_is_told_by_four_senses),
        TEST(seeks),
        TEST(overlapped_seeks),
        TEST(settings),
        TEST(drive_specification),
        TEST(unknown_commands),
        cmocka_unit_test(formats),
        cmocka_unit_test(images_of_other_sizes),
        TEST2(disk_change_line),
        TEST2(drives_take_what_fits),
        TEST(media_go_during_a_command),
        TEST(errors_of_the_host),
        TEST(reset_in_flight),
        TEST(unplug_in_flight),
        TEST(snapshots),
        TEST(impossible_snapshots),
        TEST(cve_2015_3456_fifo_index),
        TEST2(cve_2020_25741_no_medium),
        TEST(cve_2021_20196_drive_changed_in_a_command),
        TEST(cve_2021_3507_last_sector_before_the_first),
        TEST2(every_port_in_every_size),
        TEST2(random_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
