/* Rules across options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <thindm/config.h>

static void expect(const struct config *config, const char *want)
{
    char error[CONFIG_ERROR_BYTES] = "";
    assert_int_equal(config_check(config, error), *want ? -EINVAL : 0);
    assert_string_equal(error, want);
}

static void defaults(void **state)
{
    struct config c;
    config_init(&c);
    assert_int_equal(c.domid, -1);
    assert_int_equal(c.vcpus, 1);
    assert_int_equal(c.max_vcpus, 1);
    assert_int_equal(c.ram_bytes, 128 * MIB);
    assert_string_equal(c.boot_order, "cad");
    expect(&c, "-xen-domid: missing; thindm needs the domain to serve");
    c.domid = 1;
    expect(&c, "");
    config_free(&c);
}

static void no_machine_no_domain(void **state)
{
    struct config c;
    config_init(&c);
    c.machine = MACHINE_NONE;
    expect(&c, "");
    c.domid = 1;
    expect(&c, "-machine none: can't serve a domain, but -xen-domid is given");
}

static void drives_of_every_controller_are_checked(void **state)
{
    struct config c;
    config_init(&c);
    c.domid = 1;
    c.nvme = true;
    c.nvme_disks[7] = (struct config_drive){ .present = true, .id = "d" };
    expect(&c, "-drive d: a disk needs a file; only CD and floppy drives can be empty");
    c.nvme_disks[7].path = CONFIG_NULL_DISK;
    expect(&c, "-drive d: null-co:// is for qtest clients only");
    c.nvme_disks[7].path = "/a";
    c.nvme_disks[7].read_only = true;
    expect(&c, "");
    c.ide[1] = (struct config_drive){ .present = true, .id = "d", .path = "/b" };
    expect(&c, "-drive d: two drives have this id");
    c.ide[1].present = false;
    c.machine = MACHINE_XENPV;
    expect(&c, "-machine xenpv: has no emulated devices, but -drive or -device gives one");
}

static void test_clients(void **state)
{
    struct config c;
    config_init(&c);
    c.qtest = c.platform = true;
    c.qtest_log = "none";
    c.ide[0] = (struct config_drive){ .present = true, .id = "ide0-hd0", .path = CONFIG_NULL_DISK };
    expect(&c, "");
    c.domid = 1;
    expect(&c, "-xen-domid: a qtest client drives a domain of its own");
    c.domid = -1;
    c.domid_restrict = true;
    expect(&c, "-xen-domid-restrict: there is no Xen under a qtest client");
    c.domid_restrict = c.qtest = false;
    c.domid = 1;
    expect(&c, "-machine platform=on: a Xen guest has its interrupt controllers and timers from Xen");
    c.platform = false;
    expect(&c, "-qtest-log: needs -qtest or -accel qtest");
    c.qtest_log = NULL;
    expect(&c, "-drive ide0-hd0: null-co:// is for qtest clients only");
}

static void back_ends_only(void **state)
{
    struct config c;
    config_init(&c);
    c.domid = 1;
    c.xen_attach = true;
    expect(&c, "-xen-attach: only with -machine xenpv");
    c.machine = MACHINE_XENPV;
    expect(&c, "");
    c.domid_restrict = true;
    expect(&c, "-xen-domid-restrict: PV back ends need xenstore and grants, which it takes away");
    c.domid_restrict = false;
    c.ide[2] = (struct config_drive){ .present = true, .cdrom = true, .id = "cd" };
    expect(&c, "-machine xenpv: has no emulated devices, but -drive or -device gives one");
    c.ide[2].present = false;
    c.domid = -1;
    expect(&c, "-xen-domid: missing; thindm needs the domain to serve");
    c.qtest = true;
    expect(&c, "-machine xenpv: there is no Xen under a qtest client");
}

static void more_cpus_than_possible(void **state)
{
    struct config c;
    config_init(&c);
    c.domid = 1;
    c.vcpus = 3;
    c.max_vcpus = 2;
    expect(&c, "-smp: 3 CPUs are more than maxcpus=2");
}

static void drives(void **state)
{
    struct config c;
    config_init(&c);
    c.domid = 1;
    c.ide[0] = (struct config_drive){ .present = true, .id = "ide0-hd0" };
    expect(&c, "-drive ide0-hd0: a disk needs a file; only CD and floppy drives can be empty");
    c.ide[0].path = "/x";
    expect(&c, "");
    c.ide[0].read_only = true;
    expect(&c, "-drive ide0-hd0: IDE disks can't be read-only; only CD drives are");
    c.ide[0].read_only = false;
    c.ide[3] = (struct config_drive){ .present = true, .cdrom = true, .read_only = true, .id = "ide0-hd0" };
    expect(&c, "-drive ide0-hd0: two drives have this id");
    strcpy(c.ide[3].id, "cd");
    expect(&c, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(no_machine_no_domain),
        cmocka_unit_test(drives_of_every_controller_are_checked),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(back_ends_only),
        cmocka_unit_test(more_cpus_than_possible),
        cmocka_unit_test(drives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
