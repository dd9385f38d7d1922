/*
 * The start of a PVH guest: descriptor tables and exceptions as on bare hardware, the rest by hypercalls.
 * Sources: xen/include/public/arch-x86/hvm/start_info.h, hvm/params.h, memory.h; AMD64 APM vol. 2, 4.8 and 12.2.
 */
#include <string.h>
#include <thindm/util.h>
#include <xen/memory.h>

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#include "boot-private.h"
#include "clock-private.h"
#include "console.h"
#include "events-private.h"
#include "hypercall-private.h"
#include "hypercall.h"
#include "mm.h"
#include "traps.h"

enum { CODE_SELECTOR = 8, TASK_SELECTOR = 24, GATE_INTERRUPT = 0x8e00, TASK_AVAILABLE = 0x8900 };
enum { VECTOR_DOUBLE_FAULT = 8, FAULT_STACK_PAGES = 2 };

extern uint64_t pvh_gdt[];

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct gate {
    uint16_t offset_low, selector, flags, offset_middle;
    uint32_t offset_high, reserved;
} idt[TRAP_VECTORS];

static struct {
    uint32_t words[26]; /* rsp 0-2 and interrupt stacks 1-7, after a reserved word each */
} task;
enum { TASK_STACK_1 = 9 };

void pvh_load_root(xen_pfn_t frame)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(frame << PAGE_SHIFT) : "memory");
}

/* The instruction is that of the processor's maker; the other's is an invalid opcode. */
static enum hypercall_way find_way(void)
{
    uint32_t max = 0, maker, unused_c, unused_d;
    __asm__("cpuid" : "+a"(max), "=b"(maker), "=c"(unused_c), "=d"(unused_d));
    bool amd = memcmp(&maker, "Auth", 4) == 0 || memcmp(&maker, "Hygo", 4) == 0;
    return amd ? HYPERCALL_VMMCALL : HYPERCALL_VMCALL;
}

/* A stack that has run into its guard page can't take the exception's frame: that is a double fault, on a stack of its
 * own. */
static void load_tables(void *fault_stack_top)
{
    uintptr_t base = (uintptr_t)&task, top = (uintptr_t)fault_stack_top;
    for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
        uintptr_t entry = (uintptr_t)trap_entry(vector) + TRAP_NATIVE_BYTES;
        if (!trap_entry(vector))
            continue;
        idt[vector] = (struct gate){ .offset_low = (uint16_t)entry,
                                     .selector = CODE_SELECTOR,
                                     .flags = GATE_INTERRUPT | (vector == VECTOR_DOUBLE_FAULT),
                                     .offset_middle = (uint16_t)(entry >> 16),
                                     .offset_high = (uint32_t)(entry >> 32) };
    }
    task.words[TASK_STACK_1] = (uint32_t)top;
    task.words[TASK_STACK_1 + 1] = (uint32_t)(top >> 32);
    pvh_gdt[TASK_SELECTOR / 8] =
        (sizeof(task) - 1) | (base & 0xffffff) << 16 | (uint64_t)TASK_AVAILABLE << 32 | (base >> 24 & 0xff) << 56;
    pvh_gdt[TASK_SELECTOR / 8 + 1] = base >> 32;
    struct pointer pointer = { sizeof(idt) - 1, (uintptr_t)idt };
    __asm__ volatile("lidt %0; ltr %w1" : : "m"(pointer), "r"(TASK_SELECTOR) : "memory");
}

static uint64_t parameter(uint32_t index)
{
    struct xen_hvm_param op = { .domid = DOMID_SELF, .index = index };
    long err = hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&op, 0, 0, 0);
    return err ? 0 : op.value;
}

/* Rings lie outside of the memory. */
static void *map_ring(uint32_t index)
{
    void *at = window_alloc(1);
    uint64_t value = parameter(index) << PAGE_SHIFT | PAGE_DATA;
    if (!at || value == PAGE_DATA)
        shutdown(SHUTDOWN_crash); /* nobody can be told */
    mm_write(mm_entry(at, false), &value, 1);
    return at;
}

/* The memory that the image lies in goes up to there. */
static uint64_t memory_end(const struct hvm_start_info *start)
{
    const struct hvm_memmap_table_entry *map = (const void *)(uintptr_t)start->memmap_paddr;
    uint64_t image = (uintptr_t)image_begin;
    for (uint32_t i = 0; start->version > 0 && i < start->memmap_entries; i++) {
        if (map[i].type == XEN_HVM_MEMMAP_TYPE_RAM && map[i].addr <= image && image - map[i].addr < map[i].size)
            return min_u64(map[i].addr + map[i].size, GIB); /* as boot.S mapped it */
    }
    return (uintptr_t)image_end;
}

static bool map_shared(void)
{
    struct xen_add_to_physmap op = { .domid = DOMID_SELF,
                                     .space = XENMAPSPACE_shared_info,
                                     .gpfn = (uintptr_t)&shared_page >> PAGE_SHIFT };
    return hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)&op, 0, 0, 0) == 0;
}

_Noreturn void boot_pvh(const struct hvm_start_info *start, uint64_t ticks)
{
    const struct hvm_modlist_entry *module = (const void *)(uintptr_t)start->modlist_paddr;
    const char *line = (const char *)(uintptr_t)start->cmdline_paddr;
    struct boot_info found = { .pvh = true };
    hypercall_init(find_way());
    if (!map_shared())
        shutdown(SHUTDOWN_crash);
    clock_init(&shared_page.shared);
    events_init(&shared_page.shared);

    struct mm_boot boot = { .pvh = true, .base_frame = (uintptr_t)image_begin >> PAGE_SHIFT };
    boot_image(&boot);
    boot.nr_pages = (memory_end(start) - (uintptr_t)image_begin) / PAGE_BYTES;
    boot.first_free = boot_later_page(boot_page(image_end), (const uint8_t *)(start + 1) - 1);
    if (line)
        boot.first_free = boot_later_page(boot.first_free, line + strlen(line));
    if (start->nr_modules > 0) {
        found.ramdisk = (const void *)(uintptr_t)module->paddr;
        found.ramdisk_bytes = module->size;
        boot.first_free = boot_later_page(boot.first_free, (const uint8_t *)found.ramdisk + module->size - 1);
    }
    if (!mm_init(&boot))
        shutdown(SHUTDOWN_crash);
    console_init(map_ring(HVM_PARAM_CONSOLE_PFN), (uint32_t)parameter(HVM_PARAM_CONSOLE_EVTCHN));
    found.store_page = map_ring(HVM_PARAM_STORE_PFN);
    found.store_port = (uint32_t)parameter(HVM_PARAM_STORE_EVTCHN);
    uint8_t *fault_stack = page_alloc(FAULT_STACK_PAGES);
    if (!fault_stack)
        crash("no memory for a stack");
    load_tables(fault_stack + FAULT_STACK_PAGES * PAGE_BYTES);
    boot_run(&found, line, ticks);
}
