/* Log lines go to the console, with the time of day in UTC. */
#include <inttypes.h>
#include <thindm/log.h>

#include "clock.h"
#include "console.h"

enum { DAY_SECONDS = 86400 };

/* From days since 1970 on; a year at a time, which is few. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    static const uint8_t lengths[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned y = 1970, m = 0;
    bool leap;
    for (;; y++) {
        leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        if (days < (leap ? 366 : 365) || y == 9999)
            break;
        days -= leap ? 366 : 365;
    }
    for (unsigned length; m < 11; m++, days -= length) {
        length = (unsigned)(lengths[m] + (m == 1 && leap));
        if (days < length)
            break;
    }
    *year = y;
    *month = m + 1;
    *day = (unsigned)days + 1;
}

static void write_line(struct log *log, enum log_level level, const char *line)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    uint64_t seconds;
    uint32_t nanoseconds;
    unsigned year, month, day;
    clock_wall(&seconds, &nanoseconds);
    civil(seconds / DAY_SECONDS, &year, &month, &day);
    unsigned second = (unsigned)(seconds % DAY_SECONDS);
    console_print("%04u-%02u-%02u %02u:%02u:%02u.%03u %s %s\n", year, month, day, second / 3600, second / 60 % 60,
                  second % 60, (unsigned)(nanoseconds / NS_PER_MS), names[level], line);
}

static uint64_t now_ns(struct log *log)
{
    return clock_now_ns();
}

struct log *console_log(void)
{
    static struct log log = { .write = write_line, .now_ns = now_ns, .level = LOG_INFO };
    return &log;
}
