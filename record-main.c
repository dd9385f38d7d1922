/* Recording, for thindm.c: see record-main.h. */
#include "record-main.h"
#include "hw/machine-state.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANG_S = 2 };

/* For the signal handlers, which are given nothing. */
static struct record_main *crashing;

static void on_crash(int signal)
{
    struct record_main *r = crashing;
    crashing = NULL; /* a second crash ends the process */
    if (r)
        record_main_crash(r);
    (void)raise(signal); /* the default action, as the handler was for one time */
}

static void catch_crashes(struct record_main *r)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
    struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
    crashing = r;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        (void)sigaction(signals[i], &action, NULL);
}

/*
 * The handler runs in the midst of what hangs. What it calls is safe there but for the line in the log, which comes
 * last as the C library takes a lock for local time.
 */
static void tell_hang(struct record_main *r)
{
    const struct trace_ioreq *req = trace_recorder_request(r->recorder);
    bool dumped = !r->file && r->crash.fd >= 0;
    record_main_fatal(r);
    const char *done = dumped ? "; the flight recorder was written" : "";
    if (req)
        log_print(r->log, LOG_ERROR, "thindm", "stuck in a %s of type %u, size %u, at 0x%llx%s",
                  req->read ? "read" : "write", req->type, req->size, (unsigned long long)req->addr, done);
    else
        log_print(r->log, LOG_ERROR, "thindm", "stuck, not in a request of the guest%s", done);
}

/* Up every HANG_S seconds of our CPU time. Who sleeps uses none: it is never what wakes us. */
static void on_hang_timer(int signal)
{
    struct record_main *r = crashing;
    int before = errno;
    if (r && r->loop->turns != r->turns) {
        r->turns = r->loop->turns;
        r->stuck = false;
    } else if (r && !r->stuck) {
        r->stuck = true;
        tell_hang(r);
    }
    errno = before;
}

static void watch_hangs(struct record_main *r, const struct loop *loop)
{
    struct sigaction action = { .sa_handler = on_hang_timer, .sa_flags = SA_RESTART };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM };
    struct itimerspec every = { { .tv_sec = HANG_S }, { .tv_sec = HANG_S } };
    r->loop = loop;
    r->turns = UINT64_MAX;
    crashing = r;
    if (sigaction(SIGVTALRM, &action, NULL) || timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &r->hang_timer))
        return; /* then nobody is told */
    r->hang_watched = true;
    (void)timer_settime(r->hang_timer, 0, &every, NULL);
}

int record_main_open(struct record_main *r, const struct config *config, struct log *log,
                     char error[CONFIG_ERROR_BYTES])
{
    struct trace_recorder_config recorder = { .log = log, .ring_bytes = config->flight_bytes };
    r->log = log;
    r->crash.fd = -1;
    if (!config->trace_record && config->flight_bytes == 0)
        return 0;
    int err = 0;
    if (config->trace_record) {
        err = trace_file_create(config->trace_record, &r->file);
        if (!err)
            recorder.sink = trace_file_sink(r->file);
    } else if (config->flight_file) {
        trace_fd_sink_init(&r->crash,
                           open(config->flight_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600));
        err = r->crash.fd < 0 ? -errno : 0;
    }
    if (err) {
        snprintf(error, CONFIG_ERROR_BYTES, "%s %.160s: %s",
                 config->trace_record ? "-trace-record" : "-flight-recorder file",
                 config->trace_record ? config->trace_record : config->flight_file, strerror(-err));
        return err;
    }
    err = trace_recorder_create(&recorder, &r->recorder);
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "-flight-recorder: %s", strerror(-err));
    else if (r->file || r->crash.fd >= 0)
        catch_crashes(r);
    return err;
}

void record_main_start(struct record_main *r, struct machine *machine)
{
    if (!r->recorder)
        return;
    size_t len = 0;
    for (int i = 0; i < r->argc; i++)
        len += strlen(r->argv[i]) + 1;
    char *args = malloc(len + 1), *to = args;
    for (int i = 0; args && i < r->argc; i++) {
        memcpy(to, r->argv[i], strlen(r->argv[i]) + 1);
        to += strlen(r->argv[i]) + 1;
    }
    trace_recorder_start(r->recorder, &(struct trace_world){ .loop = machine->loop,
                                                             .hv = &machine->hv,
                                                             .host = &machine->host,
                                                             .args = args,
                                                             .args_bytes = args ? len : 0,
                                                             .century = machine->century });
    free(args);
}

static bool quiet(void *machine)
{
    return machine_quiet(machine);
}

static int save(void *machine, struct snap_buf *out)
{
    return machine_save(machine, out);
}

void record_main_ready(struct record_main *r, struct machine *machine)
{
    trace_recorder_ready(r->recorder, &machine->mem, &(struct trace_machine){ quiet, save, machine });
    if (r->recorder)
        watch_hangs(r, machine->loop);
}

struct trace *record_main_trace(struct record_main *r)
{
    return trace_recorder_trace(r->recorder);
}

void record_main_crash(struct record_main *r)
{
    if (!r->recorder)
        return;
    if (r->file) {
        trace_file_emergency(r->file);
        trace_recorder_finish(r->recorder);
    } else if (r->crash.fd >= 0 && lseek(r->crash.fd, 0, SEEK_SET) == 0 && ftruncate(r->crash.fd, 0) == 0) {
        (void)trace_recorder_dump(r->recorder, &r->crash.sink);
    }
}

void record_main_fatal(struct record_main *r)
{
    if (!r->file) /* a file gets all that comes, the end of the guest too */
        record_main_crash(r);
}

int record_main_dump(struct record_main *r, int fd, const char *path, char error[CONFIG_ERROR_BYTES])
{
    struct trace_fd_sink sink;
    bool ring = r->recorder && trace_recorder_is_ring(r->recorder);
    if (ring && fd < 0)
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    int err = !ring ? -ENOTSUP : fd < 0 ? -errno : 0;
    trace_fd_sink_init(&sink, fd);
    if (!err)
        err = trace_recorder_dump(r->recorder, &sink.sink);
    if (fd >= 0 && close(fd) != 0 && !err)
        err = -errno;
    if (err)
        snprintf(error, CONFIG_ERROR_BYTES, "the flight recorder %s", ring ? strerror(-err) : "is off");
    return err;
}

void record_main_finish(struct record_main *r)
{
    trace_recorder_finish(r->recorder);
}

void record_main_close(struct record_main *r)
{
    crashing = NULL;
    if (r->hang_watched)
        (void)timer_delete(r->hang_timer);
    r->hang_watched = false;
    int err = trace_file_close(r->file);
    if (err && !trace_recorder_failed(r->recorder))
        log_print(r->log, LOG_ERROR, "trace", "the trace is not complete: %s", strerror(-err));
    r->file = NULL;
    trace_recorder_destroy(r->recorder);
    r->recorder = NULL;
    if (r->crash.fd > 0)
        close(r->crash.fd);
    r->crash.fd = -1;
}
