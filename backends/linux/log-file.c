/* Log lines to stderr or a file: see log-file.h. */
#include "log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 640 };

static const char level_names[][6] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};

/* One line into buf, cut to fit, with a newline at the end. Its length. */
static size_t stamp(char buf[LINE_BYTES], enum log_level level, const char *line)
{
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char time[32];
    if (!localtime_r(&now.tv_sec, &tm) || strftime(time, sizeof(time), "%Y-%m-%d %H:%M:%S", &tm) == 0)
        time[0] = '\0';
    int len = snprintf(buf, LINE_BYTES, "%s.%03ld %s %s", time, now.tv_nsec / 1000000, level_names[level], line);
    size_t used = len > 0 ? (size_t)len : 0;
    if (used > LINE_BYTES - 1)
        used = LINE_BYTES - 1;
    buf[used] = '\n';
    return used + 1;
}

/* False: the line is lost. */
static bool put(struct log_file *log_file, const char *buf, size_t len)
{
    if (log_file->may_block) {
        /* Not O_NONBLOCK: a pipe or terminal is shared with others. "Writable" means a whole line fits. */
        struct pollfd pollfd = { .fd = log_file->fd, .events = POLLOUT };
        if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT))
            return false;
    }
    ssize_t done;
    do
        done = write(log_file->fd, buf, len);
    while (done < 0 && errno == EINTR);
    if (done > 0)
        log_file->used_bytes += (uint64_t)done;
    return done == (ssize_t)len;
}

static void put_notice(struct log_file *log_file, const char *format, unsigned long long number)
{
    char text[96], buf[LINE_BYTES];
    (void)snprintf(text, sizeof(text), format, number);
    (void)put(log_file, buf, stamp(buf, LOG_WARN, text));
}

static void log_file_write(struct log *log, enum log_level level, const char *line)
{
    struct log_file *log_file = container_of(log, struct log_file, log);
    char buf[LINE_BYTES];
    if (log_file->full)
        return;
    size_t len = stamp(buf, level, line);
    if (log_file->limit_bytes > 0 &&
        (log_file->used_bytes > log_file->limit_bytes || len > log_file->limit_bytes - log_file->used_bytes)) {
        log_file->full = true; /* for good: the toolstack never empties this file */
        put_notice(log_file, "log: the limit of %llu bytes is reached; nothing more is logged",
                   (unsigned long long)log_file->limit_bytes);
        return;
    }
    if (!put(log_file, buf, len)) {
        log_file->lost++;
        return;
    }
    if (log_file->lost > 0) {
        put_notice(log_file, "log: %llu lines before the last one could not be written",
                   (unsigned long long)log_file->lost);
        log_file->lost = 0;
    }
}

static uint64_t log_file_now(struct log *log)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* XSA-180: a guest that makes its device model talk must not fill the host's disk. */
static uint64_t stderr_limit(void)
{
    const char *text = getenv("XEN_QEMU_CONSOLE_LIMIT");
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long limit = strtoull(text, &end, 10);
    return errno || *end ? 0 : limit;
}

int log_file_init(struct log_file *log_file, const char *path, enum log_level level)
{
    *log_file = (struct log_file){ .log = { log_file_write, log_file_now, level }, .fd = STDERR_FILENO };
    tzset(); /* reads its file now, before a chroot */
    int err = 0;
    if (path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
        if (fd < 0)
            err = -errno;
        else
            *log_file = (struct log_file){ .log = log_file->log, .fd = fd, .owned = true };
    }
    if (!log_file->owned)
        log_file->limit_bytes = stderr_limit();
    struct stat st;
    log_file->may_block = fstat(log_file->fd, &st) != 0 || !S_ISREG(st.st_mode);
    return err;
}

void log_file_finish(struct log_file *log_file)
{
    if (log_file->owned)
        close(log_file->fd);
    *log_file = (struct log_file){ .log = log_file->log,
                                   .fd = STDERR_FILENO,
                                   .may_block = true,
                                   .limit_bytes = log_file->limit_bytes,
                                   .used_bytes = log_file->used_bytes,
                                   .full = log_file->full };
}
