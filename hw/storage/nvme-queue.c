/*
 * Queues [NVMe 4.1, 4.6], doorbells, interrupts [NVMe 7.5] and asynchronous events [NVMe 5.2].
 *
 * Interrupts are sent from a task, so that commands which end in the same round of the loop cost one message per queue.
 */
#include "nvme-private.h"

#include <string.h>

enum { CQE_TAIL_BYTES = 4, STATUS_NO_RETRY = 0x4000, ERROR_LOG = 1, INTMS_VECTORS = 32 };

bool nvme_is_answering(const struct nvme *s)
{
    return !s->halted && !s->resetting && (s->regs.csts & (CSTS_READY | CSTS_FATAL)) == CSTS_READY;
}

/* Commands may be taken. */
static bool is_running(const struct nvme *s)
{
    return nvme_is_answering(s) && s->master && !(s->regs.csts & CSTS_SHST);
}

void nvme_forget_queues(struct nvme *s)
{
    memset(&s->sq, 0, sizeof(s->sq));
    memset(&s->cq, 0, sizeof(s->cq));
    memset(s->sq_active, 0, sizeof(s->sq_active));
    memset(s->cq_active, 0, sizeof(s->cq_active));
    memset(s->sq_deleting, 0, sizeof(s->sq_deleting));
    memset(s->cq_told, 0, sizeof(s->cq_told));
    s->nr_aers = s->events = 0;
    s->events_masked = false;
    s->turn = 0;
    nvme_update_intx(s);
}

static uint32_t distance(uint32_t from, uint32_t to, uint32_t last)
{
    return to >= from ? to - from : to + last + 1 - from;
}

/* Entries that the guest hasn't taken out. */
static uint32_t cq_used(const struct nvme *s, unsigned cq)
{
    return distance(s->cq.head[cq], s->cq.tail[cq], s->cq.last[cq]);
}

/* Is there room for an answer more than those that the commands at work need? */
static bool cq_has_room(const struct nvme *s, unsigned cq)
{
    return cq_used(s, cq) + s->cq_active[cq] < s->cq.last[cq];
}

static uint16_t next_entry(uint16_t at, uint16_t last)
{
    return at == last ? 0 : (uint16_t)(at + 1);
}

static void post(struct nvme *s, unsigned cq, uint16_t sq, uint16_t cid, uint32_t result, uint16_t status)
{
    uint8_t cqe[NVME_CQE_BYTES];
    uint64_t addr = s->cq.addr[cq] + (uint64_t)s->cq.tail[cq] * NVME_CQE_BYTES;
    bool final = status != NVME_OK && status != NVME_INTERNAL_ERROR;
    unsigned field = status | (final ? STATUS_NO_RETRY : 0);
    le32_put(cqe, result);
    le32_put(cqe + 4, 0);
    le16_put(cqe + 8, s->sq.head[sq]);
    le16_put(cqe + 10, sq);
    le16_put(cqe + 12, cid);
    le16_put(cqe + 14, (uint16_t)(field << 1 | !s->cq.phase[cq]));
    /* The guest polls the phase tag: it comes last. */
    int err = mem_write(s->mem, addr, cqe, NVME_CQE_BYTES - CQE_TAIL_BYTES);
    if (!err)
        err = mem_write(s->mem, addr + NVME_CQE_BYTES - CQE_TAIL_BYTES, cqe + NVME_CQE_BYTES - CQE_TAIL_BYTES,
                        CQE_TAIL_BYTES);
    if (err) {
        nvme_fatal(s, "a completion queue is not in memory");
        return;
    }
    if (s->cq.tail[cq] == s->cq.last[cq])
        s->cq.phase[cq] = !s->cq.phase[cq];
    s->cq.tail[cq] = next_entry(s->cq.tail[cq], s->cq.last[cq]);
    s->cq_told[cq] = true;
    nvme_run_later(s);
}

void nvme_complete(struct nvme *s, uint16_t sq, uint16_t cid, uint32_t result, uint16_t status)
{
    uint16_t cq = s->sq.cq[sq];
    if (!nvme_is_answering(s))
        return;
    s->sq_active[sq]--;
    s->cq_active[cq]--;
    post(s, cq, sq, cid, result, status);
    if (s->sq_deleting[sq] && s->sq_active[sq] == 0)
        nvme_sq_idle(s, sq);
}

void nvme_update_intx(struct nvme *s)
{
    bool level = false;
    for (unsigned cq = 0; cq < NVME_QUEUES && !level && !pci_msix_enabled(&s->msix); cq++) {
        unsigned vector = s->cq.vector[cq];
        bool masked = vector < INTMS_VECTORS && (s->regs.intms >> vector & 1);
        level = s->cq.last[cq] > 0 && s->cq.interrupts[cq] && !masked && cq_used(s, cq) > 0;
    }
    pci_set_intx(&s->pci, level);
}

void nvme_tell(struct nvme *s)
{
    for (unsigned cq = 0; cq < NVME_QUEUES; cq++) {
        bool due = s->cq_told[cq] && s->cq.interrupts[cq] && cq_used(s, cq) > 0;
        s->cq_told[cq] = false;
        if (due)
            pci_msix_raise(&s->msix, s->cq.vector[cq]);
    }
    nvme_update_intx(s);
}

/* Copy the command at the head, then begin it. */
static void take(struct nvme *s, uint16_t sq)
{
    uint8_t raw[NVME_SQE_BYTES];
    if (mem_read(s->mem, s->sq.addr[sq] + (uint64_t)s->sq.head[sq] * NVME_SQE_BYTES, raw, sizeof(raw))) {
        nvme_fatal(s, "a submission queue is not in memory");
        return;
    }
    struct nvme_sqe sqe = { .opcode = raw[0],
                            .flags = raw[1],
                            .cid = le16_get(raw + 2),
                            .nsid = le32_get(raw + 4),
                            .prp1 = le64_get(raw + 24),
                            .prp2 = le64_get(raw + 32) };
    for (unsigned i = 0; i < ARRAY_SIZE(sqe.dw); i++)
        sqe.dw[i] = le32_get(raw + (size_t)4 * i);
    s->sq.head[sq] = next_entry(s->sq.head[sq], s->sq.last[sq]);
    s->sq_active[sq]++;
    s->cq_active[s->sq.cq[sq]]++;
    if (sq == 0)
        nvme_admin(s, &sqe);
    else
        nvme_io(s, sq, &sqe);
}

static bool may_take(const struct nvme *s, unsigned sq)
{
    return is_running(s) && s->sq.last[sq] > 0 && s->sq.head[sq] != s->sq.tail[sq] && !s->sq_deleting[sq] &&
           cq_has_room(s, s->sq.cq[sq]) && (sq == 0 || s->free);
}

void nvme_run(struct nvme *s)
{
    unsigned taken = 0, idle = 0;
    while (taken < NVME_BUDGET && idle <= s->io_queues) {
        uint16_t sq = (uint16_t)s->turn;
        unsigned burst = 0;
        for (; burst < NVME_BURST && may_take(s, sq); burst++)
            take(s, sq);
        taken += burst;
        idle = burst > 0 ? 0 : idle + 1;
        s->turn = sq == s->io_queues ? 0 : sq + 1u;
    }
    if (taken >= NVME_BUDGET)
        nvme_run_later(s);
}

bool nvme_has_work(const struct nvme *s)
{
    bool work = false;
    for (unsigned sq = 0; sq <= s->io_queues && !work; sq++)
        work = may_take(s, sq);
    return work;
}

void nvme_run_later(struct nvme *s)
{
    if (!s->halted)
        task_post(&s->task);
}

/* Both events there are have the error log as their page and one mask. */
static void run_events(struct nvme *s)
{
    static const uint8_t info[] = { 0, 1 }; /* bits of NVME_EVENTS: invalid doorbell register, invalid value */
    for (unsigned i = 0; i < ARRAY_SIZE(info); i++) {
        if (!(s->events >> i & 1) || s->events_masked || s->nr_aers == 0 || !is_running(s) || !cq_has_room(s, 0))
            continue;
        uint16_t cid = s->aer_cid[0];
        s->nr_aers--;
        memmove(s->aer_cid, s->aer_cid + 1, s->nr_aers * sizeof(s->aer_cid[0]));
        s->events &= (uint8_t) ~(1u << i);
        s->events_masked = true;
        post(s, 0, 0, cid, (uint32_t)ERROR_LOG << 16 | (uint32_t)info[i] << 8, NVME_OK);
    }
}

uint16_t nvme_hold_aer(struct nvme *s, uint16_t cid)
{
    if (s->nr_aers == NVME_AERS)
        return NVME_TOO_MANY_AERS;
    s->aer_cid[s->nr_aers++] = cid;
    s->sq_active[0]--; /* it takes no room in the queue until there is an event */
    s->cq_active[0]--;
    run_events(s);
    return NVME_PENDING;
}

void nvme_events_read(struct nvme *s)
{
    s->events_masked = false;
    run_events(s);
}

static void bad_doorbell(struct nvme *s, unsigned y, bool completion, uint32_t val, uint8_t event)
{
    log_guest(&s->dev, "%s doorbell %u: %s (%x); the guest is told", completion ? "completion" : "submission", y,
              event == NVME_EVENT_DOORBELL ? "there is no such queue" : "outside of the queue", val);
    s->events |= event;
    run_events(s);
}

void nvme_doorbell(struct nvme *s, unsigned y, bool completion, uint32_t val)
{
    if (!nvme_is_answering(s))
        return;
    bool there = y <= s->io_queues && (completion ? s->cq.last[y] > 0 : s->sq.last[y] > 0 && !s->sq_deleting[y]);
    if (!there) {
        bad_doorbell(s, y, completion, val, NVME_EVENT_DOORBELL);
        return;
    }
    uint16_t at = (uint16_t)val, last = completion ? s->cq.last[y] : s->sq.last[y];
    if (at > last || (completion && distance(s->cq.head[y], at, last) > cq_used(s, y))) {
        bad_doorbell(s, y, completion, val, NVME_EVENT_DOORBELL_VALUE);
        return;
    }
    if (completion) {
        s->cq.head[y] = at;
        nvme_update_intx(s);
        run_events(s);
    } else {
        s->sq.tail[y] = at;
    }
    nvme_run(s);
}
