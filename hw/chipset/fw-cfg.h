/*
 * QEMU's firmware configuration device: named and numbered bytes for firmware and test clients, by port or by DMA.
 * Source: QEMU docs/specs/fw_cfg.
 */
#ifndef THINDM_FW_CFG_H
#define THINDM_FW_CFG_H

#include <thindm/loop.h>
#include <thindm/util.h>

struct bus;
struct device;
struct mem;

enum { FW_CFG_MAX_FILES = 64, FW_CFG_NAME_BYTES = 56 };
/* Keys of a PC that a machine fills; integers are little-endian. 0, 1 and 19 are the device's own. */
enum {
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_BYTES = 0x03, /* 8 bytes */
    FW_CFG_VCPUS = 0x05,     /* 2 bytes */
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_VCPUS = 0x0f, /* 2 bytes */
    FW_CFG_FIRST_FILE = 0x20,
    FW_CFG_ARCH = 0x8000,
};

/* len bytes at data, the machine's; they outlive the device and never change. */
struct fw_cfg_item {
    uint16_t key;
    const void *data;
    uint32_t len;
};

struct fw_cfg_file {
    const char *name; /* shorter than FW_CFG_NAME_BYTES */
    const void *data;
    uint32_t len;
};

struct fw_cfg_config {
    const char *id;
    struct loop *loop;
    struct bus *ports;
    struct mem *mem; /* NULL: no DMA */
    const struct fw_cfg_item *items;
    const struct fw_cfg_file *files; /* get the keys from FW_CFG_FIRST_FILE on, in order */
    unsigned nr_items, nr_files;
};

/*
 * Claim ports 510-511 and, with DMA, 514-51b. Copies the tables, not the bytes. 0, -ENOMEM, -EINVAL (a key of the
 * device's own or of a file, twice the same key, too many or too long names), -EEXIST (ports taken; nothing is left
 * behind). Calls nobody back.
 */
int fw_cfg_create(const struct fw_cfg_config *config, struct device **out) WARN_UNUSED;

#endif
