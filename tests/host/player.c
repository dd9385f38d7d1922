#define _GNU_SOURCE
#include "player.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_WRITE_FD = FAKE_EVENT_FD + 4, ANSWER_MS = 5000, CHILD_FDS = 6 };

uint64_t player_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The child's side of the start: descriptors to their agreed numbers, then the program. */
static void child(char *const argv[], const char *preload, const char *log, int cpu, const int fds[CHILD_FDS])
{
    static const int targets[CHILD_FDS] = { FAKE_SHARED_FD, FAKE_RAM_FD, FAKE_EVENT_FD, FAKE_NOTIFY_FD,
                                            FAKE_STORE_FD, EVENT_WRITE_FD };
    for (unsigned i = 0; i < CHILD_FDS; i++)
        dup2(fds[i], targets[i]);
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    if (log) {
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        dup2(out, 1);
        dup2(out, 2);
    }
    setenv("LD_PRELOAD", preload, 1);
    execv(argv[0], argv);
    _exit(127);
}

struct player *player_new(void)
{
    struct player *p = calloc(1, sizeof(*p));
    p->shared_fd = memfd_create("fake-xen-shared", MFD_CLOEXEC);
    p->ram_fd = memfd_create("fake-xen-ram", MFD_CLOEXEC);
    p->notify_fd = eventfd(0, EFD_CLOEXEC);
    p->store_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->shared_fd < 0 || p->ram_fd < 0 || p->notify_fd < 0 || p->store_fd < 0 ||
        ftruncate(p->shared_fd, sizeof(*p->shared)) || ftruncate(p->ram_fd, (off_t)FAKE_SPACE_BYTES))
        abort();
    p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE, MAP_SHARED, p->shared_fd, 0);
    return p;
}

bool player_exec(struct player *p, char *const argv[], const char *preload, const char *log, int cpu)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC))
        abort();
    p->event_write_fd = pipe_fds[1];
    const int fds[CHILD_FDS] = { p->shared_fd, p->ram_fd, pipe_fds[0], p->notify_fd, p->store_fd, pipe_fds[1] };
    p->spawned_ns = player_now_ns();
    p->pid = vfork();
    if (p->pid == 0)
        child(argv, preload, log, cpu, fds);
    close(p->shared_fd);
    close(pipe_fds[0]);
    return p->pid > 0;
}

struct player *player_start(char *const argv[], const char *preload, const char *log, int cpu)
{
    struct player *p = player_new();
    if (player_exec(p, argv, preload, log, cpu))
        return p;
    free(p);
    return NULL;
}

void player_write_node(struct player *p, const char *path, const char *value)
{
    struct fake_shared *s = p->shared;
    uint32_t i = 0;
    while (i < s->nr_nodes && strcmp(s->nodes[i].path, path))
        i++;
    if (i == FAKE_NODES)
        abort();
    snprintf(s->nodes[i].path, FAKE_NODE_BYTES, "%s", path);
    snprintf(s->nodes[i].value, FAKE_NODE_BYTES, "%s", value);
    s->nodes[i].written_ns = player_now_ns();
    if (i == s->nr_nodes)
        s->nr_nodes++;
    atomic_fetch_add(&s->nodes[i].changes, 1);
    if (write(p->store_fd, &(uint64_t){ 1 }, 8) != 8)
        abort();
}

static bool ended(struct player *p)
{
    if (p->pid > 0 && waitpid(p->pid, &p->status, WNOHANG) == p->pid)
        p->pid = 0;
    return p->pid <= 0;
}

const struct fake_node *player_node(const struct player *p, const char *suffix)
{
    for (uint32_t i = 0; i < p->shared->nr_nodes; i++) {
        const struct fake_node *n = &p->shared->nodes[i];
        size_t len = strlen(n->path), want = strlen(suffix);
        if (len >= want && strcmp(n->path + len - want, suffix) == 0)
            return n;
    }
    return NULL;
}

uint64_t player_wait_running(struct player *p, unsigned ms)
{
    uint64_t until = p->spawned_ns + (uint64_t)ms * 1000000;
    while (player_now_ns() < until) {
        for (uint32_t i = 0; i < p->shared->nr_nodes; i++) {
            const struct fake_node *n = &p->shared->nodes[i];
            if (strstr(n->path, "device-model/") && strstr(n->path, "/state"))
                return n->written_ns - p->spawned_ns;
        }
        if (ended(p))
            return 0;
        usleep(1000);
    }
    return 0;
}

void player_raise(struct player *p, uint32_t port)
{
    struct fake_shared *s = p->shared;
    if (atomic_exchange(&s->masked[port], 1) == 0) {
        if (write(p->event_write_fd, &port, sizeof(port)) != sizeof(port))
            abort();
    } else {
        atomic_store(&s->pending[port], 1);
        /* Unmasked in between: nobody would look at it. */
        if (atomic_load(&s->masked[port]) == 0 && atomic_exchange(&s->pending[port], 0)) {
            atomic_store(&s->masked[port], 1);
            if (write(p->event_write_fd, &port, sizeof(port)) != sizeof(port))
                abort();
        }
    }
}

uint64_t player_port(struct player *p, uint16_t port, unsigned size, bool read_it, uint64_t data, bool spin, bool *ok)
{
    uint8_t *slot = p->shared->sync;
    uint64_t addr = port;
    uint32_t count = 1;
    memcpy(slot, &addr, 8);
    memcpy(slot + 8, &data, 8);
    memcpy(slot + 16, &count, 4);
    memcpy(slot + 20, &size, 4);
    slot[31] = PIO;
    _Atomic(uint8_t) *state = (_Atomic(uint8_t) *)(slot + 30);
    atomic_store(state, (uint8_t)((read_it ? PIO_READ : 0) | 1));
    player_raise(p, 1);
    uint64_t until = player_now_ns() + (uint64_t)ANSWER_MS * 1000000;
    for (unsigned n = 1; (atomic_load(state) & 0xf) != 3; n++) {
        if (!spin) {
            struct pollfd pfd = { .fd = p->notify_fd, .events = POLLIN };
            uint64_t count_read;
            if (poll(&pfd, 1, ANSWER_MS) > 0 && read(p->notify_fd, &count_read, 8) != 8)
                abort();
        }
        if (n % 4096 == 0 || !spin) {
            if (player_now_ns() > until || ended(p)) {
                *ok = false;
                return 0;
            }
        }
    }
    memcpy(&data, slot + 8, 8);
    atomic_store(state, 0);
    return data;
}

int player_end(struct player *p, int sig, unsigned ms)
{
    if (p->pid > 0 && sig)
        kill(p->pid, sig);
    uint64_t until = player_now_ns() + (uint64_t)ms * 1000000;
    while (!ended(p) && player_now_ns() < until)
        usleep(1000);
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, &p->status, 0);
    }
    int status = p->status;
    munmap(p->shared, sizeof(*p->shared));
    close(p->ram_fd);
    close(p->event_write_fd);
    close(p->notify_fd);
    close(p->store_fd);
    free(p);
    return status;
}

unsigned player_pss_kib(const struct player *p)
{
    char path[64], line[512];
    snprintf(path, sizeof(path), "/proc/%d/smaps", p->pid);
    FILE *f = fopen(path, "re");
    unsigned kib, total = 0;
    bool guest = false;
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long first, last;
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
            guest = strstr(line, "fake-xen") != NULL; /* guest memory, shared pages and the stand-in library itself */
        else if (!guest && sscanf(line, "Pss: %u kB", &kib) == 1)
            total += kib;
    }
    if (f)
        fclose(f);
    return total;
}

/* Call fn for each thread's directory. */
static void each_thread(const struct player *p, void (*fn)(const char *dir, void *opaque), void *opaque)
{
    char path[64], dir[400];
    snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(dir, sizeof(dir), "%s/%s", path, e->d_name);
        fn(dir, opaque);
    }
    if (d)
        closedir(d);
}

static void count_thread(const char *dir, void *opaque)
{
    ++*(unsigned *)opaque;
}

unsigned player_threads(const struct player *p)
{
    unsigned n = 0;
    each_thread(p, count_thread, &n);
    return n;
}

static void add_switches(const char *dir, void *opaque)
{
    char path[512], line[256];
    unsigned long n;
    snprintf(path, sizeof(path), "%s/status", dir);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            *(uint64_t *)opaque += n;
    }
    if (f)
        fclose(f);
}

uint64_t player_switches(const struct player *p)
{
    uint64_t n = 0;
    each_thread(p, add_switches, &n);
    return n;
}

static void add_cpu(const char *dir, void *opaque)
{
    char path[512];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "%s/schedstat", dir);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%llu", &ns) == 1)
        *(uint64_t *)opaque += ns;
    if (f)
        fclose(f);
}

uint64_t player_cpu_ns(const struct player *p)
{
    uint64_t ns = 0;
    each_thread(p, add_cpu, &ns);
    return ns;
}
