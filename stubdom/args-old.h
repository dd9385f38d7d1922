/*
 * The command line of the older device model, qemu-xen-traditional, in the words of today's: Xen up to 4.20 gives it to
 * stubdomains that are not said to be Linux. Source: tools/libs/light/libxl_dm.c, libxl__build_device_model_args_old().
 */
#ifndef THINDM_ARGS_OLD_H
#define THINDM_ARGS_OLD_H

#include "args.h"

/*
 * words: the node dmargs of the guest, domain target. Disks are not named there, nor is memory: they are looked up. 0
 * or -errno. What is not known is passed on, for core/options.c to refuse by name.
 */
int args_old_convert(struct args *args, unsigned target, const char *words) WARN_UNUSED;

#endif
