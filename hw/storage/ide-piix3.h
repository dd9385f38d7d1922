/*
 * The IDE function of the PIIX3: two channels at the AT's ports and the bus master.
 * Source: Intel 82371SB (PIIX3), order 290550, 2.3 and 2.7; SFF-8038i revision 1.0.
 */
#ifndef THINDM_IDE_PIIX3_H
#define THINDM_IDE_PIIX3_H

#include "ide.h"

#include <thindm/irq.h>

struct bus;
struct loop;
struct mem;
struct pci_bus;

struct ide_piix3_config {
    const char *id;
    struct loop *loop;
    struct bus *ports;
    struct pci_bus *pci;
    uint8_t devfn;
    struct mem *mem;
    struct irq irq[2]; /* ISA lines 14 and 15 */
    struct ide_drive_config drives[IDE_DRIVES];
    /* A tray went in or out, by the guest's will or ours. May be NULL. Must not call the device. */
    void (*tray_moved)(void *opaque, const char *id, bool open);
    void *opaque;
};

/*
 * Put the function on the bus and claim 1f0-1f7, 3f6, 170-177, 376. Takes the drives' blocks on success only. 0, -ENOMEM,
 * -EINVAL (a disk without a sector, or an image that needs more alignment than 512 bytes, CD: 2048), -EEXIST (devfn or
 * ports taken); nothing is left behind then. Calls nobody back.
 */
int ide_piix3_create(const struct ide_piix3_config *config, struct device **out) WARN_UNUSED;

#endif
