/*
 * The event loop: see loop.h. One round runs the tasks that were posted and the timers that were due when it began,
 * then looks out for requests or sleeps. Whatever they start waits for the next round, so that nobody starves the
 * sources.
 */
#include <thindm/loop.h>

#include <assert.h>
#include <stddef.h>
#include <thindm/trace.h>

/* A look-out pays if it is shorter than a sleep and a wake-up, some 30 us on a busy host. */
#define WATCH_MAX_NS UINT64_C(30000)
#define WATCH_MIN_NS UINT64_C(4000)
/* In a burst of requests the other sources are asked for this often. */
#define POLL_NS UINT64_C(100000)
enum { POLL_HITS = 64, PAUSE_MAX = 4096, LOOKS_MAX = 8192 };

static uint64_t host_now(const struct loop *loop)
{
    return loop->host->now_ns(loop->host_opaque);
}

void loop_init(struct loop *loop, const struct loop_host *host, void *host_opaque)
{
    *loop = (struct loop){ .host = host, .host_opaque = host_opaque };
    loop->tasks_end = &loop->tasks;
}

static uint64_t guest_now(const struct loop *loop)
{
    return (loop->frozen ? loop->frozen_at_ns : host_now(loop)) - loop->frozen_total_ns;
}

uint64_t loop_now(const struct loop *loop)
{
    uint64_t now = guest_now(loop);
    if (loop->trace)
        loop->trace->ops->clock(loop->trace, &now);
    return now;
}

void loop_freeze(struct loop *loop)
{
    if (loop->frozen)
        return;
    loop->frozen_at_ns = host_now(loop);
    loop->frozen = true;
}

void loop_thaw(struct loop *loop)
{
    if (!loop->frozen)
        return;
    loop->frozen_total_ns += host_now(loop) - loop->frozen_at_ns;
    loop->frozen = false;
}

void loop_set_watch(struct loop *loop, const struct loop_watch *watch)
{
    loop->watch = watch;
    loop->watch_ns = WATCH_MAX_NS;
    loop->watch_skip = loop->watch_pause = loop->watch_streak = 0;
    loop->watch_polled_ns = host_now(loop);
}

void loop_quit(struct loop *loop)
{
    loop->stop = true;
}

static void run_task(struct loop *loop, struct task *task)
{
    struct trace *trace = task->id > 0 ? loop->trace : NULL;
    if (trace)
        trace->ops->task(trace, task->id);
    task->fn(task->opaque); /* may free task */
    trace_end(trace);
}

static void run_timer(struct loop *loop, struct timer *timer)
{
    struct trace *trace = timer->id > 0 ? loop->trace : NULL;
    if (trace)
        trace->ops->timer(trace, timer->id, timer->expires_ns);
    timer->fn(timer->opaque); /* may free timer */
    trace_end(trace);
}

static void run_tasks(struct loop *loop)
{
    size_t count = 0;
    for (const struct task *task = loop->tasks; task; task = task->next)
        count++;
    /* A callback may cancel any of them: the queue can be shorter than counted. */
    for (; count > 0 && loop->tasks && !loop->stop; count--) {
        struct task *task = loop->tasks;
        task_cancel(task);
        run_task(loop, task);
    }
}

static void run_timers(struct loop *loop)
{
    if (!loop->timers || loop->frozen)
        return;
    uint64_t now = guest_now(loop);
    size_t count = 0;
    for (const struct timer *timer = loop->timers; timer && timer->expires_ns <= now; timer = timer->next)
        count++;
    /* The count ends a round even if a callback arms its timer for this very moment again. */
    for (; count > 0 && loop->timers && !loop->frozen && !loop->stop; count--) {
        struct timer *timer = loop->timers;
        if (timer->expires_ns > now)
            return;
        loop->timers = timer->next;
        timer->armed = false;
        run_timer(loop, timer);
    }
}

/* How long this round may wait: at most limit_ns (negative: for ever), not beyond a timer, not with work posted. */
static int64_t wait_time(const struct loop *loop, int64_t limit_ns)
{
    if (loop->tasks)
        return 0;
    if (!loop->timers || loop->frozen)
        return limit_ns;
    uint64_t now = guest_now(loop), expires = loop->timers->expires_ns, left = expires > now ? expires - now : 0;
    if (left > INT64_MAX)
        left = INT64_MAX;
    return limit_ns >= 0 && (uint64_t)limit_ns < left ? limit_ns : (int64_t)left;
}

static void look_out_hit(struct loop *loop)
{
    loop->watch_hits++;
    loop->watch_ns = loop->watch_ns * 2 < WATCH_MAX_NS ? loop->watch_ns * 2 : WATCH_MAX_NS;
    loop->watch_pause /= 2;
    if (loop->watch_skip > loop->watch_pause)
        loop->watch_skip = loop->watch_pause;
}

/*
 * A vain look-out took a CPU that the guest may have needed: the next one is shorter and comes after more sleeps. On a
 * CPU that is shared with the guest's all are in vain, and what is left of them is one in PAUSE_MAX sleeps.
 */
static void look_out_missed(struct loop *loop)
{
    loop->watch_misses++;
    loop->watch_ns = loop->watch_ns / 2 > WATCH_MIN_NS ? loop->watch_ns / 2 : WATCH_MIN_NS;
    loop->watch_pause = loop->watch_pause == 0 ? 1 : loop->watch_pause * 2;
    if (loop->watch_pause > PAUSE_MAX)
        loop->watch_pause = PAUSE_MAX;
    loop->watch_skip = loop->watch_pause;
}

/* Serve what is there, or what comes within the look-out if something came before it. True: something was served. */
static bool watch_serve(struct loop *loop, int64_t wait_ns)
{
    const struct loop_watch *watch = loop->watch;
    bool burst = loop->watch_streak > 0;
    /*
     * What is there already needed no looking out, so it says nothing for it: on a CPU that is shared with the guest's all
     * requests of a burst come like this, while we are preempted.
     */
    if (watch->look(watch->opaque))
        return true;
    if (!burst || wait_ns == 0 || loop->watch_skip > 0 || loop->watch_ns == 0)
        return false;
    uint64_t limit = loop->watch_ns;
    if (wait_ns > 0 && (uint64_t)wait_ns < limit)
        limit = (uint64_t)wait_ns;
    uint64_t start = host_now(loop);
    /* The second limit is for virtual time, which stands still while we look. */
    for (unsigned i = 0; i < LOOKS_MAX && host_now(loop) - start < limit; i++) {
        if (watch->look(watch->opaque)) {
            look_out_hit(loop);
            return true;
        }
    }
    look_out_missed(loop);
    return false;
}

int loop_step(struct loop *loop, int64_t timeout_ns)
{
    loop->turns++;
    run_tasks(loop);
    run_timers(loop);
    if (loop->stop)
        return 0;
    int64_t wait_ns = wait_time(loop, timeout_ns);
    if (loop->watch && watch_serve(loop, wait_ns)) {
        loop->watch_streak++;
        if (loop->stop)
            return 0;
        if (loop->watch_streak % POLL_HITS != 0 && host_now(loop) - loop->watch_polled_ns < POLL_NS)
            return 0;
        wait_ns = 0;
    }
    if (wait_ns != 0 && loop->watch) {
        wait_ns = wait_time(loop, timeout_ns); /* the look-out took time */
        loop->watch_streak = 0;
        if (loop->watch->sleep(loop->watch->opaque)) {
            loop->watch_streak = 1; /* requests come this closely: worth a look-out */
            return 0;
        }
        if (loop->watch_skip > 0)
            loop->watch_skip--;
    }
    if (wait_ns != 0)
        loop->sleeps++;
    int err = loop->host->wait(loop->host_opaque, wait_ns);
    if (loop->watch)
        loop->watch_polled_ns = host_now(loop);
    return err;
}

int loop_run(struct loop *loop)
{
    int err = 0;
    while (!err && !loop->stop)
        err = loop_step(loop, -1);
    loop->stop = false;
    return err;
}

void timer_init(struct timer *timer, struct loop *loop, loop_fn *fn, void *opaque)
{
    *timer = (struct timer){ .loop = loop, .fn = fn, .opaque = opaque, .id = loop->naming ? ++loop->ids : 0 };
}

void timer_arm(struct timer *timer, uint64_t delay_ns)
{
    assert(timer->loop);
    timer_cancel(timer);
    uint64_t now = loop_now(timer->loop);
    timer->expires_ns = delay_ns <= UINT64_MAX - now ? now + delay_ns : UINT64_MAX;
    /* Behind those of the same time: first armed, first served. */
    struct timer **link = &timer->loop->timers;
    while (*link && (*link)->expires_ns <= timer->expires_ns)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
    timer->armed = true;
}

void timer_cancel(struct timer *timer)
{
    if (!timer->armed)
        return;
    struct timer **link = &timer->loop->timers;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->armed = false;
}

uint64_t timer_left(const struct timer *timer)
{
    if (!timer->armed)
        return 0;
    uint64_t now = loop_now(timer->loop);
    return timer->expires_ns > now ? timer->expires_ns - now : 0;
}

void task_init(struct task *task, struct loop *loop, loop_fn *fn, void *opaque)
{
    *task = (struct task){ .loop = loop, .fn = fn, .opaque = opaque, .id = loop->naming ? ++loop->ids : 0 };
}

void task_post(struct task *task)
{
    assert(task->loop);
    if (task->posted)
        return;
    task->next = NULL;
    *task->loop->tasks_end = task;
    task->loop->tasks_end = &task->next;
    task->posted = true;
}

void task_cancel(struct task *task)
{
    if (!task->posted)
        return;
    struct task **link = &task->loop->tasks;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    if (!task->next)
        task->loop->tasks_end = link;
    task->posted = false;
}

bool loop_run_timer(struct loop *loop, uint32_t id, uint64_t expires_ns)
{
    struct timer *timer = loop->timers;
    while (timer && (timer->id != id || timer->expires_ns != expires_ns))
        timer = timer->next;
    if (!timer)
        return false;
    timer_cancel(timer);
    run_timer(loop, timer);
    return true;
}

bool loop_run_task(struct loop *loop, uint32_t id)
{
    struct task *task = loop->tasks;
    while (task && task->id != id)
        task = task->next;
    if (!task)
        return false;
    task_cancel(task);
    run_task(loop, task);
    return true;
}
