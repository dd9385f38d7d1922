/*
 * Character back ends: file, pty, stdio, socket, null. Bytes to the outside are dropped when it doesn't keep up; bytes
 * from the outside wait until the user has room.
 */
#ifndef THINDM_CHR_H
#define THINDM_CHR_H

#include <thindm/util.h>

struct chr;

/* The one user of a chr. All callbacks come from the loop, never from inside a chr_*() call. NULL members: not wanted. */
struct chr_user {
    /* Bytes it can take now. */
    size_t (*room)(void *opaque);
    /* len <= room(). */
    void (*recv)(void *opaque, const uint8_t *buf, size_t len);
    /* A peer came (socket accepted) or left. */
    void (*opened)(void *opaque);
    void (*closed)(void *opaque);
    /* A descriptor arrived with the bytes that follow; it is the user's to close. NULL: closed for it. */
    void (*fd)(void *opaque, int fd);
};

struct chr_ops {
    /* Take up to len bytes; how many were taken (the rest is the caller's: a device drops them). */
    size_t (*write)(struct chr *chr, const uint8_t *buf, size_t len);
    /* The user has room again. */
    void (*resume)(struct chr *chr);
    /* Hang up on the present peer, stay for the next one. NULL: nothing to do. */
    void (*disconnect)(struct chr *chr);
    void (*close)(struct chr *chr);
};

/* Embedded by the back end. */
struct chr {
    const struct chr_ops *ops;
    const struct chr_user *user; /* NULL until chr_bind() */
    void *opaque;
    char label[32];     /* QMP label: serial0, libxl-cmd, ... */
    char filename[128]; /* QMP filename: pty:/dev/pts/3, file:/x, unix:/y,server=on */
    bool connected; /* false: no peer, or the end of its input was reached */
};

/* From now on user gets what comes in. */
void chr_bind(struct chr *chr, const struct chr_user *user, void *opaque);
/* Bytes taken. chr may be NULL (takes all). */
size_t chr_write(struct chr *chr, const uint8_t *buf, size_t len);
void chr_resume(struct chr *chr);
void chr_disconnect(struct chr *chr);
/* No callback comes after it returned. NULL is fine. */
void chr_close(struct chr *chr);

/* A sink for bytes that never has any. Never NULL-fails but for memory. */
int chr_null_open(struct chr **out) WARN_UNUSED;

#endif
