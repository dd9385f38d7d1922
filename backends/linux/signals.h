/* The signals that end a device model, as events of the loop. */
#ifndef THINDM_LINUX_SIGNALS_H
#define THINDM_LINUX_SIGNALS_H

#include "epoll.h"
#include <signal.h>

struct signals {
    struct epoll_host *epoll;
    struct fd_source source;
    void (*fn)(void *opaque, int signal);
    void *opaque;
    sigset_t mask; /* what was blocked before */
};

/*
 * From now on SIGHUP (libxl's kill), SIGTERM (xenopsd's) and SIGINT call fn from the loop instead of killing. To be
 * called before any thread starts. 0 or -errno.
 */
int signals_init(struct signals *signals, struct epoll_host *epoll, void (*fn)(void *opaque, int signal),
                 void *opaque) WARN_UNUSED;
/* The signals act as before signals_init(). Repeats harmlessly. */
void signals_finish(struct signals *signals);

/*
 * Ignore SIGPIPE (a peer that went away) and SIGXFSZ (a disk image behind the file size limit of dm_restrict): both
 * become error codes of the system call. First thing in main().
 */
void signals_ignore(void);

#endif
