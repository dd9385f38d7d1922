/* Where traces go and come from on Linux: a file that is written by a thread of its own, and one that is read by
 * position. */
#ifndef THINDM_TRACE_FILE_H
#define THINDM_TRACE_FILE_H

#include <thindm/trace.h>

struct trace_file;

/* Create or empty the file at path. 0 or -errno. *out is the caller's until trace_file_close(). */
int trace_file_create(const char *path, struct trace_file **out) WARN_UNUSED;
/*
 * Hands on to the thread, in order; waits only if the thread is megabytes behind, and not longer than a second
 * (-ETIMEDOUT). An error of an earlier write comes with a later one.
 */
struct trace_sink *trace_file_sink(struct trace_file *file);
/* Waits until all is written; 0 or -errno of the first write that failed. NULL is fine. */
int trace_file_close(struct trace_file *file);
/* In a signal handler: what goes to the sink from now on is written at once, behind what the thread still holds. */
void trace_file_emergency(struct trace_file *file);

/* A sink that writes at once to an open descriptor, safe in signal handlers. */
struct trace_fd_sink {
    struct trace_sink sink;
    int fd;
};
void trace_fd_sink_init(struct trace_fd_sink *sink, int fd);

/* For struct trace_source: opaque is a pointer to the descriptor. */
size_t trace_fd_read(void *opaque, uint64_t off, void *buf, size_t len);

#endif
