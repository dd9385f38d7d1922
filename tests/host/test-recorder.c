/* What the flight recorder of the whole program leaves behind: of a hang, of a crash after it, and of a busy guest. */
#define _GNU_SOURCE
#include "player.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { START_MS = 20000, END_MS = 20000, TRIES = 60, MAX_ARGS = 32 };
enum { COM1_IER = 0x3f9, COM1_LSR = 0x3fd, COM1_SCRATCH = 0x3ff, IER_TX_EMPTY = 2 };

static const char *program, *fake_xen;
static char folder[] = "/tmp/thindm-test-XXXXXX";
static char trace[sizeof(folder) + 16], logs[sizeof(folder) + 16];

static struct player *start(void)
{
    static char recorder[sizeof(trace) + 32];
    snprintf(recorder, sizeof(recorder), "64k,file=%s", trace);
    char *const argv[MAX_ARGS] = {
        (char *)(uintptr_t)program,
        "-xen-domid",
        "1",
        "-no-shutdown",
        "-nodefaults",
        "-machine",
        "xenfv",
        "-m",
        "240",
        "-serial",
        "null",
        "-vga",
        "none",
        "-flight-recorder",
        recorder,
    };
    struct player *p = player_start(argv, fake_xen, logs, -1);
    assert_non_null(p);
    assert_true(player_wait_running(p, START_MS) != 0);
    return p;
}

static uint64_t port(struct player *p, uint16_t number, bool read, uint64_t data)
{
    bool ok = false;
    uint64_t val = 0;
    for (unsigned i = 0; i < TRIES && !ok; i++) { /* it may hang for long: on a busy machine CPU time is scarce */
        ok = true;
        val = player_port(p, number, 1, read, data, false, &ok);
    }
    assert_true(ok);
    return val;
}

/* Does a line of the command's output hold text? */
static bool says(const char *command, const char *file, const char *text)
{
    char line[1024];
    bool found = false;
    snprintf(line, sizeof(line), "%s %s %s 2>&1", *command == 'c' ? "" : program, command, file);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        found |= strstr(line, text) != NULL;
    pclose(f);
    return found;
}

/* Stuck in the request that raises an interrupt: written out meanwhile, told, and it goes on when it can. */
static void a_hang_is_written_out(void **state)
{
    setenv("FAKE_XEN_SPIN", trace, 1);
    struct player *p = start();
    unsetenv("FAKE_XEN_SPIN");
    port(p, COM1_IER, false, IER_TX_EMPTY);
    assert_true(says("trace dump", trace, "port write 0x3f9 size=1 value=0x2"));
    assert_int_equal(port(p, COM1_IER, true, 0), IER_TX_EMPTY);
    assert_true(says("cat", logs, "stuck in a write of type 0, size 1, at 0x3f9"));
    assert_true(says("replay", trace, "the same"));
    assert_true(says("replay", trace, "ends within a step"));
    port(p, COM1_SCRATCH, false, 0x5a);
    player_end(p, SIGSEGV, END_MS);
    assert_true(says("trace dump", trace, "port write 0x3ff size=1 value=0x5a")); /* the crash is what is there now */
    assert_true(says("replay", trace, "the same"));
}

static void a_busy_guest_is_replayed_from_a_snapshot(void **state)
{
    struct player *p = start();
    for (unsigned i = 0; i < 60000; i++)
        port(p, i % 3 ? COM1_LSR : COM1_SCRATCH, i % 3, i);
    player_end(p, SIGABRT, END_MS);
    assert_true(says("replay", trace, "begun at a snapshot"));
    assert_true(says("replay", trace, "the same"));
}

int main(int argc, char *argv[])
{
    if (argc < 3 || !mkdtemp(folder))
        return 1;
    program = argv[1];
    fake_xen = argv[2];
    snprintf(trace, sizeof(trace), "%s/trace", folder);
    snprintf(logs, sizeof(logs), "%s/log", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hang_is_written_out),
        cmocka_unit_test(a_busy_guest_is_replayed_from_a_snapshot),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(trace);
    unlink(logs);
    rmdir(folder);
    return failed;
}
