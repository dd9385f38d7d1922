/*
 * Xenstore [xen/include/public/io/xs_wire.h]. Paths are absolute, or relative to our own home (/local/domain/<own>).
 * Requests wait for their answer (STORE_WAIT_NS at most, then -ETIMEDOUT); watches are served from the loop.
 */
#ifndef THINDM_STORE_H
#define THINDM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <thindm/util.h>
#include <xen/xen.h>

struct loop;

enum { STORE_PATH_BYTES = 256, STORE_MAX_VALUE = 4096, STORE_NO_TRANSACTION = 0 };
#define STORE_WAIT_NS (10 * NS_PER_S)

/* The ring of start of day is at page. 0 or -errno. */
int store_init(void *page, uint32_t port);
/* From now on watches are served from loop, which outlives the store; those that fired before wait for this. */
void store_attach(struct loop *loop);

/* The value, terminated, into buf. Its length, or -errno: -ENOENT, -EACCES, -E2BIG (longer than size - 1) ... */
int store_read(const char *path, char *buf, size_t size);
/* As a decimal number. 0 or -errno; -EINVAL: it is none. */
int store_read_u64(const char *path, uint64_t *value);
/* A value as a decimal number, nothing else. 0 or -EINVAL. */
int store_number(const char *text, uint64_t *value);
int store_write(const char *path, const char *value);
/* Goes off before all that follows, and nobody waits for the answer: for what does no harm if it is refused. */
int store_post(const char *path, const char *value);
int store_printf(const char *path, const char *format, ...) PRINTF_LIKE(2, 3);
/* Names below path, each with its NUL, one after the other into buf. Bytes used, or -errno (-E2BIG: too many). */
int store_list(const char *path, char *buf, size_t size);
int store_remove(const char *path);

/*
 * Several requests that go off in one burst and cost one round trip together; the daemon serves them in their order.
 * What store_read() and store_write() return is in result of each.
 */
struct store_item {
    const char *path;
    char *value; /* read: receives the value; write: what to write, which is only read */
    size_t size; /* of value; write: any */
    int result;
};
/* 0, or the first result that is an error. */
int store_read_all(struct store_item *items, size_t nr);
int store_write_all(struct store_item *items, size_t nr);

/*
 * Between store_begin() and the other two all requests but watches are one transaction, of which there is one at a
 * time. store_commit(): 0, or -EAGAIN: begin anew. store_abort(): none of it happened.
 */
int store_begin(void);
int store_commit(void);
void store_abort(void);

/* Caller-owned. fn is called from the loop, once after a change or several, and once after it was added. */
struct store_watch {
    char path[STORE_PATH_BYTES];
    void (*fn)(void *opaque);
    void *opaque;
    struct store_watch *next; /* store.c's */
    uint32_t id;
    bool fired, added;
};
int store_watch(struct store_watch *watch);
/* No call comes after it returned. Harmless if it isn't watched. */
void store_unwatch(struct store_watch *watch);
/* Sleep until watch has fired, which fn then doesn't hear of, or clock_now_ns() >= deadline_ns: -ETIMEDOUT. 0, -EIO. */
int store_wait(struct store_watch *watch, uint64_t deadline_ns);

#endif
