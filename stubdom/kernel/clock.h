/* Time of the paravirtual clock [xen.h, struct vcpu_time_info and shared_info's wall clock]. */
#ifndef THINDM_CLOCK_H
#define THINDM_CLOCK_H

#include <stdint.h>

/* Nanoseconds since Xen started; never goes back. */
uint64_t clock_now_ns(void);
/* Seconds and nanoseconds since 1970, UTC. */
void clock_wall(uint64_t *seconds, uint32_t *nanoseconds);

#endif
