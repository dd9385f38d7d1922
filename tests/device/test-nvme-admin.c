/* hw/storage/nvme-admin.c, nvme-identify.c, nvme-features.c: [NVMe n] is NVM Express 1.4c, n. */
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

static int three_namespaces(void **state)
{
    *state = bench_ready("dr-k");
    return 0;
}

static void identify_controller(void **state)
{
    struct bench *b = *state;
    const uint8_t *p = b->r->ram + DATA_AT;
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = IDENTIFY, .prp1 = DATA_AT, .dw10 = 1 }), 0);
    assert_int_equal(le32_get(p), 0x1af41b36);
    assert_memory_equal(p + 4, "serial-7            QEMU NVMe Ctrl                          7.2.22  ", 68);
    assert_int_equal(p[77], 7);
    assert_int_equal(le32_get(p + 80), 0x10400);
    assert_int_equal(p[111], 1);
    assert_int_equal(le16_get(p + 256), 0); /* nothing optional for administration */
    assert_int_equal(p[259], 3);
    assert_int_equal(le16_get(p + 512), 0x4466);
    assert_int_equal(le32_get(p + 516), 4);
    assert_int_equal(le16_get(p + 520), 0x0c);
    assert_int_equal(p[525], 7);
    assert_int_equal(le32_get(p + 536), 0); /* no SGLs */
    assert_string_equal(p + 768, "nqn.2019-08.org.qemu:serial-7");
}

static void identify_namespaces(void **state)
{
    struct bench *b = *state;
    const uint8_t *p = b->r->ram + DATA_AT;
    uint8_t first[16];
    struct cmd cmd = { .opcode = IDENTIFY, .prp1 = DATA_AT, .nsid = 1 };
    assert_int_equal(run(b, 0, cmd), 0);
    assert_true(le64_get(p) == DISK_BYTES / SECTOR && le64_get(p + 8) == le64_get(p) &&
                le64_get(p + 16) == le64_get(p));
    assert_int_equal(p[99], 0);
    assert_int_equal(le32_get(p + 128), 9 << 16);
    memcpy(first, p + 104, sizeof(first));
    cmd.nsid = 2;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(p[99], 1); /* read-only */
    assert_memory_not_equal(first, p + 104, sizeof(first));
    cmd.nsid = 4;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(le64_get(p), DISK_BYTES / PAGE);
    assert_int_equal(le32_get(p + 128), 12 << 16);
    cmd.nsid = 3; /* possible, but not there */
    assert_int_equal(run(b, 0, cmd), 0);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(p[i], 0);
    for (unsigned i = 0; i < 2; i++) {
        cmd.nsid = i ? 5 : 0;
        assert_int_equal(run(b, 0, cmd), BAD_NS);
    }
    cmd.nsid = 0xffffffff;
    assert_int_equal(run(b, 0, cmd), BAD_NS);
}

static void identify_lists(void **state)
{
    struct bench *b = *state;
    const uint8_t *p = b->r->ram + DATA_AT;
    struct cmd cmd = { .opcode = IDENTIFY, .prp1 = DATA_AT, .dw10 = 2 };
    assert_int_equal(run(b, 0, cmd), 0);
    assert_true(le32_get(p) == 1 && le32_get(p + 4) == 2 && le32_get(p + 8) == 4 && le32_get(p + 12) == 0);
    cmd.nsid = 2;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_true(le32_get(p) == 4 && le32_get(p + 4) == 0);
    cmd.nsid = 0xfffffffd;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(le32_get(p), 0);
    cmd.nsid = 0xfffffffe;
    assert_int_equal(run(b, 0, cmd), BAD_NS);
    cmd.dw10 = 3;
    cmd.nsid = 1;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_true(p[0] == 2 && p[1] == 16 && p[20] == 0);
    cmd.nsid = 3;
    assert_int_equal(run(b, 0, cmd), BAD_FIELD);
    cmd.nsid = 9;
    assert_int_equal(run(b, 0, cmd), BAD_NS);
}

static void identify_with_bad_cns(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = IDENTIFY, .prp1 = DATA_AT, .nsid = 1 };
    memset(b->r->ram + DATA_AT, 0x5a, PAGE);
    for (cmd.dw10 = 4; cmd.dw10 < 0x100; cmd.dw10++)
        assert_int_equal(run(b, 0, cmd), BAD_FIELD);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(b->r->ram[DATA_AT + i], 0x5a);
}

/* The data may begin in the middle of a page and go on in another. */
static void identify_into_two_pages(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = IDENTIFY, .prp1 = DATA_AT + 0xffc, .prp2 = DATA_AT + 4 * PAGE, .dw10 = 1 };
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(le32_get(b->r->ram + DATA_AT + 0xffc), 0x1af41b36);
    assert_memory_equal(b->r->ram + DATA_AT + 4 * PAGE, "serial-7", 8);
    cmd.prp2 = DATA_AT + 8;
    assert_int_equal(run(b, 0, cmd), BAD_OFFSET);
    cmd.prp2 = RIG_RAM;
    assert_int_equal(run(b, 0, cmd), BAD_DATA);
    cmd.prp1 = RIG_HOLE;
    assert_int_equal(run(b, 0, cmd), BAD_DATA);
    cmd.prp1 = DATA_AT + 2;
    assert_int_equal(run(b, 0, cmd), BAD_OFFSET);
}

static void log_pages(void **state)
{
    struct bench *b = *state;
    const uint8_t *p = b->r->ram + DATA_AT;
    struct cmd cmd = { .opcode = LOG_PAGE, .nsid = 0xffffffff, .prp1 = DATA_AT, .dw10 = 2 | 127 << 16 };
    assert_int_equal(run(b, 1, io(READ, 0, 1, DATA_AT, 0)), 0);
    assert_int_equal(run(b, 1, io(WRITE, 0, 2, DATA_AT, 0)), 0);
    assert_int_equal(run(b, 0, cmd), 0);
    assert_true(p[0] == 0 && le16_get(p + 1) == 323 && p[3] == 100);
    assert_true(le64_get(p + 32) == 1 && le64_get(p + 48) == 1 && le64_get(p + 64) == 1 && le64_get(p + 80) == 1);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = 4, .dw11 = 323 }), 0);
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(p[0], 2); /* too hot */
    cmd.dw10 = 3 | 127 << 16;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(p[0], 1);
    assert_memory_equal(p + 8, "7.2.22  ", 8);
    cmd.dw12 = 8; /* from there on */
    cmd.dw10 = 3 | 1 << 16;
    assert_int_equal(run(b, 0, cmd), 0);
    assert_memory_equal(p, "7.2.22  ", 8);
    cmd.dw12 = 0;
    for (unsigned id = 1; id <= 4; id += 3) {
        memset(b->r->ram + DATA_AT, 0x5a, 16);
        cmd.dw10 = id | 3 << 16;
        assert_int_equal(run(b, 0, cmd), 0);
        assert_true(le64_get(p) == 0 && le64_get(p + 8) == 0);
    }
    for (cmd.dw10 = 5; cmd.dw10 < 256; cmd.dw10++)
        assert_int_equal(run(b, 0, cmd), BAD_LOG);
    cmd.dw10 = 0;
    assert_int_equal(run(b, 0, cmd), BAD_LOG);
}

/* CVE-2021-3947: offsets and lengths beyond the page give nothing of the host. */
static void log_page_offset_and_length_out_of_bounds(void **state)
{
    static const struct {
        uint8_t id;
        uint32_t low, high, dwords;
    } bad[] = {
        { 2, 512, 0, 1 }, { 2, 0, 1, 1 },          { 2, 0xfffffffc, 0xffffffff, 1 },
        { 3, 512, 0, 1 }, { 1, 256, 0, 1 },        { 4, 4096, 0, 1 },
        { 2, 2, 0, 1 },   { 2, 0, 0, 0xffffffff }, { 2, 0, 0, 512 * 1024 / 4 + 1 },
    };
    struct bench *b = *state;
    memset(b->r->ram + DATA_AT, 0x5a, 2 * PAGE);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct cmd cmd = { .opcode = LOG_PAGE,
                           .prp1 = DATA_AT,
                           .prp2 = LIST_AT,
                           .dw10 = bad[i].id | (bad[i].dwords - 1) << 16,
                           .dw11 = (bad[i].dwords - 1) >> 16,
                           .dw12 = bad[i].low,
                           .dw13 = bad[i].high };
        assert_int_equal(run(b, 0, cmd), BAD_FIELD);
    }
    assert_int_equal(b->r->ram[DATA_AT], 0x5a);
    /* More is asked for than there is: the rest of the guest's buffer stays. */
    struct cmd cmd = { .opcode = LOG_PAGE, .prp1 = DATA_AT, .dw10 = 2 | 1023 << 16, .dw12 = 508 };
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(le32_get(b->r->ram + DATA_AT), 0);
    assert_int_equal(b->r->ram[DATA_AT + 4], 0x5a);
}

static void features(void **state)
{
    static const struct {
        uint8_t id;
        uint32_t first, written, read;
    } rows[] = {
        { 1, 7, 0xffffffff, 0xffffff07 },
        { 2, 0, 0xe0, 0xe0 },
        { 4, 343, 300, 300 },
        { 5, 0, 0xfffe1234, 0x1234 },
        { 6, 1, 0, 0 },
        { 8, 0, 0xffffffff, 0xffff },
        { 0xa, 0, 3, 1 },
        { 0xb, 0, 0xffffffff, 0x1f },
        { 9, 0, 0x10000, 0x10000 },
    };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = rows[i].id }), 0);
        assert_int_equal(b->result, rows[i].first);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = rows[i].id, .dw11 = rows[i].written }), 0);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = rows[i].id }), 0);
        assert_int_equal(b->result, rows[i].read);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = rows[i].id | 0x80000000 }), NOT_SAVEABLE);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = rows[i].id | 0x100 }), BAD_FIELD);
    }
    wr(b, CC, 0);
    enable(b);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = rows[i].id }), 0);
        assert_int_equal(b->result, rows[i].first);
    }
}

static void bad_features(void **state)
{
    static const struct {
        uint8_t id;
        uint32_t dw11;
    } bad[] = {
        { 0, 0 },       { 2, 1 },          { 3, 0 },      { 4, 1 << 16 }, { 4, 2 << 20 },
        { 5, 0x10000 }, { 9, QUEUES + 1 }, { 9, 0xffff }, { 7, 0xffff },  { 7, 0xffff0000 },
        { 0xc, 0 },     { 0xe, 0 },        { 0x80, 0 },   { 0xff, 0 },
    };
    struct bench *b = *state;
    enable(b);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = bad[i].id, .dw11 = bad[i].dw11 }), BAD_FIELD);
    for (unsigned id = 0; id < 256; id++) {
        uint16_t status = run(b, 0, (struct cmd){ .opcode = GET, .dw10 = id, .dw11 = 0xffff });
        bool known = id >= 1 && id <= 0xb && id != 3 && id != 9;
        assert_int_equal(status, known ? 0 : BAD_FIELD);
    }
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = 4, .dw11 = 0xf << 16 }), BAD_FIELD);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = SET, .dw10 = 4, .dw11 = 0x1f0000 | 200 }), 0);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = 4, .dw11 = 1 << 20 }), 0);
    assert_int_equal(b->result, 200);
}

static void number_of_queues(void **state)
{
    struct bench *b = *state;
    struct cmd cmd = { .opcode = SET, .dw10 = 7, .dw11 = 0xff00ff };
    enable(b);
    assert_int_equal(run(b, 0, cmd), 0);
    assert_int_equal(b->result, (QUEUES - 1) | (QUEUES - 1) << 16);
    assert_int_equal(create_cq(b, 1, IO_LAST, 0), 0);
    assert_int_equal(run(b, 0, cmd), BAD_SEQUENCE);
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = GET, .dw10 = 7 }), 0);
    assert_int_equal(b->result, (QUEUES - 1) | (QUEUES - 1) << 16);
}

/* Firmware, format, namespace management, security, shadow doorbells, zones: there are none. */
static void refused_commands(void **state)
{
    struct bench *b = *state;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        bool known = opcode <= 2 || (opcode >= 4 && opcode <= 6) || (opcode >= 8 && opcode <= 10) || opcode == 12;
        if (!known)
            assert_int_equal(run(b, 0, (struct cmd){ .opcode = (uint8_t)opcode, .nsid = 1 }), BAD_OPCODE);
        known = opcode <= 2 || opcode == 8 || opcode == 9;
        if (!known)
            assert_int_equal(run(b, 1, (struct cmd){ .opcode = (uint8_t)opcode, .nsid = 1 }), BAD_OPCODE);
    }
    static const uint8_t flags[] = { 0x01, 0x02, 0x40, 0x80, 0xc0 }; /* fused, SGL */
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        struct cmd read = io(READ, 0, 1, DATA_AT, 0);
        read.flags = flags[i];
        assert_int_equal(run(b, 1, read), BAD_FIELD);
        assert_int_equal(run(b, 0, (struct cmd){ .opcode = IDENTIFY, .flags = flags[i], .prp1 = DATA_AT, .dw10 = 1 }),
                         BAD_FIELD);
    }
    assert_int_equal(run(b, 0, (struct cmd){ .opcode = ABORT, .dw10 = 0xffffffff }), 0);
    assert_int_equal(b->result, 1); /* nothing was aborted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identify_controller, three_namespaces, bench_teardown),
        cmocka_unit_test_setup_teardown(identify_namespaces, three_namespaces, bench_teardown),
        cmocka_unit_test_setup_teardown(identify_lists, three_namespaces, bench_teardown),
        cmocka_unit_test_setup_teardown(identify_with_bad_cns, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(identify_into_two_pages, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(log_pages, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(log_page_offset_and_length_out_of_bounds, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(features, ready, bench_teardown),
        cmocka_unit_test_setup_teardown(bad_features, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(number_of_queues, one_disk, bench_teardown),
        cmocka_unit_test_setup_teardown(refused_commands, ready, bench_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
