/* core/options-device.c, options-nvme.c: disks, CDs, floppies and their controllers. */
#include "options-bench.h"

/* What xenopsd writes for a UEFI guest: the controller after its disks' drives or before them. */
static void nvme_disks(void **state)
{
    struct line l;
    good(&l, "-drive id=disk0,if=none,file=/a,media=disk,auto-read-only=off,format=raw -device nvme,serial=nvme0,id=nvme0,addr=7 "
             "-device nvme-ns,drive=disk0,bus=nvme0,nsid=1 "
             "-drive id=disk3,if=none,file=/d,media=disk,auto-read-only=off,format=raw "
             "-device nvme-ns,drive=disk3,bus=nvme0,nsid=4,id=fourth");
    const struct config *c = &l.config;
    assert_true(c->nvme);
    assert_string_equal(c->nvme_serial, "nvme0");
    assert_int_equal(c->nvme_slot, 7);
    assert_int_equal(c->nvme_queues, 64);
    assert_string_equal(c->nvme_disks[0].path, "/a");
    assert_string_equal(c->nvme_disks[0].id, "disk0");
    assert_string_equal(c->nvme_disks[3].path, "/d");
    assert_string_equal(c->nvme_disks[3].qdev_id, "fourth");
    assert_false(c->nvme_disks[1].present || c->nvme_disks[2].present || c->ide[0].present);
    config_free(&l.config);
    good(&l, "-device ahci -device VGA -device nvme,drive=a,serial=,bus=pci.0,max_ioqpairs=3 -device nvme-ns,drive=b "
             "-drive if=none,id=a,file=/a,read-only=on -drive if=none,id=b,file=/b");
    assert_int_equal(c->nvme_slot, 5); /* behind the card and the other controller */
    assert_int_equal(c->nvme_queues, 3);
    assert_true(c->nvme_disks[0].read_only && c->nvme_disks[1].present);
    config_free(&l.config);
}

static void bad_nvme_disks(void **state)
{
    refused("-device nvme", "-device nvme: serial= is missing");
    refused("-device nvme,serial=123456789012345678901",
            "-device nvme: serial=123456789012345678901: at most 20 printable characters");
    refused("-device nvme,serial=a -device nvme,serial=b",
            "-device nvme: there is an NVMe controller already; it takes more disks by -device nvme-ns");
    refused("-device nvme,serial=a,max_ioqpairs=65", "-device nvme: max_ioqpairs=65 is not within 1 and 64");
    refused("-device nvme,serial=a,cmb_size_mb=64", "-device nvme: unknown key 'cmb_size_mb'");
    refused("-device nvme,serial=a,use-intel-id=on", "-device nvme: use-intel-id=on is not supported");
    refused("-device nvme,serial=a,addr=0", "-device nvme: addr=0: the slot is taken");
    refused("-device nvme,serial=a,addr=3 -device VGA", "-device nvme: addr=3: the slot is taken");
    refused("-device nvme,serial=a,addr=7.1", "-device nvme: addr=7.1 is not the address of a slot");
    refused("-device nvme-ns,drive=a", "-device nvme-ns: needs an earlier -device nvme");
    refused("-device nvme,serial=a,id=n -device nvme-ns,drive=a,bus=m",
            "-device nvme-ns: bus=m: no earlier -device nvme has this id");
    refused("-device nvme,serial=a -device nvme-ns", "-device nvme-ns: drive= is missing");
    refused("-device nvme,serial=a -device nvme-ns,drive=x,nsid=9", "-device nvme-ns: nsid=9 is not within 1 and 8");
    refused("-device nvme,serial=a -device nvme-ns,drive=x",
            "-device nvme-ns: drive=x: no -drive if=none has this id, or another -device uses it");
    refused("-drive if=none,id=x,file=/x -drive if=none,id=y,file=/y -device nvme,serial=a,drive=x "
            "-device nvme-ns,drive=y,nsid=1",
            "-device nvme-ns: there is a namespace 1 already");
    refused("-drive if=none,id=x,media=cdrom,file=/x -device nvme,serial=a,drive=x",
            "-device nvme: drive=x: has media=cdrom");
}

/* hdtype="ahci": what libxl writes for six disks and a CD-ROM, which stays on the IDE controller. */
static void ahci_disks(void **state)
{
    struct line l;
    good(&l, "-device ahci,id=ahci0 "
             "-drive file=/a,if=none,id=ahcidisk-0,format=raw,cache=writeback "
             "-device ide-hd,bus=ahci0.0,unit=0,drive=ahcidisk-0 "
             "-drive file=/f,if=none,id=ahcidisk-5,format=qcow2,cache=writeback "
             "-device ide-hd,bus=ahci0.5,unit=0,drive=ahcidisk-5 "
             "-drive if=none,readonly=on,id=ide-5632,file=/c,format=raw "
             "-device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0 -device ide-cd,bus=ahci0.3");
    const struct config *c = &l.config;
    assert_true(c->ahci);
    assert_string_equal(c->ahci_ports[0].path, "/a");
    assert_string_equal(c->ahci_ports[0].id, "ahcidisk-0");
    assert_false(c->ahci_ports[0].cdrom || c->ahci_ports[1].present);
    assert_string_equal(c->ahci_ports[5].format, "qcow2");
    assert_true(c->ahci_ports[3].cdrom && !c->ahci_ports[3].path);
    assert_string_equal(c->ahci_ports[3].id, "ahci0-cd3");
    assert_true(c->ide[2].cdrom && !c->ide[0].present);
    config_free(&l.config);
}

static void drive_formats_and_policies(void **state)
{
    static const char *const formats[] = { "qcow2", "qcow", "vpc", "vhdx", "vmdk", "vdi", "qed" };
    struct line l;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        char text[80];
        snprintf(text, sizeof(text), "-drive file=/a,if=ide,index=0,media=disk,format=%s,cache=writeback", formats[i]);
        good(&l, text);
        assert_string_equal(l.config.ide[0].format, formats[i]);
        config_free(&l.config);
    }
    good(&l, "-drive file=nbd:unix:/s:exportname=e,format=raw,werror=enospc,rerror=stop -drive file=nbd://h/e,rerror=ignore "
             "-drive file=nbd+unix:///e?socket=/s,werror=stop -drive file=/a,werror=ignore");
    assert_string_equal(l.config.ide[0].path, "nbd:unix:/s:exportname=e");
    assert_null(l.config.ide[0].format);
    assert_true(l.config.ide[0].write_error == BLOCK_ENOSPC && l.config.ide[0].read_error == BLOCK_STOP);
    assert_true(l.config.ide[1].write_error == BLOCK_REPORT && l.config.ide[1].read_error == BLOCK_IGNORE);
    assert_true(l.config.ide[2].write_error == BLOCK_STOP && l.config.ide[2].read_error == BLOCK_REPORT);
    assert_true(l.config.ide[3].write_error == BLOCK_IGNORE);
    config_free(&l.config);
}

static void drive_keys(void **state)
{
    struct line l;
    good(&l, "-drive file=/a,,b,cache=directsync,discard=unmap,aio=io_uring,werror=report -drive file=/b,cache=unsafe "
             "-drive file=/c,index=3,media=cdrom,cache=none -drive if=ide,index=2,media=cdrom,id=x,cache=writethrough");
    assert_string_equal(l.config.ide[0].path, "/a,b");
    assert_int_equal(l.config.ide[0].cache, BLOCK_DIRECTSYNC);
    assert_true(l.config.ide[0].discard);
    assert_string_equal(l.config.ide[1].path, "/b");
    assert_int_equal(l.config.ide[1].cache, BLOCK_UNSAFE);
    assert_false(l.config.ide[1].discard);
    assert_string_equal(l.config.ide[3].id, "ide1-cd1");
    assert_true(l.config.ide[3].read_only);
    assert_int_equal(l.config.ide[3].cache, BLOCK_NONE);
    assert_string_equal(l.config.ide[2].id, "x");
    assert_null(l.config.ide[2].path);
    config_free(&l.config);
    good(&l,
         "-device ide-cd,id=c,bus=ide.1,unit=0,drive=d -device ide-cd,bus=ide.0,unit=0 -drive if=none,id=d,file=/i");
    assert_string_equal(l.config.ide[2].id, "d"); /* the drive may come after its device */
    assert_string_equal(l.config.ide[2].qdev_id, "c");
    assert_string_equal(l.config.ide[0].id, "ide0-cd0");
    config_free(&l.config);
}

static void floppies(void **state)
{
    struct line l;
    good(&l, "-fda /a -fdb /b,c");
    assert_true(l.config.floppies[0].present && l.config.floppies[1].present);
    assert_string_equal(l.config.floppies[0].path, "/a");
    assert_string_equal(l.config.floppies[0].id, "floppy0");
    assert_string_equal(l.config.floppies[1].path, "/b,c");
    assert_string_equal(l.config.floppies[1].id, "floppy1");
    assert_false(l.config.floppies[1].read_only);
    config_free(&l.config);
    good(&l, "-drive file=/a,if=floppy,index=1,format=raw,readonly=on -drive if=floppy,id=x");
    assert_string_equal(l.config.floppies[1].path, "/a");
    assert_true(l.config.floppies[1].read_only);
    assert_null(l.config.floppies[0].path); /* an empty drive */
    assert_string_equal(l.config.floppies[0].id, "x");
    l.config.domid = 1;
    assert_int_equal(config_check(&l.config, l.error), 0);
    l.config.machine = MACHINE_XENPV;
    assert_int_equal(config_check(&l.config, l.error), -EINVAL);
    config_free(&l.config);
    good(&l, "-device floppy,id=f,drive=d,unit=1 -device floppy -drive file=/a,if=none,id=d");
    assert_string_equal(l.config.floppies[1].qdev_id, "f");
    assert_string_equal(l.config.floppies[1].id, "d");
    assert_string_equal(l.config.floppies[0].id, "floppy0");
    assert_null(l.config.floppies[0].path);
    config_free(&l.config);
    refused("-fda /a -fda /b", "-fda: floppy unit 0 has a drive already");
    refused("-fda  -S", "-fda: empty value");
    refused("-drive if=floppy,index=2", "-drive: index=2 is not within 0 and 1");
    refused("-drive if=floppy,media=cdrom", "-drive: media=cdrom is not for a floppy");
    refused("-drive if=floppy -drive if=floppy -drive if=floppy", "-drive: more than 2 floppy drives");
    refused("-device floppy -device floppy -device floppy", "-device floppy: more than 2 floppy drives");
    refused("-fda /a -device floppy,unit=0", "-device floppy: floppy unit 0 has a drive already");
    refused("-device floppy,drive-type=144", "-device floppy: drive-type=144 is not supported");
    refused("-device floppy,drive=d", "-device floppy: drive=d: no -drive if=none has this id, or another -device uses it");
    refused("-device isa-fdc", "-device isa-fdc: the floppy controller is part of the machine");
}

static void drives_are_checked(void **state)
{
    refused("-drive file=/a,format=luks",
            "-drive: format=luks is not supported; there are raw, qcow2, qcow, vpc, vhdx, vmdk, vdi and qed");
    refused("-drive file=nbd:h:1,format=qcow2",
            "-drive: file=nbd:h:1: an NBD server gives raw sectors; format=qcow2 is not for it");
    refused("-drive file=json:{}", "-drive: file=json:{}: only local files, devices and nbd: can be opened");
    refused("-drive file=nbds://h/e", "-drive: file=nbds://h/e: only local files, devices and nbd: can be opened");
    refused("-drive file=/a,if=scsi", "-drive: if=scsi: only ide, floppy and none are emulated");
    refused("-drive file=/a,if=ide,index=4", "-drive: index=4 is not within 0 and 3");
    refused("-drive file=/a,if=ide,index=-1", "-drive: index=-1 is not a number");
    refused("-drive file=/a,index=1 -drive file=/b,index=1", "-drive: bus ide.0 unit 1 has a drive already");
    refused("-drive file=/a,cache=fast", "-drive: cache=fast is not supported");
    refused("-drive file=/a,werror=auto", "-drive: werror=auto is not supported");
    refused("-drive file=/a,rerror=enospc", "-drive: rerror=enospc is not supported");
    refused("-drive file=/a,discard=maybe", "-drive: discard=maybe is not supported");
    refused("-drive file=/a,driver=quorum", "-drive: unknown key 'driver'");
    refused("-drive file=/a,iops=7", "-drive: unknown key 'iops'");
    refused("-drive file=/a,if=none", "-drive: if=none needs id=");
    refused("-drive file=/a,if=none,id=a", "-drive a: if=none, and no -device uses it");
    refused("-drive file=/a,if=none,id=a -drive file=/a,if=none,id=a", "-drive: id 'a' is there twice");
    refused("-device ide-cd,drive=a,bus=ide.1,unit=0",
            "-device ide-cd: drive=a: no -drive if=none has this id, or another -device uses it");
    refused("-drive if=none,id=a -device ide-cd,drive=a,bus=ide.2,unit=0",
            "-device ide-cd: bus=ide.2: needs ide.0, ide.1 or a port of an earlier -device ahci");
    refused("-drive if=none,id=a -device ide-cd,drive=a,bus=ide.0", "-device ide-cd: needs unit=0 or unit=1");
    refused("-drive if=none,id=a -device ide-cd,drive=a,bus=ide.0,unit=2",
            "-device ide-cd: unit=2 is not within 0 and 1");
    refused("-drive if=none,id=a -device ide-hd,drive=a,bus=ahci0.0,unit=0",
            "-device ide-hd: bus=ahci0.0: needs ide.0, ide.1 or a port of an earlier -device ahci");
    refused("-device ahci,id=ahci0 -drive if=none,id=a -device ide-hd,drive=a,bus=ahci0.6,unit=0",
            "-device ide-hd: bus=ahci0.6: needs ide.0, ide.1 or a port of an earlier -device ahci");
    refused("-device ahci,id=ahci0 -drive if=none,id=a -device ide-hd,drive=a,bus=ahci0.0,unit=1",
            "-device ide-hd: unit=1 is not within 0 and 0");
    refused("-device ahci,id=x -drive if=none,id=a -device ide-hd,drive=a,bus=ahci0.0",
            "-device ide-hd: bus=ahci0.0: needs ide.0, ide.1 or a port of an earlier -device ahci");
    refused("-device ahci,id=x -device ide-cd,bus=x.0 -device ide-cd,bus=x.0",
            "-device ide-cd: bus x.0 has a drive already");
    refused("-device ahci -device ich9-ahci", "-device ich9-ahci: there is an AHCI controller already");
    refused("-device ahci,addr=5", "-device ahci: unknown key 'addr'");
    refused("-drive if=none,id=a -device ide-hd,drive=a,bus=ide.0,unit=0,ver=1", "-device ide-hd: unknown key 'ver'");
    refused("-drive if=none,id=a -device ide-cd,drive=a,bus=ide.0,unit=0 -device ide-cd,drive=a,bus=ide.0,unit=1",
            "-device ide-cd: drive=a: no -drive if=none has this id, or another -device uses it");
    refused("-drive file=/a,index=0 -device ide-cd,bus=ide.0,unit=0",
            "-device ide-cd: bus ide.0 unit 0 has a drive already");
    refused("-drive if=none,id=a,media=cdrom,file=/a -device ide-hd,drive=a,bus=ide.0,unit=0",
            "-device ide-hd: drive=a: has media=cdrom");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nvme_disks),
        cmocka_unit_test(bad_nvme_disks),
        cmocka_unit_test(ahci_disks),
        cmocka_unit_test(drive_formats_and_policies),
        cmocka_unit_test(drive_keys),
        cmocka_unit_test(floppies),
        cmocka_unit_test(drives_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
