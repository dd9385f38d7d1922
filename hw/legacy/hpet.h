/*
 * The high precision event timer: a 64-bit counter of 100 MHz and three comparators, the first two with legacy
 * replacement.
 * Source: IA-PC HPET specification 1.0a, October 2004.
 */
#ifndef THINDM_HPET_H
#define THINDM_HPET_H

#include <thindm/irq.h>
#include <thindm/loop.h>
#include <thindm/util.h>

struct bus;
struct device;

enum { HPET_BASE = 0xfed00000u, HPET_TIMERS = 3, HPET_TICK_NS = 10 };

struct hpet_config {
    const char *id;
    struct loop *loop;
    struct bus *memory;
    uint64_t base; /* HPET_BASE */
    /* I/O APIC pins 0-31 that a comparator can be routed to, and their level. May be NULL. */
    uint32_t routes;
    irq_fn *route;
    /* In place of timer and clock interrupt while legacy replacement is on; its changes. May be NULL. */
    struct irq legacy[2];
    void (*legacy_changed)(void *opaque, bool on);
    void *opaque; /* of both functions */
};

/* Claim 1 KiB at config->base. 0, -ENOMEM, -EEXIST (taken; nothing is left behind). Calls nobody back. */
int hpet_create(const struct hpet_config *config, struct device **out) WARN_UNUSED;

/* Is legacy replacement on? */
bool hpet_legacy(const struct device *dev);

#endif
