/* Files of traces: see trace-file.h. */
#include "trace-file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_BYTES = 4 << 20, QUEUE_WAIT_S = 1, WRITE_BYTES = 256 << 10 };

struct trace_file {
    struct trace_sink sink;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more, room;
    uint8_t *queue;     /* a ring of QUEUE_BYTES */
    uint64_t put, done; /* bytes so far */
    int err;
    bool end, emergency;
};

static int write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* The next piece of the ring that is in one place. */
static size_t piece(const struct trace_file *f, uint64_t from, uint64_t len)
{
    return (size_t)min_u64(min_u64(len, QUEUE_BYTES - from % QUEUE_BYTES), WRITE_BYTES);
}

static void *writer(void *opaque)
{
    struct trace_file *f = opaque;
    (void)pthread_mutex_lock(&f->lock);
    for (;;) {
        while (f->put == f->done && !f->end)
            (void)pthread_cond_wait(&f->more, &f->lock);
        if (f->put == f->done || f->err)
            break;
        size_t n = piece(f, f->done, f->put - f->done);
        (void)pthread_mutex_unlock(&f->lock);
        int err = write_all(f->fd, f->queue + f->done % QUEUE_BYTES, n);
        (void)pthread_mutex_lock(&f->lock);
        f->err = err;
        f->done += n;
        (void)pthread_cond_signal(&f->room);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

static int sink_write(struct trace_sink *sink, const void *buf, size_t len)
{
    struct trace_file *f = container_of(sink, struct trace_file, sink);
    if (f->emergency)
        return write_all(f->fd, buf, len);
    struct timespec limit;
    (void)clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += QUEUE_WAIT_S;
    (void)pthread_mutex_lock(&f->lock);
    int err = f->err;
    while (!err && len > QUEUE_BYTES - (f->put - f->done)) {
        int rc = pthread_cond_timedwait(&f->room, &f->lock, &limit);
        err = f->err ? f->err : -rc;
    }
    const uint8_t *from = buf;
    while (!err && len > 0) {
        size_t n = piece(f, f->put, len);
        memcpy(f->queue + f->put % QUEUE_BYTES, from, n);
        f->put += n;
        from += n;
        len -= n;
    }
    (void)pthread_cond_signal(&f->more);
    (void)pthread_mutex_unlock(&f->lock);
    return err;
}

/* The lock may be held by the thread that crashed: what the counters say is good enough, and a byte too many can't be
 * there. */
void trace_file_emergency(struct trace_file *f)
{
    f->emergency = true;
    struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
    for (unsigned i = 0; i < 100 && __atomic_load_n(&f->done, __ATOMIC_ACQUIRE) != f->put && !f->err; i++)
        (void)nanosleep(&pause, NULL); /* the writer goes on meanwhile */
}

int trace_file_create(const char *path, struct trace_file **out)
{
    struct trace_file *f = calloc(1, sizeof(*f));
    sigset_t all, before;
    if (!f)
        return -ENOMEM;
    f->sink.write = sink_write;
    f->queue = malloc(QUEUE_BYTES);
    f->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    int err = !f->queue ? -ENOMEM : f->fd < 0 ? -errno : 0;
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->more, NULL);
    (void)pthread_cond_init(&f->room, NULL);
    /* Signals are the loop's. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!err)
        err = -pthread_create(&f->thread, NULL, writer, f);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        if (f->fd >= 0)
            close(f->fd);
        free(f->queue);
        free(f);
        return err;
    }
    *out = f;
    return 0;
}

struct trace_sink *trace_file_sink(struct trace_file *f)
{
    return &f->sink;
}

int trace_file_close(struct trace_file *f)
{
    if (!f)
        return 0;
    (void)pthread_mutex_lock(&f->lock);
    f->end = true;
    (void)pthread_cond_signal(&f->more);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    int err = f->err;
    if (close(f->fd) != 0 && !err)
        err = -errno;
    (void)pthread_mutex_destroy(&f->lock);
    (void)pthread_cond_destroy(&f->more);
    (void)pthread_cond_destroy(&f->room);
    free(f->queue);
    free(f);
    return err;
}

static int fd_write(struct trace_sink *sink, const void *buf, size_t len)
{
    return write_all(container_of(sink, struct trace_fd_sink, sink)->fd, buf, len);
}

void trace_fd_sink_init(struct trace_fd_sink *sink, int fd)
{
    *sink = (struct trace_fd_sink){ { fd_write }, fd };
}

size_t trace_fd_read(void *opaque, uint64_t off, void *buf, size_t len)
{
    uint8_t *to = buf;
    size_t got = 0;
    while (got < len && off + got <= INT64_MAX) {
        ssize_t n = pread(*(int *)opaque, to + got, len - got, (off_t)(off + got));
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        got += n > 0 ? (size_t)n : 0;
    }
    return got;
}
