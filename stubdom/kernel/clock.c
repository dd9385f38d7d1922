/* Time: see clock.h. Xen keeps a point in time and the speed of the time-stamp counter in a page that we read. */
#include "clock.h"

#include <stdbool.h>
#include <string.h>
#include <thindm/util.h>

#include "clock-private.h"

static struct {
    const struct shared_info *shared;
    uint64_t last_ns;
} now;

void clock_init(const struct shared_info *shared)
{
    now.shared = shared;
    now.last_ns = 0;
}

/* Later loads are not done before the counter is read, nor it before earlier ones [AMD64 APM vol. 3, RDTSC]. */
static uint64_t read_ticks(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

uint64_t clock_ticks_to_ns(const struct vcpu_time_info *time, uint64_t ticks)
{
    /* A guest's counter may begin before 0, so only the difference means something; and the point may be ahead of a
     * counter that was read before it was set. */
    uint64_t delta = ticks - time->tsc_timestamp;
    bool before = delta > INT64_MAX;
    delta = before ? 0 - delta : delta;
    delta = time->tsc_shift < 0 ? delta >> (-time->tsc_shift & 63) : delta << (time->tsc_shift & 63);
    uint64_t ns = (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
    return before ? time->system_time - min_u64(ns, time->system_time) : time->system_time + ns;
}

/* An odd version: Xen is writing; another one than before: it has written meanwhile [xen.h, struct vcpu_time_info]. */
static uint32_t version_of(const uint32_t *version)
{
    return __atomic_load_n(version, __ATOMIC_ACQUIRE);
}

static void read_time(struct vcpu_time_info *out)
{
    const struct vcpu_time_info *time = &now.shared->vcpu_info[0].time;
    do {
        out->version = version_of(&time->version);
        out->tsc_timestamp = time->tsc_timestamp;
        out->system_time = time->system_time;
        out->tsc_to_system_mul = time->tsc_to_system_mul;
        out->tsc_shift = time->tsc_shift;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((out->version & 1) || out->version != version_of(&time->version));
}

uint64_t clock_at(uint64_t ticks)
{
    struct vcpu_time_info time;
    read_time(&time);
    return clock_ticks_to_ns(&time, ticks);
}

uint64_t clock_now_ns(void)
{
    uint64_t ns = clock_at(read_ticks());
    now.last_ns = max_u64(now.last_ns, ns); /* a new point may be a little behind the old one's straight line */
    return now.last_ns;
}

/* What the page says is the wall clock of system time 0. */
void clock_wall(uint64_t *seconds, uint32_t *nanoseconds)
{
    const struct shared_info *shared = now.shared;
    uint64_t base_s, ns;
    uint32_t version;
    do {
        version = version_of(&shared->wc_version);
        base_s = (uint64_t)shared->xen_wc_sec_hi << 32 | shared->wc_sec;
        ns = shared->wc_nsec;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while ((version & 1) || version != version_of(&shared->wc_version));
    ns += clock_now_ns();
    *seconds = base_s + ns / NS_PER_S;
    *nanoseconds = (uint32_t)(ns % NS_PER_S);
}
