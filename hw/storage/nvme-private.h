/*
 * What the files of the NVMe controller share.
 *
 * The guest puts commands into a submission queue in its memory and writes the new tail to a doorbell. nvme_run() takes
 * them from there, at most NVME_BUDGET at a time, but only if the completion queue has room for the answer and, for
 * reads and writes, one of NVME_COMMANDS slots is free: so nothing ever waits for room but in the guest's own queues.
 */
#ifndef THINDM_NVME_PRIVATE_H
#define THINDM_NVME_PRIVATE_H

#include "nvme.h"

#include <thindm/block.h>
#include <thindm/device.h>
#include <thindm/hv.h>
#include <thindm/mem.h>
#include <thindm/pci.h>

enum {
    NVME_QUEUES = 1 + NVME_MAX_IO_QUEUES, /* queue 0 is for administration */
    NVME_VECTORS = NVME_QUEUES,
    NVME_PAGE = 4096,
    NVME_SQE_BYTES = 64,
    NVME_CQE_BYTES = 16,
    NVME_MAX_LAST = 2047,      /* 0's based size of the largest I/O queue */
    NVME_MAX_ADMIN_LAST = 4095,
    NVME_MDTS = 7,             /* largest transfer: 2^7 pages */
    NVME_MAX_PRPS = (1 << NVME_MDTS) + 1,
    NVME_COMMANDS = 64,        /* slots for commands at work */
    NVME_CMD_PINS = 32,        /* a longer scatter list goes in several pieces */
    NVME_BUCKETS = MEM_BUCKETS / 4, /* pinned by all commands together: others need mappings of memory too */
    NVME_BUDGET = 64,          /* commands taken in one go */
    NVME_BURST = 8,            /* of them from one queue */
    NVME_AERS = 4,             /* asynchronous event requests held */
    NVME_TEMPERATURE = 323,    /* kelvin */
};
#define NVME_MAX_TRANSFER   ((uint64_t)NVME_PAGE << NVME_MDTS)
#define NVME_ALL_NAMESPACES UINT32_C(0xffffffff)

/* Status: code type << 8 | code [NVMe 4.6.1]. */
enum nvme_status {
    NVME_OK = 0x000,
    NVME_BAD_OPCODE = 0x001,
    NVME_BAD_FIELD = 0x002,
    NVME_TRANSFER_ERROR = 0x004,
    NVME_INTERNAL_ERROR = 0x006,
    NVME_BAD_NAMESPACE = 0x00b,
    NVME_SEQUENCE_ERROR = 0x00c,
    NVME_BAD_PRP_OFFSET = 0x013,
    NVME_WRITE_PROTECTED = 0x020,
    NVME_LBA_RANGE = 0x080,
    NVME_CAPACITY_EXCEEDED = 0x081,
    NVME_BAD_CQ = 0x100,
    NVME_BAD_QUEUE_ID = 0x101,
    NVME_BAD_QUEUE_SIZE = 0x102,
    NVME_TOO_MANY_AERS = 0x105,
    NVME_BAD_VECTOR = 0x108,
    NVME_BAD_LOG_PAGE = 0x109,
    NVME_BAD_QUEUE_DELETION = 0x10c,
    NVME_NOT_SAVEABLE = 0x10d,
    NVME_WRITE_FAULT = 0x280,
    NVME_READ_ERROR = 0x281,
    NVME_PENDING = 0xffff, /* not a status: the answer comes later */
};

/* CC and CSTS [NVMe 3.1.5, 3.1.6]. */
enum {
    CC_ENABLE = 0x1, CC_CSS = 0x70, CC_MPS = 0x780, CC_AMS = 0x3800, CC_SHN = 0xc000, CC_WRITABLE = 0xfffff1,
    CSTS_READY = 0x1, CSTS_FATAL = 0x2, CSTS_SHST = 0xc, CSTS_SHUTTING = 0x4, CSTS_SHUT = 0x8, CSTS_ALL = 0xf,
};

/* Asynchronous events that wait to be told [NVMe 5.2]: one bit each. */
enum { NVME_EVENT_DOORBELL = 0x1, NVME_EVENT_DOORBELL_VALUE = 0x2, NVME_EVENTS = 0x3 };

/* A command as it was copied from the guest's queue [NVMe 4.2]. */
struct nvme_sqe {
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t prp1, prp2;
    uint32_t dw[16]; /* dw[10] to dw[15] are those of the command */
};

/* Guest memory of one transfer: page by page, checked and copied. */
struct nvme_prps {
    uint64_t page[NVME_MAX_PRPS]; /* the first may begin in the middle of a page */
    uint64_t len;                 /* bytes */
};

struct nvme_ns {
    struct block *block; /* owned until unplug, then NULL */
    uint64_t sectors;
    uint32_t sector_bytes; /* 0: there is no such namespace */
    bool read_only, discard;
};

enum nvme_kind { NVME_KIND_READ, NVME_KIND_WRITE, NVME_KIND_ZEROES, NVME_KIND_FLUSH, NVME_KIND_DISCARD };

/* A command at work on a namespace. */
struct nvme_cmd {
    struct nvme *s;
    struct nvme_cmd *next; /* free, or stalled */
    struct block_req req;
    enum nvme_kind kind;
    uint16_t sq, cid;
    unsigned ns;        /* index of the present namespace */
    bool flush_after;   /* writes: a flush belongs to it */
    /* Bytes of the disk. DISCARD: done and len count ranges; FLUSH: they are a range of namespaces. */
    uint64_t offset, len, done;
    struct nvme_prps prps;
    unsigned nr_pins;
    struct mem_pin pin[NVME_CMD_PINS];
    struct vec vec[NVME_CMD_PINS];
};

/* Guest-visible state of the queues, by number. last: size - 1, 0: there is no such queue. */
struct nvme_sqs {
    uint64_t addr[NVME_QUEUES];
    uint16_t last[NVME_QUEUES], head[NVME_QUEUES], tail[NVME_QUEUES], cq[NVME_QUEUES];
};

struct nvme_cqs {
    uint64_t addr[NVME_QUEUES];
    uint16_t last[NVME_QUEUES], head[NVME_QUEUES], tail[NVME_QUEUES], vector[NVME_QUEUES];
    bool phase[NVME_QUEUES], interrupts[NVME_QUEUES];
};

/* Registers, and features by what they are about. */
struct nvme_regs {
    uint32_t intms, cc, csts, aqa;
    uint64_t asq, acq;
};

struct nvme_features {
    uint32_t arbitration, power, error_recovery, write_cache, coalescing, atomicity, events;
    uint16_t too_hot, too_cold;
    bool uncoalesced[NVME_VECTORS];
};

struct nvme {
    struct device dev;
    struct pci_func pci;
    struct pci_msix msix;
    struct mem *mem;
    struct loop *loop;
    char serial[NVME_SERIAL_BYTES + 1];
    unsigned io_queues;
    unsigned nr_ns; /* number of the last namespace */
    struct nvme_ns ns[NVME_NAMESPACES];

    /* At work. Nothing of it is left when a snapshot is taken. */
    struct task task;               /* nvme_run() goes on, interrupts are sent */
    struct nvme_cmd *cmds, *free;   /* NVME_COMMANDS slots */
    struct nvme_cmd *stalled, **stalled_end; /* wait for buckets or the buffer; oldest first */
    struct nvme_cmd shutdown;       /* flushes all namespaces when the guest shuts the controller down */
    struct nvme_prps admin_prps;
    unsigned active;                /* commands at work */
    /* Distinct buckets of guest memory that they have pinned, and how often each. */
    unsigned buckets;
    uint16_t bucket_pins[MEM_BUCKETS];
    unsigned turn;                  /* queue that is served next */
    bool halted;                    /* power-on reset or unplug: nothing is taken or answered */
    bool resetting;                 /* the guest disabled the controller: not ready when the last command ended */
    bool master;                    /* the guest lets us on the bus */
    uint16_t sq_active[NVME_QUEUES], cq_active[NVME_QUEUES]; /* commands taken and not answered */
    bool sq_deleting[NVME_QUEUES];
    uint16_t sq_deleting_cid[NVME_QUEUES];
    bool cq_told[NVME_QUEUES]; /* it has news: an interrupt is due */
    uint8_t zeroes[NVME_PAGE]; /* what is written for Write Zeroes */
    uint8_t bounce[NVME_PAGE]; /* data of bouncing, which found no bucket */
    struct nvme_cmd *bouncing; /* NULL: the buffer is free */

    /* Guest-visible state; nvme_fields[] says what. */
    bool unplugged;
    struct nvme_regs regs;
    struct nvme_sqs sq;
    struct nvme_cqs cq;
    struct nvme_features features;
    uint16_t aer_cid[NVME_AERS];
    uint8_t nr_aers, events;
    bool events_masked; /* one was told and its log page not read yet [NVMe 5.2] */
    uint32_t msix_table[PCI_MSIX_TABLE_WORDS(NVME_VECTORS)], msix_pending[PCI_MSIX_PENDING_WORDS(NVME_VECTORS)];
};

/* nvme.c */
/* Something so wrong that no completion can tell it: the controller stops until it is reset [NVMe 9.5]. */
void nvme_fatal(struct nvme *s, const char *why);
/* The last command at work ended: finish a reset or a shutdown that waited for it. */
void nvme_idle(struct nvme *s);

/* nvme-queue.c */
/* Commands at work are worth going on: the guest gets their answers. */
bool nvme_is_answering(const struct nvme *s);
/* All queues gone, all events forgotten. */
void nvme_forget_queues(struct nvme *s);
/* Take commands. Goes on from the task if there are more than the budget allows. */
void nvme_run(struct nvme *s);
void nvme_run_later(struct nvme *s);
/* Would nvme_run() take a command now? */
bool nvme_has_work(const struct nvme *s);
/* A doorbell of queue y was written. */
void nvme_doorbell(struct nvme *s, unsigned y, bool completion, uint32_t val);
/* Answer a command that was taken from sq. */
void nvme_complete(struct nvme *s, uint16_t sq, uint16_t cid, uint32_t result, uint16_t status);
/* Send interrupts that are due, now and not from the task. */
void nvme_tell(struct nvme *s);
/* Level of the INTx pin from the queues' state. */
void nvme_update_intx(struct nvme *s);
/* Keep the command of queue 0 until there is an event to answer it with. Status. */
uint16_t nvme_hold_aer(struct nvme *s, uint16_t cid);
/* The log page of the events was read: the next one may be told. */
void nvme_events_read(struct nvme *s);

/* nvme-admin.c */
/* A command of queue 0. */
void nvme_admin(struct nvme *s, const struct nvme_sqe *sqe);
/* A submission queue has no command at work any more: it may be gone now. */
void nvme_sq_idle(struct nvme *s, uint16_t sq);

/* nvme-features.c: status; *result for the guest. */
uint16_t nvme_set_feature(struct nvme *s, const struct nvme_sqe *sqe, uint32_t *result);
uint16_t nvme_get_feature(struct nvme *s, const struct nvme_sqe *sqe, uint32_t *result);
void nvme_reset_features(struct nvme *s);
bool nvme_features_possible(const struct nvme *s);

/* nvme-identify.c: status; the data go to the guest. */
uint16_t nvme_identify(struct nvme *s, const struct nvme_sqe *sqe);
uint16_t nvme_log_page(struct nvme *s, const struct nvme_sqe *sqe);

/* nvme-prp.c */
/* Check and copy the addresses of a transfer of len bytes, 1 to NVME_MAX_TRANSFER. Status. */
uint16_t nvme_prps_load(struct nvme *s, struct nvme_prps *p, uint64_t prp1, uint64_t prp2, uint64_t len);
/* Where byte off of the transfer lies, off < p->len; *run: how many bytes from there are contiguous. */
uint64_t nvme_prps_at(const struct nvme_prps *p, uint64_t off, uint64_t *run);
/* Copy to (from is NULL) or from the guest. Status. */
uint16_t nvme_prps_read(struct nvme *s, const struct nvme_prps *p, uint64_t off, void *to, size_t len);
uint16_t nvme_prps_write(struct nvme *s, const struct nvme_prps *p, uint64_t off, const void *from, size_t len);

/* nvme-io.c */
void nvme_io_init(struct nvme *s);
/* A command of an I/O queue; a slot is free. */
void nvme_io(struct nvme *s, uint16_t sq, const struct nvme_sqe *sqe);
/* Flush all namespaces, then call nvme_idle(); s->shutdown is idle. */
void nvme_io_flush_all(struct nvme *s);
/* Stalled commands end at once, unanswered. */
void nvme_io_cancel_stalled(struct nvme *s);
/* Wait until no command is at work. */
void nvme_io_drain(struct nvme *s);

#endif
