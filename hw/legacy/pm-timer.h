/*
 * The ACPI fixed hardware that is the hypervisor's on Xen: PM1 event registers and the power management timer.
 * Source: ACPI 2.0, 4.7.2.1, 4.7.3.1, 4.7.3.3.
 */
#ifndef THINDM_PM_TIMER_H
#define THINDM_PM_TIMER_H

#include <thindm/irq.h>
#include <thindm/loop.h>
#include <thindm/util.h>

struct bus;
struct device;

enum { PM_TIMER_HZ = 3579545, PM_TIMER_BYTES = 12 };
/* Events of the PM1 status register that come from outside. */
enum { PM_POWER_BUTTON = 0x0100, PM_SLEEP_BUTTON = 0x0200, PM_RTC_ALARM = 0x0400, PM_WAKE = 0x8000 };

struct pm_timer_config {
    const char *id;
    struct loop *loop;
    struct irq sci; /* a driver of line 9: the chipset has another */
    bool wide;      /* 32 bits, as TMR_VAL_EXT of the FADT tells; else 24 */
    /* Ports base to base + 11 for a machine whose chipset doesn't hand its PM block on. NULL: none. */
    struct bus *ports;
    uint16_t base;
};

/* 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int pm_timer_create(const struct pm_timer_config *config, struct device **out) WARN_UNUSED;

/* An event happened: its status bit, and the SCI if it is enabled. */
void pm_timer_event(struct device *dev, uint16_t events);

/*
 * The registers at the start of the PM block: 0-1 PM1 status, 2-3 PM1 enable, 8-b timer; others stay as they are.
 * opaque is the device; for piix4_pm_bind_events(). write: off + size may go beyond them.
 */
void pm_timer_read(void *opaque, uint8_t regs[PM_TIMER_BYTES]);
void pm_timer_write(void *opaque, unsigned off, unsigned size, uint32_t val);

#endif
