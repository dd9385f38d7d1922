/*
 * struct host of a stubdomain: see host.h. The toolstack names what Linux would call our front ends: /dev/hvc<n> is
 * console n, /dev/xvd<letter> the disk with that letter.
 */
#include "host.h"
#include "disks.h"
#include "front/front.h"
#include "kernel/boot.h"
#include "ramdisk.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/log.h>

/* Console 0 is our log; device/console/ has single digits and a few more. */
enum { MAX_CONSOLE = 99 };

/* The number behind prefix, which is all of it. */
static int console_number(const char *path, unsigned *nr)
{
    static const char prefix[] = "/dev/hvc";
    char *end;
    if (!path || strncmp(path, prefix, sizeof(prefix) - 1))
        return -EINVAL;
    unsigned long value = strtoul(path + sizeof(prefix) - 1, &end, 10);
    if (*end || end == path + sizeof(prefix) - 1 || value == 0 || value > MAX_CONSOLE)
        return -EINVAL;
    *nr = (unsigned)value;
    return 0;
}

static int host_chr_open(struct host *host, const struct chr_config *config, struct chr **out)
{
    unsigned nr;
    int err;
    if (config->kind == CHR_NULL) {
        err = chr_null_open(out);
    } else if (config->kind == CHR_FILE && !console_number(config->path, &nr)) {
        err = consfront_open(nr, host->loop, host->log, out);
    } else {
        err = -ENOTSUP;
        log_print(host->log, LOG_ERROR, config->label, "%s: a stubdomain has no such channel, only /dev/hvc1 and up",
                  config->path ? config->path : "not a console");
    }
    if (!err)
        snprintf((*out)->label, sizeof((*out)->label), "%s", config->label);
    return err;
}

/* One letter: who has more disks than 26 has them as PV disks only. */
static int disk_letter(const char *path, unsigned *index)
{
    static const char prefix[] = "/dev/xvd";
    if (!path || strncmp(path, prefix, sizeof(prefix) - 1))
        return -EINVAL;
    char letter = path[sizeof(prefix) - 1];
    if (letter < 'a' || letter > 'z' || path[sizeof(prefix)])
        return -EINVAL;
    *index = (unsigned)(letter - 'a');
    return 0;
}

static bool is_raw(const char *format)
{
    return !format || !strcmp(format, "raw") || !strncmp(format, "host_", 5);
}

/* Caching is the back end's business; a disk that is written to must be one. */
static int use_as_asked(const struct block_open *how, struct log *log, struct block *block)
{
    if (block->read_only && !how->read_only) {
        log_print(log, LOG_ERROR, "block", "%s: its back end lets nobody write", how->path);
        return -EROFS;
    }
    block->read_only = how->read_only;
    block->discard = block->discard && how->discard;
    return 0;
}

static int host_block_open(struct host *host, const struct block_open *how, struct block **out)
{
    char dir[DISK_DIR_BYTES];
    struct log *log = how->log ? how->log : host->log;
    const char *path = how->path ? how->path : "the new medium";
    unsigned index;
    int err = is_raw(how->format) ? disk_letter(how->path, &index) : -ENOTSUP;
    if (!err)
        err = disk_dir(index, dir);
    if (err) {
        log_print(log, LOG_ERROR, "block", "%s: %s; not opened", path,
                  err == -ENOENT    ? "the stubdomain was not given this disk"
                  : err == -EINVAL  ? "a stubdomain has /dev/xvda to /dev/xvdz only"
                  : err == -ENOTSUP ? "image formats are the back end's business"
                                    : strerror(-err));
        return err;
    }
    err = blkfront_open(dir, how->loop ? how->loop : host->loop, log, out);
    if (err)
        return err;
    err = use_as_asked(how, log, *out);
    if (err)
        block_close(*out);
    return err;
}

static void host_close_fd(struct host *host, int fd)
{
}

static int host_read_file(struct host *host, const char *path, size_t max, uint8_t **data, size_t *len)
{
    const struct boot_info *boot = boot_info();
    const uint8_t *file;
    int err = boot->ramdisk ? ramdisk_find(boot->ramdisk, boot->ramdisk_bytes, path, &file, len) : -ENOENT;
    if (err)
        return err;
    if (*len > max)
        return -EFBIG;
    *data = malloc(*len > 0 ? *len : 1);
    if (!*data)
        return -ENOMEM;
    memcpy(*data, file, *len);
    return 0;
}

void stub_host_init(struct host *host, struct loop *loop, struct log *log)
{
    *host = (struct host){ .loop = loop,
                           .log = log,
                           .chr_open = host_chr_open,
                           .block_open = host_block_open,
                           .close_fd = host_close_fd,
                           .read_file = host_read_file };
}
