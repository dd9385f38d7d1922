/* What the tests of the chipset share: a reset device with a log, hostile snapshots, random guests. */
#ifndef THINDM_CHIPSET_RIG_H
#define THINDM_CHIPSET_RIG_H

#include <stdlib.h>
#include <string.h>

#include "rig.h"

struct port_range {
    uint16_t first, last;
};

/* The device under test as the machine hands it over. */
static inline void chip_start(struct rig *r)
{
    r->dev->log = &r->log;
    r->dev->desc->reset(r->dev);
}

/* A power callback; opaque is the rig. */
static inline void chip_power(void *opaque, enum hv_shutdown reason)
{
    ((struct rig *)opaque)->shutdown = (int)reason;
}

/* [CVE-2013-4148 and its family] Every byte wrong, every length short: refused or run, never a crash. */
static inline void chip_damaged_snapshots(struct rig *r)
{
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    rig_save(r);
    assert_int_equal(rig_restore(r), 0);
    for (size_t at = 0; at < r->saved.len; at++) {
        for (unsigned i = 0; i < ARRAY_SIZE(flips); i++) {
            r->saved.data[at] ^= flips[i];
            int err = rig_restore(r);
            assert_true(err <= 0);
            if (at < DEVICE_ID_BYTES)
                assert_int_not_equal(err, 0);
            r->saved.data[at] ^= flips[i];
        }
    }
    size_t whole = r->saved.len;
    for (r->saved.len = 0; r->saved.len < whole; r->saved.len++)
        assert_int_not_equal(rig_restore(r), 0);
    assert_int_equal(rig_restore(r), 0);
}

/* [CVE-2020-25742] Every port of the range and its neighbours in every size; answers never exceed their size. */
static inline void chip_every_port(struct rig *r, struct port_range range)
{
    static const uint32_t values[] = { 0, 1, 0x80808080, 0xffffffff };
    for (unsigned port = range.first >= 3 ? range.first - 3u : 0; port <= range.last + 3u; port++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
                bus_write(&r->ports, port, size, values[i]);
                assert_true(bus_read(&r->ports, port, size) <= all_ones(size));
            }
        }
    }
}

static inline uint32_t chip_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 32);
}

/*
 * A guest that does anything to the ports and the function (devfn < 0: none). Whatever it reached, a snapshot of it
 * must be accepted, and saving that again must give the same bytes.
 */
static inline void chip_random_guest(struct rig *r, const struct port_range *ranges, unsigned nr, int devfn)
{
    uint64_t seed = 20260131;
    for (unsigned step = 0; step < 200000; step++) {
        const struct port_range *range = &ranges[chip_random(&seed) % nr];
        uint32_t what = chip_random(&seed), val = chip_random(&seed);
        unsigned size = 1u << chip_random(&seed) % 3;
        uint64_t port = range->first + chip_random(&seed) % (range->last - range->first + 1u);
        if (chip_random(&seed) % 4 == 0)
            val &= 1u << chip_random(&seed) % 32;
        switch (what % (devfn >= 0 ? 4 : 2)) {
        case 0: bus_write(&r->ports, port, size, val); break;
        case 1: assert_true(bus_read(&r->ports, port, size) <= all_ones(size)); break;
        case 2: rig_cfg_write(r, (uint8_t)devfn, val >> 24, size, chip_random(&seed)); break;
        case 3: (void)rig_cfg_read(r, (uint8_t)devfn, val >> 24, size); break;
        }
        if (step % 500 == 499) {
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
    }
}

/* An access to every register of the function in every size, aligned or not. */
static inline void chip_every_config(struct rig *r, uint8_t devfn)
{
    for (unsigned reg = 0; reg < 256; reg++) {
        for (unsigned size = 1; size <= 4; size *= 2) {
            rig_cfg_write(r, devfn, reg, size, 0xffffffff);
            (void)rig_cfg_read(r, devfn, reg, size);
            rig_cfg_write(r, devfn, reg, size, 0);
        }
    }
}

#endif
