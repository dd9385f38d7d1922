/* The hypervisor, the wires and the buses of the rig, and accesses as a guest makes them. */
#include "rig-private.h"

#include <errno.h>
#include <stdlib.h>

static struct rig *rig_of(struct hv *hv)
{
    return container_of(hv, struct rig, hv);
}

static int hv_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return 0;
}

static int hv_pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    return 0;
}

static void set_wire(struct rig *r, unsigned wire, bool level)
{
    assert_in_range(wire, 0, RIG_LINES - 1);
    if (level && !r->wires[wire])
        r->wire_edges[wire]++;
    r->wires[wire] = level;
}

static int hv_isa_irq(struct hv *hv, unsigned line, bool level)
{
    set_wire(rig_of(hv), line, level);
    return 0;
}

static int hv_pci_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    set_wire(rig_of(hv), IRQ_ISA_LINES + IRQ_PCI_PINS * slot + pin, level);
    return 0;
}

static int hv_pci_link(struct hv *hv, unsigned link, unsigned irq)
{
    assert_in_range(link, 0, 3);
    assert_in_range(irq, 0, 15);
    rig_of(hv)->links[link] = (uint8_t)irq;
    return 0;
}

static int hv_msi(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct rig *r = rig_of(hv);
    r->msi_addr = addr;
    r->msi_data = data;
    r->msis++;
    return 0;
}

static bool is_ram(uint64_t frame)
{
    return frame < RIG_RAM / PAGE_BYTES && (frame < RIG_HOLE / PAGE_BYTES || frame >= RIG_HOLE_END / PAGE_BYTES);
}

static int hv_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    struct rig *r = rig_of(hv);
    if (r->vram_at != HV_VRAM_PARKED && first >= r->vram_at && first - r->vram_at < r->vram_frames) {
        uint64_t skip = first - r->vram_at;
        *ptr = r->vram + skip * PAGE_BYTES;
        for (size_t i = 0; i < nr; i++)
            err[i] = i < r->vram_frames - skip ? 0 : -EFAULT;
        return 0;
    }
    if (first >= RIG_RAM / PAGE_BYTES)
        return -EFAULT;
    *ptr = r->ram + first * PAGE_BYTES;
    for (size_t i = 0; i < nr; i++)
        err[i] = is_ram(first + i) ? 0 : -EFAULT;
    return 0;
}

static void hv_unmap(struct hv *hv, void *ptr, size_t nr)
{
}

static int hv_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    return 0;
}

static int hv_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    rig_of(hv)->memtype_calls++;
    return 0;
}

static int hv_vram_create(struct hv *hv, size_t nr, void **ptr)
{
    struct rig *r = rig_of(hv);
    assert_null(r->vram);
    r->vram = calloc(nr, PAGE_BYTES);
    if (!r->vram)
        return -ENOMEM;
    r->vram_frames = nr;
    r->vram_at = HV_VRAM_PARKED;
    *ptr = r->vram;
    return 0;
}

static int hv_vram_move(struct hv *hv, uint64_t first)
{
    struct rig *r = rig_of(hv);
    assert_non_null(r->vram);
    r->vram_at = first;
    return 0;
}

static void hv_vram_destroy(struct hv *hv)
{
    struct rig *r = rig_of(hv);
    mem_invalidate(&r->mem);
    free(r->vram);
    r->vram = NULL;
    r->vram_frames = 0;
    r->vram_at = HV_VRAM_PARKED;
}

static int hv_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap)
{
    return -ENODATA;
}

static int hv_shutdown(struct hv *hv, enum hv_shutdown reason)
{
    rig_of(hv)->shutdown = (int)reason;
    return 0;
}

static int hv_set_s_state(struct hv *hv, unsigned state)
{
    rig_of(hv)->s_state = state;
    return 0;
}

const struct hv_ops rig_hv_ops = {
    .port_range = hv_range,
    .mmio_range = hv_range,
    .pci_function = hv_pci_function,
    .isa_irq = hv_isa_irq,
    .pci_intx = hv_pci_intx,
    .pci_link = hv_pci_link,
    .msi = hv_msi,
    .map = hv_map,
    .unmap = hv_unmap,
    .modified = hv_modified,
    .set_memtype = hv_set_memtype,
    .vram_create = hv_vram_create,
    .vram_move = hv_vram_move,
    .vram_destroy = hv_vram_destroy,
    .vram_dirty = hv_vram_dirty,
    .shutdown = hv_shutdown,
    .set_s_state = hv_set_s_state,
};

/* qtest's name for a size. */
static char letter(unsigned size)
{
    static const char letters[] = "?bw?l???q";
    return size < sizeof(letters) - 1 ? letters[size] : '?';
}

uint8_t rig_in8(struct rig *r, uint16_t port)
{
    rig_note(r, "inb 0x%x", port);
    return (uint8_t)bus_read(&r->ports, port, 1);
}

uint16_t rig_in16(struct rig *r, uint16_t port)
{
    rig_note(r, "inw 0x%x", port);
    return (uint16_t)bus_read(&r->ports, port, 2);
}

uint32_t rig_in32(struct rig *r, uint16_t port)
{
    rig_note(r, "inl 0x%x", port);
    return (uint32_t)bus_read(&r->ports, port, 4);
}

void rig_out8(struct rig *r, uint16_t port, uint8_t val)
{
    rig_note(r, "outb 0x%x 0x%x", port, val);
    bus_write(&r->ports, port, 1, val);
}

void rig_out16(struct rig *r, uint16_t port, uint16_t val)
{
    rig_note(r, "outw 0x%x 0x%x", port, val);
    bus_write(&r->ports, port, 2, val);
}

void rig_out32(struct rig *r, uint16_t port, uint32_t val)
{
    rig_note(r, "outl 0x%x 0x%x", port, val);
    bus_write(&r->ports, port, 4, val);
}

uint64_t rig_mmio_read(struct rig *r, uint64_t addr, unsigned size)
{
    rig_note(r, "read%c 0x%llx", letter(size), (unsigned long long)addr);
    return bus_read(&r->memory, addr, size);
}

void rig_mmio_write(struct rig *r, uint64_t addr, unsigned size, uint64_t val)
{
    rig_note(r, "write%c 0x%llx 0x%llx", letter(size), (unsigned long long)addr, (unsigned long long)val);
    bus_write(&r->memory, addr, size, val);
}

uint32_t rig_cfg_read(struct rig *r, uint8_t devfn, unsigned reg, unsigned size)
{
    rig_note(r, "config_in%c 0x%x 0x%x", letter(size), devfn, reg);
    return pci_config_read(&r->pci, devfn, reg, size);
}

void rig_cfg_write(struct rig *r, uint8_t devfn, unsigned reg, unsigned size, uint32_t val)
{
    rig_note(r, "config_out%c 0x%x 0x%x 0x%x", letter(size), devfn, reg, val);
    pci_config_write(&r->pci, devfn, reg, size, val);
}

void rig_crowd(struct rig *r, struct mem_pin pins[MEM_MAX_PINNED])
{
    for (unsigned i = 0; i < MEM_MAX_PINNED; i++) {
        mem_invalidate(&r->mem); /* the RAM has fewer buckets: each pin gets a mapping of its own */
        assert_int_equal(mem_pin(&r->mem, 0, 1, &pins[i]), 0);
    }
    mem_invalidate(&r->mem);
}

void rig_uncrowd(struct rig *r, struct mem_pin pins[MEM_MAX_PINNED])
{
    for (unsigned i = 0; i < MEM_MAX_PINNED; i++)
        mem_unpin(&r->mem, &pins[i], 0);
}

static void line_changed(void *opaque, unsigned wire, bool level)
{
    struct rig *r = opaque;
    if (level && !r->level)
        r->edges++;
    r->level = level;
}

struct irq rig_irq(struct rig *r)
{
    return (struct irq){ .fn = line_changed, .opaque = r };
}
