/* See chr-socket.h. */
#include "chr-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* libxl connects without waiting and gives up when the queue is full. */
enum { BACKLOG = 64, CONNECT_SECONDS = 10 };

void socket_tune(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on other kinds: they don't delay */
}

static int unix_address(const char *path, struct sockaddr_un *sun)
{
    *sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof(sun->sun_path))
        return -ENAMETOOLONG;
    memcpy(sun->sun_path, path, len);
    return 0;
}

static int listen_unix(struct socket_address *address, int *out)
{
    struct sockaddr_un sun;
    struct stat st;
    int err = unix_address(address->path, &sun);
    if (err)
        return err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Of a device model that was killed. Anything but a socket stays, and makes bind() fail. */
    if (lstat(address->path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(address->path);
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, BACKLOG) != 0 ||
        lstat(address->path, &st) != 0) {
        err = -errno;
        close(fd);
        return err;
    }
    address->dev = st.st_dev;
    address->ino = st.st_ino;
    *out = fd;
    return 0;
}

static int connect_unix(struct socket_address *address, int *out)
{
    struct sockaddr_un sun;
    int err = unix_address(address->path, &sun);
    if (err)
        return err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        err = -errno;
        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

static int try_tcp(const struct socket_address *address, const struct addrinfo *info, int *out)
{
    int on = 1, err = 0;
    struct timeval limit = { .tv_sec = CONNECT_SECONDS }, none = { 0 };
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (address->server) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
            fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
            err = -errno;
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* holds for connect() too */
        if (connect(fd, info->ai_addr, info->ai_addrlen) != 0)
            err = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
        socket_tune(fd);
    }
    if (err)
        close(fd);
    else
        *out = fd;
    return err;
}

static int open_tcp(const struct socket_address *address, int *out)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = address->server ? AI_PASSIVE : 0 };
    struct addrinfo *list;
    const char *host = address->host && *address->host ? address->host : NULL; /* none: all of ours */
    if (getaddrinfo(host, address->port, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    int err = -EADDRNOTAVAIL;
    for (const struct addrinfo *info = list; info && err; info = info->ai_next)
        err = try_tcp(address, info, out);
    freeaddrinfo(list);
    return err;
}

/* libxl bound it, with room for one client in the queue: we make it longer. */
static int listen_fd(int fd, int *out)
{
    int listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        listen(fd, BACKLOG) != 0)
        return -errno;
    *out = fd;
    return 0;
}

static void fill_in(struct socket_address *address, const struct chr_config *config)
{
    *address = (struct socket_address){ .path = config->path,
                                        .host = config->host,
                                        .port = config->port,
                                        .server = config->server,
                                        .fd = config->path || config->port ? -1 : config->fd };
}

int socket_listen(struct socket_address *address, const struct chr_config *config, int *fd)
{
    fill_in(address, config);
    if (address->path)
        return listen_unix(address, fd);
    return address->port ? open_tcp(address, fd) : listen_fd(address->fd, fd);
}

int socket_connect(struct socket_address *address, const struct chr_config *config, int *fd)
{
    fill_in(address, config);
    if (address->path)
        return connect_unix(address, fd);
    return address->port ? open_tcp(address, fd) : -EINVAL;
}

void socket_address_close(struct socket_address *address, int fd)
{
    struct stat st;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && address->path && lstat(address->path, &st) == 0 && st.st_dev == address->dev &&
        st.st_ino == address->ino)
        (void)unlink(address->path);
}

static void tcp_name(const struct sockaddr_storage *ss, socklen_t len, char host[64], char port[8])
{
    if (getnameinfo((const struct sockaddr *)ss, len, host, 64, port, 8, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(host, 64, "?");
        (void)snprintf(port, 8, "?");
    }
}

void socket_filename(const struct socket_address *address, int peer, char *buf, size_t size)
{
    const char *state = peer >= 0 ? "" : "disconnected:", *server = address->server ? ",server=on" : "";
    struct sockaddr_storage local, remote;
    socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
    char lh[64], lp[8], rh[64], rp[8];
    if (address->path) {
        (void)snprintf(buf, size, "%sunix:%s%s", state, address->path, server);
    } else if (!address->port && peer >= 0) {
        local = (struct sockaddr_storage){ 0 };
        bool named = getsockname(peer, (struct sockaddr *)&local, &local_len) == 0 && local.ss_family == AF_UNIX;
        (void)snprintf(buf, size, "unix:%s%s", named ? ((struct sockaddr_un *)(void *)&local)->sun_path : "", server);
    } else if (!address->port) {
        (void)snprintf(buf, size, "%sfd:%d%s", state, address->fd, server);
    } else if (peer >= 0 && getsockname(peer, (struct sockaddr *)&local, &local_len) == 0 &&
               getpeername(peer, (struct sockaddr *)&remote, &remote_len) == 0) {
        tcp_name(&local, local_len, lh, lp);
        tcp_name(&remote, remote_len, rh, rp);
        (void)snprintf(buf, size, "tcp:%s:%s%s <-> %s:%s", lh, lp, server, rh, rp);
    } else {
        (void)snprintf(buf, size, "%stcp:%s:%s%s", state, address->host ? address->host : "", address->port, server);
    }
}
