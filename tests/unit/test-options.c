/* The command line: what toolstacks pass is taken as meant, everything else is refused by one line. */
#include "options-bench.h"

#define NO_SCSI "there is no SCSI host adapter; use IDE (vdev=hda), AHCI (hdtype=\"ahci\"), NVMe or PV disks (vdev=xvda)"

/* libxl 4.17, without the parts that are refused. */
static void recorded_line_of_libxl(void **state)
{
    struct line l;
    good(&l, "-xen-domid 1 -no-shutdown "
             "-chardev socket,id=libxl-cmd,path=/var/run/xen/qmp-libxl-1,server=on,wait=off -mon "
             "chardev=libxl-cmd,mode=control "
             "-chardev socket,id=libxenstat-cmd,path=/var/run/xen/qmp-libxenstat-1,server=on,wait=off "
             "-mon chardev=libxenstat-cmd,mode=control "
             "-chardev pty,id=libxl-channel0 -chardev socket,id=libxl-channel1,path=/run/ch1.sock,server=on,wait=off "
             "-nodefaults -no-user-config -name vm1 -vnc none -display none -serial pty "
             "-device VGA,vgamem_mb=16 -boot order=cda -smp 1,maxcpus=2 -net none "
             "-machine xenfv,suppress-vmdesc=on -m 80 "
             "-drive file=/srv/vm1.img,if=ide,index=0,media=disk,format=raw,cache=writeback "
             "-drive if=none,readonly=on,id=ide-5632,file=/srv/a.iso,format=raw "
             "-device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0");
    const struct config *c = &l.config;
    assert_int_equal(c->domid, 1);
    assert_true(c->no_shutdown);
    assert_false(c->start_stopped);
    assert_int_equal(c->machine, MACHINE_XENFV);
    assert_string_equal(c->name, "vm1");
    assert_int_equal(c->ram_bytes, 80 * MIB);
    assert_int_equal(c->max_ram_below_4g, UINT64_C(0xf0000000));
    assert_int_equal(c->vcpus, 1);
    assert_int_equal(c->max_vcpus, 2);
    assert_string_equal(c->boot_order, "cda");
    assert_int_equal(c->vga, VGA_STD);
    assert_int_equal(c->vga_bytes, 16 * MIB);
    assert_null(c->vga_romfile);
    assert_int_equal(c->nr_chrs, 4);
    assert_int_equal(c->nr_monitors, 2);
    assert_int_equal(c->monitors[1], 1);
    assert_string_equal(c->chrs[0].label, "libxl-cmd");
    assert_int_equal(c->chrs[0].kind, CHR_SOCKET);
    assert_string_equal(c->chrs[0].path, "/var/run/xen/qmp-libxl-1");
    assert_int_equal(c->chrs[0].fd, -1);
    assert_true(c->chrs[0].server);
    assert_false(c->chrs[0].wait);
    assert_int_equal(c->chrs[2].kind, CHR_PTY);
    assert_int_equal(c->nr_serials, 1);
    assert_string_equal(c->serials[0].label, "serial0");
    assert_int_equal(c->serials[0].kind, CHR_PTY);
    assert_true(c->ide[0].present);
    assert_false(c->ide[0].cdrom);
    assert_string_equal(c->ide[0].path, "/srv/vm1.img");
    assert_string_equal(c->ide[0].id, "ide0-hd0");
    assert_false(c->ide[1].present);
    assert_true(c->ide[2].cdrom);
    assert_true(c->ide[2].read_only);
    assert_string_equal(c->ide[2].id, "ide-5632");
    assert_string_equal(c->ide[2].qdev_id, "ide-5632");
    assert_false(c->ide[3].present);
    assert_int_equal(config_check(c, l.error), 0);
    config_free(&l.config);
}

static void restricted_start(void **state)
{
    struct line l;
    good(&l,
         "-xen-domid 7 -no-shutdown -chardev socket,id=libxl-cmd,fd=14,server=on,wait=off -S "
         "-mon chardev=libxl-cmd,mode=control -xen-domid-restrict -chroot /var/run/xen/qemu-root-7 -runas 60007:60000");
    assert_true(l.config.start_stopped);
    assert_true(l.config.domid_restrict);
    assert_string_equal(l.config.chroot_dir, "/var/run/xen/qemu-root-7");
    assert_string_equal(l.config.runas, "60007:60000");
    assert_int_equal(l.config.chrs[0].fd, 14);
    assert_null(l.config.chrs[0].path);
    config_free(&l.config);
    good(&l, "-run-with chroot=/a -run-with user=u -run-with chroot=/b");
    assert_string_equal(l.config.chroot_dir, "/b");
    assert_string_equal(l.config.runas, "u");
    config_free(&l.config);
}

/* What the client library of QEMU's device tests passes, and what bug reports say. */
static void test_clients(void **state)
{
    struct line l;
    good(&l, "-qtest unix:/tmp/qtest-1.sock -qtest-log /dev/null -chardev socket,path=/tmp/qtest-1.qmp,id=char0 "
             "-mon chardev=char0,mode=control -display none -net none -accel qtest");
    assert_true(l.config.qtest && l.config.qtest_served && l.config.platform);
    assert_int_equal(l.config.machine, MACHINE_PC_XEN);
    assert_int_equal(l.config.qtest_chr.kind, CHR_SOCKET);
    assert_string_equal(l.config.qtest_chr.path, "/tmp/qtest-1.sock");
    assert_string_equal(l.config.qtest_chr.label, "qtest");
    assert_false(l.config.qtest_chr.server);
    assert_string_equal(l.config.qtest_log, "/dev/null");
    assert_false(l.config.chrs[0].server);
    assert_int_equal(config_check(&l.config, l.error), 0);
    config_free(&l.config);
    good(&l, "-machine accel=qtest, -m 512M -nodefaults -drive file=null-co://,if=ide -qtest stdio");
    assert_int_equal(l.config.qtest_chr.kind, CHR_STDIO);
    assert_string_equal(l.config.ide[0].path, "null-co://");
    assert_int_equal(config_check(&l.config, l.error), 0);
    config_free(&l.config);
    good(&l, "-M xenfv,accel=qtest -accel qtest");
    assert_true(l.config.qtest && !l.config.qtest_served && !l.config.platform);
    config_free(&l.config);
    good(&l, "-M xenfv,platform=on -qtest stdio");
    assert_true(l.config.qtest && l.config.platform);
    config_free(&l.config);
    good(&l, "-M pc,platform=off -qtest stdio");
    assert_true(l.config.qtest && !l.config.platform);
    config_free(&l.config);
    good(&l, "-M none -accel qtest -qtest unix:/q");
    assert_int_equal(config_check(&l.config, l.error), 0);
    config_free(&l.config);
    refused("-machine pc,accel=xen -qtest stdio", "-machine pc: accel=xen has no use for -qtest");
    refused("-qtest telnet:x", "-qtest telnet: telnet is not supported");
}

/* What libxl starts for a PV or PVH guest with a disk for it. */
static void back_ends_of_a_pv_guest(void **state)
{
    struct line l;
    good(&l, "-xen-domid 3 -no-shutdown -chardev socket,id=libxl-cmd,path=/q,server=on,wait=off "
             "-mon chardev=libxl-cmd,mode=control -nodefaults -no-user-config -xen-attach -name pvh -vnc none "
             "-display none -nographic -machine xenpv -m 128");
    assert_int_equal(l.config.machine, MACHINE_XENPV);
    assert_true(l.config.xen_attach);
    assert_int_equal(config_check(&l.config, l.error), 0);
    config_free(&l.config);
}

static void probe_of_master(void **state)
{
    struct line l;
    good(&l, "-S -no-user-config -nodefaults -nographic -machine none,accel=xen "
             "-chardev socket,id=libxl-cmd,fd=9,server=on,wait=off -mon chardev=libxl-cmd,mode=control");
    assert_int_equal(l.config.machine, MACHINE_NONE);
    assert_int_equal(l.config.domid, -1);
    assert_int_equal(config_check(&l.config, l.error), 0);
    config_free(&l.config);
}

static void stubdom_line(void **state)
{
    struct line l;
    good(&l, "-xen-domid 1 -no-shutdown -nodefaults -no-user-config -name vm1 -display none -serial /dev/hvc3 "
             "-device VGA,vgamem_mb=16 -boot order=c -net none -machine xenfv,suppress-vmdesc=on -m 48 "
             "-drive file=/dev/xvda,if=ide,index=0,media=disk,format=host_device,cache=writeback");
    assert_int_equal(l.config.serials[0].kind, CHR_FILE);
    assert_string_equal(l.config.serials[0].path, "/dev/hvc3");
    assert_string_equal(l.config.ide[0].path, "/dev/xvda");
    config_free(&l.config);
}

/* What xenopsd passes and does not depend on devices that are missing. */
static void xenopsd_line(void **state)
{
    struct line l;
    good(&l,
         "-xen-domid 3 -machine pc-i440fx-2.10,accel=xen,max-ram-below-4g=3758096384,allow-unassigned=true,"
         "trad_compat=off,suppress-vmdesc=on -m size=512 -smp 2,maxcpus=4 -S -display none -nodefaults -parallel null "
         "-trace enable=xen_platform_log -sandbox on,obsolete=deny,elevateprivileges=allow,spawn=deny,"
         "resourcecontrol=deny -pidfile /run/p -boot order=dc -qmp unix:/r/qmp-libxl-3,server,nowait "
         "-qmp unix:/r/qmp-event-3,server,nowait -device VGA,vgamem_mb=9,addr=2,romfile=,rombar=1 "
         "-device xen-platform,addr=3 "
         "-drive file=/d,if=none,id=ide0-hd1,auto-read-only=off,format=raw -device "
         "ide-hd,drive=ide0-hd1,bus=ide.0,unit=1 "
         "-drive if=none,id=ide1-cd1,read-only=on -device ide-cd,drive=ide1-cd1,bus=ide.1,unit=1");
    const struct config *c = &l.config;
    assert_int_equal(c->machine, MACHINE_PC_XEN);
    assert_int_equal(c->max_ram_below_4g, 3758096384);
    assert_int_equal(c->ram_bytes, 512 * MIB);
    assert_true(c->sandbox);
    assert_string_equal(c->pidfile, "/run/p");
    assert_int_equal(c->nr_monitors, 2);
    assert_string_equal(c->chrs[c->monitors[1]].label, "compat_monitor1");
    assert_string_equal(c->chrs[c->monitors[1]].path, "/r/qmp-event-3");
    assert_true(c->chrs[1].server);
    assert_false(c->chrs[1].wait);
    assert_int_equal(c->vga_bytes, 16 * MIB);
    assert_string_equal(c->vga_romfile, "");
    assert_int_equal(c->xen_platform_slot, 3);
    assert_string_equal(c->ide[1].id, "ide0-hd1");
    assert_string_equal(c->ide[1].qdev_id, "");
    assert_string_equal(c->ide[3].id, "ide1-cd1");
    assert_null(c->ide[3].path);
    config_free(&l.config);
}

static void serial_forms(void **state)
{
    struct line l;
    good(&l, "-chardev pty,id=a -chardev null,id=m -chardev pty,id=b -mon m,mode=control -mon chardev=b,mode=control "
             "-serial none -serial chardev:a -serial file:/tmp/a,b -serial tcp:[::1]:4444,server=on,wait=off "
             "-serial unix:/x,,y,server");
    const struct config *c = &l.config;
    assert_int_equal(c->nr_serials, 4);
    assert_string_equal(c->serials[0].label, "a");
    assert_string_equal(c->serials[1].label, "serial1");
    assert_string_equal(c->serials[1].path, "/tmp/a,b");
    assert_string_equal(c->serials[2].host, "::1");
    assert_string_equal(c->serials[2].port, "4444");
    assert_false(c->serials[2].wait);
    assert_string_equal(c->serials[3].path, "/x,y");
    assert_true(c->serials[3].server && c->serials[3].wait);
    assert_int_equal(c->nr_chrs, 2); /* a went to the serial port */
    assert_string_equal(c->chrs[c->monitors[0]].label, "m");
    assert_string_equal(c->chrs[c->monitors[1]].label, "b");
    config_free(&l.config);
    good(&l, "-serial stdio -serial /dev/null -serial tcp::99 -serial null");
    assert_int_equal(l.config.serials[0].kind, CHR_STDIO);
    assert_int_equal(l.config.serials[1].kind, CHR_NULL);
    assert_string_equal(l.config.serials[2].host, "");
    assert_false(l.config.serials[2].server);
    config_free(&l.config);
}

static void chardev_forms(void **state)
{
    struct line l;
    good(&l, "-chardev socket,id=a,host=::1,port=80,server,nowait -chardev file,id=b,path=/f,,g -chardev stdio,id=c "
             "-chardev socket,id=d,path=/p,server=off,server=on,wait=on,");
    const struct config *c = &l.config;
    assert_string_equal(c->chrs[0].host, "::1");
    assert_true(c->chrs[0].server);
    assert_false(c->chrs[0].wait);
    assert_string_equal(c->chrs[1].path, "/f,g");
    assert_int_equal(c->chrs[2].kind, CHR_STDIO);
    assert_true(c->chrs[3].server && c->chrs[3].wait);
    config_free(&l.config);
}

static void later_ones_win(void **state)
{
    struct line l;
    good(&l, "-m 1 -m 2G -smp 2 -smp maxcpus=3 -machine xenfv -machine max-ram-below-4g=1G -name a -name b,guest=c "
             "-boot d -boot order= --xen-domid 4 -xen-domid 0x10 -machine type=pc,accel=xen -M acpi=off "
             "-machine acpi=on,acpi=off");
    assert_int_equal(l.config.ram_bytes, 2 * GIB);
    assert_int_equal(l.config.vcpus, 3);
    assert_int_equal(l.config.max_vcpus, 3);
    assert_int_equal(l.config.machine, MACHINE_PC_XEN);
    assert_int_equal(l.config.max_ram_below_4g, GIB);
    assert_string_equal(l.config.name, "c");
    assert_string_equal(l.config.boot_order, "");
    assert_int_equal(l.config.domid, 16);
    assert_true(l.config.no_acpi);
    config_free(&l.config);
}

static void general_options(void **state)
{
    struct line l;
    good(&l, "-no-acpi -k de -L /fw -D /log -d guest_errors,unimp,debug,trace:ide* -monitor none -monitor /dev/null "
             "-parallel none -nic none -sandbox off -vga std -accel xen -machine max-ram-below-4g=4G -m 64k,size=3M");
    assert_true(l.config.no_acpi);
    assert_string_equal(l.config.keymap, "de");
    assert_string_equal(l.config.firmware_dir, "/fw");
    assert_string_equal(l.config.log_file, "/log");
    assert_int_equal(l.config.log_level, LOG_DEBUG);
    assert_false(l.config.sandbox);
    assert_int_equal(l.config.vga, VGA_STD);
    assert_int_equal(l.config.max_ram_below_4g, UINT64_C(0xf0000000)); /* devices begin there */
    assert_int_equal(l.config.ram_bytes, 3 * MIB);
    config_free(&l.config);
    good(&l, "-S");
    assert_int_equal(l.config.domid, -1);
    assert_int_equal(l.config.vga, VGA_NONE);
    assert_int_equal(l.config.log_level, LOG_INFO);
    config_free(&l.config);
}

static void vga_memory_is_rounded(void **state)
{
    static const struct {
        const char *text;
        uint64_t mib;
    } cases[] = {
        { "0", 1 }, { "1", 1 }, { "3", 4 }, { "16", 16 }, { "17", 32 }, { "512", 512 }, { "4294967295", 512 }
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct line l;
        char text[64];
        snprintf(text, sizeof(text), "-device VGA,addr=0x3.0,vgamem_mb=%s", cases[i].text);
        good(&l, text);
        assert_int_equal(l.config.vga_bytes, cases[i].mib * MIB);
        config_free(&l.config);
    }
}

static void help_and_version(void **state)
{
    struct line l;
    good(&l, "-version -nonsense");
    assert_true(l.config.version);
    config_free(&l.config);
    good(&l, "-m 1 --help");
    assert_true(l.config.help);
    config_free(&l.config);
    assert_string_equal(options_version(), "QEMU emulator version 7.2.22 (thindm " THINDM_VERSION ")");
}

static void count_line(void *opaque, const char *text)
{
    unsigned *seen = opaque;
    assert_int_equal(text[0], '-');
    assert_null(strchr(text, '\n'));
    assert_true(strlen(text) < 250); /* nothing was cut off */
    seen[0]++;
    if (!strncmp(text, "-netdev", 7))
        assert_non_null(strstr(text, "refused: network cards are not emulated yet"));
}

static void help_shows_the_table(void **state)
{
    unsigned lines = 0;
    options_help(count_line, &lines);
    assert_true(lines > 50);
}

static void missing_devices_are_named(void **state)
{
    static const char *const nics[] = { "rtl8139",  "e1000", "e1000e",  "virtio-net-pci", "virtio-net",
                                        "ne2k_pci", "pcnet", "vmxnet3", "e1000-82540em" };
    for (size_t i = 0; i < ARRAY_SIZE(nics); i++) {
        char text[128], error[128];
        snprintf(text, sizeof(text), "-device %s,id=nic0,netdev=net0,mac=00:16:3e:11:22:33", nics[i]);
        snprintf(error, sizeof(error), "-device %s: network cards are not emulated yet", nics[i]);
        refused(text, error);
    }
    refused("-device cirrus-vga,vgamem_mb=8", "-device cirrus-vga: the Cirrus card is not emulated yet; there is VGA");
    refused("-device qxl-vga,vram_size_mb=64,ram_size_mb=64", "-device qxl-vga: SPICE is not supported");
    refused("-device piix3-usb-uhci,id=usb", "-device piix3-usb-uhci: USB is not emulated yet");
    refused("-device ich9-usb-ehci1,id=usb,addr=0x1d.0x7,multifunction=on",
            "-device ich9-usb-ehci1: USB is not emulated yet");
    refused("-device nec-usb-xhci,id=usb", "-device nec-usb-xhci: USB is not emulated yet");
    refused("-device usb-tablet,port=2", "-device usb-tablet: USB is not emulated yet");
    refused("-device usb-redir,chardev=usbrc1,id=usbrc1", "-device usb-redir: SPICE is not supported");
    refused("-device intel-hda -device hda-duplex", "-device intel-hda: sound is not emulated yet");
    refused("-device ac97", "-device ac97: sound is not emulated yet");
    refused("-device ES1370", "-device ES1370: sound is not emulated yet");
    refused("-device sb16", "-device sb16: sound is not emulated yet");
    refused("-device lsi53c895a", "-device lsi53c895a: " NO_SCSI);
    refused("-device scsi-hd,drive=scsi0-hd0,scsi-id=0", "-device scsi-hd: " NO_SCSI);
    refused("-device virtio-serial", "-device virtio-serial: virtio devices are not emulated yet");
    refused("-device xen-pvdevice,device-id=0xc000", "-device xen-pvdevice: the Xen PV device is not emulated yet");
    refused("-device isa-debugcon,chardev=ovmf,iobase=0x402",
            "-device isa-debugcon: the debug console is not there yet");
    refused("-device tpm-crb,tpmdev=tpm0", "-device tpm-crb: TPMs are not emulated");
    refused("-device frob,x=y", "-device frob: unknown device");
    refused("-device ", "-device: model missing");
}

static void missing_options_are_named(void **state)
{
    refused("-netdev type=tap,id=net0,ifname=vif1.0-emu,br=xenbr0,script=no,downscript=no",
            "-netdev: network cards are not emulated yet");
    refused("-net nic,model=e1000", "-net: 'nic,model=e1000': network cards are not emulated yet, only -net none");
    refused("-nic user", "-nic: 'user': network cards are not emulated yet, only -nic none");
    refused("-vnc 127.0.0.1:0,to=99", "-vnc: '127.0.0.1:0,to=99': there is no remote display yet, only -vnc none");
    refused("-display none -display sdl", "-display: 'sdl' is not supported; there is no local display");
    refused("-spice port=0,tls-port=0", "-spice: SPICE is not supported");
    refused("-vga cirrus", "-vga: 'cirrus' is not emulated yet; there is std");
    refused("-usb -usbdevice tablet", "-usb: USB is not emulated yet");
    refused("-usbdevice tablet", "-usbdevice: USB is not emulated yet");
    refused("-kernel /boot/k", "-kernel: direct kernel boot is not there yet");
    refused("-initrd /boot/i", "-initrd: direct kernel boot is not there yet");
    refused("-append x", "-append: direct kernel boot is not there yet");
    refused("-incoming fd:12", "-incoming: saved guests can't be restored yet");
    refused("-incoming", "-incoming: saved guests can't be restored yet");
    refused("-machine q35", "-machine q35: unknown machine; there are xenfv, pc, xenpv and none");
    refused("-machine pc", "-machine pc: needs accel=xen");
    refused("-machine pc,accel=kvm", "-machine pc: accel=kvm is not supported; thindm serves Xen guests only");
    refused("-machine xenfv,igd-passthru=on", "-machine: igd-passthru=on is not supported");
    refused("-accel tcg", "-accel: 'tcg' is not supported; thindm serves Xen guests only");
    refused("-global PIIX4_PM.revision_id=0x1", "-global: properties of devices can't be changed yet");
    refused("-tpmdev emulator,id=tpm0", "-tpmdev: TPMs are not emulated");
    refused("-vnc-clipboard-socket-fd 4", "-vnc-clipboard-socket-fd: there is no remote display yet");
    refused("-debugcon file:/x", "-debugcon: the debug console is not there yet");
    refused("-object filter-mirror,id=a", "-object: there are no objects");
    refused("-daemonize", "-daemonize: thindm stays in the foreground");
    refused("-foo", "-foo: unknown option");
    refused("--foo bar", "--foo: unknown option");
    refused("disk.img", "disk.img: not an option; disks are given by -drive");
    refused("-", "-: not an option; disks are given by -drive");
    refused("", ": not an option; disks are given by -drive");
}

static void channels_are_checked(void **state)
{
    refused("-chardev spicevmc,id=vdagent,name=vdagent", "-chardev spicevmc: SPICE is not supported");
    refused("-chardev udp,id=a", "-chardev udp: UDP is not supported");
    refused("-chardev frob,id=a", "-chardev frob: unknown kind of channel");
    refused("-chardev pty", "-chardev: needs a kind of channel and id=");
    refused("-chardev id=x", "-chardev: needs a kind of channel and id=");
    refused("-chardev pty,id=", "-chardev pty: id '' is not a letter followed by letters, digits, '-', '.' and '_'");
    refused("-chardev pty,id=1", "-chardev pty: id '1' is not a letter followed by letters, digits, '-', '.' and '_'");
    refused("-chardev pty,id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "-chardev pty: id 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is longer than 31 characters");
    refused("-chardev pty,id=a -chardev null,id=a", "-chardev null: id 'a' is there twice");
    refused("-chardev pty,id=a,path=/x", "-chardev pty: unknown key 'path'");
    refused("-chardev file,id=a", "-chardev file: needs path=");
    refused("-chardev file,id=a,path=/x,append=on", "-chardev file: append=on is not supported");
    refused("-chardev socket,id=a", "-chardev socket: needs exactly one of path=, fd=, and host= with port=");
    refused("-chardev socket,id=a,path=/x,fd=3,server=on",
            "-chardev socket: needs exactly one of path=, fd=, and host= with port=");
    refused("-chardev socket,id=a,host=x", "-chardev socket: host= and port= need each other");
    refused("-chardev socket,id=a,host=x,port=0", "-chardev socket: port=0 is not a port from 1 to 65535");
    refused("-chardev socket,id=a,host=x,port=http", "-chardev socket: port=http is not a port from 1 to 65535");
    refused("-chardev socket,id=a,path=", "-chardev socket: path= is not of 1 to 107 characters");
    refused("-chardev socket,id=a,path", "-chardev socket: key 'path' needs a value");
    refused("-chardev socket,id=a,fd=3", "-chardev socket: fd= needs server=on");
    refused("-chardev socket,id=a,fd=-3,server=on", "-chardev socket: fd=-3 is not a number");
    refused("-chardev socket,id=a,path=/x,server=maybe", "-chardev socket: server=maybe is neither on nor off");
    refused("-chardev socket,id=a,path=/x,reconnect=5", "-chardev socket: reconnect=5 is not supported");
    refused("-chardev socket,id=a,path=/x,tls-creds=t", "-chardev socket: unknown key 'tls-creds'");
    refused("-mon chardev=a,mode=control", "-mon chardev=a: no -chardev has this id, or another option uses it");
    refused("-chardev pty,id=a -mon chardev=a", "-mon: only mode=control is supported; there is no text monitor");
    refused("-chardev pty,id=a -mon chardev=a,mode=readline",
            "-mon: only mode=control is supported; there is no text monitor");
    refused("-mon mode=control", "-mon: chardev= missing");
    refused("-chardev pty,id=a -mon a,mode=control -mon a,mode=control", "-mon: channel 'a' has a monitor already");
    refused("-chardev pty,id=a -mon a,mode=control -serial chardev:a",
            "-mon chardev=a: no -chardev has this id, or another option uses it");
    refused("-mon a,mode=control,pretty=on", "-mon: pretty=on is not supported");
    refused("-serial chardev:a", "-serial chardev:a: no -chardev has this id, or another option uses it");
    refused("-serial vc", "-serial vc: there are no text consoles");
    refused("-serial mon:stdio", "-serial mon: there is no text monitor");
    refused("-serial telnet:x:1", "-serial telnet: telnet is not supported");
    refused("-serial pipe:/x", "-serial pipe: pipes are not supported");
    refused("-serial file:", "-serial file: path missing");
    refused("-serial unix:", "-serial unix: address missing");
    refused("-serial tcp:host", "-serial tcp: 'host' is not HOST:PORT");
    refused("-serial tcp:host:99999", "-serial tcp: 'host:99999' is not HOST:PORT");
    refused("-serial pty -serial pty -serial pty -serial pty -serial pty", "-serial: more than 4 serial ports");
    refused("-serial ", "-serial : unknown kind of channel");
    refused("-monitor stdio", "-monitor: 'stdio': there is no text monitor");
    refused("-parallel pty", "-parallel: 'pty': there are no parallel ports");
    refused("-qmp stdio -qmp pty -qmp pty -qmp pty -qmp pty", "-qmp pty: more than 4 monitors");
}

static void long_socket_path(void **state)
{
    char text[200] = "-chardev socket,id=a,path=", *end = text + strlen(text);
    memset(end, 'p', 107);
    struct line l;
    good(&l, text);
    config_free(&l.config);
    end[107] = 'p';
    refused(text, "-chardev socket: path= is not of 1 to 107 characters");
}

static void vga_is_checked(void **state)
{
    refused("-device VGA -device VGA", "-device VGA: there is a VGA card already");
    refused("-device VGA,addr=4", "-device VGA: addr=4: the card is in slot 3 of this machine");
    refused("-device VGA,addr=3 -machine pc,accel=xen", "-device VGA: addr=3: the card is in slot 2 of this machine");
    refused("-device VGA,addr=3.1", "-device VGA: addr=3.1 is not the address of a slot");
    refused("-device VGA,addr=20", "-device VGA: addr=20 is not the address of a slot");
    refused("-device VGA,addr=", "-device VGA: addr= is not the address of a slot");
    refused("-device VGA,addr=123456789", "-device VGA: addr=123456789 is not the address of a slot");
    refused("-device VGA,vgamem_mb=many", "-device VGA: vgamem_mb=many is not a number");
    refused("-device VGA,vgamem_mb=99999999999", "-device VGA: vgamem_mb=99999999999 is not within 0 and 4294967295");
    refused("-device VGA,rombar=0", "-device VGA: rombar=0 is not supported");
}

/* It is there, or where xenopsd puts it, and what is said of its registers is so. */
static void the_platform_device(void **state)
{
    struct line l;
    good(&l, "-device xen-platform,addr=2");
    assert_int_equal(l.config.xen_platform_slot, 0); /* xenfv's own */
    config_free(&l.config);
    good(&l, "-machine pc,accel=xen -device VGA,subvendor_id=0x1af4,subsystem_id=0x1100,qemu-extended-regs=true "
             "-device xen-platform,id=p,addr=0x3,device-id=0x0001,revision=1,class-id=0xff80,subvendor_id=0x5853,"
             "subsystem_id=1 -device ahci -drive if=none,id=d,file=/d -device nvme,serial=s,drive=d");
    assert_int_equal(l.config.xen_platform_slot, 3);
    assert_int_equal(l.config.nvme_slot, 5); /* 2 is the card's, 4 the other controller's */
    config_free(&l.config);
    good(&l, "-machine pc,accel=xen -device xen-platform,addr=3 -drive if=none,id=d,file=/d "
             "-device nvme,serial=s,drive=d");
    assert_int_equal(l.config.nvme_slot, 2);
    config_free(&l.config);
    refused("-device xen-platform,addr=3", "-device xen-platform: addr=3: the device is in slot 2 of this machine");
    refused("-machine pc,accel=xen -device xen-platform,addr=2",
            "-device xen-platform: addr=2: the device is in slot 3 of this machine");
    refused("-machine xenpv -device xen-platform,addr=3", "-device xen-platform: this machine has no devices");
    refused("-device xen-platform", "-device xen-platform: needs addr=");
    refused("-device xen-platform,addr=2 -device xen-platform,addr=2", "-device xen-platform: there is one already");
    refused("-device xen-platform,addr=3,class-id=0x0100",
            "-device xen-platform: class-id=0x0100: can't be changed from 0xff80");
    refused("-device xen-platform,addr=3,revision=2", "-device xen-platform: revision=2: can't be changed from 0x1");
    refused("-device xen-platform,addr=3,subsystem_id=x",
            "-device xen-platform: subsystem_id=x: can't be changed from 0x1");
    refused("-machine pc,accel=xen -device xen-platform,addr=3 -drive if=none,id=d,file=/d "
            "-device nvme,serial=s,drive=d,addr=3",
            "-device nvme: addr=3: the slot is taken");
    refused("-device VGA,subvendor_id=0x5853", "-device VGA: subvendor_id=0x5853: can't be changed from 0x1af4");
    refused("-device VGA,qemu-extended-regs=false", "-device VGA: qemu-extended-regs=false is not supported");
}

static void numbers_are_checked(void **state)
{
    static const char *const domids[] = { "0", "-1", "32752", "1x", "0x", "+1", "1.5", "18446744073709551617" };
    for (size_t i = 0; i < ARRAY_SIZE(domids); i++) {
        char text[80], error[120];
        snprintf(text, sizeof(text), "-xen-domid %s", domids[i]);
        snprintf(error, sizeof(error), "-xen-domid: '%s' is not a domain id from 1 to 32751", domids[i]);
        refused(text, error);
    }
    refused("-xen-domid  -S", "-xen-domid: '' is not a domain id from 1 to 32751");
    refused("-xen-domid", "-xen-domid: value missing");
    refused("-m", "-m: value missing");
    refused("-m x", "-m: 'x' is not a size");
    refused("-m 1.5G", "-m: '1.5G' is not a size");
    refused("-m -5", "-m: '-5' is not a size");
    refused("-m 5MB", "-m: '5MB' is not a size");
    refused("-m 5@", "-m: '5@' is not a size");
    refused("-m 18446744073709551615", "-m: '18446744073709551615' is not a size");
    refused("-m 0", "-m: '0' is not a number of pages from 1 MiB to 16 TiB");
    refused("-m 17T", "-m: '17T' is not a number of pages from 1 MiB to 16 TiB");
    refused("-m 2000001b", "-m: '2000001b' is not a number of pages from 1 MiB to 16 TiB");
    refused("-m 64,slots=3", "-m: unknown key 'slots'");
    refused("-smp 0", "-smp: cpus=0 is not within 1 and 128");
    refused("-smp 1,maxcpus=129", "-smp: maxcpus=129 is not within 1 and 128");
    refused("-smp two", "-smp: cpus=two is not a number");
    refused("-smp 2,sockets=2", "-smp: unknown key 'sockets'");
    refused("-smp maxcpus", "-smp: cpus=maxcpus is not a number");
    refused("-machine max-ram-below-4g=5G",
            "-machine: max-ram-below-4g=5G is not a number of pages from 1 MiB to 4 GiB");
    refused("-machine max-ram-below-4g=x", "-machine: max-ram-below-4g=x is not a size");
    refused("-machine xenfv,frob=1", "-machine: unknown key 'frob'");
    refused("-machine xenfv,usb=on", "-machine: usb=on is not supported");
}

static void words_are_checked(void **state)
{
    refused("-boot order=cdan", "-boot: order=cdan has more than three letters");
    refused("-boot order=cx", "-boot: order=cx: 'x' is not one of a, c, d, n");
    refused("-boot cc", "-boot: order=cc: 'c' is there twice");
    refused("-boot once=d", "-boot: unknown key 'once'");
    refused("-boot order=c,menu=on", "-boot: menu=on is not supported");
    refused("-d frob", "-d: unknown item 'frob'");
    refused("-d debug=1", "-d: unknown item 'debug'");
    refused("-trace frob,what=1", "-trace: unknown key 'what'");
    refused("-flight-recorder 4k", "-flight-recorder: size=4k: off, or 8k to 1g");
    refused("-flight-recorder 2g", "-flight-recorder: size=2g: off, or 8k to 1g");
    refused("-flight-recorder 64k,path=x", "-flight-recorder: unknown key 'path'");
    refused("-trace-record ", "-trace-record: empty value");
    refused("-sandbox maybe", "-sandbox: enable=maybe is neither on nor off");
    refused("-sandbox on,spawn=perhaps", "-sandbox: spawn=perhaps is not supported");
    refused("-run-with chroot=", "-run-with: empty value");
    refused("-run-with exit-with-parent=on", "-run-with: unknown key 'exit-with-parent'");
    refused("-chroot ", "-chroot: empty value");
    refused("-name a,b=c", "-name: unknown key 'b'");
    refused("-machine =x", "-machine: empty key in '=x'");
    refused("-machine xenfv,,x", "-machine xenfv,x: unknown machine; there are xenfv, pc, xenpv and none");
}

/* An argument is quoted in the line, and the line has to stay one, and short. */
static void recording(void **state)
{
    struct line l;
    good(&l, "-m 64");
    assert_int_equal(l.config.flight_bytes, 64 * KIB);
    assert_null(l.config.trace_record);
    config_free(&l.config);
    good(&l, "-flight-recorder off -trace-record /var/log/x.trace");
    assert_int_equal(l.config.flight_bytes, 0);
    assert_string_equal(l.config.trace_record, "/var/log/x.trace");
    config_free(&l.config);
    good(&l, "-flight-recorder 1m,file=/var/crash/dm.trace");
    assert_int_equal(l.config.flight_bytes, MIB);
    assert_string_equal(l.config.flight_file, "/var/crash/dm.trace");
    config_free(&l.config);
}

static void odd_arguments(void **state)
{
    char name[4000], *argv[] = { (char[]){ "thindm" }, (char[]){ "-device" }, name, NULL };
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    name[3] = '\n';
    config_init(&config);
    assert_int_equal(options_parse(&config, 3, argv, error), -EINVAL);
    assert_string_equal(error, "-device xxx?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: unknown device");
    config_free(&config);
    config_free(&config);
    memset(name, ',', sizeof(name) - 1);
    config_init(&config);
    assert_int_equal(options_parse(&config, 3, argv, error), -EINVAL);
    config_free(&config);
    for (size_t i = 0; i + 2 < sizeof(name); i += 2)
        memcpy(name + i, "a,", 2);
    config_init(&config);
    assert_int_equal(options_parse(&config, 3, argv, error), -EINVAL);
    assert_string_equal(error, "-device: more than 32 keys");
    config_free(&config);
}

/* No text of these may do worse than fail; run it under the sanitizers. */
static void random_lines(void **state)
{
    static const char *const words[] = {
        "-device",   "-drive",    "-chardev", "-mon",    "-serial",   "-m",           "-smp",      "-boot",  "-machine",
        "-qmp",      "-d",        "-name",    "VGA",     "ide-cd",    "socket",       "pty",       "id=a",   "id=b",
        "path=/x",   "fd=3",      "server",   "nowait",  "if=none",   "index=1",      "bus=ide.0", "unit=1", "drive=a",
        "drive=b",   "chardev:a", "file:/x",  "unix:/x", "tcp:h:1",   "mode=control", "=",         ",",      "-",
        "chardev=a", "1",         "0x",       "addr=3",  "-run-with", "user=x",
    };
    uint32_t seed = 1;
    for (unsigned round = 0; round < 20000; round++) {
        char text[600] = "";
        struct line l;
        for (unsigned n = 0; n < 12; n++) {
            seed = seed * 1664525 + 1013904223;
            strcat(text, words[(seed >> 8) % ARRAY_SIZE(words)]);
            strcat(text, (seed >> 28) % 2 ? "," : " ");
        }
        parse(&l, text);
        if (l.err)
            assert_true(strlen(l.error) > 0 && !strchr(l.error, '\n'));
        config_free(&l.config);
    }
}

/* What toolstacks write to a console's "output" node. */
static void short_forms_alone(void **state)
{
    static const struct {
        const char *text;
        enum chr_kind kind;
        const char *path;
    } good_ones[] = {
        { "pty", CHR_PTY, NULL },
        { "null", CHR_NULL, NULL },
        { "stdio", CHR_STDIO, NULL },
        { "file:/var/log/xen/qemu-dm-a,b.log", CHR_FILE, "/var/log/xen/qemu-dm-a,b.log" },
        { "/dev/ttyS0", CHR_FILE, "/dev/ttyS0" },
        { "pipe:/var/lib/xen/qemu-resume.7", CHR_PIPE, "/var/lib/xen/qemu-resume.7" },
        { "unix:/run/s,server,nowait", CHR_SOCKET, "/run/s" },
    };
    static const char *const bad[] = { "", "vc", "pipe:", "file:", "udp:x", "pty:", "unix:", "tcp:x", "nonsense:/x" };
    char strings[64], error[CONFIG_ERROR_BYTES];
    struct chr_config c;
    for (size_t i = 0; i < ARRAY_SIZE(good_ones); i++) {
        assert_int_equal(options_chr(good_ones[i].text, strings, &c, error), 0);
        assert_int_equal(c.kind, good_ones[i].kind);
        assert_int_equal(c.fd, -1);
        if (good_ones[i].path)
            assert_string_equal(c.path, good_ones[i].path);
        else
            assert_null(c.path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(options_chr(bad[i], strings, &c, error), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_line_of_libxl),
        cmocka_unit_test(restricted_start),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(back_ends_of_a_pv_guest),
        cmocka_unit_test(probe_of_master),
        cmocka_unit_test(stubdom_line),
        cmocka_unit_test(xenopsd_line),
        cmocka_unit_test(serial_forms),
        cmocka_unit_test(short_forms_alone),
        cmocka_unit_test(chardev_forms),
        cmocka_unit_test(later_ones_win),
        cmocka_unit_test(general_options),
        cmocka_unit_test(vga_memory_is_rounded),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(help_shows_the_table),
        cmocka_unit_test(missing_devices_are_named),
        cmocka_unit_test(missing_options_are_named),
        cmocka_unit_test(channels_are_checked),
        cmocka_unit_test(long_socket_path),
        cmocka_unit_test(vga_is_checked),
        cmocka_unit_test(the_platform_device),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(words_are_checked),
        cmocka_unit_test(recording),
        cmocka_unit_test(odd_arguments),
        cmocka_unit_test(random_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
