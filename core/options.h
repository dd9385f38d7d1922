/* What the files core/options*.c share: the state of one parse, comma lists, and the handlers of the table's rows. */
#ifndef THINDM_CORE_OPTIONS_H
#define THINDM_CORE_OPTIONS_H

#include <thindm/config.h>

enum { OPTIONS_MAX_ITEMS = 32, OPTIONS_MAX_DRIVES = 20, OPTIONS_ID_BYTES = 32, OPTIONS_UNIX_PATH = 107 };

/* -drive if=none: waits for the -device that uses it. */
struct options_drive {
    struct config_drive drive;
    bool used;
    bool cdrom; /* media=cdrom was said */
};

/* -device ide-*: waits for its -drive, which may come later. */
struct options_ide {
    bool cdrom, ahci;
    unsigned index; /* unit, or port */
    const char *drive; /* NULL: none */
    char id[OPTIONS_ID_BYTES];
};

/* -device nvme-ns, and the drive= of -device nvme. */
struct options_nvme {
    const char *model; /* what the -device says */
    unsigned number; /* of the namespace; 0: the first free one */
    const char *drive;
    char id[OPTIONS_ID_BYTES];
};

/* -device floppy: waits for its -drive. */
struct options_floppy {
    const char *drive; /* NULL: none */
    uint64_t unit;     /* CONFIG_MAX_FLOPPIES: the first free one */
    char id[OPTIONS_ID_BYTES];
};

struct options {
    struct config *config;
    char *error; /* CONFIG_ERROR_BYTES; the first failure stays */
    int err;
    char context[48];            /* what a failure is about: "-device VGA" */
    char *strings, *strings_end; /* free part of config->strings */
    /* References that are looked up when all of argv was read. */
    char monitor_ids[CONFIG_MAX_MONITORS][OPTIONS_ID_BYTES];
    unsigned nr_monitors;
    const char *serial_ids[CONFIG_MAX_SERIALS]; /* NULL: not a chardev: */
    struct options_drive drives[OPTIONS_MAX_DRIVES];
    unsigned nr_drives;
    struct options_ide ides[CONFIG_MAX_IDE + CONFIG_MAX_AHCI];
    unsigned nr_ides;
    const char *machine_type, *accel;
    bool platform, platform_given;
    unsigned vga_slot, xen_platform_slot;
    bool vga_slot_given, xen_platform_given;
    char ahci_id[OPTIONS_ID_BYTES]; /* "": none, or none was told */
    char nvme_id[OPTIONS_ID_BYTES];
    struct options_nvme nvmes[CONFIG_MAX_NVME];
    unsigned nr_nvmes;
    struct options_floppy floppies[CONFIG_MAX_FLOPPIES];
    unsigned nr_floppies;
};

struct option_row {
    const char *name; /* without the dash */
    const char *form; /* the value in words; NULL: takes none */
    void (*handle)(struct options *o, const struct option_row *row, const char *value);
    const char *help; /* for option_refuse(): the reason */
    size_t offset;    /* option_flag(), option_text(): the member of struct config */
};

/* One line "context: text" as the result, unless there is one already. */
void option_fail(struct options *o, const char *format, ...) PRINTF_LIKE(2, 3);
/* "context: why" for what has no row of its own. */
void option_context(struct options *o, const char *format, ...) PRINTF_LIKE(2, 3);
/* A copy of text that lives as long as the configuration. Never NULL: the room was counted from argv. */
char *option_copy(struct options *o, const char *text);
/* Digits, or 0x and hexadecimal digits, nothing else; false: not a number of 64 bits. */
bool option_number(const char *text, uint64_t *out);
/* Digits and one letter b k m g t of either case; without a letter the unit is unit bytes. */
bool option_size(const char *text, uint64_t unit, uint64_t *out);
/* Letter, then letters, digits and - . _ ; at most 31. Fails with a line if not. */
bool option_id(struct options *o, const char *text, char out[OPTIONS_ID_BYTES]);
/* Is text among the words of list, which are separated by '|'? */
bool option_word(const char *list, const char *text);

struct option_item {
    const char *key, *value; /* value NULL: a bare word */
    bool used;
};

/*
 * "a,b=c,d=e,,f": keys and values. A doubled comma is a comma of the value; of a repeated key the last one counts. Each
 * getter marks its key as known; option_list_end() refuses those that no getter asked for.
 */
struct option_list {
    struct options *o;
    struct option_item items[OPTIONS_MAX_ITEMS];
    unsigned nr;
};

/* implied: the key of a first item without '='; NULL: none. */
void option_list(struct option_list *l, struct options *o, const char *text, const char *implied);
/* NULL: not given. */
const char *option_list_text(struct option_list *l, const char *key);
/* on|off|yes|no|true|false, the bare word key, or the bare word no<key>. */
bool option_list_bool(struct option_list *l, const char *key, bool otherwise);
/* False: not given, or failed. */
bool option_list_number(struct option_list *l, const char *key, uint64_t min, uint64_t max, uint64_t *out);
/* Only these words, separated by '|', are supported; "*" takes anything. */
void option_list_only(struct option_list *l, const char *key, const char *words);
void option_list_end(struct option_list *l);

typedef void option_fn(struct options *o, const struct option_row *row, const char *value);

/* core/options.c */
option_fn option_flag, option_text, option_accept, option_refuse;
/* core/options-chr.c: -chardev, -mon, -qmp, -serial and what becomes of them at the end of argv. */
option_fn option_chardev, option_mon, option_qmp, option_qtest, option_serial, option_no_chr;
void option_finish_chrs(struct options *o);
/* core/options-device.c: -drive, -fda, -fdb, -device, -vga. */
option_fn option_drive, option_floppy, option_device, option_vga;
void option_finish_devices(struct options *o);
/* addr=S[.0], hexadecimal with or without 0x. False: failed. */
bool option_slot(struct options *o, const char *text, unsigned *slot);
/* The -drive if=none that a -device names, once; cdrom: the device is a CD-ROM drive. False: failed. */
bool option_take_drive(struct options *o, const char *id, bool cdrom, struct config_drive *d);
/* core/options-nvme.c: -device nvme and nvme-ns. first_slot: of those that nothing else has. */
void option_nvme(struct options *o, struct option_list *l);
void option_nvme_ns(struct options *o, struct option_list *l);
void option_finish_nvme(struct options *o, unsigned first_slot);
/* core/options-machine.c: -machine, -accel, -m, -smp, -boot and all the rest that takes more than one word. */
option_fn option_machine, option_accel, option_m, option_smp, option_boot, option_domid, option_name, option_run_with;
option_fn option_log_items, option_sandbox, option_trace, option_flight_recorder, option_display, option_vnc, option_net;
void option_finish_machine(struct options *o);

#endif
