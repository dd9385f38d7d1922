/*
 * Sets of file descriptors that came over the monitor's socket; commands name them "/dev/fdset/N". libxl opens CD
 * images and state files itself and hands them over so, which works under chroot and as any user.
 */
#include "qmp-private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool set_exists(const struct qmp *qmp, int set)
{
    for (unsigned i = 0; i < QMP_MAX_FDS; i++)
        if (qmp->fds[i].used && qmp->fds[i].set == set)
            return true;
    return false;
}

static void drop(struct qmp *qmp, struct qmp_fd *f)
{
    qmp->config.ops->close_fd(qmp->config.opaque, f->fd);
    free(f->opaque);
    *f = (struct qmp_fd){ 0 };
}

void qmp_drop_fds(struct qmp *qmp)
{
    for (unsigned i = 0; i < QMP_MAX_FDS; i++)
        if (qmp->fds[i].used)
            drop(qmp, &qmp->fds[i]);
}

static int read_opaque(struct qmp_call *call, char **out)
{
    char text[QMP_MAX_PATH];
    *out = NULL;
    if (!qmp_has(call, "opaque"))
        return 0;
    int err = qmp_get_string(call, "opaque", text, sizeof(text));
    if (err)
        return err;
    size_t size = strlen(text) + 1;
    *out = malloc(size);
    if (!*out)
        return qmp_fail(call, "out of memory");
    memcpy(*out, text, size);
    return 0;
}

int qmp_add_fd(struct qmp_call *call)
{
    struct qmp *qmp = call->qmp;
    struct qmp_fd *f = qmp->fds;
    uint64_t set = 0;
    char *opaque;
    if (call->client->fd < 0)
        return qmp_fail(call, "no file descriptor came with the command");
    if (qmp_has(call, "fdset-id")) {
        int err = qmp_get_uint(call, "fdset-id", INT32_MAX, &set);
        if (err)
            return err;
    } else {
        while (set_exists(qmp, (int)set))
            set++;
    }
    while (f < qmp->fds + QMP_MAX_FDS && f->used)
        f++;
    if (f == qmp->fds + QMP_MAX_FDS)
        return qmp_fail(call, "there are %d descriptors already; remove-fd some", QMP_MAX_FDS);
    int err = read_opaque(call, &opaque);
    if (err)
        return err;
    *f = (struct qmp_fd){ .used = true, .fd = call->client->fd, .set = (int)set, .opaque = opaque };
    call->client->fd = -1;
    json_open(&call->out, NULL, '{');
    json_put_int(&call->out, "fd", f->fd);
    json_put_int(&call->out, "fdset-id", f->set);
    json_close(&call->out, '}');
    return 0;
}

int qmp_remove_fd(struct qmp_call *call)
{
    struct qmp *qmp = call->qmp;
    uint64_t set, fd = 0;
    bool one = qmp_has(call, "fd"), found = false;
    int err = qmp_get_uint(call, "fdset-id", INT32_MAX, &set);
    if (!err && one)
        err = qmp_get_uint(call, "fd", INT32_MAX, &fd);
    if (err)
        return err;
    for (unsigned i = 0; i < QMP_MAX_FDS; i++) {
        struct qmp_fd *f = &qmp->fds[i];
        if (!f->used || f->set != (int)set || (one && f->fd != (int)fd))
            continue;
        drop(qmp, f);
        found = true;
    }
    return found ? 0 : qmp_fail(call, "there is no such descriptor set or descriptor");
}

static void put_set(struct qmp_call *call, int set)
{
    const struct qmp *qmp = call->qmp;
    struct json_writer *w = &call->out;
    json_open(w, NULL, '{');
    json_put_int(w, "fdset-id", set);
    json_open(w, "fds", '[');
    for (unsigned i = 0; i < QMP_MAX_FDS; i++) {
        const struct qmp_fd *f = &qmp->fds[i];
        if (!f->used || f->set != set)
            continue;
        json_open(w, NULL, '{');
        json_put_int(w, "fd", f->fd);
        if (f->opaque)
            json_put_string(w, "opaque", f->opaque);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

int qmp_query_fdsets(struct qmp_call *call)
{
    const struct qmp_fd *fds = call->qmp->fds;
    json_open(&call->out, NULL, '[');
    for (unsigned i = 0; i < QMP_MAX_FDS; i++) {
        bool first = fds[i].used;
        for (unsigned j = 0; j < i; j++)
            first = first && !(fds[j].used && fds[j].set == fds[i].set);
        if (first)
            put_set(call, fds[i].set);
    }
    json_close(&call->out, ']');
    return 0;
}

int qmp_open_fd(struct qmp_call *call, const char *filename, int *fd, const char **opaque)
{
    static const char prefix[] = "/dev/fdset/";
    const struct qmp_config *config = &call->qmp->config;
    int set = 0;
    *fd = -1;
    if (strncmp(filename, prefix, strlen(prefix)))
        return 0;
    const char *digit = filename + strlen(prefix);
    bool good = *digit;
    for (; *digit && good; digit++) {
        good = *digit >= '0' && *digit <= '9' && set < 1000000;
        set = set * 10 + (*digit - '0');
    }
    for (unsigned i = 0; good && i < QMP_MAX_FDS; i++) {
        const struct qmp_fd *f = &call->qmp->fds[i];
        if (!f->used || f->set != set)
            continue;
        /* The set stays: its owner may use or remove it later. */
        if (opaque)
            *opaque = f->opaque;
        *fd = config->ops->dup_fd ? config->ops->dup_fd(config->opaque, f->fd) : -ENOTSUP;
        return *fd < 0 ? qmp_fail(call, "%s can't be duplicated: error %d", filename, -*fd) : 0;
    }
    return qmp_fail(call, "there is no descriptor set %s", filename);
}
