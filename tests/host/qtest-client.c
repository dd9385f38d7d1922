/* See qtest-client.h. */
#define _GNU_SOURCE
#include "qtest-client.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { MAX_ARGS = 40 };

bool client_init(struct client *c, const char *program)
{
    c->program = program;
    snprintf(c->folder, sizeof(c->folder), "/tmp/thindm-qtest-XXXXXX");
    return mkdtemp(c->folder) != NULL;
}

void client_finish(struct client *c)
{
    char *clean[] = { "/bin/rm", "-r", c->folder, NULL };
    (void)client_run(clean);
}

static int listen_at(const struct client *c, const char *name)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", c->folder, name);
    unlink(addr.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void await_input(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, CLIENT_WAIT_MS), 1);
}

static int accept_from(int fd)
{
    await_input(fd);
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

void client_start(struct client *c, const char *text)
{
    char line[1024];
    char *argv[MAX_ARGS];
    int n = 0;
    snprintf(line, sizeof(line),
             "%s -qtest unix:%s/qtest -qtest-log /dev/null -chardev socket,path=%s/qmp,id=char0 "
             "-mon chardev=char0,mode=control -display none %s -accel qtest",
             c->program, c->folder, c->folder, text);
    for (char *word = strtok(line, " "); word && n < MAX_ARGS - 1; word = strtok(NULL, " "))
        argv[n++] = word;
    argv[n] = NULL;
    c->listen_qtest = listen_at(c, "qtest");
    c->listen_qmp = listen_at(c, "qmp");
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[0], argv);
        _exit(127);
    }
    c->qtest = accept_from(c->listen_qtest);
    c->qmp = accept_from(c->listen_qmp);
}

const char *client_hear(struct client *c, int fd, unsigned lines)
{
    size_t len = 0;
    while (lines > 0) {
        await_input(fd);
        assert_true(len < CLIENT_REPLY_BYTES - 1);
        if (read(fd, c->reply + len, 1) != 1)
            fail_msg("the program hung up");
        lines -= c->reply[len++] == '\n';
    }
    c->reply[len] = '\0';
    return c->reply;
}

const char *client_ask(struct client *c, const char *format, ...)
{
    char line[80];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    assert_int_equal(write(c->qtest, line, strlen(line)), strlen(line));
    return client_hear(c, c->qtest, 1);
}

void client_tell(struct client *c, const char *command)
{
    assert_int_equal(write(c->qmp, command, strlen(command)), strlen(command));
}

int client_ended(struct client *c)
{
    int status = -1;
    for (unsigned ms = 0; waitpid(c->pid, &status, WNOHANG) == 0; ms++) {
        if (ms == CLIENT_WAIT_MS)
            kill(c->pid, SIGKILL);
        client_sleep_ms(1);
    }
    close(c->qtest);
    close(c->qmp);
    close(c->listen_qtest);
    close(c->listen_qmp);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int client_end(struct client *c)
{
    kill(c->pid, SIGTERM);
    return client_ended(c);
}

int client_run(char *const argv[])
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

void client_sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}
