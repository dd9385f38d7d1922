/* Recording, for thindm.c: the file of -trace-record, or the flight recorder, and what is done with it at the end or a
 * crash. */
#ifndef THINDM_RECORD_MAIN_H
#define THINDM_RECORD_MAIN_H

#include "backends/linux/trace-file.h"
#include "hw/machine.h"
#include <thindm/config.h>
#include <time.h>

struct record_main {
    struct trace_recorder *recorder; /* NULL: nothing is recorded */
    struct trace_file *file;         /* of -trace-record */
    struct trace_fd_sink crash;      /* of -flight-recorder file= */
    struct log *log;
    const struct loop *loop;
    timer_t hang_timer;
    bool hang_watched;
    uint64_t turns; /* of the loop when the timer was last up */
    bool stuck;     /* in that turn, and it was told */
    int argc;
    char **argv;
};

/* Everything is opened; 0, or -errno with one line in error. */
int record_main_open(struct record_main *r, const struct config *config, struct log *log,
                     char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* The machine is about to be created: what it is built on is replaced. */
void record_main_start(struct record_main *r, struct machine *machine);
/* It was created. From now on a turn of the loop that takes seconds of CPU time is a hang: told and written down. */
void record_main_ready(struct record_main *r, struct machine *machine);
/* NULL: nothing is recorded. */
struct trace *record_main_trace(struct record_main *r);
/* The process crashes (in a signal handler), or the guest is past help: write what is there. */
void record_main_crash(struct record_main *r);
void record_main_fatal(struct record_main *r);
/* QMP x-flight-recorder: the ring as a file. fd is taken; below 0: a new file at path. 0, or -errno with one line in
 * error. */
int record_main_dump(struct record_main *r, int fd, const char *path, char error[CONFIG_ERROR_BYTES]);
/* Before the machine is torn down; and when it is gone. Each repeats harmlessly. */
void record_main_finish(struct record_main *r);
void record_main_close(struct record_main *r);

#endif
