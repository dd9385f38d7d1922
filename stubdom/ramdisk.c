/* Files out of a cpio archive: see ramdisk.h. */
#include "ramdisk.h"
#include <errno.h>
#include <string.h>
#include <thindm/util.h>

/* The head: a magic of 6 digits, then fields of 8 digits, all in hexadecimal text. */
enum { FIELDS_AT = 6, DIGITS = 8, FIELD_MODE = 1, FIELD_FILE_BYTES = 6, FIELD_NAME_BYTES = 11, HEAD_BYTES = 110 };
enum { MODE_TYPE = 0170000, MODE_FILE = 0100000, ALIGN = 4 };

static int field(const uint8_t *head, unsigned nr, size_t *value)
{
    const uint8_t *digit = head + FIELDS_AT + (size_t)nr * DIGITS;
    *value = 0;
    for (unsigned i = 0; i < DIGITS; i++) {
        unsigned c = digit[i] | 0x20U; /* lower case */
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            *value = *value << 4 | (c - 'a' + 10);
        else
            return -EINVAL;
    }
    return 0;
}

static size_t aligned(size_t at)
{
    return (at + ALIGN - 1) / ALIGN * ALIGN;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Values are of 32 bits, sizes of 64: sums don't overflow. */
int ramdisk_find(const void *ramdisk, size_t bytes, const char *path, const uint8_t **data, size_t *len)
{
    const uint8_t *archive = ramdisk;
    size_t mode, file_bytes, name_bytes;
    for (size_t at = 0; at + HEAD_BYTES <= bytes;) {
        const uint8_t *head = archive + at;
        if (memcmp(head, "070701", FIELDS_AT) || field(head, FIELD_MODE, &mode) ||
            field(head, FIELD_FILE_BYTES, &file_bytes) || field(head, FIELD_NAME_BYTES, &name_bytes))
            return -EINVAL;
        const char *name = (const char *)head + HEAD_BYTES;
        size_t data_at = aligned(at + HEAD_BYTES + name_bytes), end = data_at + file_bytes;
        if (end > bytes || name_bytes == 0 || name[name_bytes - 1])
            return -EINVAL;
        if (!strcmp(name, "TRAILER!!!"))
            return -ENOENT;
        if ((mode & MODE_TYPE) == MODE_FILE && !strcmp(last_part(name), last_part(path))) {
            *data = archive + data_at;
            *len = file_bytes;
            return 0;
        }
        at = aligned(end);
    }
    return -EINVAL;
}
