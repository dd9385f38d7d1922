/* Signals as events: see signals.h. */
#include "signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void arrived(void *opaque, uint32_t events)
{
    struct signals *signals = opaque;
    struct signalfd_siginfo info;
    if (read(signals->source.fd, &info, sizeof(info)) == sizeof(info))
        signals->fn(signals->opaque, (int)info.ssi_signo); /* more of them: the descriptor stays ready */
}

int signals_init(struct signals *signals, struct epoll_host *epoll, void (*fn)(void *opaque, int signal), void *opaque)
{
    *signals = (struct signals){ .epoll = epoll, .fn = fn, .opaque = opaque };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    signals->source = (struct fd_source){ .fd = fd, .fn = arrived, .opaque = signals };
    int err = epoll_source_add(epoll, &signals->source, EPOLLIN);
    if (err) {
        close(fd);
        signals->epoll = NULL;
        return err;
    }
    (void)sigprocmask(SIG_BLOCK, &set, &signals->mask);
    return 0;
}

void signals_finish(struct signals *signals)
{
    if (!signals->epoll)
        return;
    epoll_source_remove(signals->epoll, &signals->source);
    close(signals->source.fd);
    (void)sigprocmask(SIG_SETMASK, &signals->mask, NULL);
    signals->epoll = NULL;
}

void signals_ignore(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}
