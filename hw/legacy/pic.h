/*
 * The two 8259A interrupt controllers of a PC, the second on input 2 of the first, with the edge/level control
 * registers. Source: Intel 8259A, order 231468; Intel 82371SB (PIIX3), order 290550, ELCR1 and ELCR2.
 */
#ifndef THINDM_PIC_H
#define THINDM_PIC_H

#include <thindm/irq.h>
#include <thindm/util.h>

struct bus;
struct device;

enum { PIC_LINES = 16, PIC_CASCADE = 2 };

struct pic_config {
    const char *id;
    struct bus *ports;
    struct irq intr; /* the processor's INTR pin */
    /* The guest changed what pic_masks() says; called from the port write. May be NULL. */
    void (*masks_changed)(void *opaque);
    /* The guest is about to see the requests: a driver that lags behind can set its input now. May be NULL. */
    void (*looking)(void *opaque);
    void *opaque;
};

/* Claim ports 20-21, a0-a1, 4d0-4d1. 0, -ENOMEM, -EEXIST (ports taken; nothing is left behind). Calls nobody back. */
int pic_create(const struct pic_config *config, struct device **out) WARN_UNUSED;

/* A driver of input 0-15; one per input, sharers are the caller's to merge. Input 2 is the cascade: its level is
 * ignored. */
struct irq pic_input(struct device *dev, unsigned line);
/* The present level of input 0-15. */
bool pic_level(const struct device *dev, unsigned line);

/*
 * The processor's interrupt acknowledge cycle: the vector 0-255. Without a request the answer is the spurious one,
 * input
 * 7. May change intr. Source: 8259A, Interrupt Sequence.
 */
uint8_t pic_acknowledge(struct device *dev);

/* Bit per line: masked, its own or by the cascade. */
uint16_t pic_masks(const struct device *dev);

#endif
