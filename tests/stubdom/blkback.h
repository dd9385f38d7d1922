/*
 * A block back end on the fake Xen: connects, serves a disk in memory from the ring, and does wrong what it is told to
 * do wrong. Its nodes and ring are those of xen/include/public/io/blkif.h, built byte by byte.
 */
#ifndef THINDM_TESTS_STUBDOM_BLKBACK_H
#define THINDM_TESTS_STUBDOM_BLKBACK_H

#include "fake.h"
#include <xen/io/blkif.h>

enum { BLKBACK_BYTES = 4 << 20, BLKBACK_ENTRIES = 64, BLKBACK_MAX_SEGMENTS = 256 };
#define BLKBACK_FRONT "device/vbd/768"
#define BLKBACK_DIR   "/local/domain/0/backend/vbd/9/768"

/* A request as it was understood. */
struct blkback_req {
    uint8_t op;
    bool indirect;
    uint64_t id, sector, nr_sectors; /* nr_sectors: of a discard, or all segments */
    unsigned nr_segments;
    uint8_t flag;
};

struct blkback {
    uint8_t disk[BLKBACK_BYTES];
    bool connected;
    unsigned order; /* of the ring's pages */
    evtchn_port_t port;
    uint32_t refs[2];
    uint8_t *pages[2];
    uint32_t req_cons, rsp_prod;
    /* What it serves, and how. */
    bool hold;           /* requests wait in the ring */
    bool unmaps;         /* data pages are not kept mapped */
    bool stays;          /* doesn't close, nor unmaps */
    bool stuck;          /* doesn't answer states */
    int16_t status;      /* of the next answers to fail_op */
    int fail_op;         /* -1: none */
    unsigned fail_after; /* requests of that kind pass before */
    /* Answers are to be tampered with. NULL: they are honest. Called before each is put into the ring. */
    void (*tamper)(struct blkback *b, struct blkif_response *rsp);
    bool reversed; /* the answers of a round come last request first */
    /* What it saw. */
    struct blkback_req seen[512];
    unsigned nr_seen, events;
    bool mapped[4096]; /* data pages by reference, kept as persistent ones */
};

/* The nodes of a back end that has all features, before the front end comes. */
void blkback_init(struct blkback *b);
/* The same, but the disk keeps its contents. */
void blkback_reset(struct blkback *b);
/* For fakexen.back. */
bool blkback_work(void *opaque);
/* An index of the ring: BLKBACK_RSP_PROD ... */
enum { BLKBACK_REQ_PROD = 0, BLKBACK_REQ_EVENT = 4, BLKBACK_RSP_PROD = 8, BLKBACK_RSP_EVENT = 12 };
uint32_t blkback_index(const struct blkback *b, unsigned offset);
void blkback_set_index(struct blkback *b, unsigned offset, uint32_t value);
/* Put a response into the ring; blkback_show() makes it seen and an event. */
void blkback_respond(struct blkback *b, uint64_t id, uint8_t op, int16_t status);
void blkback_show(struct blkback *b);
/* Serve what is in the ring in spite of hold. */
void blkback_serve(struct blkback *b);

#endif
