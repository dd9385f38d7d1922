/*
 * Stand-ins for the functions of Xen's libraries that a device model calls, preloaded into it (LD_PRELOAD). Works for
 * thindm and for stock qemu-system-xen, so that both can be run and timed side by side without a hypervisor.
 * Each call that is a system call with Xen is one here too.
 */
#define _GNU_SOURCE
#include "fake-xen.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
enum { DOMAIN_MISSING = 77, SERVER_ID = 1 };
/* Where a kernel that can't map the server's own pages finds them in the guest: with FAKE_XEN_OLD in the environment.
 */
enum { OLD_SYNC_FRAME = 0xfeff1, OLD_RING_FRAME = 0xfeff0 };

static struct fake_shared *shared;

static struct fake_shared *fake(void)
{
    if (!shared) {
        void *map = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, FAKE_SHARED_FD, 0);
        if (map == MAP_FAILED)
            return NULL;
        shared = map;
    }
    return shared;
}

/* Any non-NULL handle; NULL and ENOENT as on a machine without Xen. */
static void *handle(void)
{
    static int any;
    if (fake())
        return &any;
    errno = ENOENT;
    return NULL;
}

static int domain(uint32_t domid)
{
    if (domid != DOMAIN_MISSING)
        return 0;
    errno = ESRCH;
    return -1;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- libxendevicemodel --- */
API void *xendevicemodel_open(void *logger, unsigned flags) { return handle(); }
API int xendevicemodel_close(void *h) { return 0; }
API int xendevicemodel_nr_vcpus(void *h, uint16_t d, unsigned *nr) { *nr = 1; return domain(d); }
API int xendevicemodel_create_ioreq_server(void *h, uint16_t d, int mode, uint16_t *id)
{
    *id = SERVER_ID;
    atomic_fetch_add(&fake()->servers, 1);
    return domain(d);
}
API int xendevicemodel_get_ioreq_server_info(void *h, uint16_t d, uint16_t id, void *a, void *b, uint32_t *port)
{
    if (port)
        *port = FAKE_RING_PORT;
    if (a && b) {
        *(uint64_t *)a = OLD_SYNC_FRAME;
        *(uint64_t *)b = OLD_RING_FRAME;
    }
    return 0;
}
API int xendevicemodel_destroy_ioreq_server(void *h, uint16_t d, uint16_t id)
{
    atomic_fetch_sub(&fake()->servers, 1);
    return 0;
}
API int xendevicemodel_set_ioreq_server_state(void *h, uint16_t d, uint16_t id, int on)
{
    for (unsigned i = 0; on && i < FAKE_VCPUS; i++)
        memcpy(fake()->sync + 32 * i + 24, &(uint32_t){ i + 1 }, 4);
    atomic_store(&fake()->enabled, (uint32_t)on);
    return 0;
}
API int xendevicemodel_map_io_range_to_ioreq_server(void *h, uint16_t d, uint16_t id, int mmio, uint64_t a, uint64_t b)
{
    return (int)syscall(SYS_getpid) * 0;
}
API int xendevicemodel_unmap_io_range_from_ioreq_server(void *h, uint16_t d, uint16_t id, int mmio, uint64_t a,
                                                        uint64_t b)
{
    return 0;
}
API int xendevicemodel_map_pcidev_to_ioreq_server(void *h, uint16_t d, uint16_t id, uint16_t s, uint8_t b, uint8_t dev,
                                                  uint8_t f)
{
    return 0;
}
API int xendevicemodel_unmap_pcidev_from_ioreq_server(void *h, uint16_t d, uint16_t id, uint16_t s, uint8_t b,
                                                      uint8_t dev, uint8_t f)
{
    return 0;
}
/* With FAKE_XEN_SPIN in the environment: hang in the first interrupt until the file of this name has bytes. */
static void spin(void)
{
    static bool spun;
    const char *path = getenv("FAKE_XEN_SPIN");
    struct stat st = { 0 };
    while (path && !spun && (stat(path, &st) != 0 || st.st_size == 0))
        ;
    spun = true;
}

API int xendevicemodel_set_isa_irq_level(void *h, uint16_t d, uint8_t irq, unsigned level)
{
    if (level)
        spin();
    fake()->isa[irq & 15] = level;
    return (int)syscall(SYS_getpid) * 0;
}
API int xendevicemodel_set_pci_intx_level(void *h, uint16_t d, uint16_t s, uint8_t b, uint8_t dev, uint8_t pin,
                                          unsigned level)
{
    fake()->intx[(dev & 31) * 4 + (pin & 3)] = level;
    return (int)syscall(SYS_getpid) * 0;
}
API int xendevicemodel_set_pci_link_route(void *h, uint16_t d, uint8_t link, uint8_t irq)
{
    fake()->links[link & 3] = irq;
    return 0;
}
API int xendevicemodel_inject_msi(void *h, uint16_t d, uint64_t addr, uint32_t data) { return 0; }
API int xendevicemodel_modified_memory(void *h, uint16_t d, uint64_t first, uint32_t nr) { return 0; }
API int xendevicemodel_set_mem_type(void *h, uint16_t d, int type, uint64_t first, uint32_t nr) { return 0; }
API int xendevicemodel_relocate_memory(void *h, uint16_t d, uint32_t nr, uint64_t from, uint64_t to) { return 0; }
API int xendevicemodel_pin_memory_cacheattr(void *h, uint16_t d, uint64_t a, uint64_t b, uint32_t t) { return 0; }
API int xendevicemodel_track_dirty_vram(void *h, uint16_t d, uint64_t first, uint32_t nr, unsigned long *bits)
{
    errno = ENODATA;
    return -1;
}
API int xendevicemodel_shutdown(void *h, uint16_t d, unsigned reason)
{
    fake()->shutdown_reason = reason;
    atomic_fetch_add(&fake()->shutdown_calls, 1);
    return 0;
}

/* --- libxenforeignmemory --- */
API void *xenforeignmemory_open(void *logger, unsigned flags) { return handle(); }
API int xenforeignmemory_close(void *h) { return 0; }
API void *xenforeignmemory_map2(void *h, uint32_t d, void *addr, int prot, int flags, size_t nr, const uint64_t *gfn,
                                int *err)
{
    void *map = mmap(addr, nr * FAKE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    for (size_t i = 0, run; i < nr; i += run) {
        for (run = 1; i + run < nr && gfn[i + run] == gfn[i] + run; run++)
            ;
        bool hole = (gfn[i] + run) * FAKE_PAGE > FAKE_SPACE_BYTES;
        if (!hole)
            mmap((char *)map + i * FAKE_PAGE, run * FAKE_PAGE, prot, MAP_SHARED | MAP_FIXED, FAKE_RAM_FD,
                 (off_t)(gfn[i] * FAKE_PAGE));
        for (size_t k = 0; err && k < run; k++)
            err[i + k] = hole ? -EINVAL : 0;
    }
    return map;
}
API void *xenforeignmemory_map(void *h, uint32_t d, int prot, size_t nr, const uint64_t *gfn, int *err)
{
    if (nr == 2 && gfn[0] == OLD_RING_FRAME && gfn[1] == OLD_SYNC_FRAME)
        return fake()->ring; /* the slots' page follows it */
    return xenforeignmemory_map2(h, d, NULL, prot, 0, nr, gfn, err);
}
API int xenforeignmemory_unmap(void *h, void *addr, size_t nr)
{
    atomic_fetch_add(&fake()->unmaps, 1);
    return addr == fake()->ring ? 0 : munmap(addr, nr * FAKE_PAGE);
}
API void *xenforeignmemory_map_resource(void *h, uint16_t d, unsigned type, unsigned id, unsigned long frame,
                                        unsigned long nr, void **addr, int prot, int flags)
{
    if (getenv("FAKE_XEN_OLD")) {
        errno = EOPNOTSUPP;
        return NULL;
    }
    *addr = (frame == 0 ? fake()->ring : fake()->sync);
    return handle();
}
API int xenforeignmemory_unmap_resource(void *h, void *resource) { return 0; }

/* --- libxenevtchn: the descriptor is a pipe of port numbers; that of a second handle never has any --- */
static int handles[2];
API void *xenevtchn_open(void *logger, unsigned flags)
{
    static unsigned next;
    if (!handle())
        return NULL;
    handles[next] = next == 0 ? FAKE_EVENT_FD : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return &handles[next++ % 2];
}
API int xenevtchn_close(void *h) { return 0; }
API int xenevtchn_fd(void *h) { return *(int *)h; }
API int xenevtchn_bind_interdomain(void *h, uint32_t d, uint32_t remote) { return (int)remote; }
API int xenevtchn_unbind(void *h, uint32_t port) { return 0; }
API int xenevtchn_pending(void *h)
{
    uint32_t port;
    return read(*(int *)h, &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}
API int xenevtchn_unmask(void *h, uint32_t port)
{
    struct fake_shared *s = fake();
    syscall(SYS_getpid); /* the write() of the real thing */
    atomic_store(&s->masked[port], 0);
    if (atomic_exchange(&s->pending[port], 0)) {
        atomic_store(&s->masked[port], 1);
        return write(FAKE_EVENT_FD + 4, &port, sizeof(port)) == sizeof(port) ? 0 : -1;
    }
    return 0;
}
API int xenevtchn_notify(void *h, uint32_t port) { return write(FAKE_NOTIFY_FD, &(uint64_t){ 1 }, 8) == 8 ? 0 : -1; }

/* --- libxencall, libxenctrl --- */
API void *xencall_open(void *logger, unsigned flags) { return handle(); }
API int xencall_close(void *h) { return 0; }
API void *xencall_alloc_buffer(void *h, size_t n) { return malloc(n); }
API void xencall_free_buffer(void *h, void *p) { free(p); }
API int xencall2(void *h, unsigned op, uint64_t a, uint64_t b)
{
    /* XENMEM_populate_physmap: all extents of struct xen_memory_reservation; everything else succeeds. */
    return op == 12 ? (int)((uint64_t *)b)[1] : 0;
}
API void *xc_interface_open(void *l, void *d, unsigned f) { return handle(); }
API int xc_interface_close(void *h) { return 0; }
API int xc_domain_populate_physmap_exact(void *h, uint32_t d, unsigned long nr, unsigned order, unsigned flags,
                                         void *frames)
{
    return 0;
}
API int xc_domain_shutdown(void *h, uint32_t d, int reason)
{
    return xendevicemodel_shutdown(h, (uint16_t)d, (unsigned)reason);
}
API int xc_get_hvm_param(void *h, uint32_t d, int param, unsigned long *value) { *value = 0; return 0; }
API int xc_set_hvm_param(void *h, uint32_t d, int param, unsigned long value) { return 0; }
API void *xengnttab_open(void *l, unsigned f) { return handle(); }
API int xengnttab_close(void *h) { return 0; }
API int xengnttab_set_max_grants(void *h, uint32_t n) { return 0; }
struct copy_end {
    union {
        void *virt;
        struct {
            uint32_t ref;
            uint16_t offset, domid;
        };
    };
};
struct copy_segment {
    struct copy_end source, dest;
    uint16_t len, flags;
    int16_t status;
};
API int xengnttab_grant_copy(void *h, uint32_t n, void *segments)
{
    struct copy_segment *s = segments;
    for (uint32_t i = 0; i < n; i++) {
        bool from_guest = s[i].flags & 1;
        struct copy_end *guest = from_guest ? &s[i].source : &s[i].dest;
        off_t at = (off_t)guest->ref * FAKE_PAGE + guest->offset;
        ssize_t done = from_guest ? pread(FAKE_RAM_FD, s[i].dest.virt, s[i].len, at)
                                  : pwrite(FAKE_RAM_FD, s[i].source.virt, s[i].len, at);
        s[i].status = done == s[i].len ? 0 : -3;
    }
    return 0;
}
API void *xengnttab_map_domain_grant_refs(void *h, uint32_t n, uint32_t d, uint32_t *refs, int prot)
{
    char *map = mmap(NULL, n * FAKE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (uint32_t i = 0; map != MAP_FAILED && i < n; i++)
        mmap(map + i * FAKE_PAGE, FAKE_PAGE, prot, MAP_SHARED | MAP_FIXED, FAKE_RAM_FD, (off_t)refs[i] * FAKE_PAGE);
    return map == MAP_FAILED ? NULL : map;
}
API int xengnttab_unmap(void *h, void *start, uint32_t n) { return munmap(start, n * FAKE_PAGE); }
API int xentoolcore_restrict_all(uint32_t d) { return domain(d); }

/* --- libxenstore: what is written is kept in the shared table --- */
static struct fake_node *node(const char *path)
{
    struct fake_shared *s = fake();
    for (uint32_t i = 0; i < s->nr_nodes; i++) {
        if (strcmp(s->nodes[i].path, path) == 0)
            return &s->nodes[i];
    }
    return NULL;
}
/* A connection is the descriptor to wait with; all are told of every change, and each finds those that it watches. */
static int connections[4];
API void *xs_open(unsigned long flags)
{
    static unsigned next;
    int *connection = &connections[next % 4];
    if (!handle())
        return NULL;
    *connection = next++ == 0 ? FAKE_STORE_FD : fcntl(FAKE_STORE_FD, F_DUPFD_CLOEXEC, 0);
    return connection;
}
API void *xs_daemon_open(void) { return handle(); }
API void xs_close(void *h) {}
API void xs_daemon_close(void *h) {}
API bool xs_write(void *h, uint32_t t, const char *path, const void *data, unsigned len)
{
    struct fake_shared *s = fake();
    struct fake_node *n = node(path);
    if (!n && s->nr_nodes == FAKE_NODES)
        return true;
    if (!n)
        n = &s->nodes[s->nr_nodes];
    strncpy(n->path, path, FAKE_NODE_BYTES - 1);
    memset(n->value, 0, sizeof(n->value));
    memcpy(n->value, data, len < FAKE_NODE_BYTES ? len : FAKE_NODE_BYTES - 1);
    atomic_fetch_add(&n->changes, 1);
    if (!n->written_ns) {
        n->written_ns = now_ns();
        s->nr_nodes++;
    }
    return write(FAKE_STORE_FD, &(uint64_t){ 1 }, 8) == 8;
}
API void *xs_read(void *h, uint32_t t, const char *path, unsigned *len)
{
    struct fake_node *n = node(path);
    if (!n) {
        errno = ENOENT;
        return NULL;
    }
    char *copy = strdup(n->value);
    *len = copy ? (unsigned)strlen(copy) : 0;
    return copy;
}
API char *xs_get_domain_path(void *h, unsigned d) { return d ? strdup("/local/domain/1") : strdup("/local/domain/0"); }
API bool xs_mkdir(void *h, uint32_t t, const char *p) { return true; }
API bool xs_rm(void *h, uint32_t t, const char *p) { return true; }
API bool xs_set_permissions(void *h, uint32_t t, const char *p, void *perms, unsigned n) { return true; }

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Names and their pointers in one piece of memory, as the library has it. */
API char **xs_directory(void *h, uint32_t t, const char *p, unsigned *n)
{
    struct fake_shared *s = fake();
    char **names = calloc(1, FAKE_NODES * (sizeof(*names) + FAKE_NODE_BYTES));
    *n = 0;
    for (uint32_t i = 0; i < s->nr_nodes && names; i++) {
        const char *name = s->nodes[i].path + strlen(p) + 1;
        unsigned k = 0;
        if (!is_below(s->nodes[i].path, p) || strlen(s->nodes[i].path) <= strlen(p))
            continue;
        size_t len = strcspn(name, "/");
        while (k < *n && (strlen(names[k]) != len || memcmp(names[k], name, len)))
            k++;
        if (k < *n)
            continue;
        names[k] = (char *)(names + FAKE_NODES) + k * FAKE_NODE_BYTES;
        memcpy(names[k], name, len);
        ++*n;
    }
    if (*n > 0)
        return names;
    free(names);
    errno = ENOENT;
    return NULL;
}

/* A watch fires once when it is set, and for each node below it whose changes it hasn't seen. */
static struct watch {
    char path[FAKE_NODE_BYTES], token[FAKE_NODE_BYTES];
    uint32_t seen[FAKE_NODES];
    const void *connection;
    bool used, fired;
} watches[96];

API bool xs_watch(void *h, const char *p, const char *token)
{
    for (unsigned i = 0; i < sizeof(watches) / sizeof(watches[0]); i++) {
        struct watch *w = &watches[i];
        if (w->used)
            continue;
        *w = (struct watch){ .connection = h, .used = true };
        strncpy(w->path, p, FAKE_NODE_BYTES - 1);
        strncpy(w->token, token, FAKE_NODE_BYTES - 1);
        for (unsigned k = 0; k < FAKE_NODES; k++)
            w->seen[k] = fake()->nodes[k].changes;
        return write(FAKE_STORE_FD, &(uint64_t){ 1 }, 8) == 8;
    }
    errno = E2BIG;
    return false;
}
API bool xs_unwatch(void *h, const char *p, const char *token)
{
    for (unsigned i = 0; i < sizeof(watches) / sizeof(watches[0]); i++) {
        struct watch *w = &watches[i];
        if (w->used && w->connection == h && strcmp(w->path, p) == 0 && strcmp(w->token, token) == 0)
            w->used = false;
    }
    return true;
}
static char **watch_event(const struct watch *w, const char *path)
{
    char **event = calloc(1, 2 * sizeof(*event) + 2 * FAKE_NODE_BYTES);
    if (event) {
        event[0] = strcpy((char *)(event + 2), path);
        event[1] = strcpy((char *)(event + 2) + FAKE_NODE_BYTES, w->token);
    }
    return event;
}
API char **xs_check_watch(void *h)
{
    struct fake_shared *s = fake();
    uint64_t told;
    if (read(FAKE_STORE_FD, &told, sizeof(told)) != sizeof(told))
        errno = EAGAIN;
    for (unsigned i = 0; i < sizeof(watches) / sizeof(watches[0]); i++) {
        struct watch *w = &watches[i];
        if (w->connection != h)
            continue;
        if (w->used && !w->fired) {
            w->fired = true;
            return watch_event(w, w->path);
        }
        for (uint32_t k = 0; w->used && k < s->nr_nodes; k++) {
            uint32_t changes = s->nodes[k].changes;
            if (w->seen[k] == changes || !is_below(s->nodes[k].path, w->path))
                continue;
            w->seen[k] = changes;
            return watch_event(w, s->nodes[k].path);
        }
    }
    errno = EAGAIN;
    return NULL;
}
API char **xs_read_watch(void *h, unsigned *n) { return xs_check_watch(h); }
API uint32_t xs_transaction_start(void *h) { return 1; }
API bool xs_transaction_end(void *h, uint32_t t, bool abort) { return true; }
API int xs_fileno(void *h) { return *(int *)h; }
