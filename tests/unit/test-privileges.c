/* backends/linux/daemon.c. What drops privileges runs in a child; its exit status says how that went. */
#include "daemon.h"
#include "linux-world.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char error[CONFIG_ERROR_BYTES];

static void ids_are_decimal(void **state)
{
    struct runas r;
    assert_int_equal(runas_parse("65500:65501", &r, error), 0);
    assert_int_equal(r.uid, 65500);
    assert_int_equal(r.gid, 65501);
    assert_int_equal(r.nr_groups, 1);
    assert_int_equal(r.groups[0], 65501);
    assert_int_equal(runas_parse("1:0", &r, error), 0);
}

static void nonsense_and_root_are_refused(void **state)
{
    static const char *const bad[] = { "",
                                       ":",
                                       "1:",
                                       ":1",
                                       "1:2:3",
                                       "1:2 ",
                                       "-1:1",
                                       "+1:1",
                                       "0x10:1",
                                       "4294967295:1",
                                       "1:4294967295",
                                       "99999999999999999999:1",
                                       "no such user here" };
    struct runas r;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        error[0] = '\0';
        assert_int_equal(runas_parse(bad[i], &r, error), -ENOENT);
        assert_non_null(strstr(error, "-runas"));
    }
    assert_int_equal(runas_parse("0:5", &r, error), -EINVAL);
    assert_int_equal(runas_parse("root", &r, error), -EINVAL);
    assert_non_null(strstr(error, "root"));
}

static void names_bring_their_groups(void **state)
{
    struct runas r;
    const struct passwd *user = getpwnam("nobody");
    if (!user) {
        print_message("skipped: no user nobody\n");
        skip();
    }
    assert_int_equal(runas_parse("nobody", &r, error), 0);
    assert_int_equal(r.uid, user->pw_uid);
    assert_int_equal(r.gid, user->pw_gid);
    assert_true(r.nr_groups >= 1);
}

/* Runs fn in a child; its return value. */
static int in_child(int (*fn)(const char *dir), const char *dir)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn(dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int drop_all(const char *dir)
{
    struct runas r;
    gid_t groups[8];
    uid_t a, b, c;
    gid_t d, e, f;
    if (runas_parse("65500:65501", &r, error) || privileges_drop(dir, &r, error))
        return 1;
    if (getresuid(&a, &b, &c) || a != 65500 || b != 65500 || c != 65500)
        return 2;
    if (getresgid(&d, &e, &f) || d != 65501 || e != 65501 || f != 65501)
        return 3;
    if (getgroups(8, groups) != 1 || groups[0] != 65501)
        return 4;
    if (setuid(0) == 0 || setgid(0) == 0 || setgroups(0, NULL) == 0 || chroot("/") == 0)
        return 5;
    if (access("/inside", F_OK) != 0 || access("/etc", F_OK) == 0 || access("../../etc", F_OK) == 0)
        return 6;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 7;
    return umask(0) == 077 ? 0 : 8;
}

static int drop_nowhere(const char *dir)
{
    return privileges_drop("/no/such/root", NULL, error) == -ENOENT && strstr(error, "/no/such/root") ? 0 : 1;
}

/* A user who can't change may ask for it: refused, and not half done. */
static int drop_without_right(const char *dir)
{
    struct runas r;
    if (setresuid(65500, 65500, 65500) || runas_parse("65502:65502", &r, error))
        return 1;
    if (privileges_drop(NULL, &r, error) != -EPERM || !strstr(error, "setgroups"))
        return 2;
    return privileges_drop(dir, NULL, error) == -EPERM ? 0 : 3;
}

static int drop_nothing(const char *dir)
{
    mode_t mask = umask(022);
    umask(mask);
    if (privileges_drop(NULL, NULL, error) || umask(0) != mask)
        return 1;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : 2;
}

static void drops_are_final(void **state)
{
    struct world *w = world_new();
    if (geteuid() != 0) {
        print_message("skipped: not root\n");
        world_free(w);
        skip();
    }
    int fd = open(world_path(w, "inside"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chmod(w->dir, 0755), 0);
    assert_int_equal(in_child(drop_all, w->dir), 0);
    assert_int_equal(in_child(drop_without_right, w->dir), 0);
    world_free(w);
}

static void failures_are_told(void **state)
{
    if (geteuid() == 0)
        assert_int_equal(in_child(drop_nowhere, NULL), 0);
    assert_int_equal(in_child(drop_nothing, NULL), 0);
}

static void pidfile_has_the_pid(void **state)
{
    struct world *w = world_new();
    char text[32] = "", want[32];
    assert_int_equal(pidfile_write(world_path(w, "pid"), error), 0);
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    (void)snprintf(want, sizeof(want), "%ld\n", (long)getpid());
    assert_string_equal(text, want);
    assert_int_equal(pidfile_write("/no/such/place", error), -ENOENT);
    assert_non_null(strstr(error, "/no/such/place"));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_decimal),          cmocka_unit_test(nonsense_and_root_are_refused),
        cmocka_unit_test(names_bring_their_groups), cmocka_unit_test(drops_are_final),
        cmocka_unit_test(failures_are_told),        cmocka_unit_test(pidfile_has_the_pid),
    };
    return cmocka_run_group_tests_name("privileges", tests, NULL, NULL);
}
