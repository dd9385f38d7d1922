/* core/pci.c: the configuration space bit by bit, BARs and what they map, INTx. Source: PCI Local Bus 3.0, chapter 6.
 */
#include "rig.h"

#include <errno.h>
#include <string.h>

enum { DEVFN = 3 << 3, OTHER = 4 << 3, COMMAND = 4, STATUS = 6, LINE = 0x3c, ROM = 0x30 };
enum { IO_BAR = 0x10, MEM_BAR = 0x14, BIG_BAR = 0x18, NONE_BAR = 0x20, VRAM_BAR = 0x24 };

static const struct pci_reg regs[] = {
    { .reg = 0x40, .size = 4, .reset = 0x11223344, .wmask = 0x0000ff00 },
    { .reg = 0x44, .size = 2, .reset = 0x8001, .wmask = 0x000f, .w1c = 0x8000 },
    { .reg = 0x09, .size = 1, .reset = 0x80, .wmask = 0x05 },
};

static const struct pci_desc desc = {
    .vendor = 0x5853,
    .device = 0x0001,
    .subvendor = 0x1af4,
    .subdevice = 0x1100,
    .class_code = 0x010180,
    .revision = 2,
    .header_type = 0x80,
    .pin = 1,
    .status_reset = 0x0280,
    .regs = regs,
    .nr_regs = ARRAY_SIZE(regs),
};
static const struct pci_desc plain_desc = { .vendor = 0x1234, .device = 0x5678, .pin = 2 };

/* A function with each kind of BAR; counts what it is told. */
struct toy {
    struct device dev;
    struct pci_func pci;
    struct {
        uint64_t addr;
        bool mapped;
        unsigned calls;
    } moved[2]; /* the memory BAR, video memory */
    unsigned written_reg, written_size, writes, last_off;
    bool detach_when_moved;
};

static const struct snap_field toy_fields[] = { SNAP_ARRAY(struct toy, pci.config), SNAP_END };

static uint64_t bar_read(void *opaque, uint64_t off, unsigned size)
{
    return 0x40 + off;
}

static void bar_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    ((struct toy *)opaque)->last_off = (unsigned)off;
}

static const struct bus_ops bar_ops = { bar_read, bar_write, .sizes = BUS_1 | BUS_4 };

static void note_move(struct toy *toy, unsigned i, uint64_t addr, bool mapped)
{
    toy->moved[i].addr = addr;
    toy->moved[i].mapped = mapped;
    toy->moved[i].calls++;
    if (toy->detach_when_moved) {
        toy->detach_when_moved = false;
        pci_detach(&toy->pci);
    }
}

static void mem_moved(void *opaque, uint64_t addr, bool mapped)
{
    note_move(opaque, 0, addr, mapped);
}

static void vram_moved(void *opaque, uint64_t addr, bool mapped)
{
    note_move(opaque, 1, addr, mapped);
}

static void config_written(void *opaque, unsigned reg, unsigned size)
{
    struct toy *toy = opaque;
    toy->written_reg = reg;
    toy->written_size = size;
    toy->writes++;
}

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

static const uint8_t rom[3000] = { 0x55, 0xaa, 6, [2999] = 0x77 };

static void toy_init(struct toy *toy)
{
    toy->pci.opaque = toy;
    toy->pci.config_written = config_written;
    toy->pci.bars[0] = (struct pci_bar){ PCI_BAR_IO, 16, &bar_ops, NULL };
    toy->pci.bars[1] = (struct pci_bar){ PCI_BAR_MEM32, 0x1000, &bar_ops, mem_moved };
    toy->pci.bars[2] = (struct pci_bar){ PCI_BAR_MEM64_PREFETCH, 0x10000, &bar_ops, NULL };
    toy->pci.bars[5] = (struct pci_bar){ PCI_BAR_MEM32_PREFETCH, 0x1000000, NULL, vram_moved };
    toy->pci.rom = rom;
    toy->pci.rom_bytes = sizeof(rom);
}

static struct toy *toy_of(struct rig *r)
{
    return container_of(r->dev, struct toy, dev);
}

static int setup(void **state)
{
    struct rig *r = *state = rig_new();
    struct toy *toy = device_new(&toy_desc, "toy", sizeof(*toy));
    assert_non_null(toy);
    toy_init(toy);
    r->dev = &toy->dev;
    return pci_attach(&toy->pci, &r->pci, DEVFN, &desc);
}

static uint32_t in(struct rig *r, unsigned reg, unsigned size)
{
    return rig_cfg_read(r, DEVFN, reg, size);
}

static void out(struct rig *r, unsigned reg, unsigned size, uint32_t val)
{
    rig_cfg_write(r, DEVFN, reg, size, val);
}

static void header_tells_who_it_is(void **state)
{
    struct rig *r = *state;
    assert_int_equal(in(r, 0, 4), 0x00015853);
    assert_int_equal(in(r, 4, 4), 0x02800000);
    assert_int_equal(in(r, 8, 4), 0x01018002);
    assert_int_equal(in(r, 0x0c, 4), 0x00800000);
    assert_int_equal(in(r, 0x2c, 4), 0x11001af4);
    assert_int_equal(in(r, 0x3c, 4), 0x00000100);
    assert_int_equal(in(r, 0x0b, 1), 0x01);
    assert_int_equal(in(r, 3, 2), 0x0000); /* any alignment: device high byte, command low byte */
    assert_int_equal(in(r, 0x2d, 4), 0x0011001a);
}

static void absent_function_reads_ones(void **state)
{
    struct rig *r = *state;
    assert_int_equal(rig_cfg_read(r, OTHER, 0, 4), 0xffffffff);
    assert_int_equal(rig_cfg_read(r, DEVFN + 1, 0, 2), 0xffff);
    rig_cfg_write(r, OTHER, 4, 2, 7);
    /* Beyond the space. */
    assert_int_equal(in(r, 254, 4), 0xffff0000);
    assert_int_equal(in(r, 256, 4), 0xffffffff);
    assert_int_equal(in(r, UINT32_MAX, 1), 0xff);
    out(r, 254, 4, 0x11223344);
    out(r, 256, 1, 1);
    out(r, UINT32_MAX, 4, 1);
    assert_int_equal(in(r, 254, 2), 0x3344);
}

/* The whole header written with ones, then with zeros: only the writable bits move [PCI 6.1, 6.2]. */
static void only_writable_bits_move(void **state)
{
    struct rig *r = *state;
    for (unsigned reg = 0; reg < 0x40; reg++)
        out(r, reg, 1, 0xff);
    assert_int_equal(in(r, 0, 4), 0x00015853);
    assert_int_equal(in(r, COMMAND, 2), 0x0507);
    assert_int_equal(in(r, STATUS, 2), 0x0280);
    assert_int_equal(in(r, 8, 4), 0x01018502); /* prog-if by the device's own register */
    assert_int_equal(in(r, 0x0c, 4), 0x008000ff);
    assert_int_equal(in(r, IO_BAR, 4), 0xfffffff1);
    assert_int_equal(in(r, MEM_BAR, 4), 0xfffff000);
    assert_int_equal(in(r, BIG_BAR, 4), 0xffff000c);
    assert_int_equal(in(r, BIG_BAR + 4, 4), 0xffffffff);
    assert_int_equal(in(r, NONE_BAR, 4), 0);
    assert_int_equal(in(r, VRAM_BAR, 4), 0xff000008);
    assert_int_equal(in(r, 0x28, 4), 0);
    assert_int_equal(in(r, ROM, 4), 0xfffff001);
    assert_int_equal(in(r, 0x34, 4), 0);
    assert_int_equal(in(r, 0x3c, 4), 0x000001ff);
    for (unsigned reg = 0; reg < 0x40; reg += 4)
        out(r, reg, 4, 0);
    assert_int_equal(in(r, COMMAND, 2), 0);
    assert_int_equal(in(r, IO_BAR, 4), 1);
    assert_int_equal(in(r, BIG_BAR, 4), 0x0c);
    assert_int_equal(in(r, ROM, 4), 0);
    assert_int_equal(in(r, 0x3c, 4), 0x00000100);
}

static void device_registers_follow_their_masks(void **state)
{
    struct rig *r = *state;
    out(r, 0x40, 4, 0xffffffff);
    assert_int_equal(in(r, 0x40, 4), 0x1122ff44);
    out(r, 0x44, 2, 0x7ff6); /* without a one, the clearable bit stays */
    assert_int_equal(in(r, 0x44, 2), 0x8006);
    out(r, 0x45, 1, 0x80);
    assert_int_equal(in(r, 0x44, 2), 0x0006);
    out(r, 0xc0, 4, 0xdeadbeef); /* unnamed: storage */
    assert_int_equal(in(r, 0xc0, 4), 0xdeadbeef);
    toy_of(r)->pci.config[STATUS + 1] |= 0x20; /* master abort */
    out(r, STATUS, 2, 0x2000);
    assert_int_equal(in(r, STATUS, 2), 0x0280);
}

static void device_is_told_of_writes(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, 0x41, 2, 0x1234);
    assert_true(toy->writes == 1 && toy->written_reg == 0x41 && toy->written_size == 2);
    assert_int_equal(in(r, 0x40, 4), 0x11223444);
    (void)in(r, 0x41, 2);
    assert_int_equal(toy->writes, 1);
}

static void io_bar_maps_when_decoded(void **state)
{
    struct rig *r = *state;
    out(r, IO_BAR, 4, 0xc000);
    assert_int_equal(rig_in8(r, 0xc002), 0xff);
    out(r, COMMAND, 2, PCI_COMMAND_IO);
    assert_int_equal(rig_in8(r, 0xc002), 0x42);
    out(r, IO_BAR + 1, 1, 0xc1); /* by one byte */
    assert_int_equal(rig_in8(r, 0xc002), 0xff);
    assert_int_equal(rig_in8(r, 0xc102), 0x42);
    out(r, IO_BAR, 4, 0x1c100); /* beyond the ports */
    assert_int_equal(rig_in8(r, 0xc102), 0xff);
    out(r, IO_BAR, 4, 0xfff0);
    assert_int_equal(rig_in8(r, 0xffff), 0x4f);
    out(r, IO_BAR, 4, 0);
    assert_int_equal(rig_in8(r, 0), 0xff);
    out(r, IO_BAR, 4, 0xc000);
    out(r, COMMAND, 2, 0);
    assert_int_equal(rig_in8(r, 0xc002), 0xff);
}

static void memory_bar_maps_and_tells(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(toy->moved[0].calls, 0); /* address 0 is no address */
    out(r, MEM_BAR, 4, 0xf3000123);           /* low bits fall away */
    assert_int_equal(in(r, MEM_BAR, 4), 0xf3000000);
    assert_true(toy->moved[0].calls == 1 && toy->moved[0].mapped && toy->moved[0].addr == 0xf3000000);
    assert_int_equal(rig_mmio_read(r, 0xf3000004, 4), 0x44);
    rig_mmio_write(r, 0xf3000ffc, 4, 1);
    assert_int_equal(toy->last_off, 0xffc);
    out(r, MEM_BAR, 4, 0xffffffff); /* sizing with decode on */
    assert_true(toy->moved[0].calls == 2 && !toy->moved[0].mapped);
    assert_int_equal(rig_mmio_read(r, 0xfffff000, 4), 0xffffffff);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, MEM_BAR, 4, 0xf3000000); /* the same again moves nothing */
    assert_int_equal(toy->moved[0].calls, 3);
    out(r, MEM_BAR, 4, 0xf4000000); /* one call per move */
    assert_true(toy->moved[0].calls == 4 && toy->moved[0].mapped && toy->moved[0].addr == 0xf4000000);
    out(r, COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    assert_true(toy->moved[0].calls == 5 && !toy->moved[0].mapped);
    assert_true(pci_is_master(&toy->pci));
}

static void bar_without_ops_is_the_devices_own(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, VRAM_BAR, 4, 0xf0000000);
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_true(toy->moved[1].calls == 1 && toy->moved[1].addr == 0xf0000000);
    assert_int_equal(r->memory.nr_regions, 0);
    pci_detach(&toy->pci);
    assert_true(toy->moved[1].calls == 2 && !toy->moved[1].mapped);
}

static void wide_bar_lies_above_4g(void **state)
{
    struct rig *r = *state;
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY);
    out(r, BIG_BAR, 4, 0xfe000000);
    assert_int_equal(rig_mmio_read(r, 0xfe000008, 4), 0x48);
    out(r, BIG_BAR + 4, 4, 0x12);
    assert_int_equal(rig_mmio_read(r, 0xfe000008, 4), 0xffffffff);
    assert_int_equal(rig_mmio_read(r, UINT64_C(0x12fe000008), 4), 0x48);
    out(r, BIG_BAR, 4, 0xffffffff); /* sizing: half by half, never mapped at the ends */
    assert_int_equal(r->memory.nr_regions, 1);
    out(r, BIG_BAR + 4, 4, 0xffffffff);
    assert_int_equal(r->memory.nr_regions, 0);
    out(r, BIG_BAR + 4, 4, 0);
    assert_int_equal(r->memory.nr_regions, 0);
}

static void rom_needs_its_enable_bit(void **state)
{
    struct rig *r = *state;
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY);
    out(r, ROM, 4, 0xf5000000);
    assert_int_equal(rig_mmio_read(r, 0xf5000000, 2), 0xffff);
    out(r, ROM, 4, 0xf5000001);
    assert_int_equal(rig_mmio_read(r, 0xf5000000, 2), 0xaa55);
    assert_true(rig_mmio_read(r, 0xf5000000, 8) == 0x06aa55);
    assert_int_equal(rig_mmio_read(r, 0xf5000000 + 2998, 4), 0xffff7700); /* behind the image */
    assert_int_equal(rig_mmio_read(r, 0xf5000fff, 1), 0xff);
    rig_mmio_write(r, 0xf5000000, 4, 0); /* writes vanish */
    assert_int_equal(rig_mmio_read(r, 0xf5000002, 1), 6);
    out(r, COMMAND, 2, 0);
    assert_int_equal(rig_mmio_read(r, 0xf5000000, 2), 0xffff);
}

static void overlap_waits_until_the_place_is_free(void **state)
{
    struct rig *r = *state;
    struct toy other = { 0 };
    other.pci.opaque = &other;
    other.pci.bars[0] = (struct pci_bar){ PCI_BAR_MEM32, 0x1000, &bar_ops, mem_moved };
    assert_int_equal(pci_attach(&other.pci, &r->pci, OTHER, &plain_desc), 0);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY);
    rig_cfg_write(r, OTHER, COMMAND, 2, PCI_COMMAND_MEMORY);
    rig_cfg_write(r, OTHER, 0x10, 4, 0xf3000000);
    assert_int_equal(other.moved[0].calls, 0);
    rig_mmio_write(r, 0xf3000010, 4, 0); /* the one that was there first has it */
    assert_int_equal(toy_of(r)->last_off, 0x10);
    out(r, MEM_BAR, 4, 0xf3800000); /* makes room */
    assert_true(other.moved[0].calls == 1 && other.moved[0].addr == 0xf3000000);
    rig_mmio_write(r, 0xf3000020, 4, 0);
    assert_int_equal(other.last_off, 0x20);
    assert_int_equal(toy_of(r)->last_off, 0x10);
    out(r, MEM_BAR, 4, 0xf3000000);
    pci_detach(&other.pci);
    rig_mmio_write(r, 0xf3000030, 4, 0); /* and by unplug */
    assert_int_equal(toy_of(r)->last_off, 0x30);
}

static void bar_sizes_are_checked(void **state)
{
    struct rig *r = *state;
    static const struct pci_bar bad[] = {
        { PCI_BAR_IO, 2 },          { PCI_BAR_IO, 0x10000 }, { PCI_BAR_MEM32, 8 },
        { PCI_BAR_MEM32, 0x1800 },  { PCI_BAR_MEM32, 0 },    { PCI_BAR_MEM32, UINT64_C(1) << 32 },
        { PCI_BAR_MEM64, 0x10001 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct pci_func func = { .bars = { bad[i] } };
        assert_int_equal(pci_attach(&func, &r->pci, OTHER, &plain_desc), -EINVAL);
        pci_detach(&func);
    }
    struct pci_func last = { .bars = { [5] = { PCI_BAR_MEM64, 0x1000 } } };
    assert_int_equal(pci_attach(&last, &r->pci, OTHER, &plain_desc), -EINVAL);
    struct pci_func both = { .bars = { [0] = { PCI_BAR_MEM64, 0x1000 }, [1] = { PCI_BAR_IO, 16 } } };
    assert_int_equal(pci_attach(&both, &r->pci, OTHER, &plain_desc), -EINVAL);
    struct pci_func taken = { 0 };
    assert_int_equal(pci_attach(&taken, &r->pci, DEVFN, &plain_desc), -EEXIST);
    pci_detach(&taken);
    assert_int_equal(in(r, 0, 2), 0x5853);
}

static void intx_shows_in_status_and_can_be_disabled(void **state)
{
    struct rig *r = *state;
    struct pci_func *func = &toy_of(r)->pci;
    unsigned wire = 16 + 4 * 3;
    pci_set_intx(func, true);
    assert_true(r->wires[wire]);
    assert_int_equal(in(r, STATUS, 2), 0x0288);
    out(r, COMMAND, 2, PCI_COMMAND_INTX_OFF);
    assert_false(r->wires[wire]);
    assert_int_equal(in(r, STATUS, 2), 0x0288); /* the bit tells all the same [PCI 6.2.3] */
    out(r, COMMAND + 1, 1, 0);
    assert_true(r->wires[wire]);
    pci_set_intx(func, true);
    assert_int_equal(r->wire_edges[wire], 2);
    pci_set_intx(func, false);
    assert_false(r->wires[wire]);
    assert_int_equal(in(r, STATUS, 2), 0x0280);
}

static void reset_restores_and_unmaps(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    for (unsigned reg = 0; reg < 256; reg += 4)
        out(r, reg, 4, 0x5a5a5a5a);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, COMMAND, 2, 3);
    pci_set_intx(&toy->pci, true);
    toy_reset(r->dev);
    assert_int_equal(r->memory.nr_regions + r->ports.nr_regions, 0);
    assert_false(toy->moved[0].mapped);
    assert_false(r->wires[16 + 12]);
    assert_int_equal(in(r, COMMAND, 4), 0x02800000);
    assert_int_equal(in(r, MEM_BAR, 4), 0);
    assert_int_equal(in(r, 0x40, 4), 0x11223344);
    assert_int_equal(in(r, 0x44, 2), 0x8001);
    assert_int_equal(in(r, 0xc0, 4), 0);
    assert_int_equal(in(r, LINE, 1), 0);
}

static void detach_is_final_and_harmless_twice(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, COMMAND, 2, 3);
    pci_set_intx(&toy->pci, true);
    pci_detach(&toy->pci);
    pci_detach(&toy->pci);
    assert_int_equal(in(r, 0, 4), 0xffffffff);
    assert_int_equal(r->memory.nr_regions, 0);
    assert_false(r->wires[16 + 12]);
    pci_reset(&toy->pci); /* the machine resets all devices, unplugged ones too */
    assert_int_equal(pci_restored(&toy->pci), 0);
    assert_int_equal(r->memory.nr_regions, 0);
    assert_int_equal(pci_attach(&toy->pci, &r->pci, DEVFN, &desc), 0); /* plugged in again */
    assert_int_equal(in(r, 0, 2), 0x5853);
}

static void moved_may_unplug_the_function(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, BIG_BAR, 4, 0xf3800000);
    unsigned writes = toy->writes;
    toy->detach_when_moved = true;
    out(r, COMMAND, 2, PCI_COMMAND_MEMORY); /* the first BAR ends it, the second must not come */
    assert_int_equal(r->memory.nr_regions, 0);
    assert_int_equal(toy->moved[0].calls, 2);
    assert_int_equal(toy->writes, writes);
    assert_int_equal(in(r, 0, 4), 0xffffffff);
}

static void snapshot_maps_again(void **state)
{
    struct rig *r = *state;
    struct toy *toy = toy_of(r);
    out(r, MEM_BAR, 4, 0xf3000000);
    out(r, IO_BAR, 4, 0xc000);
    out(r, ROM, 4, 0xf5000001);
    out(r, COMMAND, 2, 7);
    out(r, 0xc0, 4, 0xdeadbeef);
    pci_set_intx(&toy->pci, true);
    rig_save(r);
    toy_reset(r->dev);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(rig_in8(r, 0xc003), 0x43);
    assert_int_equal(rig_mmio_read(r, 0xf3000000, 1), 0x40);
    assert_int_equal(rig_mmio_read(r, 0xf5000000, 1), 0x55);
    assert_int_equal(in(r, 0xc0, 4), 0xdeadbeef);
    assert_int_equal(in(r, STATUS, 2), 0x0280); /* the device derives its line itself */
    assert_false(r->wires[16 + 12]);
}

static void hostile_snapshot_is_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint8_t reg, val;
    } bad[] = {
        { 0x00, 0x54 }, { COMMAND, 0x08 }, { COMMAND + 1, 0x02 }, { STATUS, 0x90 },      { 0x0d, 0x40 },
        { 0x0e, 0x01 }, { IO_BAR, 0x00 },  { IO_BAR, 0x05 },      { MEM_BAR + 1, 0x01 }, { BIG_BAR, 0x08 },
        { 0x20, 0x01 }, { ROM, 0x02 },     { 0x34, 0x40 },        { PCI_INT_PIN, 2 },    { 0x40, 0x45 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        rig_save(r);
        rig_poke_at(r, "pci.config", bad[i].reg, bad[i].val);
        assert_int_equal(rig_restore(r), -EINVAL);
        toy_reset(r->dev); /* the refused image left no trace */
        assert_int_equal(in(r, 0, 4), 0x00015853);
    }
    rig_save(r);
    rig_poke_at(r, "pci.config", STATUS, 0x88); /* the INTx bit is no secret, but it is derived */
    rig_poke_at(r, "pci.config", STATUS + 1, 0xfa);
    assert_int_equal(rig_restore(r), 0);
    assert_int_equal(in(r, STATUS, 2), 0xfa80);
}

struct seen {
    unsigned present, gone;
    uint8_t devfn;
};

static void listener(void *opaque, uint8_t devfn, bool present)
{
    struct seen *seen = opaque;
    seen->devfn = devfn;
    if (present)
        seen->present++;
    else
        seen->gone++;
}

static void listener_hears_of_functions(void **state)
{
    struct rig *r = *state;
    struct seen seen = { 0 };
    const struct pci_listener hook = { listener, &seen };
    struct pci_func func = { 0 };
    r->pci.listener = &hook;
    assert_int_equal(pci_attach(&func, &r->pci, 0xff, &plain_desc), 0);
    assert_true(seen.present == 1 && seen.devfn == 0xff);
    pci_detach(&func);
    pci_detach(&func);
    assert_true(seen.gone == 1 && seen.devfn == 0xff);
    r->pci.listener = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(header_tells_who_it_is, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(absent_function_reads_ones, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(only_writable_bits_move, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(device_registers_follow_their_masks, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(device_is_told_of_writes, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(io_bar_maps_when_decoded, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(memory_bar_maps_and_tells, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(bar_without_ops_is_the_devices_own, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(wide_bar_lies_above_4g, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(rom_needs_its_enable_bit, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(overlap_waits_until_the_place_is_free, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(bar_sizes_are_checked, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(intx_shows_in_status_and_can_be_disabled, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(reset_restores_and_unmaps, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(detach_is_final_and_harmless_twice, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(moved_may_unplug_the_function, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(snapshot_maps_again, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(hostile_snapshot_is_refused, setup, rig_teardown),
        cmocka_unit_test_setup_teardown(listener_hears_of_functions, setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
