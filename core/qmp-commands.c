/*
 * The commands of the monitor: those that libxl, xenopsd, libxenstat and virsh send, with the fields they read.
 * Whatever is missing answers CommandNotFound, for which they have their fall-backs.
 */
#include "qmp-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The processor type by which libxl plugs CPUs; CPUs themselves are the hypervisor's. */
#define CPU_TYPE "qemu32-i386-cpu"

static int not_supported(struct qmp_call *call)
{
    return qmp_fail(call, "this is not supported");
}

static int cmd_capabilities(struct qmp_call *call)
{
    const struct json *json = &call->qmp->request;
    int list = call->args < 0 ? -1 : json_member(json, call->args, "enable");
    if (list >= 0 && json_first(json, list) >= 0)
        return qmp_fail(call, "none of these capabilities was offered");
    call->client->negotiated = true;
    return 0;
}

static int cmd_query_version(struct qmp_call *call)
{
    qmp_put_version(&call->out, NULL);
    return 0;
}

static int cmd_query_status(struct qmp_call *call)
{
    static const char *const names[] = {
        [QMP_PRELAUNCH] = "prelaunch", [QMP_RUNNING] = "running",   [QMP_PAUSED] = "paused",
        [QMP_IO_ERROR] = "io-error",   [QMP_SHUTDOWN] = "shutdown", [QMP_SUSPENDED] = "suspended",
        [QMP_INMIGRATE] = "inmigrate",
    };
    enum qmp_status status = call->qmp->config.ops->status(call->qmp->config.opaque);
    json_open(&call->out, NULL, '{');
    json_put_bool(&call->out, "running", status == QMP_RUNNING);
    json_put_bool(&call->out, "singlestep", false);
    json_put_string(&call->out, "status", names[status]);
    json_close(&call->out, '}');
    return 0;
}

static int cmd_query_chardev(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    const char *label, *filename;
    bool open;
    json_open(&call->out, NULL, '[');
    for (unsigned i = 0; config->ops->chr_info && config->ops->chr_info(config->opaque, i, &label, &filename, &open);
         i++) {
        json_open(&call->out, NULL, '{');
        json_put_bool(&call->out, "frontend-open", open);
        json_put_string(&call->out, "filename", filename);
        json_put_string(&call->out, "label", label);
        json_close(&call->out, '}');
    }
    json_close(&call->out, ']');
    return 0;
}

static int cmd_query_vnc(struct qmp_call *call)
{
    json_open(&call->out, NULL, '{');
    json_put_bool(&call->out, "enabled", false);
    json_close(&call->out, '}');
    return 0;
}

static int cmd_change_vnc_password(struct qmp_call *call)
{
    return qmp_fail(call, "there is no VNC server whose password could be changed");
}

/* Commands that are one operation. */
static int run_op(struct qmp_call *call, int (*op)(void *opaque, char error[CONFIG_ERROR_BYTES]))
{
    return op ? qmp_result(call, op(call->qmp->config.opaque, call->error)) : not_supported(call);
}

static int cmd_cont(struct qmp_call *call)
{
    return run_op(call, call->qmp->config.ops->cont);
}

static int cmd_stop(struct qmp_call *call)
{
    return run_op(call, call->qmp->config.ops->stop);
}

static int cmd_reset(struct qmp_call *call)
{
    return run_op(call, call->qmp->config.ops->reset);
}

static int cmd_powerdown(struct qmp_call *call)
{
    return run_op(call, call->qmp->config.ops->powerdown);
}

static int cmd_wakeup(struct qmp_call *call)
{
    return run_op(call, call->qmp->config.ops->wakeup);
}

static int cmd_quit(struct qmp_call *call)
{
    call->quit = true;
    return 0;
}

static int cmd_set_dirty_log(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    if (!config->ops->set_dirty_log)
        return not_supported(call);
    return qmp_result(call, config->ops->set_dirty_log(config->opaque, qmp_get_bool(call, "enable", false)));
}

static int cmd_save(struct qmp_call *call)
{
    return qmp_fail(call, "the state of the devices can't be saved or loaded yet");
}

static int cmd_human(struct qmp_call *call)
{
    json_put_string(&call->out, NULL, "thindm has no text monitor\r\n");
    return 0;
}

/* ---- CPUs ---- */

static bool cpu_online(const struct qmp_call *call, unsigned index)
{
    const struct qmp_config *config = &call->qmp->config;
    return config->ops->cpu_online && config->ops->cpu_online(config->opaque, index);
}

static void put_cpu_props(struct json_writer *w, unsigned index)
{
    json_open(w, "props", '{');
    json_put_int(w, "core-id", 0);
    json_put_int(w, "thread-id", 0);
    json_put_int(w, "socket-id", index);
    json_close(w, '}');
}

static void put_cpu_path(struct json_writer *w, const char *key, unsigned index)
{
    char path[48];
    snprintf(path, sizeof(path), "/machine/unattached/cpu[%u]", index);
    json_put_string(w, key, path);
}

static int cmd_query_cpus_fast(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    json_open(w, NULL, '[');
    for (unsigned i = 0; i < call->qmp->config.max_vcpus; i++) {
        if (!cpu_online(call, i))
            continue;
        json_open(w, NULL, '{');
        json_put_int(w, "thread-id", 0);
        put_cpu_props(w, i);
        put_cpu_path(w, "qom-path", i);
        json_put_int(w, "cpu-index", i);
        json_put_string(w, "target", "i386");
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

static int cmd_query_cpus(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    json_open(w, NULL, '[');
    for (unsigned i = 0; i < call->qmp->config.max_vcpus; i++) {
        if (!cpu_online(call, i))
            continue;
        json_open(w, NULL, '{');
        json_put_string(w, "arch", "x86");
        json_put_bool(w, "current", i == 0);
        put_cpu_path(w, "qom_path", i);
        json_put_bool(w, "halted", false);
        json_put_int(w, "CPU", i);
        json_put_int(w, "thread_id", 0);
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

static int cmd_query_hotpluggable_cpus(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    json_open(w, NULL, '[');
    for (unsigned i = 0; i < call->qmp->config.max_vcpus; i++) {
        json_open(w, NULL, '{');
        put_cpu_props(w, i);
        json_put_int(w, "vcpus-count", 1);
        if (cpu_online(call, i)) /* the path says that this one is plugged */
            put_cpu_path(w, "qom-path", i);
        json_put_string(w, "type", CPU_TYPE);
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

static int add_cpu(struct qmp_call *call, const char *arg)
{
    const struct qmp_config *config = &call->qmp->config;
    uint64_t index;
    if (!config->ops->cpu_add)
        return not_supported(call);
    int err = qmp_get_uint(call, arg, config->max_vcpus - 1, &index);
    if (err)
        return err;
    return qmp_result(call, config->ops->cpu_add(config->opaque, (unsigned)index, call->error));
}

static int cmd_cpu_add(struct qmp_call *call)
{
    return add_cpu(call, "id");
}

/* ---- Devices ---- */

static int cmd_device_add(struct qmp_call *call)
{
    static const char *const known[] = { "driver", "id", "socket-id", "core-id", "thread-id" };
    const struct json *json = &call->qmp->request;
    char driver[64];
    uint64_t zero;
    int err = qmp_get_string(call, "driver", driver, sizeof(driver));
    if (err)
        return err;
    if (strcmp(driver, CPU_TYPE))
        return qmp_fail(call, "'%s' is not a valid device model name", driver);
    for (int i = json_first(json, call->args); i >= 0; i = json_next(json, i)) {
        bool found = false;
        for (size_t n = 0; n < ARRAY_SIZE(known); n++)
            found = found || json_string_is(json, i, known[n]);
        if (!found)
            return qmp_fail(call, "a CPU has the properties socket-id, core-id and thread-id only");
    }
    if (qmp_has(call, "core-id") && qmp_get_uint(call, "core-id", 0, &zero))
        return -EINVAL;
    if (qmp_has(call, "thread-id") && qmp_get_uint(call, "thread-id", 0, &zero))
        return -EINVAL;
    return add_cpu(call, "socket-id");
}

static int cmd_device_del(struct qmp_call *call)
{
    char id[64];
    int err = qmp_get_string(call, "id", id, sizeof(id));
    return err ? err : qmp_fail_class(call, "DeviceNotFound", "Device '%s' not found", id);
}

/* No function can be plugged in or out, so nobody needs to find one; libxl reads only this shape. */
static int cmd_query_pci(struct qmp_call *call)
{
    json_open(&call->out, NULL, '[');
    json_open(&call->out, NULL, '{');
    json_put_int(&call->out, "bus", 0);
    json_open(&call->out, "devices", '[');
    json_close(&call->out, ']');
    json_close(&call->out, '}');
    json_close(&call->out, ']');
    return 0;
}

static int cmd_qom_list(struct qmp_call *call)
{
    json_open(&call->out, NULL, '[');
    json_close(&call->out, ']');
    return 0;
}

/* ---- Drives ---- */

static bool block_info(const struct qmp_call *call, unsigned i, struct qmp_block_info *info)
{
    const struct qmp_config *config = &call->qmp->config;
    *info = (struct qmp_block_info){ 0 };
    return config->ops->block_info && config->ops->block_info(config->opaque, i, info);
}

/* The path is what libxenstat compares; the rest is what virsh and the like show. */
static void put_medium(struct json_writer *w, const struct qmp_block_info *info)
{
    const char *format = info->format ? info->format : "raw";
    bool direct = info->cache == BLOCK_NONE || info->cache == BLOCK_DIRECTSYNC;
    bool writeback = info->cache != BLOCK_WRITETHROUGH && info->cache != BLOCK_DIRECTSYNC;
    json_open(w, "inserted", '{');
    json_put_string(w, "file", info->file);
    json_put_bool(w, "ro", info->read_only);
    json_put_string(w, "drv", format);
    json_open(w, "image", '{');
    json_put_string(w, "filename", info->file);
    json_put_string(w, "format", format);
    json_put_uint(w, "virtual-size", info->size_bytes);
    json_close(w, '}');
    json_open(w, "cache", '{');
    json_put_bool(w, "writeback", writeback);
    json_put_bool(w, "direct", direct);
    json_put_bool(w, "no-flush", info->cache == BLOCK_UNSAFE);
    json_close(w, '}');
    json_put_bool(w, "encrypted", false);
    json_put_int(w, "backing_file_depth", 0);
    json_put_string(w, "detect_zeroes", "off");
    json_put_int(w, "write_threshold", 0);
    /* Limits that are never set, but the schema wants them. */
    static const char *const limits[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        json_put_int(w, limits[i], 0);
    json_close(w, '}');
}

static int cmd_query_block(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    struct qmp_block_info info;
    json_open(w, NULL, '[');
    for (unsigned i = 0; block_info(call, i, &info); i++) {
        json_open(w, NULL, '{');
        json_put_string(w, "device", info.device);
        if (info.qdev && *info.qdev)
            json_put_string(w, "qdev", info.qdev);
        json_put_string(w, "type", "unknown");
        json_put_bool(w, "removable", info.removable);
        json_put_bool(w, "locked", info.locked);
        json_put_string(w, "io-status", info.io_error ? "failed" : "ok");
        if (info.removable && !info.no_tray)
            json_put_bool(w, "tray_open", info.tray_open);
        if (info.file)
            put_medium(w, &info);
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

static void put_stats(struct json_writer *w, const struct qmp_block_info *info)
{
    static const char *const kinds[] = {
        [BLOCK_READ] = "rd", [BLOCK_WRITE] = "wr", [BLOCK_FLUSH] = "flush", [BLOCK_DISCARD] = "unmap"
    };
    const struct block_stats *stats = &info->stats;
    for (unsigned kind = 0; kind < BLOCK_NR_OPS; kind++) {
        char key[40];
        snprintf(key, sizeof(key), "%s_operations", kinds[kind]);
        json_put_uint(w, key, stats->ops[kind]);
        snprintf(key, sizeof(key), "failed_%s_operations", kinds[kind]);
        json_put_uint(w, key, stats->errors[kind] - stats->rejected[kind]);
        snprintf(key, sizeof(key), "invalid_%s_operations", kinds[kind]);
        json_put_uint(w, key, stats->rejected[kind]);
        snprintf(key, sizeof(key), "%s_total_time_ns", kinds[kind]);
        json_put_uint(w, key, stats->ns[kind]);
        if (kind == BLOCK_FLUSH)
            continue;
        snprintf(key, sizeof(key), "%s_bytes", kinds[kind]);
        json_put_uint(w, key, stats->bytes[kind]);
        snprintf(key, sizeof(key), "%s_merged", kinds[kind]);
        json_put_uint(w, key, 0);
    }
    json_put_uint(w, "wr_highest_offset", stats->highest);
    if (stats->last_ns > 0)
        json_put_uint(w, "idle_time_ns", info->idle_ns);
    json_put_bool(w, "account_invalid", true);
    json_put_bool(w, "account_failed", true);
    json_open(w, "timed_stats", '[');
    json_close(w, ']');
}

static int cmd_query_blockstats(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    struct qmp_block_info info;
    json_open(w, NULL, '[');
    for (unsigned i = 0; block_info(call, i, &info); i++) {
        json_open(w, NULL, '{');
        json_put_string(w, "device", info.device);
        if (info.qdev && *info.qdev)
            json_put_string(w, "qdev", info.qdev);
        json_open(w, "stats", '{');
        put_stats(w, &info);
        json_close(w, '}');
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

/* libxl names a drive by id, xenopsd by device. */
static int get_drive(struct qmp_call *call, char *id, size_t size)
{
    bool by_id = qmp_has(call, "id");
    if (by_id == qmp_has(call, "device"))
        return qmp_fail(call, "exactly one of the arguments 'id' and 'device' is needed");
    int err = qmp_get_string(call, by_id ? "id" : "device", id, size);
    return err || *id ? err : qmp_fail_class(call, "DeviceNotFound", "Device '' not found");
}

static int cmd_eject(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    char id[64];
    int err = config->ops->eject ? get_drive(call, id, sizeof(id)) : not_supported(call);
    if (err)
        return err;
    return qmp_result(call, config->ops->eject(config->opaque, id, qmp_get_bool(call, "force", false), call->error));
}

/* A drive whose medium can be changed is a CD-ROM, so the modes that keep it read-only are all the same. */
static int check_mode(struct qmp_call *call)
{
    const struct json *json = &call->qmp->request;
    int mode = json_member(json, call->args, "read-only-mode");
    if (mode < 0 || json_string_is(json, mode, "retain") || json_string_is(json, mode, "read-only"))
        return 0;
    if (json_string_is(json, mode, "read-write"))
        return qmp_fail(call, "a CD can't be written");
    return qmp_fail(call, "argument 'read-only-mode' is not retain, read-only or read-write");
}

/* libxl says FORMAT:PATH of what it opened, and libxenstat looks for that PATH in query-block. */
static const char *path_of(const char *opaque, const char *filename)
{
    const char *colon = opaque ? strchr(opaque, ':') : NULL;
    return colon && colon[1] == '/' ? colon + 1 : filename;
}

static int cmd_change_medium(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    struct qmp_medium medium = { .force = qmp_get_bool(call, "force", false) };
    char id[64], filename[QMP_MAX_PATH], format[16];
    const char *opaque = NULL;
    int err = config->ops->change_medium ? get_drive(call, id, sizeof(id)) : not_supported(call);
    if (!err)
        err = check_mode(call);
    if (!err && qmp_has(call, "format")) {
        err = qmp_get_string(call, "format", format, sizeof(format));
        medium.format = format;
    }
    if (!err)
        err = qmp_get_string(call, "filename", filename, sizeof(filename));
    if (!err)
        err = qmp_open_fd(call, filename, &medium.fd, &opaque);
    if (err)
        return err;
    medium.path = medium.fd < 0 ? filename : path_of(opaque, filename);
    return qmp_result(call, config->ops->change_medium(config->opaque, id, &medium, call->error));
}

static int cmd_block_resize(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    char id[64];
    uint64_t bytes;
    int err = config->ops->block_resize ? get_drive(call, id, sizeof(id)) : not_supported(call);
    if (!err)
        err = qmp_get_uint(call, "size", INT64_MAX, &bytes);
    return err ? err : qmp_result(call, config->ops->block_resize(config->opaque, id, bytes, call->error));
}

static int cmd_flight_recorder(struct qmp_call *call)
{
    const struct qmp_config *config = &call->qmp->config;
    char filename[QMP_MAX_PATH];
    int fd = -1, err = 0;
    if (!config->ops->flight_recorder)
        err = qmp_fail(call, "there is no flight recorder");
    if (!err)
        err = qmp_get_string(call, "filename", filename, sizeof(filename));
    if (!err)
        err = qmp_open_fd(call, filename, &fd, NULL);
    return err ? err : qmp_result(call, config->ops->flight_recorder(config->opaque, fd, filename, call->error));
}

/* ---- What the monitor knows of itself ---- */

static int cmd_query_name(struct qmp_call *call)
{
    json_open(&call->out, NULL, '{');
    if (call->qmp->config.name)
        json_put_string(&call->out, "name", call->qmp->config.name);
    json_close(&call->out, '}');
    return 0;
}

static int cmd_query_kvm(struct qmp_call *call)
{
    json_open(&call->out, NULL, '{');
    json_put_bool(&call->out, "enabled", false);
    json_put_bool(&call->out, "present", false);
    json_close(&call->out, '}');
    return 0;
}

static void put_parameter(struct json_writer *w, const char *name)
{
    json_open(w, NULL, '{');
    json_put_string(w, "name", name);
    json_put_string(w, "type", "string");
    json_close(w, '}');
}

/* libxl's master branch asks this way whether it may pass -run-with. */
static int cmd_query_options(struct qmp_call *call)
{
    struct json_writer *w = &call->out;
    const struct json *json = &call->qmp->request;
    int option = call->args < 0 ? -1 : json_member(json, call->args, "option");
    if (option >= 0 && !json_string_is(json, option, "run-with"))
        return qmp_fail(call, "there is no description of this option");
    json_open(w, NULL, '[');
    json_open(w, NULL, '{');
    json_open(w, "parameters", '[');
    put_parameter(w, "chroot");
    put_parameter(w, "user");
    json_close(w, ']');
    json_put_string(w, "option", "run-with");
    json_close(w, '}');
    json_close(w, ']');
    return 0;
}

static int cmd_query_commands(struct qmp_call *call);

static const struct qmp_command commands[] = {
    { "qmp_capabilities", cmd_capabilities, { { "enable", QMP_ARRAY } } },
    { "query-version", cmd_query_version },
    { "query-commands", cmd_query_commands },
    { "query-command-line-options", cmd_query_options, { { "option", QMP_STRING } } },
    { "query-name", cmd_query_name },
    { "query-kvm", cmd_query_kvm },
    { "query-status", cmd_query_status },
    { "query-chardev", cmd_query_chardev },
    { "query-vnc", cmd_query_vnc },
    { "change-vnc-password", cmd_change_vnc_password, { { "password", QMP_STRING | QMP_NEEDED } } },
    { "cont", cmd_cont },
    { "stop", cmd_stop },
    { "quit", cmd_quit },
    { "system_reset", cmd_reset },
    { "system_powerdown", cmd_powerdown },
    { "system_wakeup", cmd_wakeup },
    { "query-cpus-fast", cmd_query_cpus_fast },
    { "query-cpus", cmd_query_cpus },
    { "query-hotpluggable-cpus", cmd_query_hotpluggable_cpus },
    { "cpu-add", cmd_cpu_add, { { "id", QMP_INT | QMP_NEEDED } } },
    { "device_add",
      cmd_device_add,
      { { "driver", QMP_STRING | QMP_NEEDED }, { "id", QMP_STRING } },
      .other_args = true },
    { "device_del", cmd_device_del, { { "id", QMP_STRING | QMP_NEEDED } } },
    { "query-pci", cmd_query_pci },
    { "qom-list", cmd_qom_list, { { "path", QMP_STRING | QMP_NEEDED } } },
    { "query-block", cmd_query_block },
    { "query-blockstats", cmd_query_blockstats, { { "query-nodes", QMP_BOOL } } },
    { "eject", cmd_eject, { { "id", QMP_STRING }, { "device", QMP_STRING }, { "force", QMP_BOOL } } },
    { "blockdev-change-medium",
      cmd_change_medium,
      { { "id", QMP_STRING },
        { "device", QMP_STRING },
        { "filename", QMP_STRING | QMP_NEEDED },
        { "format", QMP_STRING },
        { "force", QMP_BOOL },
        { "read-only-mode", QMP_STRING } } },
    { "block_resize",
      cmd_block_resize,
      { { "id", QMP_STRING }, { "device", QMP_STRING }, { "size", QMP_INT | QMP_NEEDED } } },
    { "add-fd", qmp_add_fd, { { "fdset-id", QMP_INT }, { "opaque", QMP_STRING } } },
    { "remove-fd", qmp_remove_fd, { { "fdset-id", QMP_INT | QMP_NEEDED }, { "fd", QMP_INT } } },
    { "query-fdsets", qmp_query_fdsets },
    { "human-monitor-command", cmd_human, { { "command-line", QMP_STRING | QMP_NEEDED }, { "cpu-index", QMP_INT } } },
    { "xen-set-global-dirty-log", cmd_set_dirty_log, { { "enable", QMP_BOOL | QMP_NEEDED } } },
    { "x-flight-recorder", cmd_flight_recorder, { { "filename", QMP_STRING | QMP_NEEDED } } },
    { "xen-save-devices-state", cmd_save, { { "filename", QMP_STRING | QMP_NEEDED }, { "live", QMP_BOOL } } },
    { "xen-load-devices-state", cmd_save, { { "filename", QMP_STRING | QMP_NEEDED } } },
};

static int cmd_query_commands(struct qmp_call *call)
{
    json_open(&call->out, NULL, '[');
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        json_open(&call->out, NULL, '{');
        json_put_string(&call->out, "name", commands[i].name);
        json_close(&call->out, '}');
    }
    json_close(&call->out, ']');
    return 0;
}

const struct qmp_command *qmp_find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}
