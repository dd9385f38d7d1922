/* Giving up privileges for good, and the pid file. */
#ifndef THINDM_LINUX_DAEMON_H
#define THINDM_LINUX_DAEMON_H

#include <sys/types.h>
#include <thindm/config.h>
#include <thindm/util.h>

enum { RUNAS_MAX_GROUPS = 32 };

/* A user to become: numbers only, so that it can be looked up before the chroot. */
struct runas {
    uid_t uid;
    gid_t gid;
    gid_t groups[RUNAS_MAX_GROUPS];
    unsigned nr_groups;
};

/* "name" (the user's own groups) or "uid:gid" in decimal (no other group). 0, or -EINVAL, -ENOENT with one line in
 * error; uid 0 is refused. */
int runas_parse(const char *text, struct runas *runas, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/*
 * chroot_dir and runas may each be NULL. In this order: chroot, groups, group, user, then a check that uid 0 is out of
 * reach; new files are private and no exec() can gain anything from then on. Everything that needs a path or a right
 * must be open already. 0, or -errno with one line in error: the process is then half-way and must end.
 */
int privileges_drop(const char *chroot_dir, const struct runas *runas, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/* Write our pid to path. 0, or -errno with one line in error. */
int pidfile_write(const char *path, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

#endif
