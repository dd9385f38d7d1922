/*
 * The PIIX4 power management function with the machine's ACPI hardware: PM1 control, GPE0, APM ports, SMBus host, PCI
 * and CPU hot-plug. PM1 event and the timer are the hypervisor's. A machine without ACPI doesn't create it.
 * Source: Intel 82371AB (PIIX4), order 290562, chapter 7; ACPI 2.0, 4.7.
 */
#ifndef THINDM_PIIX4_PM_H
#define THINDM_PIIX4_PM_H

#include <thindm/hv.h>
#include <thindm/irq.h>

struct bus;
struct device;
struct pci_bus;

struct piix4_pm_config {
    const char *id;
    struct bus *ports;
    struct pci_bus *pci;
    uint8_t devfn;
    struct irq sci; /* irq_isa(board, 9) */
    /* Present legacy ports, shown in the device activity registers 5f and 67 [PIIX4 7.1]. */
    bool parallel, com1, com2;
    unsigned vcpus, max_vcpus; /* online at start (lowest-numbered), possible: 1 <= vcpus <= max_vcpus <= 128 */
    uint32_t removable_slots;  /* bit = PCI slot whose functions may be unplugged, or that is empty */
    /* All callbacks come before the port write returns; any may be NULL. */
    void (*power)(void *opaque, enum hv_shutdown reason); /* S5 and S4: HV_POWEROFF */
    void (*sleep)(void *opaque);                          /* S3: set CMOS 0f to fe, enter sleep state 3 */
    void (*eject)(void *opaque, unsigned slot);           /* the guest let go of a slot of removable_slots */
    void *opaque;
};

enum { PIIX4_PM_MAX_VCPUS = 128 };

/*
 * Put the function on the bus and claim its fixed ports (b2-b3, ae00-ae0f, af00-af1f, afe0-afe3); the PM and SMBus
 * blocks are claimed where the guest puts them. 0, -ENOMEM, -EINVAL (vcpus), -EEXIST (devfn or ports taken; nothing is
 * left behind).
 */
int piix4_pm_create(const struct piix4_pm_config *config, struct device **out) WARN_UNUSED;

/* Show vCPU index as present and tell the guest (GPE0 bit 2). 0, -EINVAL (beyond max_vcpus), -EEXIST (is present). */
int piix4_pm_cpu_add(struct device *dev, unsigned index) WARN_UNUSED;
/* Is vCPU index present? False beyond max_vcpus. */
bool piix4_pm_cpu_online(const struct device *dev, unsigned index);

/* Tell the guest (GPE0 bit 1) that slot 0-31 was filled, or that it shall give it up. 0, -EINVAL (not removable). */
int piix4_pm_slot_inserted(struct device *dev, unsigned slot) WARN_UNUSED;
int piix4_pm_slot_remove(struct device *dev, unsigned slot) WARN_UNUSED;

/*
 * The PM1 event registers and the timer, bytes 0-3 and 8-b of the PM block, where they aren't the hypervisor's: read fills
 * them into the first twelve bytes of the block, write is told of every write that touches those twelve. NULL for both: they
 * read ones. What they belong to must outlive dev or unbind.
 */
void piix4_pm_bind_events(struct device *dev, void (*read)(void *opaque, uint8_t *regs),
                          void (*write)(void *opaque, unsigned off, unsigned size, uint32_t val), void *opaque);

#endif
