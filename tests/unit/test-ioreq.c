/* The ioreq engine on hand-made shared pages. Clauses: xen/include/public/hvm/ioreq.h, xen/common/ioreq.c. */
#include "rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thindm/ioreq.h>

enum { PORT = 0x300, MMIO = 0xf0000000, DEVFN = 0x18 };

/* A device of 16 ports, or of 4 KiB, that remembers what it was asked and answers with a counter. */
struct probe {
    struct bus_region region;
    uint64_t offs[64], vals[64];
    unsigned sizes[64], reads, writes;
    unsigned blocks;
};

struct bench {
    struct rig *rig;
    struct ioreq engine;
    struct probe port, mmio;
    struct pci_func func;
    _Alignas(8) uint8_t sync[PAGE_BYTES], ring[PAGE_BYTES];
    int64_t seconds;
    unsigned corrupt;
};

static uint64_t probe_read(void *opaque, uint64_t off, unsigned size)
{
    struct probe *p = opaque;
    return 0x1122334455667700 + p->reads++;
}

static void probe_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    struct probe *p = opaque;
    unsigned i = p->writes++ % 64;
    p->offs[i] = off;
    p->vals[i] = val;
    p->sizes[i] = size;
}

static size_t probe_read_block(void *opaque, uint64_t off, unsigned size, void *buf, size_t count)
{
    struct probe *p = opaque;
    if (off != 4)
        return 0;
    p->blocks++;
    memset(buf, 0x5a, size * count);
    return count;
}

static const struct bus_ops probe_ops = {
    .read = probe_read, .write = probe_write, .sizes = BUS_1 | BUS_2 | BUS_4 | BUS_8, .read_block = probe_read_block,
};

static void time_offset(void *opaque, int64_t seconds)
{
    ((struct bench *)opaque)->seconds += seconds;
}

static void corrupt(void *opaque)
{
    ((struct bench *)opaque)->corrupt++;
}

static const struct pci_desc desc = { .vendor = 0x5853, .device = 0x0001, .class_code = 0xff8000 };

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    struct rig *r = b->rig = rig_new();
    assert_int_equal(bus_attach(&r->ports, &b->port.region, &probe_ops, &b->port, PORT, 16), 0);
    assert_int_equal(bus_attach(&r->memory, &b->mmio.region, &probe_ops, &b->mmio, MMIO, PAGE_BYTES), 0);
    assert_int_equal(pci_attach(&b->func, &r->pci, DEVFN, &desc), 0);
    struct ioreq_config config = {
        .ports = &r->ports, .memory = &r->memory, .pci = &r->pci, .mem = &r->mem, .log = &r->log, .sync_page = b->sync,
        .buffered_page = b->ring, .nr_vcpus = 2, .time_offset = time_offset, .corrupt = corrupt, .opaque = b,
    };
    ioreq_init(&b->engine, &config);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    bus_detach(&b->port.region);
    bus_detach(&b->mmio.region);
    pci_detach(&b->func);
    rig_free(b->rig);
    free(b);
    return 0;
}

struct ask {
    uint64_t addr, data;
    uint32_t count, size;
    uint8_t type, flags;
};

/* Put a request into vCPU's slot, serve it, give back the slot's data. */
static uint64_t serve(struct bench *b, unsigned vcpu, struct ask ask)
{
    uint8_t *slot = b->sync + vcpu * IOREQ_SLOT_BYTES;
    le64_put(slot + IOREQ_ADDR, ask.addr);
    le64_put(slot + IOREQ_DATA, ask.data);
    le32_put(slot + IOREQ_COUNT, ask.count);
    le32_put(slot + IOREQ_SIZE, ask.size);
    le32_put(slot + IOREQ_PORT, 77);
    slot[IOREQ_TYPE] = ask.type;
    slot[IOREQ_FLAGS] = (uint8_t)(ask.flags | IOREQ_READY);
    assert_true(ioreq_pending(&b->engine, vcpu));
    assert_true(ioreq_serve(&b->engine, vcpu));
    assert_int_equal(slot[IOREQ_FLAGS], ask.flags | IOREQ_RESP_READY);
    assert_int_equal(le32_get(slot + IOREQ_PORT), 77); /* Xen kills a domain whose channel number changed */
    return le64_get(slot + IOREQ_DATA);
}

static void post(struct bench *b, uint32_t addr, unsigned log2_size, uint32_t data, uint8_t type)
{
    uint32_t write = le32_get(b->ring + 4);
    uint8_t *slot = b->ring + 8 + (size_t)(write % IOREQ_RING_SLOTS) * 8;
    le32_put(slot, type | log2_size << 10 | addr << 12);
    le32_put(slot + 4, data);
    le32_put(b->ring + 4, write + 1);
}

static void port_read_answers_in_the_slot(void **state)
{
    struct bench *b = *state;
    uint64_t val = serve(b, 1, (struct ask){ PORT + 2, 0, 1, 2, IOREQ_PIO, IOREQ_FLAG_READ });
    assert_int_equal(val & 0xffff, 0x7700);
    assert_int_equal(b->port.reads, 1);
}

static void port_write_is_masked_to_its_size(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ PORT + 1, 0xdeadbeefcafe, 1, 1, IOREQ_PIO, 0 });
    assert_int_equal(b->port.offs[0], 1);
    assert_int_equal(b->port.vals[0], 0xfe);
}

static void slot_without_request_is_left_alone(void **state)
{
    struct bench *b = *state;
    for (uint8_t s = 0; s < 16; s++) {
        if (s == IOREQ_READY)
            continue;
        b->sync[IOREQ_FLAGS] = s;
        assert_false(ioreq_pending(&b->engine, 0));
        assert_false(ioreq_serve(&b->engine, 0));
        assert_int_equal(b->sync[IOREQ_FLAGS], s);
    }
}

static void string_in_goes_to_memory_as_a_block(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ PORT + 4, 0x2000, 512, 2, IOREQ_PIO, IOREQ_FLAG_READ | IOREQ_FLAG_POINTER });
    assert_int_equal(b->port.blocks, 1);
    assert_int_equal(b->port.reads, 0);
    assert_int_equal(b->rig->ram[0x2000], 0x5a);
    assert_int_equal(b->rig->ram[0x23ff], 0x5a);
    assert_int_equal(b->rig->ram[0x2400], 0);
}

/* Other devices have pinned all that may be: element by element then, and none is lost. */
static void string_while_others_pinned_all(void **state)
{
    struct bench *b = *state;
    static struct mem_pin pins[MEM_MAX_PINNED];
    rig_crowd(b->rig, pins);
    serve(b, 0, (struct ask){ PORT, 0x2000, 3, 4, IOREQ_PIO, IOREQ_FLAG_READ | IOREQ_FLAG_POINTER });
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(le32_get(b->rig->ram + 0x2000 + 4 * i), 0x55667700 + i);
    serve(b, 0, (struct ask){ PORT, 0x2000, 3, 4, IOREQ_PIO, IOREQ_FLAG_POINTER });
    assert_int_equal(b->port.writes, 3);
    assert_int_equal(b->port.vals[2], 0x55667702);
    rig_uncrowd(b->rig, pins);
}

static void string_out_descends_with_df(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 4; i++)
        le16_put(b->rig->ram + 0x3000 + 2 * i, (uint16_t)(0x100 + i));
    serve(b, 0, (struct ask){ PORT, 0x3006, 4, 2, IOREQ_PIO, IOREQ_FLAG_POINTER | IOREQ_FLAG_DF });
    assert_int_equal(b->port.writes, 4);
    assert_int_equal(b->port.vals[0], 0x103);
    assert_int_equal(b->port.vals[3], 0x100);
}

static void string_with_a_straddling_element(void **state)
{
    struct bench *b = *state;
    /* Over a bucket boundary of the mapping cache: element 1 lies half on each side. */
    serve(b, 0, (struct ask){ PORT, 0x200000 - 6, 3, 4, IOREQ_PIO, IOREQ_FLAG_READ | IOREQ_FLAG_POINTER });
    assert_int_equal(le32_get(b->rig->ram + 0x200000 - 6), 0x55667700);
    assert_int_equal(le32_get(b->rig->ram + 0x200000 - 2), 0x55667701);
    assert_int_equal(le32_get(b->rig->ram + 0x200000 + 2), 0x55667702);
}

static void string_in_to_a_hole_still_reads_the_device(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ PORT, RIG_HOLE, 8, 1, IOREQ_PIO, IOREQ_FLAG_READ | IOREQ_FLAG_POINTER });
    assert_int_equal(b->port.reads, 8);
    serve(b, 0, (struct ask){ PORT, RIG_HOLE, 2, 1, IOREQ_PIO, IOREQ_FLAG_POINTER });
    assert_int_equal(b->port.vals[0], 0xff);
}

static const struct hv_ops *plain_ops;
static unsigned maps;

static int counting_map(struct hv *hv, uint64_t first, size_t nr, void **ptr, int *err)
{
    maps++;
    return plain_ops->map(hv, first, nr, ptr, err);
}

/* Each mapping is a hypercall: a string to a page without RAM must not cost one per element. */
static void a_hole_is_asked_for_once_per_page(void **state)
{
    struct bench *b = *state;
    plain_ops = b->rig->hv.ops;
    struct hv_ops ops = *plain_ops;
    ops.map = counting_map;
    b->rig->hv.ops = &ops;
    for (unsigned way = 0; way < 4; way++) {
        uint8_t flags = (uint8_t)(IOREQ_FLAG_POINTER | (way & 1 ? IOREQ_FLAG_READ : 0) | (way & 2 ? IOREQ_FLAG_DF : 0));
        maps = 0;
        serve(b, 0, (struct ask){ PORT, RIG_HOLE + 0x2000, 2048, 1, IOREQ_PIO, flags });
        assert_in_range(maps, 1, 4);
    }
    b->rig->hv.ops = plain_ops;
    assert_int_equal(b->port.reads, 2 * 2048);
}

static void movs_from_mmio_steps_both_sides(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ MMIO, 0x4000, 1024, 4, IOREQ_COPY, IOREQ_FLAG_READ | IOREQ_FLAG_POINTER });
    assert_int_equal(b->mmio.reads, 1024);
    assert_int_equal(le32_get(b->rig->ram + 0x4000 + 4 * 5), 0x55667705);
}

static void movs_to_mmio_descends_with_df(void **state)
{
    struct bench *b = *state;
    b->rig->ram[0x5000] = 1;
    b->rig->ram[0x5001] = 2;
    serve(b, 0, (struct ask){ MMIO + 0x11, 0x5001, 2, 1, IOREQ_COPY, IOREQ_FLAG_POINTER | IOREQ_FLAG_DF });
    assert_int_equal(b->mmio.offs[0], 0x11);
    assert_int_equal(b->mmio.vals[0], 2);
    assert_int_equal(b->mmio.offs[1], 0x10);
    assert_int_equal(b->mmio.vals[1], 1);
}

static void stos_repeats_the_value(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ MMIO + 8, 0xabcd, 3, 8, IOREQ_COPY, 0 });
    assert_int_equal(b->mmio.writes, 3);
    assert_int_equal(b->mmio.offs[2], 24);
    assert_int_equal(b->mmio.vals[2], 0xabcd);
}

static void config_space_is_addressed_by_function_and_register(void **state)
{
    struct bench *b = *state;
    uint64_t addr = (uint64_t)DEVFN << 32;
    assert_int_equal((uint32_t)serve(b, 0, (struct ask){ addr, 0, 1, 4, IOREQ_PCI_CONFIG, IOREQ_FLAG_READ }),
                     0x00015853);
    assert_int_equal((uint16_t)serve(b, 0, (struct ask){ addr | 2, 0, 1, 2, IOREQ_PCI_CONFIG, IOREQ_FLAG_READ }), 1);
    serve(b, 0, (struct ask){ addr | 0x41, 0x99, 1, 1, IOREQ_PCI_CONFIG, 0 });
    assert_int_equal(b->func.config[0x41], 0x99);
    /* Another bus, a segment, the extended space: nobody. */
    uint64_t nobody[] = { addr | UINT64_C(1) << 40, addr | UINT64_C(1) << 48, addr | 0x100, UINT64_C(0x20) << 32 };
    for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++)
        assert_int_equal((uint32_t)serve(b, 0, (struct ask){ nobody[i], 0, 1, 4, IOREQ_PCI_CONFIG, IOREQ_FLAG_READ }),
                         UINT32_MAX);
}

static void posted_writes_come_first(void **state)
{
    struct bench *b = *state;
    post(b, 0xa0010, 0, 0x41, IOREQ_COPY); /* nobody there: dropped, but consumed */
    post(b, PORT + 3, 1, 0x1234, IOREQ_PIO);
    serve(b, 0, (struct ask){ PORT + 5, 0x55, 1, 1, IOREQ_PIO, 0 });
    assert_int_equal(b->port.writes, 2);
    assert_int_equal(b->port.vals[0], 0x1234);
    assert_int_equal(b->port.vals[1], 0x55);
    assert_int_equal(le32_get(b->ring), 2);
}

static void posted_write_of_8_bytes_takes_two_slots(void **state)
{
    struct bench *b = *state;
    post(b, PORT, 3, 0x89abcdef, IOREQ_COPY);
    post(b, PORT, 3, 0x01234567, IOREQ_COPY);
    struct probe low = { 0 };
    assert_int_equal(bus_attach(&b->rig->memory, &low.region, &probe_ops, &low, PORT, 16), 0);
    assert_int_equal(ioreq_drain(&b->engine), 1);
    assert_int_equal(low.vals[0], 0x0123456789abcdef);
    bus_detach(&low.region);
}

static void ring_wraps_where_xen_wraps_it(void **state)
{
    struct bench *b = *state;
    le32_put(b->ring, 510);
    le32_put(b->ring + 4, 510);
    post(b, PORT, 0, 1, IOREQ_PIO);
    post(b, PORT, 0, 2, IOREQ_PIO);
    assert_int_equal(ioreq_drain(&b->engine), 2);
    assert_int_equal(le32_get(b->ring), 512); /* Xen takes 511 off both when it sees this */
    assert_int_equal(b->port.vals[1], 2);
}

static void corrupt_ring_ends_the_service(void **state)
{
    struct bench *b = *state;
    le32_put(b->ring + 4, 512);
    assert_int_equal(ioreq_drain(&b->engine), 0);
    assert_int_equal(b->corrupt, 1);
    b->sync[IOREQ_FLAGS] = IOREQ_READY;
    assert_false(ioreq_serve(&b->engine, 0));
    assert_int_equal(ioreq_drain(&b->engine), 0);
    assert_int_equal(b->corrupt, 1);
}

static void half_an_8_byte_write_is_corruption(void **state)
{
    struct bench *b = *state;
    post(b, PORT, 3, 1, IOREQ_COPY);
    assert_int_equal(ioreq_drain(&b->engine), 0);
    assert_int_equal(b->corrupt, 1);
}

static void time_offset_is_signed(void **state)
{
    struct bench *b = *state;
    post(b, 0, 3, (uint32_t)-3600, IOREQ_TIMEOFFSET);
    post(b, 0, 3, UINT32_MAX, IOREQ_TIMEOFFSET);
    assert_int_equal(ioreq_drain(&b->engine), 1);
    assert_int_equal(b->seconds, -3600);
}

static void invalidate_is_answered_and_drops_mappings(void **state)
{
    struct bench *b = *state;
    uint8_t byte;
    assert_int_equal(mem_read(&b->rig->mem, 0, &byte, 1), 0);
    serve(b, 0, (struct ask){ 0, UINT64_MAX, 0, 4, IOREQ_INVALIDATE, 0 });
    for (unsigned i = 0; i < MEM_BUCKETS; i++)
        assert_null(b->rig->mem.buckets[i].ptr);
}

/* Version skew or a bug of Xen's: an answer of ones, never a crash and never a silent slot. */
static void nonsense_is_answered_with_ones(void **state)
{
    struct bench *b = *state;
    assert_int_equal(serve(b, 0, (struct ask){ PORT, 0, 1, 3, IOREQ_PIO, IOREQ_FLAG_READ }), UINT64_MAX);
    assert_int_equal(serve(b, 0, (struct ask){ PORT, 0, 1, 8, IOREQ_PIO, IOREQ_FLAG_READ }), UINT64_MAX);
    assert_int_equal(serve(b, 0, (struct ask){ PORT, 0, 1, 0, IOREQ_COPY, IOREQ_FLAG_READ }), UINT64_MAX);
    assert_int_equal(serve(b, 0, (struct ask){ PORT, 0, 1, 4, 99, IOREQ_FLAG_READ }), UINT64_MAX);
    assert_int_equal((uint32_t)serve(b, 0, (struct ask){ UINT64_C(1) << 52, 0, 1, 4, IOREQ_COPY, IOREQ_FLAG_READ }),
                     UINT32_MAX);
    assert_int_equal(b->port.reads + b->mmio.reads, 0);
}

static void count_is_capped(void **state)
{
    struct bench *b = *state;
    serve(b, 0, (struct ask){ PORT, 1, UINT32_MAX, 1, IOREQ_PIO, 0 });
    assert_int_equal(b->port.writes, PAGE_BYTES);
}

static void any_slot_contents_are_survived(void **state)
{
    struct bench *b = *state;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = 0; i < IOREQ_SLOT_BYTES; i++)
            b->sync[i] = (uint8_t)rand();
        if (round % 2)
            le32_put(b->sync + IOREQ_COUNT, (uint32_t)(rand() % 64));
        b->sync[IOREQ_TYPE] = (uint8_t)(rand() % 10);
        b->sync[IOREQ_FLAGS] = (uint8_t)((b->sync[IOREQ_FLAGS] & 0xf0) | IOREQ_READY);
        assert_true(ioreq_serve(&b->engine, 0));
    }
    assert_int_equal(b->engine.served, 20000);
}

/* --- Attacks: see docs/known-attacks.md --- */

/* A second thread of the guest, as far as a test can be one: it acts in the middle of the access. */
struct meddler {
    struct bus_region region;
    struct bench *b;
    void (*act)(struct bench *b);
    unsigned calls;
    uint64_t last_off, last_val;
    unsigned last_size;
    uint8_t state; /* of the slot at the last call */
};

static uint64_t meddle_read(void *opaque, uint64_t off, unsigned size)
{
    struct meddler *m = opaque;
    m->calls++;
    m->last_off = off;
    m->last_size = size;
    m->state = m->b->sync[IOREQ_FLAGS] & IOREQ_STATE_MASK;
    m->act(m->b);
    return 0x8877665544332211;
}

static void meddle_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
    (void)meddle_read(opaque, off, size);
    ((struct meddler *)opaque)->last_val = val;
}

static const struct bus_ops meddler_ops = { meddle_read, meddle_write, .sizes = BUS_1 | BUS_2 | BUS_4 };

static void meddler_attach(struct meddler *m, struct bench *b, uint64_t port, void (*act)(struct bench *b))
{
    *m = (struct meddler){ .b = b, .act = act };
    assert_int_equal(bus_attach(&b->rig->ports, &m->region, &meddler_ops, m, port, 4), 0);
}

static void flip_slot(struct bench *b)
{
    le64_put(b->sync + IOREQ_ADDR, MMIO);
    le64_put(b->sync + IOREQ_DATA, UINT64_MAX);
    le32_put(b->sync + IOREQ_COUNT, UINT32_MAX);
    le32_put(b->sync + IOREQ_SIZE, 8);
    b->sync[IOREQ_TYPE] = IOREQ_COPY;
    b->sync[IOREQ_FLAGS] ^= IOREQ_FLAG_DF | IOREQ_FLAG_POINTER | IOREQ_FLAG_READ;
}

static void put_request(struct bench *b, struct ask ask)
{
    le64_put(b->sync + IOREQ_ADDR, ask.addr);
    le64_put(b->sync + IOREQ_DATA, ask.data);
    le32_put(b->sync + IOREQ_COUNT, ask.count);
    le32_put(b->sync + IOREQ_SIZE, ask.size);
    b->sync[IOREQ_TYPE] = ask.type;
    b->sync[IOREQ_FLAGS] = (uint8_t)(ask.flags | IOREQ_READY);
}

/* What was copied counts, not what the page says later: the whole string is done as it was asked for. */
static void cve_2016_9381_page_changes_during_the_request(void **state)
{
    struct bench *b = *state;
    struct meddler m;
    meddler_attach(&m, b, 0x500, flip_slot);
    assert_int_equal(mem_write(&b->rig->mem, 0x1000, "abcdefgh", 8), 0);
    put_request(b, (struct ask){ 0x500, 0x1000, 8, 1, IOREQ_PIO, IOREQ_FLAG_POINTER });
    assert_true(ioreq_serve(&b->engine, 0));
    assert_int_equal(m.calls, 8);
    assert_int_equal(m.last_off, 0);
    assert_int_equal(m.last_size, 1);
    assert_int_equal(m.last_val, 'h');
    assert_int_equal(b->mmio.writes + b->mmio.reads, 0);
    /* The answer is one of a write, whatever the direction has become. */
    assert_int_equal(b->sync[IOREQ_FLAGS] & IOREQ_STATE_MASK, IOREQ_RESP_READY);
    bus_detach(&m.region);
}

/* Entries of the ring that change while one is served, and its pointers too. */
static void flip_ring(struct bench *b)
{
    memset(b->ring + 8, 0xff, PAGE_BYTES - 8);
}

static void cve_2016_9381_ring_changes_during_the_request(void **state)
{
    struct bench *b = *state;
    struct meddler m;
    meddler_attach(&m, b, 0x500, flip_ring);
    post(b, 0x500, 1, 0x1234, IOREQ_PIO);
    (void)ioreq_drain(&b->engine);
    assert_int_equal(m.calls, 1);
    assert_int_equal(m.last_size, 2);
    assert_int_equal(m.last_val, 0x1234);
    assert_int_equal(le32_get(b->ring), 1);
    bus_detach(&m.region);
}

/* There are 65536 ports: higher address bits don't count, and a port is never an index. */
static void cve_2016_9637_ports_beyond_the_last(void **state)
{
    static const uint64_t addrs[] = { 0x10000, 0x1fffe, UINT32_MAX, UINT64_C(1) << 32 | 0x700, UINT64_MAX };
    struct bench *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            uint64_t ones = UINT64_MAX >> (64 - 8 * size);
            assert_int_equal(serve(b, 0, (struct ask){ addrs[i], 0, 1, size, IOREQ_PIO, IOREQ_FLAG_READ }) & ones, ones);
            serve(b, 0, (struct ask){ addrs[i], 0, UINT32_C(1) << 31, size, IOREQ_PIO, 0 });
        }
    }
    serve(b, 0, (struct ask){ PORT, 0, UINT32_C(1) << 31, 8, IOREQ_PIO, 0 });
    assert_int_equal(b->port.reads + b->port.writes + b->mmio.reads + b->mmio.writes, 0);
    serve(b, 0, (struct ask){ 0x10000 + PORT, 0, 1, 1, IOREQ_PIO, IOREQ_FLAG_READ });
    assert_int_equal(b->port.reads, 1);
}

/* Every answer is as wide as the request, the rest of it zeros or ones: nothing of an earlier one. */
static void cve_2017_15589_answers_hold_no_old_data(void **state)
{
    struct bench *b = *state;
    const uint64_t poison = 0xdeadbeefcafef00d;
    for (unsigned size = 1; size <= 4; size *= 2) {
        uint64_t rest = UINT64_MAX << (8 * size);
        for (unsigned claimed = 0; claimed < 2; claimed++) {
            uint64_t port = claimed ? PORT : 0x700;
            uint64_t val = serve(b, 0, (struct ask){ port, poison, 1, size, IOREQ_PIO, IOREQ_FLAG_READ }) & rest;
            assert_true(val == 0 || val == rest);
            val = serve(b, 0, (struct ask){ claimed ? MMIO : 0xf8000000, poison, 1, size, IOREQ_COPY, IOREQ_FLAG_READ }) & rest;
            assert_true(val == 0 || val == rest);
            uint64_t devfn = (uint64_t)(claimed ? DEVFN : 0x20) << 32;
            val = serve(b, 0, (struct ask){ devfn, poison, 1, size, IOREQ_PCI_CONFIG, IOREQ_FLAG_READ }) & rest;
            assert_true(val == 0 || val == rest);
        }
    }
}

static void nothing(struct bench *b)
{
}

/* READY, IN PROCESS, RESPONSE READY, in no other order; a slot in another state is left alone. */
static void cve_2018_10981_states_in_order(void **state)
{
    struct bench *b = *state;
    struct meddler m;
    meddler_attach(&m, b, 0x500, nothing);
    put_request(b, (struct ask){ 0x500, 0, 1, 1, IOREQ_PIO, IOREQ_FLAG_READ });
    assert_true(ioreq_serve(&b->engine, 0));
    assert_int_equal(m.state, IOREQ_INPROCESS);
    assert_int_equal(b->sync[IOREQ_FLAGS] & IOREQ_STATE_MASK, IOREQ_RESP_READY);
    for (unsigned i = 0; i <= IOREQ_STATE_MASK; i++) {
        if (i == IOREQ_READY)
            continue;
        b->sync[IOREQ_FLAGS] = (uint8_t)i;
        assert_false(ioreq_serve(&b->engine, 0));
        assert_int_equal(b->sync[IOREQ_FLAGS], i);
    }
    assert_int_equal(m.calls, 1);
    bus_detach(&m.region);
}

static void post_another(struct bench *b)
{
    post(b, 0x500, 0, 1, IOREQ_PIO);
}

/* A guest that posts as fast as it is served gets one ring's worth at a time; others have their turn in between. */
static void posted_writes_without_end_let_others_in(void **state)
{
    struct bench *b = *state;
    struct meddler m;
    meddler_attach(&m, b, 0x500, post_another);
    post_another(b);
    assert_int_equal(ioreq_drain(&b->engine), IOREQ_RING_SLOTS);
    assert_int_equal(m.calls, IOREQ_RING_SLOTS);
    uint64_t val = serve(b, 1, (struct ask){ PORT, 0, 1, 1, IOREQ_PIO, IOREQ_FLAG_READ });
    assert_int_equal(val & 0xff, 0);
    assert_int_equal(m.calls, 2 * IOREQ_RING_SLOTS);
    bus_detach(&m.region);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(port_read_answers_in_the_slot),
        TEST(port_write_is_masked_to_its_size),
        TEST(slot_without_request_is_left_alone),
        TEST(string_in_goes_to_memory_as_a_block),
        TEST(string_while_others_pinned_all),
        TEST(string_out_descends_with_df),
        TEST(string_with_a_straddling_element),
        TEST(string_in_to_a_hole_still_reads_the_device),
        TEST(a_hole_is_asked_for_once_per_page),
        TEST(movs_from_mmio_steps_both_sides),
        TEST(movs_to_mmio_descends_with_df),
        TEST(stos_repeats_the_value),
        TEST(config_space_is_addressed_by_function_and_register),
        TEST(posted_writes_come_first),
        TEST(posted_write_of_8_bytes_takes_two_slots),
        TEST(ring_wraps_where_xen_wraps_it),
        TEST(corrupt_ring_ends_the_service),
        TEST(half_an_8_byte_write_is_corruption),
        TEST(time_offset_is_signed),
        TEST(invalidate_is_answered_and_drops_mappings),
        TEST(nonsense_is_answered_with_ones),
        TEST(count_is_capped),
        TEST(any_slot_contents_are_survived),
        TEST(cve_2016_9381_page_changes_during_the_request),
        TEST(cve_2016_9381_ring_changes_during_the_request),
        TEST(cve_2016_9637_ports_beyond_the_last),
        TEST(cve_2017_15589_answers_hold_no_old_data),
        TEST(cve_2018_10981_states_in_order),
        TEST(posted_writes_without_end_let_others_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
