/* From the first instruction of a PV guest to stubdom_main(): see boot.h. Source: xen/include/public/xen.h, struct
 * start_info. */
#include "boot.h"

#include <stdio.h>
#include <string.h>
#include <xen/vcpu.h>

#include "attack.h"
#include "boot-private.h"
#include "clock-private.h"
#include "clock.h"
#include "console.h"
#include "events-private.h"
#include "hypercall.h"
#include "mm-private.h"
#include "mm.h"
#include "selftest.h"
#include "traps.h"

static struct boot_info info;
static char cmdline[MAX_GUEST_CMDLINE];

union shared_page shared_page __attribute__((aligned(PAGE_BYTES)));

const struct boot_info *boot_info(void)
{
    return &info;
}

size_t boot_page(const void *at)
{
    return ((uintptr_t)at - (uintptr_t)image_begin) / PAGE_BYTES;
}

void boot_image(struct mm_boot *boot)
{
    boot->base = image_begin;
    boot->text_end = boot_page(text_end);
    boot->const_end = boot_page(rodata_end);
    boot->guard = boot_page(stack_guard);
}

_Noreturn void boot_run(struct boot_info *found, const char *line, uint64_t ticks)
{
    int result;
    info = *found;
    page_free(pvh_first_tables, 3);
    (void)snprintf(cmdline, sizeof(cmdline), "%s", line ? line : "");
    info.cmdline = cmdline;
    info.start_ns = clock_at(ticks);
    console_print("thindm stubdomain, %s, %zu KiB free, %u us after the first instruction\n", info.pvh ? "PVH" : "PV",
                  pages_free() * PAGE_BYTES / 1024, (unsigned)((clock_now_ns() - info.start_ns) / 1000));
    if (strncmp(cmdline, "selftest attack ", strlen("selftest attack ")) == 0) {
        (void)attack(cmdline + strlen("selftest attack "));
        cmdline[0] = '\0';
    }
    result = strncmp(cmdline, "selftest", strlen("selftest")) == 0 ? selftest(cmdline) : stubdom_main();
    if (result != 0)
        crash("stubdom_main: %d", result);
    shutdown(SHUTDOWN_poweroff);
}

/* Of a machine frame among the first pages, where it is. */
static void *at_frame(xen_pfn_t frame)
{
    return image_begin + machine_to_phys_mapping[frame] * PAGE_BYTES;
}

size_t boot_later_page(size_t page, const void *at)
{
    return max_u64(page, boot_page(at) + 1);
}

/* Behind all that the toolstack put after the image, in whatever order. */
static size_t first_free_page(const struct start_info *si, const void *store, const void *console)
{
    size_t page = boot_page(image_end);
    page = boot_later_page(page, (const char *)si->mfn_list + si->nr_pages * sizeof(xen_pfn_t) - 1);
    page = boot_later_page(page, si);
    page = boot_later_page(page, store);
    page = boot_later_page(page, console);
    page = boot_later_page(page, (const char *)si->pt_base + si->nr_pt_frames * PAGE_BYTES - 1);
    return page;
}

_Noreturn void boot_pv(const struct start_info *si, uint64_t ticks)
{
    void *store = at_frame(si->store_mfn), *console = at_frame(si->console.domU.mfn);
    long err = hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)&shared_page, si->shared_info | PAGE_DATA,
                         UVMF_INVLPG, 0, 0);
    if (err)
        shutdown(SHUTDOWN_crash); /* nobody can be told */
    clock_init(&shared_page.shared);
    events_init(&shared_page.shared);
    console_init(console, si->console.domU.evtchn);
    traps_init(&shared_page.shared.vcpu_info[0].arch.cr2);
    /* Every PV guest is woken a hundred times a second unless it says no [vcpu.h]. */
    (void)hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0, 0, 0);

    struct mm_boot boot = { .nr_pages = si->nr_pages,
                            .frames = (const xen_pfn_t *)si->mfn_list,
                            .frame_to_page = machine_to_phys_mapping,
                            .root = (uint64_t *)si->pt_base,
                            .first_free = first_free_page(si, store, console) };
    boot_image(&boot);
    bool is_page = si->flags & SIF_MOD_START_PFN;
    if (si->mod_len > 0) {
        boot.ramdisk = is_page ? si->mod_start : boot_page((const void *)si->mod_start);
        boot.nr_ramdisk = (si->mod_len + PAGE_BYTES - 1) / PAGE_BYTES;
    }
    if (!mm_init(&boot))
        crash("%lu pages of memory are not enough", si->nr_pages);
    struct boot_info found = { .store_page = store,
                               .store_port = si->store_evtchn,
                               .ramdisk_bytes = si->mod_len,
                               .ramdisk = si->mod_len > 0 ? image_begin + boot.ramdisk * PAGE_BYTES : NULL };
    boot_run(&found, (const char *)si->cmd_line, ticks);
}
