/*
 * Back-end directories and their states: which devices there are, who is ready, who leaves. Watches only mark what is
 * to be looked at; one task then reads the nodes, so that a storm of writes costs one look a round.
 * Sources: xen/include/public/io/xenbus.h; libxl_device.c (create, detach); Linux xenbus_probe_frontend.c (kexec).
 */
#include "pv-private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A type without functions is told off: a back end that stays in state 1 makes a Linux front end wait for half a
 * minute and more at every boot, one in state 6 is passed over at once.
 */
static const struct pv_type vkbd = { .name = "vkbd" }, vfb = { .name = "vfb" }, p9fs = { .name = "9pfs" },
                            qusb = { .name = "qusb" };
static const struct pv_type *const types[] = { &pv_qdisk, &pv_console, &vkbd, &vfb, &p9fs, &qusb };

enum { NR_TYPES = sizeof(types) / sizeof(types[0]) };

struct pv {
    struct pv_config config;
    struct pv_device *devices[PV_MAX_DEVICES];
    char dirs[NR_TYPES][PV_NAME_BYTES * 2];
    bool watched[NR_TYPES], rescan[NR_TYPES], paused;
    bool late;           /* the guest may run */
    unsigned generation; /* makes tokens unique: an event of a watch that is gone finds nobody */
    struct task task;
};

const struct pv_config *pv_config(const struct pv_device *dev)
{
    return &dev->pv->config;
}

bool pv_paused(const struct pv_device *dev)
{
    return dev->pv->paused;
}

/* --- Nodes --- */

static int read_node(struct pv *pv, const char *dir, const char *node, char *value, size_t size)
{
    char path[PV_PATH_BYTES + PV_NAME_BYTES * 2];
    int n = snprintf(path, sizeof(path), "%s/%s", dir, node);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    return pv->config.ops->read(pv->config.opaque, path, value, size);
}

/* Digits and nothing else, at most max. */
static int parse_number(const char *text, uint64_t max, uint64_t *value)
{
    uint64_t v = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        unsigned digit = (unsigned)(*text - '0');
        if (v > (max - min_u64(digit, max)) / 10 || digit > max)
            return -EINVAL;
        v = v * 10 + digit;
    }
    *value = v;
    return 0;
}

static int read_number(struct pv *pv, const char *dir, const char *node, uint64_t max, uint64_t *value)
{
    char text[24];
    int err = read_node(pv, dir, node, text, sizeof(text));
    return err == -E2BIG ? -EINVAL : err ? err : parse_number(text, max, value);
}

int pv_read_number(struct pv_device *dev, const char *dir, const char *node, uint64_t max, uint64_t *value)
{
    return read_number(dev->pv, dir, node, max, value);
}

uint64_t pv_number_or(struct pv_device *dev, const char *dir, const char *node, uint64_t max, uint64_t otherwise)
{
    uint64_t value;
    return read_number(dev->pv, dir, node, max, &value) ? otherwise : value;
}

int pv_read_text(struct pv_device *dev, const char *dir, const char *node, char *value, size_t size)
{
    return read_node(dev->pv, dir, node, value, size);
}

static void write_node(struct pv *pv, const char *who, const char *dir, const char *node, const char *value)
{
    char path[PV_PATH_BYTES + PV_NAME_BYTES * 2];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, node);
    int err = pv->config.ops->write(pv->config.opaque, path, value);
    if (err && err != -ENOENT) /* ENOENT: the toolstack removed the entry meanwhile */
        log_print(pv->config.log, LOG_WARN, who, "can't write %s: %s", path, strerror(-err));
}

void pv_write_text(struct pv_device *dev, const char *node, const char *value)
{
    write_node(dev->pv, dev->who, dev->back, node, value);
}

void pv_write_front(struct pv_device *dev, const char *node, const char *value)
{
    write_node(dev->pv, dev->who, dev->front, node, value);
}

void pv_write_number(struct pv_device *dev, const char *node, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    pv_write_text(dev, node, text);
}

static void set_state(struct pv_device *dev, unsigned state)
{
    dev->state = state;
    pv_write_number(dev, "state", state);
}

void pv_repeat_state(struct pv_device *dev)
{
    set_state(dev, dev->state);
}

int pv_error(struct pv_device *dev, int err, const char *format, ...)
{
    char text[160], line[200], dir[PV_PATH_BYTES + PV_NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_limited(dev->pv->config.log, LOG_WARN, &dev->log_rate, dev->who, "%s", text);
    (void)snprintf(line, sizeof(line), "%d %s", -err, text);
    (void)snprintf(dir, sizeof(dir), "error/%s", dev->back);
    write_node(dev->pv, dev->who, dir, "error", line);
    return err;
}

/* --- Event channels --- */

int pv_bind(struct pv_device *dev, uint32_t remote)
{
    const struct pv_config *c = &dev->pv->config;
    return c->ops->bind(c->opaque, remote, &dev->port);
}

void pv_unbind(struct pv_device *dev)
{
    const struct pv_config *c = &dev->pv->config;
    if (dev->port)
        c->ops->unbind(c->opaque, dev->port);
    dev->port = 0;
}

void pv_notify(struct pv_device *dev)
{
    const struct pv_config *c = &dev->pv->config;
    c->ops->notify(c->opaque, dev->port);
}

void pv_event(struct pv *pv, uint32_t port)
{
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        struct pv_device *dev = pv->devices[i];
        if (dev && dev->port == port && !pv->paused)
            dev->type->event(dev);
    }
}

/* --- States --- */

void pv_kick(struct pv_device *dev)
{
    dev->look = true;
    task_post(&dev->pv->task);
}

void pv_fail(struct pv_device *dev)
{
    dev->failed = true;
    pv_kick(dev);
}

/* Nothing of the device is left here; its entry is the toolstack's to remove. */
static void forget(struct pv_device *dev)
{
    struct pv *pv = dev->pv;
    char path[PV_PATH_BYTES + PV_NAME_BYTES];
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i] == dev)
            pv->devices[i] = NULL;
    }
    if (dev->watched) {
        (void)snprintf(path, sizeof(path), "%s/state", dev->front);
        pv->config.ops->unwatch(pv->config.opaque, path, dev->token);
    }
    dev->type->destroy(dev);
}

/* XenbusStateClosed if the front end is gone, -1 for anything that is no state. */
static int front_state(struct pv_device *dev)
{
    uint64_t state;
    int given = dev->type->front_state ? dev->type->front_state(dev) : -1;
    if (given >= 0)
        return given;
    int err = pv_read_number(dev, dev->front, "state", XenbusStateReconfigured, &state);
    if (err == -ENOENT)
        return XenbusStateClosed;
    return err || state == XenbusStateUnknown ? -1 : (int)state;
}

static void connect_front(struct pv_device *dev)
{
    if (!dev->opened || dev->state != XenbusStateInitWait)
        return;
    int err = dev->type->connect(dev);
    if (err)
        (void)dev->type->disconnect(dev);
    set_state(dev, err ? XenbusStateClosing : XenbusStateConnected);
}

/* The front end is not there, or not any more. next: the state that says so. */
static void front_away(struct pv_device *dev, unsigned next)
{
    if (!dev->type->disconnect(dev))
        return; /* pv_kick() comes */
    dev->failed = false;
    if (dev->opened && dev->state != next)
        set_state(dev, next);
}

/* The toolstack wants the device gone and the front end doesn't use it. */
static void leave(struct pv_device *dev)
{
    if (!dev->type->disconnect(dev))
        return;
    set_state(dev, XenbusStateClosed);
    forget(dev);
}

static void evaluate(struct pv_device *dev)
{
    uint64_t state;
    int err = pv_read_number(dev, dev->back, "state", XenbusStateReconfigured, &state);
    if (err == -ENOENT) {
        forget(dev);
        return;
    }
    bool online = pv_number_or(dev, dev->back, "online", 1, 0) == 1;
    bool leaving = !online && !err && (state == XenbusStateClosing || state == XenbusStateClosed);
    int front = front_state(dev);
    if (dev->failed)
        front_away(dev, XenbusStateClosing);
    switch (front) {
    case XenbusStateInitialised:
    case XenbusStateConnected:
        if (!leaving)
            connect_front(dev);
        break;                    /* leaving: the front end flushes and closes first */
    case XenbusStateInitialising: /* a new driver: the guest rebooted, or another kernel runs */
        if (leaving)
            leave(dev);
        else
            front_away(dev, XenbusStateInitWait);
        break;
    case XenbusStateInitWait:
        if (leaving)
            leave(dev);
        break;
    case XenbusStateClosing: front_away(dev, XenbusStateClosing); break;
    case XenbusStateClosed:
        if (leaving)
            leave(dev);
        else
            front_away(dev, XenbusStateClosed);
        break;
    }
}

/* --- Entries --- */

static struct pv_device *find(struct pv *pv, const struct pv_type *type, const char *name)
{
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        struct pv_device *dev = pv->devices[i];
        if (dev && dev->type == type && strcmp(dev->name, name) == 0)
            return dev;
    }
    return NULL;
}

static int free_slot(const struct pv *pv)
{
    for (int i = 0; i < PV_MAX_DEVICES; i++) {
        if (!pv->devices[i])
            return i;
    }
    return -1;
}

/*
 * The front end's directory must be in the home of the one guest that this process serves. That of its first console is
 * not among the others.
 */
static bool front_is_ours(struct pv *pv, const char *back, char front[PV_PATH_BYTES])
{
    char home[PV_NAME_BYTES * 2], console[PV_NAME_BYTES * 2];
    uint64_t id;
    (void)snprintf(home, sizeof(home), "/local/domain/%u/device/", pv->config.domid);
    (void)snprintf(console, sizeof(console), "/local/domain/%u/console", pv->config.domid);
    return read_node(pv, back, "frontend", front, PV_PATH_BYTES) == 0 &&
           (strncmp(front, home, strlen(home)) == 0 || strcmp(front, console) == 0) &&
           read_number(pv, back, "frontend-id", UINT16_MAX, &id) == 0 && id == pv->config.domid;
}

static void watch_front(struct pv_device *dev)
{
    struct pv *pv = dev->pv;
    char path[PV_PATH_BYTES + PV_NAME_BYTES];
    (void)snprintf(path, sizeof(path), "%s/state", dev->front);
    int err = pv->config.ops->watch(pv->config.opaque, path, dev->token);
    dev->watched = err == 0;
    if (err)
        log_print(pv->config.log, LOG_ERROR, dev->who, "can't watch %s: %s; not served", path, strerror(-err));
}

static void start(struct pv_device *dev)
{
    int err = dev->type->open(dev);
    dev->opened = err == 0;
    set_state(dev, err ? XenbusStateClosed : XenbusStateInitWait);
    if (dev->pv->late)
        watch_front(dev);
}

static void adopt(struct pv *pv, const struct pv_type *type, const char *name, const char *back, const char *front)
{
    int slot = free_slot(pv);
    struct pv_device *dev = slot >= 0 ? type->create() : NULL;
    if (!dev) {
        log_print(pv->config.log, LOG_ERROR, "pv", "%s: %s; not served", back,
                  slot < 0 ? "too many devices" : "out of memory");
        write_node(pv, "pv", back, "state", "6");
        return;
    }
    dev->type = type;
    dev->pv = pv;
    (void)snprintf(dev->name, sizeof(dev->name), "%s", name);
    (void)snprintf(dev->who, sizeof(dev->who), "%s %s", type->name, name);
    (void)snprintf(dev->back, sizeof(dev->back), "%s", back);
    (void)snprintf(dev->front, sizeof(dev->front), "%s", front);
    (void)snprintf(dev->token, sizeof(dev->token), "front-%d.%u", slot, ++pv->generation);
    if (type->ours && !type->ours(dev)) {
        type->destroy(dev);
        return;
    }
    pv->devices[slot] = dev;
    start(dev);
}

struct scan {
    struct pv *pv;
    unsigned type;
};

static void entry(void *arg, const char *name)
{
    struct scan *scan = arg;
    struct pv *pv = scan->pv;
    const struct pv_type *type = types[scan->type];
    char back[PV_PATH_BYTES], front[PV_PATH_BYTES];
    uint64_t devid, state, online;
    if (parse_number(name, UINT32_MAX, &devid) || find(pv, type, name) || (type->early && pv->late))
        return;
    (void)snprintf(back, sizeof(back), "%s/%s", pv->dirs[scan->type], name);
    if (read_number(pv, back, "state", UINT32_MAX, &state) || state != XenbusStateInitialising ||
        read_number(pv, back, "online", UINT32_MAX, &online) || online != 1)
        return; /* not complete yet, or somebody else's past */
    if (!type->create) {
        log_print(pv->config.log, LOG_INFO, "pv", "%s: this back end is not there yet; closed", back);
        write_node(pv, "pv", back, "state", "6");
    } else if (!front_is_ours(pv, back, front)) {
        log_print(pv->config.log, LOG_ERROR, "pv", "%s: its front end is not in domain %u; not served", back,
                  pv->config.domid);
        write_node(pv, "pv", back, "state", "6");
    } else {
        adopt(pv, type, name, back, front);
    }
}

static void rescan(struct pv *pv, unsigned type)
{
    struct scan scan = { pv, type };
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i] && pv->devices[i]->type == types[type])
            pv->devices[i]->look = true;
    }
    (void)pv->config.ops->list(pv->config.opaque, pv->dirs[type], entry, &scan); /* none: no entries */
}

static void run(void *opaque)
{
    struct pv *pv = opaque;
    for (unsigned t = 0; t < NR_TYPES; t++) {
        if (pv->rescan[t]) {
            pv->rescan[t] = false;
            rescan(pv, t);
        }
    }
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        struct pv_device *dev = pv->devices[i];
        if (!dev || !dev->look)
            continue;
        dev->look = false;
        if (dev->params_changed && dev->opened && dev->type->params_changed)
            dev->type->params_changed(dev);
        dev->params_changed = false;
        evaluate(dev); /* may free it */
    }
}

/* --- Watches --- */

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* A change in a type's directory: of a known device, or there may be a new one. */
static void back_changed(struct pv *pv, unsigned type, const char *path)
{
    bool known = false;
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        struct pv_device *dev = pv->devices[i];
        if (!dev || !is_below(path, dev->back))
            continue;
        known = dev->look = true;
        dev->params_changed |= strcmp(path + strlen(dev->back), "/params") == 0;
    }
    pv->rescan[type] |= !known;
}

void pv_watch(struct pv *pv, const char *path, const char *token)
{
    for (unsigned t = 0; t < NR_TYPES; t++) {
        if (strcmp(token, types[t]->name) == 0)
            back_changed(pv, t, path);
    }
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i] && strcmp(token, pv->devices[i]->token) == 0)
            pv->devices[i]->look = true;
    }
    task_post(&pv->task);
}

/* --- The whole --- */

int pv_create(const struct pv_config *config, struct pv **out, char error[CONFIG_ERROR_BYTES])
{
    struct pv *pv = calloc(1, sizeof(*pv));
    if (!pv) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    pv->config = *config;
    task_init(&pv->task, config->loop, run, pv);
    for (unsigned t = 0; t < NR_TYPES; t++) {
        (void)snprintf(pv->dirs[t], sizeof(pv->dirs[t]), "backend/%s/%u", types[t]->name, config->domid);
        pv->rescan[t] = true;
    }
    /*
     * What is there now is open before the first privilege is dropped. Watches come after it: with the first one Xen's
     * library starts a thread that reads for it, and each request costs two switches more.
     */
    run(pv);
    for (unsigned t = 0; t < NR_TYPES; t++) {
        int err = config->ops->watch(config->opaque, pv->dirs[t], types[t]->name);
        pv->watched[t] = err == 0;
        if (err) {
            snprintf(error, CONFIG_ERROR_BYTES, "can't watch %s in xenstore: %s", pv->dirs[t], strerror(-err));
            pv_destroy(pv);
            return err;
        }
    }
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i])
            watch_front(pv->devices[i]);
    }
    pv->late = true;
    *out = pv;
    return 0;
}

void pv_destroy(struct pv *pv)
{
    if (!pv)
        return;
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i])
            forget(pv->devices[i]);
    }
    for (unsigned t = 0; t < NR_TYPES; t++) {
        if (pv->watched[t])
            pv->config.ops->unwatch(pv->config.opaque, pv->dirs[t], types[t]->name);
    }
    task_cancel(&pv->task);
    free(pv);
}

void pv_set_paused(struct pv *pv, bool paused)
{
    if (!pv || pv->paused == paused)
        return;
    pv->paused = paused;
    for (unsigned i = 0; i < PV_MAX_DEVICES; i++) {
        if (pv->devices[i])
            pv->devices[i]->type->set_paused(pv->devices[i], paused);
    }
}

int pv_block_resize(struct pv *pv, const char *id, uint64_t bytes, char error[CONFIG_ERROR_BYTES])
{
    struct pv_block_info info;
    for (unsigned n = 0; pv && n < PV_MAX_DEVICES; n++) {
        struct pv_device *dev = pv->devices[n];
        if (!dev || !dev->opened || !dev->type->block_info || strcmp(dev->name, id) != 0)
            continue;
        dev->type->params_changed(dev);
        (void)dev->type->block_info(dev, &info);
        if (info.size_bytes == bytes)
            return 0;
        snprintf(error, CONFIG_ERROR_BYTES, "%s has %" PRIu64 " bytes; its image must be made longer first", dev->who,
                 info.size_bytes);
        return -EINVAL;
    }
    return -ENODEV;
}

bool pv_block_info(const struct pv *pv, unsigned i, struct pv_block_info *info)
{
    for (unsigned n = 0; pv && n < PV_MAX_DEVICES; n++) {
        const struct pv_device *dev = pv->devices[n];
        if (dev && dev->type->block_info && dev->type->block_info(dev, info) && i-- == 0)
            return true;
    }
    return false;
}
