/*
 * The event loop: timers, deferred tasks and the host's event sources, on one thread.
 * core/loop.c owns timers and tasks; how to sleep and which sources fired is the host's (epoll, event channels,
 * virtual time), behind struct loop_host. All structures are caller-owned and intrusive: nothing here allocates.
 */
#ifndef THINDM_LOOP_H
#define THINDM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct trace;
typedef void loop_fn(void *opaque);

/* What a host gives the loop. opaque is loop->host_opaque. */
struct loop_host {
    /* Monotonic time, ns. */
    uint64_t (*now_ns)(void *opaque);
    /*
     * Sleep until a source is ready or timeout_ns passed (negative: for ever, 0: only look), then call the ready
     * sources' functions. 0, or -errno on a failure the loop can't survive; EINTR is not one.
     */
    int (*wait)(void *opaque, int64_t timeout_ns);
};

/*
 * Busy look-out: look() serves what is there without a system call for waiting and returns true if it served
 * something; the loop calls it at least once per round. Serve requests nowhere else: the function of a notification's
 * source only acknowledges it, and the look() that follows tells the loop that there is a burst to look out for.
 * sleep() is called right before the loop really sleeps (re-enables notifications) and returns true if something came
 * in meanwhile, whether it served it or leaves it to look() (the loop won't sleep).
 */
struct loop_watch {
    bool (*look)(void *opaque);
    bool (*sleep)(void *opaque);
    void *opaque;
};

struct timer {
    struct loop *loop;
    loop_fn *fn;
    void *opaque;
    uint64_t expires_ns; /* on the loop's guest clock, valid while armed */
    struct timer *next;
    uint32_t id; /* of a part of the machine, in a trace; 0: not traced */
    bool armed;
};

struct task {
    struct loop *loop;
    loop_fn *fn;
    void *opaque;
    struct task *next;
    uint32_t id; /* as a timer's */
    bool posted;
};

struct loop {
    const struct loop_host *host;
    void *host_opaque;
    struct timer *timers; /* armed, earliest first */
    struct task *tasks, **tasks_end;
    const struct loop_watch *watch;
    uint64_t watch_ns;    /* present length of a look-out, 0 = sleep at once; adapted by core/loop.c */
    uint32_t watch_skip;  /* sleeps until the next trial look-out */
    uint32_t watch_pause; /* what watch_skip starts from; doubles with each vain trial */
    uint32_t watch_streak; /* rounds that served something since the last sleep */
    uint64_t watch_polled_ns; /* host time when the host was last asked for ready sources */
    uint64_t frozen_at_ns, frozen_total_ns;
    bool frozen, stop;
    struct trace *trace; /* NULL: nobody records or replays */
    bool naming;         /* timers and tasks that are initialised now get the next id */
    uint32_t ids;
    /* Counters for QMP and tests: how often the loop slept, looked out in vain and with success. */
    uint64_t sleeps, watch_misses, watch_hits;
    uint64_t turns; /* rounds so far: who is stuck in one doesn't get to the next */
};

/* host and host_opaque must outlive the loop. Nothing to finish: it owns no memory. */
void loop_init(struct loop *loop, const struct loop_host *host, void *host_opaque);

/* The guest's clock, ns: host time less the time the loop was frozen. Timers run on it. */
uint64_t loop_now(const struct loop *loop);

/* Stop and restart the guest's clock (QMP stop and cont). Tasks and sources go on. Idempotent. */
void loop_freeze(struct loop *loop);
void loop_thaw(struct loop *loop);

/* The ioreq transport's look-out; NULL: none. watch must outlive its use. */
void loop_set_watch(struct loop *loop, const struct loop_watch *watch);

/* Run until loop_quit(). 0, or -errno of the host's wait. */
int loop_run(struct loop *loop);
/* One round: tasks, due timers, one wait of at most timeout_ns (negative: until something happens). 0 or -errno. */
int loop_step(struct loop *loop, int64_t timeout_ns);
/* Make loop_run() return after the present callback. */
void loop_quit(struct loop *loop);

/* fn(opaque) is called from the loop, at or after the time, once per arming; it may arm again. */
void timer_init(struct timer *timer, struct loop *loop, loop_fn *fn, void *opaque);
/* Fire delay_ns from now; re-arms if armed. */
void timer_arm(struct timer *timer, uint64_t delay_ns);
/* No callback comes after it returned. Harmless if not armed or never initialised (zeroed). */
void timer_cancel(struct timer *timer);
/* Time left, ns; 0 if due or not armed. */
uint64_t timer_left(const struct timer *timer);
/* For a replay: the timer or task with this id runs now. False: it is not armed (for expires_ns), or not posted. */
bool loop_run_timer(struct loop *loop, uint32_t id, uint64_t expires_ns);
bool loop_run_task(struct loop *loop, uint32_t id);

/* fn(opaque) is called from the loop after the present callback returned; posting twice runs it once. */
void task_init(struct task *task, struct loop *loop, loop_fn *fn, void *opaque);
void task_post(struct task *task);
void task_cancel(struct task *task);

#endif
