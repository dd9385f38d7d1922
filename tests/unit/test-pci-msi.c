/* core/pci-msi.c: the capability of PCI 3.0, 6.8.1, and when a message is sent. */
#include "rig.h"

#include <errno.h>

enum {
    DEVFN = 5 << 3,
    CAP = 0x50,
    CONTROL = CAP + 2,
    ADDR = CAP + 4,
    DATA = CAP + 12,
    MASK = CAP + 16,
    PENDING = CAP + 20
};

static const struct pci_desc desc = { .vendor = 0x1234, .device = 1, .pin = 1 };

struct toy {
    struct device dev;
    struct pci_func pci;
    struct pci_msi msi, second;
};

static const struct snap_field toy_fields[] = { SNAP_ARRAY(struct toy, pci.config), SNAP_END };

static void toy_reset(struct device *dev)
{
    pci_reset(&container_of(dev, struct toy, dev)->pci);
}

static int toy_restored(struct device *dev)
{
    return pci_restored(&container_of(dev, struct toy, dev)->pci);
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
    pci_msi_config_written(&toy->msi);
}

static struct toy *plug(void **state, bool maskable)
{
    struct rig *r = *state = rig_new();
    struct toy *toy = device_new(&toy_desc, "toy", sizeof(*toy));
    assert_non_null(toy);
    r->dev = &toy->dev;
    toy->pci.opaque = toy;
    toy->pci.config_written = written;
    assert_int_equal(pci_attach(&toy->pci, &r->pci, DEVFN, &desc), 0);
    pci_msi_init(&toy->msi, &toy->pci, &r->hv, CAP, maskable);
    return toy;
}

static int plug_plain(void **state)
{
    (void)plug(state, false);
    return 0;
}

static int plug_maskable(void **state)
{
    (void)plug(state, true);
    return 0;
}

static struct pci_msi *msi_of(struct rig *r)
{
    return &container_of(r->dev, struct toy, dev)->msi;
}

static uint32_t in(struct rig *r, unsigned reg, unsigned size)
{
    return rig_cfg_read(r, DEVFN, reg, size);
}

static void out(struct rig *r, unsigned reg, unsigned size, uint32_t val)
{
    rig_cfg_write(r, DEVFN, reg, size, val);
}

static void enable(struct rig *r, uint16_t data)
{
    out(r, ADDR, 4, 0xfee01000);
    out(r, ADDR + 4, 4, 0x1);
    out(r, DATA, 2, data);
    out(r, CONTROL, 2, 1);
}

static void capability_is_listed(void **state)
{
    struct rig *r = *state;
    assert_int_equal(in(r, 0x06, 2), 0x0010);
    assert_int_equal(in(r, 0x34, 1), CAP);
    assert_int_equal(in(r, CAP, 4), 0x00800005);
    struct toy *toy = container_of(r->dev, struct toy, dev);
    pci_msi_init(&toy->second, &toy->pci, &r->hv, 0x80, true); /* a second one goes in front */
    assert_int_equal(in(r, 0x34, 1), 0x80);
    assert_int_equal(in(r, 0x80, 4), 0x01805005);
}

static void masks_of_the_plain_form(void **state)
{
    struct rig *r = *state;
    for (unsigned reg = CAP; reg < CAP + 16; reg++)
        out(r, reg, 1, 0xff);
    assert_int_equal(in(r, CAP, 4), 0x00f10005);
    assert_int_equal(in(r, ADDR, 4), 0xfffffffc);
    assert_int_equal(in(r, ADDR + 4, 4), 0xffffffff);
    assert_int_equal(in(r, DATA, 4), 0xffffffff); /* two bytes of it are storage behind the capability */
}

static void masks_of_the_maskable_form(void **state)
{
    struct rig *r = *state;
    for (unsigned reg = CAP; reg < CAP + 24; reg++)
        out(r, reg, 1, 0xff);
    assert_int_equal(in(r, CAP, 4), 0x01f10005);
    assert_int_equal(in(r, DATA, 4), 0x0000ffff);
    assert_int_equal(in(r, MASK, 4), 1);
    assert_int_equal(in(r, PENDING, 4), 0);
}

static void message_is_sent_as_programmed(void **state)
{
    struct rig *r = *state;
    pci_msi_raise(msi_of(r));
    assert_int_equal(r->msis, 0);
    assert_false(pci_msi_enabled(msi_of(r)));
    enable(r, 0x4041);
    assert_true(pci_msi_enabled(msi_of(r)));
    assert_int_equal(r->msis, 0);
    pci_msi_raise(msi_of(r));
    assert_true(r->msis == 1 && r->msi_addr == UINT64_C(0x1fee01000) && r->msi_data == 0x4041);
}

static void masked_message_waits(void **state)
{
    struct rig *r = *state;
    enable(r, 0x41);
    out(r, MASK, 4, 1);
    pci_msi_raise(msi_of(r));
    pci_msi_raise(msi_of(r));
    assert_int_equal(r->msis, 0);
    assert_int_equal(in(r, PENDING, 4), 1);
    out(r, PENDING, 4, 0); /* the guest can't clear it */
    assert_int_equal(in(r, PENDING, 4), 1);
    out(r, MASK, 4, 0);
    assert_int_equal(r->msis, 1); /* one, however often it was raised */
    assert_int_equal(in(r, PENDING, 4), 0);
    out(r, MASK, 4, 0);
    assert_int_equal(r->msis, 1);
}

/* A Xen guest that takes the message as an event channel names its pirq by vector 0. */
static void pirq_is_never_masked(void **state)
{
    struct rig *r = *state;
    enable(r, 0x4000);
    out(r, MASK, 4, 1);
    pci_msi_raise(msi_of(r));
    assert_int_equal(r->msis, 1);
}

static void disabling_forgets_what_waited(void **state)
{
    struct rig *r = *state;
    enable(r, 0x41);
    out(r, MASK, 4, 1);
    pci_msi_raise(msi_of(r));
    out(r, CONTROL, 2, 0);
    assert_int_equal(in(r, PENDING, 4), 0);
    out(r, MASK, 4, 0);
    out(r, CONTROL, 2, 1);
    assert_int_equal(r->msis, 0);
    out(r, MASK, 4, 1);
    pci_msi_raise(msi_of(r));
    toy_reset(r->dev);
    assert_int_equal(in(r, CAP, 4), 0x01800005);
    assert_int_equal(in(r, 0x34, 1), CAP);
    enable(r, 0x41);
    assert_int_equal(r->msis, 0);
}

static void snapshot_keeps_what_waits(void **state)
{
    struct rig *r = *state;
    enable(r, 0x41);
    out(r, MASK, 4, 1);
    pci_msi_raise(msi_of(r));
    rig_save(r);
    toy_reset(r->dev);
    assert_int_equal(rig_restore(r), 0);
    out(r, MASK, 4, 0);
    assert_int_equal(r->msis, 1);
    rig_poke_at(r, "pci.config", CAP, 0x11); /* another capability */
    assert_int_equal(rig_restore(r), -EINVAL);
    rig_poke_at(r, "pci.config", CAP, 0x05);
    rig_poke_at(r, "pci.config", PENDING, 0x03); /* a message there isn't */
    assert_int_equal(rig_restore(r), -EINVAL);
    rig_poke_at(r, "pci.config", PENDING, 0x01);
    assert_int_equal(rig_restore(r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(capability_is_listed, plug_plain, rig_teardown),
        cmocka_unit_test_setup_teardown(masks_of_the_plain_form, plug_plain, rig_teardown),
        cmocka_unit_test_setup_teardown(masks_of_the_maskable_form, plug_maskable, rig_teardown),
        cmocka_unit_test_setup_teardown(message_is_sent_as_programmed, plug_plain, rig_teardown),
        cmocka_unit_test_setup_teardown(masked_message_waits, plug_maskable, rig_teardown),
        cmocka_unit_test_setup_teardown(pirq_is_never_masked, plug_maskable, rig_teardown),
        cmocka_unit_test_setup_teardown(disabling_forgets_what_waited, plug_maskable, rig_teardown),
        cmocka_unit_test_setup_teardown(snapshot_keeps_what_waits, plug_maskable, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
