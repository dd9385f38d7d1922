/* What the names in the toolstack's arguments open, on front ends that are made up here. */
#include "fake.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../stubdom/front/front.h"
#include "../../stubdom/host.h"
#include "../../stubdom/kernel/boot.h"

/* --- Front ends --- */

static struct {
    unsigned console;
    char disk[64];
    int err;
    struct block block;
    unsigned closed;
} front;

int consfront_open(unsigned nr, struct loop *loop, struct log *log, struct chr **out)
{
    front.console = nr;
    return front.err ? front.err : chr_null_open(out);
}

static void disk_close(struct block *block)
{
    front.closed++;
}

static void disk_drain(struct block *block)
{
}

static const struct block_ops disk_ops = { .drain = disk_drain, .close = disk_close };

int blkfront_open(const char *dir, struct loop *loop, struct log *log, struct block **out)
{
    snprintf(front.disk, sizeof(front.disk), "%s", dir);
    *out = &front.block;
    return front.err;
}

static struct host host;

static int setup(void **state)
{
    fakexen_init();
    memset(&front, 0, sizeof(front));
    stub_host_init(&host, &fakexen.loop, &fakexen.log);
    block_init(&front.block, &disk_ops, &fakexen.loop, 1 << 20, 512);
    front.block.discard = true;
    fakexen_set("device/vbd/768", "");
    fakexen_set("device/vbd/5632", "");
    return 0;
}

static int teardown(void **state)
{
    fakexen_finish();
    return 0;
}

/* --- Channels --- */

static int open_chr(enum chr_kind kind, const char *path, struct chr **out)
{
    return host.chr_open(&host, &(struct chr_config){ .label = "serial0", .kind = kind, .path = path, .fd = -1 }, out);
}

static void consoles(void **state)
{
    struct chr *chr;
    assert_int_equal(open_chr(CHR_FILE, "/dev/hvc3", &chr), 0);
    assert_int_equal(front.console, 3);
    assert_string_equal(chr->label, "serial0");
    chr_close(chr);
    assert_int_equal(open_chr(CHR_NULL, NULL, &chr), 0);
    assert_string_equal(chr->label, "serial0");
    chr_close(chr);
    front.err = -ETIMEDOUT;
    assert_int_equal(open_chr(CHR_FILE, "/dev/hvc12", &chr), -ETIMEDOUT);
    assert_int_equal(front.console, 12);
}

static void no_such_channel(void **state)
{
    static const char *const paths[] = {
        "/dev/hvc", "/dev/hvc0", "/dev/hvc3x", "/dev/hvc100", "/dev/hvc-1", "/tmp/file"
    };
    struct chr *chr;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        assert_int_equal(open_chr(CHR_FILE, paths[i], &chr), -ENOTSUP);
        assert_true(fakexen_said(paths[i]));
    }
    assert_int_equal(open_chr(CHR_PTY, NULL, &chr), -ENOTSUP);
    assert_true(fakexen_said("a stubdomain has no such channel"));
    assert_int_equal(front.console, 0);
}

/* --- Disks --- */

static int open_disk(const char *path, const char *format, bool read_only, struct block **out)
{
    return host.block_open(
        &host, &(struct block_open){ .path = path, .fd = -1, .format = format, .read_only = read_only }, out);
}

static void disks(void **state)
{
    struct block *block;
    assert_int_equal(open_disk("/dev/xvda", "host_device", false, &block), 0);
    assert_string_equal(front.disk, "device/vbd/768");
    assert_false(block->read_only);
    assert_false(block->discard); /* nobody asked for it */
    assert_int_equal(open_disk("/dev/xvdc", NULL, true, &block), 0);
    assert_string_equal(front.disk, "device/vbd/5632");
    assert_true(block->read_only); /* though one could write to it */
    front.err = -ETIMEDOUT;
    assert_int_equal(open_disk("/dev/xvda", "raw", false, &block), -ETIMEDOUT);
}

static void a_disk_nobody_may_write_to(void **state)
{
    struct block *block;
    front.block.read_only = true;
    assert_int_equal(open_disk("/dev/xvda", "host_device", false, &block), -EROFS);
    assert_int_equal(front.closed, 1);
    assert_true(fakexen_said("its back end lets nobody write"));
}

static void no_such_disk(void **state)
{
    static const struct {
        const char *path, *format, *said;
        int err;
    } cases[] = {
        { "/dev/xvdb", "host_device", "the stubdomain was not given this disk", -ENOENT },
        { "/dev/xvd", "host_device", "/dev/xvda to /dev/xvdz only", -EINVAL },
        { "/dev/xvdaa", "host_device", "/dev/xvda to /dev/xvdz only", -EINVAL },
        { "/dev/xvd1", "host_device", "/dev/xvda to /dev/xvdz only", -EINVAL },
        { "/images/a.img", "raw", "/dev/xvda to /dev/xvdz only", -EINVAL },
        { NULL, "raw", "the new medium", -EINVAL },
        { "/dev/xvda", "qcow2", "image formats are the back end's business", -ENOTSUP },
    };
    struct block *block;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(open_disk(cases[i].path, cases[i].format, false, &block), cases[i].err);
        assert_true(fakexen_said(cases[i].said));
        assert_string_equal(front.disk, "");
    }
}

/* --- Files --- */

static void files(void **state)
{
    static const char archive[] = "070701"
                                  "00000001"
                                  "000081A4"
                                  "00000000"
                                  "00000000"
                                  "00000001"
                                  "00000000"
                                  "00000005"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000006"
                                  "00000000"
                                  "a.rom\0"
                                  "12345\0\0\0"
                                  "070701"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000001"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "00000000"
                                  "0000000B"
                                  "00000000"
                                  "TRAILER!!!\0\0\0\0";
    struct boot_info *boot = (struct boot_info *)(uintptr_t)boot_info(); /* the fake's */
    uint8_t *data = NULL;
    size_t len = 0;
    assert_int_equal(host.read_file(&host, "/usr/share/a.rom", 100, &data, &len), -ENOENT); /* no ramdisk */
    boot->ramdisk = archive;
    boot->ramdisk_bytes = sizeof(archive) - 1;
    assert_int_equal(host.read_file(&host, "/usr/share/a.rom", 5, &data, &len), 0);
    assert_int_equal(len, 5);
    assert_memory_equal(data, "12345", 5);
    free(data);
    assert_int_equal(host.read_file(&host, "/usr/share/a.rom", 4, &data, &len), -EFBIG);
    assert_int_equal(host.read_file(&host, "/usr/share/b.rom", 100, &data, &len), -ENOENT);
    boot->ramdisk_bytes = 120;
    assert_int_equal(host.read_file(&host, "/usr/share/a.rom", 100, &data, &len), -EINVAL);
    boot->ramdisk = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(consoles, setup, teardown),
        cmocka_unit_test_setup_teardown(no_such_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(disks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_nobody_may_write_to, setup, teardown),
        cmocka_unit_test_setup_teardown(no_such_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
