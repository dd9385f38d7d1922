/*
 * Features [NVMe 5.21.1]. Only the write cache and the number of queues have an effect: there is one arbitration, one
 * power state, no coalescing beyond one message per round of the loop, and the temperature never changes. None is
 * saveable, so each has its default after a reset of the controller.
 */
#include "nvme-private.h"

#include <string.h>

enum {
    FEATURE_ARBITRATION = 0x01,
    FEATURE_POWER = 0x02,
    FEATURE_TEMPERATURE = 0x04,
    FEATURE_ERROR_RECOVERY = 0x05,
    FEATURE_WRITE_CACHE = 0x06,
    FEATURE_QUEUES = 0x07,
    FEATURE_COALESCING = 0x08,
    FEATURE_VECTOR = 0x09,
    FEATURE_ATOMICITY = 0x0a,
    FEATURE_EVENTS = 0x0b,
};
enum { SELECT_MASK = 0x700, VECTOR_UNCOALESCED = 0x10000, QUEUES_BAD = 0xffff };
enum { TEMP_SENSOR_SHIFT = 16, TEMP_TYPE_SHIFT = 20, TEMP_TYPE_UNDER = 1, TEMP_ALL_SENSORS = 0xf, TEMP_DEFAULT = 343 };

/* Plain storage: the guest may set the bits of mask, and those of zero must be 0. */
static const struct row {
    uint8_t id;
    size_t offset;
    uint32_t mask, zero, reset;
} rows[] = {
    { FEATURE_ARBITRATION, offsetof(struct nvme_features, arbitration), 0xffffff07, 0, 0x7 },
    { FEATURE_POWER, offsetof(struct nvme_features, power), 0xe0, 0x1f, 0 },
    { FEATURE_ERROR_RECOVERY, offsetof(struct nvme_features, error_recovery), 0xffff, 0x10000, 0 },
    { FEATURE_WRITE_CACHE, offsetof(struct nvme_features, write_cache), 0x1, 0, 0x1 },
    { FEATURE_COALESCING, offsetof(struct nvme_features, coalescing), 0xffff, 0, 0 },
    { FEATURE_ATOMICITY, offsetof(struct nvme_features, atomicity), 0x1, 0, 0 },
    { FEATURE_EVENTS, offsetof(struct nvme_features, events), 0x1f, 0, 0 },
};

static uint32_t *value_of(struct nvme *s, const struct row *row)
{
    return (uint32_t *)(void *)((uint8_t *)&s->features + row->offset);
}

static const struct row *find(uint8_t id)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].id == id)
            return &rows[i];
    }
    return NULL;
}

void nvme_reset_features(struct nvme *s)
{
    memset(&s->features, 0, sizeof(s->features));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        *value_of(s, &rows[i]) = rows[i].reset;
    s->features.too_hot = TEMP_DEFAULT;
}

bool nvme_features_possible(const struct nvme *s)
{
    struct nvme *state = (struct nvme *)(uintptr_t)s; /* is only read */
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (*value_of(state, &rows[i]) & ~rows[i].mask)
            return false;
    }
    return true;
}

/* The threshold that the command is about; NULL: of a sensor that there isn't. */
static uint16_t *threshold(struct nvme *s, uint32_t dw11, bool set)
{
    uint32_t sensor = dw11 >> TEMP_SENSOR_SHIFT & 0xf, type = dw11 >> TEMP_TYPE_SHIFT & 0x3;
    if ((sensor != 0 && !(set && sensor == TEMP_ALL_SENSORS)) || type > TEMP_TYPE_UNDER)
        return NULL;
    return type == TEMP_TYPE_UNDER ? &s->features.too_cold : &s->features.too_hot;
}

/* As many as there are, whatever was asked for [NVMe 5.21.1.7]. */
static uint32_t nr_queues(const struct nvme *s)
{
    return (s->io_queues - 1) | (s->io_queues - 1) << 16;
}

static uint16_t set_queues(const struct nvme *s, uint32_t dw11, uint32_t *result)
{
    for (unsigned i = 1; i <= s->io_queues; i++) {
        if (s->sq.last[i] > 0 || s->cq.last[i] > 0)
            return NVME_SEQUENCE_ERROR;
    }
    if ((dw11 & 0xffff) == QUEUES_BAD || dw11 >> 16 == QUEUES_BAD)
        return NVME_BAD_FIELD;
    *result = nr_queues(s);
    return NVME_OK;
}

uint16_t nvme_set_feature(struct nvme *s, const struct nvme_sqe *sqe, uint32_t *result)
{
    uint8_t id = (uint8_t)sqe->dw[10];
    uint32_t dw11 = sqe->dw[11];
    const struct row *row = find(id);
    if (sqe->dw[10] >> 31)
        return NVME_NOT_SAVEABLE;
    if (row) {
        if (dw11 & row->zero)
            return NVME_BAD_FIELD;
        *value_of(s, row) = dw11 & row->mask;
        return NVME_OK;
    }
    switch (id) {
    case FEATURE_TEMPERATURE: {
        uint16_t *limit = threshold(s, dw11, true);
        if (!limit)
            return NVME_BAD_FIELD;
        *limit = (uint16_t)dw11;
        return NVME_OK;
    }
    case FEATURE_QUEUES: return set_queues(s, dw11, result);
    case FEATURE_VECTOR:
        if ((dw11 & 0xffff) > s->io_queues)
            return NVME_BAD_FIELD;
        s->features.uncoalesced[dw11 & 0xffff] = dw11 & VECTOR_UNCOALESCED;
        return NVME_OK;
    }
    return NVME_BAD_FIELD;
}

uint16_t nvme_get_feature(struct nvme *s, const struct nvme_sqe *sqe, uint32_t *result)
{
    uint8_t id = (uint8_t)sqe->dw[10];
    uint32_t dw11 = sqe->dw[11];
    const struct row *row = find(id);
    if (sqe->dw[10] & SELECT_MASK)
        return NVME_BAD_FIELD; /* Identify says that there is no choice */
    if (row) {
        *result = *value_of(s, row);
        return NVME_OK;
    }
    switch (id) {
    case FEATURE_TEMPERATURE: {
        const uint16_t *limit = threshold(s, dw11, false);
        if (!limit)
            return NVME_BAD_FIELD;
        *result = *limit;
        return NVME_OK;
    }
    case FEATURE_QUEUES: *result = nr_queues(s); return NVME_OK;
    case FEATURE_VECTOR:
        if ((dw11 & 0xffff) > s->io_queues)
            return NVME_BAD_FIELD;
        *result = (dw11 & 0xffff) | (s->features.uncoalesced[dw11 & 0xffff] ? (uint32_t)VECTOR_UNCOALESCED : 0);
        return NVME_OK;
    }
    return NVME_BAD_FIELD;
}
