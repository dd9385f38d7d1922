/* The firmware configuration device; [FW name] is a section of its description. */
#include <errno.h>

#include "chipset-rig.h"
#include "fw-cfg.h"

enum { SELECT = 0x510, DATA = 0x511, DMA_HIGH = 0x514, DMA_LOW = 0x518, DIRECTORY = 0x19 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECTS = 8, WRITE = 16, LONG_BYTES = 6 << 20, DESCRIPTOR = 0x1000 };

static const uint8_t ram_bytes[8] = { 0x00, 0x00, 0x00, 0x08 }, e820[20] = { 1, 2, 3, 4, 5 };
static uint8_t long_file[LONG_BYTES];
static const struct fw_cfg_item items[] = {
    { FW_CFG_RAM_BYTES, ram_bytes, sizeof(ram_bytes) },
    { FW_CFG_VCPUS, "\2", 2 },
    { FW_CFG_ARCH | 3, "arch", 4 },
    { 0x55, NULL, 0 },
};
static const struct fw_cfg_file files[] = {
    { "etc/e820", e820, sizeof(e820) },
    { "bootorder", "/pci\n", 6 },
    { "etc/long", long_file, LONG_BYTES },
    { "empty", NULL, 0 },
};

static struct fw_cfg_config config_of(struct rig *r)
{
    return (struct fw_cfg_config){ .id = "fw-cfg",
                                   .loop = &r->loop,
                                   .ports = &r->ports,
                                   .mem = &r->mem,
                                   .items = items,
                                   .files = files,
                                   .nr_items = ARRAY_SIZE(items),
                                   .nr_files = ARRAY_SIZE(files) };
}

static int plug_in(void **state)
{
    struct rig *r = *state = *state ? *state : rig_new();
    struct fw_cfg_config config = config_of(r);
    for (unsigned i = 0; i < LONG_BYTES; i++)
        long_file[i] = (uint8_t)(i * 7 + (i >> 12));
    int err = fw_cfg_create(&config, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static int plug_in_without_dma(void **state)
{
    struct rig *r = *state = rig_new();
    struct fw_cfg_config config = config_of(r);
    config.mem = NULL;
    int err = fw_cfg_create(&config, &r->dev);
    if (!err)
        chip_start(r);
    return err;
}

static void read_key(struct rig *r, uint16_t key, uint8_t *buf, unsigned len)
{
    rig_out16(r, SELECT, key);
    for (unsigned i = 0; i < len; i++)
        buf[i] = rig_in8(r, DATA);
}

static void assert_key(struct rig *r, uint16_t key, const void *bytes, unsigned len)
{
    uint8_t buf[512];
    assert_true(len < sizeof(buf));
    read_key(r, key, buf, len + 1);
    assert_memory_equal(buf, bytes, len);
    assert_int_equal(buf[len], 0); /* and zeros after it */
}

static void swap_out32(struct rig *r, uint16_t port, uint32_t val)
{
    uint8_t bytes[4];
    be32_put(bytes, val);
    rig_out32(r, port, le32_get(bytes));
}

/* A transfer; the control word afterwards. */
static uint32_t dma(struct rig *r, uint32_t control, uint32_t len, uint64_t addr)
{
    be32_put(r->ram + DESCRIPTOR, control);
    be32_put(r->ram + DESCRIPTOR + 4, len);
    be32_put(r->ram + DESCRIPTOR + 8, (uint32_t)(addr >> 32));
    be32_put(r->ram + DESCRIPTOR + 12, (uint32_t)addr);
    swap_out32(r, DMA_LOW, DESCRIPTOR);
    return be32_get(r->ram + DESCRIPTOR);
}

static void reset_values(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_in8(r, DATA), 'Q');
    assert_int_equal(rig_in8(r, DATA), 'E');
    r->dev->desc->reset(r->dev);
    assert_int_equal(rig_in8(r, DATA), 'Q');
    assert_int_equal(rig_in8(r, SELECT), 0xff);
    assert_int_equal(rig_in16(r, SELECT), 0xffff);
}

static void keys(void **state)
{
    struct rig *r = *state;
    assert_key(r, 0, "QEMU", 4);
    assert_key(r, 1, "\3\0\0\0", 4);
    assert_key(r, FW_CFG_RAM_BYTES, ram_bytes, 8);
    assert_key(r, FW_CFG_VCPUS, "\2\0", 2);
    assert_key(r, FW_CFG_ARCH | 3, "arch", 4);
    assert_key(r, 0x55, "", 0);
    assert_key(r, 0x4003, ram_bytes, 8); /* the write channel is no other key */
}

/* [FW File Directory] */
static void directory(void **state)
{
    struct rig *r = *state;
    uint8_t buf[4 + 64 * ARRAY_SIZE(files)];
    read_key(r, DIRECTORY, buf, sizeof(buf));
    assert_int_equal(be32_get(buf), ARRAY_SIZE(files));
    for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
        const uint8_t *entry = buf + 4 + (size_t)64 * i;
        assert_int_equal(be32_get(entry), files[i].len);
        assert_int_equal(be16_get(entry + 4), FW_CFG_FIRST_FILE + i);
        assert_int_equal(be16_get(entry + 6), 0);
        assert_string_equal((const char *)entry + 8, files[i].name);
    }
    assert_key(r, FW_CFG_FIRST_FILE, e820, sizeof(e820));
    assert_key(r, FW_CFG_FIRST_FILE + 1, "/pci\n", 6);
    assert_key(r, FW_CFG_FIRST_FILE + 3, "", 0);
}

static void accesses_by_size(void **state)
{
    struct rig *r = *state;
    rig_out8(r, SELECT, 3); /* the selector is a word */
    assert_int_equal(rig_in8(r, DATA), 'Q');
    rig_out8(r, DATA, 'x'); /* data can't be written */
    assert_int_equal(rig_in8(r, DATA), 'E');
    rig_out16(r, SELECT, 0);
    assert_int_equal(rig_in16(r, DATA), 0xff51);
    uint8_t buf[10] = { 0 };
    bus_read_rep(&r->ports, DATA, 1, buf, sizeof(buf));
    assert_memory_equal(buf, "EMU\0\0\0\0\0\0", 10);
}

/* [FW DMA Interface] */
static void dma_presence(void **state)
{
    struct rig *r = *state;
    static const char signature[] = "QEMU CFG";
    for (uint16_t i = 0; i < 8; i++)
        assert_int_equal(rig_in8(r, DMA_HIGH + i), signature[i]);
    assert_int_equal(rig_in32(r, DMA_HIGH), 0x554d4551);
    assert_int_equal(rig_in16(r, DMA_LOW), 0x4320);
}

static void dma_reads(void **state)
{
    struct rig *r = *state;
    memset(r->ram + 0x2000, 0xee, 32);
    assert_int_equal(dma(r, FW_CFG_FIRST_FILE << 16 | SELECTS | READ, 24, 0x2000), 0);
    assert_memory_equal(r->ram + 0x2000, e820, sizeof(e820));
    assert_memory_equal(r->ram + 0x2000 + sizeof(e820), "\0\0\0\0\xee", 5); /* zeros after the end */
    assert_int_equal(dma(r, 0x00010000 * FW_CFG_FIRST_FILE | SELECTS | SKIP, 2, 0), 0);
    assert_int_equal(rig_in8(r, DATA), 3); /* ports and DMA share the offset */
    assert_int_equal(dma(r, READ, 2, 0x2000), 0);
    assert_memory_equal(r->ram + 0x2000, "\4\5", 2);
    assert_int_equal(dma(r, SKIP, UINT32_MAX, 0), 0);
    assert_int_equal(rig_in8(r, DATA), 0);
    assert_int_equal(dma(r, READ, 0, 0xdead0000), 0); /* nothing goes anywhere */
    assert_int_equal(dma(r, 0, 0, 0), 0);
}

static void dma_writes_are_refused(void **state)
{
    struct rig *r = *state;
    assert_int_equal(dma(r, FW_CFG_FIRST_FILE << 16 | SELECTS | WRITE, 4, 0x2000), ERROR);
    assert_key(r, FW_CFG_FIRST_FILE, e820, sizeof(e820));
}

static void dma_faults(void **state)
{
    struct rig *r = *state;
    assert_int_equal(dma(r, FW_CFG_FIRST_FILE << 16 | SELECTS | READ, 4, RIG_HOLE), ERROR);
    assert_int_equal(dma(r, READ, 16, RIG_HOLE - 8), ERROR);
    assert_int_equal(dma(r, READ, UINT32_MAX, UINT64_MAX - 3), ERROR);
    unsigned lines = r->log_lines;
    swap_out32(r, DMA_HIGH, 1); /* a descriptor nowhere */
    swap_out32(r, DMA_LOW, DESCRIPTOR);
    assert_int_equal(r->log_lines, lines + 1);
    swap_out32(r, DMA_LOW, RIG_HOLE - 8);         /* and one half there */
    assert_int_equal(dma(r, READ, 1, 0x2000), 0); /* the high half was for one transfer */
}

/* More than a budget goes on from a task; meanwhile other transfers are ignored. */
static void long_dma(void **state)
{
    struct rig *r = *state;
    uint32_t control = (FW_CFG_FIRST_FILE + 2) << 16 | SELECTS | READ;
    assert_int_equal(dma(r, control, LONG_BYTES, 0x100000), control);
    swap_out32(r, DMA_LOW, 0x3000);
    rig_settle(r);
    assert_int_equal(be32_get(r->ram + DESCRIPTOR), 0);
    assert_memory_equal(r->ram + 0x100000, long_file, LONG_BYTES);
    memset(r->ram + 0x100000, 0xee, 0x700000);
    assert_int_equal(dma(r, READ, 0x700000, 0x100000), READ); /* all zeros: the end was reached */
    rig_settle(r);
    assert_int_equal(be32_get(r->ram + DESCRIPTOR), 0);
    for (unsigned i = 0; i < 0x700000; i++)
        assert_int_equal(r->ram[0x100000 + i], 0);
    assert_int_equal(dma(r, READ, UINT32_MAX, 0x100000), READ); /* into the end of memory */
    rig_settle(r);
    assert_int_equal(be32_get(r->ram + DESCRIPTOR), ERROR);
}

/* A descriptor or a target on the device's own descriptor changes memory only. */
static void dma_onto_its_descriptor(void **state)
{
    struct rig *r = *state;
    assert_int_equal(dma(r, FW_CFG_FIRST_FILE << 16 | SELECTS | READ, 16, DESCRIPTOR), 0);
    assert_memory_equal(r->ram + DESCRIPTOR + 4, "\5\0\0", 3);
}

static void without_dma(void **state)
{
    struct rig *r = *state;
    assert_key(r, 1, "\1\0\0\0", 4);
    assert_int_equal(rig_in32(r, DMA_HIGH), UINT32_MAX);
    swap_out32(r, DMA_LOW, DESCRIPTOR);
    rig_save(r);
    rig_poke(r, "busy", 1);
    rig_poke(r, "dma_left", 1);
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void snapshot_is_complete(void **state)
{
    struct rig *r = *state;
    swap_out32(r, DMA_HIGH, 0);
    (void)dma(r, (FW_CFG_FIRST_FILE + 2) << 16 | SELECTS | READ, LONG_BYTES, 0x100000);
    rig_save(r); /* in the middle of a transfer */
    device_free(r->dev);
    r->dev = NULL;
    plug_in(state);
    assert_int_equal(rig_restore(r), 0);
    rig_settle(r);
    assert_int_equal(be32_get(r->ram + DESCRIPTOR), 0);
    assert_memory_equal(r->ram + 0x100000, long_file, LONG_BYTES);
    rig_out16(r, SELECT, FW_CFG_FIRST_FILE);
    (void)rig_in16(r, DATA);
    rig_save(r);
    rig_out16(r, SELECT, 0);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, DATA), 2);
}

static void hostile_snapshots_are_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *field;
        uint64_t val;
    } bad[] = { { "offset", 5 }, { "offset", UINT32_MAX }, { "busy", 1 }, { "dma_left", 1 }, { "busy", 2 } };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke(r, bad[i].field, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        r->dev->desc->reset(r->dev);
    }
    rig_save(r);
    rig_poke(r, "key", 0x7777);
    rig_poke(r, "offset", 1);
    assert_int_equal(rig_restore(r), -EINVAL);
}

static void unplug_is_final(void **state)
{
    struct rig *r = *state;
    (void)dma(r, (FW_CFG_FIRST_FILE + 2) << 16 | SELECTS | READ, LONG_BYTES, 0x100000);
    r->dev->desc->unplug(r->dev);
    r->dev->desc->unplug(r->dev);
    assert_null(r->loop.tasks);
    assert_int_equal(rig_in8(r, DATA), 0xff);
    assert_int_equal(rig_in32(r, DMA_HIGH), UINT32_MAX);
}

static void refused_configurations(void **state)
{
    struct rig *r = *state;
    struct device *second = NULL;
    static const char name[] = "a name that is exactly as long as it must not be: 56 bytes";
    static const struct fw_cfg_item twice[] = { { 3, "a", 1 }, { 3, "b", 1 } }, own = { DIRECTORY, "a", 1 },
                                    of_file = { FW_CFG_FIRST_FILE, "a", 1 }, channel = { 0x4003, "a", 1 };
    static const struct fw_cfg_file longer = { name, "a", 1 };
    struct fw_cfg_config config = config_of(r);
    assert_int_equal(fw_cfg_create(&config, &second), -EEXIST);
    config.items = twice;
    config.nr_items = 2;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    config.nr_items = 1;
    config.items = &own;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    config.items = &of_file;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    config.items = &channel;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    config.nr_items = 0;
    config.files = &longer;
    config.nr_files = 1;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    config.nr_files = FW_CFG_MAX_FILES + 1;
    assert_int_equal(fw_cfg_create(&config, &second), -EINVAL);
    assert_null(second);
    assert_int_equal(r->ports.nr_regions, 2);
}

/* Keys that nothing is behind, by port and by DMA, read and written. */
static void cve_2016_1714_invalid_keys(void **state)
{
    struct rig *r = *state;
    static const uint16_t bad[] = { 0xffff, 0x7fff, 0x3fff, 0xbfff, 0x0056, FW_CFG_FIRST_FILE + 4, FW_CFG_ARCH };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_out16(r, SELECT, bad[i]);
        rig_out8(r, DATA, 0x55);
        for (unsigned n = 0; n < 300; n++)
            assert_int_equal(rig_in8(r, DATA), 0);
        memset(r->ram + 0x2000, 0xee, 16);
        assert_int_equal(dma(r, (uint32_t)bad[i] << 16 | SELECTS | READ, 15, 0x2000), 0);
        for (unsigned n = 0; n < 15; n++)
            assert_int_equal(r->ram[0x2000 + n], 0);
        assert_int_equal(r->ram[0x200f], 0xee);
        assert_int_equal(dma(r, (uint32_t)bad[i] << 16 | SELECTS | WRITE, 16, 0x2000), ERROR);
        assert_int_equal(dma(r, (uint32_t)bad[i] << 16 | SELECTS | SKIP, 16, 0x2000), 0);
    }
}

static void cve_2020_25742_every_port_every_size(void **state)
{
    static const struct port_range ports[] = { { SELECT, DATA }, { DMA_HIGH, DMA_LOW + 3 } };
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        chip_every_port(*state, ports[i]);
    rig_settle(*state);
}

static void cve_2013_4148_damaged_snapshots(void **state)
{
    rig_out16(*state, SELECT, FW_CFG_FIRST_FILE);
    (void)rig_in16(*state, DATA);
    chip_damaged_snapshots(*state);
    rig_settle(*state);
}

static void random_accesses(void **state)
{
    struct rig *r = *state;
    static const struct port_range ports[] = { { SELECT - 1, DATA + 1 }, { DMA_HIGH - 1, DMA_LOW + 4 } };
    uint64_t seed = 0x510;
    for (unsigned step = 0; step < 2000; step++) {
        uint32_t control = chip_random(&seed) & 0x3f001f;
        (void)dma(r, control, chip_random(&seed) >> chip_random(&seed) % 32,
                  chip_random(&seed) >> chip_random(&seed) % 32);
        rig_settle(r);
    }
    chip_random_guest(r, ports, ARRAY_SIZE(ports), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, plug_in, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reset_values),
        TEST(keys),
        TEST(directory),
        TEST(accesses_by_size),
        TEST(dma_presence),
        TEST(dma_reads),
        TEST(dma_writes_are_refused),
        TEST(dma_faults),
        TEST(long_dma),
        TEST(dma_onto_its_descriptor),
        cmocka_unit_test_setup_teardown(without_dma, plug_in_without_dma, rig_teardown),
        TEST(snapshot_is_complete),
        TEST(hostile_snapshots_are_refused),
        TEST(unplug_is_final),
        TEST(refused_configurations),
        TEST(cve_2016_1714_invalid_keys),
        TEST(cve_2020_25742_every_port_every_size),
        TEST(cve_2013_4148_damaged_snapshots),
        TEST(random_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
