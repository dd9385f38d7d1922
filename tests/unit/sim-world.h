/* A board of nothing but buses on the simulator, and a device on it that remembers what it was asked. */
#ifndef THINDM_TESTS_SIM_WORLD_H
#define THINDM_TESTS_SIM_WORLD_H

#include "clock.h"
#include "rig.h"
#include "sim.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 0x300, DEVFN = 0x18, NR_PORTS = 16, BASE_RAM = 8 << 20 };
#define MMIO     UINT64_C(0xf0000000)
#define MMIO_LEN UINT64_C(0x3000)

struct probe {
    struct bus_region region;
    uint64_t offs[64], vals[64];
    unsigned sizes[64], reads, writes, blocks;
};

struct world {
    struct sim *sim;
    struct hv *hv;
    struct bus ports, memory;
    struct bus_listener listener;
    struct pci_listener pci_listener;
    struct irq_board irqs;
    struct pci_bus pci;
    struct mem mem;
    struct sim_clock clock;
    struct loop loop;
    struct probe port, mmio;
    struct pci_func func;
    struct sim_pin_listener pin_listener;
    unsigned pin, pins_told, corrupt;
    bool pin_level;
};

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
    struct probe *p = opaque;
    return 0x1122334455667700 + p->reads++;
}

static void probe_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct probe *p = opaque;
    unsigned i = p->writes++ % 64;
    p->offs[i] = off;
    p->vals[i] = val;
    p->sizes[i] = size;
}

static size_t probe_read_block(void *opaque, uint64_t off, unsigned size, void *buf, size_t count)
{
    struct probe *p = opaque;
    if (off != 4)
        return 0;
    p->blocks++;
    memset(buf, 0x5a, size * count);
    return count;
}

static const struct bus_ops probe_ops = {
    .read = probe_read, .write = probe_write, .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8, .read_block = probe_read_block,
};

static void range_changed(void *opaque, const struct bus *bus, uint64_t first, uint64_t last, bool present)
{
    struct world *w = opaque;
    int (*claim)(struct hv *, uint64_t, uint64_t, bool) =
        bus == &w->ports ? w->hv->ops->port_range : w->hv->ops->mmio_range;
    assert_int_equal(claim(w->hv, first, last, present), 0);
}

static void function_changed(void *opaque, uint8_t devfn, bool present)
{
    struct world *w = opaque;
    assert_int_equal(w->hv->ops->pci_function(w->hv, devfn, present), 0);
}

static void world_corrupt(void *opaque)
{
    ((struct world *)opaque)->corrupt++;
}

static void pin_changed(void *opaque, unsigned pin, bool level)
{
    struct world *w = opaque;
    w->pin = pin;
    w->pin_level = level;
    w->pins_told++;
}

static struct world *world_new(const struct sim_config *config)
{
    static const struct pci_desc desc = { .vendor = 0x5853, .device = 0x0001, .class_code = 0xff8000, .pin = 1 };
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(sim_create(config, &w->sim), 0);
    w->hv = sim_hv(w->sim);
    sim_clock_init(&w->clock, NULL, NULL);
    loop_init(&w->loop, &sim_clock_host, &w->clock);
    assert_int_equal(bus_init(&w->ports, true), 0);
    assert_int_equal(bus_init(&w->memory, false), 0);
    w->listener = (struct bus_listener){ range_changed, w };
    w->pci_listener = (struct pci_listener){ function_changed, w };
    w->ports.listener = w->memory.listener = &w->listener;
    irq_board_init(&w->irqs, w->hv);
    mem_init(&w->mem, w->hv);
    pci_bus_init(&w->pci, &w->ports, &w->memory, &w->irqs);
    w->pci.listener = &w->pci_listener;
    assert_int_equal(bus_attach(&w->ports, &w->port.region, &probe_ops, &w->port, PORT, NR_PORTS), 0);
    assert_int_equal(bus_attach(&w->memory, &w->mmio.region, &probe_ops, &w->mmio, MMIO, MMIO_LEN), 0);
    assert_int_equal(pci_attach(&w->func, &w->pci, DEVFN, &desc), 0);
    w->pin_listener = (struct sim_pin_listener){ .changed = pin_changed, .opaque = w };
    sim_listen(w->sim, &w->pin_listener);
    sim_serve(w->sim, &(struct ioreq_config){ .ports = &w->ports, .memory = &w->memory, .pci = &w->pci, .mem = &w->mem,
                          .corrupt = world_corrupt, .opaque = w });
    return w;
}

static void world_free(struct world *w)
{
    pci_detach(&w->func);
    bus_detach(&w->mmio.region);
    bus_detach(&w->port.region);
    mem_finish(&w->mem);
    bus_finish(&w->ports);
    bus_finish(&w->memory);
    sim_destroy(w->sim);
    free(w);
}

#endif
