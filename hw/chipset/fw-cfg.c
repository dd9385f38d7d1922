/*
 * fw_cfg over constant bytes: nothing can be written, neither by port nor by DMA. DMA is done when the port write
 * returns, but for a long one, which goes on from a task; its descriptor shows when it is over, as the protocol demands
 * anyway. Source: QEMU docs/specs/fw_cfg, [FW name] is its section.
 */
#include "fw-cfg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/bus.h>
#include <thindm/device.h>
#include <thindm/mem.h>

enum { PORT = 0x510, NR_PORTS = 2, SELECTOR = 0, DATA = 1, DMA_PORT = 0x514, NR_DMA_PORTS = 8, DMA_LOW = 4 };
enum { SIGNATURE_KEY = 0x00, ID_KEY = 0x01, DIRECTORY_KEY = 0x19, WRITE_CHANNEL = 0x4000 };
enum { ID_PORTS = 1, ID_DMA = 2 };
/* A directory entry: size, key, reserved, name [FW File Directory]. */
enum { ENTRY_BYTES = 64, ENTRY_KEY = 4, ENTRY_NAME = 8, COUNT_BYTES = 4, NR_OWN = 3 };
/* The descriptor of a transfer [FW DMA Interface]: control, length, address; all big-endian. */
enum { DESCRIPTOR_BYTES = 16, AT_LENGTH = 4, AT_ADDRESS = 8, CONTROL_KEY_SHIFT = 16 };
enum { CONTROL_ERROR = 0x01, CONTROL_READ = 0x02, CONTROL_SKIP = 0x04, CONTROL_SELECT = 0x08, CONTROL_WRITE = 0x10 };
enum { BUDGET_BYTES = 4 << 20, ZERO_BYTES = 4096 }; /* of a transfer at once */
static const char dma_signature[NR_DMA_PORTS + 1] = "QEMU CFG";

struct fw_cfg {
    struct device dev;
    struct bus_region region, dma_region;
    struct mem *mem;
    struct task task;
    struct fw_cfg_item *items; /* the device's own, the machine's, the files */
    unsigned nr_items;
    uint8_t *directory;
    uint8_t id_bytes[4];
    struct fw_cfg_item now; /* the selected one; len 0: none such */
    /* Guest-visible state. */
    uint16_t key;
    uint32_t offset;   /* into the selected bytes, at most their length */
    uint32_t dma_high; /* high half of the descriptor's address, until the low one comes */
    bool busy;         /* a transfer goes on from the task */
    uint64_t descriptor, dma_to;
    uint32_t dma_left;
};

static const struct snap_field fw_cfg_fields[] = {
    SNAP(struct fw_cfg, key),        SNAP(struct fw_cfg, offset),
    SNAP(struct fw_cfg, dma_high),   SNAP(struct fw_cfg, busy),
    SNAP(struct fw_cfg, descriptor), SNAP(struct fw_cfg, dma_to),
    SNAP(struct fw_cfg, dma_left),   SNAP_END,
};

/* The bytes of a key; an unknown one has none [FW Selector Register]. */
static struct fw_cfg_item find(const struct fw_cfg *s, uint16_t key)
{
    for (unsigned i = 0; i < s->nr_items; i++) {
        if (s->items[i].key == (key & (uint16_t)~WRITE_CHANNEL))
            return s->items[i];
    }
    return (struct fw_cfg_item){ .key = key };
}

static void select_key(struct fw_cfg *s, uint16_t key)
{
    s->key = key;
    s->offset = 0;
    s->now = find(s, key);
}

/* The next len bytes, then zeros [FW Data Register]. */
static void take(struct fw_cfg *s, uint8_t *buf, size_t len)
{
    size_t there = min_u64(len, s->now.len - s->offset);
    if (there > 0)
        memcpy(buf, (const uint8_t *)s->now.data + s->offset, there);
    memset(buf + there, 0, len - there);
    s->offset += (uint32_t)there;
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    struct fw_cfg *s = opaque;
    uint8_t byte;
    if (off != DATA || size != 1)
        return all_ones(size); /* the selector can't be read */
    take(s, &byte, 1);
    return byte;
}

/* REP INSB: firmware loads kernels so. */
static size_t data_read_block(void *opaque, uint64_t off, unsigned size, void *buf, size_t count)
{
    struct fw_cfg *s = opaque;
    if (off != DATA || size != 1)
        return 0;
    take(s, buf, count);
    return count;
}

static void data_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct fw_cfg *s = opaque;
    if (off == SELECTOR && size == 2)
        select_key(s, (uint16_t)val);
}

static void finish_dma(struct fw_cfg *s, uint32_t control)
{
    uint8_t bytes[4];
    s->busy = false;
    s->dma_left = 0;
    be32_put(bytes, control);
    if (mem_write(s->mem, s->descriptor, bytes, sizeof(bytes)))
        log_guest(&s->dev, "the end of a transfer at %llx can't be shown: no memory there",
                  (unsigned long long)s->descriptor);
}

/* Copy within the budget; the rest, if any, is the task's. Only RAM is reached: no device is entered from here. */
static void run_dma(void *opaque)
{
    struct fw_cfg *s = opaque;
    static const uint8_t zeros[ZERO_BYTES];
    for (uint32_t budget = BUDGET_BYTES; s->dma_left > 0 && budget > 0;) {
        uint32_t there = s->now.len - s->offset;
        uint32_t len = (uint32_t)min_u64(min_u64(s->dma_left, budget), there > 0 ? there : ZERO_BYTES);
        const uint8_t *from = there > 0 ? (const uint8_t *)s->now.data + s->offset : zeros;
        if (mem_write(s->mem, s->dma_to, from, len)) {
            finish_dma(s, CONTROL_ERROR);
            return;
        }
        s->offset += there > 0 ? len : 0;
        s->dma_to += len;
        s->dma_left -= len;
        budget -= len;
    }
    s->busy = s->dma_left > 0;
    if (s->busy)
        task_post(&s->task);
    else
        finish_dma(s, 0);
}

static void start_dma(struct fw_cfg *s)
{
    uint8_t d[DESCRIPTOR_BYTES];
    if (mem_read(s->mem, s->descriptor, d, sizeof(d))) {
        log_guest(&s->dev, "no memory at %llx for the descriptor of a transfer; ignored",
                  (unsigned long long)s->descriptor);
        return;
    }
    uint32_t control = be32_get(d), len = be32_get(d + AT_LENGTH);
    if (control & CONTROL_SELECT)
        select_key(s, (uint16_t)(control >> CONTROL_KEY_SHIFT));
    if (control & CONTROL_READ) {
        s->dma_left = len;
        s->dma_to = (uint64_t)be32_get(d + AT_ADDRESS) << 32 | be32_get(d + AT_ADDRESS + 4);
        run_dma(s);
    } else if (control & CONTROL_WRITE) {
        finish_dma(s, CONTROL_ERROR); /* nothing here can be written */
    } else {
        if (control & CONTROL_SKIP)
            s->offset += (uint32_t)min_u64(len, s->now.len - s->offset);
        finish_dma(s, 0);
    }
}

static uint64_t dma_read(void *opaque, uint64_t off, unsigned size)
{
    return le_get(dma_signature + off, size);
}

/* The address is big-endian, high half first; the low half starts. 4 bytes each. */
static void dma_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct fw_cfg *s = opaque;
    uint8_t bytes[4];
    if (size != 4 || off % 4 != 0 || s->busy)
        return;
    le32_put(bytes, (uint32_t)val);
    if (off != DMA_LOW) {
        s->dma_high = be32_get(bytes);
        return;
    }
    s->descriptor = (uint64_t)s->dma_high << 32 | be32_get(bytes);
    s->dma_high = 0;
    start_dma(s);
}

static void fw_cfg_reset(struct device *dev)
{
    struct fw_cfg *s = container_of(dev, struct fw_cfg, dev);
    task_cancel(&s->task);
    select_key(s, SIGNATURE_KEY);
    s->dma_high = s->dma_left = 0;
    s->descriptor = s->dma_to = 0;
    s->busy = false;
}

static int fw_cfg_restored(struct device *dev)
{
    struct fw_cfg *s = container_of(dev, struct fw_cfg, dev);
    s->now = find(s, s->key);
    if (s->offset > s->now.len || s->busy != (s->dma_left > 0) || (s->busy && !s->mem))
        return -EINVAL;
    if (s->busy)
        task_post(&s->task);
    return 0;
}

static void fw_cfg_unplug(struct device *dev)
{
    struct fw_cfg *s = container_of(dev, struct fw_cfg, dev);
    bus_detach(&s->region);
    bus_detach(&s->dma_region);
    task_cancel(&s->task);
    s->busy = false;
}

static void fw_cfg_destroy(struct device *dev)
{
    struct fw_cfg *s = container_of(dev, struct fw_cfg, dev);
    free(s->items);
    free(s->directory);
}

static const struct bus_ops data_ops = {
    .read = data_read,
    .write = data_write,
    .sizes = BUS_1 | BUS_2,
    .read_block = data_read_block,
};
static const struct bus_ops dma_ops = { dma_read, dma_write, .sizes = BUS_1 | BUS_2 | BUS_4 };
static const struct device_desc fw_cfg_desc = {
    .name = "fw-cfg",
    .version = 1,
    .fields = fw_cfg_fields,
    .restored = fw_cfg_restored,
    .reset = fw_cfg_reset,
    .unplug = fw_cfg_unplug,
    .destroy = fw_cfg_destroy,
};

static bool add_item(struct fw_cfg *s, uint16_t key, const void *data, uint32_t len)
{
    if ((key & WRITE_CHANNEL) || find(s, key).data)
        return false;
    s->items[s->nr_items++] = (struct fw_cfg_item){ key, data, len };
    return true;
}

static int add_files(struct fw_cfg *s, const struct fw_cfg_config *config)
{
    be32_put(s->directory, config->nr_files);
    for (unsigned i = 0; i < config->nr_files; i++) {
        const struct fw_cfg_file *file = &config->files[i];
        uint8_t *entry = s->directory + COUNT_BYTES + (size_t)ENTRY_BYTES * i;
        uint16_t key = (uint16_t)(FW_CFG_FIRST_FILE + i);
        size_t name_len = strlen(file->name);
        if (name_len >= FW_CFG_NAME_BYTES || !add_item(s, key, file->len ? file->data : "", file->len))
            return -EINVAL;
        be32_put(entry, file->len);
        be16_put(entry + ENTRY_KEY, key);
        memcpy(entry + ENTRY_NAME, file->name, name_len);
    }
    return 0;
}

static int fill(struct fw_cfg *s, const struct fw_cfg_config *config)
{
    uint32_t directory_bytes = COUNT_BYTES + ENTRY_BYTES * config->nr_files;
    s->items = calloc((size_t)NR_OWN + config->nr_items + config->nr_files, sizeof(*s->items));
    s->directory = calloc(1, directory_bytes);
    if (!s->items || !s->directory)
        return -ENOMEM;
    le32_put(s->id_bytes, ID_PORTS | (config->mem ? ID_DMA : 0));
    bool ok = add_item(s, SIGNATURE_KEY, "QEMU", 4) && add_item(s, ID_KEY, s->id_bytes, sizeof(s->id_bytes)) &&
              add_item(s, DIRECTORY_KEY, s->directory, directory_bytes);
    for (unsigned i = 0; ok && i < config->nr_items; i++)
        ok = add_item(s, config->items[i].key, config->items[i].len ? config->items[i].data : "", config->items[i].len);
    return ok ? add_files(s, config) : -EINVAL;
}

int fw_cfg_create(const struct fw_cfg_config *config, struct device **out)
{
    if (config->nr_files > FW_CFG_MAX_FILES)
        return -EINVAL;
    struct fw_cfg *s = device_new(&fw_cfg_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->mem = config->mem;
    task_init(&s->task, config->loop, run_dma, s);
    int err = fill(s, config);
    if (!err)
        err = bus_attach(config->ports, &s->region, &data_ops, s, PORT, NR_PORTS);
    if (!err && s->mem)
        err = bus_attach(config->ports, &s->dma_region, &dma_ops, s, DMA_PORT, NR_DMA_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    select_key(s, SIGNATURE_KEY);
    *out = &s->dev;
    return 0;
}
