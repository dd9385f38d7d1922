/*
 * An NVMe controller: PCI function, registers, reset and shutdown, the device itself.
 * Source: NVM Express Base Specification 1.4c [NVMe n]. Left out: SGLs, a memory buffer in the controller, weighted
 * arbitration, several controllers, the PCI Express capability (the board's bus is a conventional one), function states
 * other than D0 have no effect. Identity and layout of BAR 0 are those of the machine that Xen guests know.
 *
 * Disabling the controller waits for nobody: what is at work ends unanswered, and the ready bit goes when the last of
 * it has [NVMe 7.3.2]. The guest's memory is its own again then, not before.
 */
#include "nvme.h"
#include "nvme-private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Registers [NVMe 3.1], doorbells and MSI-X in BAR 0. */
enum {
    REG_CAP = 0x00,
    REG_CAP_HIGH = 0x04,
    REG_VS = 0x08,
    REG_INTMS = 0x0c,
    REG_INTMC = 0x10,
    REG_CC = 0x14,
    REG_CSTS = 0x1c,
    REG_AQA = 0x24,
    REG_ASQ = 0x28,
    REG_ASQ_HIGH = 0x2c,
    REG_ACQ = 0x30,
    REG_ACQ_HIGH = 0x34,
    DOORBELLS = 0x1000,
    MSIX_TABLE = 0x2000,
    MSIX_PENDING = 0x3000,
    BAR_BYTES = 0x4000,
};
/* Contiguous queues, 30 s to get ready; the NVM command set. Doorbells side by side, 4 KiB pages. */
enum { CAP_LOW = 0x3c010000 | NVME_MAX_LAST, CAP_HIGH = 0x20, VERSION = 0x10400, AQA_MASK = 0x0fff0fff };
enum { CAP_MSIX = 0x40, CAP_POWER = 0x60 };
#define ADDR_MASK (~(uint64_t)(NVME_PAGE - 1))

static const struct snap_field nvme_fields[] = {
    SNAP_ARRAY(struct nvme, pci.config),
    SNAP(struct nvme, unplugged),
    SNAP(struct nvme, regs.intms),
    SNAP(struct nvme, regs.cc),
    SNAP(struct nvme, regs.csts),
    SNAP(struct nvme, regs.aqa),
    SNAP(struct nvme, regs.asq),
    SNAP(struct nvme, regs.acq),
    SNAP_ARRAY(struct nvme, sq.addr),
    SNAP_ARRAY(struct nvme, sq.last),
    SNAP_ARRAY(struct nvme, sq.head),
    SNAP_ARRAY(struct nvme, sq.tail),
    SNAP_ARRAY(struct nvme, sq.cq),
    SNAP_ARRAY(struct nvme, cq.addr),
    SNAP_ARRAY(struct nvme, cq.last),
    SNAP_ARRAY(struct nvme, cq.head),
    SNAP_ARRAY(struct nvme, cq.tail),
    SNAP_ARRAY(struct nvme, cq.vector),
    SNAP_ARRAY(struct nvme, cq.phase),
    SNAP_ARRAY(struct nvme, cq.interrupts),
    SNAP(struct nvme, features.arbitration),
    SNAP(struct nvme, features.power),
    SNAP(struct nvme, features.error_recovery),
    SNAP(struct nvme, features.write_cache),
    SNAP(struct nvme, features.coalescing),
    SNAP(struct nvme, features.atomicity),
    SNAP(struct nvme, features.events),
    SNAP(struct nvme, features.too_hot),
    SNAP(struct nvme, features.too_cold),
    SNAP_ARRAY(struct nvme, features.uncoalesced),
    SNAP_ARRAY(struct nvme, aer_cid),
    SNAP(struct nvme, nr_aers),
    SNAP(struct nvme, events),
    SNAP(struct nvme, events_masked),
    SNAP_ARRAY(struct nvme, msix_table),
    SNAP_ARRAY(struct nvme, msix_pending),
    SNAP_END,
};

/* Power management, version 1.2: D3hot keeps all state. MSI-X goes in front of it. */
static const struct pci_reg nvme_pci_regs[] = {
    { PCI_CAP_PTR, 1, CAP_POWER, 0, 0 },
    { CAP_POWER, 4, 0x00030001, 0, 0 },
    { CAP_POWER + 4, 4, 0x00000008, 0x3, 0 },
};

static const struct pci_desc nvme_pci_desc = {
    .vendor = 0x1b36,
    .device = 0x0010,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x010802,
    .revision = 2,
    .pin = 1,
    .status_reset = 0x0010,
    .regs = nvme_pci_regs,
    .nr_regs = ARRAY_SIZE(nvme_pci_regs),
};

static struct nvme *nvme_of(const struct device *dev)
{
    return container_of(dev, struct nvme, dev);
}

void nvme_fatal(struct nvme *s, const char *why)
{
    log_guest(&s->dev, "%s; the controller stops until it is reset", why);
    s->regs.csts |= CSTS_FATAL;
}

/* The guest enables the controller [NVMe 7.6.1]. */
static void start(struct nvme *s)
{
    uint16_t sq_last = s->regs.aqa & 0xfff, cq_last = s->regs.aqa >> 16 & 0xfff;
    if ((s->regs.cc & (CC_CSS | CC_MPS | CC_AMS)) || sq_last == 0 || cq_last == 0) {
        nvme_fatal(s, "enabled with a page size, command set or queue size that doesn't exist");
        return;
    }
    s->sq.addr[0] = s->regs.asq;
    s->sq.last[0] = sq_last;
    s->cq.addr[0] = s->regs.acq;
    s->cq.last[0] = cq_last;
    s->cq.interrupts[0] = true;
    s->regs.csts |= CSTS_READY;
}

static void begin_shutdown(struct nvme *s)
{
    s->regs.csts |= CSTS_SHUTTING;
    if (s->active == 0)
        nvme_idle(s);
}

void nvme_idle(struct nvme *s)
{
    if (s->halted)
        return;
    if (s->resetting) {
        s->resetting = false;
        s->regs.csts = 0;
        if (s->regs.cc & CC_ENABLE) /* the guest didn't wait */
            start(s);
        if (s->regs.cc & CC_SHN)
            begin_shutdown(s);
    } else if ((s->regs.csts & CSTS_SHST) == CSTS_SHUTTING) {
        nvme_io_flush_all(s);
    }
}

static void begin_reset(struct nvme *s)
{
    s->resetting = true;
    s->regs.intms = 0;
    nvme_forget_queues(s);
    nvme_reset_features(s);
    nvme_io_cancel_stalled(s);
    if (s->active == 0 && s->resetting)
        nvme_idle(s);
}

/* [NVMe 3.1.5, 7.6.2] */
static void write_cc(struct nvme *s, uint32_t val)
{
    uint32_t old = s->regs.cc;
    bool was = old & CC_ENABLE, is = val & CC_ENABLE;
    s->regs.cc = val & CC_WRITABLE;
    if (was && !is && !s->resetting)
        begin_reset(s);
    if (!was && is && !s->resetting)
        start(s);
    bool shutdown = val & CC_SHN;
    if (shutdown && !(s->regs.csts & CSTS_SHST) && !s->resetting) {
        begin_shutdown(s);
    } else if (!shutdown && (s->regs.csts & CSTS_SHST) == CSTS_SHUT) {
        s->regs.csts &= ~(uint32_t)CSTS_SHST;
        nvme_run_later(s);
    }
}

static uint32_t read_register(const struct nvme *s, uint64_t off)
{
    switch (off) {
    case REG_CAP: return CAP_LOW;
    case REG_CAP_HIGH: return CAP_HIGH;
    case REG_VS: return VERSION;
    case REG_INTMS:
    case REG_INTMC: return s->regs.intms;
    case REG_CC: return s->regs.cc;
    case REG_CSTS: return s->regs.csts;
    case REG_AQA: return s->regs.aqa;
    case REG_ASQ: return (uint32_t)s->regs.asq;
    case REG_ASQ_HIGH: return (uint32_t)(s->regs.asq >> 32);
    case REG_ACQ: return (uint32_t)s->regs.acq;
    case REG_ACQ_HIGH: return (uint32_t)(s->regs.acq >> 32);
    }
    return 0; /* reserved; no controller memory buffer */
}

static uint64_t with_low(uint64_t old, uint32_t val)
{
    return ((old & ~UINT64_C(0xffffffff)) | val) & ADDR_MASK;
}

static uint64_t with_high(uint64_t old, uint32_t val)
{
    return (old & UINT64_C(0xffffffff)) | (uint64_t)val << 32;
}

static void write_register(struct nvme *s, uint64_t off, uint32_t val)
{
    switch (off) {
    case REG_INTMS:
        s->regs.intms |= val;
        nvme_update_intx(s);
        break;
    case REG_INTMC:
        s->regs.intms &= ~val;
        nvme_update_intx(s);
        break;
    case REG_CC: write_cc(s, val); break;
    case REG_AQA: s->regs.aqa = val & AQA_MASK; break;
    case REG_ASQ: s->regs.asq = with_low(s->regs.asq, val); break;
    case REG_ASQ_HIGH: s->regs.asq = with_high(s->regs.asq, val); break;
    case REG_ACQ: s->regs.acq = with_low(s->regs.acq, val); break;
    case REG_ACQ_HIGH: s->regs.acq = with_high(s->regs.acq, val); break;
    }
}

/* Only aligned accesses of 32 and 64 bits are allowed [NVMe 3.1]; the bus makes two of the latter. */
static uint64_t bar_read(void *opaque, uint64_t off, unsigned size)
{
    const struct nvme *s = opaque;
    if (off % 4 || (off >= DOORBELLS && off < MSIX_TABLE))
        return 0;
    if (off >= MSIX_PENDING)
        return pci_msix_pending_read(&s->msix, (uint32_t)off - MSIX_PENDING);
    return off >= MSIX_TABLE ? pci_msix_table_read(&s->msix, (uint32_t)off - MSIX_TABLE) : read_register(s, off);
}

static void bar_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct nvme *s = opaque;
    if (off % 4 || off >= MSIX_PENDING)
        return;
    if (off >= MSIX_TABLE)
        pci_msix_table_write(&s->msix, (uint32_t)off - MSIX_TABLE, (uint32_t)val);
    else if (off >= DOORBELLS)
        nvme_doorbell(s, (unsigned)(off - DOORBELLS) / 8, off & 4, (uint32_t)val);
    else
        write_register(s, off, (uint32_t)val);
}

static const struct bus_ops bar_ops = { .read = bar_read, .write = bar_write, .sizes = BUS_4 };

/* What goes on by itself: more commands than one access may cost, interrupts. */
static void run_task(void *opaque)
{
    struct nvme *s = opaque;
    nvme_run(s);
    nvme_tell(s);
}

static void config_written(void *opaque, unsigned reg, unsigned size)
{
    struct nvme *s = opaque;
    bool master = pci_is_master(&s->pci);
    if (!master && s->master) { /* the guest takes its memory back now: what is on its way there must arrive before */
        nvme_io_drain(s);
        nvme_tell(s);
    }
    if (master && !s->master)
        nvme_run_later(s);
    s->master = master;
    pci_msix_config_written(&s->msix);
    nvme_update_intx(s);
}

/* Commands at work end unanswered, all state goes. */
static void halt(struct nvme *s)
{
    s->halted = true;
    nvme_io_cancel_stalled(s);
    nvme_io_drain(s);
    task_cancel(&s->task);
    nvme_forget_queues(s);
    nvme_reset_features(s);
    s->regs = (struct nvme_regs){ 0 };
    s->resetting = false;
    s->halted = false;
}

static void nvme_reset(struct device *dev)
{
    struct nvme *s = nvme_of(dev);
    halt(s);
    s->master = false;
    pci_reset(&s->pci);
    pci_msix_reset(&s->msix);
    nvme_update_intx(s);
}

static void nvme_unplug(struct device *dev)
{
    struct nvme *s = nvme_of(dev);
    if (s->cmds)
        halt(s);
    pci_detach(&s->pci);
    for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
        block_close(s->ns[i].block);
        s->ns[i].block = NULL;
    }
}

static void nvme_destroy(struct device *dev)
{
    free(nvme_of(dev)->cmds);
}

static void nvme_saving(struct device *dev)
{
    struct nvme *s = nvme_of(dev);
    nvme_io_drain(s);
    nvme_tell(s);
}

static bool registers_possible(const struct nvme *s)
{
    const struct nvme_regs *r = &s->regs;
    bool enabled = r->cc & CC_ENABLE, started = r->csts & (CSTS_READY | CSTS_FATAL);
    if ((r->cc & ~(uint32_t)CC_WRITABLE) || (r->csts & ~(uint32_t)CSTS_ALL) || (r->aqa & ~(uint32_t)AQA_MASK))
        return false;
    if (((r->asq | r->acq) & ~ADDR_MASK) || enabled != started)
        return false;
    if ((r->csts & CSTS_SHST) != 0 && (r->csts & CSTS_SHST) != CSTS_SHUT)
        return false;
    return s->nr_aers <= NVME_AERS && !(s->events & ~NVME_EVENTS) && nvme_features_possible(s);
}

static bool cq_possible(const struct nvme *s, unsigned q)
{
    const struct nvme_cqs *cq = &s->cq;
    return cq->last[q] <= (q == 0 ? NVME_MAX_ADMIN_LAST : NVME_MAX_LAST) && cq->head[q] <= cq->last[q] &&
           cq->tail[q] <= cq->last[q] && cq->addr[q] % NVME_PAGE == 0 && cq->vector[q] <= (q == 0 ? 0 : s->io_queues);
}

static bool sq_possible(const struct nvme *s, unsigned q)
{
    const struct nvme_sqs *sq = &s->sq;
    unsigned cq = sq->cq[q];
    if (sq->last[q] > (q == 0 ? NVME_MAX_ADMIN_LAST : NVME_MAX_LAST) || sq->head[q] > sq->last[q] ||
        sq->tail[q] > sq->last[q] || sq->addr[q] % NVME_PAGE)
        return false;
    if (sq->last[q] == 0 || q == 0)
        return cq == 0;
    return cq > 0 && cq <= s->io_queues && s->cq.last[cq] > 0;
}

/* Queues are there exactly as far as the controller is ready and has them. */
static bool queues_possible(const struct nvme *s)
{
    bool ready = s->regs.csts & CSTS_READY;
    if ((s->sq.last[0] > 0) != ready || (s->cq.last[0] > 0) != ready || (!ready && s->nr_aers > 0))
        return false;
    for (unsigned q = 0; q < NVME_QUEUES; q++) {
        if (!cq_possible(s, q) || !sq_possible(s, q))
            return false;
        if ((q > s->io_queues || !ready) && (s->sq.last[q] > 0 || s->cq.last[q] > 0))
            return false;
    }
    return true;
}

static int nvme_restored(struct device *dev)
{
    struct nvme *s = nvme_of(dev);
    int err = registers_possible(s) && queues_possible(s) ? 0 : -EINVAL;
    if (!err)
        err = pci_restored(&s->pci);
    if (!err)
        err = pci_msix_restored(&s->msix);
    if (err) {
        halt(s); /* a refused state stays until the device goes: nothing in it may lead astray */
        return err;
    }
    s->master = pci_is_master(&s->pci);
    nvme_update_intx(s);
    if (s->unplugged || !s->pci.bus) { /* or it was here already: the images belong to the guest's PV back ends */
        s->unplugged = true;
        nvme_unplug(dev);
    } else if (nvme_has_work(s)) {
        nvme_run_later(s);
    }
    return 0;
}

static bool nvme_quiet(const struct device *dev)
{
    const struct nvme *s = nvme_of(dev);
    return s->active == 0 && !s->task.posted;
}

static const struct device_desc nvme_desc = {
    .name = "nvme",
    .version = 1,
    .fields = nvme_fields,
    .reset = nvme_reset,
    .saving = nvme_saving,
    .quiet = nvme_quiet,
    .restored = nvme_restored,
    .unplug = nvme_unplug,
    .destroy = nvme_destroy,
};

static void flush_done(struct block_req *req, int err)
{
    if (err)
        log_device(req->opaque, LOG_ERROR, "flushing a disk failed (error %d)", -err);
}

void nvme_drain(struct device *nvme)
{
    struct nvme *s = nvme_of(nvme);
    assert(nvme->desc == &nvme_desc);
    nvme_io_drain(s);
    nvme_tell(s);
    for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
        struct block_req flush = { .op = BLOCK_FLUSH, .done = flush_done, .opaque = nvme };
        if (!s->ns[i].block)
            continue;
        block_submit(s->ns[i].block, &flush);
        block_drain(s->ns[i].block);
    }
}

void nvme_unplug_disks(struct device *nvme)
{
    struct nvme *s = nvme_of(nvme);
    nvme_drain(nvme);
    s->unplugged = true;
    nvme_unplug(nvme);
}

struct block *nvme_block(const struct device *nvme, unsigned number)
{
    assert(nvme->desc == &nvme_desc);
    return number < NVME_NAMESPACES ? nvme_of(nvme)->ns[number].block : NULL;
}

static int check_config(const struct nvme_config *config)
{
    size_t len = strlen(config->serial);
    if (config->io_queues < 1 || config->io_queues > NVME_MAX_IO_QUEUES || len > NVME_SERIAL_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (config->serial[i] < ' ' || config->serial[i] > '~')
            return -EINVAL;
    }
    for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
        const struct block *block = config->block[i];
        if (!block)
            continue;
        if (block->size_bytes < block->sector_bytes || (block->sector_bytes != 512 && block->sector_bytes != NVME_PAGE))
            return -EINVAL;
    }
    return 0;
}

static void init_namespaces(struct nvme *s, const struct nvme_config *config)
{
    for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
        struct block *block = config->block[i];
        if (!block)
            continue;
        s->ns[i] = (struct nvme_ns){ .block = block,
                                     .sectors = block->size_bytes / block->sector_bytes,
                                     .sector_bytes = block->sector_bytes,
                                     .read_only = block->read_only,
                                     .discard = block->discard };
        s->nr_ns = i + 1;
    }
}

int nvme_create(const struct nvme_config *config, struct device **out)
{
    int err = check_config(config);
    if (err)
        return err;
    struct nvme *s = device_new(&nvme_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->mem = config->mem;
    s->loop = config->loop;
    s->io_queues = config->io_queues;
    (void)snprintf(s->serial, sizeof(s->serial), "%s", config->serial);
    task_init(&s->task, config->loop, run_task, s);
    s->pci.opaque = s;
    s->pci.config_written = config_written;
    s->pci.bars[0] = (struct pci_bar){ .kind = PCI_BAR_MEM64, .size = BAR_BYTES, .ops = &bar_ops };
    err = pci_attach(&s->pci, config->pci, config->devfn, &nvme_pci_desc);
    struct nvme_cmd *cmds = err ? NULL : calloc(NVME_COMMANDS, sizeof(*cmds));
    if (!err && !cmds)
        err = -ENOMEM;
    if (err) {
        device_free(&s->dev); /* the blocks are still the caller's */
        return err;
    }
    s->cmds = cmds;
    pci_msix_init(&s->msix, &s->pci, config->hv,
                  &(struct pci_msix_config){ .cap = CAP_MSIX,
                                             .table_offset = MSIX_TABLE,
                                             .pending_offset = MSIX_PENDING,
                                             .vectors = (uint16_t)(config->io_queues + 1),
                                             .table = s->msix_table,
                                             .pending = s->msix_pending });
    nvme_io_init(s);
    init_namespaces(s, config);
    nvme_reset_features(s);
    *out = &s->dev;
    return 0;
}
