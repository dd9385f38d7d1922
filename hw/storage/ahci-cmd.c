/*
 * AHCI: the command list, frames from and to the host, and the commands that aren't queued.
 * Source: AHCI 1.3.1, 4.2 and 5.3; Serial ATA 3.0, 10.3 (frames) and 11 (protocols). Left out: DMA Setup and unknown
 * frames to the host, of which the drives send none; the interrupts of PIO blocks before the last one.
 */
#include "ahci-private.h"

#include <errno.h>
#include <string.h>

/* Command header and table [AHCI 4.2.2, 4.2.3]. */
enum {
    HEADER_BYTES = 32,
    HEADER_USED = 16,
    HEADER_PRDBC = 4,
    TABLE_PACKET = 0x40,
    TABLE_USED = 0x50,
    TABLE_PRDT = 0x80
};
enum { HEADER_CFL = 0x1f, HEADER_ATAPI = 0x20, HEADER_BIST = 0x02, HEADER_PMP = 0xf0, MAX_FIS_DWORDS = 16 };
/* Where frames are received [AHCI 4.2.1]. */
enum { AREA_PIO_SETUP = 0x20, AREA_D2H = 0x40 };
/* Frames [SATA 10.3]. */
enum { FIS_H2D = 0x27, FIS_D2H = 0x34, FIS_PIO_SETUP = 0x5f, FIS_BYTES = 20, FIS_DWORDS = 5 };
enum { FIS_COMMAND = 0x80, FIS_RESERVED_OR_PMP = 0x7f, FIS_INTERRUPT = 0x40, FIS_TO_HOST = 0x20 };
enum { CMD_READ_LOG_EXT = 0x2f, CMD_READ_QUEUED = 0x60, CMD_WRITE_QUEUED = 0x61 };

static struct ahci_port *port_of(struct ide_channel *c)
{
    return container_of(c, struct ahci_port, chan);
}

int ahci_mem_read(struct ahci_port *p, uint64_t addr, void *buf, size_t len)
{
    return pci_is_master(&p->hba->pci) ? mem_read(p->hba->mem, addr, buf, len) : -EFAULT;
}

static int put(struct ahci_port *p, uint64_t addr, const void *buf, size_t len)
{
    return pci_is_master(&p->hba->pci) ? mem_write(p->hba->mem, addr, buf, len) : -EFAULT;
}

void ahci_halt(struct ahci_port *p, uint32_t bits)
{
    p->is |= bits;
    p->halted = true;
}

void ahci_post(struct ahci_port *p, unsigned off, const uint8_t *fis, size_t len)
{
    if (!(p->cmd_reg & PXCMD_FRE))
        return;
    if (put(p, p->fb + off, fis, len)) {
        log_guest(&p->hba->dev, "port %u: frames are received where there is no memory", ahci_drive(p)->index);
        ahci_halt(p, PXIS_HBFS);
    }
}

/* What register frames of both kinds begin with. */
static void put_regs(const struct ide_drive *d, uint8_t *fis)
{
    const struct ide_regs *r = &d->regs;
    const uint8_t regs[] = { d->status,  d->error,   r->low,      r->mid, r->high,  r->device,
                             r->hob_low, r->hob_mid, r->hob_high, 0,      r->count, r->hob_count };
    memcpy(fis + 2, regs, sizeof(regs));
}

void ahci_post_d2h(struct ahci_port *p, bool irq)
{
    const struct ide_drive *d = ahci_drive(p);
    uint8_t fis[FIS_BYTES] = { FIS_D2H, irq ? FIS_INTERRUPT : 0 };
    put_regs(d, fis);
    ahci_post(p, AREA_D2H, fis, sizeof(fis));
    p->tfd = (uint16_t)(d->error << 8 | d->status);
    if (irq)
        p->is |= PXIS_DHRS;
    if (d->status & ST_ERR)
        ahci_halt(p, PXIS_TFES);
}

/* The frame before a data block of PIO; end: the status behind the block [SATA 10.3.11]. */
static void post_pio_setup(struct ahci_port *p, uint8_t flags, uint8_t end, uint32_t bytes)
{
    const struct ide_drive *d = ahci_drive(p);
    uint8_t fis[FIS_BYTES] = { FIS_PIO_SETUP, flags };
    put_regs(d, fis);
    fis[2] = ST_READY | ST_DRQ;
    fis[15] = end;
    le16_put(fis + 16, (uint16_t)bytes);
    ahci_post(p, AREA_PIO_SETUP, fis, sizeof(fis));
}

/* The frame of the last block stands for all of them: each overwrites the one before. */
static void pio_setup_of_last_block(struct ahci_port *p)
{
    const struct ide_channel *c = &p->chan;
    const struct ahci_command *cmd = &p->cmd;
    uint32_t block = cmd->block_bytes > 0 ? cmd->block_bytes : cmd->moved_bytes, rest = cmd->moved_bytes % block;
    bool several = cmd->moved_bytes > block;
    /* The host starts the first block of data that it sends; packets end with a register frame. */
    bool irq = cmd->to_host || several;
    bool last_frame = cmd->to_host && !c->x.packet;
    post_pio_setup(p, (uint8_t)((irq ? FIS_INTERRUPT : 0) | (cmd->to_host ? FIS_TO_HOST : 0)),
                   last_frame ? ST_READY : ST_BSY | ST_READY, rest > 0 ? rest : block);
    if (irq)
        p->is |= PXIS_PSS;
}

static void command_ended(struct ide_channel *c)
{
    struct ahci_port *p = port_of(c);
    struct ahci_command *cmd = &p->cmd;
    const struct ide_drive *d = ahci_drive(p);
    bool failed = d->status & ST_ERR, pio = cmd->data && !c->x.dma;
    uint8_t bytes[4];
    if (!cmd->busy)
        return;
    if (cmd->moved_bytes > 0) {
        le32_put(bytes, cmd->moved_bytes);
        if (put(p, p->clb + (uint64_t)HEADER_BYTES * cmd->slot + HEADER_PRDBC, bytes, sizeof(bytes)))
            ahci_halt(p, PXIS_HBFS);
        if (pio)
            pio_setup_of_last_block(p);
    }
    if (pio && cmd->to_host && !c->x.packet && !failed)
        p->tfd = (uint16_t)(d->error << 8 | d->status); /* no register frame follows [SATA 11.6] */
    else
        ahci_post_d2h(p, true);
    if (!failed)
        p->ci &= ~(UINT32_C(1) << cmd->slot); /* else it tells which command failed [AHCI 6.2.2.1] */
    cmd->busy = false;
    ahci_update_irq(p->hba);
    task_post(&p->task);
}

uint32_t ahci_cause(enum ahci_result result)
{
    return result == AHCI_SHORT ? PXIS_OFS : result == AHCI_FAULT ? PXIS_HBFS : 0;
}

/* The table is too short for the command, or leads to where no memory is: the drive gives up. */
static void refuse(struct ahci_port *p, enum ahci_result result)
{
    p->is |= ahci_cause(result);
    log_guest(&p->hba->dev, "port %u: command %02x: %s", ahci_drive(p)->index, p->chan.x.command,
              result == AHCI_SHORT ? "more data than regions for it" : "DMA to an address without memory");
    ide_fail(ahci_drive(p), ER_ABRT);
}

/* A reply or parameters: they lie in the buffer. */
static void buffer_transfer(struct ahci_port *p)
{
    struct ide_channel *c = &p->chan;
    struct ide_xfer *x = &c->x;
    enum ahci_result result = ahci_copy(p, &p->cmd.prd, c->buf, x->filled, p->cmd.to_host);
    if (result != AHCI_OK) {
        refuse(p, result);
        return;
    }
    p->cmd.moved_bytes += x->filled;
    x->phase = PHASE_IDLE;
    if (p->cmd.to_host)
        ide_complete(ahci_drive(p));
    else if (x->packet)
        atapi_parameters(ahci_drive(p));
    else
        ata_parameters(ahci_drive(p));
}

static void medium_transfer(struct ahci_port *p)
{
    struct ide_xfer *from = &p->chan.x;
    struct ahci_xfer *x = &p->xfer[AHCI_PLAIN];
    x->lba = from->lba;
    x->left = from->left;
    x->host_bytes = from->host_bytes;
    x->write = from->step == STEP_WRITE;
    x->queued = x->fua = false; /* the flush comes from ide_medium_written() */
    x->prd = p->cmd.prd;
    ahci_xfer_start(x);
}

static void transfer(struct ide_channel *c)
{
    struct ahci_port *p = port_of(c);
    struct ide_xfer *x = &c->x;
    if (x->step == STEP_PACKET) /* start() has it */
        return;
    p->cmd.data = true;
    p->cmd.to_host = x->step == STEP_REPLY || x->step == STEP_READ;
    p->cmd.block_bytes = x->step == STEP_REPLY && !x->packet ? x->filled : x->block;
    if (x->step == STEP_READ || x->step == STEP_WRITE)
        medium_transfer(p);
    else
        buffer_transfer(p);
}

void ahci_plain_ended(struct ahci_xfer *x, enum ahci_result result)
{
    struct ahci_port *p = x->port;
    struct ide_channel *c = &p->chan;
    p->cmd.prd = x->prd;
    p->cmd.moved_bytes = x->moved_bytes;
    c->x.lba = x->lba;
    c->x.phase = PHASE_IDLE;
    if (result == AHCI_FAILED) {
        ide_medium_failed(c, x->write, x->err);
    } else if (result != AHCI_OK) {
        refuse(p, result);
    } else {
        c->x.left = 0;
        if (x->write)
            ide_medium_written(c);
        else
            ide_complete(ahci_drive(p));
    }
}

static void abandoned(struct ide_channel *c)
{
    if (port_of(c)->xfer)
        ahci_xfer_orphan(&port_of(c)->xfer[AHCI_PLAIN]);
}

static void idle(struct ide_channel *c)
{
    ahci_orphan_gone(port_of(c));
}

const struct ide_host ahci_host = {
    .transfer = transfer, .ended = command_ended, .abandoned = abandoned, .idle = idle
};

void ahci_load_regs(struct ide_drive *d, const uint8_t *fis)
{
    d->regs = (struct ide_regs){ .features = fis[3],
                                 .low = fis[4],
                                 .mid = fis[5],
                                 .high = fis[6],
                                 .device = (uint8_t)((fis[7] & ~DEV_UNIT) | DEV_ONES),
                                 .hob_low = fis[8],
                                 .hob_mid = fis[9],
                                 .hob_high = fis[10],
                                 .hob_features = fis[11],
                                 .count = fis[12],
                                 .hob_count = fis[13] };
}

/* PACKET: the drive asks for the packet with a PIO frame, and the host has it in the table [SATA 11.8]. */
static void start_packet(struct ahci_port *p, const uint8_t *table, bool has_packet)
{
    struct ide_drive *d = ahci_drive(p);
    if (d->kind == IDE_CD && !has_packet) {
        ide_fail(d, ER_ABRT);
        return;
    }
    ide_run(d);
    if (p->chan.x.step != STEP_PACKET)
        return;
    d->regs.count = IR_CD;
    post_pio_setup(p, 0, ST_BSY | ST_READY, IDE_PACKET_BYTES);
    memcpy(p->chan.buf, table + TABLE_PACKET, IDE_PACKET_BYTES);
    atapi_packet(d);
}

/* DEVICE RESET: a CD-ROM shows its signature [ACS 7.8]. */
static void device_reset(struct ahci_port *p)
{
    ide_drive_reset(ahci_drive(p));
    command_ended(&p->chan);
}

static void start(struct ahci_port *p, unsigned slot, const uint8_t *header, const uint8_t *table,
                  const struct ahci_prd *prd)
{
    struct ide_drive *d = ahci_drive(p);
    uint8_t command = table[2];
    p->cmd = (struct ahci_command){ .busy = true, .slot = (uint8_t)slot, .prd = *prd };
    p->tfd = ST_BSY | ST_READY;
    ahci_load_regs(d, table);
    ide_begin(d, command);
    bool disturbs = p->queue != 0;
    if (disturbs)
        ahci_queue_disturbed(p);
    if (disturbs || (p->queue_failed && command != CMD_READ_LOG_EXT))
        ide_fail(d, ER_ABRT);
    else if (command == CMD_PACKET)
        start_packet(p, table, header[0] & HEADER_ATAPI);
    else if (command == CMD_DEVICE_RESET && d->kind == IDE_CD)
        device_reset(p);
    else if (command == CMD_READ_LOG_EXT && d->kind == IDE_DISK)
        ahci_read_log(p);
    else
        ide_run(d);
}

/* Frames that set and clear SRST in the control register: a soft reset [SATA 11.2]. */
static void control_frame(struct ahci_port *p, unsigned slot, const uint8_t *fis)
{
    bool srst = fis[15] & DC_SRST;
    p->ci &= ~(UINT32_C(1) << slot);
    if (srst) {
        ahci_abandon(p);
        p->queue_failed = false;
    } else if (p->srst) {
        ide_drive_reset(ahci_drive(p));
        p->tfd = ST_BSY;
        p->owe_signature = true;
        ahci_send_signature(p);
    }
    p->srst = srst;
}

/* Fetch the command in slot and start it. */
static void issue(struct ahci_port *p, unsigned slot)
{
    uint8_t header[HEADER_USED], table[TABLE_USED];
    p->cmd_reg = (p->cmd_reg & ~(uint32_t)PXCMD_CCS) | slot << PXCMD_CCS_SHIFT;
    if (ahci_mem_read(p, p->clb + (uint64_t)HEADER_BYTES * slot, header, sizeof(header))) {
        ahci_halt(p, PXIS_HBFS);
        return;
    }
    uint64_t table_at = le64_get(header + 8) & ~UINT64_C(0x7f);
    if (ahci_mem_read(p, table_at, table, sizeof(table))) {
        ahci_halt(p, PXIS_HBFS);
        return;
    }
    unsigned dwords = header[0] & HEADER_CFL;
    if (dwords < FIS_DWORDS || dwords > MAX_FIS_DWORDS || (header[1] & (HEADER_PMP | HEADER_BIST)) ||
        table[0] != FIS_H2D || (table[1] & FIS_RESERVED_OR_PMP)) {
        log_guest(&p->hba->dev, "port %u: no drive takes the frame in slot %u", ahci_drive(p)->index, slot);
        p->serr |= PXSERR_PROTOCOL | PXSERR_TRANSPORT;
        ahci_halt(p, PXIS_IFS);
        return;
    }
    struct ahci_prd prd = { .table = table_at + TABLE_PRDT, .entries = le16_get(header + 2) };
    if (!(table[1] & FIS_COMMAND))
        control_frame(p, slot, table);
    else if (table[2] == CMD_READ_QUEUED || table[2] == CMD_WRITE_QUEUED)
        ahci_queue_command(p, slot, table, &prd);
    else
        start(p, slot, header, table, &prd);
}

static bool can_issue(const struct ahci_port *p)
{
    bool running = (p->cmd_reg & PXCMD_ST) && (p->cmd_reg & PXCMD_FRE) && !p->halted && !p->hba->resetting;
    bool ready = p->chan.drive[0].kind != IDE_NONE && !(p->sctl & PXSCTL_DET) && !p->owe_signature && !p->cmd.busy;
    return p->ci != 0 && running && ready && !ahci_has_orphans(p);
}

/* The next slot after the last one in turn [AHCI 5.3.2.3]. */
static unsigned next_slot(const struct ahci_port *p)
{
    unsigned slot = (p->cmd_reg & PXCMD_CCS) >> PXCMD_CCS_SHIFT;
    do
        slot = (slot + 1) % AHCI_SLOTS;
    while (!(p->ci >> slot & 1));
    return slot;
}

void ahci_port_run(void *opaque)
{
    struct ahci_port *p = opaque;
    ahci_resume(p);
    ahci_queue_report(p);
    while (can_issue(p)) /* each takes a bit of CI away, occupies the port or halts it */
        issue(p, next_slot(p));
    ahci_update_irq(p->hba);
}
