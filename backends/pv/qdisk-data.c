/*
 * How the data of PV disk requests gets across. A front end that promises to reuse its grants (feature-persistent) has
 * them mapped once and for long, as far as there is room; the oldest goes when there is none. All other pages are
 * copied by the hypervisor, the pieces of several requests in one call, or, with PV_MAP, mapped per request.
 * Source: xen/include/public/io/blkif.h, "feature-persistent" and its notes 7-9.
 */
#include "qdisk-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int qdisk_data_open(struct qdisk *d, bool persistent)
{
    struct qdisk_data *m = &d->data;
    m->persistent = persistent;
    m->nr_grants = m->nr_free = 0;
    m->nr_copies = 0;
    m->newest = m->oldest = QDISK_NONE;
    memset(m->buckets, 0xff, sizeof(m->buckets));
    m->grants = persistent ? calloc(QDISK_GRANTS, sizeof(*m->grants)) : NULL;
    m->pool = aligned_alloc(PAGE_BYTES, (size_t)QDISK_POOL_PAGES * PAGE_BYTES);
    for (unsigned i = QDISK_POOL_PAGES; i-- > 0;) /* the first page comes first, and again whenever it's free */
        m->free_pages[m->nr_free++] = (uint16_t)i;
    if (m->pool && (m->grants || !persistent))
        return 0;
    qdisk_data_close(d);
    return -ENOMEM;
}

void qdisk_data_close(struct qdisk *d)
{
    struct qdisk_data *m = &d->data;
    const struct pv_config *c = pv_config(&d->dev);
    for (unsigned i = 0; i < m->nr_grants; i++)
        c->ops->unmap(c->opaque, m->grants[i].page, 1);
    free(m->grants);
    free(m->pool);
    m->grants = NULL;
    m->pool = NULL;
    m->nr_grants = 0;
}

/* --- Grants that stay mapped --- */

static unsigned bucket_of(uint32_t ref)
{
    return ref % QDISK_BUCKETS; /* front ends take them in a row */
}

static void unlink_age(struct qdisk_data *m, struct qdisk_grant *g)
{
    *(g->newer == QDISK_NONE ? &m->newest : &m->grants[g->newer].older) = g->older;
    *(g->older == QDISK_NONE ? &m->oldest : &m->grants[g->older].newer) = g->newer;
}

static void make_newest(struct qdisk_data *m, uint16_t i)
{
    struct qdisk_grant *g = &m->grants[i];
    g->newer = QDISK_NONE;
    g->older = m->newest;
    *(m->newest == QDISK_NONE ? &m->oldest : &m->grants[m->newest].newer) = i;
    m->newest = i;
}

static void unlink_bucket(struct qdisk_data *m, uint16_t i)
{
    uint16_t *link = &m->buckets[bucket_of(m->grants[i].ref)];
    while (*link != i)
        link = &m->grants[*link].chain;
    *link = m->grants[i].chain;
}

/* The grant, mapped now if it isn't yet; QDISK_NONE: it can't be, or there are too many that are in use. */
static uint16_t hold_grant(struct qdisk *d, uint32_t ref)
{
    struct qdisk_data *m = &d->data;
    const struct pv_config *c = pv_config(&d->dev);
    void *page;
    uint16_t i = m->buckets[bucket_of(ref)];
    while (i != QDISK_NONE && m->grants[i].ref != ref)
        i = m->grants[i].chain;
    if (i != QDISK_NONE) {
        unlink_age(m, &m->grants[i]);
    } else {
        bool full = m->nr_grants == QDISK_GRANTS;
        i = full ? m->oldest : m->nr_grants;
        if ((full && m->grants[i].users > 0) || c->ops->map(c->opaque, &ref, 1, true, &page))
            return QDISK_NONE;
        if (full) {
            c->ops->unmap(c->opaque, m->grants[i].page, 1);
            unlink_bucket(m, i);
            unlink_age(m, &m->grants[i]);
        } else {
            m->nr_grants++;
        }
        m->grants[i] = (struct qdisk_grant){ .page = page, .ref = ref, .chain = m->buckets[bucket_of(ref)] };
        m->buckets[bucket_of(ref)] = i;
    }
    make_newest(m, i);
    m->grants[i].users++;
    return i;
}

/* --- Memory of a request --- */

/* The next len bytes of the request's data. */
static void add_vec(struct qdisk_req *req, uint8_t *ptr, size_t len)
{
    struct vec *last = req->nr_vecs > 0 ? &req->vecs[req->nr_vecs - 1] : NULL;
    if (last && (uint8_t *)last->ptr + last->len == ptr)
        last->len += len;
    else
        req->vecs[req->nr_vecs++] = (struct vec){ ptr, len };
}

/* The pages that no long mapping has, in one for this request. */
static int map_rest(struct qdisk *d, struct qdisk_req *req)
{
    const struct pv_config *c = pv_config(&d->dev);
    uint32_t refs[QDISK_MAX_SEGMENTS];
    unsigned nr = 0;
    for (unsigned i = 0; i < req->nr_segments; i++) {
        if (req->segments[i].grant == QDISK_NONE)
            refs[nr++] = req->segments[i].ref;
    }
    /* Front ends grant what is to be written to the disk for reading only. */
    int err = nr > 0 ? c->ops->map(c->opaque, refs, nr, !req->write, &req->mapped) : 0;
    req->nr_mapped = (uint16_t)(err ? 0 : nr);
    return err;
}

/* Pages of the pool for them. */
static int take_pages(struct qdisk *d, struct qdisk_req *req)
{
    struct qdisk_data *m = &d->data;
    unsigned nr = 0;
    for (unsigned i = 0; i < req->nr_segments; i++)
        nr += req->segments[i].grant == QDISK_NONE;
    if (nr > m->nr_free)
        return -EAGAIN;
    for (unsigned i = 0; i < req->nr_segments; i++) {
        if (req->segments[i].grant == QDISK_NONE)
            req->segments[i].page = m->free_pages[--m->nr_free];
    }
    return 0;
}

static uint8_t *pool_page(struct qdisk *d, const struct qdisk_segment *s)
{
    return d->data.pool + (size_t)s->page * PAGE_BYTES;
}

static void add_copies(struct qdisk *d, struct qdisk_req *req, bool to_guest)
{
    struct qdisk_data *m = &d->data;
    for (unsigned i = 0; i < req->nr_segments; i++) {
        const struct qdisk_segment *s = &req->segments[i];
        if (s->page == QDISK_NONE)
            continue;
        uint16_t offset = (uint16_t)(s->first * BLKIF_SECTOR);
        m->copies[m->nr_copies++] = (struct pv_copy){ .ref = s->ref,
                                                      .offset = offset,
                                                      .len = (uint16_t)(s->count * BLKIF_SECTOR),
                                                      .ptr = pool_page(d, s) + offset,
                                                      .to_guest = to_guest,
                                                      .owner = req };
        if (m->nr_copies == QDISK_COPIES)
            qdisk_data_run(d);
    }
}

static void fill_vecs(struct qdisk *d, struct qdisk_req *req)
{
    uint8_t *mapped = req->mapped;
    req->nr_vecs = 0;
    for (unsigned i = 0; i < req->nr_segments; i++) {
        const struct qdisk_segment *s = &req->segments[i];
        uint8_t *page = s->grant != QDISK_NONE  ? d->data.grants[s->grant].page
                        : s->page != QDISK_NONE ? pool_page(d, s)
                                                : mapped;
        add_vec(req, page + s->first * BLKIF_SECTOR, (size_t)s->count * BLKIF_SECTOR);
        if (s->grant == QDISK_NONE && s->page == QDISK_NONE)
            mapped += PAGE_BYTES;
    }
}

int qdisk_data_begin(struct qdisk *d, struct qdisk_req *req)
{
    req->mapped = NULL;
    req->nr_mapped = 0;
    for (unsigned i = 0; i < req->nr_segments; i++) {
        struct qdisk_segment *s = &req->segments[i];
        s->grant = d->data.persistent ? hold_grant(d, s->ref) : QDISK_NONE;
        s->page = QDISK_NONE;
    }
    int err = pv_config(&d->dev)->data == PV_MAP ? map_rest(d, req) : take_pages(d, req);
    if (err) {
        qdisk_data_end(d, req);
        return err;
    }
    fill_vecs(d, req);
    if (req->write)
        add_copies(d, req, false);
    return 0;
}

void qdisk_data_out(struct qdisk *d, struct qdisk_req *req)
{
    add_copies(d, req, true);
}

void qdisk_data_run(struct qdisk *d)
{
    struct qdisk_data *m = &d->data;
    const struct pv_config *c = pv_config(&d->dev);
    if (m->nr_copies == 0)
        return;
    c->ops->copy(c->opaque, m->copies, m->nr_copies);
    for (unsigned i = 0; i < m->nr_copies; i++) {
        struct qdisk_req *req = m->copies[i].owner;
        req->failed |= m->copies[i].err != 0;
    }
    m->nr_copies = 0;
}

void qdisk_data_end(struct qdisk *d, struct qdisk_req *req)
{
    struct qdisk_data *m = &d->data;
    const struct pv_config *c = pv_config(&d->dev);
    for (unsigned i = 0; i < req->nr_segments; i++) {
        struct qdisk_segment *s = &req->segments[i];
        if (s->grant != QDISK_NONE)
            m->grants[s->grant].users--;
        if (s->page != QDISK_NONE)
            m->free_pages[m->nr_free++] = s->page;
        s->grant = s->page = QDISK_NONE;
    }
    if (req->nr_mapped > 0)
        c->ops->unmap(c->opaque, req->mapped, req->nr_mapped);
    req->nr_mapped = 0;
}

int qdisk_data_fetch(struct qdisk *d, uint32_t ref, uint8_t *buf, uint16_t len)
{
    struct qdisk_data *m = &d->data;
    const struct pv_config *c = pv_config(&d->dev);
    uint16_t grant = m->persistent ? hold_grant(d, ref) : QDISK_NONE;
    if (grant != QDISK_NONE) {
        memcpy(buf, m->grants[grant].page, len);
        m->grants[grant].users--;
        return 0;
    }
    struct pv_copy copy = { .ref = ref, .len = len, .ptr = buf };
    c->ops->copy(c->opaque, &copy, 1);
    return copy.err;
}
