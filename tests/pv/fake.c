/* A Xen for the PV back ends' tests: see fake.h. */
#include "fake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- xenstore --- */

static struct fake_node *find(struct fake *f, const char *path)
{
    for (unsigned i = 0; i < f->nr_nodes; i++) {
        if (f->nodes[i].used && strcmp(f->nodes[i].path, path) == 0)
            return &f->nodes[i];
    }
    return NULL;
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static void queue_event(struct fake *f, const struct fake_watch *w, const char *path)
{
    assert_true(f->nr_events < sizeof(f->events) / sizeof(f->events[0]));
    (void)snprintf(f->events[f->nr_events].path, sizeof(f->events[0].path), "%s", path);
    (void)snprintf(f->events[f->nr_events++].token, sizeof(f->events[0].token), "%s", w->token);
}

static void fire(struct fake *f, const char *path, bool removed)
{
    for (unsigned i = 0; i < FAKE_WATCHES; i++) {
        struct fake_watch *w = &f->watches[i];
        if (w->used && is_below(path, w->path))
            queue_event(f, w, path);
        else if (w->used && removed && is_below(w->path, path))
            queue_event(f, w, w->path);
    }
}

void fake_write(struct fake *f, const char *path, const char *value)
{
    struct fake_node *node = find(f, path);
    if (!value) {
        for (unsigned i = 0; i < f->nr_nodes; i++)
            f->nodes[i].used = f->nodes[i].used && !is_below(f->nodes[i].path, path);
        fire(f, path, true);
        return;
    }
    for (unsigned i = 0; !node && i < FAKE_NODES; i++) {
        if (!f->nodes[i].used)
            node = &f->nodes[i];
    }
    assert_non_null(node);
    if (node == &f->nodes[f->nr_nodes])
        f->nr_nodes++;
    node->used = true;
    (void)snprintf(node->path, sizeof(node->path), "%s", path);
    (void)snprintf(node->value, sizeof(node->value), "%s", value);
    fire(f, path, false);
}

void fake_writef(struct fake *f, const char *dir, const char *node, const char *format, ...)
{
    char path[128], value[128];
    va_list args;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, node);
    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    fake_write(f, path, value);
}

const char *fake_read(struct fake *f, const char *path)
{
    struct fake_node *node = find(f, path);
    return node ? node->value : NULL;
}

const char *fake_back(struct fake *f, const char *node)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "backend/qdisk/%d/51712/%s", FAKE_DOMID, node);
    return fake_read(f, path);
}

static int op_read(void *opaque, const char *path, char *value, size_t size)
{
    struct fake_node *node = find(opaque, path);
    if (!node)
        return -ENOENT;
    if (strlen(node->value) >= size)
        return -E2BIG;
    memcpy(value, node->value, strlen(node->value) + 1);
    return 0;
}

static int op_write(void *opaque, const char *path, const char *value)
{
    struct fake *f = opaque;
    size_t len = strlen(path), tail = strlen("/state");
    f->states += len > tail && strcmp(path + len - tail, "/state") == 0;
    fake_write(f, path, value);
    return 0;
}

static int op_list(void *opaque, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
    struct fake *f = opaque;
    char names[128][32];
    unsigned nr = 0;
    size_t len = strlen(path);
    for (unsigned i = 0; i < f->nr_nodes; i++) {
        if (!f->nodes[i].used || strncmp(f->nodes[i].path, path, len) != 0 || f->nodes[i].path[len] != '/')
            continue;
        (void)snprintf(names[nr], sizeof(names[0]), "%.*s", (int)strcspn(f->nodes[i].path + len + 1, "/"),
                       f->nodes[i].path + len + 1);
        unsigned k = 0;
        while (strcmp(names[k], names[nr]) != 0)
            k++;
        nr += k == nr;
        assert_true(nr < 127);
    }
    for (unsigned i = 0; i < nr; i++)
        fn(arg, names[i]);
    return nr > 0 ? 0 : -ENOENT;
}

static int op_watch(void *opaque, const char *path, const char *token)
{
    struct fake *f = opaque;
    for (unsigned i = 0; i < FAKE_WATCHES; i++) {
        struct fake_watch *w = &f->watches[i];
        if (w->used)
            continue;
        w->used = true;
        (void)snprintf(w->path, sizeof(w->path), "%s", path);
        (void)snprintf(w->token, sizeof(w->token), "%s", token);
        queue_event(f, w, path);
        return 0;
    }
    fail_msg("too many watches");
    return -E2BIG;
}

static void op_unwatch(void *opaque, const char *path, const char *token)
{
    struct fake *f = opaque;
    for (unsigned i = 0; i < FAKE_WATCHES; i++) {
        struct fake_watch *w = &f->watches[i];
        if (w->used && strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0) {
            w->used = false; /* events that are queued still come */
            return;
        }
    }
    fail_msg("no such watch: %s %s", path, token);
}

/*
 * --- Grants: the guest's pages are a file in memory, so that both sides see the same bytes. Around a mapping there is
 * nothing, and one for reading can't be written ---
 */

static int pages_fd = -1;
static uint8_t *pages; /* the guest's view, FAKE_GRANTS in a row; one for all fakes */

static void map_pages(void)
{
    size_t bytes = (size_t)FAKE_GRANTS * PAGE_BYTES;
    if (pages)
        return;
    pages_fd = memfd_create("guest", MFD_CLOEXEC);
    assert_int_equal(ftruncate(pages_fd, (off_t)bytes), 0);
    pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pages_fd, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
}

static int op_map(void *opaque, const uint32_t *refs, unsigned nr, bool write, void **ptr)
{
    struct fake *f = opaque;
    struct fake_map *map = f->maps;
    f->map_calls++;
    if (f->before_copy)
        f->before_copy(f);
    for (unsigned i = 0; i < nr; i++) {
        if (refs[i] >= FAKE_GRANTS || !f->grants[refs[i]].page || (write && f->grants[refs[i]].read_only))
            return -EINVAL;
    }
    while (map->area)
        map++;
    assert_true(map < f->maps + sizeof(f->maps) / sizeof(f->maps[0]));
    map->nr = nr;
    memcpy(map->refs, refs, nr * sizeof(refs[0]));
    uint8_t *hole = mmap(NULL, (size_t)(nr + 2) * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(hole, MAP_FAILED);
    map->area = hole + PAGE_BYTES;
    for (unsigned i = 0; i < nr; i++) {
        f->grants[refs[i]].mapped++;
        assert_ptr_not_equal(mmap(map->area + (size_t)i * PAGE_BYTES, PAGE_BYTES, PROT_READ | (write ? PROT_WRITE : 0),
                                  MAP_SHARED | MAP_FIXED, pages_fd, (off_t)refs[i] * PAGE_BYTES),
                             MAP_FAILED);
    }
    *ptr = map->area;
    return 0;
}

static void op_unmap(void *opaque, void *ptr, unsigned nr)
{
    struct fake *f = opaque;
    f->unmap_calls++;
    for (unsigned i = 0; i < sizeof(f->maps) / sizeof(f->maps[0]); i++) {
        struct fake_map *map = &f->maps[i];
        if (map->area != ptr || map->nr != nr)
            continue;
        for (unsigned k = 0; k < nr; k++)
            f->grants[map->refs[k]].mapped--;
        assert_int_equal(munmap(map->area - PAGE_BYTES, (size_t)(nr + 2) * PAGE_BYTES), 0);
        map->area = NULL;
        return;
    }
    fail_msg("not mapped");
}

/* The builder's pages: frame numbers are references too, that no front end can grant to itself. */
static int op_map_frame(void *opaque, uint64_t frame, void **ptr)
{
    return frame < FAKE_GRANTS ? op_map(opaque, &(uint32_t){ (uint32_t)frame }, 1, true, ptr) : -EINVAL;
}

static void op_unmap_frame(void *opaque, void *ptr)
{
    op_unmap(opaque, ptr, 1);
}

static void op_copy(void *opaque, struct pv_copy *copies, unsigned nr)
{
    struct fake *f = opaque;
    if (f->before_copy)
        f->before_copy(f);
    f->copy_calls++;
    for (unsigned i = 0; i < nr; i++) {
        struct pv_copy *c = &copies[i];
        f->copies++;
        assert_true(c->len > 0 && c->offset + c->len <= PAGE_BYTES);
        c->err = c->ref < FAKE_GRANTS && f->grants[c->ref].page ? 0 : -EFAULT;
        if (!c->err && c->to_guest && f->grants[c->ref].read_only)
            c->err = -EFAULT;
        if (!c->err && c->to_guest)
            memcpy(f->grants[c->ref].page + c->offset, c->ptr, c->len);
        else if (!c->err)
            memcpy(c->ptr, f->grants[c->ref].page + c->offset, c->len);
    }
}

uint32_t fake_grant(struct fake *f)
{
    uint32_t ref = FAKE_FIRST_GRANT + f->nr_grants++; /* none is granted twice: those of a ring are in a row */
    assert_true(ref < FAKE_GRANTS);
    map_pages();
    f->grants[ref].page = pages + (size_t)ref * PAGE_BYTES;
    memset(f->grants[ref].page, 0, PAGE_BYTES);
    return ref;
}

uint8_t *fake_page(struct fake *f, uint32_t ref)
{
    return f->grants[ref].page;
}

/* --- Event channels --- */

static int op_bind(void *opaque, uint32_t remote, uint32_t *port)
{
    struct fake *f = opaque;
    if (remote == 0 || remote > 1000)
        return -EINVAL;
    f->bound = remote;
    *port = remote + 100;
    return 0;
}

static void op_unbind(void *opaque, uint32_t port)
{
    struct fake *f = opaque;
    f->bound = 0;
}

static void op_notify(void *opaque, uint32_t port)
{
    struct fake *f = opaque;
    f->notified++;
}

void fake_event(struct fake *f)
{
    if (f->bound)
        pv_event(f->pv, f->bound + 100);
    fake_settle(f);
}

/* --- Images --- */

static uint64_t measure(struct block *block)
{
    struct rig_disk *disk = container_of(block, struct rig_disk, block);
    struct fake *f = container_of(disk->closed_flag, struct fake, disk_closed);
    return min_u64(f->image_bytes, f->image_room);
}

static int open_disk(struct host *host, const struct block_open *how, struct block **out)
{
    struct fake *f = host->opaque;
    f->opened = *how;
    f->opens++;
    if (f->image_bytes == 0)
        return -ENOENT;
    f->image_room = 2 * f->image_bytes;
    f->disk = rig_disk(f->rig, f->image_room);
    f->image_ops = *f->disk->block.ops;
    f->image_ops.measure = measure;
    f->disk->block.ops = &f->image_ops;
    f->disk->block.size_bytes = f->image_bytes;
    f->disk->closed_flag = &f->disk_closed;
    f->disk_closed = false;
    f->disk->block.sector_bytes = f->sector_bytes ? f->sector_bytes : f->disk->block.sector_bytes;
    f->disk->block.read_only = how->read_only;
    f->disk->block.discard = how->discard;
    *out = &f->disk->block;
    return 0;
}

/* --- The whole --- */

static const struct pv_ops ops = {
    .read = op_read,
    .write = op_write,
    .list = op_list,
    .watch = op_watch,
    .unwatch = op_unwatch,
    .map = op_map,
    .unmap = op_unmap,
    .map_frame = op_map_frame,
    .unmap_frame = op_unmap_frame,
    .copy = op_copy,
    .bind = op_bind,
    .unbind = op_unbind,
    .notify = op_notify,
};

struct fake *fake_new_on(struct rig *rig, enum pv_data data)
{
    struct fake *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->rig = rig;
    f->image_bytes = 1 << 20;
    f->host = (struct host){ .loop = &f->rig->loop, .log = &f->rig->log, .opaque = f, .block_open = open_disk };
    f->opened.fd = (int)data; /* until fake_start() */
    return f;
}

struct fake *fake_new(enum pv_data data)
{
    struct fake *f = fake_new_on(rig_new(), data);
    f->owns_rig = true;
    return f;
}

void fake_start(struct fake *f)
{
    char error[CONFIG_ERROR_BYTES];
    struct pv_config config = { .domid = FAKE_DOMID,
                                .loop = &f->rig->loop,
                                .log = &f->rig->log,
                                .host = &f->host,
                                .ops = &ops,
                                .opaque = f,
                                .shared = f->shared,
                                .chrs = f->chrs,
                                .nr_chrs = f->nr_chrs,
                                .log_limit_bytes = f->log_limit_bytes,
                                .data = (enum pv_data)f->opened.fd };
    assert_int_equal(pv_create(&config, &f->pv, error), 0);
    fake_settle(f);
}

void fake_settle(struct fake *f)
{
    rig_settle(f->rig);
    for (unsigned round = 0; f->nr_events > 0; round++) {
        assert_true(round < 100); /* writing nodes leads to events of our own: that must come to an end */
        unsigned nr = f->nr_events;
        f->nr_events = 0;
        for (unsigned i = 0; i < nr && f->pv; i++) {
            char path[128], token[32];
            memcpy(path, f->events[i].path, sizeof(path));
            memcpy(token, f->events[i].token, sizeof(token));
            pv_watch(f->pv, path, token);
        }
        rig_settle(f->rig);
    }
}

void fake_free(struct fake *f)
{
    pv_destroy(f->pv);
    for (unsigned i = 0; i < FAKE_GRANTS; i++)
        assert_int_equal(f->grants[i].mapped, 0);
    for (unsigned i = 0; i < FAKE_WATCHES; i++)
        assert_false(f->watches[i].used);
    assert_int_equal(f->bound, 0);
    assert_null(f->rig->loop.tasks);
    if (f->owns_rig)
        rig_free(f->rig);
    free(f);
}

void fake_entry(struct fake *f, const char *name, const char *params, const char *mode, const char *type)
{
    char back[64], front[64];
    (void)snprintf(back, sizeof(back), "backend/qdisk/%d/%s", FAKE_DOMID, name);
    (void)snprintf(front, sizeof(front), "/local/domain/%d/device/vbd/%s", FAKE_DOMID, name);
    fake_writef(f, back, "frontend", "%s", front);
    fake_writef(f, back, "frontend-id", "%d", FAKE_DOMID);
    fake_writef(f, back, "params", "%s", params);
    fake_writef(f, back, "mode", "%s", mode);
    fake_writef(f, back, "device-type", "%s", type);
    fake_writef(f, back, "type", "qdisk");
    fake_writef(f, back, "online", "1");
    fake_writef(f, back, "state", "1");
    fake_writef(f, front, "backend", "/local/domain/0/%s", back);
    fake_writef(f, front, "state", "1");
}

/* --- The block front end --- */

static uint8_t *ring(const struct front *front)
{
    return fake_page(front->fake, front->refs[0]);
}

static size_t entry_bytes(const struct front *front)
{
    return front->bits == 32 ? 108 : 112;
}

uint32_t front_entries(const struct front *front)
{
    return front->pages * 32;
}

static uint8_t *entry(const struct front *front, uint32_t i)
{
    return ring(front) + 64 + (i % front_entries(front)) * entry_bytes(front);
}

uint32_t front_index(struct front *front, unsigned offset)
{
    return le32_get(ring(front) + offset);
}

void front_set_index(struct front *front, unsigned offset, uint32_t value)
{
    le32_put(ring(front) + offset, value);
}

void front_state(struct front *front, int state)
{
    fake_writef(front->fake, front->dir, "state", "%d", state);
    fake_settle(front->fake);
}

void front_prepare(struct front *front, struct fake *f, const char *name, unsigned bits, unsigned nr_pages,
                   bool persistent)
{
    *front = (struct front){ .fake = f, .bits = bits, .pages = nr_pages, .persistent = persistent };
    (void)snprintf(front->dir, sizeof(front->dir), "/local/domain/%d/device/vbd/%s", FAKE_DOMID, name);
    for (unsigned i = 0; i < nr_pages; i++) {
        char node[24] = "ring-ref";
        front->refs[i] = fake_grant(f);
        if (nr_pages > 1)
            (void)snprintf(node, sizeof(node), "ring-ref%u", i);
        fake_writef(f, front->dir, node, "%u", front->refs[i]);
    }
    if (nr_pages > 1)
        fake_writef(f, front->dir, "ring-page-order", "%d", __builtin_ctz(nr_pages));
    front_set_index(front, REQ_EVENT, 1);
    front_set_index(front, RSP_EVENT, 1);
    fake_writef(f, front->dir, "event-channel", "%d", FAKE_PORT);
    fake_writef(f, front->dir, "feature-persistent", "%d", persistent);
    fake_writef(f, front->dir, "protocol", "%s", bits == 32 ? "x86_32-abi" : "x86_64-abi");
}

void front_connect(struct front *front, struct fake *f, const char *name, unsigned bits, unsigned nr_pages,
                   bool persistent)
{
    front_prepare(front, f, name, bits, nr_pages, persistent);
    front_state(front, INITIALISED);
}

static uint8_t *put_head(struct front *front, uint8_t op, uint8_t second, uint64_t id, uint64_t sector)
{
    uint8_t *at = entry(front, front->req_prod++);
    memset(at, 0xa5, entry_bytes(front)); /* what a guest leaves in unused bytes */
    at[0] = op;
    at[1] = second;
    le64_put(at + (front->bits == 32 ? 4 : 8), id);
    le64_put(at + (front->bits == 32 ? 12 : 16), sector);
    return at;
}

void front_put(struct front *front, uint8_t op, uint64_t id, uint64_t sector, const struct seg *segs, unsigned nr)
{
    uint8_t *at = put_head(front, op, (uint8_t)nr, id, sector) + (front->bits == 32 ? 20 : 24);
    for (unsigned i = 0; i < nr && i < 11; i++, at += 8) {
        le32_put(at, segs[i].ref);
        at[4] = segs[i].first;
        at[5] = segs[i].last;
    }
}

void front_put_indirect(struct front *front, uint8_t op, uint64_t id, uint64_t sector, uint32_t page, uint16_t nr)
{
    uint8_t *at = put_head(front, 6, op, id, sector);
    le16_put(at + 2, nr);
    le32_put(at + (front->bits == 32 ? 24 : 28), page);
}

void front_put_discard(struct front *front, uint8_t flag, uint64_t id, uint64_t sector, uint64_t nr_sectors)
{
    uint8_t *at = put_head(front, 5, flag, id, sector);
    le64_put(at + (front->bits == 32 ? 20 : 24), nr_sectors);
}

uint8_t *front_last(struct front *front)
{
    return entry(front, front->req_prod - 1);
}

void front_kick(struct front *front)
{
    front_set_index(front, REQ_PROD, front->req_prod);
    fake_event(front->fake);
}

uint64_t front_response(struct front *front, uint8_t *op, int *status)
{
    if (front_index(front, RSP_PROD) == front->rsp_cons)
        return UINT64_MAX;
    uint8_t *at = entry(front, front->rsp_cons++);
    front_set_index(front, RSP_EVENT, front->rsp_cons + 1);
    *op = at[8];
    *status = (int16_t)le16_get(at + 10);
    return le64_get(at);
}

int front_run(struct front *front, uint64_t id)
{
    uint8_t op;
    int status = 99;
    front_kick(front);
    assert_int_equal(front_response(front, &op, &status), id);
    assert_int_equal(front_response(front, &op, &status), UINT64_MAX);
    return status;
}
