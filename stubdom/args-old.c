/* Old words to new ones: see args-old.h. */
#include "args-old.h"
#include "disks.h"
#include "kernel/store.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 1024, FIRST_SERIAL_CONSOLE = 3, DEFAULT_VIDEO_MIB = 8 };

struct old {
    struct args *args;
    unsigned target, serials, vcpus, vcpus_online;
    uint64_t video_mib;
    const char *vga;
    bool acpi;
};

static int add_option(struct old *o, const char *name, const char *value)
{
    int err = args_add(o->args, name);
    return err || !value ? err : args_add(o->args, value);
}

static int old_rename(struct old *o, const char *name, const char *value)
{
    return add_option(o, name, value);
}

static int old_drop(struct old *o, const char *name, const char *value)
{
    return 0;
}

/* Wherever the toolstack wants it to go, from here it goes through a console. */
static int old_serial(struct old *o, const char *name, const char *value)
{
    char path[32];
    if (!strcmp(value, "none"))
        return add_option(o, name, value);
    snprintf(path, sizeof(path), "/dev/hvc%u", FIRST_SERIAL_CONSOLE + o->serials++);
    return add_option(o, name, path);
}

static int old_video(struct old *o, const char *name, const char *value)
{
    return store_number(value, &o->video_mib);
}

static int old_std_vga(struct old *o, const char *name, const char *value)
{
    o->vga = "std";
    return 0;
}

static int old_vga(struct old *o, const char *name, const char *value)
{
    o->vga = !strcmp(value, "none") ? "none" : o->vga;
    return 0;
}

static int old_acpi(struct old *o, const char *name, const char *value)
{
    o->acpi = true;
    return 0;
}

static int old_vcpus(struct old *o, const char *name, const char *value)
{
    uint64_t nr;
    int err = store_number(value, &nr);
    o->vcpus = nr < CONFIG_MAX_VCPUS ? (unsigned)nr : CONFIG_MAX_VCPUS;
    return err;
}

/* A mask in hexadecimal, of any length. */
static int old_online(struct old *o, const char *name, const char *value)
{
    o->vcpus_online = 0;
    for (const char *digit = value + (strncmp(value, "0x", 2) ? 0 : 2); *digit; digit++) {
        const char text[2] = { *digit, '\0' };
        char *end;
        unsigned long bits = strtoul(text, &end, 16);
        if (*end)
            return -EINVAL;
        for (; bits; bits &= bits - 1)
            o->vcpus_online++;
    }
    return 0;
}

static const struct old_row {
    const char *name, *as;
    bool value;
    int (*handle)(struct old *o, const char *name, const char *value);
} rows[] = {
    { "-d", "-xen-domid", true, old_rename },
    { "-domain-name", "-name", true, old_rename },
    { "-serial", "-serial", true, old_serial },
    { "-videoram", NULL, true, old_video },
    { "-std-vga", NULL, false, old_std_vga },
    { "-vga", NULL, true, old_vga },
    { "-acpi", NULL, false, old_acpi },
    { "-vcpus", NULL, true, old_vcpus },
    { "-vcpu_avail", NULL, true, old_online },
    /* The display is not ours. */
    { "-vnc", NULL, true, old_drop },
    { "-vncunused", NULL, false, old_drop },
    { "-nographic", NULL, false, old_drop },
    { "-sdl", NULL, false, old_drop },
    { "-disable-opengl", NULL, false, old_drop },
};

static const struct old_row *find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

/* The next word, or "" at the end. */
static int next_word(const char **words, char word[WORD_BYTES])
{
    *words += strspn(*words, " ");
    size_t len = strcspn(*words, " ");
    if (len >= WORD_BYTES)
        return -E2BIG;
    memcpy(word, *words, len);
    word[len] = '\0';
    *words += len;
    return 0;
}

static int convert_words(struct old *o, const char *words)
{
    char name[WORD_BYTES], value[WORD_BYTES] = "";
    for (int err; (err = next_word(&words, name)) || *name;) {
        const struct old_row *row = err ? NULL : find_row(name);
        if (!err && row && row->value)
            err = next_word(&words, value);
        if (!err)
            err = row ? row->handle(o, row->as, row->value ? value : NULL) : args_add(o->args, name);
        if (err)
            return err;
    }
    return 0;
}

/* What the guest has at most, without its video memory. */
static int add_memory(struct old *o)
{
    char path[STORE_PATH_BYTES], text[32];
    uint64_t kib;
    snprintf(path, sizeof(path), "/local/domain/%u/memory/static-max", o->target);
    int err = store_read_u64(path, &kib);
    if (err)
        return err;
    if (kib / KIB <= o->video_mib)
        return -EINVAL;
    snprintf(text, sizeof(text), "%" PRIu64, kib / KIB - o->video_mib);
    return add_option(o, "-m", text);
}

static int add_board(struct old *o)
{
    char text[64];
    int err = add_memory(o);
    if (!err && !strcmp(o->vga, "std")) {
        snprintf(text, sizeof(text), "VGA,vgamem_mb=%" PRIu64, o->video_mib);
        err = add_option(o, "-device", text);
    } else if (!err) {
        err = add_option(o, "-vga", o->vga);
    }
    snprintf(text, sizeof(text), "%u,maxcpus=%u", o->vcpus_online < o->vcpus ? o->vcpus_online : o->vcpus, o->vcpus);
    if (!err)
        err = add_option(o, "-smp", text);
    return err || o->acpi ? err : add_option(o, "-no-acpi", NULL);
}

/* What was given to us of the four IDE units. */
static int add_disks(struct old *o)
{
    char dir[DISK_DIR_BYTES], path[STORE_PATH_BYTES], type[16], text[128];
    for (unsigned i = 0; i < CONFIG_MAX_IDE; i++) {
        int err = disk_dir(i, dir);
        if (err == -ENOENT)
            continue;
        if (err)
            return err;
        snprintf(path, sizeof(path), "%s/device-type", dir);
        bool cdrom = store_read(path, type, sizeof(type)) > 0 && !strcmp(type, "cdrom");
        snprintf(text, sizeof(text), "file=/dev/xvd%c,if=ide,index=%u,media=%s,format=host_device", 'a' + (int)i, i,
                 cdrom ? "cdrom" : "disk");
        err = add_option(o, "-drive", text);
        if (err)
            return err;
    }
    return 0;
}

int args_old_convert(struct args *args, unsigned target, const char *words)
{
    struct old o = {
        .args = args, .target = target, .vcpus = 1, .vcpus_online = 1, .video_mib = DEFAULT_VIDEO_MIB, .vga = "cirrus"
    };
    int err = convert_words(&o, words);
    if (!err)
        err = add_board(&o);
    return err ? err : add_disks(&o);
}
