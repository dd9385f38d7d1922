/*
 * A device: a state structure that starts with struct device, and a const descriptor. The machine owns the list; order of the
 * list is order of creation, unplug and free go backwards.
 */
#ifndef THINDM_DEVICE_H
#define THINDM_DEVICE_H

#include <thindm/log.h>
#include <thindm/snapshot.h>

enum { DEVICE_ID_BYTES = 24 };

struct device {
    const struct device_desc *desc;
    char id[DEVICE_ID_BYTES]; /* unique: log prefix, snapshot record, QMP name */
    struct device *next;      /* in struct devices */
    struct log *log;          /* set by devices_add(); NULL: silent */
    struct log_rate log_rate;
};

struct device_desc {
    const char *name;
    uint16_t version; /* of fields, from 1 */
    bool keeps_s3;    /* powered in ACPI S3: not reset at the wake-up */
    const struct snap_field *fields;
    void (*reset)(struct device *dev); /* power-on state; lines low, timers off */
    /* Before the fields are read for a snapshot: bring those up to date that follow the clock. NULL: none does. */
    void (*saving)(struct device *dev);
    /* Could a snapshot be taken right now: no request of it is in flight, nothing is half done? NULL: always. */
    bool (*quiet)(const struct device *dev);
    /* After a restore: check every value (snapshots are outside input), then derive. 0 or -EINVAL. NULL: nothing to do. */
    int (*restored)(struct device *dev);
    /* The device goes away for the guest: regions, lines, timers, back ends. Idempotent. */
    void (*unplug)(struct device *dev);
    /* Frees what the structure owns besides itself; NULL: nothing. unplug() came before. */
    void (*destroy)(struct device *dev);
};

struct devices {
    struct device *first;
    struct log *log;
};

/* A zeroed structure of size bytes that begins with struct device. id longer than DEVICE_ID_BYTES - 1 is cut. NULL: no memory. */
void *device_new(const struct device_desc *desc, const char *id, size_t size);
/* Unplug, destroy, free. NULL is fine. Never from inside a callback of dev. dev must not be in a list any more. */
void device_free(struct device *dev);

/* Takes dev. */
void devices_add(struct devices *list, struct device *dev);
/* In order of creation. */
void devices_reset(struct devices *list);
/* Frees all, last created first. */
void devices_free(struct devices *list);
struct device *devices_find(const struct devices *list, const char *id);

#endif
