/*
 * Administration [NVMe 5]: queues come and go, and what the controller is asked about itself. Left out, and refused as
 * unknown: firmware download, format, namespace management, security, virtualisation, shadow doorbells. Abort finds
 * nothing to abort [NVMe 5.1]: a command is either done or with the back end.
 */
#include "nvme-private.h"

enum {
    ADMIN_DELETE_SQ = 0x00,
    ADMIN_CREATE_SQ = 0x01,
    ADMIN_LOG_PAGE = 0x02,
    ADMIN_DELETE_CQ = 0x04,
    ADMIN_CREATE_CQ = 0x05,
    ADMIN_IDENTIFY = 0x06,
    ADMIN_ABORT = 0x08,
    ADMIN_SET_FEATURES = 0x09,
    ADMIN_GET_FEATURES = 0x0a,
    ADMIN_AER = 0x0c,
};
enum { FLAGS_FUSED = 0x03, FLAGS_SGL = 0xc0, QUEUE_CONTIGUOUS = 0x1, CQ_INTERRUPTS = 0x2, NOT_ABORTED = 1 };
enum { IOSQES_SHIFT = 16, IOCQES_SHIFT = 20, SQE_SHIFT = 6, CQE_SHIFT = 4 };

static uint16_t low16(uint32_t val)
{
    return (uint16_t)val;
}

static uint16_t high16(uint32_t val)
{
    return (uint16_t)(val >> 16);
}

static bool is_io_queue(const struct nvme *s, uint16_t id)
{
    return id > 0 && id <= s->io_queues;
}

/* What both kinds of queues have in common [NVMe 5.3, 5.4]; exists: the number is taken. */
static uint16_t check_queue(const struct nvme *s, const struct nvme_sqe *sqe, bool exists, bool entries_right)
{
    uint16_t last = high16(sqe->dw[10]);
    if (!is_io_queue(s, low16(sqe->dw[10])) || exists)
        return NVME_BAD_QUEUE_ID;
    if (last == 0 || last > NVME_MAX_LAST)
        return NVME_BAD_QUEUE_SIZE;
    if (sqe->prp1 % NVME_PAGE)
        return NVME_BAD_PRP_OFFSET;
    return (sqe->dw[11] & QUEUE_CONTIGUOUS) && entries_right ? NVME_OK : NVME_BAD_FIELD;
}

static uint16_t create_cq(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint16_t id = low16(sqe->dw[10]), vector = high16(sqe->dw[11]);
    bool exists = is_io_queue(s, id) && s->cq.last[id] > 0;
    uint16_t status = check_queue(s, sqe, exists, (s->regs.cc >> IOCQES_SHIFT & 0xf) == CQE_SHIFT);
    if (status != NVME_OK)
        return status;
    if (vector > s->io_queues || (vector > 0 && !pci_msix_enabled(&s->msix)))
        return NVME_BAD_VECTOR;
    s->cq.addr[id] = sqe->prp1;
    s->cq.last[id] = high16(sqe->dw[10]);
    s->cq.head[id] = s->cq.tail[id] = 0;
    s->cq.phase[id] = false;
    s->cq.interrupts[id] = sqe->dw[11] & CQ_INTERRUPTS;
    s->cq.vector[id] = vector;
    return NVME_OK;
}

static uint16_t create_sq(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint16_t id = low16(sqe->dw[10]), cq = high16(sqe->dw[11]);
    bool exists = is_io_queue(s, id) && s->sq.last[id] > 0;
    uint16_t status = check_queue(s, sqe, exists, (s->regs.cc >> IOSQES_SHIFT & 0xf) == SQE_SHIFT);
    if (!is_io_queue(s, cq))
        return NVME_BAD_QUEUE_ID;
    if (s->cq.last[cq] == 0)
        return NVME_BAD_CQ;
    if (status != NVME_OK)
        return status;
    s->sq.addr[id] = sqe->prp1;
    s->sq.last[id] = high16(sqe->dw[10]);
    s->sq.head[id] = s->sq.tail[id] = 0;
    s->sq.cq[id] = cq;
    return NVME_OK;
}

static void remove_sq(struct nvme *s, uint16_t id)
{
    s->sq.addr[id] = 0;
    s->sq.last[id] = s->sq.head[id] = s->sq.tail[id] = s->sq.cq[id] = 0;
    s->sq_deleting[id] = false;
}

void nvme_sq_idle(struct nvme *s, uint16_t sq)
{
    remove_sq(s, sq);
    nvme_complete(s, 0, s->sq_deleting_cid[sq], 0, NVME_OK);
}

/* Commands that were taken from it are answered first. */
static uint16_t delete_sq(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint16_t id = low16(sqe->dw[10]);
    if (!is_io_queue(s, id) || s->sq.last[id] == 0 || s->sq_deleting[id])
        return NVME_BAD_QUEUE_ID;
    if (s->sq_active[id] > 0) {
        s->sq_deleting[id] = true;
        s->sq_deleting_cid[id] = sqe->cid;
        return NVME_PENDING;
    }
    remove_sq(s, id);
    return NVME_OK;
}

static uint16_t delete_cq(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint16_t id = low16(sqe->dw[10]);
    if (!is_io_queue(s, id) || s->cq.last[id] == 0)
        return NVME_BAD_QUEUE_ID;
    for (unsigned sq = 1; sq <= s->io_queues; sq++) {
        if (s->sq.last[sq] > 0 && s->sq.cq[sq] == id)
            return NVME_BAD_QUEUE_DELETION;
    }
    s->cq.addr[id] = 0;
    s->cq.last[id] = s->cq.head[id] = s->cq.tail[id] = s->cq.vector[id] = 0;
    s->cq.phase[id] = s->cq.interrupts[id] = s->cq_told[id] = false;
    nvme_update_intx(s);
    return NVME_OK;
}

static uint16_t execute(struct nvme *s, const struct nvme_sqe *sqe, uint32_t *result)
{
    if (sqe->flags & (FLAGS_FUSED | FLAGS_SGL))
        return NVME_BAD_FIELD;
    switch (sqe->opcode) {
    case ADMIN_DELETE_SQ: return delete_sq(s, sqe);
    case ADMIN_CREATE_SQ: return create_sq(s, sqe);
    case ADMIN_LOG_PAGE: return nvme_log_page(s, sqe);
    case ADMIN_DELETE_CQ: return delete_cq(s, sqe);
    case ADMIN_CREATE_CQ: return create_cq(s, sqe);
    case ADMIN_IDENTIFY: return nvme_identify(s, sqe);
    case ADMIN_ABORT: *result = NOT_ABORTED; return NVME_OK;
    case ADMIN_SET_FEATURES: return nvme_set_feature(s, sqe, result);
    case ADMIN_GET_FEATURES: return nvme_get_feature(s, sqe, result);
    case ADMIN_AER: return nvme_hold_aer(s, sqe->cid);
    }
    return NVME_BAD_OPCODE;
}

void nvme_admin(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint32_t result = 0;
    uint16_t status = execute(s, sqe, &result);
    if (status != NVME_PENDING)
        nvme_complete(s, 0, sqe->cid, result, status);
}
