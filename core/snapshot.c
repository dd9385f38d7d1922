/*
 * Records of device state: see snapshot.h. A record is id[DEVICE_ID_BYTES], version (16 bits), length of the values (32
 * bits), the values. A timer is 64 bits: ns left, or all ones if it isn't armed. A part of a buffer is preceded by its
 * place and length.
 */
#include <thindm/snapshot.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/device.h>

enum { VERSION_AT = DEVICE_ID_BYTES, LENGTH_AT = VERSION_AT + 2, HEAD_BYTES = LENGTH_AT + 4, PART_HEAD_BYTES = 8 };
#define NOT_ARMED UINT64_MAX

void snap_buf_free(struct snap_buf *buf)
{
    free(buf->data);
    *buf = (struct snap_buf){ 0 };
}

/* What saving() said, kept within the buffer whatever that was. */
static struct snap_part part_of(const struct device *dev, const struct snap_field *field)
{
    struct snap_part part = *(const struct snap_part *)((const void *)((const uint8_t *)dev + field->part));
    part.from = (uint32_t)min_u64(part.from, field->count);
    part.bytes = (uint32_t)min_u64(part.bytes, field->count - part.from);
    return part;
}

static size_t field_bytes(const struct device *dev, const struct snap_field *field)
{
    if (field->kind == SNAP_KIND_PART)
        return PART_HEAD_BYTES + part_of(dev, field).bytes;
    return (size_t)field->width * field->count;
}

/* The same in a record that has left more bytes; 0: it is cut short, or goes beyond its buffer. */
static size_t saved_bytes(const struct snap_field *field, const uint8_t *from, size_t left)
{
    size_t bytes = (size_t)field->width * field->count;
    if (field->kind == SNAP_KIND_PART) {
        if (left < PART_HEAD_BYTES)
            return 0;
        uint64_t at = le32_get(from), len = le32_get(from + 4);
        if (at + len > field->count)
            return 0;
        bytes = PART_HEAD_BYTES + (size_t)len;
    }
    return bytes <= left ? bytes : 0;
}

/* Bytes of the values that the device saves. */
static size_t values_bytes(const struct device *dev)
{
    size_t bytes = 0;
    for (const struct snap_field *field = dev->desc->fields; field && field->kind != SNAP_KIND_END; field++)
        bytes += field->since <= dev->desc->version ? field_bytes(dev, field) : 0;
    return bytes;
}

static int reserve(struct snap_buf *buf, size_t bytes)
{
    if (bytes <= buf->cap - buf->len)
        return 0;
    size_t cap = 2 * buf->cap > buf->len + bytes ? 2 * buf->cap : buf->len + bytes;
    uint8_t *data = realloc(buf->data, cap);
    if (!data)
        return -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int snap_buf_add(struct snap_buf *buf, const void *bytes, size_t len)
{
    int err = reserve(buf, len);
    if (!err)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += err ? 0 : len;
    return err;
}

/* Element i of the field in the device's structure. */
static size_t element_offset(const struct snap_field *field, uint32_t i)
{
    return field->offset + i * (field->kind == SNAP_KIND_TIMER ? sizeof(struct timer) : field->width);
}

static uint64_t element_get(const struct device *dev, const struct snap_field *field, uint32_t i)
{
    const void *at = (const uint8_t *)dev + element_offset(field, i);
    if (field->kind == SNAP_KIND_TIMER) {
        const struct timer *timer = at;
        return timer->armed ? min_u64(timer_left(timer), NOT_ARMED - 1) : NOT_ARMED;
    }
    switch (field->width) {
    case 1: return *(const uint8_t *)at;
    case 2: return *(const uint16_t *)at;
    case 4: return *(const uint32_t *)at;
    default: return *(const uint64_t *)at;
    }
}

static void element_put(struct device *dev, const struct snap_field *field, uint32_t i, uint64_t val)
{
    void *at = (uint8_t *)dev + element_offset(field, i);
    if (field->kind == SNAP_KIND_TIMER) {
        timer_cancel(at);
        if (val != NOT_ARMED)
            timer_arm(at, val);
        return;
    }
    switch (field->width) {
    case 1: *(uint8_t *)at = (uint8_t)val; break;
    case 2: *(uint16_t *)at = (uint16_t)val; break;
    case 4: *(uint32_t *)at = (uint32_t)val; break;
    default: *(uint64_t *)at = val; break;
    }
}

/* Bytes have no order among them: an array of them is copied as it is, which is most of what devices have. */
static bool is_bytes(const struct snap_field *field)
{
    return field->kind != SNAP_KIND_TIMER && field->kind != SNAP_KIND_PART && field->width == 1;
}

static void save_field(const struct device *dev, const struct snap_field *field, uint8_t *to)
{
    const uint8_t *at = (const uint8_t *)dev + field->offset;
    if (field->kind == SNAP_KIND_PART) {
        struct snap_part part = part_of(dev, field);
        le32_put(to, part.from);
        le32_put(to + 4, part.bytes);
        memcpy(to + PART_HEAD_BYTES, at + part.from, part.bytes);
    } else if (is_bytes(field)) {
        memcpy(to, at, field->count);
    } else {
        for (uint32_t i = 0; i < field->count; i++)
            le_put(to + (size_t)i * field->width, field->width, element_get(dev, field, i));
    }
}

int snapshot_save_device(const struct device *dev, struct snap_buf *out)
{
    if (dev->desc->saving)
        dev->desc->saving((struct device *)(uintptr_t)dev); /* the state stays, only how it is written down changes */
    size_t bytes = values_bytes(dev);
    int err = reserve(out, HEAD_BYTES + bytes);
    if (err)
        return err;
    uint8_t *to = out->data + out->len;
    memcpy(to, dev->id, DEVICE_ID_BYTES);
    le16_put(to + VERSION_AT, dev->desc->version);
    le32_put(to + LENGTH_AT, (uint32_t)bytes);
    to += HEAD_BYTES;
    for (const struct snap_field *field = dev->desc->fields; field && field->kind != SNAP_KIND_END; field++) {
        if (field->since > dev->desc->version)
            continue;
        save_field(dev, field, to);
        to += field_bytes(dev, field);
    }
    out->len += HEAD_BYTES + bytes;
    return 0;
}

/* Are the values all there, and truth values 0 or 1? Nothing is changed before that is known. */
static int check_values(const struct device *dev, uint16_t version, const uint8_t *from, size_t bytes,
                        const char **bad_field)
{
    for (const struct snap_field *field = dev->desc->fields; field && field->kind != SNAP_KIND_END; field++) {
        if (field->since > version)
            continue;
        *bad_field = field->name;
        size_t here = saved_bytes(field, from, bytes);
        if (here == 0)
            return -EINVAL;
        for (uint32_t i = 0; field->kind == SNAP_KIND_BOOL && i < field->count; i++) {
            if (from[i] > 1)
                return -EINVAL;
        }
        from += here;
        bytes -= here;
    }
    *bad_field = NULL;
    return bytes == 0 ? 0 : -EINVAL;
}

static void load_field(struct device *dev, const struct snap_field *field, const uint8_t *from)
{
    uint8_t *at = (uint8_t *)dev + field->offset;
    if (field->kind == SNAP_KIND_PART) {
        memcpy(at + le32_get(from), from + PART_HEAD_BYTES, le32_get(from + 4));
    } else if (is_bytes(field)) {
        memcpy(at, from, field->count);
    } else {
        for (uint32_t i = 0; i < field->count; i++)
            element_put(dev, field, i, le_get(from + (size_t)i * field->width, field->width));
    }
}

/* They were checked. */
static void load_values(struct device *dev, uint16_t version, const uint8_t *from, size_t bytes)
{
    for (const struct snap_field *field = dev->desc->fields; field && field->kind != SNAP_KIND_END; field++) {
        if (field->since > version)
            continue; /* the saved version lacks it: it keeps its reset value */
        size_t here = saved_bytes(field, from, bytes);
        load_field(dev, field, from);
        from += here;
        bytes -= here;
    }
}

int snapshot_restore_device(struct device *dev, struct snap_buf *in, const char **bad_field)
{
    const char *none;
    if (!bad_field)
        bad_field = &none;
    *bad_field = NULL;
    if (in->pos > in->len || in->len - in->pos < HEAD_BYTES)
        return -EINVAL;
    const uint8_t *head = in->data + in->pos;
    uint16_t version = le16_get(head + VERSION_AT);
    size_t bytes = le32_get(head + LENGTH_AT);
    if (memcmp(head, dev->id, DEVICE_ID_BYTES) != 0 || version == 0)
        return -EINVAL;
    if (version > dev->desc->version)
        return -ENOTSUP;
    if (bytes > in->len - in->pos - HEAD_BYTES)
        return -EINVAL;
    int err = check_values(dev, version, head + HEAD_BYTES, bytes, bad_field);
    if (err)
        return err;
    load_values(dev, version, head + HEAD_BYTES, bytes);
    in->pos += HEAD_BYTES + bytes;
    return dev->desc->restored ? dev->desc->restored(dev) : 0;
}
