/*
 * The MC146818 real-time clock with the whole CMOS RAM, in place of the chipset's cmos device.
 * Source: Motorola MC146818A, order ADI856R1.
 */
#ifndef THINDM_RTC_H
#define THINDM_RTC_H

#include "../chipset/cmos.h"
#include <thindm/irq.h>
#include <thindm/loop.h>

struct rtc_config {
    const struct cmos_config *cmos; /* id, ports and bytes 0e-7f; its century is not used */
    struct loop *loop;
    struct irq irq;      /* line 8 */
    int64_t base_time_s; /* what the clock shows at first: seconds since 1970 without leap seconds, years 0-9999 */
};

/* Claim ports 70-71. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int rtc_create(const struct rtc_config *config, struct device **out) WARN_UNUSED;

/* A byte 0e-7f as the guest sees it; others are ignored and read ff. */
void rtc_cmos_set(struct device *dev, unsigned index, uint8_t val);
uint8_t rtc_cmos_get(const struct device *dev, unsigned index);
/* The time the clock shows, seconds since 1970. */
int64_t rtc_time(const struct device *dev);

#endif
