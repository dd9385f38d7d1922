/*
 * The I/O APIC: input pins to interrupt messages.
 * Source: Intel 82093AA, order 290566; Intel 82806AA (P64H), order 290666, for version 20 and its EOI register.
 */
#ifndef THINDM_IOAPIC_H
#define THINDM_IOAPIC_H

#include <thindm/irq.h>
#include <thindm/util.h>

struct bus;
struct device;

enum { IOAPIC_MAX_PINS = 48, IOAPIC_BASE = 0xfec00000u };
enum ioapic_version { IOAPIC_V11 = 0x11, IOAPIC_V20 = 0x20 }; /* the latter has an EOI register */

struct ioapic_config {
    const char *id;
    struct bus *memory;
    uint64_t base; /* of its page: IOAPIC_BASE */
    unsigned pins; /* 1 to IOAPIC_MAX_PINS; 24 */
    enum ioapic_version version;
    /* Send a message as a PCI device would: address fee....., data. Called from register writes and pin changes. */
    void (*message)(void *opaque, uint64_t addr, uint32_t data);
    /* The guest changed what ioapic_masked() says. May be NULL. */
    void (*masks_changed)(void *opaque);
    void *opaque;
};

/* Claim a page at config->base. 0, -ENOMEM, -EEXIST (taken; nothing is left behind), -EINVAL (pins). Calls nobody back.
 */
int ioapic_create(const struct ioapic_config *config, struct device **out) WARN_UNUSED;

/* A driver of a pin, less than config->pins; one per pin, sharers are the caller's to merge. */
struct irq ioapic_pin(struct device *dev, unsigned pin);
bool ioapic_level(const struct device *dev, unsigned pin);
bool ioapic_masked(const struct device *dev, unsigned pin);

/* A local APIC was told the end of a level-triggered interrupt with this vector. Source: 82093AA, 3.2.4, Remote IRR. */
void ioapic_end_of_interrupt(struct device *dev, uint8_t vector);

#endif
