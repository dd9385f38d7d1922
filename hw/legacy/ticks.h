/*
 * Counters that follow the loop's clock. Tick n of a clock of hz happens at the nanosecond floor(n * 1e9 / hz) after
 * its start, so that ticks_at(ticks_ns(n)) == n and no rounding adds up.
 */
#ifndef THINDM_TICKS_H
#define THINDM_TICKS_H

#include <thindm/util.h>

/* When tick n comes, ns after the start. n < 2^64 * hz / 1e9. */
static inline uint64_t ticks_ns(uint64_t n, uint32_t hz)
{
    return n / hz * NS_PER_S + n % hz * NS_PER_S / hz;
}

/* The last tick that came within ns. */
static inline uint64_t ticks_at(uint64_t ns, uint32_t hz)
{
    uint64_t part = (ns % NS_PER_S + 1) * hz;
    return ns / NS_PER_S * hz + (part + NS_PER_S - 1) / NS_PER_S - 1;
}

#endif
