/* Addresses of chr-socket.c: making, naming and removing sockets. */
#ifndef THINDM_LINUX_CHR_SOCKET_H
#define THINDM_LINUX_CHR_SOCKET_H

#include <sys/stat.h>
#include <thindm/host.h>

struct socket_address {
    const char *path, *host, *port; /* the configuration's */
    bool server;
    int fd;    /* it was passed in */
    dev_t dev; /* what was bound to path, so that nobody else's socket is unlinked */
    ino_t ino;
};

/* A listening socket: bound to path (a stale socket there is removed), to host and port, or config->fd, taken on
 * success. 0 or -errno. */
int socket_listen(struct socket_address *address, const struct chr_config *config, int *fd) WARN_UNUSED;
/* A connected one; gives up after ten seconds. 0 or -errno. */
int socket_connect(struct socket_address *address, const struct chr_config *config, int *fd) WARN_UNUSED;
/* No delays for small packets, where that is a matter. */
void socket_tune(int fd);
/* Close the listening socket (-1: none) and unlink its path, if it still is ours. */
void socket_address_close(struct socket_address *address, int fd);
/* What QMP calls it; peer -1: nobody is connected. */
void socket_filename(const struct socket_address *address, int peer, char *buf, size_t size);

#endif
