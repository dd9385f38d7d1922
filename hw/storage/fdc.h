/*
 * The floppy disk controller of a PC (an 82078 as ISA boards wire it) with up to two drives. It is part of every
 * board, as in QEMU's, where firmware's ACPI tables declare it always. Source: Intel 82078, order 290474.
 */
#ifndef THINDM_FDC_H
#define THINDM_FDC_H

#include <thindm/irq.h>
#include <thindm/util.h>

struct block;
struct bus;
struct device;

enum { FDC_DRIVES = 2, FDC_DMA_CHANNEL = 2 };

struct fdc_moved {
    size_t bytes; /* 0: the DMA channel isn't set up for it */
    bool end;     /* terminal count was reached */
};

struct fdc_config {
    const char *id;
    struct bus *ports;
    struct irq irq; /* ISA line 6 */
    struct {
        bool present;
        struct block *block; /* NULL: an empty drive */
    } drives[FDC_DRIVES];
    /* At most len bytes between buf and what the DMA channel says. Must not call the device. */
    struct fdc_moved (*transfer)(void *opaque, bool to_memory, uint8_t *buf, size_t len);
    void *opaque;
};

/*
 * Claim 3f0-3f5 and 3f7. Takes the blocks on success only. 0, -ENOMEM, -EINVAL (no floppy is as large as an image, or
 * as small; or it needs more alignment than 512 bytes), -EEXIST (ports taken); nothing is left behind then. Calls
 * nobody back. A drive is of the kind that its first medium is for.
 */
int fdc_create(const struct fdc_config *config, struct device **out) WARN_UNUSED;

/* What CMOS byte 10 says of drive i: 2 is 1.2 MB, 4 1.44 MB, 5 2.88 MB; 0: there is none. */
uint8_t fdc_drive_type(const struct device *fdc, unsigned i);
/* The medium in drive i, NULL: none; not to be kept. */
struct block *fdc_block(const struct device *fdc, unsigned i);

/* Drive i is there in both. Wait for a request in flight. */
void fdc_eject(struct device *fdc, unsigned i);
/* Takes block on success only. -EINVAL: the drive doesn't take such a medium. */
int fdc_change_medium(struct device *fdc, unsigned i, struct block *block) WARN_UNUSED;

/* Wait until no request is in flight, then flush: before the state is saved and before the process ends. */
void fdc_drain(struct device *fdc);

#endif
