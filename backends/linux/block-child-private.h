/* Between block-child.c, which keeps the helper, and block-child-jail.c, which makes its prison. */
#ifndef THINDM_LINUX_BLOCK_CHILD_PRIVATE_H
#define THINDM_LINUX_BLOCK_CHILD_PRIVATE_H

#include <stdbool.h>
#include <sys/types.h>

struct jail {
    const char *program;
    char *const *argv;
    const char *image; /* canonical path */
    bool device;       /* it is a block device */
    bool read_only;
    int listener, error; /* become descriptors 3 and 2 */
};

/*
 * Start program in a prison. *bare: this process may not make name spaces, so that only the limits and the system call
 * filter hold. Returns the pid or -errno; what fails later the new process says on its error descriptor.
 */
pid_t jail_start(const struct jail *jail, bool *bare);

#endif
