/* hw/storage/nvme.c, nvme-queue.c: registers, queues, doorbells, interrupts. [NVMe n] is NVM Express 1.4c, n. */
#include "nvme-bench.h"

static int one_disk(void **state)
{
    *state = bench_new("d");
    return 0;
}

static int ready(void **state)
{
    *state = bench_ready("d");
    return 0;
}

/* The function that guests know: class 010802, MSI-X in front of power management, 16 KiB of 64-bit BAR. */
static void configuration_space(void **state)
{
    struct bench *b = *state;
    struct rig *r = b->r;
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x00, 4), 0x00101b36);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x08, 4), 0x01080202);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x2c, 4), 0x11001af4);
    assert_int_equal(rig_cfg_read(r, DEVFN, PCI_INT_PIN, 1), 1);
    assert_int_equal(rig_cfg_read(r, DEVFN, PCI_STATUS, 2) & 0x10, 0x10);
    assert_int_equal(rig_cfg_read(r, DEVFN, PCI_CAP_PTR, 1), 0x40);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x40, 4), 0x00066011); /* 7 vectors, next at 60 */
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x44, 4), TABLE);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x48, 4), PBA);
    assert_int_equal(rig_cfg_read(r, DEVFN, 0x60, 4), 0x00030001);
    rig_cfg_write(r, DEVFN, PCI_COMMAND, 2, 0);
    rig_cfg_write(r, DEVFN, PCI_BAR0, 4, 0xffffffff);
    rig_cfg_write(r, DEVFN, PCI_BAR0 + 4, 4, 0xffffffff);
    assert_int_equal(rig_cfg_read(r, DEVFN, PCI_BAR0, 4), 0xffffc004);
    assert_int_equal(rig_cfg_read(r, DEVFN, PCI_BAR0 + 4, 4), 0xffffffff);
}

static void reset_values(void **state)
{
    struct bench *b = *state;
    assert_true(rig_mmio_read(b->r, BAR + CAP, 8) == UINT64_C(0x203c0107ff));
    assert_int_equal(rd(b, VS), 0x10400);
    for (unsigned off = INTMS; off < 0x100; off += 4)
        assert_int_equal(rd(b, off), 0);
    for (unsigned i = 0; i <= QUEUES; i++)
        assert_int_equal(rd(b, TABLE + 16 * i + 12), 1);
    assert_int_equal(rd(b, DOORBELL), 0);
    assert_int_equal(rd(b, PBA), 0);
    assert_int_equal(rd(b, 0x3ffc), 0);
}

/* [NVMe 3.1] 32 and 64 bits, aligned; the others are not for guests and do nothing. */
static void registers_by_size(void **state)
{
    struct bench *b = *state;
    assert_int_equal(rig_mmio_read(b->r, BAR + VS, 1), 0xff);
    assert_int_equal(rig_mmio_read(b->r, BAR + VS, 2), 0xffff);
    rig_mmio_write(b->r, BAR + AQA, 2, 0x3ff);
    rig_mmio_write(b->r, BAR + AQA + 2, 4, 0x3ff);
    assert_int_equal(rd(b, AQA), 0);
    assert_int_equal(rig_mmio_read(b->r, BAR + VS + 2, 4), 0);
    rig_mmio_write(b->r, BAR + ASQ, 8, UINT64_C(0x123456789abcdfff));
    assert_true(rig_mmio_read(b->r, BAR + ASQ, 8) == UINT64_C(0x123456789abcd000));
    wr(b, ACQ, 0xffffffff);
    wr(b, ACQ + 4, 0xffffffff);
    assert_true(rig_mmio_read(b->r, BAR + ACQ, 8) == UINT64_C(0xfffffffffffff000));
    wr(b, AQA, 0xffffffff);
    assert_int_equal(rd(b, AQA), 0x0fff0fff);
    wr(b, INTMS, 0x5);
    wr(b, INTMS, 0x8);
    assert_int_equal(rd(b, INTMS), 0xd);
    wr(b, INTMC, 0x4);
    assert_int_equal(rd(b, INTMC), 0x9);
}

/* CVE-2018-16847: there is no controller memory buffer, and nothing where it could be. */
static void no_controller_memory_buffer(void **state)
{
    struct bench *b = *state;
    wr(b, CMBLOC, 0xffffffff);
    wr(b, CMBSZ, 0xffffffff);
    wr(b, NSSR, 0x4e564d65);
    assert_int_equal(rd(b, CMBLOC), 0);
    assert_int_equal(rd(b, CMBSZ), 0);
    assert_int_equal(rd(b, CSTS), 0);
    for (unsigned bar = 2; bar < 6; bar++) {
        rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 4 * bar, 4, 0xffffffff);
        assert_int_equal(rig_cfg_read(b->r, DEVFN, PCI_BAR0 + 4 * bar, 4), 0);
    }
}

static void enabling(void **state)
{
    static const struct {
        uint32_t aqa, cc;
    } bad[] = {
        { 0, CC_ON },
        { 0x1f, CC_ON },
        { 0x1f0000, CC_ON },
        { 0x1f001f, CC_ON | 0x80 },
        { 0x1f001f, CC_ON | 0x60 },
        { 0x1f001f, CC_ON | 0x800 },
    };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        wr(b, AQA, bad[i].aqa);
        wr(b, CC, bad[i].cc);
        assert_int_equal(rd(b, CSTS), CFS);
        wr(b, DOORBELL, 1); /* nobody is there */
        wr(b, CC, 0);
        assert_int_equal(rd(b, CSTS), 0);
    }
    enable(b);
    assert_int_equal(rd(b, CSTS), RDY);
    assert_int_equal(rd(b, CC), CC_ON);
    wr(b, CC, 0);
    assert_int_equal(rd(b, CSTS), 0);
    assert_int_equal(rd(b, AQA), 0x1f001f); /* survives [NVMe 7.3.2] */
}

static void creating_queues(void **state)
{
    struct bench *b = *state;
    struct cmd cq = { .opcode = CREATE_CQ, .prp1 = CQ_AT + 2 * PAGE, .dw10 = 2 | IO_LAST << 16, .dw11 = 3 }, bad = cq;
    static const struct {
        uint32_t dw10, dw11;
        uint16_t status;
    } bad_cqs[] = {
        { 0 | IO_LAST << 16, 3, BAD_QID },          { (QUEUES + 1) | IO_LAST << 16, 3, BAD_QID },
        { 0xffff | IO_LAST << 16, 3, BAD_QID },     { 1 | IO_LAST << 16, 3, BAD_QID }, /* there already */
        { 2, 3, BAD_QSIZE },                        { 2 | 2048 << 16, 3, BAD_QSIZE },
        { 2 | 0xffffu << 16, 3, BAD_QSIZE },        { 2 | IO_LAST << 16, 2, BAD_FIELD }, /* not contiguous */
        { 2 | IO_LAST << 16, 3 | 1 << 16, BAD_VECTOR }, /* MSI-X is off */
        { 2 | IO_LAST << 16, 3 | 0xffffu << 16, BAD_VECTOR },
    }, bad_sqs[] = {
        { 2 | IO_LAST << 16, 1, BAD_QID },          { 2 | IO_LAST << 16, 1 | (QUEUES + 1) << 16, BAD_QID },
        { 2 | IO_LAST << 16, 1 | 0xffffu << 16, BAD_QID }, { 2 | IO_LAST << 16, 1 | 3 << 16, BAD_CQ },
        { 0 | IO_LAST << 16, 1 | 1 << 16, BAD_QID }, { (QUEUES + 1) | IO_LAST << 16, 1 | 1 << 16, BAD_QID },
        { 1 | IO_LAST << 16, 1 | 1 << 16, BAD_QID }, { 2, 1 | 1 << 16, BAD_QSIZE },
        { 2 | 2048 << 16, 1 | 1 << 16, BAD_QSIZE },  { 2 | IO_LAST << 16, 0 | 1 << 16, BAD_FIELD },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad_cqs); i++) {
        bad.dw10 = bad_cqs[i].dw10;
        bad.dw11 = bad_cqs[i].dw11;
        assert_int_equal(run(b, 0, bad), bad_cqs[i].status);
        assert_true(b->final);
    }
    bad = cq;
    bad.prp1 += 0x10;
    assert_int_equal(run(b, 0, bad), BAD_OFFSET);
    assert_int_equal(run(b, 0, cq), 0);
    assert_int_equal(run(b, 0, cq), BAD_QID);
    bad = (struct cmd){ .opcode = CREATE_SQ, .prp1 = SQ_AT + 2 * PAGE };
    for (size_t i = 0; i < ARRAY_SIZE(bad_sqs); i++) {
        bad.dw10 = bad_sqs[i].dw10;
        bad.dw11 = bad_sqs[i].dw11;
        assert_int_equal(run(b, 0, bad), bad_sqs[i].status);
    }
    assert_int_equal(create_sq(b, 2, 2047, 2), 0);
}

/* Entry sizes other than 64 and 16 bytes: no queue. */
static void entry_sizes(void **state)
{
    struct bench *b = *state;
    wr(b, CC, 1);
    assert_int_equal(create_cq(b, 2, IO_LAST, 0), BAD_FIELD);
    wr(b, CC, 0x00400001);
    assert_int_equal(create_cq(b, 2, IO_LAST, 0), 0);
    assert_int_equal(create_sq(b, 2, IO_LAST, 2), BAD_FIELD);
}

static void completion_queue_in_use_stays(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = DELETE_CQ, .dw10 = 1 };
    assert_int_equal(run(b, 0, cmd), BAD_DELETION);
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0);
    cmd.opcode = DELETE_SQ;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(run(b, 0, cmd), BAD_QID);
    cmd.opcode = DELETE_CQ;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(run(b, 0, cmd), BAD_QID);
    assert_int_equal(create_sq(b, 1, IO_LAST, 1), BAD_CQ); /* a submission queue with a deleted completion queue */
    for (unsigned q = 0; q <= QUEUES + 1; q += QUEUES + 1) {
        cmd.dw10 = q;
        assert_int_equal(run(b, 0, cmd), BAD_QID);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = DELETE_SQ, .dw10 = q }), BAD_QID);
    }
}

/* [NVMe 5.6] The answer comes when the last command of the queue was answered. */
static void deleting_a_queue_waits_for_its_commands(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 8, DATA_AT, 0), del = { .opcode = DELETE_SQ, .dw10 = 1 };
    uint16_t status;
    b->disk[0]->hold = true;
    (void)push(b, 1, &read);
    (void)push(b, 1, &read);
    ring(b, 1);
    uint16_t cid = push(b, 0, &del);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(nothing(b, 0));
    (void)push(b, 1, &read); /* comes too late */
    ring(b, 1);
    assert_int_equal(run(b, 0, del), BAD_QID);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = DELETE_CQ, .dw10 = 1 }), BAD_DELETION);
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    assert_true(reap(b, 1, &status) && status == 0);
    assert_true(reap(b, 1, &status) && status == 0);
    assert_true(nothing(b, 1));
    assert_true(reap(b, 0, &status) && status == 0 && b->cid == cid);
    seen(b, 0);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = DELETE_CQ, .dw10 = 1 }), 0);
}

/* Rings wrap, phases turn; each queue has its own. */
static void several_queues(void **state)
{
    struct bench *b = *state;
    uint16_t status;
    for (unsigned q = 2; q <= QUEUES; q++) {
        assert_int_equal(create_cq(b, q, 2, 0), 0);
        assert_int_equal(create_sq(b, q, 4, q), 0);
    }
    for (unsigned round = 0; round < 23; round++) {
        for (unsigned q = 2; q <= QUEUES; q++) {
            uint64_t lba = q * 100 + round;
            struct cmd cmd = io(READ, lba, 1, DATA_AT + q * PAGE, 0);
            (void)push(b, q, &cmd);
            ring(b, q);
        }
        rig_settle(b->r);
        for (unsigned q = 2; q <= QUEUES; q++) {
            assert_true(reap(b, q, &status) && status == 0);
            assert_true(nothing(b, q));
            seen(b, q);
            assert_memory_equal(b->r->ram + DATA_AT + q * PAGE, b->disk[0]->data + (q * 100 + round) * SECTOR, SECTOR);
        }
    }
}

/* Commands stay in their queue until there is room for the answers. */
static void full_completion_queue(void **state)
{
    struct bench *b = *state;
    uint16_t status;
    assert_int_equal(create_cq(b, 2, 2, 0), 0);
    assert_int_equal(create_sq(b, 2, 15, 2), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct cmd cmd = io(READ, i, 1, DATA_AT + i * PAGE, 0);
        (void)push(b, 2, &cmd);
    }
    ring(b, 2);
    rig_settle(b->r);
    for (unsigned left = 5; left > 0;) {
        unsigned room = left < 2 ? left : 2;
        for (unsigned i = 0; i < room; i++)
            assert_true(reap(b, 2, &status) && status == 0);
        assert_true(nothing(b, 2));
        left -= room;
        seen(b, 2);
        rig_settle(b->r);
    }
    assert_memory_equal(b->r->ram + DATA_AT + 4 * PAGE, b->disk[0]->data + 4 * SECTOR, SECTOR);
}

/* The queue and all slots full at once, from one doorbell. */
static void more_commands_than_slots(void **state)
{
    struct bench *b = *state;
    unsigned answers = 0;
    uint16_t status;
    for (unsigned q = 2; q <= 4; q++) {
        assert_int_equal(create_cq(b, q, IO_LAST, 0), 0);
        assert_int_equal(create_sq(b, q, IO_LAST, q), 0);
    }
    b->disk[0]->hold = true;
    for (unsigned q = 2; q <= 4; q++) {
        for (unsigned i = 0; i < IO_LAST; i++) {
            struct cmd cmd = io(i % 2 ? READ : FLUSH, i, 1, DATA_AT, 0);
            (void)push(b, q, &cmd);
        }
        ring(b, q);
    }
    rig_settle(b->r);
    assert_int_equal(b->disk[0]->block.in_flight, 64);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = ABORT, .dw10 = 1 }), 0); /* administration goes on */
    rig_disk_release(b->disk[0]);
    rig_settle(b->r);
    for (unsigned q = 2; q <= 4; q++) {
        while (reap(b, q, &status)) {
            assert_int_equal(status, 0);
            answers++;
        }
    }
    assert_int_equal(answers, 3 * IO_LAST);
}

static void doorbell_out_of_range(void **state)
{
    struct bench *b = *state;
    struct cmd aer = { .opcode = AER };
    uint16_t status, cid = push(b, 0, &aer);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(nothing(b, 0));
    wr(b, DOORBELL + 8 * (QUEUES + 1), 1);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && status == 0 && b->cid == cid);
    assert_int_equal(b->result, 0x10000); /* error, invalid doorbell register, log page 1 */
    seen(b, 0);
    for (unsigned off = DOORBELL; off < TABLE; off += 4) {
        if (off >= DOORBELL + 16)
            wr(b, off, 0xffffffff);
    }
    cid = push(b, 0, &aer);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(nothing(b, 0)); /* of one type until its page was read [NVMe 5.2] */
    struct cmd log = { .opcode = LOG_PAGE, .prp1 = DATA_AT, .dw10 = 0x8001 | 15 << 16 };
    assert_int_equal(run(b, 0, log), 0); /* says that the event is to stay */
    assert_true(nothing(b, 0));
    log.dw10 = 0x01 | 15 << 16;
    uint16_t log_cid = push(b, 0, &log);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == cid && b->result == 0x10000);
    assert_true(reap(b, 0, &status) && b->cid == log_cid && status == 0);
    seen(b, 0);
}

static void doorbell_with_a_value_outside_of_the_queue(void **state)
{
    struct bench *b = *state;
    struct cmd aer = { .opcode = AER };
    static const struct {
        unsigned off, val;
    } bad[] = {
        { DOORBELL + 8, IO_LAST + 1 }, { DOORBELL + 8, 0xffff }, { DOORBELL + 12, IO_LAST + 1 }, { DOORBELL + 12, 1 }
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint16_t status, cid = push(b, 0, &aer);
        ring(b, 0);
        wr(b, bad[i].off, bad[i].val);
        rig_settle(b->r);
        assert_true(reap(b, 0, &status) && status == 0 && b->cid == cid);
        assert_int_equal(b->result, 0x10100);
        seen(b, 0);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = LOG_PAGE, .prp1 = DATA_AT, .dw10 = 1 }), 0);
    }
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0); /* the queue is as it was */
}

static void event_requests_are_limited(void **state)
{
    struct bench *b = *state;
    struct cmd aer = { .opcode = AER };
    uint16_t status, first = push(b, 0, &aer);
    for (unsigned i = 1; i < 4; i++)
        (void)push(b, 0, &aer);
    uint16_t last = push(b, 0, &aer);
    ring(b, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == last && status == AER_LIMIT);
    assert_true(nothing(b, 0));
    seen(b, 0);
    wr(b, DOORBELL + 8 * QUEUES, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == first && status == 0);
    seen(b, 0);
    wr(b, CC, 0); /* those that wait are forgotten */
    enable(b);
    wr(b, DOORBELL + 8 * QUEUES, 0);
    rig_settle(b->r);
    assert_true(nothing(b, 0));
}

/* An event that comes while the queue is full is told when there is room. */
static void event_waits_for_room(void **state)
{
    struct bench *b = *state;
    struct cmd aer = { .opcode = AER }, abort_cmd = { .opcode = ABORT };
    uint16_t status;
    queue_state(b, 0, 7, 1);
    wr(b, AQA, 7 | 1 << 16);
    rig_mmio_write(b->r, BAR + ASQ, 8, SQ_AT);
    rig_mmio_write(b->r, BAR + ACQ, 8, CQ_AT);
    wr(b, CC, CC_ON);
    (void)push(b, 0, &aer);
    uint16_t cid = push(b, 0, &abort_cmd);
    ring(b, 0);
    wr(b, DOORBELL + 8 * QUEUES, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == cid);
    assert_true(nothing(b, 0));
    seen(b, 0);
    rig_settle(b->r);
    assert_true(reap(b, 0, &status) && b->cid == cid - 1 && b->result == 0x10000);
}

static void program_vector(struct bench *b, unsigned i, bool masked)
{
    wr(b, TABLE + 16 * i, 0xfee00000);
    wr(b, TABLE + 16 * i + 4, 0);
    wr(b, TABLE + 16 * i + 8, 0x40 + i);
    wr(b, TABLE + 16 * i + 12, masked);
}

static void interrupts_by_msix(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 1, DATA_AT, 0);
    for (unsigned i = 0; i <= QUEUES; i++)
        program_vector(b, i, false);
    rig_cfg_write(b->r, DEVFN, 0x42, 2, 0x8000);
    assert_int_equal(create_cq(b, 2, IO_LAST, QUEUES + 1), BAD_VECTOR);
    rig_settle(b->r);
    b->r->msis = 0;
    assert_int_equal(create_cq(b, 2, IO_LAST, 5), 0);
    assert_true(b->r->msis == 1 && b->r->msi_data == 0x40);
    assert_int_equal(create_sq(b, 2, IO_LAST, 2), 0);
    for (unsigned i = 0; i < 9; i++)
        (void)push(b, 2, &read);
    unsigned before = b->r->msis;
    ring(b, 2);
    rig_settle(b->r);
    assert_true(b->r->msis == before + 1 && b->r->msi_data == 0x45); /* nine answers, one message */
    assert_false(b->r->wires[IRQ_WIRE]);
    wr(b, TABLE + 16 * 5 + 12, 1);
    (void)push(b, 2, &read);
    ring(b, 2);
    rig_settle(b->r);
    assert_int_equal(b->r->msis, before + 1);
    assert_int_equal(rd(b, PBA), 1 << 5);
    wr(b, TABLE + 16 * 5 + 12, 0);
    assert_true(b->r->msis == before + 2 && b->r->msi_data == 0x45);
    assert_int_equal(rd(b, PBA), 0);
}

static void interrupts_by_pin(void **state)
{
    struct bench *b = *state;
    struct cmd read = io(READ, 0, 1, DATA_AT, 0);
    uint16_t status;
    assert_false(b->r->wires[IRQ_WIRE]);
    (void)push(b, 1, &read);
    ring(b, 1);
    rig_settle(b->r);
    assert_true(b->r->wires[IRQ_WIRE]);
    wr(b, INTMS, 1);
    assert_false(b->r->wires[IRQ_WIRE]);
    wr(b, INTMC, 1);
    assert_true(b->r->wires[IRQ_WIRE]);
    assert_true(reap(b, 1, &status));
    rig_cfg_write(b->r, DEVFN, 0x42, 2, 0x8000); /* MSI-X takes over */
    assert_false(b->r->wires[IRQ_WIRE]);
    rig_cfg_write(b->r, DEVFN, 0x42, 2, 0);
    assert_true(b->r->wires[IRQ_WIRE]);
    seen(b, 1);
    assert_false(b->r->wires[IRQ_WIRE]);
    assert_int_equal(b->r->msis, 0);
    /* A queue without interrupts. */
    assert_int_equal(
        run(b, 0, (struct cmd){ .opcode = CREATE_CQ, .prp1 = CQ_AT + 2 * PAGE, .dw10 = 2 | IO_LAST << 16, .dw11 = 1 }),
        0);
    queue_state(b, 2, IO_LAST, IO_LAST);
    assert_int_equal(create_sq(b, 2, IO_LAST, 2), 0);
    (void)push(b, 2, &read);
    ring(b, 2);
    rig_settle(b->r);
    assert_true(reap(b, 2, &status));
    assert_false(b->r->wires[IRQ_WIRE]);
}

static void queues_outside_of_memory_are_fatal(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = ABORT };
    for (unsigned which = 0; which < 2; which++) {
        queue_state(b, 0, ADMIN_LAST, ADMIN_LAST);
        wr(b, AQA, ADMIN_LAST | ADMIN_LAST << 16);
        rig_mmio_write(b->r, BAR + ASQ, 8, which == 0 ? BAR : SQ_AT); /* on its own registers */
        rig_mmio_write(b->r, BAR + ACQ, 8, which == 1 ? BAR : CQ_AT);
        wr(b, CC, CC_ON);
        assert_int_equal(rd(b, CSTS), RDY);
        (void)push(b, 0, &cmd);
        ring(b, 0);
        rig_settle(b->r);
        assert_int_equal(rd(b, CSTS), RDY | CFS);
        ring(b, 0); /* nothing more is taken */
        rig_settle(b->r);
        assert_true(nothing(b, 0));
        wr(b, CC, 0);
        assert_int_equal(rd(b, CSTS), 0);
    }
    enable(b);
    assert_int_equal(run(b, 0, cmd), 0);
}

static void create_checks_its_configuration(void **state)
{
    struct bench *b = *state;
    struct device *dev = NULL;
    struct rig_disk *empty = rig_disk(b->r, 0), *odd = rig_disk(b->r, 8192);
    odd->block.sector_bytes = 1024;
    struct nvme_config good = { .id = "nvme1",
                                .loop = &b->r->loop,
                                .mem = &b->r->mem,
                                .hv = &b->r->hv,
                                .pci = &b->r->pci,
                                .devfn = 8 << 3,
                                .serial = "12345678901234567890",
                                .io_queues = 64 },
                       bad;
    bad = good;
    bad.io_queues = 0;
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad.io_queues = 65;
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad = good;
    bad.serial = "123456789012345678901";
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad.serial = "a\nb";
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad = good;
    bad.block[7] = &empty->block;
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad.block[7] = &odd->block;
    assert_int_equal(nvme_create(&bad, &dev), -EINVAL);
    bad = good;
    bad.devfn = DEVFN;
    assert_int_equal(nvme_create(&bad, &dev), -EEXIST);
    assert_int_equal(nvme_create(&good, &dev), 0);
    device_free(dev);
    block_close(&empty->block);
    block_close(&odd->block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration_space, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(reset_values, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(registers_by_size, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(no_controller_memory_buffer, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(enabling, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(creating_queues, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(entry_sizes, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(completion_queue_in_use_stays, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(deleting_a_queue_waits_for_its_commands, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(several_queues, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(full_completion_queue, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(more_commands_than_slots, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(doorbell_out_of_range, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(doorbell_with_a_value_outside_of_the_queue, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(event_requests_are_limited, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(event_waits_for_room, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(interrupts_by_msix, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(interrupts_by_pin, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(queues_outside_of_memory_are_fatal, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(create_checks_its_configuration, one_disk, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
