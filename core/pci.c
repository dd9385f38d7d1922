/*
 * The PCI bus: see pci.h. What a register lets the guest do is in three masks per function, computed once at attach; a
 * write goes through them, then BARs and the INTx line are derived from the configuration space anew.
 */
#include <thindm/pci.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/*
 * Writable bits of the standard header, those of the machine that Xen guests know: its functions have no parity
 * response bit and no latency timer. [PCI 6.2.2, 6.2.4]
 */
enum { CACHE_LINE = 0x0c, SERR_ENABLE = 0x100 };
enum { COMMAND_WMASK = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | SERR_ENABLE | PCI_COMMAND_INTX_OFF };
enum { STATUS_INTX = 0x08, STATUS_W1C = 0xf900 }; /* [PCI 6.2.3] */
/* Low bits of a BAR [PCI 6.2.5.1] and of the ROM BAR [PCI 6.2.5.2]. */
enum { BAR_IO = 0x1, BAR_64 = 0x4, BAR_PREFETCH = 0x8, ROM_ENABLE = 0x1, ROM_MIN_BYTES = 0x800 };
enum { HEADER_BYTES = 0x40, IO_MIN_BYTES = 4, MEM_MIN_BYTES = 16 };

static unsigned bar_reg(unsigned i)
{
    return i == PCI_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * i;
}

static bool is_64bit(const struct pci_bar *bar)
{
    return bar->kind == PCI_BAR_MEM64 || bar->kind == PCI_BAR_MEM64_PREFETCH;
}

/* Bytes of the image behind rom_bytes read ones; the bus lets nothing beyond the BAR through. */
static uint64_t rom_read(void *opaque, uint64_t off, unsigned size)
{
    const struct pci_func *func = opaque;
    uint64_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= (uint64_t)(off + i < func->rom_bytes ? func->rom[off + i] : 0xff) << (8 * i);
    return val;
}

static const struct bus_ops rom_ops = { .read = rom_read, .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8 };

void pci_bus_init(struct pci_bus *bus, struct bus *ports, struct bus *memory, struct irq_board *irqs)
{
    *bus = (struct pci_bus){ .ports = ports, .memory = memory, .irqs = irqs };
}

/* Where the registers and the command say that region i is, or PCI_UNMAPPED. */
static uint64_t decoded_addr(const struct pci_func *func, unsigned i)
{
    const struct pci_bar *bar = &func->bars[i];
    const uint8_t *reg = func->config + bar_reg(i);
    uint64_t limit = bar->kind == PCI_BAR_IO ? 0xffff : is_64bit(bar) ? UINT64_MAX - 1 : UINT32_MAX - 1;
    if (bar->kind == PCI_BAR_NONE)
        return PCI_UNMAPPED;
    if (!(func->config[PCI_COMMAND] & (bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return PCI_UNMAPPED;
    if (i == PCI_ROM && !(*reg & ROM_ENABLE))
        return PCI_UNMAPPED;
    uint64_t addr = (is_64bit(bar) ? le64_get(reg) : le32_get(reg)) & ~(bar->size - 1);
    /*
     * No guest means 0 or a memory BAR up to the very end, where BIOS and sizing (all ones written while decode is on)
     * are. A 64-bit BAR is sized by halves: its lower half alone must not take the end of the first 4 GiB either.
     */
    if (addr == 0 || addr > limit || bar->size - 1 > limit - addr)
        return PCI_UNMAPPED;
    if (bar->kind != PCI_BAR_IO && addr + (bar->size - 1) == UINT32_MAX)
        return PCI_UNMAPPED;
    return addr;
}

static int attach_region(struct pci_func *func, unsigned i, uint64_t addr)
{
    const struct pci_bar *bar = &func->bars[i];
    struct bus *space = bar->kind == PCI_BAR_IO ? func->bus->ports : func->bus->memory;
    if (i == PCI_ROM)
        return bus_attach(space, &func->regions[i], &rom_ops, func, addr, bar->size);
    if (!bar->ops) /* the device maps something itself, in moved() */
        return 0;
    return bus_attach(space, &func->regions[i], bar->ops, func->opaque, addr, bar->size);
}

/* Bring region i to addr. What overlaps a region that was there first stays unmapped. True: an address became free. */
static bool move_region(struct pci_func *func, unsigned i, uint64_t addr)
{
    uint64_t old = func->mapped[i];
    if (addr == old)
        return false;
    bus_detach(&func->regions[i]);
    if (addr != PCI_UNMAPPED && attach_region(func, i, addr))
        addr = PCI_UNMAPPED;
    func->mapped[i] = addr;
    if (addr != old && func->bars[i].moved)
        func->bars[i].moved(func->opaque, addr, addr != PCI_UNMAPPED);
    return old != PCI_UNMAPPED;
}

/* A region may have waited for an address that another function just left: guests move BARs past one another. */
static void map_waiting(struct pci_bus *bus)
{
    for (unsigned devfn = 0; devfn < PCI_NR_FUNCTIONS; devfn++) {
        struct pci_func *func = bus->functions[devfn];
        for (unsigned i = 0; func && func->bus && i < PCI_NR_REGIONS; i++) {
            if (func->mapped[i] == PCI_UNMAPPED)
                (void)move_region(func, i, decoded_addr(func, i));
        }
    }
}

/* moved() may take the function off the bus: look again before each step. */
static void update_regions(struct pci_func *func)
{
    bool left = false;
    for (unsigned i = 0; func->bus && i < PCI_NR_REGIONS; i++)
        left |= move_region(func, i, decoded_addr(func, i));
    if (left && func->bus)
        map_waiting(func->bus);
}

static void update_intx(struct pci_func *func)
{
    uint8_t *status = func->config + PCI_STATUS;
    bool enabled = !(le16_get(func->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF);
    *status = (uint8_t)((*status & ~STATUS_INTX) | (func->intx_level ? STATUS_INTX : 0));
    irq_set(&func->intx, func->intx_level && enabled);
}

void pci_set_intx(struct pci_func *func, bool level)
{
    func->intx_level = level;
    update_intx(func);
}

static int check_bars(struct pci_func *func)
{
    for (unsigned i = 0; i < PCI_ROM; i++) {
        const struct pci_bar *bar = &func->bars[i];
        uint64_t min = bar->kind == PCI_BAR_IO ? IO_MIN_BYTES : MEM_MIN_BYTES;
        uint64_t max = bar->kind == PCI_BAR_IO ? 0x8000 : is_64bit(bar) ? UINT64_C(1) << 62 : UINT64_C(1) << 31;
        if (bar->kind == PCI_BAR_NONE)
            continue;
        if (!is_pow2(bar->size) || bar->size < min || bar->size > max)
            return -EINVAL;
        if (is_64bit(bar) && (i + 1 == PCI_ROM || func->bars[i + 1].kind != PCI_BAR_NONE))
            return -EINVAL;
    }
    if (func->rom_bytes > UINT64_C(1) << 31)
        return -EINVAL;
    return 0;
}

static void init_bars(struct pci_func *func)
{
    struct pci_bar *rom = &func->bars[PCI_ROM];
    *rom = (struct pci_bar){ .kind = PCI_BAR_NONE };
    if (func->rom && func->rom_bytes > 0) {
        rom->kind = PCI_BAR_MEM32;
        for (rom->size = ROM_MIN_BYTES; rom->size < func->rom_bytes;)
            rom->size *= 2;
    }
    for (unsigned i = 0; i < PCI_NR_REGIONS; i++) {
        const struct pci_bar *bar = &func->bars[i];
        uint8_t *wmask = func->wmask + bar_reg(i), *reset = func->reset + bar_reg(i);
        func->mapped[i] = PCI_UNMAPPED;
        if (bar->kind == PCI_BAR_NONE)
            continue;
        le_put(wmask, is_64bit(bar) ? 8 : 4, ~(bar->size - 1));
        if (i == PCI_ROM)
            *wmask |= ROM_ENABLE;
        if (bar->kind == PCI_BAR_IO)
            *reset |= BAR_IO;
        if (is_64bit(bar))
            *reset |= BAR_64;
        if (bar->kind == PCI_BAR_MEM32_PREFETCH || bar->kind == PCI_BAR_MEM64_PREFETCH)
            *reset |= BAR_PREFETCH;
    }
}

static void init_header(struct pci_func *func)
{
    const struct pci_desc *desc = func->desc;
    uint8_t *reset = func->reset;
    le16_put(reset + PCI_VENDOR, desc->vendor);
    le16_put(reset + PCI_DEVICE, desc->device);
    le16_put(reset + PCI_COMMAND, desc->command_reset);
    le16_put(reset + PCI_STATUS, desc->status_reset);
    reset[PCI_REVISION] = desc->revision;
    le_put(reset + PCI_CLASS_PROG, 3, desc->class_code);
    reset[PCI_HEADER_TYPE] = desc->header_type;
    le16_put(reset + PCI_SUBVENDOR, desc->subvendor);
    le16_put(reset + PCI_SUBDEVICE, desc->subdevice);
    reset[PCI_INT_PIN] = desc->pin;

    le16_put(func->wmask + PCI_COMMAND, COMMAND_WMASK);
    func->wmask[CACHE_LINE] = 0xff;
    func->wmask[PCI_INT_LINE] = 0xff;
    memset(func->wmask + HEADER_BYTES, 0xff, PCI_CONFIG_BYTES - HEADER_BYTES);
    le16_put(func->w1c + PCI_STATUS, STATUS_W1C);
    func->hwmask[PCI_STATUS] = STATUS_INTX;
}

static void init_masks(struct pci_func *func)
{
    memset(func->wmask, 0, sizeof(func->wmask));
    memset(func->w1c, 0, sizeof(func->w1c));
    memset(func->hwmask, 0, sizeof(func->hwmask));
    memset(func->reset, 0, sizeof(func->reset));
    init_header(func);
    init_bars(func);
    for (unsigned i = 0; i < func->desc->nr_regs; i++) {
        const struct pci_reg *reg = &func->desc->regs[i];
        assert(reg->size >= 1 && reg->size <= 4 && reg->reg + reg->size <= PCI_CONFIG_BYTES);
        le_put(func->reset + reg->reg, reg->size, reg->reset);
        le_put(func->wmask + reg->reg, reg->size, reg->wmask);
        le_put(func->w1c + reg->reg, reg->size, reg->w1c);
    }
}

int pci_attach(struct pci_func *func, struct pci_bus *bus, uint8_t devfn, const struct pci_desc *desc)
{
    assert(!func->bus && desc->pin <= IRQ_PCI_PINS);
    if (bus->functions[devfn])
        return -EEXIST;
    int err = check_bars(func);
    if (err)
        return err;
    func->desc = desc;
    func->devfn = devfn;
    init_masks(func);
    memcpy(func->config, func->reset, sizeof(func->config));
    func->intx = (struct irq){ 0 };
    func->intx_level = false;
    if (bus->irqs && desc->pin > 0)
        func->intx = irq_intx(bus->irqs, devfn >> 3, desc->pin - 1u);
    func->bus = bus;
    bus->functions[devfn] = func;
    update_regions(func);
    if (bus->listener)
        bus->listener->changed(bus->listener->opaque, devfn, true);
    return 0;
}

void pci_detach(struct pci_func *func)
{
    struct pci_bus *bus = func->bus;
    if (!bus)
        return;
    if (bus->listener)
        bus->listener->changed(bus->listener->opaque, func->devfn, false);
    bus->functions[func->devfn] = NULL;
    func->bus = NULL; /* from here on a second call is harmless, from moved() too */
    pci_set_intx(func, false);
    for (unsigned i = 0; i < PCI_NR_REGIONS; i++)
        (void)move_region(func, i, PCI_UNMAPPED);
    map_waiting(bus);
}

void pci_reset(struct pci_func *func)
{
    memcpy(func->config, func->reset, sizeof(func->config));
    func->intx_level = false;
    update_intx(func);
    update_regions(func);
}

int pci_restored(struct pci_func *func)
{
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        uint8_t free_bits = func->wmask[i] | func->w1c[i] | func->hwmask[i];
        if ((func->config[i] ^ func->reset[i]) & ~free_bits)
            return -EINVAL;
    }
    func->intx_level = false;
    update_intx(func);
    update_regions(func);
    return 0;
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, unsigned reg, unsigned size)
{
    const struct pci_func *func = bus->functions[devfn];
    uint32_t val = 0;
    for (unsigned i = 0; i < size; i++)
        val |= (uint32_t)(func && reg + i < PCI_CONFIG_BYTES ? func->config[reg + i] : 0xff) << (8 * i);
    return val;
}

static bool touches(unsigned reg, unsigned size, unsigned first, unsigned bytes)
{
    return reg < first + bytes && first < reg + size;
}

void pci_config_write(struct pci_bus *bus, uint8_t devfn, unsigned reg, unsigned size, uint32_t val)
{
    struct pci_func *func = bus->functions[devfn];
    if (!func || reg >= PCI_CONFIG_BYTES)
        return;
    for (unsigned i = 0; i < size && reg + i < PCI_CONFIG_BYTES; i++) {
        uint8_t byte = (uint8_t)(val >> (8 * i)), *to = &func->config[reg + i], wmask = func->wmask[reg + i];
        *to = (uint8_t)(((*to & ~wmask) | (byte & wmask)) & ~(byte & func->w1c[reg + i]));
    }
    if (touches(reg, size, PCI_COMMAND, 2))
        update_intx(func);
    if (touches(reg, size, PCI_COMMAND, 2) || touches(reg, size, PCI_BAR0, 4 * PCI_NR_BARS) ||
        touches(reg, size, PCI_ROM_BAR, 4))
        update_regions(func);
    /* moved() may have unplugged the function. */
    if (func->bus && func->config_written)
        func->config_written(func->opaque, reg, size);
}
