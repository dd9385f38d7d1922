/* The log sink: time-stamped lines to stderr or a file. */
#ifndef THINDM_LINUX_LOG_FILE_H
#define THINDM_LINUX_LOG_FILE_H

#include <thindm/log.h>

struct log_file {
    struct log log; /* what is passed down */
    int fd;
    bool owned, may_block;
    uint64_t limit_bytes, used_bytes; /* limit_bytes 0: none */
    uint64_t lost;                    /* lines that could not be written since the last that could */
    bool full;
};

/*
 * Open path (truncated, as -D does), or stderr for NULL. On stderr the variable XEN_QEMU_CONSOLE_LIMIT (bytes) bounds
 * what is ever written. Lines are one write() each; a full disk, a vanished reader or one that doesn't read costs
 * lines, not time. 0, or -errno of the open; log_file is usable (on stderr) even then.
 */
int log_file_init(struct log_file *log_file, const char *path, enum log_level level) WARN_UNUSED;
void log_file_finish(struct log_file *log_file);

#endif
