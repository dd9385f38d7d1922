/*
 * What the back ends stand on. xenbus.c owns a device's directories and states; a type says what to do at each step.
 *
 * Add a back end: a file with a const struct pv_type, and its line in the table of xenbus.c.
 */
#ifndef THINDM_PV_PRIVATE_H
#define THINDM_PV_PRIVATE_H

#include "pv.h"
#include <thindm/log.h>
#include <xen/io/xenbus.h>

enum { PV_MAX_DEVICES = 64, PV_PATH_BYTES = 256, PV_NAME_BYTES = 24 };

struct pv_device;

/* dev is embedded in the type's own struct. No function may call back into pv_watch(). */
struct pv_type {
    const char *name; /* the directory: backend/<name>/<domid>/<devid> */
    /*
     * Only entries that are there before the guest runs are looked at: nodes in the front end's directory say what to
     * open here.
     */
    bool early;
    /* An empty device, which destroy() frees; NULL: no memory. */
    struct pv_device *(*create)(void);
    /* False: another program serves it, hands off. NULL: all are ours. */
    bool (*ours)(struct pv_device *dev);
    /*
     * The toolstack's entry is complete: read it, open what it names, write what front ends look for before they
     * connect. State InitWait follows, or, if it fails after a line by pv_error(), Closed.
     */
    int (*open)(struct pv_device *dev);
    /* A XenbusState in place of the front end's node, for a front end without one; -1: look at the node. NULL: the
     * same. */
    int (*front_state)(struct pv_device *dev);
    /* The front end is ready: map and bind. State Connected follows, or Closing after a line by pv_error(). */
    int (*connect)(struct pv_device *dev);
    /*
     * The front end is gone: take no more requests, unmap, unbind. False: requests are still in flight; pv_kick() tells
     * when it's worth another try. Harmless if not connected.
     */
    bool (*disconnect)(struct pv_device *dev);
    /* The front end's event channel fired. May call pv_fail(). */
    void (*event)(struct pv_device *dev);
    /* The toolstack wrote params; only between open() and destroy(). NULL: it has no meaning. */
    void (*params_changed)(struct pv_device *dev);
    /* True: finish what is in flight and take nothing new. */
    void (*set_paused)(struct pv_device *dev, bool paused);
    /* False: not a disk. */
    bool (*block_info)(const struct pv_device *dev, struct pv_block_info *info);
    /* Disconnects, waiting for what is in flight; closes, frees. */
    void (*destroy)(struct pv_device *dev);
};

struct pv_device {
    const struct pv_type *type;
    struct pv *pv;
    char name[PV_NAME_BYTES];                       /* the device number as text */
    char who[PV_NAME_BYTES * 2];                    /* "qdisk 51712", for the log */
    char back[PV_PATH_BYTES], front[PV_PATH_BYTES]; /* directories */
    char token[PV_NAME_BYTES];                      /* of the watch on the front end's state */
    unsigned state;                                 /* XenbusState, as we wrote it last */
    bool watched, opened, failed, look, params_changed;
    uint32_t port; /* event channel of the connection; 0: none */
    struct log_rate log_rate;
};

/* A decimal number in dir/node, at most max. 0; -ENOENT; -EINVAL: something else is there. */
int pv_read_number(struct pv_device *dev, const char *dir, const char *node, uint64_t max, uint64_t *value);
/* The same; missing or something else: otherwise. */
uint64_t pv_number_or(struct pv_device *dev, const char *dir, const char *node, uint64_t max, uint64_t otherwise);
/* A node of the back-end directory as text. 0 or -errno. */
int pv_read_text(struct pv_device *dev, const char *dir, const char *node, char *value, size_t size);
/* Write a node of the back-end directory; what can't be written is logged only. */
void pv_write_number(struct pv_device *dev, const char *node, uint64_t value);
void pv_write_text(struct pv_device *dev, const char *node, const char *value);
/* The same in the front end's directory. */
void pv_write_front(struct pv_device *dev, const char *node, const char *value);
/* Tell front ends that properties changed: the same state once more. */
void pv_repeat_state(struct pv_device *dev);

/* A line in the log and in the device's error node, where toolstacks and people look. Returns err. */
int pv_error(struct pv_device *dev, int err, const char *format, ...) PRINTF_LIKE(3, 4);
/* The front end broke the protocol, which pv_error() has explained: the connection ends from the loop. */
void pv_fail(struct pv_device *dev);
/* Look at the device's states again, from the loop. */
void pv_kick(struct pv_device *dev);

/* Bind and unbind dev->port. */
int pv_bind(struct pv_device *dev, uint32_t remote) WARN_UNUSED;
void pv_unbind(struct pv_device *dev);
void pv_notify(struct pv_device *dev);

const struct pv_config *pv_config(const struct pv_device *dev);
bool pv_paused(const struct pv_device *dev);

extern const struct pv_type pv_qdisk, pv_console;

#endif
