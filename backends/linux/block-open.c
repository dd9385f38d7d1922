/* Finding out what an image is, and claiming it. See block-private.h. */
#include "block-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* The device model of the guest's last boot gets SIGHUP, and nobody waits until it has flushed and gone. */
enum { LOCK_TRIES = 25 };
#define LOCK_RETRY_NS (40 * NS_PER_MS)

static int claim(struct block_file *f, const struct block_open *open, const char *name)
{
    if (!open->lock)
        return 0;
    int err = block_lock(f->fd, open->read_only);
    for (int i = 1; err == -EBUSY && i < LOCK_TRIES; i++) {
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOCK_RETRY_NS }, NULL);
        err = block_lock(f->fd, open->read_only);
    }
    f->locked = err == 0;
    if (err == -EBUSY) {
        char holder[64];
        block_lock_holder(f->fd, holder);
        log_print(open->log, LOG_ERROR, "block", "%s: %s has it open for writing (image lock); not opened", name,
                  holder);
        return err;
    }
    if (err)
        log_print(open->log, LOG_INFO, "block", "%s: can't be locked: %s; used without", name, strerror(-err));
    return 0;
}

int block_image_size(const struct block_file *f, uint64_t *size)
{
    struct stat st;
    if (!f->regular)
        return ioctl(f->fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
    if (fstat(f->fd, &st) != 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

/* What kind it is and how long. */
static int measure(struct block_file *f, uint64_t *size)
{
    struct stat st;
    struct statfs fs;
    if (fstat(f->fd, &st) != 0)
        return -errno;
    f->regular = S_ISREG(st.st_mode);
    if (!f->regular && !S_ISBLK(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    f->in_ram = f->regular && fstatfs(f->fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
    return block_image_size(f, size);
}

/* The smallest unit that O_DIRECT takes here; 0: none. */
static uint32_t direct_unit(const struct block_file *f)
{
    alignas(PAGE_BYTES) uint8_t probe[PAGE_BYTES];
    int sector;
    if (!f->regular)
        return ioctl(f->fd, BLKSSZGET, &sector) == 0 && is_pow2((uint64_t)sector) ? (uint32_t)sector : PAGE_BYTES;
    for (uint32_t unit = 512; unit <= PAGE_BYTES; unit *= 8)
        if (pread(f->fd, probe, unit, 0) >= 0)
            return unit;
    return 0;
}

static void set_direct(struct block_file *f, bool on)
{
    int flags = fcntl(f->fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(f->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

/* cache=none and directsync bypass the page cache. Where that can't be, flushes keep their meaning, and that is what
 * counts. */
static void choose_direct(struct block_file *f, const struct block_open *open, uint64_t size, const char *name)
{
    bool want = open->cache == BLOCK_NONE || open->cache == BLOCK_DIRECTSYNC;
    set_direct(f, want); /* clears it on a descriptor that was passed in */
    if (!want) {
        if (!f->regular) /* pages that an earlier user left: a PV back end may have written past them */
            (void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
        return;
    }
    int flags = fcntl(f->fd, F_GETFL);
    uint32_t unit = flags >= 0 && (flags & O_DIRECT) ? direct_unit(f) : 0;
    if (unit > 0 && size % unit == 0) {
        f->align = unit < 512 ? 512 : unit;
        return;
    }
    set_direct(f, false);
    log_print(open->log, LOG_WARN, "block", "%s: %s; the page cache is used", name,
              unit > 0 ? "its size is no multiple of the direct I/O block" : "no direct I/O here");
}

/* dm_restrict limits how far a regular file can be written, whatever its size: the guest would find out by lost
 * sectors. */
static void warn_about_limit(const struct block_file *f, const struct block_open *open, uint64_t size, const char *name)
{
    struct rlimit limit;
    if (f->regular && !open->read_only && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
        log_print(
            open->log, LOG_WARN, "block",
            "%s: the file size limit of this process lets only the first %llu bytes be written; the guest gets errors "
            "behind them (dm_restrict: use a block device)",
            name, (unsigned long long)limit.rlim_cur);
}

/* The descriptor: ours by path, or the one that was passed in. */
static int obtain(struct block_file *f, const struct block_open *how)
{
    if (how->path) {
        struct stat st; /* first, because to open a FIFO would wait for its other end */
        if (stat(how->path, &st) != 0)
            return -errno;
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
            return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        f->fd = open(how->path, (how->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
        return f->fd >= 0 ? 0 : -errno;
    }
    int flags = fcntl(how->fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if ((flags & O_ACCMODE) == O_WRONLY || (!how->read_only && (flags & O_ACCMODE) != O_RDWR))
        return -EACCES;
    f->fd = how->fd;
    return fcntl(f->fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
}

static const char *reason(int err)
{
    return err == -EINVAL ? "neither a regular file nor a block device" : strerror(-err);
}

int block_image_open(struct block_file *f, const struct block_open *open, uint64_t *size)
{
    char name[160];
    if (open->path)
        (void)snprintf(name, sizeof(name), "%s", open->path);
    else
        (void)snprintf(name, sizeof(name), "file descriptor %d", open->fd);
    int err = obtain(f, open);
    if (err) {
        log_print(open->log, LOG_ERROR, "block", "%s: %s; not opened", name, reason(err));
        return err;
    }
    err = measure(f, size);
    if (err) {
        log_print(open->log, LOG_ERROR, "block", "%s: %s; not opened", name, reason(err));
        goto out_close;
    }
    err = claim(f, open, name);
    if (err)
        goto out_close;
    choose_direct(f, open, *size, name);
    warn_about_limit(f, open, *size, name);
    return 0;
out_close:
    if (open->path)
        close(f->fd); /* a descriptor that was passed in stays the caller's */
    return err;
}

void block_image_close(struct block_file *f)
{
    if (f->locked)
        block_unlock(f->fd); /* whoever passed the descriptor may still hold a copy */
    close(f->fd);
}
