/*
 * The command line: QEMU's, as far as libxl, xenopsd and people use it for Xen HVM guests. One row per option; an
 * option that thindm can't honour is refused by name, because a guest that lacks a device silently is worse than none.
 * Source: the arguments of Xen 4.17 to master (libxl_dm.c) and of xenopsd's qemu-wrapper.
 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG(member) .handle = option_flag, .offset = offsetof(struct config, member)
#define TEXT(member) .handle = option_text, .offset = offsetof(struct config, member)

static const struct option_row rows[] = {
    { "xen-domid", "N", option_domid, "the domain to serve" },
    { "name", "NAME", option_name, "the guest's name, for titles and log lines" },
    { "machine", "xenfv|pc|xenpv|none[,accel=xen|qtest][,max-ram-below-4g=SIZE][,acpi=on|off][,platform=on|off]",
      option_machine, "the board; xenpv: only PV back ends; none: only monitors" },
    { "M", "TYPE[,...]", option_machine, "the same as -machine" },
    { "accel", "xen|qtest", option_accel, "the same as -machine accel=" },
    { "m", "[size=]N[b|k|m|g|t]", option_m, "RAM of the guest; without a letter in MiB" },
    { "smp", "[cpus=]N[,maxcpus=M]", option_smp, "CPUs at the start and at most" },
    { "boot", "[order=]LETTERS", option_boot, "up to three of a (floppy), c (disk), d (CD), n (network)" },
    { "no-acpi", NULL, FLAG(no_acpi), .help = "no power management function" },
    { "drive", "file=P,if=ide|floppy,index=N[,media=disk|cdrom] or if=none,id=ID[,file=P]; format= cache= readonly= discard=",
      option_drive, "a disk, CD or floppy image, or block device" },
    { "fda", "FILE", option_floppy, "floppy A, the same as -drive if=floppy,index=0,file=FILE" },
    { "fdb", "FILE", option_floppy, "floppy B" },
    { "device", "MODEL[,id=ID][,...]", option_device, "VGA; ahci; nvme, nvme-ns; ide-hd, ide-cd with drive=ID,bus=ide.B,unit=U; floppy; xen-platform" },
    { "vga", "none|std", option_vga, "std is -device VGA" },
    { "display", "none", option_display, "there is no local display" },
    { "vnc", "none", option_vnc, "there is no remote display" },
    { "nographic", NULL, option_accept, "accepted; it is always so" },
    { "k", "MAP", TEXT(keymap), .help = "keyboard layout of the remote display" },
    { "serial", "pty|stdio|null|none|file:P|/dev/P|unix:P[,server=on]|tcp:HOST:PORT[,server=on]|chardev:ID",
      option_serial, "the next of COM1 to COM4" },
    { "chardev", "null|stdio|pty|file|socket,id=ID[,path=P|fd=N|host=H,port=N][,server=on][,wait=off]", option_chardev,
      "a character channel for -mon and -serial" },
    { "mon", "[chardev=]ID,mode=control", option_mon, "a QMP monitor on a -chardev" },
    { "qmp", "unix:P|tcp:HOST:PORT|...[,server=on][,wait=off]", option_qmp, "a QMP monitor, as -serial names it" },
    { "qtest", "unix:P|stdio|tcp:HOST:PORT", option_qtest, "no domain: a qtest client there drives a simulated one" },
    { "qtest-log", "FILE|none", TEXT(qtest_log), .help = "what the qtest client says, instead of on stderr" },
    { "monitor", "none", option_no_chr, "there is no text monitor" },
    { "parallel", "none", option_no_chr, "there are no parallel ports" },
    { "net", "none", option_net, "no network card" },
    { "nic", "none", option_net, "no network card" },
    { "S", NULL, FLAG(start_stopped), .help = "wait for QMP cont before the guest runs" },
    { "no-shutdown", NULL, FLAG(no_shutdown), .help = "stay after the guest powered off, until a signal or QMP quit" },
    { "xen-attach", NULL, FLAG(xen_attach), .help = "the domain is built already; with -machine xenpv" },
    { "xen-domid-restrict", NULL, FLAG(domid_restrict), .help = "give up all rights over other domains" },
    { "chroot", "DIR", TEXT(chroot_dir), .help = "change the root directory before the guest runs" },
    { "runas", "USER|UID:GID", TEXT(runas), .help = "change the user before the guest runs" },
    { "run-with", "[chroot=DIR][,user=USER|UID:GID]", option_run_with, "the same as -chroot and -runas" },
    { "sandbox", "on|off[,...]", option_sandbox, "allow only the system calls that are needed" },
    { "pidfile", "FILE", TEXT(pidfile), .help = "write the process id there" },
    { "D", "FILE", TEXT(log_file), .help = "log there instead of stderr" },
    { "d", "ITEM[,ITEM...]", option_log_items, "error, warn, info, debug, or QEMU's guest_errors, unimp, trace:..." },
    { "trace", "[enable=]PATTERN[,file=F][,events=F]", option_trace, "accepted without effect" },
    { "trace-record", "FILE", TEXT(trace_record), .help = "record all that the device model does, for thindm replay" },
    { "flight-recorder", "off|SIZE[,file=FILE]", option_flight_recorder,
      "keep what was done last in so much memory; written to FILE at a crash" },
    { "L", "DIR", TEXT(firmware_dir), .help = "where the ROM files are" },
    { "nodefaults", NULL, option_accept, "accepted; there are no default devices" },
    { "no-user-config", NULL, option_accept, "accepted; no configuration file is read" },
    { "version", NULL, FLAG(version), .help = "print the version and end" },
    { "help", NULL, FLAG(help), .help = "print these lines and end" },
    { "h", NULL, FLAG(help), .help = "the same as -help" },

    { "netdev", "...", option_refuse, "network cards are not emulated yet" },
    { "usb", NULL, option_refuse, "USB is not emulated yet" },
    { "usbdevice", "DEVICE", option_refuse, "USB is not emulated yet" },
    { "kernel", "FILE", option_refuse, "direct kernel boot is not there yet" },
    { "initrd", "FILE", option_refuse, "direct kernel boot is not there yet" },
    { "append", "TEXT", option_refuse, "direct kernel boot is not there yet" },
    { "incoming", "fd:N", option_refuse, "saved guests can't be restored yet" },
    { "loadvm", "TAG", option_refuse, "saved guests can't be restored yet" },
    { "global", "DRIVER.PROPERTY=VALUE", option_refuse, "properties of devices can't be changed yet" },
    { "debugcon", "CHARDEV", option_refuse, "the debug console is not there yet" },
    { "vnc-clipboard-socket-fd", "N", option_refuse, "there is no remote display yet" },
    { "tpmdev", "...", option_refuse, "TPMs are not emulated" },
    { "sdl", NULL, option_refuse, "there is no local display" },
    { "spice", "...", option_refuse, "SPICE is not supported" },
    { "soundhw", "MODEL", option_refuse, "sound is not emulated yet" },
    { "audiodev", "...", option_refuse, "sound is not emulated yet" },
    { "qmp-pretty", "CHARDEV", option_refuse, "monitor replies are one line each; use -qmp" },
    { "object", "...", option_refuse, "there are no objects" },
    { "readconfig", "FILE", option_refuse, "no configuration file is read" },
    { "daemonize", NULL, option_refuse, "thindm stays in the foreground" },
    { "enable-kvm", NULL, option_refuse, "thindm serves Xen guests only" },
};

void option_flag(struct options *o, const struct option_row *row, const char *value)
{
    *(bool *)((char *)o->config + row->offset) = true;
}

void option_text(struct options *o, const struct option_row *row, const char *value)
{
    if (!*value)
        option_fail(o, "empty value");
    *(const char **)((char *)o->config + row->offset) = value;
}

void option_accept(struct options *o, const struct option_row *row, const char *value)
{
}

void option_refuse(struct options *o, const struct option_row *row, const char *value)
{
    option_fail(o, "%s", row->help);
}

static const struct option_row *find_row(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

/* Returns how many elements of argv it took. */
static int parse_one(struct options *o, int left, char *const argv[])
{
    const char *name = argv[0];
    option_context(o, "%.40s", name);
    if (*name != '-' || !name[1]) {
        option_fail(o, "not an option; disks are given by -drive");
        return 1;
    }
    name += name[1] == '-' ? 2 : 1;
    const struct option_row *row = find_row(name);
    if (!row) {
        option_fail(o, "unknown option");
        return 1;
    }
    option_context(o, "-%s", name);
    if (row->form && row->handle != option_refuse && left < 2) {
        option_fail(o, "value missing");
        return 1;
    }
    row->handle(o, row, row->form && left > 1 ? argv[1] : "");
    return row->form ? 2 : 1;
}

int options_parse(struct config *config, int argc, char *const argv[], char error[CONFIG_ERROR_BYTES])
{
    /* Every value is copied at most once, so their sum bounds what the copies take. */
    size_t size = 1;
    for (int i = 1; i < argc; i++)
        size += strlen(argv[i]) + 1;
    config->strings = malloc(size);
    if (!config->strings) {
        snprintf(error, CONFIG_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    struct options o = {
        .config = config,
        .error = error,
        .strings = config->strings,
        .strings_end = config->strings + size,
    };
    for (int i = 1; i < argc && !o.err && !config->help && !config->version;)
        i += parse_one(&o, argc - i, argv + i);
    if (o.err || config->help || config->version)
        return o.err;
    option_finish_machine(&o);
    option_finish_chrs(&o);
    option_finish_devices(&o);
    return o.err;
}

void options_help(void (*line)(void *opaque, const char *text), void *opaque)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), "-%s%s%s: %s%s", rows[i].name, rows[i].form ? " " : "",
                 rows[i].form ? rows[i].form : "", rows[i].handle == option_refuse ? "refused: " : "", rows[i].help);
        line(opaque, text);
    }
}

static_assert(CONFIG_QEMU_MAJOR == 7 && CONFIG_QEMU_MINOR == 2 && CONFIG_QEMU_MICRO == 22, "the text below");

const char *options_version(void)
{
    return "QEMU emulator version 7.2.22 (thindm " THINDM_VERSION ")";
}
