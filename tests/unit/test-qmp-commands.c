/* The commands of the monitor: what libxl, xenopsd and libxenstat send and read. */
#include "qmp-bench.h"

static void statistics_client(void **state)
{
    struct bench *b = *state;
    struct peer *p = &b->peers[1];
    connect_peer(p);
    give(p, "{ \"execute\": \"qmp_capabilities\" }");
    assert_string_equal(p->out, "{\"return\": {}}\r\n");
    give(p, "{ \"execute\": \"query-blockstats\" }");
    assert_non_null(strstr(p->out, "{\"return\": [{\"device\": \"ide0-hd0\", \"stats\": {\"rd_operations\": 3, "));
    assert_non_null(strstr(p->out, "\"rd_bytes\": 1536"));
    assert_non_null(strstr(p->out, "\"failed_rd_operations\": 1, \"invalid_rd_operations\": 2"));
    assert_non_null(strstr(p->out, "\"rd_total_time_ns\": 77"));
    assert_non_null(strstr(p->out, "\"wr_operations\": 0"));
    assert_non_null(strstr(p->out, "\"flush_operations\": 0"));
    assert_non_null(strstr(p->out, "\"wr_highest_offset\": 4096"));
    give(p, "{ \"execute\": \"query-block\" }");
    assert_non_null(
        strstr(p->out, "{\"return\": [{\"device\": \"ide0-hd0\", \"type\": \"unknown\", \"removable\": false, "
                       "\"locked\": false, \"io-status\": \"ok\", \"inserted\": {\"file\": \"/srv/\\\"vm\\\".img\", "
                       "\"ro\": false, \"drv\": \"qcow2\", \"image\": {"));
    assert_non_null(strstr(p->out, "\"format\": \"qcow2\", \"virtual-size\": 1048576}"));
    assert_non_null(strstr(p->out, "\"cache\": {\"writeback\": true, \"direct\": false, \"no-flush\": false}"));
    assert_non_null(
        strstr(p->out, "{\"device\": \"ide-5632\", \"qdev\": \"ide-5632\", \"type\": \"unknown\", \"removable\": true, "
                       "\"locked\": false, \"io-status\": \"failed\", \"tray_open\": true}]}"));
}

static void arguments_are_strict(void **state)
{
    struct peer *p = negotiated(state);
    expect_error(p, "{\"execute\":\"cont\",\"arguments\":{\"x\":1}}", "GenericError", "unknown argument 'x'");
    expect_error(p, "{\"execute\":\"xen-set-global-dirty-log\"}", "GenericError", "argument 'enable' is missing");
    expect_error(p, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":1}}", "GenericError",
                 "argument 'enable' is not true or false");
    expect_error(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":1}}", "GenericError",
                 "argument 'id' is not a string");
    expect_error(p, "{\"execute\":\"cpu-add\",\"arguments\":{\"id\":\"1\"}}", "GenericError",
                 "argument 'id' is not an integer");
    expect_error(p, "{\"execute\":\"cpu-add\",\"arguments\":{\"id\":1,\"id\":2}}", "GenericError",
                 "argument 'id' is there twice");
    expect_error(p,
                 "{\"execute\":\"eject\",\"arguments\":{\"id\":"
                 "\"0123456789012345678901234567890123456789012345678901234567890123\"}}",
                 "GenericError", "argument 'id' is longer than 63 bytes");
    expect_error(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"a\\u0000\"}}", "GenericError",
                 "argument 'id' is not a usable string");
    expect(
        p, "{\"execute\":\"cont\",\"arguments\":{}}", /* the event comes first, as clients know it */
        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 42}, \"event\": \"RESUME\"}\r\n{\"return\": {}}");
}

static void what_libxl_reads_after_the_start(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(
        p, "{\"execute\":\"query-chardev\",\"id\":1}",
        "{\"return\": [{\"frontend-open\": true, \"filename\": \"unix:/run/q,server=on\", \"label\": \"libxl-cmd\"}, "
        "{\"frontend-open\": true, \"filename\": \"pty:/dev/pts/3\", \"label\": \"serial0\"}], \"id\": 1}");
    expect(p, "{\"execute\":\"query-vnc\"}", "{\"return\": {\"enabled\": false}}");
    expect_error(p, "{\"execute\":\"change-vnc-password\",\"arguments\":{\"password\":\"x\"}}", "GenericError",
                 "there is no VNC server whose password could be changed");
    expect(p, "{\"execute\":\"query-version\"}",
           "{\"return\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"thindm 0.1.0\"}}");
    static const char *const names[] = { "prelaunch", "running", "paused", "shutdown", "suspended", "inmigrate" };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        char reply[128];
        b->status = (enum qmp_status)i;
        snprintf(reply, sizeof(reply), "{\"return\": {\"running\": %s, \"singlestep\": false, \"status\": \"%s\"}}",
                 i == QMP_RUNNING ? "true" : "false", names[i]);
        expect(p, "{\"execute\":\"query-status\"}", reply);
    }
}

static void stop_and_continue(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    b->no_event = true;
    expect(p, "{\"execute\":\"cont\"}", "{\"return\": {}}");
    assert_int_equal(b->status, QMP_RUNNING);
    expect(p, "{\"execute\":\"stop\",\"id\":1}", "{\"return\": {}, \"id\": 1}");
    assert_int_equal(b->status, QMP_PAUSED);
    b->fail = -EIO;
    expect_error(p, "{\"execute\":\"cont\"}", "GenericError", "it did not work");
    assert_int_equal(b->status, QMP_PAUSED);
    expect(p, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":true}}", "{\"return\": {}}");
    assert_true(b->dirty_log);
    b->fail = -EIO;
    expect_error(p, "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":false}}", "GenericError",
                 "the command failed: error 5");
    expect(p, "{\"execute\":\"system_reset\"}", "{\"return\": {}}");
    b->fail = -EINVAL;
    expect_error(p, "{\"execute\":\"system_wakeup\"}", "GenericError", "it did not work");
    expect_error(p, "{\"execute\":\"system_powerdown\"}", "GenericError",
                 "this is not supported"); /* no such operation */
}

static void flight_recorder(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"x-flight-recorder\",\"arguments\":{\"filename\":\"/tmp/x\"}}", "{\"return\": {}}");
    assert_string_equal(b->last, "flight -1 /tmp/x");
    b->fail = -ENOTSUP;
    expect_error(p, "{\"execute\":\"x-flight-recorder\",\"arguments\":{\"filename\":\"/tmp/x\"}}", "GenericError",
                 "it did not work");
    expect_error(p, "{\"execute\":\"x-flight-recorder\",\"arguments\":{\"filename\":\"/dev/fdset/9\"}}", "GenericError",
                 "there is no descriptor set /dev/fdset/9");
}

static void quit_answers_first(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"quit\",\"id\":3}", "{\"return\": {}, \"id\": 3}");
    assert_int_equal(b->quits, 1);
    assert_int_equal(b->quit_after, strlen("{\"return\": {}, \"id\": 3}\r\n"));
}

static void probe_of_master(void **state)
{
    static const char reply[] = "{\"return\": [{\"parameters\": [{\"name\": \"chroot\", \"type\": \"string\"}, "
                                "{\"name\": \"user\", \"type\": \"string\"}], \"option\": \"run-with\"}]}";
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"query-command-line-options\"}", reply);
    expect(p, "{\"execute\":\"query-command-line-options\",\"arguments\":{\"option\":\"run-with\"}}", reply);
    expect_error(p, "{\"execute\":\"query-command-line-options\",\"arguments\":{\"option\":\"x\"}}", "GenericError",
                 "there is no description of this option");
}

static void cpus(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"query-cpus-fast\"}",
           "{\"return\": [{\"thread-id\": 0, \"props\": {\"core-id\": 0, \"thread-id\": 0, \"socket-id\": 0}, "
           "\"qom-path\": \"/machine/unattached/cpu[0]\", \"cpu-index\": 0, \"target\": \"i386\"}]}");
    expect(p, "{\"execute\":\"query-cpus\"}",
           "{\"return\": [{\"arch\": \"x86\", \"current\": true, \"qom_path\": \"/machine/unattached/cpu[0]\", "
           "\"halted\": false, \"CPU\": 0, \"thread_id\": 0}]}");
    give(p, "{\"execute\":\"query-hotpluggable-cpus\"}");
    assert_non_null(strstr(p->out, "{\"return\": [{\"props\": {\"core-id\": 0, \"thread-id\": 0, \"socket-id\": 0}, "
                                   "\"vcpus-count\": 1, \"qom-path\": \"/machine/unattached/cpu[0]\", "
                                   "\"type\": \"qemu32-i386-cpu\"}, "));
    assert_non_null(strstr(p->out, "\"socket-id\": 3}, \"vcpus-count\": 1, \"type\": \"qemu32-i386-cpu\"}]}"));
    expect(p,
           "{\"execute\":\"device_add\",\"id\":1,\"arguments\":{\"id\":\"cpu-2\",\"driver\":\"qemu32-i386-cpu\","
           "\"socket-id\":2,\"core-id\":0,\"thread-id\":0}}",
           "{\"return\": {}, \"id\": 1}");
    assert_int_equal(b->online, 5);
    expect(p, "{\"execute\":\"cpu-add\",\"arguments\":{\"id\":1}}", "{\"return\": {}}");
    assert_int_equal(b->online, 7);
    expect_error(p, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"qemu32-i386-cpu\",\"socket-id\":4}}",
                 "GenericError", "argument 'socket-id' is not a number from 0 to 3");
    expect_error(
        p, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"qemu32-i386-cpu\",\"socket-id\":1,\"core-id\":1}}",
        "GenericError", "argument 'core-id' is not a number from 0 to 0");
    expect_error(p,
                 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"qemu32-i386-cpu\",\"socket-id\":1,\"x\":1}}",
                 "GenericError", "a CPU has the properties socket-id, core-id and thread-id only");
    expect_error(p, "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"qemu32-i386-cpu\"}}", "GenericError",
                 "argument 'socket-id' is not a number from 0 to 3");
}

static void devices(void **state)
{
    struct peer *p = negotiated(state);
    expect_error(
        p,
        "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"xen-pci-passthrough\",\"id\":\"pci-pt-03_00.0\","
        "\"hostaddr\":\"0000:03:00.0\",\"permissive\":true}}",
        "GenericError", "'xen-pci-passthrough' is not a valid device model name");
    expect_error(p, "{\"execute\":\"device_add\",\"arguments\":{\"id\":\"x\"}}", "GenericError",
                 "argument 'driver' is missing");
    expect_error(p, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"pci-pt-03_00.0\"}}", "DeviceNotFound",
                 "Device 'pci-pt-03_00.0' not found");
    expect(p, "{\"execute\":\"query-pci\"}", "{\"return\": [{\"bus\": 0, \"devices\": []}]}");
    expect(p, "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/peripheral\"}}", "{\"return\": []}");
    expect(p, "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info version\"}}",
           "{\"return\": \"thindm has no text monitor\\u000d\\u000a\"}");
    expect_error(p, "{\"execute\":\"query-migratable\"}", "CommandNotFound",
                 "The command query-migratable has not been found");
    expect_error(p,
                 "{\"execute\":\"xen-save-devices-state\",\"arguments\":{\"filename\":\"/dev/fdset/0\",\"live\":true}}",
                 "GenericError", "the state of the devices can't be saved or loaded yet");
    expect_error(p, "{\"execute\":\"xen-load-devices-state\",\"arguments\":{\"filename\":\"/x\"}}", "GenericError",
                 "the state of the devices can't be saved or loaded yet");
}

static void commands_are_listed(void **state)
{
    static const char *const must[] = {
        "qmp_capabilities",
        "query-version",
        "query-status",
        "query-chardev",
        "query-vnc",
        "change-vnc-password",
        "cont",
        "stop",
        "quit",
        "query-cpus-fast",
        "add-fd",
        "xen-save-devices-state",
        "xen-set-global-dirty-log",
        "eject",
        "blockdev-change-medium",
        "human-monitor-command",
        "query-command-line-options",
        "query-commands",
        "query-hotpluggable-cpus",
        "device_add",
        "device_del",
        "query-pci",
        "system_wakeup",
        "query-block",
        "query-blockstats",
        "query-fdsets",
        "remove-fd",
    };
    struct peer *p = negotiated(state);
    give(p, "{\"execute\":\"query-commands\"}");
    for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
        char element[80];
        snprintf(element, sizeof(element), "{\"name\": \"%s\"}", must[i]);
        if (!strstr(p->out, element))
            fail_msg("%s is not listed", must[i]);
    }
}

static void change_of_the_cd(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}", "{\"return\": {}}");
    assert_string_equal(b->last, "eject ide-5632 0");
    p->chr.user->fd(p->chr.opaque, 20);
    expect(p, "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"raw:/path/of.iso\"},\"id\":1}",
           "{\"return\": {\"fd\": 20, \"fdset-id\": 0}, \"id\": 1}");
    expect(p, "{\"execute\":\"query-fdsets\"}",
           "{\"return\": [{\"fdset-id\": 0, \"fds\": [{\"fd\": 20, \"opaque\": \"raw:/path/of.iso\"}]}]}");
    expect(p,
           "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide-5632\",\"filename\":\"/dev/fdset/0\","
           "\"format\":\"raw\"}}",
           "{\"return\": {}}");
    assert_string_equal(b->last, "change ide-5632 fd /path/of.iso raw"); /* as query-block will show it */
    assert_int_equal(b->last_fd, 120);
    assert_int_equal(b->nr_closed, 0); /* the set stays while the client does */
    leave(p);
    assert_int_equal(b->nr_closed, 1);
    assert_int_equal(b->closed[0], 20);
}

static void a_disk_that_grew(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"51712\",\"size\":21474836480}}",
           "{\"return\": {}}");
    assert_string_equal(b->last, "resize 51712 21474836480");
    expect_error(p, "{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"51712\"}}", "GenericError",
                 "argument 'size' is missing");
    expect_error(p, "{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"51712\",\"size\":-1}}", "GenericError",
                 "argument 'size' is not a number from 0 to 9223372036854775807");
    b->fail = -ENODEV;
    expect_error(p, "{\"execute\":\"block_resize\",\"arguments\":{\"id\":\"a\",\"size\":512}}", "DeviceNotFound",
                 "it did not work");
}

static void drives_by_either_name(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect(p, "{\"execute\":\"eject\",\"arguments\":{\"device\":\"ide0-cd0\",\"force\":true}}", "{\"return\": {}}");
    assert_string_equal(b->last, "eject ide0-cd0 1");
    expect_error(p, "{\"execute\":\"eject\"}", "GenericError",
                 "exactly one of the arguments 'id' and 'device' is needed");
    expect_error(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"a\",\"device\":\"b\"}}", "GenericError",
                 "exactly one of the arguments 'id' and 'device' is needed");
    expect_error(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"\"}}", "DeviceNotFound", "Device '' not found");
    b->fail = -ENODEV;
    expect_error(p, "{\"execute\":\"eject\",\"arguments\":{\"id\":\"a\"}}", "DeviceNotFound", "it did not work");
    expect(p,
           "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"device\":\"ide0-cd0\",\"filename\":\"/a.iso\"}}",
           "{\"return\": {}}");
    assert_string_equal(b->last, "change ide0-cd0 /a.iso -");
    assert_int_equal(b->last_fd, -1);
    static const char *const sets[] = { "/dev/fdset/0",  "/dev/fdset/",   "/dev/fdset/x",
                                        "/dev/fdset/-1", "/dev/fdset/0x", "/dev/fdset/99999999999999999999" };
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        char request[200], error[100];
        snprintf(request, sizeof(request),
                 "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"a\",\"filename\":\"%s\"}}", sets[i]);
        snprintf(error, sizeof(error), "there is no descriptor set %s", sets[i]);
        expect_error(p, request, "GenericError", error);
    }
    p->chr.user->fd(p->chr.opaque, 5);
    give(p, "{\"execute\":\"add-fd\"}");
    b->next_dup = -EMFILE;
    expect_error(p,
                 "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"a\",\"filename\":\"/dev/fdset/0\"}}",
                 "GenericError", "/dev/fdset/0 can't be duplicated: error 24");
}

static void arguments_of_a_change(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    static const struct {
        const char *arguments, *did, *error;
    } rows[] = {
        { "\"format\":\"qcow2\"", "change a /a.iso qcow2", NULL },
        { "\"force\":true", "change a /a.iso - force", NULL },
        { "\"force\":false,\"read-only-mode\":\"retain\"", "change a /a.iso -", NULL },
        { "\"read-only-mode\":\"read-only\"", "change a /a.iso -", NULL },
        { "\"read-only-mode\":\"read-write\"", NULL, "a CD can't be written" },
        { "\"read-only-mode\":\"\"", NULL, "argument 'read-only-mode' is not retain, read-only or read-write" },
        { "\"format\":\"a-format-of-an-image\"", NULL, "argument 'format' is longer than 15 bytes" },
        { "\"target\":\"/a.iso\"", NULL, "unknown argument 'target'" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char request[200];
        b->last[0] = '\0';
        snprintf(request, sizeof(request),
                 "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"a\",\"filename\":\"/a.iso\",%s}}",
                 rows[i].arguments);
        if (rows[i].error)
            expect_error(p, request, "GenericError", rows[i].error);
        else
            expect(p, request, "{\"return\": {}}");
        assert_string_equal(b->last, rows[i].did ? rows[i].did : "");
    }
}

/* What an owner says of a descriptor that is no FORMAT:PATH is no name. */
static void names_of_descriptors(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    static const char *const rows[][2] = { { "{}", "/dev/fdset/0" },
                                           { "{\"opaque\":\"\"}", "/dev/fdset/0" },
                                           { "{\"opaque\":\"stub-devid:5632\"}", "/dev/fdset/0" },
                                           { "{\"opaque\":\"raw:/a:/b c\"}", "/a:/b c" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char request[200];
        p->chr.user->fd(p->chr.opaque, 30);
        snprintf(request, sizeof(request), "{\"execute\":\"add-fd\",\"arguments\":%s}", rows[i][0]);
        expect(p, request, "{\"return\": {\"fd\": 30, \"fdset-id\": 0}}");
        expect(p, "{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"a\",\"filename\":\"/dev/fdset/0\"}}",
               "{\"return\": {}}");
        snprintf(request, sizeof(request), "change a fd %s -", rows[i][1]);
        assert_string_equal(b->last, request);
        expect(p, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}", "{\"return\": {}}");
    }
}

static void fd_sets(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    expect_error(p, "{\"execute\":\"add-fd\"}", "GenericError", "no file descriptor came with the command");
    p->chr.user->fd(p->chr.opaque, 10);
    give(p, " "); /* xenopsd: on a blank before the command */
    p->chr.user->fd(p->chr.opaque, 11);
    assert_int_equal(b->nr_closed, 1); /* nobody took the first */
    assert_int_equal(b->closed[0], 10);
    expect(p, "{\"execute\":\"add-fd\"}", "{\"return\": {\"fd\": 11, \"fdset-id\": 0}}");
    expect_error(p, "{\"execute\":\"add-fd\"}", "GenericError", "no file descriptor came with the command");
    p->chr.user->fd(p->chr.opaque, 12);
    expect(p, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":7}}", "{\"return\": {\"fd\": 12, \"fdset-id\": 7}}");
    p->chr.user->fd(p->chr.opaque, 13);
    expect(p, "{\"execute\":\"add-fd\"}", "{\"return\": {\"fd\": 13, \"fdset-id\": 1}}");
    p->chr.user->fd(p->chr.opaque, 14);
    expect_error(p, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":-1}}", "GenericError",
                 "argument 'fdset-id' is not a number from 0 to 2147483647");
    expect(p, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":7}}", "{\"return\": {\"fd\": 14, \"fdset-id\": 7}}");
    expect(p, "{\"execute\":\"query-fdsets\"}",
           "{\"return\": [{\"fdset-id\": 0, \"fds\": [{\"fd\": 11}]}, {\"fdset-id\": 7, \"fds\": [{\"fd\": 12}, "
           "{\"fd\": 14}]}, "
           "{\"fdset-id\": 1, \"fds\": [{\"fd\": 13}]}]}");
    expect(p, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":7,\"fd\":12}}", "{\"return\": {}}");
    expect_error(p, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":7,\"fd\":12}}", "GenericError",
                 "there is no such descriptor set or descriptor");
    expect(p, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":0}}", "{\"return\": {}}");
    assert_int_equal(b->nr_closed, 3);
    connect_peer(&b->peers[1]);
    p->chr.user->fd(p->chr.opaque, 15);
    leave(p); /* the sets stay for the other client, the descriptor without a set goes */
    assert_int_equal(b->nr_closed, 4);
    assert_int_equal(b->closed[3], 15);
    leave(&b->peers[1]);
    assert_int_equal(b->nr_closed, 6);
}

static void too_many_fds(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    for (int i = 0; i < 16; i++) {
        p->chr.user->fd(p->chr.opaque, 10 + i);
        give(p, "{\"execute\":\"add-fd\",\"arguments\":{\"opaque\":\"\"}}");
        assert_non_null(strstr(p->out, "\"fdset-id\""));
    }
    p->chr.user->fd(p->chr.opaque, 99);
    expect_error(p, "{\"execute\":\"add-fd\"}", "GenericError", "there are 16 descriptors already; remove-fd some");
    qmp_destroy(b->qmp);
    assert_int_equal(b->nr_closed, 17);
    struct qmp_config config = { .loop = &b->loop, .ops = &ops, .opaque = b, .max_vcpus = 1 };
    assert_int_equal(qmp_create(&config, &b->qmp), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(statistics_client),
        TEST(arguments_are_strict),
        TEST(what_libxl_reads_after_the_start),
        TEST(stop_and_continue),
        TEST(flight_recorder),
        TEST(quit_answers_first),
        TEST(probe_of_master),
        TEST(cpus),
        TEST(devices),
        TEST(commands_are_listed),
        TEST(change_of_the_cd),
        TEST(arguments_of_a_change),
        TEST(names_of_descriptors),
        TEST(drives_by_either_name),
        TEST(a_disk_that_grew),
        TEST(fd_sets),
        TEST(too_many_fds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
