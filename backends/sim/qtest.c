/* The qtest server's lines, in and out: see qtest.h. */
#include "qtest-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of the loop that one command, and one call while time passes, may take before real events get their turn. */
enum { SETTLE_ROUNDS = 256, STEP_ROUNDS = 100000 };
enum { FIRST_BYTES = 4096, LINES_AT_ONCE = 256, GONE_TRIES = 1000 };

/* --- Output --- */

void qtest_text(struct qtest *q, const char *text, size_t len)
{
    size_t size = q->out_size > 0 ? q->out_size : FIRST_BYTES;
    while (size < q->out_len + len + 1)
        size *= 2;
    if (size != q->out_size) {
        char *out = realloc(q->out, size);
        if (!out) {
            q->lost = true;
            return;
        }
        q->out = out;
        q->out_size = size;
    }
    memcpy(q->out + q->out_len, text, len);
    q->out_len += len;
    q->out[q->out_len] = '\0'; /* for the log */
}

static void line_done(struct qtest *q)
{
    if (q->config.log && q->out)
        q->config.log(q->config.opaque, 'S', q->out + q->line_at);
    qtest_text(q, "\n", 1);
}

void qtest_begin(struct qtest *q)
{
    uint64_t rounds = SETTLE_ROUNDS;
    (void)sim_clock_settle(q->config.clock, q->config.loop, &rounds); /* what is left comes with the loop's rounds */
    q->line_at = q->out_len;
}

void qtest_end(struct qtest *q)
{
    line_done(q);
}

void qtest_reply(struct qtest *q, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    qtest_begin(q);
    qtest_text(q, text, strlen(text));
    qtest_end(q);
}

static void pin_changed(void *opaque, unsigned pin, bool level)
{
    struct qtest *q = opaque;
    char text[32];
    if (!q->intercept_in || q->pins[pin] == level)
        return;
    q->pins[pin] = level;
    q->line_at = q->out_len;
    qtest_text(q, text, (size_t)snprintf(text, sizeof(text), "IRQ %s %u", level ? "raise" : "lower", pin));
    line_done(q);
}

/* Has the client nothing more to say? Standard input just ends, nobody is told, and that may be seen by any task. */
static bool left(struct qtest *q)
{
    q->gone |= q->seen && !q->config.chr->connected;
    q->seen |= q->config.chr->connected;
    return q->gone;
}

/* True: all is out. A client whose replies would have a gap gets none; one that left gets what it takes in time. */
static bool flush(struct qtest *q)
{
    while (!q->lost && q->out_start < q->out_len) {
        size_t done = chr_write(q->config.chr, (const uint8_t *)q->out + q->out_start, q->out_len - q->out_start);
        if (done == 0 && (!left(q) || ++q->tries < GONE_TRIES))
            return false;
        if (done == 0)
            break;
        q->out_start += done;
    }
    q->out_start = q->out_len = q->line_at = 0;
    return true;
}

/* --- Input --- */

static size_t in_room(void *opaque)
{
    const struct qtest *q = opaque;
    return q->running ? 0 : QTEST_MAX_LINE - q->in_len;
}

/* Only stores: commands run the loop, which can't be done from inside of it. */
static void in_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct qtest *q = opaque;
    if (q->in_start > 0)
        memmove(q->in, q->in + q->in_start, q->in_len);
    q->in_start = 0;
    size_t size = q->in_size > 0 ? q->in_size : FIRST_BYTES;
    while (size < q->in_len + len)
        size *= 2;
    if (size != q->in_size) {
        char *in = realloc(q->in, size);
        if (!in) {
            q->lost = true;
            return;
        }
        q->in = in;
        q->in_size = size;
    }
    memcpy(q->in + q->in_len, buf, len);
    q->in_len += len;
}

static void note(struct qtest *q, const char *text)
{
    if (q->config.log)
        q->config.log(q->config.opaque, 'I', text);
}

static void in_opened(void *opaque)
{
    struct qtest *q = opaque;
    q->gone = q->told = false;
    q->tries = 0;
    note(q, "OPENED");
}

static void in_closed(void *opaque)
{
    struct qtest *q = opaque;
    q->gone = true;
    note(q, "CLOSED");
}

static const struct chr_user user = { .room = in_room, .recv = in_recv, .opened = in_opened, .closed = in_closed };

/*
 * A line without its newline. Traces cut from a log have prefixes: requests are [R +1.25], other lines are no commands.
 */
static void run_line(struct qtest *q, char *line)
{
    if (q->config.log)
        q->config.log(q->config.opaque, 'R', line);
    line[strcspn(line, "\r")] = '\0';
    while (*line == '[') {
        char *end = strchr(line, ']');
        if (!end || line[1] == 'S' || line[1] == 'I')
            return;
        line = end + 1 + strspn(end + 1, " ");
    }
    if (*line != '#')
        qtest_command(q, line);
}

static void consume(struct qtest *q, size_t len)
{
    q->in_start += len;
    q->in_len -= len;
    q->searched = 0;
    chr_resume(q->config.chr);
}

/* The next line, at most one. False: there is none yet. */
static bool next_line(struct qtest *q)
{
    char *at = q->in_len > 0 ? q->in + q->in_start : NULL;
    char *end = at ? memchr(at + q->searched, '\n', q->in_len - q->searched) : NULL;
    if (!end) {
        q->searched = q->in_len;
        if (q->in_len == QTEST_MAX_LINE) { /* its newline will never fit */
            q->skipping = true;
            consume(q, q->in_len);
        }
        return false;
    }
    *end = '\0';
    if (q->skipping)
        qtest_reply(q, "FAIL A line is longer than %d characters", QTEST_MAX_LINE);
    q->running = true;
    if (!q->skipping)
        run_line(q, at);
    q->running = false;
    q->skipping = false;
    consume(q, (size_t)(end + 1 - at));
    return true;
}

/* The end of the input ends the last line too. */
static void finish(struct qtest *q)
{
    if (q->in_len > 0 && !q->skipping && q->in_len < QTEST_MAX_LINE) {
        in_recv(q, (const uint8_t *)"\n", 1);
        (void)next_line(q);
    }
}

enum qtest_state qtest_serve(struct qtest *q)
{
    for (unsigned n = 0; n < LINES_AT_ONCE && !q->config.loop->stop; n++) {
        if (!flush(q))
            return QTEST_STUCK;
        if (q->stepping) {
            uint64_t rounds = STEP_ROUNDS;
            if (!sim_clock_run(q->config.clock, q->config.loop, q->target_ns, &rounds)) {
                (void)flush(q);
                return QTEST_BUSY;
            }
            q->stepping = false;
            qtest_reply(q, "OK %" PRIu64, q->config.clock->now_ns);
            continue;
        }
        if (next_line(q))
            continue;
        if (!left(q))
            return QTEST_IDLE;
        finish(q);
        if (q->stepping)
            continue;
        if (q->config.closed && !q->told)
            q->config.closed(q->config.opaque);
        q->told = true;
        return QTEST_IDLE;
    }
    return flush(q) ? QTEST_BUSY : QTEST_STUCK;
}

int qtest_create(const struct qtest_config *config, struct qtest **out)
{
    struct qtest *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    q->config = *config;
    q->seen = config->chr->connected;
    q->listener = (struct sim_pin_listener){ .changed = pin_changed, .opaque = q };
    sim_listen(config->sim, &q->listener);
    chr_bind(config->chr, &user, q);
    *out = q;
    return 0;
}

void qtest_destroy(struct qtest *q)
{
    if (!q)
        return;
    sim_unlisten(q->config.sim, &q->listener);
    free(q->in);
    free(q->out);
    free(q);
}
