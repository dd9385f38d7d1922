/* What the tests of the legacy platform share beside chipset-rig.h: memory-mapped devices. */
#ifndef THINDM_LEGACY_RIG_H
#define THINDM_LEGACY_RIG_H

#include "chipset-rig.h"

/* [CVE-2020-25742] Every offset around [base, base + len) in every size; answers never exceed their size. */
static inline void legacy_every_address(struct rig *r, uint64_t base, uint64_t len)
{
    static const uint64_t values[] = { 0, 1, UINT64_C(0x8080808080808080), UINT64_MAX };
    for (uint64_t addr = base - 9; addr < base + len + 9; addr++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
                rig_mmio_write(r, addr, size, values[i]);
                assert_true(rig_mmio_read(r, addr, size) <= all_ones(size));
            }
        }
    }
}

/* Saving a restored device gives the same bytes, whatever the guest did. */
static inline void legacy_snapshot_round_trip(struct rig *r)
{
    rig_save(r);
    size_t len = r->saved.len;
    uint8_t *before = malloc(len);
    assert_non_null(before);
    memcpy(before, r->saved.data, len);
    assert_int_equal(rig_restore(r), 0);
    rig_save(r);
    assert_int_equal(r->saved.len, len);
    assert_memory_equal(r->saved.data, before, len);
    free(before);
}

/* A guest that does anything to the region and to ports [first_port, first_port + 3], and lets time pass. */
static inline void legacy_random_guest(struct rig *r, uint64_t base, uint64_t len, uint16_t first_port)
{
    uint64_t seed = 20261121;
    for (unsigned step = 0; step < 50000; step++) {
        uint32_t what = chip_random(&seed), where = chip_random(&seed);
        uint64_t val = (uint64_t)chip_random(&seed) << 32 | chip_random(&seed);
        unsigned size = 1u << chip_random(&seed) % 4;
        uint64_t addr = base + where % len;
        if (what & 0x100)
            addr &= ~UINT64_C(3);
        if (what & 0x200)
            val >>= chip_random(&seed) % 64;
        switch (what % 5) {
        case 0:
        case 1: rig_mmio_write(r, addr, size, val); break;
        case 2: assert_true(rig_mmio_read(r, addr, size) <= all_ones(size)); break;
        case 3:
            bus_write(&r->ports, first_port + where % 4, 1, val & 0xff);
            (void)bus_read(&r->ports, first_port + where % 4, 1);
            break;
        case 4: rig_run(r, UINT64_C(1) << val % 22); break;
        }
        if (step % 100 == 99)
            legacy_snapshot_round_trip(r);
    }
}

#endif
