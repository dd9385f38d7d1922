/*
 * The AHCI function of the ICH9 with its Serial ATA drives, disks and CD-ROMs, as guests of xl's hdtype=ahci know it.
 * Source: Serial ATA AHCI 1.3.1; Intel ICH9 data sheet, order 316972, chapter 15.
 */
#ifndef THINDM_AHCI_H
#define THINDM_AHCI_H

#include "ide.h"

struct hv;
struct loop;
struct mem;
struct pci_bus;

enum { AHCI_PORTS = 6 };

struct ahci_config {
    const char *id;
    struct loop *loop;
    struct mem *mem;
    struct hv *hv;
    struct pci_bus *pci;
    uint8_t devfn;
    struct ide_drive_config drives[AHCI_PORTS];
    /* A tray went in or out, by the guest's will or ours. May be NULL. Must not call the device. */
    void (*tray_moved)(void *opaque, const char *id, bool open);
    void *opaque;
};

/*
 * Put the function on the bus. Takes the drives' blocks on success only. 0, -ENOMEM, -EINVAL (a disk without a sector,
 * or an image that needs more alignment than 512 bytes, CD: 2048), -EEXIST (devfn taken); nothing is left behind then.
 * Calls nobody back.
 */
int ahci_create(const struct ahci_config *config, struct device **out) WARN_UNUSED;

/* Facts about the drive of port i. False: there is none, or it was unplugged. */
bool ahci_drive_info(const struct device *ahci, unsigned i, struct ide_drive_info *info);
/* As ide_eject() and ide_change_medium(). */
int ahci_eject(struct device *ahci, const char *id, bool force) WARN_UNUSED;
int ahci_change_medium(struct device *ahci, const char *id, bool force, struct block *block) WARN_UNUSED;

/*
 * The Xen unplug of emulated disks: requests in flight finish, caches are flushed, images closed; the ports of the
 * disks show no device from then on and the controller is as after a reset. CD-ROM drives stay, so does the function.
 * Holds for the life of the device and is part of its saved state. Repeats harmlessly. May be called from inside
 * another device's register access, waits for the back ends. Source: xen/docs/misc/hvm-emulated-unplug.pandoc.
 */
void ahci_unplug_disks(struct device *ahci);

/* Wait until no request is in flight, then flush all disks: before the state is saved and before the process ends. */
void ahci_drain(struct device *ahci);

#endif
