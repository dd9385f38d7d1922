/* core/irq.c: sharing, and what reaches the hypervisor. */
#include "rig.h"

#include <stdio.h>
#include <string.h>

/* Every level that the hypervisor is told, in order. */
struct spy {
    struct hv hv;
    char trace[256];
    unsigned calls;
};

static void note(struct spy *spy, const char *format, unsigned a, unsigned b, bool level)
{
    size_t len = strlen(spy->trace);
    char line[32];
    (void)snprintf(line, sizeof(line), "%s%u.%u=%d ", format, a, b, level);
    if (len + strlen(line) < sizeof(spy->trace))
        memcpy(spy->trace + len, line, strlen(line) + 1);
    spy->calls++;
}

static int spy_isa(struct hv *hv, unsigned line, bool level)
{
    note(container_of(hv, struct spy, hv), "isa", line, 0, level);
    return -1; /* a refusal changes nothing */
}

static int spy_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    note(container_of(hv, struct spy, hv), "pci", slot, pin, level);
    return 0;
}

static const struct hv_ops spy_ops = { .isa_irq = spy_isa, .pci_intx = spy_intx };

struct fixture {
    struct spy spy;
    struct irq_board board;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){ .spy.hv.ops = &spy_ops };
    irq_board_init(&f.board, &f.spy.hv);
    *state = &f;
    return 0;
}

static void only_changes_are_told(void **state)
{
    struct fixture *f = *state;
    struct irq irq = irq_isa(&f->board, 4);
    irq_set(&irq, false);
    irq_set(&irq, true);
    irq_set(&irq, true);
    irq_set(&irq, false);
    irq_set(&irq, false);
    assert_string_equal(f->spy.trace, "isa4.0=1 isa4.0=0 ");
}

static void sharers_hold_the_wire_together(void **state)
{
    struct fixture *f = *state;
    struct irq a = irq_intx(&f->board, 31, 3), b = irq_intx(&f->board, 31, 3), other = irq_intx(&f->board, 3, 0);
    irq_set(&a, true);
    irq_set(&b, true);
    irq_set(&a, false);
    assert_string_equal(f->spy.trace, "pci31.3=1 ");
    irq_set(&other, true);
    irq_set(&b, false);
    assert_string_equal(f->spy.trace, "pci31.3=1 pci3.0=1 pci31.3=0 ");
}

static void unconnected_driver_is_harmless(void **state)
{
    struct irq nothing = { 0 };
    irq_set(&nothing, true);
    assert_true(nothing.level);
    irq_refresh(&nothing);
}

/* Xen's power management block may have dropped line 9 behind our back. */
static void refresh_makes_an_edge_of_a_high_wire(void **state)
{
    struct fixture *f = *state;
    struct irq a = irq_isa(&f->board, 9), b = irq_isa(&f->board, 9);
    irq_refresh(&a);
    assert_string_equal(f->spy.trace, "isa9.0=0 ");
    irq_set(&b, true);
    f->spy.trace[0] = '\0';
    irq_refresh(&a); /* a is low itself; the wire counts */
    assert_string_equal(f->spy.trace, "isa9.0=0 isa9.0=1 ");
}

static void sync_tells_every_wire(void **state)
{
    struct fixture *f = *state;
    struct irq a = irq_isa(&f->board, 0);
    irq_set(&a, true);
    f->spy.calls = 0;
    f->spy.trace[0] = '\0';
    irq_board_sync(&f->board);
    assert_int_equal(f->spy.calls, IRQ_ISA_LINES + IRQ_PCI_SLOTS * IRQ_PCI_PINS);
    assert_memory_equal(f->spy.trace, "isa0.0=1 isa1.0=0 ", 18);
}

static void rig_shows_wires_and_edges(void **state)
{
    struct rig *r = rig_new();
    struct irq a = irq_isa(&r->irqs, 14), b = irq_intx(&r->irqs, 2, 1), own = rig_irq(r);
    irq_set(&a, true);
    irq_set(&b, true);
    irq_set(&b, false);
    irq_set(&b, true);
    irq_set(&own, true);
    assert_true(r->wires[14] && r->wires[16 + 4 * 2 + 1] && r->level);
    assert_int_equal(r->wire_edges[16 + 4 * 2 + 1], 2);
    assert_int_equal(r->edges, 1);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(only_changes_are_told, setup),
        cmocka_unit_test_setup(sharers_hold_the_wire_together, setup),
        cmocka_unit_test_setup(unconnected_driver_is_harmless, setup),
        cmocka_unit_test_setup(refresh_makes_an_edge_of_a_high_wire, setup),
        cmocka_unit_test_setup(sync_tells_every_wire, setup),
        cmocka_unit_test_setup(rig_shows_wires_and_edges, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
