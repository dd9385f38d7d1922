/* What a stubdomain can open: struct host over front ends and the ramdisk. */
#ifndef THINDM_STUB_HOST_H
#define THINDM_STUB_HOST_H

#include <thindm/host.h>

/* loop and log outlive the host. Opens nothing. */
void stub_host_init(struct host *host, struct loop *loop, struct log *log);

#endif
