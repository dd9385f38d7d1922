/* What the tests of backends/linux stand on: a real loop, a log that remembers its last line, a directory that goes
 * away. */
#ifndef THINDM_LINUX_WORLD_H
#define THINDM_LINUX_WORLD_H

#include "host.h"
#include "rig.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/log.h>
#include <unistd.h>

struct world {
    struct epoll_host epoll;
    struct loop loop;
    struct linux_host host;
    struct log log;
    unsigned lines;
    char line[512]; /* the last one */
    char dir[64], path[96];
};

static inline void world_log(struct log *log, enum log_level level, const char *line)
{
    struct world *w = container_of(log, struct world, log);
    w->lines++;
    (void)snprintf(w->line, sizeof(w->line), "%s", line);
}

static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(epoll_host_init(&w->epoll), 0);
    loop_init(&w->loop, &epoll_loop_host, &w->epoll);
    w->log = (struct log){ .write = world_log, .level = LOG_DEBUG };
    linux_host_init(&w->host, &w->epoll, &w->loop, &w->log);
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(w->dir, sizeof(w->dir), "%s/thindm-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->dir));
    return w;
}

static inline void world_free(struct world *w)
{
    linux_host_finish(&w->host);
    assert_int_equal(w->epoll.nr_sources, 0); /* nothing is left behind */
    assert_null(w->loop.tasks);
    epoll_host_finish(&w->epoll);
    DIR *dir = opendir(w->dir);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[400];
        (void)snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
        (void)unlink(path);
    }
    closedir(dir);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
}

/* The path of a file in the directory; valid until the next call. */
static inline const char *world_path(struct world *w, const char *name)
{
    (void)snprintf(w->path, sizeof(w->path), "%s/%s", w->dir, name);
    return w->path;
}

/* Let what is ready happen, and what that starts; at most ten rounds of 2 ms without anything to do. */
static inline void world_run(struct world *w)
{
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_step(&w->loop, 2000000), 0);
}

/*
 * Nothing at all happens for ms milliseconds: the process would sleep. A single early return is no failure: the kernel
 * interrupts a wait for work of its own (the end of a ring).
 */
static inline bool world_sleeps(struct world *w, unsigned ms)
{
    for (int attempt = 0; attempt < 3; attempt++) {
        uint64_t start = loop_now(&w->loop);
        assert_int_equal(loop_step(&w->loop, (int64_t)(ms * NS_PER_MS)), 0);
        if (loop_now(&w->loop) - start >= ms * NS_PER_MS)
            return true;
    }
    return false;
}

/* How many descriptors this process has open. */
static inline unsigned world_fds(void)
{
    unsigned nr = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        nr++;
    closedir(dir);
    return nr;
}

#endif
