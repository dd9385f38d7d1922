/* The PV front ends of the stubdomain, each behind the interface that thindm's own back ends implement elsewhere. */
#ifndef THINDM_FRONT_H
#define THINDM_FRONT_H

#include <thindm/block.h>
#include <thindm/chr.h>
#include <thindm/log.h>

/*
 * The disk below dir ("device/vbd/768"): connects, and waits for it FRONT_WAIT_NS at most. read_only and sizes are what
 * the back end says. 0, or -errno with a line in the log (-ETIMEDOUT: the back end never came; -EIO: it lies or
 * refused).
 */
int blkfront_open(const char *dir, struct loop *loop, struct log *log, struct block **out) WARN_UNUSED;

/* Console nr, 1 and up: device/console/<nr>. 0 or -errno with a line in the log. */
int consfront_open(unsigned nr, struct loop *loop, struct log *log, struct chr **out) WARN_UNUSED;

/*
 * The server of a vchan at path (xenstore), for one client of Dom0 after the other: QMP, as libxl's proxy connects to
 * it. Each client is a peer of the chr that comes and leaves. 0 or -errno with a line in the log.
 */
int vchan_open(const char *path, struct loop *loop, struct log *log, struct chr **out) WARN_UNUSED;

#endif
