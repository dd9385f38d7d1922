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

enum { STORE_PATH_BYTES = 256, STORE_MAX_VALUE = 4096, STORE_NO_TRANSACTION = 0 };

/* The ring of start of day is at page. 0 or -errno. */
int store_init(void *page, uint32_t port);

/* The value, terminated, into buf. Its length, or -errno: -ENOENT, -EACCES, -E2BIG (longer than size - 1) ... */
int store_read(const char *path, char *buf, size_t size);
/* As a decimal number. 0 or -errno; -EINVAL: it is none. */
int store_read_u64(const char *path, uint64_t *value);
int store_write(const char *path, const char *value);
int store_printf(const char *path, const char *format, ...) PRINTF_LIKE(2, 3);
/* Names below path, each with its NUL, one after the other into buf. Bytes used, or -errno. */
int store_list(const char *path, char *buf, size_t size);
int store_remove(const char *path);

/* Between them all requests are one transaction. store_commit(): 0, or -EAGAIN: begin anew. One at a time. */
int store_begin(void);
int store_commit(void);

/* Caller-owned. fn is called from the loop, once after a change or several, and once after it was added. */
struct store_watch {
    char path[STORE_PATH_BYTES];
    void (*fn)(void *opaque);
    void *opaque;
    struct store_watch *next; /* store.c's */
    bool fired;
};
int store_watch(struct store_watch *watch);
/* No call comes after it returned. */
void store_unwatch(struct store_watch *watch);

#endif
