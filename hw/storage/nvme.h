/*
 * An NVMe controller with one function on the PCI bus, several namespaces and I/O queues.
 * Source: NVM Express Base Specification 1.4c [NVMe n]; PCI Local Bus Specification 3.0, 6.8.2 for MSI-X.
 */
#ifndef THINDM_NVME_H
#define THINDM_NVME_H

#include <thindm/util.h>

struct block;
struct device;
struct hv;
struct loop;
struct mem;
struct pci_bus;

enum { NVME_NAMESPACES = 8, NVME_MAX_IO_QUEUES = 64, NVME_SERIAL_BYTES = 20 };

struct nvme_config {
    const char *id;
    struct loop *loop;
    struct mem *mem;
    struct hv *hv;
    struct pci_bus *pci;
    uint8_t devfn;
    const char *serial; /* printable ASCII, at most NVME_SERIAL_BYTES; copied */
    /* Pairs that the guest may create, 1 to NVME_MAX_IO_QUEUES. As many interrupt vectors, and one for administration. */
    unsigned io_queues;
    /* Namespace i + 1, NULL: not there. Sectors are the block's, 512 or 4096 bytes. */
    struct block *block[NVME_NAMESPACES];
};

/*
 * Put the function on the bus. Takes the blocks on success only. 0, -ENOMEM, -EINVAL (io_queues, a serial that is too
 * long or not printable, a block without a sector or of another sector size), -EEXIST (devfn taken); nothing is left
 * behind then. Calls nobody back. All memory that it ever needs is allocated here.
 */
int nvme_create(const struct nvme_config *config, struct device **out) WARN_UNUSED;

/* Wait until the commands that the controller has taken are done, then flush all namespaces. */
void nvme_drain(struct device *nvme);
/*
 * The Xen unplug of NVMe disks: commands taken are done, caches flushed, images closed, the function is off the bus.
 * Holds for the life of the device and is part of its saved state. Repeats harmlessly. May be called from inside
 * another device's register access, waits for the back ends. Source: xen/docs/misc/hvm-emulated-unplug.pandoc.
 */
void nvme_unplug_disks(struct device *nvme);
/* The disk of namespace number + 1, not to be kept; NULL: there is none, or it was unplugged. */
struct block *nvme_block(const struct device *nvme, unsigned number);

#endif
