/* Interrupt lines: see irq.h. A wire is high while at least one of its drivers is. */
#include <thindm/irq.h>

#include <assert.h>
#include <thindm/hv.h>
#include <thindm/util.h>

static void send(struct irq_board *board, unsigned wire, bool level)
{
    struct hv *hv = board->hv;
    /* A refused level (the domain is going away) has nobody left to tell. */
    if (wire < IRQ_ISA_LINES)
        (void)hv->ops->isa_irq(hv, wire, level);
    else
        (void)hv->ops->pci_intx(hv, (wire - IRQ_ISA_LINES) / IRQ_PCI_PINS, (wire - IRQ_ISA_LINES) % IRQ_PCI_PINS,
                                level);
}

static void driver_changed(void *opaque, unsigned wire, bool level)
{
    struct irq_board *board = opaque;
    if (level) {
        if (board->asserted[wire]++ == 0)
            send(board, wire, true);
    } else {
        assert(board->asserted[wire] > 0);
        if (--board->asserted[wire] == 0)
            send(board, wire, false);
    }
}

void irq_board_init(struct irq_board *board, struct hv *hv)
{
    *board = (struct irq_board){ .hv = hv };
}

struct irq irq_isa(struct irq_board *board, unsigned line)
{
    assert(line < IRQ_ISA_LINES);
    return (struct irq){ .fn = driver_changed, .opaque = board, .wire = line };
}

struct irq irq_intx(struct irq_board *board, unsigned slot, unsigned pin)
{
    assert(slot < IRQ_PCI_SLOTS && pin < IRQ_PCI_PINS);
    return (struct irq){ .fn = driver_changed, .opaque = board, .wire = IRQ_ISA_LINES + slot * IRQ_PCI_PINS + pin };
}

void irq_refresh(const struct irq *irq)
{
    if (irq->fn != driver_changed) /* not on a board: nobody else drives it */
        return;
    struct irq_board *board = irq->opaque;
    send(board, irq->wire, false);
    if (board->asserted[irq->wire] > 0)
        send(board, irq->wire, true);
}

void irq_board_sync(struct irq_board *board)
{
    for (unsigned wire = 0; wire < ARRAY_SIZE(board->asserted); wire++)
        send(board, wire, board->asserted[wire] > 0);
}
