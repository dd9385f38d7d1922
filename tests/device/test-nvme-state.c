/* hw/storage/nvme.c: reset, shutdown, unplug and snapshots with commands at work. [NVMe n] is NVM Express 1.4c, n. */
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

/* Ready until what is at work has ended; then nothing reaches the guest's memory any more [NVMe 7.3.2]. */
static void reset_with_commands_in_flight(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 8, DATA_AT, 0), more = io(READ, 0, 1024, DATA_AT + 4, LIST_AT);
    for (unsigned i = 0; i < 128; i++)
        le64_put(ram(b, LIST_AT + 8 * i), DATA_AT + (200 - (uint64_t)i) * PAGE);
    b->disk[0]->hold = true;
    (void)push(b, 1, &read);
    for (unsigned i = 0; i < 40; i++) { /* in pieces, and some wait for buckets */
        (void)push(b, 1, &more);
        ring(b, 1);
        mem_invalidate(&b->r->mem);
    }
    rig_settle(b->r);
    unsigned in_flight = b->disk[0]->block.in_flight;
    assert_in_range(in_flight, 2, 39);
    wr(b, CC, 0);
    assert_int_equal(rd(b, CSTS), RDY);
    ring(b, 1);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), RDY);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), 0);
    assert_true(nothing(b, 1));
    assert_int_equal(b->disk[0]->block.stats.ops[BLOCK_READ], in_flight); /* no further pieces */
    memset(ram(b, DATA_AT), 0x5a, 256 * PAGE);
    ring(b, 1); /* use after reset */
    seen(b, 1);
    rig_run(b->r, NS_PER_S);
    assert_true(nothing(b, 1));
    assert_int_equal(*ram(b, DATA_AT), 0x5a);
    enable(b);
    assert_int_equal(create_sq(b, 1, IO_LAST, 1), BAD_CQ);
    assert_int_equal(create_cq(b, 1, IO_LAST, 0), 0);
    assert_int_equal(create_sq(b, 1, IO_LAST, 1), 0);
    assert_int_equal(run(b, 1, read), 0);
}

static void enabled_again_without_waiting(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 8, DATA_AT, 0);
    b->disk[0]->hold = true;
    (void)push(b, 1, &read);
    ring(b, 1);
    wr(b, CC, 0);
    enable(b);
    assert_int_equal(rd(b, CSTS), RDY); /* of old */
    struct cmd cmd = { .opcode = ABORT };
    (void)push(b, 0, &cmd);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(nothing(b, 0));
    b->sq_tail[0] = 0;
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), RDY);
    assert_true(nothing(b, 1));
    assert_int_equal(run(b, 0, cmd), 0);
}

static void power_on_reset_with_commands_in_flight(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 8, DATA_AT, 0);
    b->disk[0]->hold = true;
    (void)push(b, 1, &read);
    ring(b, 1);
    rig_settle(b->r);
    b->r->dev->desc->reset(b->r->dev);
    assert_int_equal(b->disk[0]->block.in_flight, 0);
    memset(ram(b, DATA_AT), 0x5a, PAGE);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(*ram(b, DATA_AT), 0x5a);
    assert_true(nothing(b, 1));
    bench_place(b);
    assert_int_equal(rd(b, CSTS), 0);
    assert_int_equal(rd(b, CC), 0);
    enable(b);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = ABORT }), 0);
}

static void bus_master_off(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 8, DATA_AT, 0);
    uint16_t status;
    b->disk[0]->hold = true;
    (void)push(b, 1, &read);
    ring(b, 1);
    rig_settle(b->r);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_memory_equal(ram(b, DATA_AT), disk(b, 0), PAGE); /* arrived before the write ended */
    assert_true(reap(b, 1, &status) && status == 0);
    b->disk[0]->hold = false;
    (void)push(b, 1, &read);
    ring(b, 1);
    rig_settle(b->r);
    assert_true(nothing(b, 1));
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    rig_settle(b->r);
    assert_true(reap(b, 1, &status) && status == 0);
}

/* [NVMe 7.6.2] what was taken is answered, disks are flushed, nothing more is taken. */
static void shutdown_with_commands_in_flight(void **state)
{
    struct bench *b = *state;
    struct cmd write = io(WRITE, 0, 8, DATA_AT, 0);
    uint16_t status;
    b->disk[0]->hold = true;
    (void)push(b, 1, &write);
    ring(b, 1);
    wr(b, CC, CC_ON | SHN_NORMAL);
    assert_int_equal(rd(b, CSTS), RDY | SHUTTING);
    (void)push(b, 1, &write);
    ring(b, 1);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), RDY | SHUTTING);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), RDY | SHUT);
    assert_true(reap(b, 1, &status) && status == 0);
    assert_true(nothing(b, 1));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(b->disk[i]->flushes, 1);
    wr(b, CC, 0);
    assert_int_equal(rd(b, CSTS), 0);
    enable(b);
    assert_int_equal(rd(b, CSTS), RDY);
    b->disk[1]->fail = -EIO; /* a disk that can't flush doesn't keep the guest from going down */
    b->disk[1]->fail_op = BLOCK_FLUSH;
    wr(b, CC, CC_ON | 2 * SHN_NORMAL);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), RDY | SHUT);
    assert_int_equal(b->disk[3]->flushes, 2);
}

static void shutdown_while_disabled(void **state)
{
    struct bench *b = *state;
    struct cmd write = io(WRITE, 0, 8, DATA_AT, 0);
    b->disk[0]->hold = true;
    (void)push(b, 1, &write);
    ring(b, 1);
    wr(b, CC, SHN_NORMAL); /* both at once: first the reset */
    assert_int_equal(rd(b, CSTS), RDY);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_int_equal(rd(b, CSTS), SHUT);
    assert_int_equal(b->disk[0]->flushes, 1);
    enable(b);
    assert_int_equal(rd(b, CSTS), RDY);
}

static void unplug_is_final(void **state)
{
    struct bench *b = *state;
    struct cmd write = io(WRITE, 100, 8, DATA_AT, 0);
    uint16_t status;
    memset(ram(b, DATA_AT), 0x77, PAGE);
    b->disk[0]->hold = true;
    (void)push(b, 1, &write);
    ring(b, 1);
    rig_settle(b->r);
    assert_non_null(nvme_block(b->r->dev, 0));
    nvme_drain(b->r->dev);
    assert_int_equal(b->disk[0]->data[100 * SECTOR], 0x77); /* what the guest wrote is on the disk */
    assert_int_equal(b->disk[0]->flushes, 1);
    (void)push(b, 1, &write);
    ring(b, 1);
    rig_settle(b->r);
    nvme_unplug_disks(b->r->dev);
    assert_true(reap(b, 1, &status) && status == 0);
    assert_true(reap(b, 1, &status) && status == 0); /* the guest knows that it was done */
    assert_true(b->closed[0] && b->closed[3]);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0, 4), 0xffffffff);
    assert_int_equal(rd(b, CSTS), 0xffffffff);
    assert_false(b->r->wires[IRQ_WIRE]);
    assert_null(nvme_block(b->r->dev, 0));
    nvme_unplug_disks(b->r->dev);
    nvme_drain(b->r->dev);
    b->r->dev->desc->reset(b->r->dev);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0, 4), 0xffffffff);
    rig_run(b->r, NS_PER_S);
    /* It stays away in the saved state. */
    rig_save(b->r);
    device_free(b->r->dev);
    b->r->dev = NULL;
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->closed[0]);
    assert_int_equal(rig_cfg_read(b->r, DEVFN, 0, 4), 0xffffffff);
}

/* The worst moment: commands at work, others in the queue, an answer not seen, an event request held. */
static void snapshot_in_flight(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 50, 8, DATA_AT, 0), aer = { .opcode = AER };
    uint16_t status, aer_cid = push(b, 0, &aer);
    ring(b, 0);
    rig_settle(b->r);
    b->disk[0]->hold = true;
    for (unsigned i = 0; i < 3; i++)
        (void)push(b, 1, &read);
    ring(b, 1);
    rig_settle(b->r);
    rig_save(b->r);
    device_free(b->r->dev);
    b->r->dev = NULL;
    assert_int_equal(bench_create(b), 0);
    assert_int_equal(rig_restore(b->r), 0);
    assert_true(b->r->wires[IRQ_WIRE]);
    assert_int_equal(rd(b, CSTS), RDY);
    assert_int_equal(rd(b, CC), CC_ON);
    for (unsigned i = 0; i < 3; i++)
        assert_true(reap(b, 1, &status) && status == 0);
    assert_true(nothing(b, 1));
    assert_memory_equal(ram(b, DATA_AT), disk(b, 50), PAGE);
    seen(b, 1);
    assert_false(b->r->wires[IRQ_WIRE]);
    for (unsigned i = 0; i < 70; i++) /* the phase goes on as it was */
        assert_int_equal(run(b, 1, read), 0);
    wr(b, DOORBELL + 8 * QUEUES, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == aer_cid && b->result == 0x10000);
}

/* What was rung for but not taken is taken after the restore. */
static void snapshot_with_commands_in_the_queue(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 50, 8, DATA_AT, 0);
    uint16_t status;
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    (void)push(b, 1, &read);
    ring(b, 1);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    rig_settle(b->r);
    assert_true(nothing(b, 1));
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    rig_save(b->r);
    assert_int_equal(rig_restore(b->r), 0);
    rig_settle(b->r);
    assert_true(reap(b, 1, &status) && status == 0);
}

static void hostile_snapshot_is_refused(void **state)
{
    static const struct {
        const char *field;
        unsigned i;
        uint64_t bad, good;
    } cases[] = {
        { "regs.cc", 0, CC_ON | 0x01000000, CC_ON }, /* reserved */
        { "regs.cc", 0, 0, CC_ON },                  /* ready, but not enabled */
        { "regs.csts", 0, 0, RDY },                  /* queues, but not ready */
        { "regs.csts", 0, RDY | 0x10, RDY },
        { "regs.csts", 0, RDY | SHUTTING, RDY },
        { "regs.csts", 0, RDY | SHST, RDY },
        { "regs.aqa", 0, 0x1000, 0x1f001f },
        { "regs.asq", 0, SQ_AT + 1, SQ_AT },
        { "regs.acq", 0, CQ_AT + 0x800, CQ_AT },
        { "sq.last", 0, 0, ADMIN_LAST },
        { "sq.last", 0, 4096, ADMIN_LAST },
        { "sq.last", 1, 2048, IO_LAST },
        { "sq.last", QUEUES + 1, 1, 0 },
        { "sq.last", 64, 0xffff, 0 },
        { "sq.head", 1, IO_LAST + 1, 0 },
        { "sq.tail", 1, 0xffff, 0 },
        { "sq.tail", 5, 1, 0 }, /* of a queue that isn't there */
        { "sq.cq", 1, 0, 1 },
        { "sq.cq", 1, 2, 1 }, /* a queue that isn't there */
        { "sq.cq", 1, 65, 1 },
        { "sq.cq", 1, 0xffff, 1 },
        { "sq.cq", 0, 1, 0 },
        { "sq.addr", 1, SQ_AT + PAGE + 4, SQ_AT + PAGE },
        { "cq.last", 0, 0, ADMIN_LAST },
        { "cq.last", 1, 0, IO_LAST },
        { "cq.last", 1, 0xffff, IO_LAST },
        { "cq.last", 64, 1, 0 },
        { "cq.head", 1, 0x8000, 1 },
        { "cq.tail", 1, IO_LAST + 1, 1 },
        { "cq.vector", 1, QUEUES + 1, 0 },
        { "cq.vector", 0, 1, 0 },
        { "cq.addr", 0, 0x123, CQ_AT },
        { "cq.phase", 1, 2, 0 },
        { "cq.interrupts", 1, 0xff, 1 },
        { "features.arbitration", 0, 0x8, 7 },
        { "features.write_cache", 0, 2, 1 },
        { "features.uncoalesced", 64, 2, 0 },
        { "nr_aers", 0, 5, 1 },
        { "nr_aers", 0, 255, 1 },
        { "events", 0, 4, 0 },
        { "events_masked", 0, 2, 0 },
        { "unplugged", 0, 2, 0 },
        { "msix_table", 3, 2, 1 },
        { "msix_pending", 0, 0x80, 0 },
        { "pci.config", 0x09, 0, 2 },
        { "pci.config", 0x42, 0x40, QUEUES },
    };
    struct bench *b = *state;
    struct cmd aer = { .opcode = AER };
    (void)push(b, 0, &aer);
    ring(b, 0);
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0);
    rig_save(b->r);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        rig_poke_at(b->r, cases[i].field, cases[i].i, cases[i].bad);
        assert_int_equal(rig_restore(b->r), -EINVAL);
        ring(b, 1); /* whatever was loaded leads nowhere */
        rig_settle(b->r);
        b->r->dev->desc->reset(b->r->dev);
        rig_poke_at(b->r, cases[i].field, cases[i].i, cases[i].good);
    }
    rig_poke_at(b->r, "sq.head", 1, 1);
    rig_poke_at(b->r, "sq.tail", 1, 1);
    assert_int_equal(rig_restore(b->r), 0);
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reset_with_commands_in_flight, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(enabled_again_without_waiting, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(power_on_reset_with_commands_in_flight, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(bus_master_off, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(shutdown_with_commands_in_flight, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(shutdown_while_disabled, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(unplug_is_final, mixed, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot_in_flight, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(snapshot_with_commands_in_the_queue, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshot_is_refused, ready, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
