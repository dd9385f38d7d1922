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
    CONFIG_MAX_CHRS = 24,
    CONFIG_MAX_MONITORS = 4,
    CONFIG_MAX_SERIALS = 4,
    CONFIG_MAX_IDE = 4,
    CONFIG_MAX_AHCI = 6,
    CONFIG_MAX_NVME = 8,
    CONFIG_MAX_FLOPPIES = 2,
    CONFIG_NVME_QUEUES = 64,
    CONFIG_MAX_VCPUS = 128,
    CONFIG_ERROR_BYTES = 256,
    CONFIG_MAX_DOMID = 32751, /* Xen keeps 0x7ff0 and above for itself */
};

#define THINDM_VERSION "0.1.0"
/* The QEMU release whose command line and monitor thindm speaks; toolstacks choose their commands by it. */
enum { CONFIG_QEMU_MAJOR = 7, CONFIG_QEMU_MINOR = 2, CONFIG_QEMU_MICRO = 22 };
/* Where RAM ends at most below 4 GiB; the rest of it starts at 4 GiB. */
#define CONFIG_MAX_BELOW_4G UINT64_C(0xf0000000)
/* The least that a flight recorder can work with. */
#define CONFIG_MIN_FLIGHT (8 * KIB)

/* The path of a disk of zeros, for tests. */
#define CONFIG_NULL_DISK "null-co://"

/*
 * XENFV has the Xen platform device in slot 2, PC_XEN only if a -device says so; NONE: only a monitor, no domain (libxl's option probe);
 * XENPV: only PV back ends, for a domain without emulated hardware.
 */
enum config_machine { MACHINE_XENFV, MACHINE_PC_XEN, MACHINE_NONE, MACHINE_XENPV };
enum config_vga { VGA_NONE, VGA_STD };

/* One IDE unit: index 0-3 is primary master, primary slave, secondary master, secondary slave. */
struct config_drive {
    bool present, cdrom, read_only, discard;
    const char *path;   /* NULL: empty drive (CD, floppy) */
    const char *format; /* NULL: raw */
    enum block_cache cache;
    enum block_action read_error, write_error;
    char id[32];      /* id= of the drive or "ide0-hd0": QMP's "device" */
    char qdev_id[32]; /* id= of the -device, or "": QMP's "id" */
};

struct config {
    /* -xen-domid; -1: none given. */
    int domid;
    enum config_machine machine;
    /*
     * No domain but a simulated one, which a qtest client drives over qtest_chr if qtest_served. platform: PIC, timers
     * and I/O APIC are the board's, as no hypervisor has them.
     */
    bool qtest, qtest_served, platform;
    struct chr_config qtest_chr;
    const char *qtest_log; /* NULL: stderr; "none": nowhere */
    /* no_shutdown: stay alive after the guest powered off. sandbox: -sandbox on. */
    bool start_stopped, xen_attach, no_acpi, no_shutdown, domid_restrict, sandbox, help, version;
    const char *name, *chroot_dir, *runas, *log_file, *pidfile, *keymap;
    enum log_level log_level;
    const char *trace_record;  /* NULL: no trace is recorded */
    uint64_t flight_bytes;     /* of the flight recorder; 0: off */
    const char *flight_file;   /* where it is written at a crash; NULL: nowhere */
    const char *firmware_dir;  /* -L: where the ROM files are; NULL: the built-in place */
    uint64_t ram_bytes;        /* -m */
    uint64_t max_ram_below_4g; /* at most CONFIG_MAX_BELOW_4G */
    unsigned vcpus, max_vcpus;
    char boot_order[4];                      /* up to three of the letters a c d n */
    struct chr_config chrs[CONFIG_MAX_CHRS]; /* monitors and channels */
    unsigned nr_chrs;
    unsigned monitors[CONFIG_MAX_MONITORS]; /* index into chrs */
    unsigned nr_monitors;
    struct chr_config serials[CONFIG_MAX_SERIALS]; /* a -chardev used by -serial is here, not in chrs */
    unsigned nr_serials;
    unsigned xen_platform_slot; /* of PC_XEN; 0: it has none */
    enum config_vga vga;
    uint64_t vga_bytes;      /* power of two, 1 to 512 MiB */
    const char *vga_romfile; /* NULL: the default file; "": no ROM */
    struct config_drive ide[CONFIG_MAX_IDE];
    bool ahci; /* there is the controller, with these on its ports */
    struct config_drive ahci_ports[CONFIG_MAX_AHCI];
    bool nvme; /* there is the controller, with these as its namespaces 1 and up */
    struct config_drive nvme_disks[CONFIG_MAX_NVME];
    const char *nvme_serial;
    unsigned nvme_queues; /* I/O queue pairs, 1 to CONFIG_NVME_QUEUES */
    unsigned nvme_slot;   /* 0: the first free one */
    struct config_drive floppies[CONFIG_MAX_FLOPPIES]; /* A, B */
    /* Memory for strings the parser made (comma lists); freed by config_free(). */
    char *strings;
};

/* Defaults of an empty command line. */
void config_init(struct config *config);
/* Releases what options_parse() allocated; harmless when repeated. */
void config_free(struct config *config);
/* Options that contradict or need each other. 0, or -EINVAL with one line in error. Only after options_parse() gave 0
 * and neither help nor version is set. */
int config_check(const struct config *config, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;

/*
 * argv[1..argc) into config, which comes from config_init(); argv must outlive it. Ends early at -help and -version.
 * 0, or -EINVAL (-ENOMEM) with one line in error that names the argument and what is wrong ("-device e1000: network
 * cards are not emulated yet"). Call config_free() in any case. Source: the options libxl and xenopsd pass to
 * qemu-system-i386.
 */
int options_parse(struct config *config, int argc, char *const argv[], char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/*
 * A channel in the short form of -serial, or pipe:PATH, into out, but for its label. strings: strlen(text) + 1 bytes,
 * which like text must outlive out. 0, or -EINVAL with one line in error.
 */
int options_chr(const char *text, char *strings, struct chr_config *out, char error[CONFIG_ERROR_BYTES]) WARN_UNUSED;
/* --help: one line per row of the option table. */
void options_help(void (*line)(void *opaque, const char *text), void *opaque);
/* -version: one line, "QEMU emulator version 7.2.22 (thindm 0.1.0)"; xenopsd reads the number. A constant. */
const char *options_version(void);

#endif
