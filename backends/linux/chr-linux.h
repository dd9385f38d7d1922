/*
 * The character back ends of Linux; struct host opens them by kind. Each returns 0 with the chr in *out, or -errno with
 * one line in the log. All are safe against chr_close() from inside their own callbacks.
 */
#ifndef THINDM_LINUX_CHR_LINUX_H
#define THINDM_LINUX_CHR_LINUX_H

#include "epoll.h"
#include <thindm/chr.h>
#include <thindm/host.h>

struct log;

struct chr_context {
    struct epoll_host *epoll;
    struct loop *loop;
    struct log *log;
};

/*
 * A file (created, truncated, written only), a FIFO (written only), or a character device (both ways; a terminal
 * becomes raw). Output that a device doesn't take at once is dropped.
 */
int chr_file_open(const struct chr_context *context, const struct chr_config *config, struct chr **out) WARN_UNUSED;
/* The FIFOs PATH.in and PATH.out; if there are none, PATH alone, a FIFO or a file: it is only read. */
int chr_pipe_open(const struct chr_context *context, const struct chr_config *config, struct chr **out) WARN_UNUSED;
/* Standard input and output; a terminal loses echo and line editing until it is closed. */
int chr_stdio_open(const struct chr_context *context, const struct chr_config *config, struct chr **out) WARN_UNUSED;

/*
 * A new raw pseudo-terminal; chr->filename is "pty:/dev/pts/N". Nobody at the other side: output is dropped, and
 * nothing wakes up. A peer is noticed by what it types, or when something is written to it.
 */
int chr_pty_open(const struct chr_context *context, const struct chr_config *config, struct chr **out) WARN_UNUSED;

/*
 * A stream socket: unix (path), tcp (host, port) or an inherited listening one (fd, taken on success).
 * A server has one client at a time, the next ones wait in the backlog; with config->wait the call runs the loop until
 * the first one came (or until loop_quit(): -EINTR). A client connects at once or fails, and is not re-connected. What
 * a slow peer hasn't read is kept up to 64 KiB. A file descriptor sent along goes to the user, all but the first of a
 * message are closed.
 */
int chr_socket_open(const struct chr_context *context, const struct chr_config *config, struct chr **out) WARN_UNUSED;

#endif
