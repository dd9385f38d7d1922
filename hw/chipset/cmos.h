/*
 * The device model's share of the CMOS RAM: bytes 0e-7f behind ports 70 and 71; the clock, 00-0d, is the hypervisor's.
 * Source: Motorola MC146818A; the bytes are those of the PC/AT BIOS as SeaBIOS and hvmloader read them.
 */
#ifndef THINDM_CMOS_H
#define THINDM_CMOS_H

#include <thindm/util.h>

struct bus;
struct device;

enum { CMOS_BYTES = 128, CMOS_FIRST = 0x0e, CMOS_NR_DRIVES = 4, CMOS_NR_FLOPPIES = 2, CMOS_MAX_BOOT = 3 };
enum { CMOS_SHUTDOWN_STATUS = 0x0f, CMOS_RESUME_FROM_S3 = 0xfe };

/* An IDE hard disk as the BIOS sees it. A CD-ROM or nothing is all zeros. */
struct cmos_drive {
    uint32_t cylinders, heads, sectors; /* at most 65535, 255, 255; cylinders 0: no hard disk */
    uint8_t translation;                /* 0 none, 1 LBA, 2 large, 3 R-ECHS */
};

struct cmos_config {
    const char *id;
    struct bus *ports;
    uint64_t ram_below_4g_bytes, ram_above_4g_bytes;
    const char *boot_order;                   /* letters a b c d n, of which three count; NULL: none */
    struct cmos_drive drives[CMOS_NR_DRIVES]; /* primary master, slave, secondary master, slave */
    uint8_t floppies[CMOS_NR_FLOPPIES];       /* types: 2 is 1.2 MB, 4 1.44 MB, 5 2.88 MB; 0: no drive */
    unsigned vcpus;                           /* at start, at least 1 */
    unsigned century;                         /* 19, 20 ... 99: the year / 100 */
};

/* Claim ports 70-71, fill the bytes. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int cmos_create(const struct cmos_config *config, struct device **out) WARN_UNUSED;

/* The bytes 0e-7f that config asks for, 00-0d zero: for a model of the whole chip. */
void cmos_fill(const struct cmos_config *config, uint8_t data[CMOS_BYTES]);

/* A byte 0e-7f as the guest sees it; others are ignored and read ff. Bytes survive a reset: they have a battery. */
void cmos_set(struct device *dev, unsigned index, uint8_t val);
uint8_t cmos_get(const struct device *dev, unsigned index);

#endif
