/*
 * The files in the ramdisk: a cpio archive as Linux has them for its initramfs, uncompressed. Folders in it are of no
 * account, a file is found by the last part of its name.
 * Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#ifndef THINDM_RAMDISK_H
#define THINDM_RAMDISK_H

#include <stddef.h>
#include <stdint.h>

/* The file that path ends in: 0 and where it lies, -ENOENT, or -EINVAL: no (whole) archive. */
int ramdisk_find(const void *ramdisk, size_t bytes, const char *path, const uint8_t **data, size_t *len);

#endif
