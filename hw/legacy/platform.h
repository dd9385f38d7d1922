/*
 * The legacy platform of a PC, wired: interrupt controllers, timers, clock, PM timer. For hosts whose hypervisor has
 * none of it; on Xen nothing of this is created.
 */
#ifndef THINDM_PLATFORM_H
#define THINDM_PLATFORM_H

#include "../chipset/cmos.h"
#include "ioapic.h"
#include <thindm/hv.h>
#include <thindm/irq.h>
#include <thindm/loop.h>

struct devices;
struct platform;

struct platform_config {
    struct loop *loop;
    struct bus *ports, *memory;
    struct hv *hv;           /* takes the I/O APIC's messages by msi() */
    struct irq_board *irqs;  /* timer, clock and SCI drive its lines; what they become comes back by platform_isa() */
    struct devices *devices; /* gets the devices, on success only; they must go before platform_destroy() */
    const struct cmos_config *cmos; /* CMOS bytes; id, ports and century are not used */
    int64_t base_time_s;            /* of the clock, seconds since 1970 */
    unsigned ioapic_pins;           /* 24, or 48 as Xen has it: then INTx reaches pins from 16 on too */
    enum ioapic_version ioapic_version;
    bool hpet, pm_timer, pm_timer_wide;
    /* As QEMU's machines start: timer 0 counts and always ticks, heard or not. */
    bool counts_at_reset;
    struct irq intr; /* the processor's INTR pin */
    /*
     * Told of every change of an I/O APIC input, before masks: the numbers are those of the lines, so the timer is 0
     * though it reaches pin 2. May be NULL.
     */
    irq_fn *pin_changed;
    void *opaque;
};

/*
 * Create the devices (ids pic, ioapic, pit, rtc, and by choice hpet, pm-timer) and reset nothing yet. *out is the
 * caller's until platform_destroy(). 0, -ENOMEM, -EINVAL (pins), -EEXIST (ports or memory taken); then nothing is left
 * behind.
 */
int platform_create(const struct platform_config *config, struct platform **out) WARN_UNUSED;
/* After the devices went. NULL is fine. */
void platform_destroy(struct platform *platform);

/*
 * The hypervisor's side hands levels on. isa: line 0-15 as struct irq_board merged it, other numbers are ignored. gsi:
 * line 0-15 or pin from 16 on, for drivers beside the board. intx: pin 0-3 of slot 0-31, by the links to a line. link:
 * route of link 0-3 (A-D), 0 for none. isa and gsi are irq_fn.
 */
void platform_isa(void *platform, unsigned line, bool level);
void platform_gsi(void *platform, unsigned gsi, bool level);
void platform_intx(struct platform *platform, unsigned slot, unsigned pin, bool level);
void platform_link(struct platform *platform, unsigned link, unsigned irq);

/* The processor's side: interrupt acknowledge, which gives the vector, and a local APIC's end of interrupt. */
uint8_t platform_acknowledge(struct platform *platform);
void platform_end_of_interrupt(struct platform *platform, uint8_t vector);

/* The parts that others talk to: the clock with the CMOS RAM (rtc.h) and the PM timer (pm-timer.h), NULL without it. */
struct device *platform_rtc(const struct platform *platform);
struct device *platform_pm_timer(const struct platform *platform);

#endif
