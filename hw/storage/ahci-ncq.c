/*
 * AHCI: queued commands, READ and WRITE FPDMA QUEUED, up to 32 at work, and the log that tells which one failed.
 * Source: Serial ATA 3.0, 13.6; AHCI 1.3.1, 5.4.1 and 6.2.2; ACS-3, A.7.4 (log 10h). Left out: priorities, the other
 * queued commands; the interrupts of commands that finish together are one.
 */
#include "ahci-private.h"

#include <string.h>

enum { AREA_DEVICE_BITS = 0x58, FIS_DEVICE_BITS = 0xa1, FIS_INTERRUPT = 0x40, FIS_BYTES = 8, STATUS_BITS = 0x77 };
enum { CMD_WRITE_QUEUED = 0x61, FLAG_FUA = 0x80, TAG_SHIFT = 3, MAX_SECTORS = 0x10000 };
enum { LOG_DIRECTORY = 0x00, LOG_QUEUE = 0x10, LOG_NOT_QUEUED = 0x80, CHECKSUM_AT = DISK_SECTOR - 1 };

static uint32_t bit(unsigned slot)
{
    return UINT32_C(1) << slot;
}

/* Bits of PxSACT go off, and the status shows [SATA 10.3.6]. */
static void post_device_bits(struct ahci_port *p, uint32_t bits)
{
    const struct ide_drive *d = ahci_drive(p);
    uint8_t fis[FIS_BYTES] = { FIS_DEVICE_BITS, FIS_INTERRUPT, d->status & STATUS_BITS, d->error };
    le32_put(fis + 4, bits);
    ahci_post(p, AREA_DEVICE_BITS, fis, sizeof(fis));
    p->tfd = (uint16_t)(d->error << 8 | (p->tfd & ~STATUS_BITS & 0xff) | (d->status & STATUS_BITS));
    p->sact &= ~bits;
    p->is |= PXIS_SDBS;
}

void ahci_queue_report(struct ahci_port *p)
{
    uint32_t bits = p->finished;
    if (bits == 0)
        return;
    p->finished = 0;
    p->queue &= ~bits;
    post_device_bits(p, bits);
}

/* All commands of the queue end without a word; the log tells of the one that failed. */
static void fail_queue(struct ahci_port *p, uint8_t tag, uint8_t error, uint64_t lba)
{
    struct ide_drive *d = ahci_drive(p);
    const struct ide_regs *r = &d->regs;
    ahci_queue_report(p); /* those had ended before */
    for (unsigned i = 0; i < AHCI_SLOTS; i++)
        ahci_xfer_orphan(&p->xfer[i]); /* there is a drive, or nobody would fail */
    p->queue = p->finished = 0;
    d->status = ST_READY | ST_ERR;
    d->error = error;
    const uint8_t log[AHCI_LOG_BYTES] = { tag,
                                          0,
                                          d->status,
                                          error,
                                          (uint8_t)lba,
                                          (uint8_t)(lba >> 8),
                                          (uint8_t)(lba >> 16),
                                          r->device,
                                          (uint8_t)(lba >> 24),
                                          (uint8_t)(lba >> 32),
                                          (uint8_t)(lba >> 40),
                                          0,
                                          r->count,
                                          r->hob_count };
    if (!p->queue_failed) /* what is refused because of it doesn't overwrite the reason */
        memcpy(p->queue_log, log, sizeof(log));
    p->queue_failed = true;
}

void ahci_queue_disturbed(struct ahci_port *p)
{
    fail_queue(p, LOG_NOT_QUEUED, ER_ABRT, 0);
}

/* What is wrong with a command at its arrival: bits of the error register, 0: nothing. */
static uint8_t check(struct ahci_port *p, unsigned slot, bool write, uint64_t lba, uint32_t sectors)
{
    struct ide_drive *d = ahci_drive(p);
    if (p->queue_failed || d->kind != IDE_DISK || d->regs.count >> TAG_SHIFT != slot || (p->queue & bit(slot)))
        return ER_ABRT;
    if (write && d->block->read_only)
        return ER_ABRT;
    return lba >= d->sectors || sectors > d->sectors - lba ? ER_IDNF : 0;
}

static uint64_t lba_of(const struct ide_regs *r)
{
    return (uint64_t)r->hob_high << 40 | (uint64_t)r->hob_mid << 32 | (uint64_t)r->hob_low << 24 |
           (uint64_t)r->high << 16 | (uint64_t)r->mid << 8 | r->low;
}

void ahci_queue_command(struct ahci_port *p, unsigned slot, const uint8_t *fis, const struct ahci_prd *prd)
{
    struct ide_drive *d = ahci_drive(p);
    struct ahci_xfer *x = &p->xfer[slot];
    const struct ide_regs *r = &d->regs;
    ahci_load_regs(d, fis);
    bool write = fis[2] == CMD_WRITE_QUEUED;
    uint64_t lba = lba_of(r);
    uint32_t sectors = (uint32_t)r->hob_features << 8 | r->features;
    if (sectors == 0)
        sectors = MAX_SECTORS;
    uint8_t error = check(p, slot, write, lba, sectors);
    if (error) {
        /* Refused with a register frame, and so not queued [SATA 13.6.3.1]. */
        fail_queue(p, (uint8_t)slot, error, lba);
        ahci_post_d2h(p, true);
        return;
    }
    d->status = ST_READY;
    d->error = 0;
    ahci_post_d2h(p, false); /* the drive has taken it, and is free for the next */
    p->ci &= ~bit(slot);
    p->queue |= bit(slot);
    x->lba = lba;
    x->left = sectors;
    x->write = write;
    x->fua = x->write && ((fis[7] & FLAG_FUA) || !d->disk.write_cache);
    x->queued = true;
    x->host_bytes = DISK_SECTOR;
    x->prd = *prd;
    ahci_xfer_start(x);
}

void ahci_queue_ended(struct ahci_xfer *x, enum ahci_result result)
{
    struct ahci_port *p = x->port;
    unsigned slot = (unsigned)(x - p->xfer);
    if (result == AHCI_OK) {
        p->finished |= bit(slot);
        task_post(&p->task);
        return;
    }
    log_limited(p->hba->dev.log, LOG_WARN, &p->hba->dev.log_rate, p->hba->dev.id,
                "port %u: queued %s of sector %llu failed (%s %d); reported to the guest", ahci_drive(p)->index,
                x->write ? "write" : "read", (unsigned long long)x->lba,
                result == AHCI_FAILED ? "error" : "bad regions,", result == AHCI_FAILED ? -x->err : (int)result);
    p->is |= ahci_cause(result);
    fail_queue(p, (uint8_t)slot, result == AHCI_FAILED && !x->write ? ER_UNC : ER_ABRT, x->lba);
    post_device_bits(p, 0);
    ahci_halt(p, PXIS_TFES);
    ahci_update_irq(p->hba);
}

/* One page of a log: the directory, or why the queue failed, which ends the drive's refusal. */
void ahci_read_log(struct ahci_port *p)
{
    struct ide_drive *d = ahci_drive(p);
    uint8_t *out = p->chan.buf, sum = 0;
    const struct ide_regs *r = &d->regs;
    unsigned pages = (unsigned)r->hob_count << 8 | r->count, page = (unsigned)r->hob_mid << 8 | r->mid;
    if (pages != 1 || page != 0 || (r->low != LOG_DIRECTORY && r->low != LOG_QUEUE)) {
        ide_fail(d, ER_ABRT);
        return;
    }
    memset(out, 0, DISK_SECTOR);
    if (r->low == LOG_DIRECTORY) {
        out[0] = out[2 * LOG_QUEUE] = 1; /* version; pages */
    } else {
        memcpy(out, p->queue_log, AHCI_LOG_BYTES);
        for (unsigned i = 0; i < CHECKSUM_AT; i++)
            sum = (uint8_t)(sum + out[i]);
        out[CHECKSUM_AT] = (uint8_t)-sum;
        p->queue_failed = false;
    }
    ide_reply(d, DISK_SECTOR);
}
