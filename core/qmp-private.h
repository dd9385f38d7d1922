/* What the files core/qmp*.c share: the monitor, one client per chr, one call per command. */
#ifndef THINDM_CORE_QMP_PRIVATE_H
#define THINDM_CORE_QMP_PRIVATE_H

#include "json.h"
#include <thindm/loop.h>
#include <thindm/qmp.h>

enum {
    QMP_VALUE_BYTES = 64 * 1024,                          /* the longest "return" */
    QMP_OUT_BYTES = QMP_VALUE_BYTES + 2 * JSON_MAX_BYTES, /* with an id as long as a request can be, and events */
    QMP_MAX_FDS = 16,
    QMP_MAX_PATH = 4096,
};

struct qmp_client {
    struct qmp *qmp;
    struct chr *chr;
    struct timer retry; /* the chr took less than there was */
    struct task start;  /* the peer that was there before us */
    bool open;          /* there is a peer, and we didn't hang up on it */
    bool negotiated;
    bool skipping; /* what came was no JSON: everything up to the end of the line is skipped */
    int fd;        /* arrived, and no add-fd took it yet; or -1 */
    struct json_framer framer;
    size_t in_len, out_len;
    char in[JSON_MAX_BYTES];
    char out[QMP_OUT_BYTES];
};

/* A descriptor of a set. Sets exist only through their descriptors. */
struct qmp_fd {
    bool used;
    int fd, set;
    char *opaque; /* malloc()ed; NULL: none given */
};

struct qmp {
    struct qmp_config config;
    struct qmp_client *clients[CONFIG_MAX_MONITORS];
    unsigned nr_clients;
    struct qmp_fd fds[QMP_MAX_FDS];
    struct json request; /* the one being served */
    char value[QMP_VALUE_BYTES];
};

/* One command being run. */
struct qmp_call {
    struct qmp *qmp;
    struct qmp_client *client;
    int args;               /* token of the arguments in qmp->request, -1: none */
    struct json_writer out; /* the value of "return"; left empty: {} */
    const char *class;      /* of the error; NULL: none yet */
    char error[CONFIG_ERROR_BYTES];
    bool quit; /* end the process once the reply is out */
};

enum qmp_arg_type { QMP_STRING = 1, QMP_INT, QMP_BOOL, QMP_ARRAY, QMP_NEEDED = 0x80 };

struct qmp_arg {
    const char *name;
    int type; /* enum qmp_arg_type */
};

enum { QMP_MAX_ARGS = 6 };

struct qmp_command {
    const char *name;
    /* 0, or -errno with call->error and call->class set. */
    int (*run)(struct qmp_call *call);
    struct qmp_arg args[QMP_MAX_ARGS]; /* unused ones have no name */
    bool other_args;                   /* run() checks those that are not in args */
};

/* core/qmp.c */
/* Sets the error reply. -EINVAL. */
int qmp_fail(struct qmp_call *call, const char *format, ...) PRINTF_LIKE(2, 3);
int qmp_fail_class(struct qmp_call *call, const char *class, const char *format, ...) PRINTF_LIKE(3, 4);
/* What an operation of qmp_ops gave; on failure its line is in call->error already. */
int qmp_result(struct qmp_call *call, int err);
/* An argument; its type and presence were checked. The strings's and integers' functions fail when out of range. */
bool qmp_has(const struct qmp_call *call, const char *name);
int qmp_get_string(struct qmp_call *call, const char *name, char *out, size_t size) WARN_UNUSED;
int qmp_get_uint(struct qmp_call *call, const char *name, uint64_t max, uint64_t *out) WARN_UNUSED;
bool qmp_get_bool(const struct qmp_call *call, const char *name, bool otherwise);
void qmp_put_version(struct json_writer *w, const char *key);

/* core/qmp-commands.c: the table, and a look-up; NULL: no such command. */
const struct qmp_command *qmp_find_command(const char *name);

/* core/qmp-fds.c */
int qmp_add_fd(struct qmp_call *call);
int qmp_remove_fd(struct qmp_call *call);
int qmp_query_fdsets(struct qmp_call *call);
/*
 * A duplicate of the descriptor that "/dev/fdset/N" names, and what its owner said of it (NULL: nothing; opaque may be
 * NULL); -1 in *fd: the name is an ordinary one.
 */
int qmp_open_fd(struct qmp_call *call, const char *filename, int *fd, const char **opaque) WARN_UNUSED;
void qmp_drop_fds(struct qmp *qmp);

#endif
