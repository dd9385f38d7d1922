/*
 * CMOS RAM behind the clock. The hypervisor keeps index and data below 0e and passes the rest on, so what this device
 * holds there is never asked for. No checksum: neither firmware looks at 2e-2f.
 * Source: Motorola MC146818A for the two ports; the bytes: SeaBIOS src/hw/rtc.h and the PC/AT BIOS data they come from.
 */
#include "cmos.h" /* struct cmos_config, cmos_create(), cmos_set(), cmos_get() */

#include <errno.h>
#include <string.h>
#include <thindm/bus.h>
#include <thindm/device.h>

enum { PORT = 0x70, NR_PORTS = 2, INDEX = 0, INDEX_MASK = 0x7f }; /* bit 7 of the index port gates NMI */
enum { FLOPPY_TYPES = 0x10, DISK_TYPES = 0x12, EQUIPMENT = 0x14, DISK0_TYPE = 0x19, DISK0 = 0x1b, DISK1 = 0x24, TRANSLATION = 0x39 };
enum { BASE_KIB = 0x15, EXTENDED_KIB = 0x17, EXTENDED_KIB_2 = 0x30, ABOVE_16M = 0x34, ABOVE_4G = 0x5b };
enum { CENTURY = 0x32, CENTURY_PS2 = 0x37, BOOT_THIRD = 0x38, BOOT_FIRST_TWO = 0x3d, CPUS_LESS_ONE = 0x5f };
enum { EQUIPMENT_FLOPPY = 0x01, EQUIPMENT_FPU = 0x02, EQUIPMENT_MOUSE = 0x04, EQUIPMENT_TWO_FLOPPIES = 0x40 };
enum { DISK_TYPE_USER = 47, DISK_MANY_HEADS = 0x08, DISK_NO_RETRY = 0xc0 };

struct cmos {
    struct device dev;
    struct bus_region region;
    /* Guest-visible state. */
    uint8_t index, data[CMOS_BYTES];
};

static const struct snap_field cmos_fields[] = {
    SNAP(struct cmos, index),
    SNAP_ARRAY(struct cmos, data),
    SNAP_END,
};

/* The century has two places, one for PS/2 firmware. */
static unsigned canonical(unsigned index)
{
    return index == CENTURY_PS2 ? CENTURY : index;
}

void cmos_set(struct device *dev, unsigned index, uint8_t val)
{
    struct cmos *s = container_of(dev, struct cmos, dev);
    if (index >= CMOS_FIRST && index < CMOS_BYTES)
        s->data[canonical(index)] = val;
}

uint8_t cmos_get(const struct device *dev, unsigned index)
{
    const struct cmos *s = container_of(dev, struct cmos, dev);
    return index >= CMOS_FIRST && index < CMOS_BYTES ? s->data[canonical(index)] : 0xff;
}

static uint64_t cmos_read(void *opaque, uint64_t off, unsigned size)
{
    const struct cmos *s = opaque;
    return off == INDEX ? 0xff : cmos_get(&s->dev, s->index); /* the index port is write-only */
}

static void cmos_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct cmos *s = opaque;
    if (off == INDEX)
        s->index = val & INDEX_MASK;
    else
        cmos_set(&s->dev, s->index, (uint8_t)val);
}

static void put16(uint8_t *data, unsigned index, uint64_t val)
{
    le16_put(data + index, (uint16_t)min_u64(val, 0xffff));
}

static void fill_memory(uint8_t *data, uint64_t below_4g, uint64_t above_4g)
{
    put16(data, BASE_KIB, 640);
    uint64_t extended = below_4g > MIB ? (below_4g - MIB) / KIB : 0;
    put16(data, EXTENDED_KIB, extended);
    put16(data, EXTENDED_KIB_2, extended);
    put16(data, ABOVE_16M, below_4g > 16 * MIB ? (below_4g - 16 * MIB) / (64 * KIB) : 0);
    le_put(data + ABOVE_4G, 3, min_u64(above_4g / (64 * KIB), 0xffffff));
}

static uint8_t boot_code(char letter)
{
    switch (letter) {
    case 'a':
    case 'b': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
    }
}

/* Nibbles: 3d low, 3d high, 38 high; 0 ends the list. Bit 0 of 38 stays 0: floppies must have a boot signature. */
static void fill_boot(uint8_t *data, const char *order)
{
    uint8_t codes[CMOS_MAX_BOOT] = { 0 };
    unsigned n = 0;
    for (; order && *order && n < CMOS_MAX_BOOT; order++) {
        if (boot_code(*order) != 0)
            codes[n++] = boot_code(*order);
    }
    data[BOOT_FIRST_TWO] = (uint8_t)(codes[0] | codes[1] << 4);
    data[BOOT_THIRD] = (uint8_t)(codes[2] << 4);
}

/* The disk type of the first two drives: cylinders, heads, no precompensation, control, landing zone, sectors. */
static void fill_disk(uint8_t *data, unsigned unit, const struct cmos_drive *drive)
{
    uint8_t *to = data + (unit == 0 ? DISK0 : DISK1);
    data[DISK_TYPES] |= unit == 0 ? 0xf0 : 0x0f;
    data[DISK0_TYPE + unit] = DISK_TYPE_USER;
    le16_put(to, (uint16_t)drive->cylinders);
    to[2] = (uint8_t)drive->heads;
    le16_put(to + 3, 0xffff);
    to[5] = DISK_NO_RETRY | (drive->heads > 8 ? DISK_MANY_HEADS : 0);
    le16_put(to + 6, (uint16_t)drive->cylinders);
    to[8] = (uint8_t)drive->sectors;
}

/* Firmware counts the drives by the one and tells their kinds by the other. */
static void fill_floppies(uint8_t *data, const uint8_t types[CMOS_NR_FLOPPIES])
{
    data[FLOPPY_TYPES] = (uint8_t)(types[0] << 4 | types[1]);
    if (types[0] || types[1])
        data[EQUIPMENT] |= EQUIPMENT_FLOPPY;
    if (types[0] && types[1])
        data[EQUIPMENT] |= EQUIPMENT_TWO_FLOPPIES;
}

void cmos_fill(const struct cmos_config *config, uint8_t data[CMOS_BYTES])
{
    memset(data, 0, CMOS_BYTES);
    fill_memory(data, config->ram_below_4g_bytes, config->ram_above_4g_bytes);
    fill_boot(data, config->boot_order);
    for (unsigned i = 0; i < CMOS_NR_DRIVES; i++) {
        const struct cmos_drive *drive = &config->drives[i];
        if (drive->cylinders == 0)
            continue;
        if (i < 2)
            fill_disk(data, i, drive);
        data[TRANSLATION] |= (uint8_t)((drive->translation & 3) << 2 * i);
    }
    data[EQUIPMENT] = EQUIPMENT_FPU | EQUIPMENT_MOUSE;
    fill_floppies(data, config->floppies);
    data[CENTURY] = (uint8_t)(config->century / 10 % 10 << 4 | config->century % 10); /* BCD */
    data[CPUS_LESS_ONE] = (uint8_t)(min_u64(config->vcpus, 256) - 1);
}

static void cmos_reset(struct device *dev)
{
    struct cmos *s = container_of(dev, struct cmos, dev);
    s->index = 0;
}

static int cmos_restored(struct device *dev)
{
    struct cmos *s = container_of(dev, struct cmos, dev);
    return s->index & ~INDEX_MASK ? -EINVAL : 0;
}

static void cmos_unplug(struct device *dev)
{
    struct cmos *s = container_of(dev, struct cmos, dev);
    bus_detach(&s->region);
}

static const struct bus_ops cmos_ops = { cmos_read, cmos_write, .sizes = BUS_1 };
static const struct device_desc cmos_desc = {
    .name = "cmos",
    .version = 1,
    .keeps_s3 = true,
    .fields = cmos_fields,
    .restored = cmos_restored,
    .reset = cmos_reset,
    .unplug = cmos_unplug,
};

int cmos_create(const struct cmos_config *config, struct device **out)
{
    struct cmos *s = device_new(&cmos_desc, config->id, sizeof(*s));
    if (!s)
        return -ENOMEM;
    int err = bus_attach(config->ports, &s->region, &cmos_ops, s, PORT, NR_PORTS);
    if (err) {
        device_free(&s->dev);
        return err;
    }
    cmos_fill(config, s->data);
    *out = &s->dev;
    return 0;
}
