/* The command line out of xenstore, the disks' numbers and the files of the ramdisk. */
#include "fake.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../stubdom/args.h"
#include "../../stubdom/disks.h"
#include "../../stubdom/kernel/store.h"
#include "../../stubdom/ramdisk.h"

#define VM   "/vm/0123"
#define ARGV VM "/image/dm-argv/"

static int setup(void **state)
{
    fakexen_init();
    fakexen_set("/local/domain/5/vm", VM);
    return 0;
}

static int teardown(void **state)
{
    fakexen_finish();
    return 0;
}

/* The words, each behind a blank, or the error. */
static void expect(const char *cmdline, int want_err, const char *want)
{
    struct args args;
    char text[4096] = "", error[CONFIG_ERROR_BYTES] = "";
    int err = args_read(&args, 5, cmdline, error);
    assert_int_equal(err, want_err);
    for (int i = 0; !err && i < args.argc; i++) {
        strcat(text, " ");
        strcat(text, args.argv[i]);
    }
    if (!err)
        assert_null(args.argv[args.argc]);
    assert_string_equal(err ? error : text, want);
    args_free(&args);
    args_free(&args);
}

static void words_in_their_order(void **state)
{
    fakexen_set(ARGV "003", "-name");
    fakexen_set(ARGV "001", "-xen-domid");
    fakexen_set(ARGV "004", "my guest");
    fakexen_set(ARGV "1000", "last");
    fakexen_set(ARGV "002", "5");
    expect("", 0, " thindm -xen-domid 5 -name my guest last");
    expect("  -d  debug ", 0, " thindm -xen-domid 5 -name my guest last -d debug");
}

/* More than fit into one burst of requests; an empty one counts. */
static void many_words(void **state)
{
    char path[64], want[1024] = " thindm";
    for (int i = 1; i <= 40; i++) {
        snprintf(path, sizeof(path), ARGV "%03d", i);
        snprintf(want + strlen(want), 8, i == 20 ? " " : " %d", i);
        fakexen_set(path, i == 20 ? "" : strrchr(want, ' ') + 1);
    }
    expect("", 0, want);
    assert_true(fakexen.store.requests >= 42);
    assert_true(fakexen.store.bursts <= 6);
}

static void missing(void **state)
{
    expect("", -ENOENT, VM "/image/dmargs: No such file or directory");
    fakexen_set("/local/domain/5/vm", NULL);
    expect("", -ENOENT, "/local/domain/5/vm: No such file or directory");
}

static void too_long(void **state)
{
    static char value[4097], cmdline[2048];
    char path[64];
    memset(value, 'x', 4096);
    for (int i = 1; i <= 17; i++) {
        snprintf(path, sizeof(path), ARGV "%03d", i);
        fakexen_set(path, value);
    }
    expect("", -E2BIG, VM "/image/dm-argv: Argument list too long");
    for (int i = 2; i <= 17; i++) {
        snprintf(path, sizeof(path), ARGV "%03d", i);
        fakexen_set(path, NULL);
    }
    memset(cmdline, 'y', sizeof(cmdline) - 1);
    expect(cmdline, -E2BIG, "the arguments: Argument list too long");
}

#define COMMON " thindm -xen-domid 5 -name guest"

/* As libxl 4.17 writes it. */
static void traditional(void **state)
{
    fakexen_set("/local/domain/5/memory/static-max", "65536");
    fakexen_set("device/vbd/768", "");
    fakexen_set("device/vbd/768/device-type", "disk");
    fakexen_set("device/vbd/5632", "");
    fakexen_set("device/vbd/5632/device-type", "cdrom");
    fakexen_set("device/vbd/51792", "");
    fakexen_set(VM "/image/dmargs",
                " -d 5 -domain-name guest -vnc 127.0.0.1:0 -vncunused -serial pty -videoram 16 -std-vga "
                "-boot c -acpi -vcpu_avail 0x01 -net none");
    expect("-d debug", 0,
           COMMON " -serial /dev/hvc3 -boot c -net none -m 48 -device VGA,vgamem_mb=16 -smp 1,maxcpus=1"
                  " -drive file=/dev/xvda,if=ide,index=0,media=disk,format=host_device"
                  " -drive file=/dev/xvdc,if=ide,index=2,media=cdrom,format=host_device -d debug");
}

static void traditional_with_less(void **state)
{
    fakexen_set("/local/domain/5/memory/static-max", "65536");
    fakexen_set(VM "/image/dmargs", "-d 5 -domain-name guest -serial none -vcpus 8 -vcpu_avail 0x17 -odd word");
    expect("", 0, COMMON " -serial none -odd word -m 56 -vga cirrus -smp 4,maxcpus=8 -no-acpi");
    fakexen_set(VM "/image/dmargs", "-d 5 -domain-name guest -vga none -vcpus 2 -vcpu_avail ff");
    expect("", 0, COMMON " -m 56 -vga none -smp 2,maxcpus=2 -no-acpi");
}

static void traditional_and_odd(void **state)
{
    static char longest[STORE_MAX_VALUE + 1];
    fakexen_set(VM "/image/dmargs", "-d 5");
    expect("", -ENOENT, VM "/image/dmargs: No such file or directory"); /* memory/static-max */
    fakexen_set("/local/domain/5/memory/static-max", "8192");
    expect("", -EINVAL, VM "/image/dmargs: Invalid argument");
    fakexen_set("/local/domain/5/memory/static-max", "65536");
    fakexen_set(VM "/image/dmargs", "-videoram x");
    expect("", -EINVAL, VM "/image/dmargs: Invalid argument");
    fakexen_set(VM "/image/dmargs", "-vcpus");
    expect("", -EINVAL, VM "/image/dmargs: Invalid argument");
    fakexen_set(VM "/image/dmargs", "-vcpu_avail 0x1g");
    expect("", -EINVAL, VM "/image/dmargs: Invalid argument");
    memset(longest, 'x', STORE_MAX_VALUE);
    fakexen_set(VM "/image/dmargs", longest);
    expect("", -E2BIG, VM "/image/dmargs: Argument list too long");
}

static void disk_numbers(void **state)
{
    static const struct {
        uint64_t number;
        int index;
    } cases[] = {
        { 768, 0 },
        { 832, 1 },
        { 5632, 2 },
        { 5696, 3 },
        { 2048, 0 },
        { 2064, 1 },
        { 51712, 0 },
        { 51728, 1 },
        { 51952, 15 },
        { 268435456, 0 },
        { 268439552, 16 },
        { 0, -EINVAL },
        { 896, -EINVAL },
        { 1, -EINVAL },
        { 52000, -EINVAL },
        { UINT64_MAX, -EINVAL },
        { 0x20000000, -EINVAL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(disk_index(cases[i].number), cases[i].index);
}

static void disk_directories(void **state)
{
    char dir[DISK_DIR_BYTES];
    assert_int_equal(disk_dir(0, dir), -ENOENT);
    fakexen_set("device/vbd/5632", "");
    fakexen_set("device/vbd/odd", "");
    fakexen_set("device/vbd/768", "");
    assert_int_equal(disk_dir(0, dir), 0);
    assert_string_equal(dir, "device/vbd/768");
    assert_int_equal(disk_dir(2, dir), 0);
    assert_string_equal(dir, "device/vbd/5632");
    assert_int_equal(disk_dir(1, dir), -ENOENT);
}

/* One entry of an archive at the end of what is there. */
static size_t pack(char *archive, size_t at, unsigned mode, const char *name, const char *text)
{
    size_t name_bytes = strlen(name) + 1;
    at += (size_t)sprintf(archive + at, "070701%08x%08x%08x%08x%08x%08x%08zX%08x%08x%08x%08x%08zx%08x", 1, mode, 0, 0,
                          1, 0, strlen(text), 0, 0, 0, 0, name_bytes, 0);
    memcpy(archive + at, name, name_bytes);
    at = (at + name_bytes + 3) / 4 * 4;
    memcpy(archive + at, text, strlen(text));
    return (at + strlen(text) + 3) / 4 * 4;
}

static void files(void **state)
{
    char archive[2048] = "";
    const uint8_t *data;
    size_t len, end, at = pack(archive, 0, 040755, "rom.bin", "");
    at = pack(archive, at, 0100644, "a", "seventeen letters");
    at = pack(archive, at, 0100644, "some/rom.bin", "the ROM");
    end = pack(archive, at, 0, "TRAILER!!!", "");
    assert_int_equal(ramdisk_find(archive, sizeof(archive), "/usr/share/seabios/rom.bin", &data, &len), 0);
    assert_int_equal(len, 7);
    assert_memory_equal(data, "the ROM", 7);
    assert_int_equal(ramdisk_find(archive, end, "a", &data, &len), 0);
    assert_int_equal(len, 17);
    assert_int_equal(ramdisk_find(archive, end, "b", &data, &len), -ENOENT);
    assert_int_equal(ramdisk_find(archive, at, "b", &data, &len), -EINVAL);     /* no trailer */
    assert_int_equal(ramdisk_find(archive, at - 1, "b", &data, &len), -EINVAL); /* cut */
    assert_int_equal(ramdisk_find(archive, 0, "a", &data, &len), -EINVAL);
}

/* Whatever it is: nothing beyond its end is looked at, and there is an end to it. */
static void damaged(void **state)
{
    const uint8_t *data;
    size_t len, end;
    char good[512] = "";
    end = pack(good, 0, 0100644, "a", "text");
    end = pack(good, end, 0, "TRAILER!!!", "");
    for (size_t at = 0; at < end; at++) {
        for (int c = 0; c < 256; c++) {
            char *archive = malloc(end);
            memcpy(archive, good, end);
            archive[at] = (char)c;
            int err = ramdisk_find(archive, end, "b", &data, &len);
            assert_true(err == -ENOENT || err == -EINVAL || (!err && at >= 110 && at < 112));
            free(archive);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(many_words, setup, teardown),
        cmocka_unit_test_setup_teardown(missing, setup, teardown),
        cmocka_unit_test_setup_teardown(too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(traditional, setup, teardown),
        cmocka_unit_test_setup_teardown(traditional_with_less, setup, teardown),
        cmocka_unit_test_setup_teardown(traditional_and_odd, setup, teardown),
        cmocka_unit_test(disk_numbers),
        cmocka_unit_test_setup_teardown(disk_directories, setup, teardown),
        cmocka_unit_test(files),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
