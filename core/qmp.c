/*
 * The QMP server: sessions, requests, replies, events. See qmp.h.
 * Framing is by complete JSON values, for libxenstat sends no line ends; every line we send ends in CR LF, for libxl
 * looks for exactly that. Not here: out-of-band commands.
 */
#include "qmp-private.h"
#include <thindm/log.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_NS (10 * NS_PER_MS)

int qmp_fail_class(struct qmp_call *call, const char *class, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(call->error, sizeof(call->error), format, args);
    va_end(args);
    call->class = class;
    return -EINVAL;
}

int qmp_fail(struct qmp_call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(call->error, sizeof(call->error), format, args);
    va_end(args);
    call->class = "GenericError";
    return -EINVAL;
}

int qmp_result(struct qmp_call *call, int err)
{
    if (!err)
        return 0;
    if (!call->error[0])
        return qmp_fail(call, "the command failed: error %d", -err);
    call->class = err == -ENODEV ? "DeviceNotFound" : "GenericError";
    return err;
}

void qmp_put_version(struct json_writer *w, const char *key)
{
    json_open(w, key, '{');
    json_open(w, "qemu", '{');
    json_put_int(w, "micro", CONFIG_QEMU_MICRO);
    json_put_int(w, "minor", CONFIG_QEMU_MINOR);
    json_put_int(w, "major", CONFIG_QEMU_MAJOR);
    json_close(w, '}');
    json_put_string(w, "package", "thindm " THINDM_VERSION);
    json_close(w, '}');
}

/* ---- Output ---- */

static void session_reset(struct qmp_client *c)
{
    timer_cancel(&c->retry);
    if (c->fd >= 0)
        c->qmp->config.ops->close_fd(c->qmp->config.opaque, c->fd);
    c->fd = -1;
    c->open = c->negotiated = c->skipping = false;
    c->framer = (struct json_framer){ 0 };
    c->in_len = c->out_len = 0;
}

/* Sets are for the commands of one operation; the last client that leaves takes them along. */
static void session_end(struct qmp_client *c)
{
    bool others = false;
    session_reset(c);
    for (unsigned i = 0; i < c->qmp->nr_clients; i++)
        others = others || c->qmp->clients[i]->open;
    if (!others)
        qmp_drop_fds(c->qmp);
}

static void hang_up(struct qmp_client *c, const char *why)
{
    log_print(c->qmp->config.log, LOG_WARN, "qmp", "%s: %s; hung up", c->chr->label, why);
    session_end(c);
    chr_disconnect(c->chr);
}

static void flush(struct qmp_client *c)
{
    if (!c->out_len)
        return;
    size_t taken = chr_write(c->chr, (const uint8_t *)c->out, c->out_len);
    c->out_len -= taken;
    memmove(c->out, c->out + taken, c->out_len);
    /* A chr doesn't tell when it has room again. The next request or event tries too: this clock stands still in a
     * stopped guest. */
    if (c->out_len)
        timer_arm(&c->retry, RETRY_NS);
    else
        timer_cancel(&c->retry);
}

static void retry(void *opaque)
{
    flush(opaque);
}

/* A line straight into the free part of the queue; line_end() sends it, or hangs up if it didn't fit. */
static struct json_writer line_begin(struct qmp_client *c)
{
    struct json_writer w;
    json_writer_init(&w, c->out + c->out_len, sizeof(c->out) - c->out_len);
    json_open(&w, NULL, '{');
    return w;
}

static void line_end(struct qmp_client *c, struct json_writer *w)
{
    json_close(w, '}');
    json_put_raw(w, "\r\n", 2);
    if (w->full) {
        hang_up(c, "the client doesn't read its replies");
        return;
    }
    c->out_len += w->len;
    flush(c);
}

static void greet(struct qmp_client *c)
{
    struct json_writer w = line_begin(c);
    json_open(&w, "QMP", '{');
    qmp_put_version(&w, "version");
    json_open(&w, "capabilities", '[');
    json_close(&w, ']');
    json_close(&w, '}');
    line_end(c, &w);
}

/* The id comes back as it was spelled. id: -1: none was given. */
static void reply(struct qmp_client *c, const struct qmp_call *call, int id)
{
    struct json_writer w = line_begin(c);
    if (call->class) {
        json_open(&w, "error", '{');
        json_put_string(&w, "class", call->class);
        json_put_string(&w, "desc", call->error);
        json_close(&w, '}');
    } else if (call->out.len) {
        json_put_text(&w, "return", call->out.buf, call->out.len);
    } else {
        json_put_text(&w, "return", "{}", 2);
    }
    if (id >= 0)
        json_put_token(&w, "id", &c->qmp->request, id);
    line_end(c, &w);
}

void qmp_event(struct qmp *qmp, const char *name, const char *data)
{
    uint64_t seconds = 0;
    uint32_t microseconds = 0;
    if (qmp->config.ops->wall_clock)
        qmp->config.ops->wall_clock(qmp->config.opaque, &seconds, &microseconds);
    for (unsigned i = 0; i < qmp->nr_clients; i++) {
        struct qmp_client *c = qmp->clients[i];
        if (!c->negotiated) /* xenopsd dies of an event before that */
            continue;
        struct json_writer w = line_begin(c);
        json_open(&w, "timestamp", '{');
        json_put_uint(&w, "seconds", seconds);
        json_put_uint(&w, "microseconds", microseconds);
        json_close(&w, '}');
        json_put_string(&w, "event", name);
        if (data)
            json_put_text(&w, "data", data, strlen(data));
        line_end(c, &w);
    }
}

/* ---- Arguments ---- */

static int find_arg(const struct qmp_call *call, const char *name)
{
    return call->args < 0 ? -1 : json_member(&call->qmp->request, call->args, name);
}

bool qmp_has(const struct qmp_call *call, const char *name)
{
    return find_arg(call, name) >= 0;
}

int qmp_get_string(struct qmp_call *call, const char *name, char *out, size_t size)
{
    int token = find_arg(call, name);
    int err = token < 0 ? -EINVAL : json_string(&call->qmp->request, token, out, size);
    if (err == -ENAMETOOLONG)
        return qmp_fail(call, "argument '%s' is longer than %zu bytes", name, size - 1);
    return err < 0 ? qmp_fail(call, "argument '%s' is not a usable string", name) : 0;
}

int qmp_get_uint(struct qmp_call *call, const char *name, uint64_t max, uint64_t *out)
{
    int64_t value;
    int token = find_arg(call, name);
    if (token < 0 || json_int(&call->qmp->request, token, &value) || value < 0 || (uint64_t)value > max)
        return qmp_fail(call, "argument '%s' is not a number from 0 to %llu", name, (unsigned long long)max);
    *out = (uint64_t)value;
    return 0;
}

bool qmp_get_bool(const struct qmp_call *call, const char *name, bool otherwise)
{
    int token = find_arg(call, name);
    bool value;
    return token < 0 || json_bool(&call->qmp->request, token, &value) ? otherwise : value;
}

static bool has_type(const struct json *json, int token, int type)
{
    int64_t number;
    bool truth;
    switch (type & ~QMP_NEEDED) {
    case QMP_STRING: return json->tokens[token].type == JSMN_STRING;
    case QMP_INT: return !json_int(json, token, &number);
    case QMP_BOOL: return !json_bool(json, token, &truth);
    default: return json_is_array(json, token);
    }
}

/* No argument but the known ones, each once and of its type, and all that are needed. */
static int check_args(struct qmp_call *call, const struct qmp_command *command)
{
    static const char *const types[] = { "", "a string", "an integer", "true or false", "an array" };
    const struct json *json = &call->qmp->request;
    unsigned seen = 0;
    for (int i = call->args < 0 ? -1 : json_first(json, call->args); i >= 0; i = json_next(json, i)) {
        const struct qmp_arg *arg = command->args;
        unsigned n = 0;
        char name[64];
        if (json_string(json, i, name, sizeof(name)) < 0)
            return qmp_fail(call, "an argument's name is too long");
        while (n < QMP_MAX_ARGS && arg[n].name && strcmp(arg[n].name, name))
            n++;
        if (n == QMP_MAX_ARGS || !arg[n].name) {
            if (command->other_args)
                continue;
            return qmp_fail(call, "unknown argument '%s'", name);
        }
        if (seen & 1u << n)
            return qmp_fail(call, "argument '%s' is there twice", name);
        if (!has_type(json, i + 1, arg[n].type))
            return qmp_fail(call, "argument '%s' is not %s", name, types[arg[n].type & ~QMP_NEEDED]);
        seen |= 1u << n;
    }
    for (unsigned n = 0; n < QMP_MAX_ARGS && command->args[n].name; n++)
        if ((command->args[n].type & QMP_NEEDED) && !(seen & 1u << n))
            return qmp_fail(call, "argument '%s' is missing", command->args[n].name);
    return 0;
}

/* ---- Requests ---- */

struct request {
    int execute, args, id; /* tokens; -1: not there */
};

static int read_request(struct qmp_call *call, const struct json *json, struct request *r)
{
    *r = (struct request){ -1, -1, -1 };
    if (!json_is_object(json, 0))
        return qmp_fail(call, "a request is an object");
    /* Found first, so that every error has it: libxl takes a reply without its id for a broken server. */
    r->id = json_member(json, 0, "id");
    for (int i = json_first(json, 0); i >= 0; i = json_next(json, i)) {
        int *member = json_string_is(json, i, "execute")     ? &r->execute
                      : json_string_is(json, i, "arguments") ? &r->args
                                                             : NULL;
        char name[64] = "...";
        if (json_string_is(json, i, "id") && i + 1 == r->id)
            continue;
        if (json_string(json, i, name, sizeof(name)) < 0 || !member)
            return qmp_fail(call, "unknown member '%s' of the request", name);
        if (*member >= 0)
            return qmp_fail(call, "member '%s' of the request is there twice", name);
        *member = i + 1;
    }
    if (r->execute < 0)
        return qmp_fail(call, "'execute' is missing in the request");
    if (r->args >= 0 && !json_is_object(json, r->args))
        return qmp_fail(call, "'arguments' is not an object");
    return 0;
}

static int run_command(struct qmp_call *call, int execute)
{
    char name[64];
    struct qmp_client *c = call->client;
    int len = json_string(&call->qmp->request, execute, name, sizeof(name));
    if (len == -EINVAL)
        return qmp_fail(call, "'execute' is not a string");
    const struct qmp_command *command = len < 0 ? NULL : qmp_find_command(name);
    /* Negotiation comes first, and once. */
    bool negotiates = command && !strcmp(name, "qmp_capabilities");
    if (!command || negotiates == c->negotiated)
        return qmp_fail_class(call, "CommandNotFound", "The command %s has not been found%s", len < 0 ? "..." : name,
                              !command        ? ""
                              : c->negotiated ? ": capabilities are negotiated already"
                                              : ": capabilities must be negotiated first");
    int err = check_args(call, command);
    if (err)
        return err;
    log_print(call->qmp->config.log, LOG_DEBUG, "qmp", "%s: %s", c->chr->label, name);
    return command->run(call);
}

static void serve(struct qmp_client *c)
{
    struct qmp *qmp = c->qmp;
    struct qmp_call call = { .qmp = qmp, .client = c, .args = -1 };
    struct request r = { -1, -1, -1 };
    json_writer_init(&call.out, qmp->value, sizeof(qmp->value));
    int err = json_parse(&qmp->request, c->in, c->in_len);
    if (err)
        (void)qmp_fail(&call, err == -E2BIG ? "the request has too many parts" : "the request is not valid JSON");
    else
        err = read_request(&call, &qmp->request, &r);
    if (!err) {
        call.args = r.args;
        err = run_command(&call, r.execute);
    }
    if (!err && call.out.full)
        (void)qmp_fail(&call, "the reply is too long");
    if (c->open) /* an event the command caused may have found the queue full */
        reply(c, &call, r.id);
    c->in_len = 0;
    if (call.quit)
        qmp->config.ops->quit(qmp->config.opaque);
}

/* Bytes that can't be a request: one error for all of them up to the end of the line. */
static void reject(struct qmp_client *c, char byte)
{
    struct qmp_call call = { .qmp = c->qmp, .client = c };
    c->framer = (struct json_framer){ 0 };
    c->in_len = 0;
    c->skipping = byte != '\n';
    (void)qmp_fail(&call, "the request is not valid JSON");
    reply(c, &call, -1);
}

static void take_byte(struct qmp_client *c, char byte)
{
    if (c->skipping) {
        c->skipping = byte != '\n';
        return;
    }
    enum json_frame where = json_frame(&c->framer, byte);
    if (where == JSON_BETWEEN)
        return;
    if (where == JSON_BROKEN) {
        reject(c, byte);
        return;
    }
    if (c->in_len == sizeof(c->in)) { /* nobody means this; what follows can't be told from garbage */
        struct qmp_call call = { .qmp = c->qmp, .client = c };
        (void)qmp_fail(&call, "the request is longer than %d bytes", JSON_MAX_BYTES);
        reply(c, &call, -1);
        if (c->open)
            hang_up(c, "a request was too long");
        return;
    }
    c->in[c->in_len++] = byte;
    if (where == JSON_COMPLETE)
        serve(c);
}

/* ---- The chr ---- */

static size_t client_room(void *opaque)
{
    return JSON_MAX_BYTES; /* all that comes is looked at on the spot */
}

static void client_recv(void *opaque, const uint8_t *buf, size_t len)
{
    struct qmp_client *c = opaque;
    for (size_t i = 0; i < len && c->open; i++)
        take_byte(c, (char)buf[i]);
    if (c->open)
        flush(c);
}

static void client_opened(void *opaque)
{
    struct qmp_client *c = opaque;
    session_reset(c);
    c->open = true;
    greet(c);
}

/* Of a chr that has its only peer from the beginning (stdio) nobody calls opened(). Of the others it came before. */
static void start(void *opaque)
{
    struct qmp_client *c = opaque;
    if (c->chr->connected && !c->open)
        client_opened(c);
}

static void client_closed(void *opaque)
{
    session_end(opaque);
}

static void client_fd(void *opaque, int fd)
{
    struct qmp_client *c = opaque;
    const struct qmp_config *config = &c->qmp->config;
    int surplus = c->open ? c->fd : fd; /* the newest one is for the command that follows */
    if (surplus >= 0)
        config->ops->close_fd(config->opaque, surplus);
    c->fd = c->open ? fd : -1;
}

static const struct chr_user client_user = { client_room, client_recv, client_opened, client_closed, client_fd };

int qmp_create(const struct qmp_config *config, struct qmp **out)
{
    struct qmp *qmp = calloc(1, sizeof(*qmp));
    if (!qmp)
        return -ENOMEM;
    qmp->config = *config;
    *out = qmp;
    return 0;
}

int qmp_attach(struct qmp *qmp, struct chr *chr)
{
    if (qmp->nr_clients == CONFIG_MAX_MONITORS)
        return -ENOSPC;
    struct qmp_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->qmp = qmp;
    c->chr = chr;
    c->fd = -1;
    timer_init(&c->retry, qmp->config.loop, retry, c);
    task_init(&c->start, qmp->config.loop, start, c);
    qmp->clients[qmp->nr_clients++] = c;
    chr_bind(chr, &client_user, c);
    task_post(&c->start);
    return 0;
}

void qmp_destroy(struct qmp *qmp)
{
    if (!qmp)
        return;
    for (unsigned i = 0; i < qmp->nr_clients; i++) {
        session_reset(qmp->clients[i]);
        task_cancel(&qmp->clients[i]->start);
        free(qmp->clients[i]);
    }
    qmp_drop_fds(qmp);
    free(qmp);
}
