/* What the tests of the NVMe controller share: a rig with namespaces, and a guest's driver for it. */
#ifndef THINDM_TEST_NVME_BENCH_H
#define THINDM_TEST_NVME_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"
#include "rig.h"

enum { DEVFN = 7 << 3, IRQ_WIRE = IRQ_ISA_LINES + IRQ_PCI_PINS * 7, QUEUES = 6, SECTOR = 512, PAGE = 4096 };
#define BAR        UINT64_C(0xe3000000)
#define DISK_BYTES (4 * MIB)
/* Registers. */
enum {
    CAP = 0,
    VS = 8,
    INTMS = 0xc,
    INTMC = 0x10,
    CC = 0x14,
    CSTS = 0x1c,
    NSSR = 0x20,
    AQA = 0x24,
    ASQ = 0x28,
    ACQ = 0x30
};
enum { CMBLOC = 0x38, CMBSZ = 0x3c, DOORBELL = 0x1000, TABLE = 0x2000, PBA = 0x3000 };
enum { CC_ON = 0x00460001, SHN_NORMAL = 0x4000, RDY = 1, CFS = 2, SHST = 0xc, SHUTTING = 4, SHUT = 8 };
/* Admin and I/O commands. */
enum {
    DELETE_SQ = 0,
    CREATE_SQ = 1,
    LOG_PAGE = 2,
    DELETE_CQ = 4,
    CREATE_CQ = 5,
    IDENTIFY = 6,
    ABORT = 8,
    SET = 9,
    GET = 10,
    AER = 12
};
enum { FLUSH = 0, WRITE = 1, READ = 2, ZEROES = 8, DATASET = 9, FUA = 0x40000000, DEALLOCATE = 4 };
/* Status codes. */
enum {
    BAD_OPCODE = 1,
    BAD_FIELD = 2,
    BAD_DATA = 4,
    BAD_NS = 0xb,
    BAD_SEQUENCE = 0xc,
    BAD_OFFSET = 0x13,
    PROTECTED = 0x20
};
enum { BAD_LBA = 0x80, NO_SPACE = 0x81, WRITE_FAULT = 0x280, READ_ERROR = 0x281 };
enum { BAD_CQ = 0x100, BAD_QID = 0x101, BAD_QSIZE = 0x102, AER_LIMIT = 0x105, BAD_VECTOR = 0x108, BAD_LOG = 0x109 };
enum { BAD_DELETION = 0x10c, NOT_SAVEABLE = 0x10d };
/* Guest memory: queues, PRP lists, data; where the fuzz target has RAM, for which the tests make seeds. */
enum { SQ_AT = 0x10000, CQ_AT = 0x20000, LIST_AT = 0x30000, DATA_AT = 0x110000, ADMIN_LAST = 31, IO_LAST = 63 };

struct bench {
    struct rig *r;
    struct rig_disk *disk[NVME_NAMESPACES];
    bool closed[NVME_NAMESPACES];
    char layout[NVME_NAMESPACES + 1];
    unsigned cids;
    uint16_t sq_tail[QUEUES + 1], sq_last[QUEUES + 1], cq_head[QUEUES + 1], cq_last[QUEUES + 1];
    bool phase[QUEUES + 1];
    uint32_t result; /* of the last answer */
    uint16_t cid;
    bool final; /* it must not be tried again */
};

struct cmd {
    uint8_t opcode, flags;
    uint32_t nsid;
    uint64_t prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13;
};

static inline uint32_t rd(struct bench *b, unsigned off)
{
    return (uint32_t)rig_mmio_read(b->r, BAR + off, 4);
}

static inline void wr(struct bench *b, unsigned off, uint32_t val)
{
    rig_mmio_write(b->r, BAR + off, 4, val);
}

/* Every 8 bytes of an image differ, and tell where they are. */
static inline void bench_fill(struct rig_disk *disk)
{
    for (uint64_t at = 0; at < disk->block.size_bytes; at += 8)
        le64_put(disk->data + at, at * UINT64_C(0x9e3779b97f4a7c15) + at);
}

/* One letter per namespace: d disk, r read-only disk, n disk without discard, k disk of 4096-byte sectors, - nothing.
 */
static inline int bench_create(struct bench *b)
{
    struct nvme_config config = { .id = "nvme0",
                                  .loop = &b->r->loop,
                                  .mem = &b->r->mem,
                                  .hv = &b->r->hv,
                                  .pci = &b->r->pci,
                                  .devfn = DEVFN,
                                  .serial = "serial-7",
                                  .io_queues = QUEUES };
    for (unsigned i = 0; b->layout[i]; i++) {
        b->disk[i] = NULL;
        if (b->layout[i] == '-')
            continue;
        b->disk[i] = rig_disk(b->r, DISK_BYTES);
        bench_fill(b->disk[i]);
        b->disk[i]->closed_flag = &b->closed[i];
        b->closed[i] = false;
        b->disk[i]->block.read_only = b->layout[i] == 'r';
        b->disk[i]->block.discard = b->layout[i] != 'n';
        b->disk[i]->block.sector_bytes = b->layout[i] == 'k' ? PAGE : SECTOR;
        config.block[i] = &b->disk[i]->block;
    }
    int err = nvme_create(&config, &b->r->dev);
    if (!err)
        b->r->dev->log = &b->r->log;
    return err;
}

/* What firmware does: the BAR placed, memory and bus master on. */
static inline void bench_place(struct bench *b)
{
    rig_cfg_write(b->r, DEVFN, PCI_BAR0, 4, (uint32_t)BAR);
    rig_cfg_write(b->r, DEVFN, PCI_BAR0 + 4, 4, 0);
    rig_cfg_write(b->r, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline struct bench *bench_new(const char *layout)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    b->r = rig_new();
    assert_true(strlen(layout) <= NVME_NAMESPACES);
    memcpy(b->layout, layout, strlen(layout));
    assert_int_equal(bench_create(b), 0);
    b->r->dev->desc->reset(b->r->dev);
    bench_place(b);
    return b;
}

static inline int bench_teardown(void **state)
{
    struct bench *b = *state;
    rig_free(b->r);
    free(b);
    return 0;
}

static inline void queue_state(struct bench *b, unsigned q, uint16_t sq_last, uint16_t cq_last)
{
    memset(b->r->ram + CQ_AT + (size_t)q * PAGE, 0, PAGE);
    b->sq_tail[q] = b->cq_head[q] = 0;
    b->sq_last[q] = sq_last;
    b->cq_last[q] = cq_last;
    b->phase[q] = true;
}

static inline void enable(struct bench *b)
{
    queue_state(b, 0, ADMIN_LAST, ADMIN_LAST);
    wr(b, CC, 0); /* it is off, but not in the fuzz target */
    wr(b, AQA, ADMIN_LAST | ADMIN_LAST << 16);
    rig_mmio_write(b->r, BAR + ASQ, 8, SQ_AT);
    rig_mmio_write(b->r, BAR + ACQ, 8, CQ_AT);
    wr(b, CC, CC_ON);
}

/* Put a command into the queue; the doorbell is rung by ring(). Its id. */
static inline uint16_t push(struct bench *b, unsigned q, const struct cmd *cmd)
{
    uint8_t *p = b->r->ram + SQ_AT + (size_t)q * PAGE + (size_t)b->sq_tail[q] * 64;
    uint16_t cid = (uint16_t)++b->cids;
    memset(p, 0, 64);
    p[0] = cmd->opcode;
    p[1] = cmd->flags;
    le16_put(p + 2, cid);
    le32_put(p + 4, cmd->nsid);
    le64_put(p + 24, cmd->prp1);
    le64_put(p + 32, cmd->prp2);
    le32_put(p + 40, cmd->dw10);
    le32_put(p + 44, cmd->dw11);
    le32_put(p + 48, cmd->dw12);
    le32_put(p + 52, cmd->dw13);
    b->sq_tail[q] = b->sq_tail[q] == b->sq_last[q] ? 0 : (uint16_t)(b->sq_tail[q] + 1);
    return cid;
}

static inline void ring(struct bench *b, unsigned q)
{
    wr(b, DOORBELL + 8 * q, b->sq_tail[q]);
}

/* A new answer in the queue? Its status; b->result, b->cid, b->final say more. The guest's head stays: see seen(). */
static inline bool reap(struct bench *b, unsigned q, uint16_t *status)
{
    const uint8_t *p = b->r->ram + CQ_AT + (size_t)q * PAGE + (size_t)b->cq_head[q] * 16;
    uint16_t field = le16_get(p + 14);
    *status = (uint16_t)(field >> 1 & 0x7ff);
    if ((field & 1) != b->phase[q])
        return false;
    b->final = field >> 15;
    b->result = le32_get(p);
    b->cid = le16_get(p + 12);
    assert_int_equal(le32_get(p + 4), 0);
    if (b->cq_head[q] == b->cq_last[q])
        b->phase[q] = !b->phase[q];
    b->cq_head[q] = b->cq_head[q] == b->cq_last[q] ? 0 : (uint16_t)(b->cq_head[q] + 1);
    return true;
}

static inline bool nothing(struct bench *b, unsigned q)
{
    uint16_t status;
    return !reap(b, q, &status);
}

static inline void seen(struct bench *b, unsigned q)
{
    wr(b, DOORBELL + 8 * q + 4, b->cq_head[q]);
}

/* One command and its answer. */
static inline uint16_t run(struct bench *b, unsigned q, struct cmd cmd)
{
    uint16_t status, cid = push(b, q, &cmd);
    ring(b, q);
    rig_settle(b->r);
    assert_true(reap(b, q, &status));
    assert_int_equal(b->cid, cid);
    seen(b, q);
    return status;
}

static inline uint16_t create_cq(struct bench *b, unsigned q, uint16_t last, unsigned vector)
{
    queue_state(b, q, b->sq_last[q], last);
    return run(b, 0,
               (struct cmd){ .opcode = CREATE_CQ,
                             .prp1 = CQ_AT + (uint64_t)q * PAGE,
                             .dw10 = q | (uint32_t)last << 16,
                             .dw11 = 3 | vector << 16 });
}

static inline uint16_t create_sq(struct bench *b, unsigned q, uint16_t last, unsigned cq)
{
    b->sq_last[q] = last;
    b->sq_tail[q] = 0;
    return run(b, 0,
               (struct cmd){ .opcode = CREATE_SQ,
                             .prp1 = SQ_AT + (uint64_t)q * PAGE,
                             .dw10 = q | (uint32_t)last << 16,
                             .dw11 = 1 | cq << 16 });
}

/* Ready for reads and writes on queue 1. */
static inline struct bench *bench_ready(const char *layout)
{
    struct bench *b = bench_new(layout);
    enable(b);
    assert_int_equal(rd(b, CSTS), RDY);
    assert_int_equal(create_cq(b, 1, IO_LAST, 0), 0);
    assert_int_equal(create_sq(b, 1, IO_LAST, 1), 0);
    return b;
}

static inline struct cmd io(uint8_t opcode, uint64_t lba, uint32_t sectors, uint64_t prp1, uint64_t prp2)
{
    return (struct cmd){ .opcode = opcode,
                         .nsid = 1,
                         .prp1 = prp1,
                         .prp2 = prp2,
                         .dw10 = (uint32_t)lba,
                         .dw11 = (uint32_t)(lba >> 32),
                         .dw12 = sectors - 1 };
}

#endif
