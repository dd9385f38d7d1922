/* The simulated hypervisor and its clock: what a CPU sees, what the device model's calls do. */
#include "sim-world.h"

#include <time.h>

#define LOW_LIMIT  (6 * MIB)
#define HIGH_BYTES (BASE_RAM - LOW_LIMIT)

static int setup(void **state)
{
    *state = world_new(&(struct sim_config){ .ram_bytes = BASE_RAM, .max_ram_below_4g = LOW_LIMIT, .nr_vcpus = 2 });
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void ports_go_through_the_page(void **state)
{
    struct world *w = *state;
    assert_int_equal(sim_port_read(w->sim, PORT, 1), 0x00);
    assert_int_equal(sim_port_read(w->sim, PORT + 1, 4), 0x55667701);
    sim_port_write(w->sim, PORT + 3, 2, 0xabcd1234);
    assert_int_equal(w->port.offs[0], 3);
    assert_int_equal(w->port.vals[0], 0x1234);
    assert_int_equal(w->port.sizes[0], 2);
    assert_int_equal(sim_engine(w->sim)->served, 3);
    assert_int_equal(sim_pages(w->sim)[IOREQ_FLAGS] & IOREQ_STATE_MASK, IOREQ_NONE);
}

/* Xen sends a request to the server that has all of its ports, and answers the rest itself. */
static void unclaimed_accesses_never_reach_the_engine(void **state)
{
    struct world *w = *state;
    assert_int_equal(sim_port_read(w->sim, 0x80, 1), 0xff);
    assert_int_equal(sim_port_read(w->sim, PORT + NR_PORTS - 2, 4), 0xffffffff);
    sim_port_write(w->sim, 0xffff, 4, 0);
    assert_int_equal(sim_port_read(w->sim, 0xfffe, 4), 0xffffffff);
    assert_int_equal(sim_mem_read(w->sim, 0xe0000000, 4), 0xffffffff);
    assert_int_equal(sim_mem_read(w->sim, MMIO - 4, 4), 0xffffffff);
    assert_int_equal(sim_config_read(w->sim, 0, 0, 4), 0xffffffff);
    sim_port_write(w->sim, 0xcf8, 4, 0x80000000);
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 4), 0xffffffff);
    assert_int_equal(sim_engine(w->sim)->served, 0);
}

static void claims_are_checked_and_merged(void **state)
{
    struct world *w = *state;
    const struct hv_ops *ops = w->hv->ops;
    assert_int_equal(ops->port_range(w->hv, PORT + 4, PORT + 20, true), -EEXIST);
    assert_int_equal(ops->port_range(w->hv, 0x400, 0x10000, true), -EINVAL);
    assert_int_equal(ops->port_range(w->hv, 0x400, 0x407, false), -ENOENT);
    assert_int_equal(ops->port_range(w->hv, PORT + NR_PORTS, PORT + NR_PORTS, true), 0);
    assert_true(sim_port_claimed(w->sim, PORT + NR_PORTS - 1, 2));
    assert_int_equal(ops->mmio_range(w->hv, MMIO + 16, MMIO + 31, true), -EEXIST);
    assert_int_equal(ops->mmio_range(w->hv, MMIO + MMIO_LEN, MMIO + MMIO_LEN + 0xfff, true), 0);
    assert_int_equal(ops->mmio_range(w->hv, MMIO - 0x1000, MMIO - 1, true), 0);
    assert_true(sim_mem_claimed(w->sim, MMIO - 4, 8));
    assert_true(sim_mem_claimed(w->sim, MMIO + MMIO_LEN - 1, 2));
    assert_int_equal(ops->mmio_range(w->hv, MMIO - 0x1000, MMIO - 1, false), 0);
    assert_int_equal(ops->mmio_range(w->hv, MMIO - 0x1000, MMIO - 1, false), -ENOENT);
    assert_false(sim_mem_claimed(w->sim, MMIO - 4, 8));
    assert_int_equal(ops->mmio_range(w->hv, UINT64_MAX - 3, UINT64_MAX, true), 0);
    assert_true(sim_mem_claimed(w->sim, UINT64_MAX - 3, 4));
    assert_false(sim_mem_claimed(w->sim, UINT64_MAX - 3, 8));
    assert_int_equal(ops->mmio_range(w->hv, 2, 1, true), -EINVAL);
    assert_int_equal(ops->pci_function(w->hv, DEVFN, true), -EEXIST);
    assert_int_equal(ops->pci_function(w->hv, DEVFN + 1, false), -ENOENT);
}

/* As many as Xen keeps; a hole in the middle takes one more. */
static void claims_are_bounded(void **state)
{
    struct world *w = *state;
    const struct hv_ops *ops = w->hv->ops;
    uint64_t addr = UINT64_C(0xe0000000);
    unsigned nr = 0;
    while (ops->mmio_range(w->hv, addr + nr * 32, addr + nr * 32 + 15, true) == 0)
        nr++;
    assert_int_equal(nr, 255);
    assert_int_equal(ops->mmio_range(w->hv, addr + 4, addr + 7, false), -ENOSPC);
    assert_int_equal(ops->mmio_range(w->hv, addr, addr + 7, false), 0);
    assert_int_equal(ops->mmio_range(w->hv, addr + 8, addr + 15, false), 0);
    assert_int_equal(ops->mmio_range(w->hv, addr + 36, addr + 39, false), 0);
}

static void configuration_cycles(void **state)
{
    struct world *w = *state;
    assert_int_equal(sim_config_read(w->sim, DEVFN, 0, 4), 0x00015853);
    sim_port_write(w->sim, 0xcf8, 4, 0x80001803); /* Xen drops the low bits: the data port has them */
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 4), 0x00015853);
    assert_int_equal(sim_port_read(w->sim, 0xcfe, 2), 0x0001);
    sim_port_write(w->sim, 0xcf8, 4, 0x80001804);
    sim_port_write(w->sim, 0xcfc, 2, PCI_COMMAND_MASTER);
    assert_int_equal(sim_config_read(w->sim, DEVFN, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
    sim_config_write(w->sim, DEVFN, PCI_COMMAND, 2, 0);
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 2), 0);
    sim_port_write(w->sim, 0xcf8, 2, 0x1234); /* only a dword changes the address */
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 2), 0);
    sim_port_write(w->sim, 0xcf8, 4, 0x80011800); /* bus 1 */
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 4), 0xffffffff);
    sim_port_write(w->sim, 0xcf8, 4, 0x00001800); /* disabled: the port is a port */
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 4), 0xffffffff);
}

static void low_bits_of_the_address_count_for_test_clients(void **state)
{
    struct world *w =
        world_new(&(struct sim_config){ .max_ram_below_4g = MIB, .nr_vcpus = 1, .cf8_low_bits = true });
    sim_port_write(w->sim, 0xcf8, 4, 0x80001802);
    assert_int_equal(sim_port_read(w->sim, 0xcfc, 2), 0x0001);
    assert_int_equal(sim_port_read(w->sim, 0xcfd, 1), 0x00);
    world_free(w);
}

static void ram_has_holes(void **state)
{
    struct world *w = *state;
    sim_mem_write(w->sim, 0x9fffc, 8, 0x1122334455667788); /* the upper half falls into the VGA window */
    assert_int_equal(sim_mem_read(w->sim, 0x9fffc, 8), 0xffffffff55667788);
    assert_int_equal(sim_mem_read(w->sim, 0xa0000, 4), 0xffffffff);
    sim_mem_write(w->sim, 0xc0000, 4, 0xaabbccdd);
    assert_int_equal(sim_mem_read(w->sim, 0xc0001, 2), 0xbbcc);
    sim_mem_write(w->sim, LOW_LIMIT - 2, 4, 0x12345678);
    assert_int_equal(sim_mem_read(w->sim, LOW_LIMIT - 2, 4), 0xffff5678);
    sim_mem_write(w->sim, 4 * GIB, 8, 42);
    assert_int_equal(sim_mem_read(w->sim, 4 * GIB, 8), 42);
    assert_int_equal(sim_mem_read(w->sim, 4 * GIB + HIGH_BYTES, 1), 0xff);
    assert_int_equal(sim_mem_read(w->sim, UINT64_MAX, 1), 0xff);
    uint32_t val;
    assert_int_equal(mem_read(&w->mem, 4 * GIB, &val, 4), 0);
    assert_int_equal(val, 42);
    assert_int_equal(mem_read(&w->mem, 4 * GIB + HIGH_BYTES, &val, 4), -EFAULT);
    assert_int_equal(mem_read(&w->mem, 0xa0000, &val, 4), -EFAULT);
    assert_int_equal(mem_read(&w->mem, LOW_LIMIT, &val, 4), -EFAULT);
    assert_int_equal(sim_engine(w->sim)->served, 0);
}

/* [emulate.c, hvmemul_phys_mmio_access()] at pages, then the largest power of two that is left. */
static void mmio_is_split_as_xen_does(void **state)
{
    struct world *w = *state;
    sim_mem_write(w->sim, MMIO + 1, 7, 0x77665544332211);
    assert_int_equal(w->mmio.writes, 3);
    assert_int_equal(w->mmio.sizes[0], 4);
    assert_int_equal(w->mmio.vals[0], 0x44332211);
    assert_int_equal(w->mmio.offs[1], 5);
    assert_int_equal(w->mmio.sizes[1], 2);
    assert_int_equal(w->mmio.vals[2], 0x77);
    sim_mem_write(w->sim, MMIO + 0xffe, 8, 0x8877665544332211);
    assert_int_equal(w->mmio.sizes[3], 2);
    assert_int_equal(w->mmio.offs[4], 0x1000);
    assert_int_equal(w->mmio.sizes[4], 4);
    assert_int_equal(w->mmio.vals[5], 0x8877);
    assert_int_equal(sim_mem_read(w->sim, MMIO, 8), 0x1122334455667700);
}

/* RO is for the guest's CPUs; devices and the tester go past it. */
static void read_only_memory(void **state)
{
    struct world *w = *state;
    uint32_t val = 2;
    sim_mem_write(w->sim, 0xc0000, 4, 1);
    assert_int_equal(w->hv->ops->set_memtype(w->hv, 0xc0, 64, HV_RAM_RO), 0);
    sim_mem_write(w->sim, 0xc0000, 4, 7);
    sim_mem_write(w->sim, 0xbffff, 2, 0);
    assert_int_equal(sim_mem_read(w->sim, 0xc0000, 4), 1);
    assert_int_equal(mem_write(&w->mem, 0xc0000, &val, 4), 0);
    assert_int_equal(sim_mem_read(w->sim, 0xc0000, 4), 2);
    assert_int_equal(w->hv->ops->set_memtype(w->hv, 0xc0, 64, HV_RAM_RW), 0);
    sim_mem_write(w->sim, 0xc0000, 4, 7);
    assert_int_equal(sim_mem_read(w->sim, 0xc0000, 4), 7);
    assert_int_equal(w->hv->ops->set_memtype(w->hv, 0, UINT64_MAX, HV_RAM_RO), -EINVAL);
}

static void video_memory_moves(void **state)
{
    struct world *w = *state;
    const struct hv_ops *ops = w->hv->ops;
    const uint64_t bar = UINT64_C(0xe0000000);
    void *vram;
    uint8_t dirty[2], byte;
    assert_int_equal(ops->vram_move(w->hv, 5), -EINVAL);
    assert_int_equal(ops->vram_create(w->hv, 16, &vram), 0);
    assert_int_equal(ops->vram_create(w->hv, 16, &vram), -EINVAL);
    memset(vram, 0xab, 16 * PAGE_BYTES);
    assert_int_equal(sim_mem_read(w->sim, bar, 4), 0xffffffff);
    assert_int_equal(sim_mem_read(w->sim, 4 * GIB + HIGH_BYTES, 4), 0xabababab); /* parked behind RAM, as on Xen */
    assert_int_equal(ops->vram_move(w->hv, bar >> PAGE_SHIFT), 0);
    mem_invalidate(&w->mem);
    assert_int_equal(sim_mem_read(w->sim, bar + 15 * PAGE_BYTES + 4092, 8), 0xffffffffabababab);
    assert_int_equal(mem_read(&w->mem, bar, &byte, 1), 0);
    assert_int_equal(byte, 0xab);
    assert_int_equal(mem_read(&w->mem, bar + 16 * PAGE_BYTES, &byte, 1), -EFAULT);
    assert_int_equal(ops->vram_dirty(w->hv, bar >> PAGE_SHIFT, 16, dirty), 0);
    assert_memory_equal(dirty, "\xff\xff", 2); /* nobody knows what was before */
    sim_mem_write(w->sim, bar + 9 * PAGE_BYTES, 4, 0x01020304);
    assert_int_equal(((uint8_t *)vram)[9 * PAGE_BYTES], 4);
    assert_int_equal(ops->vram_dirty(w->hv, bar >> PAGE_SHIFT, 16, dirty), 0);
    assert_memory_equal(dirty, "\x00\x02", 2);
    assert_int_equal(ops->vram_dirty(w->hv, bar >> PAGE_SHIFT, 16, dirty), 0);
    assert_memory_equal(dirty, "\x00\x00", 2);
    assert_int_equal(ops->vram_dirty(w->hv, bar >> PAGE_SHIFT, 0, NULL), 0);
    assert_int_equal(ops->vram_move(w->hv, HV_VRAM_PARKED), 0);
    assert_int_equal(sim_mem_read(w->sim, bar, 4), 0xffffffff);
    mem_invalidate(&w->mem);
    ops->vram_destroy(w->hv);
}

static void the_tester_reaches_all_memory(void **state)
{
    struct world *w = *state;
    uint8_t buf[16], zeros[16] = { 0 };
    uint64_t bytes;
    memset(buf, 0x11, sizeof(buf));
    sim_ram_write(w->sim, 0x9fff8, buf, sizeof(buf));
    memset(buf, 0xff, sizeof(buf));
    sim_ram_read(w->sim, 0x9fff8, buf, sizeof(buf));
    assert_memory_equal(buf, "\x11\x11\x11\x11\x11\x11\x11\x11\0\0\0\0\0\0\0\0", 16);
    assert_non_null(sim_ram(w->sim, 0x9fff8, &bytes));
    assert_int_equal(bytes, 8);
    assert_null(sim_ram(w->sim, 0xa0000, &bytes));
    assert_non_null(sim_ram(w->sim, MIB, &bytes));
    assert_int_equal(bytes, LOW_LIMIT - MIB);
    sim_ram_write(w->sim, 0x9fffa, NULL, 4);
    sim_ram_read(w->sim, 0x9fff8, buf, 8);
    assert_memory_equal(buf, "\x11\x11\0\0\0\0\x11\x11", 8);
    /* Clearing sees the CPU's writes and, with the dirty log on, the devices'. */
    mem_set_dirty_log(&w->mem, true);
    assert_int_equal(mem_write(&w->mem, 4 * GIB + 8, "x", 1), 0);
    sim_mem_write(w->sim, MIB, 1, 0x33);
    sim_ram_clear(w->sim);
    sim_ram_read(w->sim, 0x9fff0, buf, 16);
    assert_memory_equal(buf, zeros, 16);
    assert_int_equal(sim_mem_read(w->sim, MIB, 1), 0);
    assert_int_equal(sim_mem_read(w->sim, 4 * GIB + 8, 1), 0);
}

/* [emulate.c, hvmemul_do_io_addr()]: at most a page of guest memory per request. */
static void strings_go_by_pages(void **state)
{
    struct world *w = *state;
    struct sim_string s = { .read = true, .size = 2, .addr = MIB + 0xffc, .count = 4 };
    sim_port_string(w->sim, PORT + 4, &s);
    assert_int_equal(sim_engine(w->sim)->served, 2);
    assert_int_equal(w->port.blocks, 2);
    assert_int_equal(sim_mem_read(w->sim, MIB + 0xffc, 8), 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(sim_mem_read(w->sim, MIB + 0x1004, 1), 0);

    s = (struct sim_string){ .size = 4, .addr = MIB + 0xffe, .count = 2, .descending = true };
    sim_mem_write(w->sim, MIB + 0xffa, 8, 0x8877665544332211);
    sim_port_string(w->sim, PORT, &s); /* the first element straddles */
    assert_int_equal(w->port.writes, 2);
    assert_int_equal(w->port.vals[0], 0x88776655);
    assert_int_equal(w->port.vals[1], 0x44332211);
    assert_int_equal(sim_engine(w->sim)->served, 4);

    s = (struct sim_string){ .read = false, .size = 8, .addr = MIB, .count = 3 };
    sim_mem_string(w->sim, MMIO + 0xff0, &s);
    assert_int_equal(w->mmio.writes, 3);
    assert_int_equal(w->mmio.offs[2], 0x1000);
    assert_int_equal(sim_engine(w->sim)->served, 6);
    sim_mem_string(w->sim, MMIO + MMIO_LEN - 8, &s); /* what is behind the first nobody claimed */
    assert_int_equal(w->mmio.writes, 4);
    s.size = 4;
    sim_port_string(w->sim, 0x80, &s);
    assert_int_equal(sim_engine(w->sim)->served, 7);
}

static void posted_writes_come_before_the_next_request(void **state)
{
    struct world *w = *state;
    assert_true(sim_post(w->sim, IOREQ_PIO, PORT, 1, 0x41));
    assert_int_equal(w->port.writes, 0);
    assert_int_equal(sim_port_read(w->sim, PORT, 1), 0);
    assert_int_equal(w->port.writes, 1);
    assert_int_equal(w->port.vals[0], 0x41);
    assert_false(sim_post(w->sim, IOREQ_COPY, MIB, 1, 0));
    /* Twice round the ring, with slots of one and two places. */
    for (unsigned i = 0; i < 400; i++) {
        assert_true(sim_post(w->sim, IOREQ_PIO, PORT + 8, 4, i));
        assert_true(sim_post(w->sim, IOREQ_COPY, 0xa0000, 8, i));
        sim_drain(w->sim);
    }
    assert_int_equal(w->port.writes, 401);
    assert_int_equal(w->port.vals[400 % 64], 399);
    unsigned room = 0;
    while (sim_post(w->sim, IOREQ_PIO, PORT, 2, room))
        room++;
    assert_int_equal(room, IOREQ_RING_SLOTS);
    assert_false(sim_post(w->sim, IOREQ_PIO, PORT, 8, 0));
    sim_drain(w->sim);
    assert_int_equal(w->port.writes, 401 + IOREQ_RING_SLOTS);
    assert_int_equal(w->corrupt, 0);
}

static void hostile_requests_are_answered(void **state)
{
    struct world *w = *state;
    struct sim_request r = { .type = 200, .read = true, .size = 4, .count = 1, .vcpu = 1 };
    assert_int_equal(sim_request(w->sim, &r), UINT64_MAX);
    r = (struct sim_request){ .type = IOREQ_PIO, .read = true, .size = 3, .count = 1, .vcpu = 9 };
    assert_int_equal(sim_request(w->sim, &r), UINT64_MAX);
    le32_put(sim_pages(w->sim) + PAGE_BYTES + 4, 5000); /* a ring fuller than it can be */
    r.size = 1;
    sim_request(w->sim, &r);
    assert_int_equal(w->corrupt, 1);
    assert_int_equal(sim_port_read(w->sim, PORT, 4), 0xffffffff); /* given up */
    sim_reset(w->sim);
    assert_int_equal(sim_port_read(w->sim, PORT, 1), 0x00);
    sim_serve(w->sim, NULL);
    assert_int_equal(sim_port_read(w->sim, PORT, 1), 0xff);
}

static void lines_and_links(void **state)
{
    struct world *w = *state;
    struct irq uart = irq_isa(&w->irqs, 4);
    irq_set(&uart, true);
    assert_true(sim_isa_level(w->sim, 4) && sim_pin_level(w->sim, 4));
    assert_int_equal(w->pin, 4);
    pci_set_intx(&w->func, true); /* slot 3, INTA: link 3 */
    assert_true(sim_intx_level(w->sim, 3, 0));
    assert_int_equal(w->pins_told, 1); /* it leads nowhere yet */
    assert_int_equal(w->hv->ops->pci_link(w->hv, 3, 11), 0);
    assert_int_equal(sim_link_route(w->sim, 3), 11);
    assert_true(sim_pin_level(w->sim, 11));
    assert_int_equal(w->hv->ops->pci_link(w->hv, 3, 4), 0);
    assert_false(sim_pin_level(w->sim, 11));
    irq_set(&uart, false);
    assert_true(sim_pin_level(w->sim, 4)); /* shared */
    pci_set_intx(&w->func, false);
    assert_false(sim_pin_level(w->sim, 4));
    assert_false(w->pin_level);
    sim_drive_pin(w->sim, 23, true);
    assert_int_equal(w->pin, 23);
    sim_drive_pin(w->sim, 24, true);
    unsigned told = w->pins_told;
    sim_unlisten(w->sim, &w->pin_listener);
    sim_unlisten(w->sim, &w->pin_listener);
    sim_drive_pin(w->sim, 23, false);
    assert_int_equal(w->pins_told, told);
    assert_int_equal(w->hv->ops->pci_link(w->hv, 4, 1), -EINVAL);
    assert_int_equal(w->hv->ops->isa_irq(w->hv, 16, true), -EINVAL);
    assert_int_equal(w->hv->ops->pci_intx(w->hv, 32, 0, true), -EINVAL);
}

static unsigned isa_told, intx_told, link_told;

static void told_isa(void *opaque, unsigned line, bool level)
{
    isa_told = line << 1 | level;
    sim_set_pin(((struct world *)opaque)->sim, line == 0 ? 2 : line, level);
}

static void told_intx(void *opaque, unsigned slot, unsigned pin, bool level)
{
    intx_told = (slot * IRQ_PCI_PINS + pin) << 1 | level;
}

static void told_link(void *opaque, unsigned link, unsigned irq)
{
    link_told |= irq << (4 * link);
}

static void controllers_of_the_board(void **state)
{
    struct world *w = *state;
    struct irq timer = irq_isa(&w->irqs, 0);
    assert_int_equal(w->hv->ops->pci_link(w->hv, 3, 11), 0);
    irq_set(&timer, true);
    pci_set_intx(&w->func, true);
    assert_true(sim_pin_level(w->sim, 0) && sim_pin_level(w->sim, 11));
    sim_set_controllers(w->sim, &(struct sim_controllers){ told_isa, told_intx, told_link, w });
    assert_int_equal(isa_told, 1);
    assert_int_equal(intx_told, (3 * 4) << 1 | 1);
    assert_int_equal(link_told, 11 << 12);
    assert_false(sim_pin_level(w->sim, 0) || sim_pin_level(w->sim, 11)); /* theirs to say now */
    assert_true(sim_pin_level(w->sim, 2));
    irq_set(&timer, false);
    pci_set_intx(&w->func, false);
    assert_int_equal(intx_told, (3 * 4) << 1);
    assert_int_equal(w->hv->ops->pci_link(w->hv, 0, 5), 0);
    assert_int_equal(link_told, 11 << 12 | 5);
    assert_false(sim_pin_level(w->sim, 2));
    sim_set_pin(w->sim, SIM_PINS, true);
    sim_set_pin(w->sim, 20, true);
    assert_int_equal(w->pin, 20);
    sim_set_controllers(w->sim, NULL);
    assert_false(sim_pin_level(w->sim, 20));
}

static void messages_and_power_are_recorded(void **state)
{
    struct world *w = *state;
    struct sim_msi msi;
    for (uint32_t i = 0; i <= SIM_MSI_LOG; i++)
        assert_int_equal(w->hv->ops->msi(w->hv, 0xfee00000, i), 0);
    assert_int_equal(sim_nr_msis(w->sim), SIM_MSI_LOG + 1);
    assert_false(sim_msi(w->sim, 0, &msi));
    assert_true(sim_msi(w->sim, SIM_MSI_LOG, &msi));
    assert_int_equal(msi.data, SIM_MSI_LOG);
    assert_false(sim_msi(w->sim, SIM_MSI_LOG + 1, &msi));
    assert_int_equal(sim_shutdown_reason(w->sim), -1);
    assert_int_equal(w->hv->ops->shutdown(w->hv, HV_REBOOT), 0);
    assert_int_equal(sim_shutdown_reason(w->sim), HV_REBOOT);
    assert_int_equal(w->hv->ops->set_s_state(w->hv, 3), 0);
    assert_int_equal(w->hv->ops->set_s_state(w->hv, 2), -EINVAL);
    assert_int_equal(sim_s_state(w->sim), 3);
    sim_reset(w->sim);
    assert_int_equal(sim_shutdown_reason(w->sim), -1);
    assert_int_equal(sim_s_state(w->sim), 0);
}

static void nonsense_is_refused(void **state)
{
    struct sim *sim;
    assert_int_equal(sim_create(&(struct sim_config){ .ram_bytes = 1, .nr_vcpus = 1 }, &sim), -EINVAL);
    assert_int_equal(sim_create(&(struct sim_config){ .nr_vcpus = 0 }, &sim), -EINVAL);
    assert_int_equal(sim_create(&(struct sim_config){ .nr_vcpus = 129 }, &sim), -EINVAL);
    assert_int_equal(sim_create(&(struct sim_config){ .max_ram_below_4g = 5 * GIB, .nr_vcpus = 1 }, &sim), -EINVAL);
    assert_int_equal(sim_create(&(struct sim_config){ .ram_bytes = UINT64_C(1) << 60, .nr_vcpus = 1 }, &sim), -ENOMEM);
    sim_destroy(NULL);
}

/* --- The clock --- */

struct ticker {
    struct world *w;
    struct timer timer;
    struct task task;
    uint64_t period_ns, at[8];
    unsigned nr, tasks;
};

static void tick(void *opaque)
{
    struct ticker *t = opaque;
    t->at[t->nr++ % 8] = loop_now(&t->w->loop);
    if (t->period_ns)
        timer_arm(&t->timer, t->period_ns);
}

static void again(void *opaque)
{
    struct ticker *t = opaque;
    if (t->tasks-- > 1)
        task_post(&t->task);
}

static void timers_run_at_their_own_time(void **state)
{
    struct world *w = *state;
    struct ticker fast = { .w = w, .period_ns = 30 }, slow = { .w = w };
    uint64_t rounds = 1000, deadline;
    timer_init(&fast.timer, &w->loop, tick, &fast);
    timer_init(&slow.timer, &w->loop, tick, &slow);
    assert_false(sim_clock_deadline(&w->clock, &w->loop, &deadline));
    assert_true(sim_clock_run(&w->clock, &w->loop, 10, &rounds));
    timer_arm(&fast.timer, 30);
    timer_arm(&slow.timer, 45);
    assert_true(sim_clock_deadline(&w->clock, &w->loop, &deadline));
    assert_int_equal(deadline, 40);
    assert_true(sim_clock_run(&w->clock, &w->loop, 100, &rounds));
    assert_int_equal(fast.nr, 3);
    assert_int_equal(fast.at[0], 40);
    assert_int_equal(fast.at[2], 100);
    assert_int_equal(slow.at[0], 55);
    assert_int_equal(w->clock.now_ns, 100);
    assert_true(sim_clock_run(&w->clock, &w->loop, 50, &rounds)); /* time doesn't go back */
    assert_int_equal(w->clock.now_ns, 100);
    loop_freeze(&w->loop);
    assert_true(sim_clock_run(&w->clock, &w->loop, 1000, &rounds));
    assert_int_equal(fast.nr, 3);
    loop_thaw(&w->loop);
    assert_true(sim_clock_run(&w->clock, &w->loop, 1029, &rounds));
    assert_int_equal(fast.nr, 3);
    assert_true(sim_clock_run(&w->clock, &w->loop, 1030, &rounds));
    assert_int_equal(fast.nr, 4);
    assert_int_equal(fast.at[3], 130); /* the guest's clock stood still in between */
    timer_cancel(&fast.timer);
}

static void endless_work_ends_with_the_budget(void **state)
{
    struct world *w = *state;
    struct ticker t = { .w = w, .tasks = 100, .period_ns = 1 };
    uint64_t rounds = 60;
    task_init(&t.task, &w->loop, again, &t);
    timer_init(&t.timer, &w->loop, tick, &t);
    task_post(&t.task);
    assert_false(sim_clock_settle(&w->clock, &w->loop, &rounds));
    assert_int_equal(rounds, 0);
    rounds = 60;
    assert_true(sim_clock_settle(&w->clock, &w->loop, &rounds));
    assert_int_equal(rounds, 20);
    timer_arm(&t.timer, 1);
    assert_false(sim_clock_run(&w->clock, &w->loop, 1000, &rounds));
    assert_int_equal(w->clock.now_ns, 21);
    rounds = 10000;
    assert_true(sim_clock_run(&w->clock, &w->loop, 1000, &rounds));
    assert_int_equal(w->clock.now_ns, 1000);
    timer_cancel(&t.timer);
    assert_int_equal(loop_run(&w->loop), -EDEADLK); /* nobody could ever wake it */
}

static void quit_ends_the_passing_of_time(void **state)
{
    struct world *w = *state;
    uint64_t rounds = 100;
    struct ticker t = { .w = w, .period_ns = 1 };
    timer_init(&t.timer, &w->loop, tick, &t);
    timer_arm(&t.timer, 1);
    loop_quit(&w->loop);
    assert_true(sim_clock_run(&w->clock, &w->loop, 1000, &rounds));
    assert_int_equal(t.nr, 0);
    timer_cancel(&t.timer);
}

/* Not a limit to pass: the figure is printed. */
static void cost_of_a_request(void **state)
{
    enum { N = 2000000 };
    struct world *w = *state;
    struct timespec a, b;
    uint64_t best = UINT64_MAX;
    for (unsigned run = 0; run < 5; run++) {
        (void)timespec_get(&a, TIME_UTC);
        for (unsigned i = 0; i < N; i++)
            (void)sim_port_read(w->sim, PORT, 1);
        (void)timespec_get(&b, TIME_UTC);
        uint64_t ns = (uint64_t)(b.tv_sec - a.tv_sec) * NS_PER_S + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
        best = min_u64(best, ns);
    }
    print_message("%.1f ns per port read through the page\n", (double)best / N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(ports_go_through_the_page),
        TEST(unclaimed_accesses_never_reach_the_engine),
        TEST(claims_are_checked_and_merged),
        TEST(claims_are_bounded),
        TEST(configuration_cycles),
        cmocka_unit_test(low_bits_of_the_address_count_for_test_clients),
        TEST(ram_has_holes),
        TEST(mmio_is_split_as_xen_does),
        TEST(read_only_memory),
        TEST(video_memory_moves),
        TEST(the_tester_reaches_all_memory),
        TEST(strings_go_by_pages),
        TEST(posted_writes_come_before_the_next_request),
        TEST(hostile_requests_are_answered),
        TEST(lines_and_links),
        TEST(controllers_of_the_board),
        TEST(messages_and_power_are_recorded),
        cmocka_unit_test(nonsense_is_refused),
        TEST(timers_run_at_their_own_time),
        TEST(endless_work_ends_with_the_budget),
        TEST(quit_ends_the_passing_of_time),
        TEST(cost_of_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
