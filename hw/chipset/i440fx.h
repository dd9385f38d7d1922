/*
 * The 440FX host bridge, PCI function 00:00.0, with the configuration ports cf8-cff.
 * Source: Intel 82441FX, order 290549; PCI 3.0, 3.2.2.3.
 */
#ifndef THINDM_I440FX_H
#define THINDM_I440FX_H

#include <thindm/util.h>

struct bus;
struct device;
struct pci_bus;

struct i440fx_config {
    const char *id;
    struct bus *ports;
    struct pci_bus *pci; /* the function goes to devfn 0; cf8/cfc reach the configuration space of all functions */
    uint64_t ram_bytes;  /* all of the guest's RAM: register 57 tells it in units of 8 MiB */
};

/*
 * Put the bridge at 00:00.0 and claim ports cf8-cff. Keeps config->ports and config->pci, owns nothing of them.
 * 0, -ENOMEM, -EEXIST (slot or ports taken; nothing is left behind). Calls nobody back.
 */
int i440fx_create(const struct i440fx_config *config, struct device **out) WARN_UNUSED;

/*
 * Byte port cf9 lies between the bytes of cf8 but is the south bridge's reset control register: a one-byte access there
 * goes to these functions. NULL for both: nobody's (ones). dev comes from i440fx_create(). Used by piix3_create().
 * Source: Intel 82371SB, order 290550, RC.
 */
void i440fx_bind_reset_control(struct device *dev, uint8_t (*read)(void *opaque),
                               void (*write)(void *opaque, uint8_t val), void *opaque);

#endif
