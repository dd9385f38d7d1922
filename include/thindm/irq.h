/*
 * Interrupt lines. A device holds a struct irq by value and sets its level; the board's struct irq_board merges
 * sharers and tells the hypervisor only when a wire really changes.
 */
#ifndef THINDM_IRQ_H
#define THINDM_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct hv;

enum { IRQ_ISA_LINES = 16, IRQ_PCI_SLOTS = 32, IRQ_PCI_PINS = 4 };

/* wire: number in the sink's own numbering. */
typedef void irq_fn(void *opaque, unsigned wire, bool level);

/* One driver of a wire. A zeroed struct irq is connected to nothing. Copy it only while its level is low. */
struct irq {
    irq_fn *fn;
    void *opaque;
    unsigned wire;
    bool level;
};

/* Costs nothing when the level is unchanged. */
static inline void irq_set(struct irq *irq, bool level)
{
    if (level == irq->level)
        return;
    irq->level = level;
    if (irq->fn)
        irq->fn(irq->opaque, irq->wire, level);
}

/* Counts the drivers of each wire: ISA lines 0-15 first, then INTx wires 16 + 4 * slot + pin. */
struct irq_board {
    struct hv *hv;
    uint16_t asserted[IRQ_ISA_LINES + IRQ_PCI_SLOTS * IRQ_PCI_PINS];
};

/* hv must outlive the board. All wires low. */
void irq_board_init(struct irq_board *board, struct hv *hv);
/* A driver of ISA line 0-15. */
struct irq irq_isa(struct irq_board *board, unsigned line);
/* A driver of pin 0-3 (INTA-INTD) of the device in slot 0-31 of bus 0. Functions of one device share the wire. */
struct irq irq_intx(struct irq_board *board, unsigned slot, unsigned pin);
/*
 * Send the wire's present level to the hypervisor again, low to high if it is high: Xen's power management block drives the
 * bit of line 9 too and may have dropped it.
 */
void irq_refresh(const struct irq *irq);
/* Tell the hypervisor the level of every wire, both 0 and 1 (after a restore). */
void irq_board_sync(struct irq_board *board);

#endif
