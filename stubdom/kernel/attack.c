/* See attack.h. Sources: xen/include/xsm/dummy.h, which decides; xen/include/public for the calls. */
#include "attack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

#include "boot.h"
#include "console.h"
#include "events.h"
#include "hypercall.h"
#include "mm.h"
#include "store.h"

enum { ABSENT = 30000, RAM_FRAME = 0x100, PORTS = 64, GRANTS = 64, LOW_FRAMES = 64 };

/* Each answers what Xen or xenstore did: below 0 it refused. */

static long map_frame(domid_t dom)
{
    xen_pfn_t frame = RAM_FRAME;
    int err = -ENOMEM;
    void *window = window_alloc(1);
    if (!window)
        return 0; /* nothing was tried, so nothing was refused */
    long result = window_map(window, 1, &frame, dom, WINDOW_GUEST, &err);
    window_free(window, 1);
    return result ? result : err;
}

/* Machine frames that are Xen's or Dom0's, called our own. */
static long map_machine_frames(domid_t dom)
{
    xen_pfn_t frames[LOW_FRAMES];
    int err[LOW_FRAMES];
    void *window = window_alloc(LOW_FRAMES);
    if (!window)
        return 0; /* nothing was tried, so nothing was refused */
    for (unsigned i = 0; i < LOW_FRAMES; i++)
        frames[i] = i;
    long result = window_map(window, LOW_FRAMES, frames, dom, WINDOW_RESOURCE, err);
    if (result == 0) {
        result = err[0];
        for (unsigned i = 1; i < LOW_FRAMES; i++)
            result = err[i] == 0 ? 0 : result; /* one is enough */
    }
    window_free(window, LOW_FRAMES);
    return result;
}

static long ask_device_model(domid_t dom)
{
    struct xen_dm_op op = { .op = XEN_DMOP_nr_vcpus };
    struct xen_dm_op_buf buf = { .size = sizeof(op) };
    set_xen_guest_handle(buf.h, &op);
    return hypercall(__HYPERVISOR_dm_op, dom, 1, (uintptr_t)&buf, 0, 0);
}

static long create_server(domid_t dom)
{
    struct xen_dm_op op = { .op = XEN_DMOP_create_ioreq_server };
    struct xen_dm_op_buf buf = { .size = sizeof(op) };
    set_xen_guest_handle(buf.h, &op);
    return hypercall(__HYPERVISOR_dm_op, dom, 1, (uintptr_t)&buf, 0, 0);
}

static long acquire_grant_table(domid_t dom)
{
    xen_pfn_t frame = 0;
    struct xen_mem_acquire_resource op = { .domid = dom, .type = XENMEM_resource_grant_table, .nr_frames = 1 };
    set_xen_guest_handle(op.frame_list, &frame);
    return hypercall(__HYPERVISOR_memory_op, XENMEM_acquire_resource, (uintptr_t)&op, 0, 0, 0);
}

static long read_parameter(domid_t dom)
{
    struct xen_hvm_param op = { .domid = dom, .index = HVM_PARAM_STORE_PFN };
    return hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&op, 0, 0, 0);
}

static long add_memory(domid_t dom)
{
    xen_pfn_t frame = 0xf0100;
    struct xen_memory_reservation op = { .nr_extents = 1, .domid = dom };
    set_xen_guest_handle(op.extent_start, &frame);
    long done = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)&op, 0, 0, 0);
    return done > 0 ? 0 : -EPERM; /* how many frames it added */
}

static long ask_reservation(domid_t dom)
{
    return hypercall(__HYPERVISOR_memory_op, XENMEM_current_reservation, (uintptr_t)&dom, 0, 0, 0);
}

static long bind_channels(domid_t dom)
{
    evtchn_port_t port;
    int err = -EINVAL;
    for (evtchn_port_t remote = 1; remote < PORTS; remote++) {
        err = events_bind_interdomain(dom, remote, &port);
        if (err == 0)
            return 0;
    }
    return err;
}

/* A channel between two others, to listen in on. */
static long open_channel(domid_t dom)
{
    struct evtchn_alloc_unbound op = { .dom = dom, .remote_dom = DOMID_SELF };
    return hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&op, 0, 0, 0);
}

static long map_grants(domid_t dom)
{
    int16_t status = GNTST_okay; /* until Xen refused */
    uint8_t *window = window_alloc(1);
    for (grant_ref_t ref = 0; window && ref < GRANTS; ref++) {
        struct gnttab_map_grant_ref op = {
            .host_addr = (uintptr_t)window, .flags = GNTMAP_host_map, .ref = ref, .dom = dom, .status = -1
        };
        if (hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)&op, 1, 0, 0) == 0)
            status = op.status;
        if (status == GNTST_okay)
            break;
    }
    window_free(window, 1);
    return status;
}

static long end_domain(domid_t dom)
{
    struct sched_remote_shutdown op = { .domain_id = dom, .reason = SHUTDOWN_crash };
    return hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, (uintptr_t)&op, 0, 0, 0);
}

static long write_node(domid_t dom)
{
    char path[STORE_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "/local/domain/%u/name", dom);
    return store_write(path, "attacked");
}

static long read_node(domid_t dom)
{
    char path[STORE_PATH_BYTES], value[64];
    (void)snprintf(path, sizeof(path), "/local/domain/%u/vm", dom);
    return store_read(path, value, sizeof(value));
}

/* Our own home says whom we serve. */
static long write_target(domid_t dom)
{
    return store_printf("target", "%u", dom);
}

enum { DOM0 = 1, OTHER = 2, NOBODY = 4, TARGET = 8, ALL = DOM0 | OTHER | NOBODY };

static const struct attempt {
    const char *name;
    long (*make)(domid_t dom);
    unsigned refused, allowed;
} attempts[] = {
    { "map-frame", map_frame, ALL, TARGET },
    { "map-machine-frames", map_machine_frames, ALL, 0 },
    { "device-model-call", ask_device_model, ALL, TARGET },
    { "create-server", create_server, ALL, 0 },
    { "acquire-grant-table", acquire_grant_table, ALL, 0 },
    { "read-parameter", read_parameter, ALL, TARGET },
    { "add-memory", add_memory, ALL, 0 },
    { "ask-reservation", ask_reservation, ALL, TARGET },
    { "bind-channels", bind_channels, ALL, 0 },
    { "open-channel", open_channel, ALL, 0 },
    { "map-grants", map_grants, ALL, 0 },
    { "end-domain", end_domain, ALL, 0 },
    { "write-node", write_node, ALL, 0 },
    { "read-node", read_node, OTHER, TARGET }, /* those of Dom0 are for everybody to read */
    { "write-target", write_target, DOM0 | OTHER, 0 },
};

static int try(const struct attempt *a, unsigned whom, domid_t dom, const char *name)
{
    if (!((a->refused | a->allowed) & whom))
        return 0;
    long result = a->make(dom);
    bool good = (result < 0) == ((a->refused & whom) != 0);
    console_print("SELFTEST attack-%s-%s %s %ld\n", a->name, name, good ? "PASS" : "FAIL", result);
    console_drain();
    return !good;
}

int attack(const char *domid)
{
    uint64_t target, other;
    int bad = 0;
    int err = store_init(boot_info()->store_page, boot_info()->store_port);
    if (!err)
        err = store_read_u64("target", &target);
    if (err || store_number(domid, &other))
        crash("attack: no target, or no other domain: %d", err);
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        bad += try(&attempts[i], DOM0, 0, "dom0");
        bad += try(&attempts[i], OTHER, (domid_t)other, "other");
        bad += try(&attempts[i], NOBODY, ABSENT, "nobody");
        bad += try(&attempts[i], TARGET, (domid_t)target, "target");
    }
    /* As DOMID_SELF nobody else's frame is there either. */
    long result = map_machine_frames(DOMID_SELF);
    console_print("SELFTEST attack-map-machine-frames-self %s %ld\n", result < 0 ? "PASS" : "FAIL", result);
    bad += result >= 0;
    events_forget(boot_info()->store_port); /* the device model begins anew */
    console_print("SELFTEST attack done, %d not refused\n", bad);
    return bad;
}
