/* Log lines and their budgets: see log.h. */
#include <thindm/log.h>

#include <stdio.h>
#include <thindm/device.h>

enum { LINE_BYTES = 512 };

/* Names of images, peers and guests end up in lines: whatever they hold, a line stays one line of plain text. */
static void make_printable(char *line)
{
    for (; *line; line++) {
        unsigned char c = (unsigned char)*line;
        if (c < 0x20 || c == 0x7f)
            *line = '?';
    }
}

static bool wanted(const struct log *log, enum log_level level)
{
    return log && log->write && level <= log->level;
}

void log_vprint(struct log *log, enum log_level level, const char *who, const char *format, va_list args)
{
    char line[LINE_BYTES];
    if (!wanted(log, level))
        return;
    int len = snprintf(line, sizeof(line), "%s: ", who);
    if (len >= 0 && (size_t)len < sizeof(line))
        (void)vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
    make_printable(line);
    log->write(log, level, line);
}

void log_print(struct log *log, enum log_level level, const char *who, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_vprint(log, level, who, format, args);
    va_end(args);
}

/* Takes one line from the budget; false: there is none left. */
static bool take(struct log *log, struct log_rate *rate)
{
    if (!log->now_ns)
        return true;
    uint64_t now = log->now_ns(log);
    uint64_t back = now > rate->last_ns ? (now - rate->last_ns) / LOG_RATE_NS : 0;
    if (back >= rate->tokens_used) { /* the budget is whole again: time counts from the next line */
        rate->tokens_used = 0;
        rate->last_ns = now;
    } else {
        rate->tokens_used -= (uint32_t)back;
        rate->last_ns += back * LOG_RATE_NS;
    }
    if (rate->tokens_used == LOG_RATE_BURST) {
        if (rate->dropped < UINT32_MAX)
            rate->dropped++;
        return false;
    }
    rate->tokens_used++;
    return true;
}

PRINTF_LIKE(5, 0)
static void vlimited(struct log *log, enum log_level level, struct log_rate *rate, const char *who, const char *format,
                     va_list args)
{
    if (!wanted(log, level) || !take(log, rate))
        return;
    if (rate->dropped > 0)
        log_print(log, level, who, "%u lines were dropped here: more than one a second", rate->dropped);
    rate->dropped = 0;
    log_vprint(log, level, who, format, args);
}

void log_limited(struct log *log, enum log_level level, struct log_rate *rate, const char *who, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vlimited(log, level, rate, who, format, args);
    va_end(args);
}

void log_guest(struct device *dev, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vlimited(dev->log, LOG_WARN, &dev->log_rate, dev->id, format, args);
    va_end(args);
}

void log_device(struct device *dev, enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_vprint(dev->log, level, dev->id, format, args);
    va_end(args);
}
