/* See blkback.h. */
#include "blkback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 64, ENTRY = 112, INITIALISED = 3, CONNECTED, CLOSING, CLOSED };

static void must(bool truth, const char *what)
{
    if (truth)
        return;
    (void)fprintf(stderr, "blkback: %s\n", what);
    abort();
}

void blkback_init(struct blkback *b)
{
    for (size_t i = 0; i < sizeof(b->disk); i++)
        b->disk[i] = (uint8_t)(i * 7 + i / 4096);
    blkback_reset(b);
}

void blkback_reset(struct blkback *b)
{
    memset(&b->connected, 0, sizeof(*b) - offsetof(struct blkback, connected));
    b->fail_op = -1;
    fakexen_set(BLKBACK_FRONT "/backend", BLKBACK_DIR);
    fakexen_set(BLKBACK_FRONT "/backend-id", "0");
    fakexen_set(BLKBACK_FRONT "/state", "1");
    fakexen_set(BLKBACK_DIR "/max-ring-page-order", "4");
    fakexen_set(BLKBACK_DIR "/feature-flush-cache", "1");
    fakexen_set(BLKBACK_DIR "/feature-barrier", "1");
    fakexen_set(BLKBACK_DIR "/feature-discard", "1");
    fakexen_set(BLKBACK_DIR "/feature-persistent", "1");
    fakexen_set(BLKBACK_DIR "/feature-max-indirect-segments", "256");
    fakexen_set_number(BLKBACK_DIR "/sectors", BLKBACK_BYTES / 512);
    fakexen_set(BLKBACK_DIR "/sector-size", "512");
    fakexen_set(BLKBACK_DIR "/info", "0");
    fakexen_set(BLKBACK_DIR "/state", "2");
    fakexen.back = blkback_work;
    fakexen.back_opaque = b;
}

static uint8_t *at(const struct blkback *b, size_t offset)
{
    return b->pages[offset / 4096] + offset % 4096;
}

/* Bytes of the ring, which may lie in both pages. */
static void ring_copy(const struct blkback *b, size_t offset, void *out, const void *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (in)
            *at(b, offset + i) = ((const uint8_t *)in)[i];
        else
            ((uint8_t *)out)[i] = *at(b, offset + i);
    }
}

uint32_t blkback_index(const struct blkback *b, unsigned offset)
{
    uint32_t value;
    memcpy(&value, b->pages[0] + offset, 4);
    return value;
}

void blkback_set_index(struct blkback *b, unsigned offset, uint32_t value)
{
    memcpy(b->pages[0] + offset, &value, 4);
}

static uint32_t entries(const struct blkback *b)
{
    return 32u << b->order;
}

static size_t slot(const struct blkback *b, uint32_t index)
{
    return HEADER + (size_t)(index & (entries(b) - 1)) * ENTRY;
}

void blkback_respond(struct blkback *b, uint64_t id, uint8_t op, int16_t status)
{
    struct blkif_response rsp = { .id = id, .operation = op, .status = status };
    if (b->tamper)
        b->tamper(b, &rsp);
    ring_copy(b, slot(b, b->rsp_prod++), NULL, &rsp, sizeof(rsp));
}

void blkback_show(struct blkback *b)
{
    uint32_t old = blkback_index(b, BLKBACK_RSP_PROD), event = blkback_index(b, BLKBACK_RSP_EVENT);
    blkback_set_index(b, BLKBACK_RSP_PROD, b->rsp_prod);
    if (b->rsp_prod - event >= b->rsp_prod - old)
        return;
    b->events++;
    fakexen_raise(b->port);
}

/* One segment's data, between disk and page. False: there is no such page, or it is not of this disk. */
static bool transfer(struct blkback *b, uint8_t op, uint64_t sector, const struct blkif_request_segment *s)
{
    size_t len = (size_t)(s->last_sect - s->first_sect + 1) * 512;
    uint8_t *page = fakexen_map(s->gref, !b->unmaps);
    must(page && s->gref < sizeof(b->mapped), "a segment's page is not granted");
    must(s->last_sect < 8 && s->first_sect <= s->last_sect, "a segment leaves its page");
    must(sector * 512 <= sizeof(b->disk) && len <= sizeof(b->disk) - sector * 512, "a segment leaves the disk");
    b->mapped[s->gref] = !b->unmaps;
    if (op == BLKIF_OP_READ)
        memcpy(page + s->first_sect * 512u, b->disk + sector * 512, len);
    else
        memcpy(b->disk + sector * 512, page + s->first_sect * 512u, len);
    return true;
}

static void segments(struct blkback *b, struct blkback_req *req, const struct blkif_request_segment *list)
{
    for (unsigned i = 0; i < req->nr_segments; i++) {
        struct blkif_request_segment s;
        memcpy(&s, &list[i], sizeof(s));
        transfer(b, req->op, req->sector + req->nr_sectors, &s);
        req->nr_sectors += s.last_sect - s.first_sect + 1u;
    }
}

static void understand(struct blkback *b, const uint8_t *entry, struct blkback_req *req)
{
    struct blkif_request direct;
    struct blkif_request_indirect indirect;
    struct blkif_request_discard discard;
    memcpy(&direct, entry, sizeof(direct));
    memcpy(&indirect, entry, sizeof(indirect));
    memcpy(&discard, entry, sizeof(discard));
    *req = (struct blkback_req){ .op = direct.operation, .id = direct.id, .sector = direct.sector_number };
    switch (req->op) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
        req->nr_segments = direct.nr_segments;
        must(req->nr_segments > 0 && req->nr_segments <= 11, "a number of segments");
        segments(b, req, direct.seg);
        break;
    case BLKIF_OP_WRITE_BARRIER:
    case BLKIF_OP_FLUSH_DISKCACHE: must(direct.nr_segments == 0, "a flush with segments"); break;
    case BLKIF_OP_DISCARD:
        req->id = discard.id;
        req->sector = discard.sector_number;
        req->nr_sectors = discard.nr_sectors;
        req->flag = discard.flag;
        break;
    case BLKIF_OP_INDIRECT:
        req->op = indirect.indirect_op;
        req->indirect = true;
        req->id = indirect.id;
        req->sector = indirect.sector_number;
        req->nr_segments = indirect.nr_segments;
        must(req->nr_segments > 0 && req->nr_segments <= BLKBACK_MAX_SEGMENTS, "a number of indirect segments");
        const uint8_t *page = fakexen_map(indirect.indirect_grefs[0], !b->unmaps);
        must(page, "a page of segments is not granted");
        b->mapped[indirect.indirect_grefs[0]] = !b->unmaps;
        segments(b, req, (const void *)page);
        break;
    default: must(false, "an operation that isn't known");
    }
}

void blkback_serve(struct blkback *b)
{
    uint32_t prod = blkback_index(b, BLKBACK_REQ_PROD);
    struct blkback_req round[BLKBACK_ENTRIES];
    unsigned nr = 0;
    must(prod - b->req_cons <= entries(b), "more requests than the ring holds");
    must(prod - b->rsp_prod <= entries(b), "more requests without an answer than the ring holds");
    for (; b->req_cons != prod; b->req_cons++) {
        uint8_t entry[ENTRY];
        ring_copy(b, slot(b, b->req_cons), entry, NULL, sizeof(entry));
        understand(b, entry, &round[nr]);
        if (b->nr_seen < sizeof(b->seen) / sizeof(b->seen[0]))
            b->seen[b->nr_seen++] = round[nr];
        nr++;
    }
    blkback_set_index(b, BLKBACK_REQ_EVENT, b->req_cons + 1);
    for (unsigned i = 0; i < nr; i++) {
        const struct blkback_req *req = &round[b->reversed ? nr - 1 - i : i];
        int16_t status = req->op == b->fail_op && (b->fail_after == 0 || b->fail_after-- == 0) ? b->status : 0;
        blkback_respond(b, req->id, req->op, status);
    }
    blkback_show(b);
}

static bool refuse(void)
{
    fakexen_set(BLKBACK_DIR "/state", "6");
    return true;
}

/* Nodes that aren't there are what xenstore refused the front end; it is not to be connected then. */
static bool connect(struct blkback *b)
{
    const char *protocol = fakexen_get(BLKBACK_FRONT "/protocol");
    char name[64];
    if (!protocol || !fakexen_get(BLKBACK_FRONT "/event-channel"))
        return refuse();
    must(strcmp(protocol, "x86_64-abi") == 0, "another protocol");
    b->order = (unsigned)fakexen_get_number(BLKBACK_FRONT "/ring-page-order");
    b->port = (evtchn_port_t)fakexen_get_number(BLKBACK_FRONT "/event-channel");
    must(b->order <= 1, "a ring that is too large");
    for (unsigned i = 0; i < 1u << b->order; i++) {
        (void)snprintf(name, sizeof(name), b->order > 0 ? BLKBACK_FRONT "/ring-ref%u" : BLKBACK_FRONT "/ring-ref", i);
        if (!fakexen_get(name))
            return refuse();
        b->refs[i] = (uint32_t)fakexen_get_number(name);
        b->pages[i] = fakexen_map(b->refs[i], false);
        must(b->pages[i], "the ring is not granted");
    }
    must(fakexen.ports[b->port].used && fakexen.ports[b->port].remote == 0, "the channel is not for us");
    for (unsigned i = 0; i < 1u << b->order; i++)
        fakexen_map(b->refs[i], true);
    b->connected = true;
    b->req_cons = b->rsp_prod = 0;
    blkback_set_index(b, BLKBACK_REQ_EVENT, 1);
    fakexen_set(BLKBACK_DIR "/state", "4");
    return true;
}

static bool disconnect(struct blkback *b)
{
    for (grant_ref_t ref = 0; ref < sizeof(b->mapped); ref++) {
        if (b->mapped[ref])
            fakexen_unmap(ref);
        b->mapped[ref] = false;
    }
    for (unsigned i = 0; b->connected && i < 1u << b->order; i++)
        fakexen_unmap(b->refs[i]);
    b->connected = false;
    fakexen_set(BLKBACK_DIR "/state", "6");
    return true;
}

bool blkback_work(void *opaque)
{
    struct blkback *b = opaque;
    uint64_t front = fakexen_get_number(BLKBACK_FRONT "/state"), back = fakexen_get_number(BLKBACK_DIR "/state");
    if (b->stuck)
        return false;
    if (front == 1 && back == CLOSED) {
        fakexen_set(BLKBACK_DIR "/state", "2");
        return true;
    }
    if (front == INITIALISED && back == 2)
        return connect(b);
    if ((front == CLOSING || front == CLOSED) && back <= CLOSING && !b->stays)
        return disconnect(b);
    if (!b->connected || b->hold || fakexen.ports[b->port].notified == 0 ||
        blkback_index(b, BLKBACK_REQ_PROD) == b->req_cons)
        return false;
    fakexen.ports[b->port].notified = 0;
    blkback_serve(b);
    return true;
}
