/* The simulated hypervisor's life, claims and interrupt sinks: see sim.h. */
#include "sim-private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Xen refuses what overlaps, and to give back what isn't claimed [xen/common/ioreq.c]. */
static int hv_port_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    struct sim *sim = sim_of(hv);
    if (last < first || last >= SIM_PORTS)
        return -EINVAL;
    for (uint64_t port = first; port <= last; port++) {
        if (sim_bit(sim->ports, port) == claim)
            return claim ? -EEXIST : -ENOENT;
    }
    for (uint64_t port = first; port <= last; port++)
        sim_set_bit(sim->ports, port, claim);
    return 0;
}

static int hv_mmio_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    struct sim *sim = sim_of(hv);
    return claim ? sim_ranges_add(&sim->memory, first, last) : sim_ranges_remove(&sim->memory, first, last);
}

static int hv_pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    struct sim *sim = sim_of(hv);
    if (sim_bit(sim->functions, devfn) == claim)
        return claim ? -EEXIST : -ENOENT;
    sim_set_bit(sim->functions, devfn, claim);
    return 0;
}

bool sim_port_claimed(const struct sim *sim, uint16_t port, unsigned size)
{
    bool all = port + size <= SIM_PORTS;
    for (unsigned i = 0; all && i < size; i++)
        all = sim_bit(sim->ports, port + i);
    return all;
}

bool sim_mem_claimed(const struct sim *sim, uint64_t addr, unsigned size)
{
    return size - 1 <= UINT64_MAX - addr && sim_ranges_contain(&sim->memory, addr, addr + (size - 1));
}

uint64_t sim_mem_gap(const struct sim *sim, uint64_t addr)
{
    uint64_t bytes, gap = min_u64(sim_ranges_next(&sim->memory, addr), sim_ram_next(sim, addr)) - addr;
    if (gap == 0 && !sim_mem_claimed(sim, addr, 1) && !sim_ram(sim, addr, &bytes))
        return 1; /* the very last byte */
    return gap;
}

/* --- Interrupts --- */

static bool line_level(const struct sim *sim, unsigned pin)
{
    bool level = pin < IRQ_ISA_LINES && sim->isa[pin];
    for (unsigned link = 0; link < SIM_LINKS; link++)
        level |= sim->links[link] == pin && pin > 0 && sim->link_high[link] > 0;
    return level;
}

static void update_pin(struct sim *sim, unsigned pin)
{
    bool level = sim->driven[pin] || sim->told[pin] || (!sim->controllers.isa && line_level(sim, pin));
    if (level == sim->pins[pin])
        return;
    sim->pins[pin] = level;
    for (struct sim_pin_listener *l = sim->listeners; l; l = l->next)
        l->changed(l->opaque, pin, level);
}

static int hv_isa_irq(struct hv *hv, unsigned line, bool level)
{
    struct sim *sim = sim_of(hv);
    if (line >= IRQ_ISA_LINES)
        return -EINVAL;
    sim->isa[line] = level;
    if (sim->controllers.isa)
        sim->controllers.isa(sim->controllers.opaque, line, level);
    update_pin(sim, line);
    return 0;
}

static int hv_pci_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    struct sim *sim = sim_of(hv);
    if (slot >= IRQ_PCI_SLOTS || pin >= IRQ_PCI_PINS)
        return -EINVAL;
    if (sim->intx[slot][pin] == level)
        return 0;
    unsigned link = (slot + pin) % SIM_LINKS; /* wiring of the PC's board, as Xen has it [hvm_pci_intx_link()] */
    sim->intx[slot][pin] = level;
    sim->link_high[link] += level ? 1 : UINT_MAX; /* less one */
    if (sim->controllers.isa)
        sim->controllers.intx(sim->controllers.opaque, slot, pin, level);
    update_pin(sim, sim->links[link]);
    return 0;
}

static int hv_pci_link(struct hv *hv, unsigned link, unsigned irq)
{
    struct sim *sim = sim_of(hv);
    if (link >= SIM_LINKS || irq >= IRQ_ISA_LINES)
        return -EINVAL;
    unsigned old = sim->links[link];
    sim->links[link] = irq;
    if (sim->controllers.isa)
        sim->controllers.link(sim->controllers.opaque, link, irq);
    update_pin(sim, old);
    update_pin(sim, irq);
    return 0;
}

static int hv_msi(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct sim *sim = sim_of(hv);
    sim->msis[sim->nr_msis++ % SIM_MSI_LOG] = (struct sim_msi){ addr, data };
    return 0;
}

bool sim_isa_level(const struct sim *sim, unsigned line)
{
    return line < IRQ_ISA_LINES && sim->isa[line];
}

bool sim_intx_level(const struct sim *sim, unsigned slot, unsigned pin)
{
    return slot < IRQ_PCI_SLOTS && pin < IRQ_PCI_PINS && sim->intx[slot][pin];
}

unsigned sim_link_route(const struct sim *sim, unsigned link)
{
    return link < SIM_LINKS ? sim->links[link] : 0;
}

bool sim_pin_level(const struct sim *sim, unsigned pin)
{
    return pin < SIM_PINS && sim->pins[pin];
}

void sim_listen(struct sim *sim, struct sim_pin_listener *listener)
{
    listener->next = sim->listeners;
    sim->listeners = listener;
}

void sim_unlisten(struct sim *sim, struct sim_pin_listener *listener)
{
    struct sim_pin_listener **link = &sim->listeners;
    while (*link && *link != listener)
        link = &(*link)->next;
    if (*link)
        *link = listener->next;
}

void sim_set_controllers(struct sim *sim, const struct sim_controllers *controllers)
{
    sim->controllers = controllers ? *controllers : (struct sim_controllers){ 0 };
    memset(sim->told, 0, sizeof(sim->told));
    for (unsigned link = 0; controllers && link < SIM_LINKS; link++)
        controllers->link(controllers->opaque, link, sim->links[link]);
    for (unsigned line = 0; controllers && line < IRQ_ISA_LINES; line++) {
        if (sim->isa[line])
            controllers->isa(controllers->opaque, line, true);
    }
    for (unsigned wire = 0; controllers && wire < IRQ_PCI_SLOTS * IRQ_PCI_PINS; wire++) {
        if (sim->intx[wire / IRQ_PCI_PINS][wire % IRQ_PCI_PINS])
            controllers->intx(controllers->opaque, wire / IRQ_PCI_PINS, wire % IRQ_PCI_PINS, true);
    }
    for (unsigned pin = 0; pin < SIM_PINS; pin++)
        update_pin(sim, pin);
}

void sim_set_pin(void *opaque, unsigned pin, bool level)
{
    struct sim *sim = opaque;
    if (pin >= SIM_PINS)
        return;
    sim->told[pin] = level;
    update_pin(sim, pin);
}

void sim_drive_pin(struct sim *sim, unsigned pin, bool level)
{
    if (pin >= SIM_PINS)
        return;
    sim->driven[pin] = level;
    update_pin(sim, pin);
}

uint64_t sim_nr_msis(const struct sim *sim)
{
    return sim->nr_msis;
}

bool sim_msi(const struct sim *sim, uint64_t i, struct sim_msi *out)
{
    if (i >= sim->nr_msis || sim->nr_msis - i > SIM_MSI_LOG)
        return false;
    *out = sim->msis[i % SIM_MSI_LOG];
    return true;
}

/* --- Power --- */

static int hv_shutdown(struct hv *hv, enum hv_shutdown reason)
{
    sim_of(hv)->shutdown = (int)reason;
    return 0;
}

static int hv_set_s_state(struct hv *hv, unsigned state)
{
    if (state != 0 && state != 3)
        return -EINVAL;
    sim_of(hv)->s_state = state;
    return 0;
}

int sim_shutdown_reason(const struct sim *sim)
{
    return sim->shutdown;
}

unsigned sim_s_state(const struct sim *sim)
{
    return sim->s_state;
}

static const struct hv_ops sim_ops = {
    .port_range = hv_port_range,
    .mmio_range = hv_mmio_range,
    .pci_function = hv_pci_function,
    .isa_irq = hv_isa_irq,
    .pci_intx = hv_pci_intx,
    .pci_link = hv_pci_link,
    .msi = hv_msi,
    .map = sim_hv_map,
    .unmap = sim_hv_unmap,
    .modified = sim_hv_modified,
    .set_memtype = sim_hv_set_memtype,
    .vram_create = sim_hv_vram_create,
    .vram_move = sim_hv_vram_move,
    .vram_destroy = sim_hv_vram_destroy,
    .vram_dirty = sim_hv_vram_dirty,
    .shutdown = hv_shutdown,
    .set_s_state = hv_set_s_state,
};

/* --- Life --- */

int sim_create(const struct sim_config *config, struct sim **out)
{
    if (config->nr_vcpus < 1 || config->nr_vcpus > IOREQ_MAX_VCPUS || config->ram_bytes % PAGE_BYTES ||
        config->max_ram_below_4g % PAGE_BYTES || config->max_ram_below_4g > 4 * GIB)
        return -EINVAL;
    struct sim *sim = calloc(1, sizeof(*sim));
    if (!sim)
        return -ENOMEM;
    sim->hv.ops = &sim_ops;
    sim->config = *config;
    sim->shutdown = -1;
    sim->pages = aligned_alloc(PAGE_BYTES, 2 * PAGE_BYTES);
    int err = sim->pages ? sim_ram_create(sim) : -ENOMEM;
    if (err) {
        sim_destroy(sim);
        return err;
    }
    memset(sim->pages, 0, 2 * PAGE_BYTES);
    *out = sim;
    return 0;
}

void sim_destroy(struct sim *sim)
{
    if (!sim)
        return;
    sim_ram_destroy(sim);
    free(sim->pages);
    free(sim);
}

struct hv *sim_hv(struct sim *sim)
{
    return &sim->hv;
}

void sim_serve(struct sim *sim, const struct ioreq_config *config)
{
    sim->serving = config != NULL;
    if (!config)
        return;
    struct ioreq_config engine = *config;
    engine.sync_page = sim->pages;
    engine.buffered_page = sim->pages + PAGE_BYTES;
    engine.nr_vcpus = sim->config.nr_vcpus;
    ioreq_init(&sim->engine, &engine);
}

struct ioreq *sim_engine(struct sim *sim)
{
    return &sim->engine;
}

uint8_t *sim_pages(struct sim *sim)
{
    return sim->pages;
}

void sim_reset(struct sim *sim)
{
    memset(sim->pages, 0, 2 * PAGE_BYTES);
    sim->engine.broken = false;
    sim->cf8 = 0;
    if (sim->any_ro)
        memset(sim->ram_ro, 0, (sim->config.ram_bytes >> PAGE_SHIFT) / 8 + 1);
    sim->any_ro = false;
    sim->nr_msis = 0;
    sim->shutdown = -1;
    sim->s_state = 0;
    for (unsigned pin = 0; pin < SIM_PINS; pin++)
        sim_drive_pin(sim, pin, false);
}
