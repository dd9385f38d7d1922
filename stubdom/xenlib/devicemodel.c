/*
 * What backends/xen uses of libxendevicemodel, over the one hypercall that it is made of. Declared, and explained, in
 * xendevicemodel.h. Source: xen/include/public/hvm/dm_op.h.
 */
#include "../kernel/hypercall.h"
#include "xenlib.h"
#include <xendevicemodel.h>

/* There is nothing to open: the handle is only what the interface asks for. */
struct xendevicemodel_handle {
    char unused;
};
static struct xendevicemodel_handle the_handle;

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned flags)
{
    return &the_handle;
}

int xendevicemodel_close(xendevicemodel_handle *dm)
{
    return 0;
}

/* One operation with a second buffer, or without (NULL). */
static int call_with(domid_t domid, struct xen_dm_op *op, void *buf, size_t len)
{
    struct xen_dm_op_buf bufs[2] = { { .size = sizeof(*op) }, { .size = len } };
    set_xen_guest_handle(bufs[0].h, op);
    set_xen_guest_handle(bufs[1].h, buf);
    return xenlib_result(hypercall(__HYPERVISOR_dm_op, domid, buf ? 2 : 1, (uintptr_t)bufs, 0, 0));
}

static int call(domid_t domid, struct xen_dm_op op)
{
    return call_with(domid, &op, NULL, 0);
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *dm, domid_t domid, unsigned int *vcpus)
{
    struct xen_dm_op op = { .op = XEN_DMOP_nr_vcpus };
    int rc = call_with(domid, &op, NULL, 0);
    if (!rc)
        *vcpus = op.u.nr_vcpus.vcpus;
    return rc;
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dm, domid_t domid, int handle_bufioreq, ioservid_t *id)
{
    struct xen_dm_op op = { .op = XEN_DMOP_create_ioreq_server };
    op.u.create_ioreq_server.handle_bufioreq = (uint8_t)handle_bufioreq;
    int rc = call_with(domid, &op, NULL, 0);
    if (!rc)
        *id = op.u.create_ioreq_server.id;
    return rc;
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *dm, domid_t domid, ioservid_t id, xen_pfn_t *ioreq_gfn,
                                         xen_pfn_t *bufioreq_gfn, evtchn_port_t *bufioreq_port)
{
    struct xen_dm_op op = { .op = XEN_DMOP_get_ioreq_server_info };
    op.u.get_ioreq_server_info.id = id;
    op.u.get_ioreq_server_info.flags = (uint16_t)(ioreq_gfn || bufioreq_gfn ? 0 : XEN_DMOP_no_gfns);
    int rc = call_with(domid, &op, NULL, 0);
    if (!rc && ioreq_gfn)
        *ioreq_gfn = op.u.get_ioreq_server_info.ioreq_gfn;
    if (!rc && bufioreq_gfn)
        *bufioreq_gfn = op.u.get_ioreq_server_info.bufioreq_gfn;
    if (!rc && bufioreq_port)
        *bufioreq_port = op.u.get_ioreq_server_info.bufioreq_port;
    return rc;
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dm, domid_t domid, ioservid_t id, int enabled)
{
    return call(domid, (struct xen_dm_op){ .op = XEN_DMOP_set_ioreq_server_state,
                                           .u.set_ioreq_server_state = { .id = id, .enabled = enabled != 0 } });
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dm, domid_t domid, ioservid_t id)
{
    return call(domid,
                (struct xen_dm_op){ .op = XEN_DMOP_destroy_ioreq_server, .u.destroy_ioreq_server = { .id = id } });
}

/* The members of both directions are of one type, at one place. */
static int change_range(domid_t domid, uint32_t op, struct xen_dm_op_ioreq_server_range range)
{
    return call(domid, (struct xen_dm_op){ .op = op, .u.map_io_range_to_ioreq_server = range });
}

static uint32_t space_of(int is_mmio)
{
    return is_mmio ? XEN_DMOP_IO_RANGE_MEMORY : XEN_DMOP_IO_RANGE_PORT;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dm, domid_t domid, ioservid_t id, int is_mmio,
                                                uint64_t start, uint64_t end)
{
    return change_range(
        domid, XEN_DMOP_map_io_range_to_ioreq_server,
        (struct xen_dm_op_ioreq_server_range){ .id = id, .type = space_of(is_mmio), .start = start, .end = end });
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *dm, domid_t domid, ioservid_t id,
                                                    int is_mmio, uint64_t start, uint64_t end)
{
    return change_range(
        domid, XEN_DMOP_unmap_io_range_from_ioreq_server,
        (struct xen_dm_op_ioreq_server_range){ .id = id, .type = space_of(is_mmio), .start = start, .end = end });
}

static struct xen_dm_op_ioreq_server_range pci_range(ioservid_t id, uint16_t segment, uint8_t bus, uint8_t device,
                                                     uint8_t function)
{
    uint64_t sbdf = (uint32_t)segment << 16 | (uint32_t)bus << 8 | (device & 0x1fU) << 3 | (function & 7U);
    return (struct xen_dm_op_ioreq_server_range){ .id = id, .type = XEN_DMOP_IO_RANGE_PCI, .start = sbdf, .end = sbdf };
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *dm, domid_t domid, ioservid_t id, uint16_t segment,
                                              uint8_t bus, uint8_t device, uint8_t function)
{
    return change_range(domid, XEN_DMOP_map_io_range_to_ioreq_server, pci_range(id, segment, bus, device, function));
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *dm, domid_t domid, ioservid_t id,
                                                  uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    return change_range(domid, XEN_DMOP_unmap_io_range_from_ioreq_server,
                        pci_range(id, segment, bus, device, function));
}

int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *dm, domid_t domid, uint8_t irq, unsigned int level)
{
    return call(domid, (struct xen_dm_op){ .op = XEN_DMOP_set_isa_irq_level,
                                           .u.set_isa_irq_level = { .isa_irq = irq, .level = level != 0 } });
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dm, domid_t domid, uint16_t segment, uint8_t bus,
                                      uint8_t device, uint8_t intx, unsigned int level)
{
    return call(domid, (struct xen_dm_op){
                           .op = XEN_DMOP_set_pci_intx_level,
                           .u.set_pci_intx_level = {
                               .domain = segment, .bus = bus, .device = device, .intx = intx, .level = level != 0 } });
}

int xendevicemodel_set_pci_link_route(xendevicemodel_handle *dm, domid_t domid, uint8_t link, uint8_t irq)
{
    return call(domid, (struct xen_dm_op){ .op = XEN_DMOP_set_pci_link_route,
                                           .u.set_pci_link_route = { .link = link, .isa_irq = irq } });
}

int xendevicemodel_inject_msi(xendevicemodel_handle *dm, domid_t domid, uint64_t msi_addr, uint32_t msi_data)
{
    return call(
        domid, (struct xen_dm_op){ .op = XEN_DMOP_inject_msi, .u.inject_msi = { .data = msi_data, .addr = msi_addr } });
}

int xendevicemodel_track_dirty_vram(xendevicemodel_handle *dm, domid_t domid, uint64_t first_pfn, uint32_t nr,
                                    unsigned long *dirty_bitmap)
{
    struct xen_dm_op op = { .op = XEN_DMOP_track_dirty_vram,
                            .u.track_dirty_vram = { .nr = nr, .first_pfn = first_pfn } };
    return call_with(domid, &op, dirty_bitmap, (nr + 7) / 8);
}

int xendevicemodel_modified_memory(xendevicemodel_handle *dm, domid_t domid, uint64_t first_pfn, uint32_t nr)
{
    struct xen_dm_op op = { .op = XEN_DMOP_modified_memory, .u.modified_memory = { .nr_extents = 1 } };
    struct xen_dm_op_modified_memory_extent extent = { .nr = nr, .first_pfn = first_pfn };
    return call_with(domid, &op, &extent, sizeof(extent));
}

int xendevicemodel_set_mem_type(xendevicemodel_handle *dm, domid_t domid, hvmmem_type_t mem_type, uint64_t first_pfn,
                                uint32_t nr)
{
    return call(domid, (struct xen_dm_op){
                           .op = XEN_DMOP_set_mem_type,
                           .u.set_mem_type = { .nr = nr, .mem_type = (uint16_t)mem_type, .first_pfn = first_pfn } });
}

int xendevicemodel_shutdown(xendevicemodel_handle *dm, domid_t domid, unsigned int reason)
{
    return call(domid, (struct xen_dm_op){ .op = XEN_DMOP_remote_shutdown, .u.remote_shutdown = { .reason = reason } });
}

int xendevicemodel_relocate_memory(xendevicemodel_handle *dm, domid_t domid, uint32_t size, uint64_t src_gfn,
                                   uint64_t dst_gfn)
{
    return call(domid,
                (struct xen_dm_op){ .op = XEN_DMOP_relocate_memory,
                                    .u.relocate_memory = { .size = size, .src_gfn = src_gfn, .dst_gfn = dst_gfn } });
}

int xendevicemodel_pin_memory_cacheattr(xendevicemodel_handle *dm, domid_t domid, uint64_t start, uint64_t end,
                                        uint32_t type)
{
    return call(domid, (struct xen_dm_op){ .op = XEN_DMOP_pin_memory_cacheattr,
                                           .u.pin_memory_cacheattr = { .start = start, .end = end, .type = type } });
}
