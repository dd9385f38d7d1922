/*
 * The ioreq engine. Everything in the shared pages is copied once into a struct trace_ioreq, checked, and only the copy is used.
 * Sources: xen/include/public/hvm/ioreq.h (layout), xen/common/ioreq.c (what Xen expects of the states and of the ring),
 * cited as [ioreq.h] and [common/ioreq.c].
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <thindm/ioreq.h>
#include <thindm/trace.h>

/* Xen cuts string forms at a page of guest memory or of MMIO; more elements than bytes in a page are never meant [ioreq.h]. */
enum { MAX_COUNT = PAGE_BYTES, MAX_ADDRESS_BITS = 52 };
/* The buffered page: two 32-bit pointers, then slots of two words [ioreq.h, struct buffered_iopage]. */
enum { RING_READ = 0, RING_WRITE = 4, RING_SLOTS = 8, RING_SLOT_BYTES = 8 };

void ioreq_init(struct ioreq *engine, const struct ioreq_config *config)
{
    memset(engine, 0, sizeof(*engine));
    engine->config = *config;
}

static _Atomic(uint8_t) *slot_flags(const struct ioreq *engine, unsigned vcpu)
{
    return (_Atomic(uint8_t) *)(engine->config.sync_page + (size_t)vcpu * IOREQ_SLOT_BYTES + IOREQ_FLAGS);
}

bool ioreq_pending(const struct ioreq *engine, unsigned vcpu)
{
    uint8_t flags = atomic_load_explicit(slot_flags(engine, vcpu), memory_order_relaxed);
    return (flags & IOREQ_STATE_MASK) == IOREQ_READY;
}

/* Guest memory of element i of a string form: it steps away from req->data in the direction of the copy. */
static uint64_t element_addr(const struct trace_ioreq *req, uint64_t start, uint32_t i)
{
    uint64_t step = (uint64_t)i * req->size;
    return req->descending ? start - step : start + step;
}

/* One element between the port and guest memory, through a register-sized copy: page-straddling elements, holes, descending strings. */
static void pio_element(struct ioreq *engine, const struct trace_ioreq *req, uint32_t i)
{
    uint8_t buf[8];
    uint64_t where = element_addr(req, req->data, i);
    if (req->read) {
        le_put(buf, req->size, bus_read(engine->config.ports, req->addr, req->size));
        (void)mem_write(engine->config.mem, where, buf, req->size); /* a store to a hole is dropped */
    } else {
        (void)mem_read(engine->config.mem, where, buf, req->size); /* a load from a hole gives ones */
        bus_write(engine->config.ports, req->addr, req->size, le_get(buf, req->size));
    }
}

/*
 * Elements from i on that lie in one page without RAM: stores are dropped, loads give ones. Together, as finding out that there is
 * none takes a mapping each time: a guest could have us do nothing else. How many; 0: there is RAM, or the element straddles pages.
 */
static uint32_t pio_hole(struct ioreq *engine, const struct trace_ioreq *req, uint32_t i)
{
    struct mem_pin pin;
    uint64_t addr = element_addr(req, req->data, i), off = addr % PAGE_BYTES;
    if (off + req->size > PAGE_BYTES)
        return 0;
    int err = mem_pin(engine->config.mem, addr, req->size, &pin);
    if (!err)
        mem_unpin(engine->config.mem, &pin, 0);
    if (err != -EFAULT)
        return 0;
    uint64_t here = req->descending ? off / req->size + 1 : (PAGE_BYTES - off) / req->size;
    uint32_t n = (uint32_t)min_u64(here, req->count - i);
    for (uint32_t done = 0; done < n; done++) {
        if (req->read)
            (void)bus_read(engine->config.ports, req->addr, req->size);
        else
            bus_write(engine->config.ports, req->addr, req->size, all_ones(req->size));
    }
    return n;
}

/* REP INS and OUTS: as one copy between the device and guest memory wherever the elements lie in one mapped piece. */
static void pio_string(struct ioreq *engine, const struct trace_ioreq *req)
{
    uint32_t i = 0;
    while (i < req->count) {
        struct mem_pin pin;
        size_t whole = 0;
        if (!req->descending &&
            mem_pin(engine->config.mem, element_addr(req, req->data, i), (size_t)(req->count - i) * req->size, &pin) == 0) {
            whole = pin.vec.len / req->size;
            if (req->read) {
                bus_read_rep(engine->config.ports, req->addr, req->size, pin.vec.ptr, whole);
            } else {
                mem_pin_load(engine->config.mem, &pin, whole * req->size);
                bus_write_rep(engine->config.ports, req->addr, req->size, pin.vec.ptr, whole);
            }
            mem_unpin(engine->config.mem, &pin, req->read ? whole * req->size : 0);
            i += (uint32_t)whole;
        }
        if (whole > 0)
            continue;
        uint32_t holes = pio_hole(engine, req, i);
        if (holes == 0)
            pio_element(engine, req, i++);
        i += holes;
    }
}

static uint64_t pio(struct ioreq *engine, const struct trace_ioreq *req)
{
    uint64_t val = all_ones(req->size);
    if (req->pointer) {
        pio_string(engine, req);
        return val;
    }
    for (uint32_t i = 0; i < req->count; i++) {
        if (req->read)
            val = bus_read(engine->config.ports, req->addr, req->size);
        else
            bus_write(engine->config.ports, req->addr, req->size, req->data);
    }
    return val;
}

/*
 * REP MOVS between RAM and MMIO: both sides step. The RAM side moves as one copy through buf; lowest is the lowest address
 * of the string, so a descending string fills buf from its end.
 */
static void mmio_string(struct ioreq *engine, const struct trace_ioreq *req)
{
    uint8_t buf[PAGE_BYTES];
    uint32_t per_round = (uint32_t)sizeof(buf) / req->size;
    for (uint32_t done = 0; done < req->count;) {
        uint32_t n = (uint32_t)min_u64(req->count - done, per_round);
        uint64_t lowest = req->descending ? element_addr(req, req->data, done + n - 1) : element_addr(req, req->data, done);
        if (!req->read)
            (void)mem_read(engine->config.mem, lowest, buf, (size_t)n * req->size);
        for (uint32_t i = 0; i < n; i++) {
            uint8_t *at = buf + (size_t)(req->descending ? n - 1 - i : i) * req->size;
            uint64_t addr = element_addr(req, req->addr, done + i);
            if (req->read)
                le_put(at, req->size, bus_read(engine->config.memory, addr, req->size));
            else
                bus_write(engine->config.memory, addr, req->size, le_get(at, req->size));
        }
        if (req->read)
            (void)mem_write(engine->config.mem, lowest, buf, (size_t)n * req->size);
        done += n;
    }
}

static uint64_t mmio(struct ioreq *engine, const struct trace_ioreq *req)
{
    uint64_t val = all_ones(req->size);
    if (req->addr >> MAX_ADDRESS_BITS)
        return val;
    if (req->pointer) {
        mmio_string(engine, req);
        return val;
    }
    for (uint32_t i = 0; i < req->count; i++) { /* count > 1 is REP STOS: the address steps, the value stays */
        uint64_t addr = element_addr(req, req->addr, i);
        if (req->read)
            val = bus_read(engine->config.memory, addr, req->size);
        else
            bus_write(engine->config.memory, addr, req->size, req->data);
    }
    return val;
}

/* addr: segment 63-48, bus 47-40, devfn 39-32, register 31-0 [common/ioreq.c]. String forms keep the register fixed. */
static uint64_t pci_config(struct ioreq *engine, const struct trace_ioreq *req)
{
    uint64_t val = all_ones(req->size);
    uint8_t devfn = (uint8_t)(req->addr >> 32);
    uint32_t reg = (uint32_t)req->addr;
    if (req->addr >> 40 != 0 || reg >= PCI_CONFIG_BYTES)
        return val;
    for (uint32_t i = 0; i < req->count; i++) {
        uint8_t buf[8];
        if (!req->read) {
            uint64_t data = req->data;
            if (req->pointer) {
                (void)mem_read(engine->config.mem, element_addr(req, req->data, i), buf, req->size);
                data = le_get(buf, req->size);
            }
            pci_config_write(engine->config.pci, devfn, reg, req->size, (uint32_t)data);
            continue;
        }
        val = pci_config_read(engine->config.pci, devfn, reg, req->size);
        if (req->pointer) {
            le_put(buf, req->size, val);
            (void)mem_write(engine->config.mem, element_addr(req, req->data, i), buf, req->size);
        }
    }
    return val;
}

static bool size_is_legal(const struct trace_ioreq *req)
{
    switch (req->size) {
    case 1:
    case 2:
    case 4: return true;
    case 8: return req->type == IOREQ_COPY || req->type == IOREQ_TIMEOFFSET;
    }
    return false;
}

/* The answer of a request in register form; all ones for what makes no sense. */
static uint64_t execute(struct ioreq *engine, struct trace_ioreq *req)
{
    if (req->type == IOREQ_INVALIDATE) {
        mem_invalidate(engine->config.mem);
        return UINT64_MAX;
    }
    if (!size_is_legal(req)) {
        log_limited(engine->config.log, LOG_WARN, &engine->log_rate, "ioreq",
                    "request of type %u with size %u; answered with ones", req->type, req->size);
        return UINT64_MAX;
    }
    if (req->count > MAX_COUNT)
        req->count = MAX_COUNT;
    switch (req->type) {
    case IOREQ_PIO: req->addr &= 0xffff; return pio(engine, req);
    case IOREQ_COPY: return mmio(engine, req);
    case IOREQ_PCI_CONFIG: return pci_config(engine, req);
    case IOREQ_TIMEOFFSET:
        if (engine->config.time_offset)
            engine->config.time_offset(engine->config.opaque, (int64_t)req->data);
        return UINT64_MAX;
    }
    log_limited(engine->config.log, LOG_WARN, &engine->log_rate, "ioreq", "unknown request type %u; answered with ones",
                req->type);
    return UINT64_MAX;
}

/* execute(), recorded. */
static uint64_t run(struct ioreq *engine, struct trace_ioreq *req)
{
    struct trace *trace = engine->config.trace;
    if (!trace)
        return execute(engine, req);
    trace->ops->ioreq(trace, req);
    uint64_t answer = execute(engine, req);
    if (req->read && !req->pointer)
        trace->ops->answer(trace, answer);
    else
        trace_end(trace);
    return answer;
}

bool ioreq_serve(struct ioreq *engine, unsigned vcpu)
{
    uint8_t *slot = engine->config.sync_page + (size_t)vcpu * IOREQ_SLOT_BYTES;
    _Atomic(uint8_t) *flags_at = slot_flags(engine, vcpu);
    uint8_t flags = atomic_load_explicit(flags_at, memory_order_acquire);
    if ((flags & IOREQ_STATE_MASK) != IOREQ_READY || engine->broken)
        return false;
    uint8_t rest = flags & (uint8_t)~IOREQ_STATE_MASK;
    atomic_store_explicit(flags_at, rest | IOREQ_INPROCESS, memory_order_relaxed);

    uint8_t copy[IOREQ_SLOT_BYTES];
    memcpy(copy, slot, sizeof(copy));
    struct trace_ioreq req = {
        .addr = le64_get(copy + IOREQ_ADDR), .data = le64_get(copy + IOREQ_DATA),
        .count = le32_get(copy + IOREQ_COUNT), .size = le32_get(copy + IOREQ_SIZE),
        .type = copy[IOREQ_TYPE], .vcpu = (uint8_t)vcpu, .read = flags & IOREQ_FLAG_READ,
        .pointer = flags & IOREQ_FLAG_POINTER, .descending = flags & IOREQ_FLAG_DF,
    };
    /* The guest's posted writes come before this request in program order [common/ioreq.c]. */
    ioreq_drain(engine);
    uint64_t answer = run(engine, &req);
    if (req.read && !req.pointer)
        memcpy(slot + IOREQ_DATA, &answer, sizeof(answer));
    atomic_store_explicit(flags_at, rest | IOREQ_RESP_READY, memory_order_release);
    engine->served++;
    return true;
}

/* How many ring slots are filled from *read on; both pointers from one moment, as Xen moves them together at a wrap [ioreq.h]. */
static uint32_t ring_filled(const struct ioreq *engine, uint32_t *read)
{
    _Atomic(uint64_t) *pointers = (_Atomic(uint64_t) *)(engine->config.buffered_page + RING_READ);
    uint64_t both = atomic_load_explicit(pointers, memory_order_acquire);
    *read = (uint32_t)both;
    return (uint32_t)(both >> (8 * RING_WRITE)) - *read;
}

static void ring_corrupt(struct ioreq *engine, uint32_t filled)
{
    engine->broken = true;
    log_print(engine->config.log, LOG_ERROR, "ioreq", "the ring of posted writes is corrupt (%u slots filled); giving the domain up",
              filled);
    if (engine->config.trace)
        engine->config.trace->ops->corrupt(engine->config.trace);
    if (engine->config.corrupt)
        engine->config.corrupt(engine->config.opaque);
}

unsigned ioreq_drain(struct ioreq *engine)
{
    unsigned served = 0;
    if (!engine->config.buffered_page)
        return 0;
    /* At most a ring's worth, so that a busy vCPU can't keep the others waiting. */
    while (served < IOREQ_RING_SLOTS && !engine->broken) {
        uint32_t read, filled = ring_filled(engine, &read);
        if (filled == 0)
            break;
        const uint8_t *slots = engine->config.buffered_page + RING_SLOTS;
        uint8_t copy[RING_SLOT_BYTES];
        memcpy(copy, slots + (size_t)(read % IOREQ_RING_SLOTS) * RING_SLOT_BYTES, sizeof(copy));
        uint32_t head = le32_get(copy);
        /* type 7-0, dir 9, log2 size 11-10, addr 31-12 [ioreq.h, struct buf_ioreq] */
        struct trace_ioreq req = { .type = (uint8_t)head, .read = head & 0x200, .size = 1u << (head >> 10 & 3),
                               .addr = head >> 12, .data = le32_get(copy + 4), .count = 1, .posted = true };
        uint32_t used = req.size == 8 ? 2 : 1;
        if (filled > IOREQ_RING_SLOTS || filled < used) {
            ring_corrupt(engine, filled);
            break;
        }
        if (used == 2) {
            memcpy(copy, slots + (size_t)((read + 1) % IOREQ_RING_SLOTS) * RING_SLOT_BYTES, sizeof(copy));
            req.data |= (uint64_t)le32_get(copy + 4) << 32;
        }
        if (!req.read) /* a posted read makes no sense: nobody waits for the answer */
            (void)run(engine, &req);
        /* Xen subtracts from both pointers at the wrap: add, never store [ioreq.h, HVM_IOREQSRV_BUFIOREQ_ATOMIC]. */
        atomic_fetch_add_explicit((_Atomic(uint32_t) *)(engine->config.buffered_page + RING_READ), used,
                                  memory_order_release);
        served++;
    }
    engine->buffered += served;
    return served;
}
