/* What a Linux process can open: struct host over files, ptys, sockets and images. */
#ifndef THINDM_LINUX_HOST_H
#define THINDM_LINUX_HOST_H

#include "block-file.h"
#include "block-nbd.h"
#include "epoll.h"
#include <thindm/host.h>

struct linux_host {
    struct host host; /* what is passed down */
    struct epoll_host *epoll;
    struct block_files files;
    struct nbd_disks nbd;
    bool confined; /* no helper can be started and no server be reached any more */
};

/* epoll, loop and log must outlive it. Opens nothing. */
void linux_host_init(struct linux_host *host, struct epoll_host *epoll, struct loop *loop, struct log *log);
/* Every chr and block must be closed. */
void linux_host_finish(struct linux_host *host);

#endif
