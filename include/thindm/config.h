/*
 * The configuration of one device model: what core/options.c makes of the command line and core/config.c checks.
 * Strings point into argv or into memory that lives as long as the configuration.
 */
#ifndef THINDM_CONFIG_H
#define THINDM_CONFIG_H

#include <thindm/block.h>
#include <thindm/host.h>
#include <thindm/log.h>

enum {
    CONFIG_MAX_CHRS = 24, CONFIG_MAX_MONITORS = 4, CONFIG_MAX_SERIALS = 4, CONFIG_MAX_IDE = 4, CONFIG_MAX_VCPUS = 128,
    CONFIG_ERROR_BYTES = 256,
};

enum config_machine { MACHINE_XENFV, MACHINE_PC_XEN, MACHINE_NONE };
enum config_vga { VGA_NONE, VGA_STD };

/* One IDE unit: index 0-3 is primary master, primary slave, secondary master, secondary slave. */
struct config_drive {
    bool present, cdrom, read_only, discard;
    const char *path; /* NULL: empty drive */
    enum block_cache cache;
    char id[32]; /* id= of the drive or "ide0-hd0" */
};

struct config {
    /* -xen-domid; -1: none given. */
    int domid;
    enum config_machine machine;
    bool start_stopped, no_acpi, domid_restrict, help, version;
    const char *name, *chroot_dir, *runas, *log_file;
    enum log_level log_level;
    const char *firmware_dir; /* -L: where the ROM files are */
    uint64_t ram_bytes;       /* -m */
    uint64_t max_ram_below_4g;
    unsigned vcpus, max_vcpus;
    char boot_order[4]; /* letters a c d n */
    struct chr_config chrs[CONFIG_MAX_CHRS];
    unsigned nr_chrs;
    unsigned monitors[CONFIG_MAX_MONITORS]; /* index into chrs */
    unsigned nr_monitors;
    struct chr_config serials[CONFIG_MAX_SERIALS];
    unsigned nr_serials;
    enum config_vga vga;
    uint64_t vga_bytes;
    const char *vga_romfile; /* NULL: the default file; "": no ROM */
    struct config_drive ide[CONFIG_MAX_IDE];
    /* Memory for strings the parser made (comma lists); freed by config_free(). */
    char *strings;
};

/* Defaults of an empty command line. */
void config_init(struct config *config);
void config_free(struct config *config);
/* Options that contradict or need each other. 0, or -EINVAL with one line in error. */
int config_check(const struct config *config, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/*
 * argv[1..argc) into config. 0, or -EINVAL with one line in error that names the argument and what is wrong ("-device e1000: thindm has no
 * network cards yet"). Source: the options libxl and xenopsd pass to qemu-system-i386.
 */
int options_parse(struct config *config, int argc, char *const argv[], char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* --help: one line per row of the option table. */
void options_help(void (*line)(void *opaque, const char *text), void *opaque);

#endif
