/*
 * A Xen without Xen: what fake-xen.c (loaded into a device model in place of Xen's libraries) shares with the test or
 * benchmark that plays hypervisor and guest. One domain, two vCPUs at most, everything in one shared mapping.
 */
#ifndef THINDM_FAKE_XEN_H
#define THINDM_FAKE_XEN_H

#include <stdatomic.h>
#include <stdint.h>

/* Descriptors that the player leaves open in the device model under these numbers. */
enum { FAKE_SHARED_FD = 200, FAKE_RAM_FD, FAKE_EVENT_FD, FAKE_NOTIFY_FD, FAKE_STORE_FD };
/* A grant reference is a frame number; FAKE_STORE_FD, an eventfd, tells of nodes that the player wrote. */
enum { FAKE_PAGE = 4096, FAKE_VCPUS = 2, FAKE_RING_PORT = 9, FAKE_PORTS = 16, FAKE_NODES = 128, FAKE_NODE_BYTES = 256 };
#define FAKE_RAM_BYTES (UINT64_C(240) << 20)
/* The whole guest physical space that the RAM file can hold, sparse. */
#define FAKE_SPACE_BYTES (UINT64_C(5) << 30)

struct fake_node {
    char path[FAKE_NODE_BYTES], value[FAKE_NODE_BYTES];
    uint64_t written_ns; /* CLOCK_MONOTONIC */
    _Atomic(uint32_t) changes;
};

struct fake_shared {
    _Alignas(FAKE_PAGE) uint8_t ring[FAKE_PAGE];
    uint8_t sync[FAKE_PAGE];
    /* Event channel state by port: a raised port is written to the event pipe unless it is masked. */
    _Atomic(uint32_t) masked[FAKE_PORTS], pending[FAKE_PORTS];
    _Atomic(uint32_t) enabled, shutdown_calls, shutdown_reason, servers, unmaps;
    _Atomic(uint32_t) isa[16], intx[128], links[4];
    _Atomic(uint32_t) nr_nodes;
    struct fake_node nodes[FAKE_NODES];
};

#endif
