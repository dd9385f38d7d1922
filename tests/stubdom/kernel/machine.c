/* See machine.h. */
#include "machine.h"

#include "../../../stubdom/kernel/boot.h"
#include "../../../stubdom/kernel/hypercall.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sched.h>

struct machine machine;

enum { LEVELS = 4, PROTECTIONS = PROT_READ | PROT_WRITE };

static void demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "the machine refuses: %s\n", what);
    abort();
}

_Noreturn void crash(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    abort();
}

void pvh_load_root(xen_pfn_t frame)
{
    machine.flushes++;
}

static size_t index_of(uintptr_t at, unsigned level)
{
    return at >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

static uint64_t *table_of(uint64_t entry)
{
    return (uint64_t *)(void *)(machine.memory + machine.frame_to_page[(entry & PTE_FRAME) >> PAGE_SHIFT] * PAGE_BYTES);
}

static uint64_t *find(const void *at)
{
    uint64_t *table = machine.boot.root;
    for (unsigned level = LEVELS - 1; level > 0; level--) {
        uint64_t entry = table[index_of((uintptr_t)at, level)];
        if (!(entry & PTE_PRESENT))
            return NULL;
        table = table_of(entry);
    }
    return &table[index_of((uintptr_t)at, 0)];
}

uint64_t machine_entry(const void *at)
{
    const uint64_t *entry = find(at);
    return entry ? *entry : 0;
}

xen_pfn_t machine_target_frame(xen_pfn_t page)
{
    return MACHINE_FRAMES + page;
}

/* The level of the page that holds an entry: how far below the root it is hooked in; -1: it is no table. */
static int level_of(const uint64_t *table, unsigned level, const uint64_t *wanted)
{
    if (table == wanted)
        return (int)level;
    for (size_t i = 0; level > 0 && i < TABLE_ENTRIES; i++) {
        int found = table[i] & PTE_PRESENT ? level_of(table_of(table[i]), level - 1, wanted) : -1;
        if (found >= 0)
            return found;
    }
    return -1;
}

static bool is_ours(uint64_t frame)
{
    return frame < MACHINE_FRAMES && frame % 2 == 1;
}

/* Tables are never writable [xen.h]; each page has one place in our address space, so its own entry tells. */
static bool is_read_only(uint64_t frame)
{
    return !(machine_entry(machine.memory + machine.frame_to_page[frame] * PAGE_BYTES) & PTE_WRITABLE);
}

static int write_entry(uint64_t *entry, uint64_t value)
{
    uint64_t *table = (uint64_t *)((uintptr_t)entry & ~(uintptr_t)(PAGE_BYTES - 1));
    uint64_t frame = (value & PTE_FRAME) >> PAGE_SHIFT;
    int level = level_of(machine.boot.root, LEVELS - 1, table);
    demand(level >= 0, "an entry that is in no page table");
    demand(value == 0 || (value & PTE_PRESENT), "an entry with a value that is not present");
    demand(!(value & PTE_PRESENT) || (value & PTE_USER), "a page that ring 3 can't use");
    demand(level > 0 || !(value & PTE_WRITABLE) || (value & PTE_NX), "a page both writable and executable");
    if ((value & PTE_PRESENT) && level > 0)
        demand(is_ours(frame) && is_read_only(frame), "a writable page table");
    if ((value & PTE_PRESENT) && (value & PTE_WRITABLE) && level == 0 && is_ours(frame))
        demand(level_of(machine.boot.root, LEVELS - 1, table_of(value)) < 0, "write access to a page table");
    *entry = value;
    return 0;
}

/* As Xen does it: stops at the first that is bad, and says how many were good. */
static long mmu_update(const struct mmu_update *updates, size_t nr, unsigned *done, domid_t dom)
{
    int err = 0;
    size_t i;
    for (i = 0; i < nr && !err; i++) {
        uint64_t address = updates[i].ptr & ~UINT64_C(7), value = updates[i].val;
        unsigned command = updates[i].ptr & 7;
        uint64_t page = (value & PTE_FRAME) >> PAGE_SHIFT;
        demand(is_ours(address >> PAGE_SHIFT), "an entry in memory of others");
        uint64_t *entry = &table_of(address)[address % PAGE_BYTES / sizeof(*entry)];
        if (dom == DOMID_SELF) {
            err = value == 0 || is_ours(page) ? write_entry(entry, value) : -EINVAL;
        } else if (dom != MACHINE_TARGET) {
            err = -EPERM;
        } else if (command == MMU_PT_UPDATE_NO_TRANSLATE) {
            err = page >= MACHINE_FRAMES ? write_entry(entry, value) : -EINVAL;
        } else if (page % 10 == 0 || page >= MACHINE_TARGET_PAGES) {
            err = -EINVAL;
        } else {
            err = write_entry(entry, (value & ~PTE_FRAME) | machine_target_frame(page) << PAGE_SHIFT);
        }
    }
    if (done)
        *done = (unsigned)(err ? i - 1 : i);
    return err;
}

static long poll(const struct sched_poll *op)
{
    evtchn_port_t *ports;
    machine.polls++;
    machine.poll_ns = op->timeout;
    machine.poll_ports = op->nr_ports;
    ports = op->ports.p;
    for (unsigned i = 0; i < op->nr_ports; i++) {
        if (machine.shared.evtchn_pending[ports[i] / 64] >> (ports[i] % 64) & 1)
            return 0;
    }
    if (machine.stale_timer) {
        machine.stale_timer = false;
        return 0;
    }
    if (machine.asleep)
        machine.asleep(&machine, op->timeout);
    else
        demand(op->timeout != 0, "sleep for ever");
    if (op->timeout > machine.now_ns && !machine.asleep)
        machine.now_ns = op->timeout;
    return 0;
}

static long channel_op(unsigned cmd, void *arg)
{
    switch (cmd) {
    case EVTCHNOP_send: {
        const struct evtchn_send *op = arg;
        if (op->port >= MACHINE_PORTS || !machine.bound[op->port])
            return -EINVAL;
        machine.sent[op->port]++;
        return 0;
    }
    case EVTCHNOP_alloc_unbound: {
        struct evtchn_alloc_unbound *op = arg;
        op->port = 5;
        machine.bound[5] = op->dom == DOMID_SELF;
        return machine.bound[5] ? 0 : -EPERM;
    }
    case EVTCHNOP_bind_interdomain: {
        struct evtchn_bind_interdomain *op = arg;
        if (op->remote_dom != MACHINE_TARGET)
            return -EPERM;
        op->local_port = 6;
        machine.bound[6] = true;
        machine_set_pending(6);
        return 0;
    }
    case EVTCHNOP_close: {
        const struct evtchn_close *op = arg;
        machine.bound[op->port] = false;
        return 0;
    }
    }
    return -ENOSYS;
}

/* [memory.h] Xen keeps what is mapped; of what it takes no trace stays. */
static long decrease_reservation(const struct xen_memory_reservation *op)
{
    demand(op->domid == DOMID_SELF && op->extent_order == 0, "memory of others");
    for (size_t i = 0; i < op->nr_extents; i++) {
        xen_pfn_t frame = op->extent_start.p[i];
        demand(is_ours(frame) && machine.frame_to_page[frame] != MACHINE_PAGES, "a page that is not ours");
        demand(!machine_entry(machine.memory + machine.frame_to_page[frame] * PAGE_BYTES), "a page that is mapped");
        machine.frame_to_page[frame] = MACHINE_PAGES;
        machine.given_back++;
    }
    return (long)op->nr_extents;
}

long hypercall(unsigned nr, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e)
{
    machine.calls++;
    switch (nr) {
    case __HYPERVISOR_mmu_update: return mmu_update((const struct mmu_update *)a, b, (unsigned *)c, (domid_t)d);
    case __HYPERVISOR_update_va_mapping: return write_entry(find((const void *)a), b);
    case __HYPERVISOR_mmuext_op: machine.flushes++; return 0;
    case __HYPERVISOR_sched_op: return a == SCHEDOP_poll ? poll((const struct sched_poll *)b) : -ENOSYS;
    case __HYPERVISOR_memory_op:
        return a == XENMEM_decrease_reservation ? decrease_reservation((const struct xen_memory_reservation *)b)
                                                : -ENOSYS;
    case __HYPERVISOR_event_channel_op: return channel_op((unsigned)a, (void *)b);
    }
    return -ENOSYS;
}

void machine_set_pending(unsigned port)
{
    machine.shared.evtchn_pending[port / 64] |= UINT64_C(1) << (port % 64);
}

/* A page of the tables that the loader makes. */
static uint64_t *loader_table(size_t *next)
{
    uint64_t *table = (uint64_t *)(void *)(machine.memory + *next * PAGE_BYTES);
    ++*next;
    memset(table, 0, PAGE_BYTES);
    return table;
}

static void loader_map(size_t page, size_t *next)
{
    uint8_t *at = machine.memory + page * PAGE_BYTES;
    uint64_t *table = machine.boot.root;
    for (unsigned level = LEVELS - 1; level > 0; level--) {
        uint64_t *entry = &table[index_of((uintptr_t)at, level)];
        if (!(*entry & PTE_PRESENT)) {
            size_t new = *next;
            (void)loader_table(next);
            *entry = machine.frames[new] << PAGE_SHIFT | 7;
        }
        table = table_of(*entry);
    }
    table[index_of((uintptr_t)at, 0)] = machine.frames[page] << PAGE_SHIFT | 7;
}

void machine_start(size_t nr_pages, size_t nr_mapped)
{
    size_t bytes = (size_t)MACHINE_PAGES * PAGE_BYTES, align = 2 * MIB;
    uint8_t *all = mmap(NULL, bytes + align, PROTECTIONS, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    demand(all != MAP_FAILED, "no memory");
    memset(&machine, 0, sizeof(machine));
    machine.memory = (uint8_t *)(((uintptr_t)all + align - 1) & ~(uintptr_t)(align - 1));
    machine.frames = calloc(MACHINE_PAGES, sizeof(xen_pfn_t));
    machine.frame_to_page = calloc(MACHINE_FRAMES, sizeof(xen_pfn_t));
    for (size_t i = 0; i < MACHINE_PAGES; i++) {
        machine.frames[i] = MACHINE_FRAMES - 1 - 2 * i;
        machine.frame_to_page[machine.frames[i]] = i;
    }
    size_t next = MACHINE_IMAGE;
    machine.boot = (struct mm_boot){ .base = machine.memory,
                                     .nr_pages = nr_pages,
                                     .frames = machine.frames,
                                     .frame_to_page = machine.frame_to_page,
                                     .text_end = 10,
                                     .const_end = 20,
                                     .guard = 25 };
    machine.boot.root = loader_table(&next);
    for (size_t i = 0; i < nr_mapped; i++)
        loader_map(i, &next);
    for (size_t i = MACHINE_IMAGE; i < next; i++)
        *find(machine.memory + i * PAGE_BYTES) &= ~PTE_WRITABLE;
    machine.boot.first_free = next;
    machine.bound[1] = machine.bound[2] = true;
}

void machine_finish(void)
{
    free(machine.frames);
    free(machine.frame_to_page);
    munmap(machine.memory, (size_t)MACHINE_PAGES * PAGE_BYTES); /* what aligned it is address space only */
}
