/* Small helpers that every layer uses: container_of, byte-order access to guest layouts, arithmetic. */
#ifndef THINDM_UTIL_H
#define THINDM_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, args) __attribute__((format(printf, text, args)))

/* The structure that embeds *ptr as its member. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(uintptr_t)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

/* Guest frames are 4 KiB on x86. */
enum { PAGE_SHIFT = 12, PAGE_BYTES = 1 << PAGE_SHIFT };

/* One piece of host memory of a scatter list. Same members in the same order as POSIX struct iovec. */
struct vec {
    void *ptr;
    size_t len;
};

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline bool is_pow2(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* All ones in the low size bytes: what an unclaimed read gives. size is 1 to 8. */
static inline uint64_t all_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

/* Little-endian integers at any alignment, as guest structures and registers have them. */
static inline uint16_t le16_get(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t le32_get(const void *p)
{
    const uint8_t *b = p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t le64_get(const void *p)
{
    const uint8_t *b = p;
    return le32_get(b) | (uint64_t)le32_get(b + 4) << 32;
}

/* size is 1 to 8 bytes. */
static inline uint64_t le_get(const void *p, unsigned size)
{
    const uint8_t *b = p;
    uint64_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= (uint64_t)b[i] << (8 * i);
    return val;
}

static inline void le_put(void *p, unsigned size, uint64_t val)
{
    uint8_t *b = p;
    for (unsigned i = 0; i < size; i++)
        b[i] = (uint8_t)(val >> (8 * i));
}

static inline void le16_put(void *p, uint16_t val)
{
    le_put(p, 2, val);
}

static inline void le32_put(void *p, uint32_t val)
{
    le_put(p, 4, val);
}

static inline void le64_put(void *p, uint64_t val)
{
    le_put(p, 8, val);
}

/* Big-endian, as SCSI/MMC packets and network headers have them. */
static inline uint16_t be16_get(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t be32_get(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void be16_put(void *p, uint16_t val)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(val >> 8);
    b[1] = (uint8_t)val;
}

static inline void be32_put(void *p, uint32_t val)
{
    uint8_t *b = p;
    be16_put(b, (uint16_t)(val >> 16));
    be16_put(b + 2, (uint16_t)val);
}

#endif
