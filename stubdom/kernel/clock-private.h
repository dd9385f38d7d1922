/* What only the start needs of clock.h. */
#ifndef THINDM_CLOCK_PRIVATE_H
#define THINDM_CLOCK_PRIVATE_H

#include <stdint.h>
#include <xen/xen.h>

/* The page is Xen's and stays mapped. */
void clock_init(const struct shared_info *shared);
/* The time at which the time-stamp counter was at ticks. */
uint64_t clock_ticks_to_ns(const struct vcpu_time_info *time, uint64_t ticks);
/* The same by what Xen says now. */
uint64_t clock_at(uint64_t ticks);

#endif
