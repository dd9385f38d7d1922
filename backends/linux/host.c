/* struct host of a Linux process: see host.h. */
#include "host.h"
#include "chr-linux.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_null(const struct chr_context *context, const struct chr_config *config, struct chr **out)
{
    int err = chr_null_open(out);
    if (!err)
        (void)snprintf((*out)->label, sizeof((*out)->label), "%s", config->label);
    return err;
}

static int host_chr_open(struct host *host, const struct chr_config *config, struct chr **out)
{
    static int (*const kinds[])(const struct chr_context *, const struct chr_config *, struct chr **) = {
        [CHR_NULL] = open_null,       [CHR_FILE] = chr_file_open,     [CHR_PTY] = chr_pty_open,
        [CHR_STDIO] = chr_stdio_open, [CHR_SOCKET] = chr_socket_open, [CHR_PIPE] = chr_pipe_open,
    };
    struct linux_host *l = host->opaque;
    struct chr_context context = { .epoll = l->epoll, .loop = host->loop, .log = host->log };
    return kinds[config->kind](&context, config, out);
}

/* An image format in a descriptor: the helper opens the file itself. */
static int open_by_helper(struct linux_host *l, struct block_open *how, struct block **out)
{
    char path[32];
    int fd = how->fd;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    how->path = path;
    how->fd = -1;
    int err = block_nbd_open(&l->nbd, how, out);
    if (!err)
        close(fd);
    return err;
}

static int host_block_open(struct host *host, const struct block_open *open, struct block **out)
{
    struct linux_host *l = host->opaque;
    struct block_open how = *open;
    how.loop = how.loop ? how.loop : host->loop;
    how.log = how.log ? how.log : host->log;
    bool raw =
        !how.format || !strcmp(how.format, "raw") || !strcmp(how.format, "file") || !strncmp(how.format, "host_", 5);
    bool nbd = how.path && block_nbd_is_target(how.path);
    if (raw && !nbd)
        return block_file_open(&l->files, &how, out);
    if (l->confined) {
        log_print(how.log, LOG_ERROR, "block",
                  "%s: needs a helper or a server, which -sandbox and -chroot keep away; not opened",
                  how.path ? how.path : "the new medium");
        return -EPERM;
    }
    how.format = raw ? NULL : how.format;
    return how.path ? block_nbd_open(&l->nbd, &how, out) : open_by_helper(l, &how, out);
}

static void host_close_fd(struct host *host, int fd)
{
    close(fd);
}

/* The whole of fd, which says it is size bytes long. */
static int read_all(int fd, size_t size, uint8_t **data)
{
    uint8_t *mem = malloc(size > 0 ? size : 1);
    size_t used = 0;
    int err = mem ? 0 : -ENOMEM;
    while (!err && used < size) {
        ssize_t got = read(fd, mem + used, size - used);
        if (got > 0)
            used += (size_t)got;
        else if (got == 0)
            err = -EIO; /* it was cut meanwhile */
        else if (errno != EINTR)
            err = -errno;
    }
    if (err)
        free(mem);
    else
        *data = mem;
    return err;
}

static int host_read_file(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    struct stat st;
    int err = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not wait */
    if (fd < 0)
        err = -errno;
    else if (fstat(fd, &st) != 0)
        err = -errno;
    else if (!S_ISREG(st.st_mode))
        err = -EINVAL;
    else if ((uint64_t)st.st_size > max)
        err = -EFBIG;
    else
        err = read_all(fd, (size_t)st.st_size, data);
    if (fd >= 0)
        close(fd);
    if (!err)
        *len = (size_t)st.st_size;
    return err;
}

void linux_host_init(struct linux_host *host, struct epoll_host *epoll, struct loop *loop, struct log *log)
{
    host->epoll = epoll;
    host->host = (struct host){ .loop = loop,
                                .log = log,
                                .opaque = host,
                                .chr_open = host_chr_open,
                                .block_open = host_block_open,
                                .close_fd = host_close_fd,
                                .read_file = host_read_file };
    block_files_init(&host->files, epoll, loop, log);
    nbd_disks_init(&host->nbd, epoll, loop, log);
}

void linux_host_finish(struct linux_host *host)
{
    nbd_disks_finish(&host->nbd);
    block_files_finish(&host->files);
}
