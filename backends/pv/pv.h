/*
 * PV back ends of one guest: what libxl leaves in xenstore under backend/<type>/<domid> and expects its device model
 * to serve. Life: pv_xen_open() -> pv_create() -> loop -> pv_destroy() -> pv_xen_close(). All on the loop's thread.
 * Sources: xen/include/public/io/xenbus.h, blkif.h, console.h; Linux drivers/xen/xenbus/ for what front ends do.
 */
#ifndef THINDM_PV_H
#define THINDM_PV_H

#include <thindm/config.h>
#include <thindm/host.h>
#include <thindm/loop.h>

struct epoll_host;
struct pv;
struct pv_type;

/*
 * How the data of requests gets to and from the guest's pages. PERSISTENT: pages that the front end promises to grant
 * for long stay mapped, others are copied. COPY: all are copied. MAP: all are mapped, for each request anew.
 */
enum pv_data { PV_PERSISTENT, PV_COPY, PV_MAP };

/* One piece of a grant copy; within one guest page. */
struct pv_copy {
    uint32_t ref;
    uint16_t offset, len; /* in the guest's page; offset + len <= 4096 */
    void *ptr;            /* ours; may cross pages */
    bool to_guest;
    int err;     /* out: 0 or -errno of this piece */
    void *owner; /* the caller's */
};

/*
 * What a back end needs of Xen: xenstore, grants and event channels of the one guest. Over Xen's libraries (xen-libs.c)
 * or a test's. opaque is pv_config.opaque. Functions return 0 or -errno unless said. Paths without a leading slash are
 * below the home of the domain that this process runs in.
 */
struct pv_ops {
    /* The node as a string of at most size - 1 bytes. -ENOENT; -E2BIG: longer, or with a NUL in it. */
    int (*read)(void *opaque, const char *path, char *value, size_t size);
    int (*write)(void *opaque, const char *path, const char *value);
    /* fn(arg, name) for each child. */
    int (*list)(void *opaque, const char *path, void (*fn)(void *arg, const char *name), void *arg);
    /* pv_watch() comes from the loop for each change of path or below it, and once right away. */
    int (*watch)(void *opaque, const char *path, const char *token);
    void (*unwatch)(void *opaque, const char *path, const char *token);

    /* Map nr grants to nr pages in a row, to be read, or written too. All or nothing. */
    int (*map)(void *opaque, const uint32_t *refs, unsigned nr, bool write, void **ptr);
    void (*unmap)(void *opaque, void *ptr, unsigned nr);
    /*
     * Map a page of the guest that its builder set up, by the frame number that the toolstack wrote. It stays mapped
     * whatever rights this process gives up.
     */
    int (*map_frame)(void *opaque, uint64_t frame, void **ptr);
    void (*unmap_frame)(void *opaque, void *ptr);
    /* Run all copies; each has its own result. */
    void (*copy)(void *opaque, struct pv_copy *copies, unsigned nr);

    /* Bind the guest's port remote; pv_event() comes from the loop when it fires. */
    int (*bind)(void *opaque, uint32_t remote, uint32_t *port);
    void (*unbind)(void *opaque, uint32_t port);
    void (*notify)(void *opaque, uint32_t port);
};

struct pv_config {
    uint16_t domid; /* of the guest */
    struct loop *loop;
    struct log *log;
    struct host *host; /* opens images */
    const struct pv_ops *ops;
    void *opaque;
    bool shared; /* images: the guest's emulated disks have them open too, until it unplugs them */
    enum pv_data data;
    struct chr *const *chrs; /* of the command line; a console may take one that has no user */
    unsigned nr_chrs;
    uint64_t log_limit_bytes; /* of what the first console writes to a file; 0: none */
};

/* What the monitor tells of a disk. Strings are the callee's, valid until the loop goes on. */
struct pv_block_info {
    const char *id;   /* the xenstore device number */
    const char *file; /* NULL: no medium */
    const char *format;
    uint64_t size_bytes;
    bool removable, read_only;
    struct block_stats stats;
};

/*
 * Watch the guest's back-end directories and serve what is there now and later. 0, -ENOMEM or -errno of the watches,
 * with a line in error. config->ops and what config points to must outlive it.
 */
int pv_create(const struct pv_config *config, struct pv **out, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Waits for requests in flight, unmaps and closes all. States in xenstore stay as they are. NULL is fine. */
void pv_destroy(struct pv *pv);

/* Paused: requests in flight are waited for, no new ones are taken. Idempotent. pv may be NULL. */
void pv_set_paused(struct pv *pv, bool paused);
/* Fill in disk number i; false: no such. pv may be NULL. */
bool pv_block_info(const struct pv *pv, unsigned i, struct pv_block_info *info);

/* From the host: a watch fired; path may be below the one that was watched. */
void pv_watch(struct pv *pv, const char *path, const char *token);
/*
 * The image of disk id (pv_block_info.id) has become longer: measure it and tell the front end. 0; -ENODEV: no such disk;
 * -EINVAL with a line in error: it is not bytes long.
 */
int pv_block_resize(struct pv *pv, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* From the host: the port that bind() gave fired. */
void pv_event(struct pv *pv, uint32_t port);

/* --- xen-libs.c: pv_ops over Xen's libraries --- */

struct pv_xen;
extern const struct pv_ops pv_xen_ops; /* opaque: the struct pv_xen */

/*
 * Open xenstore, the grant device and the event channel device. 0 or -errno with a line in error. They don't survive
 * xen_restrict().
 */
int pv_xen_open(uint16_t domid, struct epoll_host *epoll, struct loop *loop, struct log *log, struct pv_xen **out,
                char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* Who gets pv_watch() and pv_event(); NULL: nobody. */
void pv_xen_bind(struct pv_xen *xen, struct pv *pv);
/* Write "running" to device-model/<domid>/state, for a process that serves nothing but PV back ends. 0 or -errno. */
int pv_xen_announce(struct pv_xen *xen) WARN_UNUSED;
void pv_xen_close(struct pv_xen *xen);

#endif
