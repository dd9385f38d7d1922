/*
 * What this host can open. The top of the house fills the tables and passes them down; nothing below knows what kinds exist.
 */
#ifndef THINDM_HOST_H
#define THINDM_HOST_H

#include <thindm/block.h>
#include <thindm/chr.h>
#include <thindm/loop.h>

enum chr_kind { CHR_NULL, CHR_FILE, CHR_PTY, CHR_STDIO, CHR_SOCKET, CHR_PIPE };

/* A chardev in words. Strings are the configuration's and outlive everything. */
struct chr_config {
    char label[32];
    enum chr_kind kind;
    const char *path;  /* file, pipe, unix socket */
    const char *host, *port; /* tcp */
    int fd;            /* socket: already listening, or -1 */
    bool server, wait; /* socket: listen; wait for the first client before the start */
};

struct host {
    struct loop *loop;
    struct log *log;
    void *opaque;
    /* 0 and *out is the caller's, or -errno with one line in the log that says what and why. */
    int (*chr_open)(struct host *host, const struct chr_config *config, struct chr **out);
    /* -EPERM also: a confined process (-sandbox, -chroot) can't have a helper or a connection for it. */
    int (*block_open)(struct host *host, const struct block_open *open, struct block **out);
    void (*close_fd)(struct host *host, int fd);
    /* A whole file of at most max bytes into malloc()ed memory (ROM images). 0 or -errno; the caller says so. */
    int (*read_file)(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len);
};

#endif
