/* What backends/xen uses of Xen's libraries, over hypercalls, events and windows that are made up here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../stubdom/kernel/events.h"
#include "../../stubdom/kernel/hypercall.h"
#include "../../stubdom/kernel/mm.h"
#include "../../stubdom/xenlib/xenlib.h"
#include <thindm/util.h>
#include <xen/hvm/dm_op.h>
#include <xen/memory.h>
#include <xencall.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

enum { DOMID = 5, MAX_PAGES = 2048, BAD_FRAME = 0xbad, FIRST_PORT = 20 };

/* --- Xen and the kernel --- */

static struct {
    unsigned nr, calls;
    uintptr_t args[2];
    struct xen_dm_op op;
    struct xen_mem_acquire_resource resource;
    uint64_t second[64]; /* buffer 1, or the frames of the resource */
    size_t second_bytes;
    long answer;
} xen;

static void dm_op(unsigned nr_bufs, const struct xen_dm_op_buf *bufs)
{
    struct xen_dm_op *op = bufs[0].h.p;
    assert_int_equal(bufs[0].size, sizeof(*op));
    assert_int_equal(op->pad, 0);
    xen.op = *op;
    xen.second_bytes = 0;
    if (nr_bufs > 1) {
        xen.second_bytes = bufs[1].size;
        assert_true(bufs[1].size <= sizeof(xen.second));
        memcpy(xen.second, bufs[1].h.p, bufs[1].size);
        memset(bufs[1].h.p, op->op == XEN_DMOP_track_dirty_vram ? 0x5a : 0, bufs[1].size);
    }
    switch (op->op) {
    case XEN_DMOP_nr_vcpus: op->u.nr_vcpus.vcpus = 3; break;
    case XEN_DMOP_create_ioreq_server: op->u.create_ioreq_server.id = 7; break;
    case XEN_DMOP_get_ioreq_server_info:
        op->u.get_ioreq_server_info.bufioreq_port = 11;
        op->u.get_ioreq_server_info.ioreq_gfn = 0xfeff0;
        op->u.get_ioreq_server_info.bufioreq_gfn = 0xfeff1;
        break;
    }
}

long hypercall(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e)
{
    xen.calls++;
    xen.nr = nr;
    xen.args[0] = a;
    xen.args[1] = b;
    if (nr == __HYPERVISOR_dm_op) {
        assert_int_equal(a, DOMID);
        dm_op((unsigned)b, (const struct xen_dm_op_buf *)c);
    } else if (nr == __HYPERVISOR_memory_op && a == XENMEM_acquire_resource) {
        struct xen_mem_acquire_resource *arg = (void *)b;
        xen.resource = *arg;
        for (unsigned i = 0; i < arg->nr_frames && xen.answer == 0; i++)
            arg->frame_list.p[i] = 0x8000 + i;
    }
    return xen.answer;
}

/* Windows: a byte for each page, and what is behind it. */
static uint8_t space[MAX_PAGES * PAGE_BYTES];
static struct {
    size_t allocated, calls, most;
    xen_pfn_t frames[MAX_PAGES]; /* 0: nothing */
    enum window_kind kind;
    int fail; /* the call as a whole */
    bool full;
} windows;

void *window_alloc(size_t nr)
{
    if (windows.full || windows.allocated > 0 || nr > MAX_PAGES)
        return NULL;
    windows.allocated = nr;
    return space;
}

void window_free(void *at, size_t nr)
{
    assert_ptr_equal(at, space);
    assert_int_equal(nr, windows.allocated);
    memset(windows.frames, 0, sizeof(windows.frames)); /* as the kernel's, it unmaps */
    windows.allocated = 0;
}

int window_map(void *at, size_t nr, const xen_pfn_t *frames, domid_t dom, enum window_kind kind, int *err)
{
    size_t first = (size_t)((uint8_t *)at - space) / PAGE_BYTES;
    assert_int_equal(dom, DOMID);
    assert_true(first + nr <= windows.allocated);
    windows.calls++;
    windows.most = nr > windows.most ? nr : windows.most;
    windows.kind = kind;
    for (size_t i = 0; i < nr; i++) {
        err[i] = frames[i] == BAD_FRAME ? -EINVAL : 0;
        windows.frames[first + i] = err[i] ? 0 : frames[i];
    }
    return windows.fail;
}

static struct port {
    event_fn *fn;
    void *opaque;
    bool open, pending;
    unsigned notified;
} ports[16];
static unsigned nr_ports;
static int fail_listen;

static struct port *port_of(evtchn_port_t port)
{
    assert_true(port >= FIRST_PORT && port < FIRST_PORT + 16);
    return &ports[port - FIRST_PORT];
}

int events_bind_interdomain(domid_t remote, evtchn_port_t remote_port, evtchn_port_t *port)
{
    assert_int_equal(remote, DOMID);
    if (remote_port == 0)
        return -EINVAL;
    *port = FIRST_PORT + nr_ports++;
    port_of(*port)->open = true;
    return 0;
}

int events_listen(evtchn_port_t port, event_fn *fn, void *opaque)
{
    struct port *p = port_of(port);
    if (p->fn || fail_listen)
        return fail_listen ? fail_listen : -EBUSY;
    p->fn = fn;
    p->opaque = opaque;
    return 0;
}

void events_forget(evtchn_port_t port)
{
    port_of(port)->fn = NULL;
}

void events_close(evtchn_port_t port)
{
    events_forget(port);
    port_of(port)->open = false;
}

int events_notify(evtchn_port_t port)
{
    if (!port_of(port)->open)
        return -EINVAL;
    port_of(port)->notified++;
    return 0;
}

static void serve_events(void)
{
    for (unsigned i = 0; i < nr_ports; i++) {
        struct port *p = &ports[i];
        if (!p->pending || !p->fn)
            continue;
        p->pending = false;
        p->fn(p->opaque, FIRST_PORT + i);
    }
}

static int setup(void **state)
{
    memset(&xen, 0, sizeof(xen));
    memset(&windows, 0, sizeof(windows));
    memset(ports, 0, sizeof(ports));
    nr_ports = 0;
    fail_listen = 0;
    errno = 0;
    return 0;
}

/* --- Device model operations --- */

static void expect_op(int rc, uint32_t op)
{
    assert_int_equal(rc, 0);
    assert_int_equal(xen.op.op, op);
}

static void the_server(void **state)
{
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    unsigned vcpus = 0;
    ioservid_t id = 0;
    evtchn_port_t port = 0;
    xen_pfn_t sync = 0, buffered = 0;
    expect_op(xendevicemodel_nr_vcpus(dm, DOMID, &vcpus), XEN_DMOP_nr_vcpus);
    assert_int_equal(vcpus, 3);
    expect_op(xendevicemodel_create_ioreq_server(dm, DOMID, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &id),
              XEN_DMOP_create_ioreq_server);
    assert_int_equal(xen.op.u.create_ioreq_server.handle_bufioreq, HVM_IOREQSRV_BUFIOREQ_ATOMIC);
    assert_int_equal(id, 7);
    expect_op(xendevicemodel_get_ioreq_server_info(dm, DOMID, id, NULL, NULL, &port), XEN_DMOP_get_ioreq_server_info);
    assert_int_equal(port, 11);
    assert_int_equal(xen.op.u.get_ioreq_server_info.id, 7);
    assert_int_equal(xen.op.u.get_ioreq_server_info.flags, XEN_DMOP_no_gfns);
    expect_op(xendevicemodel_get_ioreq_server_info(dm, DOMID, id, &sync, &buffered, NULL),
              XEN_DMOP_get_ioreq_server_info);
    assert_int_equal(xen.op.u.get_ioreq_server_info.flags, 0);
    assert_int_equal(sync, 0xfeff0);
    assert_int_equal(buffered, 0xfeff1);
    expect_op(xendevicemodel_set_ioreq_server_state(dm, DOMID, id, 1), XEN_DMOP_set_ioreq_server_state);
    assert_int_equal(xen.op.u.set_ioreq_server_state.enabled, 1);
    assert_int_equal(xen.op.u.set_ioreq_server_state.id, 7);
    expect_op(xendevicemodel_destroy_ioreq_server(dm, DOMID, id), XEN_DMOP_destroy_ioreq_server);
    assert_int_equal(xen.op.u.destroy_ioreq_server.id, 7);
}

static void expect_range(int rc, uint32_t op, uint32_t type, uint64_t start, uint64_t end)
{
    expect_op(rc, op);
    assert_int_equal(xen.op.u.map_io_range_to_ioreq_server.id, 7);
    assert_int_equal(xen.op.u.map_io_range_to_ioreq_server.type, type);
    assert_int_equal(xen.op.u.map_io_range_to_ioreq_server.start, start);
    assert_int_equal(xen.op.u.map_io_range_to_ioreq_server.end, end);
}

static void ranges(void **state)
{
    enum { MAP = XEN_DMOP_map_io_range_to_ioreq_server, UNMAP = XEN_DMOP_unmap_io_range_from_ioreq_server };
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    expect_range(xendevicemodel_map_io_range_to_ioreq_server(dm, DOMID, 7, 0, 0x60, 0x64), MAP, 0, 0x60, 0x64);
    expect_range(xendevicemodel_map_io_range_to_ioreq_server(dm, DOMID, 7, 1, 0xf0000000, 0xf0000fff), MAP, 1,
                 0xf0000000, 0xf0000fff);
    expect_range(xendevicemodel_unmap_io_range_from_ioreq_server(dm, DOMID, 7, 1, 1, 2), UNMAP, 1, 1, 2);
    expect_range(xendevicemodel_map_pcidev_to_ioreq_server(dm, DOMID, 7, 0, 0, 3, 1), MAP, 2, 0x19, 0x19);
    expect_range(xendevicemodel_unmap_pcidev_from_ioreq_server(dm, DOMID, 7, 1, 2, 31, 7), UNMAP, 2, 0x102ff, 0x102ff);
}

static void interrupts(void **state)
{
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    expect_op(xendevicemodel_set_isa_irq_level(dm, DOMID, 14, 1), XEN_DMOP_set_isa_irq_level);
    assert_int_equal(xen.op.u.set_isa_irq_level.isa_irq, 14);
    assert_int_equal(xen.op.u.set_isa_irq_level.level, 1);
    expect_op(xendevicemodel_set_pci_intx_level(dm, DOMID, 0, 0, 3, 1, 1), XEN_DMOP_set_pci_intx_level);
    assert_int_equal(xen.op.u.set_pci_intx_level.device, 3);
    assert_int_equal(xen.op.u.set_pci_intx_level.intx, 1);
    assert_int_equal(xen.op.u.set_pci_intx_level.level, 1);
    expect_op(xendevicemodel_set_pci_link_route(dm, DOMID, 2, 11), XEN_DMOP_set_pci_link_route);
    assert_int_equal(xen.op.u.set_pci_link_route.link, 2);
    assert_int_equal(xen.op.u.set_pci_link_route.isa_irq, 11);
    expect_op(xendevicemodel_inject_msi(dm, DOMID, 0xfee01000, 0x4041), XEN_DMOP_inject_msi);
    assert_int_equal(xen.op.u.inject_msi.addr, 0xfee01000);
    assert_int_equal(xen.op.u.inject_msi.data, 0x4041);
}

static void memory_of_the_guest(void **state)
{
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    unsigned long bitmap[2] = { 0 };
    expect_op(xendevicemodel_track_dirty_vram(dm, DOMID, 0xf0000, 100, bitmap), XEN_DMOP_track_dirty_vram);
    assert_int_equal(xen.op.u.track_dirty_vram.first_pfn, 0xf0000);
    assert_int_equal(xen.op.u.track_dirty_vram.nr, 100);
    assert_int_equal(xen.second_bytes, 13);
    assert_int_equal(bitmap[0], 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(bitmap[1], 0x5a5a5a5a5a);
    expect_op(xendevicemodel_modified_memory(dm, DOMID, 0x1234, 5), XEN_DMOP_modified_memory);
    assert_int_equal(xen.op.u.modified_memory.nr_extents, 1);
    assert_int_equal(xen.second_bytes, sizeof(struct xen_dm_op_modified_memory_extent));
    assert_int_equal(xen.second[0], 5); /* nr, and no padding */
    assert_int_equal(xen.second[1], 0x1234);
    expect_op(xendevicemodel_set_mem_type(dm, DOMID, HVMMEM_ram_ro, 0xc0, 32), XEN_DMOP_set_mem_type);
    assert_int_equal(xen.op.u.set_mem_type.mem_type, HVMMEM_ram_ro);
    assert_int_equal(xen.op.u.set_mem_type.first_pfn, 0xc0);
    assert_int_equal(xen.op.u.set_mem_type.nr, 32);
    expect_op(xendevicemodel_relocate_memory(dm, DOMID, 4096, 0x10000, 0xf0000), XEN_DMOP_relocate_memory);
    assert_int_equal(xen.op.u.relocate_memory.size, 4096);
    assert_int_equal(xen.op.u.relocate_memory.src_gfn, 0x10000);
    assert_int_equal(xen.op.u.relocate_memory.dst_gfn, 0xf0000);
    expect_op(xendevicemodel_pin_memory_cacheattr(dm, DOMID, 0xf0000, 0xf0fff, 6), XEN_DMOP_pin_memory_cacheattr);
    assert_int_equal(xen.op.u.pin_memory_cacheattr.start, 0xf0000);
    assert_int_equal(xen.op.u.pin_memory_cacheattr.end, 0xf0fff);
    assert_int_equal(xen.op.u.pin_memory_cacheattr.type, 6);
    expect_op(xendevicemodel_shutdown(dm, DOMID, 3), XEN_DMOP_remote_shutdown);
    assert_int_equal(xen.op.u.remote_shutdown.reason, 3);
}

static void errors_are_errno(void **state)
{
    xendevicemodel_handle *dm = xendevicemodel_open(NULL, 0);
    unsigned vcpus = 99;
    xen.answer = -EPERM;
    assert_int_equal(xendevicemodel_nr_vcpus(dm, DOMID, &vcpus), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(vcpus, 99);
    xencall_handle *call = xencall_open(NULL, 0);
    xen.answer = -ENOSYS;
    assert_int_equal(xencall2(call, 34, 1, 2), -1);
    assert_int_equal(errno, ENOSYS);
    xen.answer = 17;
    assert_int_equal(xencall2(call, 34, 1, 2), 17);
    assert_int_equal(xen.nr, 34);
    assert_int_equal(xen.args[0], 1);
    assert_int_equal(xen.args[1], 2);
}

/* --- Mappings --- */

static xen_pfn_t *frames_from(xen_pfn_t first, size_t nr)
{
    xen_pfn_t *frames = malloc(nr * sizeof(*frames));
    for (size_t i = 0; i < nr; i++)
        frames[i] = first + i;
    return frames;
}

static void map_in_pieces(void **state)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    xen_pfn_t *frames = frames_from(0x10000, 1300);
    void *at = xenforeignmemory_map(fmem, DOMID, 3, 1300, frames, NULL);
    assert_ptr_equal(at, space);
    assert_int_equal(windows.calls, 3);
    assert_int_equal(windows.most, 512);
    assert_int_equal(windows.kind, WINDOW_GUEST);
    assert_memory_equal(windows.frames, frames, 1300 * sizeof(*frames));
    assert_int_equal(xenforeignmemory_unmap(fmem, at, 1300), 0);
    assert_int_equal(windows.allocated, 0);
    assert_int_equal(windows.frames[0], 0);
    free(frames);
}

/* With a list of errors holes are all right, without one they are not. */
static void map_with_holes(void **state)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    xen_pfn_t *frames = frames_from(0x20000, 700);
    int err[700];
    frames[650] = BAD_FRAME;
    assert_non_null(xenforeignmemory_map2(fmem, DOMID, NULL, 3, 0, 700, frames, err));
    for (size_t i = 0; i < 700; i++)
        assert_int_equal(err[i], i == 650 ? -EINVAL : 0);
    xenforeignmemory_unmap(fmem, space, 700);
    assert_null(xenforeignmemory_map(fmem, DOMID, 3, 700, frames, NULL));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(windows.allocated, 0);
    assert_int_equal(windows.frames[0], 0);
    windows.fail = -ESRCH;
    assert_null(xenforeignmemory_map2(fmem, DOMID, NULL, 3, 0, 700, frames, err));
    assert_int_equal(errno, ESRCH);
    assert_int_equal(windows.allocated, 0);
    windows.full = true;
    assert_null(xenforeignmemory_map2(fmem, DOMID, NULL, 3, 0, 700, frames, err));
    assert_int_equal(errno, ENOMEM);
    free(frames);
}

static void resources(void **state)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    void *pages = NULL;
    xenforeignmemory_resource_handle *res =
        xenforeignmemory_map_resource(fmem, DOMID, XENMEM_resource_ioreq_server, 7, 0, 2, &pages, 3, 0);
    assert_non_null(res);
    assert_ptr_equal(pages, space);
    assert_int_equal(xen.resource.domid, DOMID);
    assert_int_equal(xen.resource.type, XENMEM_resource_ioreq_server);
    assert_int_equal(xen.resource.id, 7);
    assert_int_equal(xen.resource.frame, 0);
    assert_int_equal(xen.resource.nr_frames, 2);
    assert_int_equal(windows.kind, WINDOW_RESOURCE);
    assert_int_equal(windows.frames[0], 0x8000);
    assert_int_equal(windows.frames[1], 0x8001);
    assert_int_equal(xenforeignmemory_unmap_resource(fmem, res), 0);
    assert_int_equal(windows.allocated, 0);
    xen.answer = -EPERM;
    assert_null(xenforeignmemory_map_resource(fmem, DOMID, 0, 7, 0, 2, &pages, 3, 0));
    assert_int_equal(errno, EPERM);
    xen.answer = 0;
    assert_null(xenforeignmemory_map_resource(fmem, DOMID, 0, 7, 0, 1000, &pages, 3, 0));
    assert_int_equal(errno, E2BIG);
    windows.full = true;
    assert_null(xenforeignmemory_map_resource(fmem, DOMID, 0, 7, 0, 2, &pages, 3, 0));
    assert_int_equal(errno, ENOMEM);
}

/* --- Event channels --- */

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void a_read_port_is_quiet_until_unmasked(void **state)
{
    unsigned told = 0;
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
    int a = xenevtchn_bind_interdomain(xce, DOMID, 3), b = xenevtchn_bind_interdomain(xce, DOMID, 4);
    assert_int_equal(a, FIRST_PORT);
    assert_int_equal(b, FIRST_PORT + 1);
    ports[0].pending = true;
    serve_events(); /* before anybody asks */
    xenlib_on_event(xce, count, &told);
    assert_int_equal(told, 1);
    assert_int_equal(xenevtchn_pending(xce), a);
    assert_int_equal(xenevtchn_pending(xce), -1);
    assert_int_equal(errno, EAGAIN);
    ports[0].pending = ports[1].pending = true;
    serve_events();
    assert_int_equal(told, 2); /* of b alone */
    assert_int_equal(xenevtchn_pending(xce), b);
    assert_int_equal(xenevtchn_pending(xce), -1);
    assert_int_equal(xenevtchn_unmask(xce, FIRST_PORT), 0);
    serve_events(); /* what came meanwhile */
    assert_int_equal(told, 3);
    assert_int_equal(xenevtchn_pending(xce), a);
    xenlib_on_event(xce, NULL, NULL);
    xenevtchn_close(xce);
    assert_false(ports[0].open);
    assert_false(ports[1].open);
    assert_null(ports[1].fn);
}

static void notifications_and_errors(void **state)
{
    xenevtchn_handle *xce = xenevtchn_open(NULL, 0);
    assert_int_equal(xenevtchn_bind_interdomain(xce, DOMID, 0), -1);
    assert_int_equal(errno, EINVAL);
    fail_listen = -ENOSPC;
    assert_int_equal(xenevtchn_bind_interdomain(xce, DOMID, 3), -1);
    assert_int_equal(errno, ENOSPC);
    assert_false(ports[0].open);
    fail_listen = 0;
    int port = xenevtchn_bind_interdomain(xce, DOMID, 3);
    assert_int_equal(port, FIRST_PORT + 1);
    assert_int_equal(xenevtchn_notify(xce, (evtchn_port_t)port), 0);
    assert_int_equal(ports[1].notified, 1);
    assert_int_equal(xenevtchn_unmask(xce, 99), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(xenevtchn_unmask(xce, (evtchn_port_t)port), -1); /* it was not read */
    assert_int_equal(errno, EBUSY);
    xenevtchn_close(xce);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_server, setup),
        cmocka_unit_test_setup(ranges, setup),
        cmocka_unit_test_setup(interrupts, setup),
        cmocka_unit_test_setup(memory_of_the_guest, setup),
        cmocka_unit_test_setup(errors_are_errno, setup),
        cmocka_unit_test_setup(map_in_pieces, setup),
        cmocka_unit_test_setup(map_with_holes, setup),
        cmocka_unit_test_setup(resources, setup),
        cmocka_unit_test_setup(a_read_port_is_quiet_until_unmasked, setup),
        cmocka_unit_test_setup(notifications_and_errors, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
