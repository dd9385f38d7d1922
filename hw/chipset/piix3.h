/*
 * The PIIX3 ISA bridge, PCI function 0 of its slot: PIRQ routing and the reset control register.
 * Source: Intel 82371SB (PIIX3), order 290550, PIRQRC and RC.
 */
#ifndef THINDM_PIIX3_H
#define THINDM_PIIX3_H

#include <thindm/hv.h>

struct device;
struct pci_bus;

struct piix3_config {
    const char *id;
    struct pci_bus *pci;
    uint8_t devfn;
    struct hv *hv;              /* learns the interrupt routes */
    struct device *host_bridge; /* an i440fx that hands port cf9 on, and outlives this; NULL: no reset control */
    /* The guest asked for a reset: called before the port write returns. May be NULL. */
    void (*power)(void *opaque, enum hv_shutdown reason);
    void *opaque;
};

/*
 * Put the bridge on the bus. 0, -ENOMEM, -EEXIST (devfn taken; nothing is left behind). Doesn't call the hypervisor:
 * its routes are 0 at first or just restored, and restored() sends them.
 */
int piix3_create(const struct piix3_config *config, struct device **out) WARN_UNUSED;

#endif
