/*
 * The 8254 interval timer of a PC and port 61: the gate of counter 2, the speaker, the refresh bit.
 * Source: Intel 8254, order 231164; Intel 82371SB (PIIX3), order 290550, NMISC.
 */
#ifndef THINDM_PIT_H
#define THINDM_PIT_H

#include <thindm/irq.h>
#include <thindm/loop.h>
#include <thindm/util.h>

struct bus;
struct device;

enum { PIT_HZ = 1193182, PIT_CHANNELS = 3 };

struct pit_config {
    const char *id;
    struct loop *loop;
    struct bus *ports;
    struct irq irq; /* OUT of counter 0 */
    /*
     * After a reset all counters run in mode 3 from 65536, as if firmware had been there (QEMU's machines, so its
     * tests). Otherwise they stand still until they are programmed.
     */
    bool counts_at_reset;
};

/* Claim ports 40-43 and 61. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int pit_create(const struct pit_config *config, struct device **out) WARN_UNUSED;

/*
 * Does anybody hear irq? At first yes. While not, no timer runs and irq lags behind; pit_update() brings it up to date,
 * with an edge if there was one.
 */
void pit_set_wanted(struct device *dev, bool wanted);
void pit_update(struct device *dev);

/* OUT of counter 0-2 now. */
bool pit_out(const struct device *dev, unsigned channel);

#endif
