/* Locks that two device models, or one and QEMU's tools, see of each other. */
#include "block-private.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * Image locks, one byte a claim, where QEMU and its tools have them: LOCK_DOES + n says "I do n to the image",
 * LOCK_FORBIDS + n "nobody else may". Held as open-file-description read locks, and tested with a write lock that is
 * never taken.
 */
enum { LOCK_DOES = 100, LOCK_FORBIDS = 200, IMAGE_READ = 0, IMAGE_WRITE = 1, IMAGE_RESIZE = 3 };
static const uint8_t writer_claims[] = { LOCK_DOES + IMAGE_READ, LOCK_DOES + IMAGE_WRITE, LOCK_FORBIDS + IMAGE_WRITE,
                                         LOCK_FORBIDS + IMAGE_RESIZE };
static const uint8_t writer_conflicts[] = { LOCK_DOES + IMAGE_WRITE, LOCK_DOES + IMAGE_RESIZE,
                                            LOCK_FORBIDS + IMAGE_READ, LOCK_FORBIDS + IMAGE_WRITE };
static const uint8_t reader_claims[] = { LOCK_DOES + IMAGE_READ };
static const uint8_t reader_conflicts[] = { LOCK_FORBIDS + IMAGE_READ };

void block_unlock(int fd)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_DOES, .l_len = 2 * LOCK_DOES };
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

static bool taken_by_other(int fd, const uint8_t *bytes, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = bytes[i], .l_len = 1 };
        if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
            return true;
    }
    return false;
}

int block_lock(int fd, bool read_only)
{
    const uint8_t *claims = read_only ? reader_claims : writer_claims;
    const uint8_t *conflicts = read_only ? reader_conflicts : writer_conflicts;
    size_t nr_claims = read_only ? sizeof(reader_claims) : sizeof(writer_claims);
    size_t nr_conflicts = read_only ? sizeof(reader_conflicts) : sizeof(writer_conflicts);
    for (size_t i = 0; i < nr_claims; i++) {
        struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = claims[i], .l_len = 1 };
        if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
            int err = errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
            block_unlock(fd);
            return err;
        }
    }
    if (!taken_by_other(fd, conflicts, nr_conflicts))
        return 0;
    block_unlock(fd);
    return -EBUSY;
}

/* The beginning of a file of /proc, as text. */
static void read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t len = fd >= 0 ? read(fd, text, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = '\0';
}

/* Has the process a file of this inode locked? The lock of an open file has no owner, only those who have it open. */
static bool locked_by(const char *pid, const char *inode)
{
    char path[300], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
    DIR *dir = opendir(path);
    bool found = false;
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        (void)snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%.20s", pid, e->d_name);
        read_text(path, text, sizeof(text));
        found = strstr(text, "\nlock:") && strstr(text, inode);
    }
    if (dir)
        closedir(dir);
    return found;
}

void block_lock_holder(int fd, char holder[64])
{
    struct stat st;
    char inode[64], path[64], name[32];
    DIR *dir = opendir("/proc");
    (void)snprintf(holder, 64, "another process");
    if (fstat(fd, &st) == 0)
        (void)snprintf(inode, sizeof(inode), " %02x:%02x:%lu ", major(st.st_dev), minor(st.st_dev),
                       (unsigned long)st.st_ino);
    else
        inode[0] = '\0';
    for (struct dirent *e; dir && inode[0] && (e = readdir(dir));) {
        if (!isdigit((unsigned char)e->d_name[0]) || !locked_by(e->d_name, inode))
            continue;
        if (atol(e->d_name) == getpid()) {
            (void)snprintf(holder, 64, "another disk of this guest");
            break;
        }
        (void)snprintf(path, sizeof(path), "/proc/%.20s/comm", e->d_name);
        read_text(path, name, sizeof(name));
        name[strcspn(name, "\n")] = '\0';
        for (char *c = name; *c; c++)
            *c = isprint((unsigned char)*c) ? *c : '?'; /* a process names itself */
        (void)snprintf(holder, 64, "process %.20s (%.20s)", e->d_name, name);
        break;
    }
    if (dir)
        closedir(dir);
}
