/*
 * System control port A: fast A20 (no effect: the guest's A20 is always on) and fast reset.
 * Source: IBM PS/2 Hardware Interface Technical Reference, System Control Port A; Intel 82371SB, order 290550, P92.
 */
#ifndef THINDM_PORT92_H
#define THINDM_PORT92_H

#include <thindm/hv.h>

struct bus;
struct device;

struct port92_config {
    const char *id;
    struct bus *ports;
    /* The guest asked for a reset: called before the port write returns. May be NULL. */
    void (*power)(void *opaque, enum hv_shutdown reason);
    void *opaque;
};

/* Claim port 92. 0, -ENOMEM, -EEXIST (port taken; nothing is left behind). */
int port92_create(const struct port92_config *config, struct device **out) WARN_UNUSED;

#endif
