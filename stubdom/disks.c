/* The disks of a stubdomain by their numbers: see disks.h. */
#include "disks.h"
#include "kernel/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Major numbers and units of Linux, which the numbers are made of; EXTENDED: xvd with more disks or partitions. */
enum { MAJOR_HD_1 = 3, MAJOR_HD_2 = 22, MAJOR_SD = 8, MAJOR_XVD = 202, HD_SHIFT = 6, SD_SHIFT = 4, EXTENDED_SHIFT = 8 };
#define EXTENDED (UINT64_C(1) << 28)

int disk_index(uint64_t number)
{
    unsigned minor = number & 0xff;
    if (number & EXTENDED)
        return number - EXTENDED < EXTENDED ? (int)((number - EXTENDED) >> EXTENDED_SHIFT) : -EINVAL;
    switch (number >> 8) {
    case MAJOR_HD_1: return minor >> HD_SHIFT < 2 ? (int)(minor >> HD_SHIFT) : -EINVAL;
    case MAJOR_HD_2: return minor >> HD_SHIFT < 2 ? 2 + (int)(minor >> HD_SHIFT) : -EINVAL;
    case MAJOR_SD:
    case MAJOR_XVD: return (int)(minor >> SD_SHIFT);
    default: return -EINVAL;
    }
}

int disk_dir(unsigned index, char dir[DISK_DIR_BYTES])
{
    char *list = malloc(STORE_MAX_VALUE);
    int used = list ? store_list("device/vbd", list, STORE_MAX_VALUE) : -ENOMEM;
    int err = used < 0 ? used : -ENOENT;
    for (int at = 0; at < used && err; at += (int)strlen(list + at) + 1) {
        uint64_t number;
        if (store_number(list + at, &number) || disk_index(number) != (int)index)
            continue;
        snprintf(dir, DISK_DIR_BYTES, "device/vbd/%.16s", list + at);
        err = 0;
    }
    free(list);
    return err;
}
