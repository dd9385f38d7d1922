/* core/snapshot.c: the record, its versions, and records that somebody has tampered with. */
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = DEVICE_ID_BYTES + 2 + 4 };

struct toy {
    struct device dev;
    uint8_t a, bytes[3];
    uint16_t b;
    uint32_t words[2];
    uint64_t d;
    int16_t small;
    bool flag, flags[2];
    struct timer timer;
    struct {
        uint32_t count;
    } chan;
    uint8_t late; /* since version 2 */
    bool restored, refuse;
    unsigned fired;
};

#define TOY_FIELDS                                                                                                     \
    SNAP(struct toy, a), SNAP_ARRAY(struct toy, bytes), SNAP(struct toy, b), SNAP_ARRAY(struct toy, words),            \
        SNAP(struct toy, d), SNAP(struct toy, small), SNAP(struct toy, flag), SNAP_ARRAY(struct toy, flags),           \
        SNAP(struct toy, timer), SNAP(struct toy, chan.count)

static const struct snap_field fields_v1[] = { TOY_FIELDS, SNAP_END };
static const struct snap_field fields_v2[] = { TOY_FIELDS, SNAP_SINCE(2, struct toy, late), SNAP_END };

static void toy_reset(struct device *dev)
{
    struct toy *toy = container_of(dev, struct toy, dev);
    timer_cancel(&toy->timer);
    toy->a = 0;
    toy->d = 0;
    toy->flag = false;
    toy->late = 77;
    toy->restored = false;
}

static int toy_restored(struct device *dev)
{
    struct toy *toy = container_of(dev, struct toy, dev);
    toy->restored = true;
    return toy->refuse ? -EINVAL : 0;
}

static void toy_unplug(struct device *dev)
{
    timer_cancel(&container_of(dev, struct toy, dev)->timer);
}

static void toy_saving(struct device *dev)
{
    container_of(dev, struct toy, dev)->late++;
}

static const struct device_desc desc_v1 = {
    .name = "toy",
    .version = 1,
    .fields = fields_v1,
    .reset = toy_reset,
    .restored = toy_restored,
    .unplug = toy_unplug,
};
static const struct device_desc desc_v2 = {
    .name = "toy",
    .version = 2,
    .fields = fields_v2,
    .reset = toy_reset,
    .restored = toy_restored,
    .unplug = toy_unplug,
};
static const struct device_desc desc_saving = { .name = "toy", .version = 2, .fields = fields_v2, .saving = toy_saving };
static const struct device_desc desc_empty = { .name = "empty", .version = 1 };

static void toy_fired(void *opaque)
{
    struct toy *toy = opaque;
    toy->fired++;
}

static struct toy *new_toy(struct rig *r, const struct device_desc *desc)
{
    device_free(r->dev);
    struct toy *toy = device_new(desc, "toy0", sizeof(*toy));
    assert_non_null(toy);
    timer_init(&toy->timer, &r->loop, toy_fired, toy);
    r->dev = &toy->dev;
    return toy;
}

static struct toy *filled_toy(struct rig *r, const struct device_desc *desc)
{
    struct toy *toy = new_toy(r, desc);
    toy->a = 0x11;
    memcpy(toy->bytes, "\x21\x22\x23", 3);
    toy->b = 0x3332;
    toy->words[0] = 0x44434241;
    toy->words[1] = 0x54535251;
    toy->d = UINT64_C(0x6867666564636261);
    toy->small = -2;
    toy->flag = toy->flags[1] = true;
    toy->chan.count = 9;
    toy->late = 5;
    timer_arm(&toy->timer, 1000);
    return toy;
}

static void record_is_little_endian_in_table_order(void **state)
{
    struct rig *r = *state;
    (void)filled_toy(r, &desc_v1);
    rig_save(r);
    static const uint8_t values[] = {
        0x11, 0x21, 0x22, 0x23, 0x32, 0x33, 0x41, 0x42, 0x43, 0x44, 0x51, 0x52, 0x53,
        0x54, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0xfe, 0xff, 1,    0,
        1,    0xe8, 0x03, 0,    0,    0,    0,    0,    0,    9,    0,    0,    0,
    };
    assert_int_equal(r->saved.len, HEAD + sizeof(values));
    assert_string_equal((const char *)r->saved.data, "toy0");
    assert_int_equal(le16_get(r->saved.data + DEVICE_ID_BYTES), 1);
    assert_int_equal(le32_get(r->saved.data + DEVICE_ID_BYTES + 2), sizeof(values));
    assert_memory_equal(r->saved.data + HEAD, values, sizeof(values));
}

static void restored_device_goes_on(void **state)
{
    struct rig *r = *state;
    (void)filled_toy(r, &desc_v1);
    rig_run(r, 400);
    rig_save(r);
    struct toy *toy = new_toy(r, &desc_v1);
    assert_int_equal(rig_restore(r), 0);
    assert_true(toy->restored && toy->flag && !toy->flags[0] && toy->flags[1]);
    assert_int_equal(toy->a, 0x11);
    assert_true(toy->d == UINT64_C(0x6867666564636261));
    assert_int_equal(toy->small, -2);
    assert_int_equal(toy->words[1], 0x54535251);
    assert_int_equal(toy->chan.count, 9);
    assert_int_equal(r->saved.pos, r->saved.len);
    rig_run(r, 599);
    assert_int_equal(toy->fired, 0);
    rig_run(r, 1);
    assert_int_equal(toy->fired, 1);
}

static void unarmed_timer_stays_unarmed(void **state)
{
    struct rig *r = *state;
    struct toy *toy = filled_toy(r, &desc_v1);
    timer_cancel(&toy->timer);
    rig_save(r);
    timer_arm(&toy->timer, 5);
    assert_int_equal(rig_restore(r), 0);
    assert_false(toy->timer.armed);
}

/* A timer that was due when the guest was stopped fires after the restore, not never. */
static void due_timer_fires_after_restore(void **state)
{
    struct rig *r = *state;
    struct toy *toy = filled_toy(r, &desc_v1);
    r->now_ns += 5000;
    rig_save(r);
    assert_int_equal(rig_restore(r), 0);
    assert_true(toy->timer.armed);
    rig_settle(r);
    assert_int_equal(toy->fired, 1);
}

static void timer_value_from_outside_may_be_anything(void **state)
{
    struct rig *r = *state;
    struct toy *toy = filled_toy(r, &desc_v1);
    rig_save(r);
    rig_poke(r, "timer", UINT64_MAX - 1);
    assert_int_equal(rig_restore(r), 0);
    assert_true(toy->timer.armed);
    rig_run(r, NS_PER_S);
    assert_int_equal(toy->fired, 0);
}

static void several_records_follow_one_another(void **state)
{
    struct rig *r = *state;
    struct toy *toy = filled_toy(r, &desc_v1);
    struct device *empty = device_new(&desc_empty, "empty", sizeof(*empty));
    assert_non_null(empty);
    struct snap_buf buf = { 0 };
    for (int i = 0; i < 20; i++) {
        toy->a = (uint8_t)i;
        assert_int_equal(snapshot_save_device(&toy->dev, &buf), 0);
        assert_int_equal(snapshot_save_device(empty, &buf), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(snapshot_restore_device(&toy->dev, &buf, NULL), 0);
        assert_int_equal(toy->a, i);
        assert_int_equal(snapshot_restore_device(empty, &buf, NULL), 0);
    }
    assert_int_equal(snapshot_restore_device(empty, &buf, NULL), -EINVAL); /* nothing left */
    snap_buf_free(&buf);
    snap_buf_free(&buf);
    device_free(empty);
}

static void older_version_leaves_reset_values(void **state)
{
    struct rig *r = *state;
    (void)filled_toy(r, &desc_v1);
    rig_save(r);
    struct toy *toy = new_toy(r, &desc_v2);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(toy->late, 77);
    assert_int_equal(toy->chan.count, 9);
    (void)filled_toy(r, &desc_v2);
    rig_save(r);
    toy = new_toy(r, &desc_v2);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(toy->late, 5);
}

static void newer_version_is_refused(void **state)
{
    struct rig *r = *state;
    (void)filled_toy(r, &desc_v2);
    rig_save(r);
    struct toy *toy = new_toy(r, &desc_v1);
    assert_int_equal(rig_restore(r), -ENOTSUP);
    assert_int_equal(toy->b, 0);
}

static void hostile_records_are_refused_untouched(void **state)
{
    struct rig *r = *state;
    const char *field = "x";
    struct toy *toy = filled_toy(r, &desc_v1);
    rig_save(r);
    uint8_t *head = r->saved.data;
    toy->b = 0;

    head[0] = 'T'; /* another device's */
    assert_int_equal(rig_restore(r), -EINVAL);
    head[0] = 't';
    head[DEVICE_ID_BYTES - 1] = 'x'; /* not terminated */
    assert_int_equal(rig_restore(r), -EINVAL);
    head[DEVICE_ID_BYTES - 1] = 0;
    le16_put(head + DEVICE_ID_BYTES, 0); /* no such version */
    assert_int_equal(rig_restore(r), -EINVAL);
    le16_put(head + DEVICE_ID_BYTES, 1);

    uint32_t len = le32_get(head + DEVICE_ID_BYTES + 2);
    static const uint32_t wrong[] = { UINT32_MAX, 0x80000000 };
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        le32_put(head + DEVICE_ID_BYTES + 2, wrong[i]);
        assert_int_equal(rig_restore(r), -EINVAL);
    }
    le32_put(head + DEVICE_ID_BYTES + 2, len + 1);
    r->saved.data = realloc(head, r->saved.len + 1);
    assert_non_null(r->saved.data);
    r->saved.data[r->saved.len++] = 0;
    assert_int_equal(rig_restore(r), -EINVAL); /* a value too many */
    le32_put(r->saved.data + DEVICE_ID_BYTES + 2, len - 4);
    r->saved.pos = 0;
    assert_int_equal(snapshot_restore_device(r->dev, &r->saved, &field), -EINVAL);
    assert_string_equal(field, "chan.count"); /* the value that is missing */
    assert_int_equal(toy->b, 0);
    assert_false(toy->restored);
    assert_int_equal(r->saved.pos, 0);
}

static void every_truncation_is_refused(void **state)
{
    struct rig *r = *state;
    (void)filled_toy(r, &desc_v1);
    rig_save(r);
    for (size_t len = 0; len < r->saved.len; len++) {
        /* In memory of its own, so that a sanitizer sees a byte too many. */
        struct snap_buf cut = { .data = malloc(len > 0 ? len : 1), .len = len };
        assert_non_null(cut.data);
        memcpy(cut.data, r->saved.data, len);
        assert_int_equal(snapshot_restore_device(r->dev, &cut, NULL), -EINVAL);
        free(cut.data);
    }
    struct snap_buf beyond = { .data = r->saved.data, .len = r->saved.len, .pos = r->saved.len + 1 };
    assert_int_equal(snapshot_restore_device(r->dev, &beyond, NULL), -EINVAL);
}

static void truth_values_are_zero_or_one(void **state)
{
    struct rig *r = *state;
    const char *field = NULL;
    (void)filled_toy(r, &desc_v1);
    rig_save(r);
    rig_poke_at(r, "flags", 1, 2);
    r->saved.pos = 0;
    assert_int_equal(snapshot_restore_device(r->dev, &r->saved, &field), -EINVAL);
    assert_string_equal(field, "flags");
}

static void device_may_refuse_its_values(void **state)
{
    struct rig *r = *state;
    const char *field = "x";
    struct toy *toy = filled_toy(r, &desc_v1);
    rig_save(r);
    toy->refuse = true;
    assert_int_equal(snapshot_restore_device(r->dev, &r->saved, &field), -EINVAL);
    assert_null(field);
}

/* A value that follows the clock is brought up to date before it is written down. */
static void device_prepares_its_values(void **state)
{
    struct rig *r = *state;
    struct toy *toy = new_toy(r, &desc_saving);
    toy->late = 41;
    rig_save(r);
    assert_int_equal(r->saved.data[r->saved.len - 1], 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(record_is_little_endian_in_table_order, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(restored_device_goes_on, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(unarmed_timer_stays_unarmed, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(due_timer_fires_after_restore, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(timer_value_from_outside_may_be_anything, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(several_records_follow_one_another, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(older_version_leaves_reset_values, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(newer_version_is_refused, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(hostile_records_are_refused_untouched, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(truth_values_are_zero_or_one, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(device_may_refuse_its_values, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(device_prepares_its_values, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
