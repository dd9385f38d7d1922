/* What the files of the AHCI controller share. [AHCI n] is section n of AHCI 1.3.1, [SATA n] of Serial ATA 3.0. */
#ifndef THINDM_AHCI_PRIVATE_H
#define THINDM_AHCI_PRIVATE_H

#include "ahci.h"
#include "ide-private.h"

enum {
    AHCI_SLOTS = 32,
    AHCI_PLAIN = AHCI_SLOTS, /* the transfer of the command that isn't queued */
    AHCI_TRANSFERS,
    AHCI_PINS = 48,                 /* runs of guest memory in one request */
    AHCI_BUCKETS = MEM_BUCKETS / 2, /* all ports together leave half of the memory's buckets to others */
    AHCI_BOUNCE_BYTES = 4096,
    AHCI_LOG_BYTES = 14,
};

/* PxIS and PxIE [AHCI 3.3.5]. */
enum {
    PXIS_DHRS = 0x00000001, PXIS_PSS = 0x00000002, PXIS_SDBS = 0x00000008, PXIS_OFS = 0x01000000,
    PXIS_IFS = 0x08000000, PXIS_HBFS = 0x20000000, PXIS_TFES = 0x40000000,
};
/* PxCMD [AHCI 3.3.7]. */
enum {
    PXCMD_ST = 0x00000001, PXCMD_SUD = 0x00000002, PXCMD_POD = 0x00000004, PXCMD_FRE = 0x00000010,
    PXCMD_CCS_SHIFT = 8, PXCMD_CCS = 0x00001f00, PXCMD_FR = 0x00004000, PXCMD_CR = 0x00008000,
    PXCMD_ATAPI = 0x01000000, PXCMD_DLAE = 0x02000000,
};
enum { PXSCTL_DET = 0x0f, PXTFD_NO_DEVICE = 0x7f };
enum { PXSERR_PROTOCOL = 0x00000400, PXSERR_TRANSPORT = 0x01000000 }; /* [AHCI 3.3.12] */

/* Position in a physical region descriptor table [AHCI 4.2.3.3]. */
struct ahci_prd {
    uint64_t table, addr;   /* where the table is; next byte of the present region */
    uint32_t left;          /* of the present region */
    uint16_t next, entries; /* next entry; length of the table */
};

/* How a transfer ended. FULL: all pins are used up; CROWDED: all buckets are. */
enum ahci_result { AHCI_OK, AHCI_SHORT, AHCI_FAULT, AHCI_FULL, AHCI_CROWDED, AHCI_FAILED };
/* WAITING: for buckets, or the port's buffer. ORPHAN: nobody wants the end of the request any more. */
enum ahci_state { XFER_IDLE, XFER_WAITING, XFER_FLYING, XFER_ORPHAN, NR_XFER_STATES };

/* Between the medium and the regions of one command. Nothing of it is saved: ahci_drain() comes before. */
struct ahci_xfer {
    struct ahci_port *port;
    uint8_t state; /* enum ahci_state */
    bool write, fua, queued, bounced, flushing;
    uint16_t host_bytes;    /* of a sector, to the host */
    uint64_t lba;           /* next sector */
    uint32_t left, careful; /* sectors to go; those to take one by one because a request that held them failed */
    uint32_t units;         /* sectors of the request in flight */
    uint32_t moved_bytes;
    int err; /* of the back end, with AHCI_FAILED */
    struct ahci_prd prd, piece_prd;
    struct block_req req;
    unsigned nr_pins;
    struct vec vec[AHCI_PINS];
    struct mem_pin pin[AHCI_PINS];
};

/* The command at work that isn't queued. */
struct ahci_command {
    bool busy, to_host, data;
    uint8_t slot;
    struct ahci_prd prd;
    uint32_t moved_bytes, block_bytes; /* of a PIO data block */
};

struct ahci;

struct ahci_port {
    struct ahci *hba;
    struct ide_channel chan; /* its drive 0 is the port's */
    struct task task;        /* looks for commands to issue */
    struct ahci_xfer *xfer;  /* AHCI_TRANSFERS of them; NULL: there is no drive, or it was unplugged */
    uint8_t in_state[NR_XFER_STATES]; /* how many of them */
    struct ahci_command cmd;
    struct ahci_xfer *bouncing; /* whose bounce[] is; NULL: it is free */
    uint8_t bounce[AHCI_BOUNCE_BYTES];
    uint32_t queue, finished; /* slots of queued commands at work, and of those that the host wasn't told of yet */
    /* Guest-visible state. */
    uint64_t clb, fb;
    uint32_t is, ie, cmd_reg, sig, sctl, serr, sact, ci;
    uint16_t tfd;
    bool owe_signature; /* a reset's answer waits for the host to receive frames */
    bool srst;          /* between the two frames of a soft reset */
    bool halted;        /* after an error, until the host stops the port [AHCI 6.2.2] */
    bool queue_failed;  /* all commands are aborted until the host has read why [SATA 13.6.3] */
    uint8_t queue_log[AHCI_LOG_BYTES]; /* the beginning of the log that tells it */
};

struct ahci {
    struct device dev;
    struct pci_func pci;
    struct pci_msi msi;
    struct mem *mem;
    struct ahci_port port[AHCI_PORTS];
    /* Distinct buckets of guest memory pinned by us, and how often each. */
    unsigned buckets;
    uint16_t bucket_pins[MEM_BUCKETS];
    uint32_t told;  /* ports whose interrupt went out as a message */
    bool resetting; /* GHC.HR, until no request is in flight */
    /* Guest-visible state. */
    uint32_t ghc, index;
};

static inline struct ide_drive *ahci_drive(struct ahci_port *p)
{
    return &p->chan.drive[0];
}

static inline unsigned ahci_nr_transfers(const struct ahci_port *p)
{
    return p->xfer ? AHCI_TRANSFERS : 0;
}

/* ahci.c: registers, resets. */

/* The interrupt from the state. Ends every path that changes PxIS, PxIE or GHC. */
void ahci_update_irq(struct ahci *s);
/* A request that nobody waits for is in flight. */
bool ahci_has_orphans(const struct ahci_port *p);
/* Forget all commands. Requests in flight become orphans. */
void ahci_abandon(struct ahci_port *p);
/* An orphan is gone: what waited for that. */
void ahci_orphan_gone(struct ahci_port *p);
/* The drive tells what it is, as soon as it can [AHCI 3.3.9]. */
void ahci_send_signature(struct ahci_port *p);

/* ahci-cmd.c: command list, frames, commands that aren't queued. */

extern const struct ide_host ahci_host;

/* The port's task: go on with what waited, issue commands. */
void ahci_port_run(void *opaque);
/* Guest memory; -EFAULT also while the function is no bus master. */
int ahci_mem_read(struct ahci_port *p, uint64_t addr, void *buf, size_t len) WARN_UNUSED;
/* Put len bytes into the area of received frames. */
void ahci_post(struct ahci_port *p, unsigned off, const uint8_t *fis, size_t len);
/* Register frame from the drive's registers; irq: its interrupt bit. */
void ahci_post_d2h(struct ahci_port *p, bool irq);
/* The registers of a command frame. */
void ahci_load_regs(struct ide_drive *d, const uint8_t *fis);
/* The port stops at an error, for the causes in bits. */
void ahci_halt(struct ahci_port *p, uint32_t bits);
/* The transfer of a command that isn't queued ended. */
void ahci_plain_ended(struct ahci_xfer *x, enum ahci_result result);
/* The cause in PxIS that goes with a transfer's end. */
uint32_t ahci_cause(enum ahci_result result);

/* ahci-ncq.c: queued commands and their log. */

void ahci_queue_command(struct ahci_port *p, unsigned slot, const uint8_t *fis, const struct ahci_prd *prd);
void ahci_queue_ended(struct ahci_xfer *x, enum ahci_result result);
/* Tell the host of the commands that are finished. */
void ahci_queue_report(struct ahci_port *p);
/* A command that isn't queued came among queued ones: all fail [SATA 13.6.3]. */
void ahci_queue_disturbed(struct ahci_port *p);
/* READ LOG EXT. */
void ahci_read_log(struct ahci_port *p);

/* ahci-dma.c: between regions and medium. */

/* Copy len bytes between buf and the regions. */
enum ahci_result ahci_copy(struct ahci_port *p, struct ahci_prd *prd, uint8_t *buf, uint32_t len, bool to_guest);
/* The caller has set lba, left, host_bytes, write, fua, queued and prd; the rest is cleared. */
void ahci_xfer_start(struct ahci_xfer *x);
/* Transfers that wait go on if they can. */
void ahci_resume(struct ahci_port *p);
void ahci_xfer_orphan(struct ahci_xfer *x);

#endif
