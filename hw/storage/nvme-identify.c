/*
 * What the controller says about itself: Identify [NVMe 5.15] and log pages [NVMe 5.14]. Names and numbers are those of
 * the machine that Xen guests know.
 */
#include "nvme-private.h"

#include <stdio.h>
#include <string.h>
#include <thindm/config.h>

enum { CNS_NAMESPACE = 0x00, CNS_CONTROLLER = 0x01, CNS_ACTIVE_LIST = 0x02, CNS_DESCRIPTORS = 0x03 };
enum { LOG_ERRORS = 0x01, LOG_HEALTH = 0x02, LOG_FIRMWARE = 0x03, LOG_CHANGED_NAMESPACES = 0x04 };
enum { IDENTIFY_BYTES = 4096, ERROR_ENTRIES = 4, ERROR_ENTRY_BYTES = 64, HEALTH_BYTES = 512, FIRMWARE_BYTES = 512 };
enum { MODEL_BYTES = 40, FIRMWARE_REV_BYTES = 8, FIRMWARE_SLOT_1 = 8, LOG_KEEPS_EVENT = 0x8000 };
enum { DESCRIPTOR_NGUID = 2, NGUID_BYTES = 16, SHUTDOWN_US = 30000000, NUMBERS_PER_UNIT = 1000 * 512 };

/* ASCII, filled up with blanks. */
static void put_text(uint8_t *to, const char *text, size_t len)
{
    size_t used = strlen(text);
    memset(to, ' ', len);
    memcpy(to, text, used < len ? used : len);
}

static void put_firmware_rev(uint8_t *to)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%d.%d.%d", CONFIG_QEMU_MAJOR, CONFIG_QEMU_MINOR, CONFIG_QEMU_MICRO);
    put_text(to, text, FIRMWARE_REV_BYTES);
}

/* A number that stays the same for this serial and namespace: FNV-1a over both, once per half. */
static void put_nguid(const struct nvme *s, uint32_t nsid, uint8_t nguid[NGUID_BYTES])
{
    for (uint32_t half = 0; half < 2; half++) {
        uint8_t tail[8];
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        le32_put(tail, nsid);
        le32_put(tail + 4, half);
        for (const char *c = s->serial; *c; c++)
            hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
        for (size_t i = 0; i < sizeof(tail); i++)
            hash = (hash ^ tail[i]) * UINT64_C(0x100000001b3);
        le64_put(nguid + (size_t)8 * half, hash);
    }
}

/* [NVMe 5.15.2.2, figure 251] */
static void put_controller(const struct nvme *s, uint8_t *p)
{
    char nqn[64];
    le16_put(p, 0x1b36);
    le16_put(p + 2, 0x1af4);
    put_text(p + 4, s->serial, NVME_SERIAL_BYTES);
    put_text(p + 24, "QEMU NVMe Ctrl", MODEL_BYTES);
    put_firmware_rev(p + 64);
    p[72] = 6;                         /* recommended arbitration burst */
    memcpy(p + 73, "\x00\x54\x52", 3); /* IEEE OUI */
    p[77] = NVME_MDTS;
    le32_put(p + 80, 0x10400);
    le32_put(p + 88, SHUTDOWN_US); /* how long guests wait for a shutdown: a disk may be slow */
    p[111] = 1;                    /* an I/O controller */
    p[258] = 3;                    /* aborts at once, 0's based */
    p[259] = NVME_AERS - 1;
    p[260] = 0x3; /* one read-only firmware slot */
    p[261] = 0x4; /* log pages have offsets */
    p[262] = ERROR_ENTRIES - 1;
    le16_put(p + 266, 343); /* kelvin: warning and critical temperature */
    le16_put(p + 268, 373);
    p[512] = 0x66; /* entries of 64 bytes */
    p[513] = 0x44; /* of 16 bytes */
    le32_put(p + 516, s->nr_ns);
    le16_put(p + 520, 0x0c); /* dataset management, write zeroes */
    p[525] = 0x07;           /* volatile write cache; a flush may name all namespaces */
    (void)snprintf(nqn, sizeof(nqn), "nqn.2019-08.org.qemu:%s", s->serial);
    memcpy(p + 768, nqn, strlen(nqn));
    le16_put(p + 2048, 2500); /* the only power state: 25 W, in centiwatts */
    le32_put(p + 2052, 16);   /* microseconds to enter and to leave it */
    le32_put(p + 2056, 4);
}

/* [NVMe 5.15.2.1, figure 249]; zeros for one that is not there. */
static void put_namespace(const struct nvme *s, uint32_t nsid, uint8_t *p)
{
    const struct nvme_ns *ns = &s->ns[nsid - 1];
    unsigned shift = 0;
    if (!ns->block)
        return;
    while (UINT32_C(1) << shift < ns->sector_bytes)
        shift++;
    le64_put(p, ns->sectors); /* size, capacity, use */
    le64_put(p + 8, ns->sectors);
    le64_put(p + 16, ns->sectors);
    p[99] = ns->read_only; /* write protected */
    put_nguid(s, nsid, p + 104);
    le32_put(p + 128, shift << 16); /* the only format: no metadata */
}

static void put_active_list(const struct nvme *s, uint32_t above, uint8_t *p)
{
    for (uint32_t i = above; i < s->nr_ns; i++) {
        if (!s->ns[i].block)
            continue;
        le32_put(p, i + 1);
        p += 4;
    }
}

uint16_t nvme_identify(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint8_t data[IDENTIFY_BYTES] = { 0 };
    uint8_t cns = (uint8_t)sqe->dw[10];
    bool exists = sqe->nsid > 0 && sqe->nsid <= s->nr_ns;
    if ((cns == CNS_NAMESPACE || cns == CNS_DESCRIPTORS) && !exists)
        return NVME_BAD_NAMESPACE;
    switch (cns) {
    case CNS_NAMESPACE: put_namespace(s, sqe->nsid, data); break;
    case CNS_CONTROLLER: put_controller(s, data); break;
    case CNS_ACTIVE_LIST:
        if (sqe->nsid >= NVME_ALL_NAMESPACES - 1)
            return NVME_BAD_NAMESPACE;
        put_active_list(s, sqe->nsid, data);
        break;
    case CNS_DESCRIPTORS:
        if (!s->ns[sqe->nsid - 1].block)
            return NVME_BAD_FIELD;
        data[0] = DESCRIPTOR_NGUID;
        data[1] = NGUID_BYTES;
        put_nguid(s, sqe->nsid, data + 4);
        break;
    default: return NVME_BAD_FIELD;
    }
    uint16_t status = nvme_prps_load(s, &s->admin_prps, sqe->prp1, sqe->prp2, sizeof(data));
    return status != NVME_OK ? status : nvme_prps_write(s, &s->admin_prps, 0, data, sizeof(data));
}

/* Counters of 128 bits; ours have 64. Units of thousand times 512 bytes, rounded up. [NVMe 5.14.1.2] */
static void put_health(const struct nvme *s, uint8_t *p)
{
    uint64_t ops[2] = { 0 }, bytes[2] = { 0 };
    static const enum block_op op[] = { BLOCK_READ, BLOCK_WRITE };
    for (unsigned i = 0; i < NVME_NAMESPACES; i++) {
        for (unsigned k = 0; s->ns[i].block && k < ARRAY_SIZE(op); k++) {
            ops[k] += s->ns[i].block->stats.ops[op[k]];
            bytes[k] += s->ns[i].block->stats.bytes[op[k]];
        }
    }
    bool limit = NVME_TEMPERATURE >= s->features.too_hot || NVME_TEMPERATURE <= s->features.too_cold;
    p[0] = limit ? 0x2 : 0;
    le16_put(p + 1, NVME_TEMPERATURE);
    p[3] = 100; /* per cent of spare, below which one should worry */
    p[4] = 10;
    for (unsigned k = 0; k < ARRAY_SIZE(op); k++) {
        uint64_t units = bytes[k] / NUMBERS_PER_UNIT + (bytes[k] % NUMBERS_PER_UNIT > 0);
        le64_put(p + 32 + (size_t)16 * k, units);
        le64_put(p + 64 + (size_t)16 * k, ops[k]);
    }
    le64_put(p + 112, 1); /* power cycles */
    le64_put(p + 128, loop_now(s->loop) / (3600 * NS_PER_S));
}

/* There is one firmware and it is in slot 1 [NVMe 5.14.1.3]. */
static void put_firmware(uint8_t *p)
{
    p[0] = 1;
    put_firmware_rev(p + FIRMWARE_SLOT_1);
}

/* No command error is logged and no namespace ever changes: these pages are zeros. */
static uint16_t make_page(const struct nvme *s, uint8_t id, uint8_t *data, uint32_t *bytes)
{
    switch (id) {
    case LOG_ERRORS: *bytes = ERROR_ENTRIES * ERROR_ENTRY_BYTES; return NVME_OK;
    case LOG_HEALTH:
        *bytes = HEALTH_BYTES;
        put_health(s, data);
        return NVME_OK;
    case LOG_FIRMWARE:
        *bytes = FIRMWARE_BYTES;
        put_firmware(data);
        return NVME_OK;
    case LOG_CHANGED_NAMESPACES: *bytes = IDENTIFY_BYTES; return NVME_OK;
    }
    return NVME_BAD_LOG_PAGE;
}

uint16_t nvme_log_page(struct nvme *s, const struct nvme_sqe *sqe)
{
    uint8_t data[IDENTIFY_BYTES] = { 0 };
    uint32_t bytes;
    uint64_t off = sqe->dw[12] | (uint64_t)sqe->dw[13] << 32;
    uint64_t len = 4 * ((sqe->dw[10] >> 16 | (uint64_t)(sqe->dw[11] & 0xffff) << 16) + 1);
    uint16_t status = make_page(s, (uint8_t)sqe->dw[10], data, &bytes);
    if (status != NVME_OK)
        return status;
    if (off % 4 || off >= bytes || len > NVME_MAX_TRANSFER)
        return NVME_BAD_FIELD;
    status = nvme_prps_load(s, &s->admin_prps, sqe->prp1, sqe->prp2, len);
    if (status == NVME_OK)
        status = nvme_prps_write(s, &s->admin_prps, 0, data + off, (size_t)min_u64(len, bytes - off));
    if (status == NVME_OK && (uint8_t)sqe->dw[10] == LOG_ERRORS && !(sqe->dw[10] & LOG_KEEPS_EVENT))
        nvme_events_read(s);
    return status;
}
