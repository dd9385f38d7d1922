/*
 * The QMP monitor: JSON commands on a chr, as QEMU's protocol has them and libxl, xenopsd and libxenstat use them.
 * Source: QEMU's docs/interop/qmp-spec; xen tools/libs/light/libxl_qmp.c.
 */
#ifndef THINDM_QMP_H
#define THINDM_QMP_H

#include <thindm/chr.h>
#include <thindm/config.h>
#include <thindm/util.h>

struct loop;

/* The machine as QMP sees it. */
enum qmp_status { QMP_PRELAUNCH, QMP_RUNNING, QMP_PAUSED, QMP_SHUTDOWN, QMP_SUSPENDED, QMP_INMIGRATE, QMP_IO_ERROR };

/* A drive or chardev in a reply. Strings are the callee's. */
struct qmp_block_info {
    const char *device, *file; /* file NULL: no medium */
    const char *qdev;          /* id of the -device; "" or NULL: none */
    const char *format;        /* NULL: raw */
    enum block_cache cache;
    uint64_t size_bytes, idle_ns; /* idle: since the last request ended */
    bool removable, no_tray, locked, tray_open, read_only;
    bool io_error; /* requests wait for cont */
    struct block_stats stats;
};

/* What is to go into a drive. Strings are the caller's. */
struct qmp_medium {
    const char *path;   /* if fd >= 0, only how it is called */
    const char *format; /* NULL: raw */
    int fd;             /* the medium, opened; -1: path is to be opened */
    bool force;         /* also if the guest locked the tray */
};

/*
 * What commands do; each returns 0 or -errno, with a line for the error reply in error (empty: a general one). -ENODEV:
 * no such device, which is an error class of its own. Each may call qmp_event(), none may call qmp_destroy(). opaque is
 * qmp_config.opaque. A member that is NULL: the command fails with "not supported".
 */
struct qmp_ops {
    enum qmp_status (*status)(void *opaque);
    int (*cont)(void *opaque, char error[CONFIG_ERROR_BYTES]);
    int (*stop)(void *opaque, char error[CONFIG_ERROR_BYTES]);
    /* After the reply was given to the chr. */
    void (*quit)(void *opaque);
    int (*reset)(void *opaque, char error[CONFIG_ERROR_BYTES]);
    int (*powerdown)(void *opaque, char error[CONFIG_ERROR_BYTES]);
    int (*wakeup)(void *opaque, char error[CONFIG_ERROR_BYTES]);
    int (*set_dirty_log)(void *opaque, bool enable);
    /* id: the drive's or its -device's. */
    int (*eject)(void *opaque, const char *id, bool force, char error[CONFIG_ERROR_BYTES]);
    /* medium->fd is taken in any case. */
    int (*change_medium)(void *opaque, const char *id, const struct qmp_medium *medium, char error[CONFIG_ERROR_BYTES]);
    /* The image of drive id was made longer by others, to bytes: tell the guest. */
    int (*block_resize)(void *opaque, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES]);
    /* Write the flight recorder to fd, which is taken in any case, or to a new file at path if fd < 0. */
    int (*flight_recorder)(void *opaque, int fd, const char *path, char error[CONFIG_ERROR_BYTES]);
    int (*cpu_add)(void *opaque, unsigned index, char error[CONFIG_ERROR_BYTES]);
    /* Fill in number i; false: no such. */
    bool (*block_info)(void *opaque, unsigned i, struct qmp_block_info *info);
    bool (*chr_info)(void *opaque, unsigned i, const char **label, const char **filename, bool *open);
    bool (*cpu_online)(void *opaque, unsigned index);
    /* The host's close() and dup(), the latter closed on exec; dup_fd: the new descriptor or -errno. */
    void (*close_fd)(void *opaque, int fd);
    int (*dup_fd)(void *opaque, int fd);
    /* Wall clock for event time stamps. */
    void (*wall_clock)(void *opaque, uint64_t *seconds, uint32_t *microseconds);
};

struct qmp_config {
    struct loop *loop;
    struct log *log; /* may be NULL */
    const struct qmp_ops *ops;
    void *opaque;
    const char *name; /* the guest's; NULL: none */
    unsigned max_vcpus;
};

struct qmp;

/* A monitor without a chr yet. *out is the caller's until qmp_destroy(). -ENOMEM or 0. */
int qmp_create(const struct qmp_config *config, struct qmp **out) WARN_UNUSED;
/* Serve chr too (not taken; it must be closed before qmp_destroy()). -ENOSPC beyond CONFIG_MAX_MONITORS, -ENOMEM. */
int qmp_attach(struct qmp *qmp, struct chr *chr) WARN_UNUSED;
/* Closes the descriptors of all fd sets. NULL is fine. */
void qmp_destroy(struct qmp *qmp);
/* An event to every negotiated client. data: a JSON object as text, or NULL. */
void qmp_event(struct qmp *qmp, const char *name, const char *data);

#endif
