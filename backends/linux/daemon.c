/* Privileges and the pid file: see daemon.h. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

PRINTF_LIKE(3, 4)
static int fail(int err, char error[CONFIG_ERROR_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, CONFIG_ERROR_BYTES, format, args);
    va_end(args);
    return err;
}

/* A decimal id that ends at *text == end. The value 2^32-1 means "no change" to the kernel and is none. */
static bool take_id(const char **text, char end, uint32_t *id)
{
    uint64_t value = 0;
    const char *p = *text;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value >= UINT32_MAX)
            return false;
    }
    *text = p + 1;
    *id = (uint32_t)value;
    return *p == end;
}

static int by_name(const char *name, struct runas *runas, char error[CONFIG_ERROR_BYTES])
{
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (!user)
        return fail(-ENOENT, error, "-runas %.64s: no such user, and not of the form uid:gid", name);
    int nr = RUNAS_MAX_GROUPS;
    runas->uid = user->pw_uid;
    runas->gid = user->pw_gid;
    if (getgrouplist(name, user->pw_gid, runas->groups, &nr) < 0)
        return fail(-EINVAL, error, "-runas %.64s: the user is in more than %d groups", name, RUNAS_MAX_GROUPS);
    runas->nr_groups = (unsigned)nr;
    return 0;
}

int runas_parse(const char *text, struct runas *runas, char error[CONFIG_ERROR_BYTES])
{
    *runas = (struct runas){ 0 };
    const char *p = text;
    if (take_id(&p, ':', &runas->uid) && take_id(&p, '\0', &runas->gid)) {
        runas->groups[0] = runas->gid;
        runas->nr_groups = 1;
    } else {
        int err = by_name(text, runas, error);
        if (err)
            return err;
    }
    if (runas->uid == 0)
        return fail(-EINVAL, error, "-runas %.64s: that is root, which would drop nothing", text);
    return 0;
}

static int change_user(const struct runas *runas, char error[CONFIG_ERROR_BYTES])
{
    uid_t real, effective, saved;
    if (setgroups(runas->nr_groups, runas->groups) != 0)
        return fail(-errno, error, "-runas: setgroups failed: %s", strerror(errno));
    if (setresgid(runas->gid, runas->gid, runas->gid) != 0)
        return fail(-errno, error, "-runas: setresgid to %u failed: %s", runas->gid, strerror(errno));
    if (setresuid(runas->uid, runas->uid, runas->uid) != 0)
        return fail(-errno, error, "-runas: setresuid to %u failed: %s", runas->uid, strerror(errno));
    if (getresuid(&real, &effective, &saved) != 0 || real != runas->uid || effective != runas->uid ||
        saved != runas->uid || setuid(0) == 0 || seteuid(0) == 0)
        return fail(-EPERM, error, "-runas: uid 0 can be regained; something keeps a privilege");
    return 0;
}

int privileges_drop(const char *chroot_dir, const struct runas *runas, char error[CONFIG_ERROR_BYTES])
{
    if (chroot_dir && (chroot(chroot_dir) != 0 || chdir("/") != 0))
        return fail(-errno, error, "-chroot %.128s: %s", chroot_dir, strerror(errno));
    if (runas) {
        int err = change_user(runas, error);
        if (err)
            return err;
    }
    if ((chroot_dir || runas) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(-errno, error, "no_new_privs can't be set: %s", strerror(errno));
    if (chroot_dir || runas)
        (void)umask(077);
    return 0;
}

int pidfile_write(const char *path, char error[CONFIG_ERROR_BYTES])
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return fail(-errno, error, "-pidfile %.128s: %s", path, strerror(errno));
    ssize_t done = write(fd, text, (size_t)len);
    int err = done == len ? 0 : done < 0 ? -errno : -ENOSPC;
    close(fd);
    return err ? fail(err, error, "-pidfile %.128s: %s", path, strerror(-err)) : 0;
}
