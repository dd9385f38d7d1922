/*
 * The Xen platform PCI device 5853:0001: hole-backed memory for PV drivers, the unplug protocol, the guest's log port.
 * Source: xen/docs/misc/hvm-emulated-unplug.pandoc; xen/include/public/hvm/pvdrivers.h (product numbers).
 */
#ifndef THINDM_XEN_PLATFORM_H
#define THINDM_XEN_PLATFORM_H

#include <thindm/hv.h>

struct bus;
struct device;
struct pci_bus;

/* What a guest can ask to have unplugged; the other bits are reserved. */
enum { UNPLUG_DISKS = 0x1, UNPLUG_NICS = 0x2, UNPLUG_AUX_DISKS = 0x4, UNPLUG_NVME = 0x8, UNPLUG_ALL = 0xf };

struct xen_platform_config {
    const char *id;
    struct bus *ports;
    struct pci_bus *pci;
    uint8_t devfn;
    struct hv *hv; /* write-protects c0000-fffff for the guest */
    /*
     * Remove emulated devices, mask of UNPLUG_*, never 0. Must be done when it returns: requests drained, images
     * closed, lines low. Comes from the guest's port write, as often as the guest writes it. May be NULL.
     */
    void (*unplug)(void *opaque, uint16_t mask);
    void *opaque;
};

/*
 * Put the function on the bus and claim ports 10-1f. 0, -ENOMEM, -EEXIST (devfn or ports taken; nothing is left
 * behind). Never drives its interrupt pin: Xen raises event-channel upcalls there by itself.
 */
int xen_platform_create(const struct xen_platform_config *config, struct device **out) WARN_UNUSED;

/* All that the guest had unplugged so far, mask of UNPLUG_*. Holds until the domain ends: a reset keeps it. */
uint16_t xen_platform_unplugged(const struct device *dev);

#endif
