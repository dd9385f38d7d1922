/*
 * Field tables: each device lists its guest-visible state once; save, restore, checks and fuzz seeds come from the list.
 * Values are little-endian, in table order, each record led by device id, version and length.
 */
#ifndef THINDM_SNAPSHOT_H
#define THINDM_SNAPSHOT_H

#include <thindm/loop.h>
#include <thindm/util.h>

struct device;

enum snap_kind { SNAP_KIND_END, SNAP_KIND_INT, SNAP_KIND_BOOL, SNAP_KIND_TIMER, SNAP_KIND_PART };

/* The part of a buffer that means something. In a record: both as 32 bits, then the bytes. */
struct snap_part {
    uint32_t from, bytes;
};


struct snap_field {
    const char *name;
    enum snap_kind kind;
    uint16_t since;  /* first version of the device that has it */
    uint8_t width;   /* bytes of an element (int: 1, 2, 4, 8) */
    uint32_t count;  /* elements */
    size_t offset;   /* in the device's structure */
    size_t part;     /* SNAP_KIND_PART: offset of its struct snap_part, which saving() sets */
};

#define SNAP_KIND_OF(type, member)                                                                                     \
    _Generic(&((type *)0)->member,                                                                                     \
        bool *: SNAP_KIND_BOOL,                                                                                        \
        uint8_t *: SNAP_KIND_INT,                                                                                      \
        uint16_t *: SNAP_KIND_INT,                                                                                     \
        uint32_t *: SNAP_KIND_INT,                                                                                     \
        uint64_t *: SNAP_KIND_INT,                                                                                     \
        int16_t *: SNAP_KIND_INT,                                                                                      \
        int32_t *: SNAP_KIND_INT,                                                                                      \
        int64_t *: SNAP_KIND_INT,                                                                                      \
        struct timer *: SNAP_KIND_TIMER)
/* A scalar or timer; member may be a path such as chan.count. Enums: use a fixed-width member. */
#define SNAP_SINCE(version, type, member)                                                                              \
    {                                                                                                                  \
        .name = #member, .kind = SNAP_KIND_OF(type, member), .since = (version),                                       \
        .width = sizeof(((type *)0)->member) > 8 ? 8 : (uint8_t)sizeof(((type *)0)->member), .count = 1,               \
        .offset = offsetof(type, member)                                                                               \
    }
#define SNAP(type, member) SNAP_SINCE(1, type, member)
/* A one-dimensional array. */
#define SNAP_ARRAY_SINCE(version, type, member)                                                                        \
    {                                                                                                                  \
        .name = #member, .kind = SNAP_KIND_OF(type, member[0]), .since = (version),                                    \
        .width = sizeof(((type *)0)->member[0]) > 8 ? 8 : (uint8_t)sizeof(((type *)0)->member[0]),                     \
        .count = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), .offset = offsetof(type, member)        \
    }
#define SNAP_ARRAY(type, member) SNAP_ARRAY_SINCE(1, type, member)
/* A buffer of bytes of which only a part is saved. Behind all other fields: their places in a record are then known. */
#define SNAP_PART(type, member, part_member)                                                                           \
    {                                                                                                                  \
        .name = #member, .kind = SNAP_KIND_PART, .since = 1, .width = 1, .count = sizeof(((type *)0)->member),         \
        .offset = offsetof(type, member), .part = offsetof(type, part_member)                                          \
    }
#define SNAP_END { .name = NULL, .kind = SNAP_KIND_END }

/* A growing byte buffer for saving, or a fixed one for restoring. Zeroed = empty. */
struct snap_buf {
    uint8_t *data; /* malloc()ed when saving */
    size_t len, cap, pos;
};

void snap_buf_free(struct snap_buf *buf);
/* Append bytes. 0 or -ENOMEM. */
int snap_buf_add(struct snap_buf *buf, const void *bytes, size_t len) WARN_UNUSED;
/* Append dev's record. 0 or -ENOMEM. */
int snapshot_save_device(const struct device *dev, struct snap_buf *out) WARN_UNUSED;
/*
 * Read the record at in->pos into dev, which was just reset, and call its restored(). 0; -EINVAL: not dev's record, cut short, or
 * refused by restored(); -ENOTSUP: saved by a newer version. bad_field (may be NULL) is then the name of the field or NULL.
 */
int snapshot_restore_device(struct device *dev, struct snap_buf *in, const char **bad_field) WARN_UNUSED;

#endif
