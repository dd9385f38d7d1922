/* Which front end is which disk: device/vbd/<number>, where the number tells bus and unit. Source:
 * docs/man/xen-vbd-interface. */
#ifndef THINDM_DISKS_H
#define THINDM_DISKS_H

#include <stdint.h>

enum { DISK_DIR_BYTES = 32 };

/* Of a virtual disk's number, which disk of its bus it is: 0 for hda, sda, xvda. -EINVAL: none that we know. */
int disk_index(uint64_t number);
/* The directory of the front end of disk index. 0, -ENOENT: there is none, or -errno. */
int disk_dir(unsigned index, char dir[DISK_DIR_BYTES]);

#endif
