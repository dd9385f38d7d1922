/* core/device.c: order of reset, unplug and free; the list. */
#include "rig.h"

#include <string.h>

static char trace[64];

struct toy {
    struct device dev;
    char letter;
};

static void note(struct device *dev, char what)
{
    size_t len = strlen(trace);
    assert_true(len + 2 < sizeof(trace));
    trace[len] = what;
    trace[len + 1] = container_of(dev, struct toy, dev)->letter;
    trace[len + 2] = '\0';
}

static void toy_reset(struct device *dev)
{
    note(dev, 'r');
}

static void toy_unplug(struct device *dev)
{
    note(dev, 'u');
}

static void toy_destroy(struct device *dev)
{
    note(dev, 'd');
}

static const struct device_desc toy_desc = {
    .name = "toy",
    .version = 1,
    .reset = toy_reset,
    .unplug = toy_unplug,
    .destroy = toy_destroy,
};
static const struct device_desc bare_desc = { .name = "bare", .version = 1 };

static struct device *new_toy(char letter)
{
    char id[2] = { letter, '\0' };
    struct toy *toy = device_new(&toy_desc, id, sizeof(*toy));
    assert_non_null(toy);
    toy->letter = letter;
    return &toy->dev;
}

static int clear_trace(void **state)
{
    trace[0] = '\0';
    return 0;
}

static void new_device_is_zeroed_and_named(void **state)
{
    struct toy *toy = device_new(&toy_desc, "an-id-that-is-much-longer-than-it-may-be", sizeof(*toy));
    assert_non_null(toy);
    assert_int_equal(strlen(toy->dev.id), DEVICE_ID_BYTES - 1);
    assert_memory_equal(toy->dev.id, "an-id-that-is-much-long", DEVICE_ID_BYTES);
    assert_int_equal(toy->letter, 0);
    assert_null(toy->dev.log);
    device_free(&toy->dev);
    device_free(NULL);
}

static void list_resets_forwards_and_frees_backwards(void **state)
{
    struct log log = { 0 };
    struct devices list = { .log = &log };
    devices_reset(&list);
    devices_free(&list);
    for (const char *c = "abc"; *c; c++)
        devices_add(&list, new_toy(*c));
    assert_ptr_equal(list.first->log, &log);
    devices_reset(&list);
    assert_string_equal(trace, "rarbrc");
    trace[0] = '\0';
    devices_free(&list);
    assert_string_equal(trace, "ucdcubdbuada");
    assert_null(list.first);
}

static void find_knows_ids(void **state)
{
    struct devices list = { 0 };
    struct device *a = new_toy('a'), *b = new_toy('b');
    devices_add(&list, a);
    devices_add(&list, b);
    assert_ptr_equal(devices_find(&list, "b"), b);
    assert_null(devices_find(&list, "c"));
    assert_null(devices_find(&list, ""));
    devices_free(&list);
}

static void functions_are_optional(void **state)
{
    struct devices list = { 0 };
    struct device *dev = device_new(&bare_desc, "bare", sizeof(*dev));
    assert_non_null(dev);
    devices_add(&list, dev);
    devices_reset(&list);
    devices_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(new_device_is_zeroed_and_named, clear_trace),
        cmocka_unit_test_setup(list_resets_forwards_and_frees_backwards, clear_trace),
        cmocka_unit_test_setup(find_knows_ids, clear_trace),
        cmocka_unit_test_setup(functions_are_optional, clear_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
