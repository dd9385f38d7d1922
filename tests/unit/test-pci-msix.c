/* core/pci-msix.c: capability, table and pending bits of PCI 3.0, 6.8.2, and when a message is sent. */
#include "rig.h"

#include <errno.h>

enum { DEVFN = 5 << 3, CAP = 0x40, CONTROL = CAP + 2, VECTORS = 65, LAST = VECTORS - 1 };
enum { ENABLE = 0x8000, MASK_ALL = 0x4000 };

static const struct pci_desc desc = { .vendor = 0x1234, .device = 1, .pin = 1 };

struct toy {
    struct device dev;
    struct pci_func pci;
    struct pci_msix msix;
    uint32_t table[PCI_MSIX_TABLE_WORDS(VECTORS)], pending[PCI_MSIX_PENDING_WORDS(VECTORS)];
};

static const struct snap_field toy_fields[] = {
    SNAP_ARRAY(struct toy, pci.config),
    SNAP_ARRAY(struct toy, table),
    SNAP_ARRAY(struct toy, pending),
    SNAP_END,
};

static void toy_reset(struct device *dev)
{
    struct toy *toy = container_of(dev, struct toy, dev);
    pci_reset(&toy->pci);
    pci_msix_reset(&toy->msix);
}

static int toy_restored(struct device *dev)
{
    struct toy *toy = container_of(dev, struct toy, dev);
    int err = pci_restored(&toy->pci);
    return err ? err : pci_msix_restored(&toy->msix);
}

static void toy_unplug(struct device *dev)
{
    pci_detach(&container_of(dev, struct toy, dev)->pci);
}

static const struct device_desc toy_desc = {
    .name = "toy",
    .version = 1,
    .fields = toy_fields,
    .reset = toy_reset,
    .restored = toy_restored,
    .unplug = toy_unplug,
};

static void written(void *opaque, unsigned reg, unsigned size)
{
    struct toy *toy = opaque;
    pci_msix_config_written(&toy->msix);
}

static int plug(void **state)
{
    struct rig *r = *state = rig_new();
    struct toy *toy = device_new(&toy_desc, "toy", sizeof(*toy));
    assert_non_null(toy);
    r->dev = &toy->dev;
    toy->pci.opaque = toy;
    toy->pci.config_written = written;
    assert_int_equal(pci_attach(&toy->pci, &r->pci, DEVFN, &desc), 0);
    pci_msix_init(&toy->msix, &toy->pci, &r->hv,
                  &(struct pci_msix_config){ .cap = CAP,
                                             .table_bar = 2,
                                             .table_offset = 0x2000,
                                             .pending_bar = 4,
                                             .pending_offset = 0x3000,
                                             .vectors = VECTORS,
                                             .table = toy->table,
                                             .pending = toy->pending });
    return 0;
}

static struct pci_msix *msix_of(struct rig *r)
{
    return &container_of(r->dev, struct toy, dev)->msix;
}

static uint32_t in(struct rig *r, unsigned reg, unsigned size)
{
    return rig_cfg_read(r, DEVFN, reg, size);
}

static void control(struct rig *r, uint16_t val)
{
    rig_cfg_write(r, DEVFN, CONTROL, 2, val);
}

/* A vector's message: vector 0x40 + number, unmasked. */
static void program(struct rig *r, unsigned vector)
{
    pci_msix_table_write(msix_of(r), 16 * vector, 0xfee01000);
    pci_msix_table_write(msix_of(r), 16 * vector + 4, 0x100);
    pci_msix_table_write(msix_of(r), 16 * vector + 8, 0x4040 + vector);
    pci_msix_table_write(msix_of(r), 16 * vector + 12, 0);
}

static void mask(struct rig *r, unsigned vector, bool masked)
{
    pci_msix_table_write(msix_of(r), 16 * vector + 12, masked);
}

static bool pending(struct rig *r, unsigned vector)
{
    return pci_msix_pending_read(msix_of(r), vector / 32 * 4) >> (vector % 32) & 1;
}

static void capability_is_listed(void **state)
{
    struct rig *r = *state;
    assert_int_equal(in(r, 0x06, 2), 0x0010);
    assert_int_equal(in(r, 0x34, 1), CAP);
    assert_int_equal(in(r, CAP, 4), 0x00400011);
    assert_int_equal(in(r, CAP + 4, 4), 0x2002);
    assert_int_equal(in(r, CAP + 8, 4), 0x3004);
    for (unsigned reg = CAP; reg < CAP + 12; reg++)
        rig_cfg_write(r, DEVFN, reg, 1, 0xff);
    assert_int_equal(in(r, CAP, 4), 0xc0400011); /* enable and function mask only */
    assert_int_equal(in(r, CAP + 4, 4), 0x2002);
    assert_int_equal(in(r, CAP + 8, 4), 0x3004);
}

static void table_is_masked_at_first(void **state)
{
    struct rig *r = *state;
    for (unsigned off = 0; off < 16 * VECTORS; off += 4)
        assert_int_equal(pci_msix_table_read(msix_of(r), off), off % 16 == 12);
    for (unsigned off = 0; off < 32; off += 4)
        assert_int_equal(pci_msix_pending_read(msix_of(r), off), 0);
}

static void table_keeps_what_the_guest_writes(void **state)
{
    struct rig *r = *state;
    for (unsigned off = 16 * LAST; off < 16 * VECTORS; off += 4)
        pci_msix_table_write(msix_of(r), off, 0xffffffff);
    assert_int_equal(pci_msix_table_read(msix_of(r), 16 * LAST), 0xfffffffc);
    assert_int_equal(pci_msix_table_read(msix_of(r), 16 * LAST + 4), 0xffffffff);
    assert_int_equal(pci_msix_table_read(msix_of(r), 16 * LAST + 8), 0xffffffff);
    assert_int_equal(pci_msix_table_read(msix_of(r), 16 * LAST + 12), 1);
}

static void nothing_lies_behind_the_table(void **state)
{
    struct rig *r = *state;
    pci_msix_table_write(msix_of(r), 16 * VECTORS, 0xffffffff);
    pci_msix_table_write(msix_of(r), UINT32_MAX - 3, 0xffffffff);
    assert_int_equal(pci_msix_table_read(msix_of(r), 16 * VECTORS), 0);
    assert_int_equal(pci_msix_table_read(msix_of(r), UINT32_MAX - 3), 0);
    assert_int_equal(pci_msix_pending_read(msix_of(r), 16), 0);
    assert_int_equal(pci_msix_pending_read(msix_of(r), UINT32_MAX - 3), 0);
}

static void message_is_sent_as_programmed(void **state)
{
    struct rig *r = *state;
    program(r, LAST);
    pci_msix_raise(msix_of(r), LAST);
    assert_int_equal(r->msis, 0);
    assert_false(pci_msix_enabled(msix_of(r)));
    control(r, ENABLE);
    assert_true(pci_msix_enabled(msix_of(r)));
    assert_int_equal(r->msis, 0); /* what came before it was enabled is not remembered */
    pci_msix_raise(msix_of(r), LAST);
    assert_true(r->msis == 1 && r->msi_addr == UINT64_C(0x100fee01000) && r->msi_data == 0x4040 + LAST);
    assert_false(pending(r, LAST));
}

static void masked_vector_waits(void **state)
{
    struct rig *r = *state;
    program(r, 0);
    program(r, 33);
    control(r, ENABLE);
    mask(r, 33, true);
    pci_msix_raise(msix_of(r), 33);
    pci_msix_raise(msix_of(r), 33);
    assert_int_equal(r->msis, 0);
    assert_true(pending(r, 33) && !pending(r, 0) && !pending(r, 1));
    pci_msix_raise(msix_of(r), 0); /* the others go on */
    assert_int_equal(r->msis, 1);
    mask(r, 33, true);
    assert_int_equal(r->msis, 1);
    mask(r, 33, false);
    assert_true(r->msis == 2 && r->msi_data == 0x4040 + 33); /* one, however often it was raised */
    assert_false(pending(r, 33));
    mask(r, 33, false);
    assert_int_equal(r->msis, 2);
}

static void function_mask_holds_all(void **state)
{
    struct rig *r = *state;
    program(r, 3);
    program(r, LAST);
    control(r, ENABLE | MASK_ALL);
    pci_msix_raise(msix_of(r), 3);
    pci_msix_raise(msix_of(r), LAST);
    mask(r, 3, true);
    assert_int_equal(r->msis, 0);
    control(r, ENABLE);
    assert_true(r->msis == 1 && r->msi_data == 0x4040 + LAST);
    assert_true(pending(r, 3) && !pending(r, LAST));
}

/* A Xen guest that takes the message as an event channel names its pirq by vector 0. */
static void pirq_is_never_masked(void **state)
{
    struct rig *r = *state;
    program(r, 1);
    pci_msix_table_write(msix_of(r), 16 + 8, 0x4300);
    mask(r, 1, true);
    control(r, ENABLE | MASK_ALL);
    pci_msix_raise(msix_of(r), 1);
    assert_true(r->msis == 1 && r->msi_addr == UINT64_C(0x100fee01000) && r->msi_data == 0x4300);
}

/* The table is zeros before the guest fills it in, with MSI-X enabled already: that is not pirq 0. */
static void unprogrammed_vector_is_not_a_pirq(void **state)
{
    struct rig *r = *state;
    control(r, ENABLE);
    pci_msix_raise(msix_of(r), 7);
    assert_int_equal(r->msis, 0);
    assert_true(pending(r, 7));
    program(r, 7);
    assert_true(r->msis == 1 && r->msi_data == 0x4047);
}

static void disabling_and_reset_forget_what_waited(void **state)
{
    struct rig *r = *state;
    control(r, ENABLE);
    pci_msix_raise(msix_of(r), 2);
    control(r, 0);
    assert_false(pending(r, 2));
    control(r, ENABLE);
    program(r, 2);
    assert_int_equal(r->msis, 0);
    mask(r, 2, true);
    pci_msix_raise(msix_of(r), 2);
    toy_reset(r->dev);
    assert_int_equal(in(r, CAP, 4), 0x00400011);
    assert_int_equal(in(r, 0x34, 1), CAP);
    table_is_masked_at_first(state);
}

static void snapshot_keeps_what_waits(void **state)
{
    struct rig *r = *state;
    program(r, LAST);
    mask(r, LAST, true);
    control(r, ENABLE);
    pci_msix_raise(msix_of(r), LAST);
    rig_save(r);
    toy_reset(r->dev);
    assert_int_equal(rig_restore(r), 0);
    assert_true(pending(r, LAST));
    assert_int_equal(r->msis, 0);
    mask(r, LAST, false);
    assert_true(r->msis == 1 && r->msi_data == 0x4040 + LAST);
}

static void impossible_snapshot_is_refused(void **state)
{
    static const struct {
        const char *field;
        unsigned at;
        uint64_t bad, good;
    } cases[] = {
        { "table", 4 * LAST, 0xfee00001, 0xfee00000 },
        { "table", 4 * LAST + 3, 2, 1 },
        { "table", 3, 0xffffffff, 0 },
        { "pending", 2, 2, 1 },
        { "pending", 3, 0x80000000, 0 },
        { "pci.config", CONTROL, 0x41, 0x40 },
        { "pci.config", CAP, 5, 0x11 },
    };
    struct rig *r = *state;
    rig_save(r);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        rig_poke_at(r, cases[i].field, cases[i].at, cases[i].bad);
        assert_int_equal(rig_restore(r), -EINVAL);
        rig_poke_at(r, cases[i].field, cases[i].at, cases[i].good);
        assert_int_equal(rig_restore(r), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(capability_is_listed, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(table_is_masked_at_first, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(table_keeps_what_the_guest_writes, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(nothing_lies_behind_the_table, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(message_is_sent_as_programmed, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(masked_vector_waits, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(function_mask_holds_all, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(pirq_is_never_masked, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(unprogrammed_vector_is_not_a_pirq, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(disabling_and_reset_forget_what_waited, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(snapshot_keeps_what_waits, plug, rig_teardown),
        cmocka_unit_test_setup_teardown(impossible_snapshot_is_refused, plug, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
