/*
 * Log lines: "2026-01-31 12:00:00.123 error ide0: read failed at sector 7: EIO; reported to the guest".
 * A line says who, what failed, why, and what thindm does now. The host owns the sink; there is no global state.
 */
#ifndef THINDM_LOG_H
#define THINDM_LOG_H

#include <stdarg.h>
#include <thindm/util.h>

struct device;

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* The sink: writes one whole line (no newline at the end) with its own time stamp. Never blocks for long. */
struct log {
    void (*write)(struct log *log, enum log_level level, const char *line);
    uint64_t (*now_ns)(struct log *log); /* for rate limits; NULL: no limit */
    enum log_level level;                /* lines above it are dropped */
};

/* A budget for lines a guest can cause: LOG_RATE_BURST at once, then one per LOG_RATE_NS. Zeroed = fresh. */
enum { LOG_RATE_BURST = 16 };
#define LOG_RATE_NS NS_PER_S
struct log_rate {
    uint64_t last_ns;
    uint32_t tokens_used, dropped;
};

/* who: the part of thindm that speaks ("qmp", "xen", a device id). log may be NULL: nothing happens. */
void log_print(struct log *log, enum log_level level, const char *who, const char *format, ...) PRINTF_LIKE(4, 5);
void log_vprint(struct log *log, enum log_level level, const char *who, const char *format, va_list args)
    PRINTF_LIKE(4, 0);
/* The same within a budget; how many lines it swallowed is told with the next one that passes. */
void log_limited(struct log *log, enum log_level level, struct log_rate *rate, const char *who, const char *format, ...)
    PRINTF_LIKE(5, 6);
/* Something odd that the guest did, at level warn; limited by the device's own budget. */
void log_guest(struct device *dev, const char *format, ...) PRINTF_LIKE(2, 3);
/* Something that went wrong around a device (a failed back end). Not limited. */
void log_device(struct device *dev, enum log_level level, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
