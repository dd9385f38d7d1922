/* The system call filter of -sandbox on. */
#ifndef THINDM_LINUX_SANDBOX_H
#define THINDM_LINUX_SANDBOX_H

#include <thindm/config.h>
#include <thindm/util.h>

/*
 * From now on only the system calls that a running device model needs are left; every other one fails with EPERM. For
 * good. To be called after all is open and privileges are dropped. 0, or -errno with one line in error.
 */
int sandbox_enter(char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

#endif
