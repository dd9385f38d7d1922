/*
 * The virtual CPUs of the simulator: an access becomes a slot of the shared page, or a place in the ring, exactly as
 * the hypervisor fills them. Source: xen/common/ioreq.c; xen/arch/x86/hvm/{emulate.c,io.c,ioreq.c}.
 */
#include "sim-private.h"

#include <stdatomic.h>
#include <string.h>

/* The ring: two 32-bit pointers, then slots of two words [ioreq.h, struct buffered_iopage]. */
enum { RING_READ = 0, RING_WRITE = 4, RING_SLOTS = 8, RING_SLOT_BYTES = 8, RING_MAX_ADDR = 0xfffff };
enum { CF8 = 0xcf8, CFC = 0xcfc };
#define CF8_ENABLE 0x80000000u

uint64_t sim_request(struct sim *sim, const struct sim_request *request)
{
    unsigned vcpu = request->vcpu < sim->config.nr_vcpus ? request->vcpu : 0;
    uint8_t *slot = sim->pages + (size_t)vcpu * IOREQ_SLOT_BYTES;
    uint8_t flags = (uint8_t)((request->read ? IOREQ_FLAG_READ : 0) | (request->pointer ? IOREQ_FLAG_POINTER : 0) |
                              (request->descending ? IOREQ_FLAG_DF : 0));
    if (!sim->serving)
        return UINT64_MAX;
    /* Host order is the page's: only little-endian hosts have Xen. */
    memcpy(slot + IOREQ_ADDR, &request->addr, 8);
    memcpy(slot + IOREQ_DATA, &request->data, 8);
    memcpy(slot + IOREQ_COUNT, &request->count, 4);
    memcpy(slot + IOREQ_SIZE, &request->size, 4);
    slot[IOREQ_TYPE] = request->type;
    _Atomic(uint8_t) *state = (_Atomic(uint8_t) *)(slot + IOREQ_FLAGS);
    atomic_store_explicit(state, flags | IOREQ_READY, memory_order_release);
    if (!ioreq_serve(&sim->engine, vcpu))
        return UINT64_MAX; /* the engine gave the domain up */
    atomic_store_explicit(state, flags | IOREQ_NONE, memory_order_relaxed);
    uint64_t answer;
    memcpy(&answer, slot + IOREQ_DATA, 8);
    return answer;
}

/* --- Ports and configuration space --- */

static uint32_t config(struct sim *sim, uint8_t devfn, const struct sim_request *request)
{
    if (!sim_bit(sim->functions, devfn))
        return UINT32_MAX;
    return (uint32_t)sim_request(sim, request);
}

/* A data port access while cf8 is enabled is a request to that function, whoever has the port [hvm/ioreq.c]. */
static bool config_cycle(struct sim *sim, uint16_t port, unsigned size, bool read, uint32_t *val)
{
    if ((port & ~3u) != CFC || !(sim->cf8 & CF8_ENABLE))
        return false;
    uint32_t low = sim->config.cf8_low_bits ? sim->cf8 & 3 : 0;
    uint64_t bus_devfn = sim->cf8 >> 8 & 0xffff;
    struct sim_request request = { .type = IOREQ_PCI_CONFIG, .read = read, .size = size, .count = 1, .data = *val,
                                   .addr = bus_devfn << 32 | (sim->cf8 & 0xfc) | low | (port & 3) };
    *val = bus_devfn <= 0xff ? config(sim, (uint8_t)bus_devfn, &request) : UINT32_MAX;
    return true;
}

uint32_t sim_port_read(struct sim *sim, uint16_t port, unsigned size)
{
    uint32_t mask = (uint32_t)all_ones(size), val = 0;
    if (config_cycle(sim, port, size, true, &val))
        return val & mask;
    if (!sim_port_claimed(sim, port, size))
        return mask;
    struct sim_request request = { .type = IOREQ_PIO, .read = true, .addr = port, .size = size, .count = 1 };
    return (uint32_t)sim_request(sim, &request) & mask;
}

void sim_port_write(struct sim *sim, uint16_t port, unsigned size, uint32_t val)
{
    val &= (uint32_t)all_ones(size);
    if (port == CF8 && size == 4)
        sim->cf8 = val; /* and on to the board, which keeps it too */
    if (config_cycle(sim, port, size, false, &val) || !sim_port_claimed(sim, port, size))
        return;
    struct sim_request request = { .type = IOREQ_PIO, .addr = port, .size = size, .count = 1, .data = val };
    sim_request(sim, &request);
}

uint32_t sim_config_read(struct sim *sim, uint8_t devfn, unsigned reg, unsigned size)
{
    struct sim_request request = { .type = IOREQ_PCI_CONFIG, .read = true, .size = size, .count = 1,
                                   .addr = (uint64_t)devfn << 32 | reg };
    return config(sim, devfn, &request) & (uint32_t)all_ones(size);
}

void sim_config_write(struct sim *sim, uint8_t devfn, unsigned reg, unsigned size, uint32_t val)
{
    struct sim_request request = { .type = IOREQ_PCI_CONFIG, .size = size, .count = 1, .data = val & all_ones(size),
                                   .addr = (uint64_t)devfn << 32 | reg };
    config(sim, devfn, &request);
}

/* --- Memory --- */

/* Bytes of the next piece of an access: not over a page, a power of two [emulate.c, hvmemul_phys_mmio_access()]. */
static unsigned piece(uint64_t addr, unsigned left)
{
    unsigned n = (unsigned)min_u64(left, PAGE_BYTES - addr % PAGE_BYTES);
    while (n & (n - 1))
        n &= n - 1;
    return n;
}

uint64_t sim_mem_read(struct sim *sim, uint64_t addr, unsigned size)
{
    uint64_t val = 0;
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t part = UINT64_MAX, at = addr + done;
        n = piece(at, size - done);
        if (!sim_ram_load(sim, at, n, &part) && sim_mem_claimed(sim, at, n)) {
            struct sim_request request = { .type = IOREQ_COPY, .read = true, .addr = at, .size = n, .count = 1 };
            part = sim_request(sim, &request);
        }
        val |= (part & all_ones(n)) << (8 * done);
    }
    return val;
}

void sim_mem_write(struct sim *sim, uint64_t addr, unsigned size, uint64_t val)
{
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t part = val >> (8 * done), at = addr + done;
        n = piece(at, size - done);
        if (!sim_ram_store(sim, at, n, part & all_ones(n)) && sim_mem_claimed(sim, at, n)) {
            part &= all_ones(n);
            struct sim_request request = { .type = IOREQ_COPY, .addr = at, .size = n, .count = 1, .data = part };
            sim_request(sim, &request);
        }
    }
}

/* --- String forms --- */

/* Elements from addr on that stay in its page; one that straddles goes alone [emulate.c, hvmemul_do_io_addr()]. */
static uint64_t elements_in_page(uint64_t addr, unsigned size, bool descending)
{
    uint64_t off = addr % PAGE_BYTES;
    uint64_t n = descending ? (off + size) / size : (PAGE_BYTES - off) / size;
    return max_u64(descending && off + size > PAGE_BYTES ? 1 : n, 1);
}

static uint64_t advance(const struct sim_string *string, uint64_t addr, uint64_t elements)
{
    return string->descending ? addr - elements * string->size : addr + elements * string->size;
}

void sim_port_string(struct sim *sim, uint16_t port, const struct sim_string *string)
{
    uint64_t addr = string->addr, left = string->count, n;
    for (; left > 0 && sim_port_claimed(sim, port, string->size); left -= n, addr = advance(string, addr, n)) {
        n = min_u64(left, elements_in_page(addr, string->size, string->descending));
        struct sim_request request = { .type = IOREQ_PIO, .read = string->read, .descending = string->descending,
                                       .pointer = true, .addr = port, .data = addr, .size = string->size,
                                       .count = (uint32_t)n };
        sim_request(sim, &request);
    }
}

void sim_mem_string(struct sim *sim, uint64_t mmio, const struct sim_string *string)
{
    uint64_t addr = string->addr, left = string->count, n;
    for (; left > 0; left -= n, addr = advance(string, addr, n), mmio = advance(string, mmio, n)) {
        n = min_u64(left, elements_in_page(addr, string->size, string->descending));
        n = min_u64(n, elements_in_page(mmio, string->size, string->descending));
        uint64_t lowest = string->descending ? mmio - (n - 1) * string->size : mmio;
        uint64_t last = lowest + (n * string->size - 1);
        if (last < lowest || !sim_ranges_contain(&sim->memory, lowest, last))
            return; /* what meets nobody costs no request */
        struct sim_request request = { .type = IOREQ_COPY, .read = string->read, .descending = string->descending,
                                       .pointer = true, .addr = mmio, .data = addr, .size = string->size,
                                       .count = (uint32_t)n };
        sim_request(sim, &request);
    }
}

/* --- Posted writes --- */

static uint32_t pointer_get(const uint8_t *at)
{
    return atomic_load_explicit((_Atomic(uint32_t) *)(uintptr_t)at, memory_order_acquire);
}

/* Both pointers go down together once the reader is past the end, so that they never overflow [common/ioreq.c]. */
static void wrap_pointers(uint8_t *ring)
{
    _Atomic(uint64_t) *both = (_Atomic(uint64_t) *)ring;
    uint64_t old = atomic_load_explicit(both, memory_order_acquire);
    uint32_t times = (uint32_t)old / IOREQ_RING_SLOTS;
    if (times > 0)
        atomic_store_explicit(both, old - ((uint64_t)times * IOREQ_RING_SLOTS) * (1 + (UINT64_C(1) << 32)),
                              memory_order_release);
}

bool sim_post(struct sim *sim, enum ioreq_type type, uint64_t addr, unsigned size, uint64_t val)
{
    uint8_t *ring = sim->pages + PAGE_BYTES;
    uint32_t log2 = size == 8 ? 3 : size == 4 ? 2 : size == 2 ? 1 : 0, used = size == 8 ? 2 : 1;
    uint32_t write = pointer_get(ring + RING_WRITE), read = pointer_get(ring + RING_READ);
    if (addr > RING_MAX_ADDR || write - read > IOREQ_RING_SLOTS - used)
        return false;
    for (uint32_t i = 0; i < used; i++) {
        uint8_t *slot = ring + RING_SLOTS + (size_t)((write + i) % IOREQ_RING_SLOTS) * RING_SLOT_BYTES;
        le32_put(slot, (uint32_t)type | log2 << 10 | (uint32_t)addr << 12);
        le32_put(slot + 4, (uint32_t)(val >> (32 * i)));
    }
    atomic_fetch_add_explicit((_Atomic(uint32_t) *)(ring + RING_WRITE), used, memory_order_release);
    wrap_pointers(ring);
    return true;
}

void sim_drain(struct sim *sim)
{
    while (sim->serving && ioreq_drain(&sim->engine) > 0)
        ;
}
