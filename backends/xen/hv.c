/*
 * struct hv over libxendevicemodel. Sources: xendevicemodel.h; xen/include/public/hvm/dm_op.h.
 */
#include "xen-private.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

static struct xen *xen_of(struct hv *hv)
{
    return container_of(hv, struct xen, hv);
}

int xen_errno(void)
{
    return errno ? -errno : -EIO;
}

static int result(int rc)
{
    return rc < 0 ? xen_errno() : 0;
}

static int claim_range(struct xen *xen, int is_mmio, uint64_t first, uint64_t last, bool claim)
{
    uint16_t domid = xen->config.domid;
    return result(
        claim ? xendevicemodel_map_io_range_to_ioreq_server(xen->dm, domid, xen->server, is_mmio, first, last)
              : xendevicemodel_unmap_io_range_from_ioreq_server(xen->dm, domid, xen->server, is_mmio, first, last));
}

static int xen_port_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return claim_range(xen_of(hv), 0, first, last, claim);
}

static int xen_mmio_range(struct hv *hv, uint64_t first, uint64_t last, bool claim)
{
    return claim_range(xen_of(hv), 1, first, last, claim);
}

static int xen_pci_function(struct hv *hv, uint8_t devfn, bool claim)
{
    struct xen *xen = xen_of(hv);
    uint8_t slot = devfn >> 3, function = devfn & 7;
    uint16_t domid = xen->config.domid;
    return result(
        claim ? xendevicemodel_map_pcidev_to_ioreq_server(xen->dm, domid, xen->server, 0, 0, slot, function)
              : xendevicemodel_unmap_pcidev_from_ioreq_server(xen->dm, domid, xen->server, 0, 0, slot, function));
}

static int xen_isa_irq(struct hv *hv, unsigned line, bool level)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_set_isa_irq_level(xen->dm, xen->config.domid, (uint8_t)line, level));
}

static int xen_pci_intx(struct hv *hv, unsigned slot, unsigned pin, bool level)
{
    struct xen *xen = xen_of(hv);
    return result(
        xendevicemodel_set_pci_intx_level(xen->dm, xen->config.domid, 0, 0, (uint8_t)slot, (uint8_t)pin, level));
}

static int xen_pci_link(struct hv *hv, unsigned link, unsigned irq)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_set_pci_link_route(xen->dm, xen->config.domid, (uint8_t)link, (uint8_t)irq));
}

static int xen_msi(struct hv *hv, uint64_t addr, uint32_t data)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_inject_msi(xen->dm, xen->config.domid, addr, data));
}

static int xen_modified(struct hv *hv, uint64_t first, uint64_t nr)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_modified_memory(xen->dm, xen->config.domid, first, (uint32_t)nr));
}

static int xen_set_memtype(struct hv *hv, uint64_t first, uint64_t nr, enum hv_memtype type)
{
    struct xen *xen = xen_of(hv);
    hvmmem_type_t xen_type = type == HV_RAM_RO ? HVMMEM_ram_ro : HVMMEM_ram_rw;
    return result(xendevicemodel_set_mem_type(xen->dm, xen->config.domid, xen_type, first, (uint32_t)nr));
}

static int xen_vram_dirty(struct hv *hv, uint64_t first, size_t nr, uint8_t *bitmap)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_track_dirty_vram(xen->dm, xen->config.domid, first, (uint32_t)nr,
                                                  (unsigned long *)(void *)bitmap));
}

static int xen_shutdown(struct hv *hv, enum hv_shutdown reason)
{
    struct xen *xen = xen_of(hv);
    return result(xendevicemodel_shutdown(xen->dm, xen->config.domid, (unsigned)reason));
}

/* Plain hypercall HVMOP_set_param: there is no device model operation for it, so a restricted process can't [hvm_op.h].
 */
static int xen_set_s_state(struct hv *hv, unsigned state)
{
    struct xen *xen = xen_of(hv);
    if (xen->restricted)
        return -EPERM;
    struct xen_hvm_param *param = xencall_alloc_buffer(xen->call, sizeof(*param));
    if (!param)
        return -ENOMEM;
    *param = (struct xen_hvm_param){ .domid = xen->config.domid, .index = HVM_PARAM_ACPI_S_STATE, .value = state };
    int err = result(xencall2(xen->call, __HYPERVISOR_hvm_op, HVMOP_set_param, (uintptr_t)param));
    xencall_free_buffer(xen->call, param);
    return err;
}

static const struct hv_ops xen_ops = {
    .port_range = xen_port_range,
    .mmio_range = xen_mmio_range,
    .pci_function = xen_pci_function,
    .isa_irq = xen_isa_irq,
    .pci_intx = xen_pci_intx,
    .pci_link = xen_pci_link,
    .msi = xen_msi,
    .map = xen_map,
    .unmap = xen_unmap,
    .modified = xen_modified,
    .set_memtype = xen_set_memtype,
    .vram_create = xen_vram_create,
    .vram_move = xen_vram_move,
    .vram_destroy = xen_vram_destroy,
    .vram_dirty = xen_vram_dirty,
    .shutdown = xen_shutdown,
    .set_s_state = xen_set_s_state,
};

/* The libraries explain each failing call by themselves; at debug level only, since the caller reports it once, in
 * context. */
static void library_message(struct xentoollog_logger *logger, xentoollog_level level, int err, const char *context,
                            const char *format, va_list args)
{
    struct xen *xen = container_of(logger, struct xen, logger);
    log_vprint(xen->config.log, LOG_DEBUG, context ? context : "xen", format, args);
}

static void library_progress(struct xentoollog_logger *logger, const char *context, const char *doing, int percent,
                             unsigned long done, unsigned long total)
{
}

static void library_destroy(struct xentoollog_logger *logger)
{
}

struct hv *xen_hv(struct xen *xen)
{
    return &xen->hv;
}

unsigned xen_nr_vcpus(const struct xen *xen)
{
    return xen->nr_vcpus;
}

static int open_libraries(struct xen *xen, char error[CONFIG_ERROR_BYTES])
{
    xen->call = xencall_open(&xen->logger, 0);
    xen->dm = xen->call ? xendevicemodel_open(&xen->logger, 0) : NULL;
    xen->fmem = xen->dm ? xenforeignmemory_open(&xen->logger, 0) : NULL;
    xen->evtchn = xen->fmem ? xenevtchn_open(&xen->logger, 0) : NULL;
    if (xen->evtchn)
        return xen_host_open(xen, error);
    int err = xen_errno();
    snprintf(error, CONFIG_ERROR_BYTES, "Xen is not there: can't open %s: %s",
             xen->fmem ? "the event channel device" : "the privileged command device", strerror(-err));
    return err;
}

int xen_open(const struct xen_config *config, struct xen **out, char error[CONFIG_ERROR_BYTES])
{
    struct xen *xen = calloc(1, sizeof(*xen));
    if (!xen) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    xen->hv.ops = &xen_ops;
    xen->config = *config;
    xen->logger = (xentoollog_logger){ library_message, library_progress, library_destroy };
    int err = open_libraries(xen, error);
    if (!err)
        err = xen_server_create(xen, error);
    if (err) {
        xen_close(xen);
        return err;
    }
    *out = xen;
    return 0;
}

void xen_close(struct xen *xen)
{
    if (!xen)
        return;
    xen_server_destroy(xen);
    xen_vram_destroy(&xen->hv);
    xen_host_close(xen);
    if (xen->evtchn)
        xenevtchn_close(xen->evtchn);
    if (xen->fmem)
        xenforeignmemory_close(xen->fmem);
    if (xen->dm)
        xendevicemodel_close(xen->dm);
    if (xen->call)
        xencall_close(xen->call);
    free(xen);
}
