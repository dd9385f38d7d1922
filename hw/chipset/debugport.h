/*
 * The firmware's debug ports: bytes written to 402 are text, and reads of 402 and e9 give e9, "somebody listens".
 * Source: OvmfPkg/README of EDK II (debug port); the Bochs e9 convention.
 */
#ifndef THINDM_DEBUGPORT_H
#define THINDM_DEBUGPORT_H

#include <thindm/util.h>

struct bus;
struct chr;
struct device;

struct debugport_config {
    const char *id;
    struct bus *ports;
    struct chr *chr; /* gets the bytes as they are; NULL: they become log lines, within the device's budget */
};

/*
 * Claim ports e9 and 402. Takes config->chr on success only. 0, -ENOMEM, -EEXIST (ports taken; nothing is left
 * behind). On Xen one-byte writes to e9 never come here: Xen prints them itself.
 */
int debugport_create(const struct debugport_config *config, struct device **out) WARN_UNUSED;

#endif
