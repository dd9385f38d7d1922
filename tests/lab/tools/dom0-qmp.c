/*
 * Send QMP commands over a Unix socket, one connection, as libxl does: greeting, qmp_capabilities, then each argument
 * as it is, ended by CR LF. Prints every reply line; exit status 0 when all commands were answered, each reply line
 * ending in CR LF. 10 s without a reply is a failure.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int fd;

/* One line into buf, without its CR LF; events are printed and passed over. Nonzero on failure. */
static int reply(char *buf, size_t size)
{
    do {
        size_t len = 0;
        for (;;) {
            if (len + 1 >= size || read(fd, buf + len, 1) != 1) {
                fprintf(stderr, "qmp: no reply\n");
                return 1;
            }
            if (buf[len++] == '\n')
                break;
        }
        if (len < 2 || buf[len - 2] != '\r') {
            fprintf(stderr, "qmp: line does not end in CR LF\n");
            return 1;
        }
        buf[len - 2] = 0;
        puts(buf);
    } while (strstr(buf, "\"event\""));
    return 0;
}

static int command(const char *text)
{
    static char buf[65536];
    dprintf(fd, "%s\r\n", text);
    return reply(buf, sizeof(buf));
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval limit = { .tv_sec = 10 };
    static char buf[65536];
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", argc > 1 ? argv[1] : "");
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        perror(addr.sun_path);
        return 1;
    }
    if (reply(buf, sizeof(buf)) || command("{\"execute\":\"qmp_capabilities\",\"id\":1}"))
        return 1;
    for (int i = 2; i < argc; i++)
        if (command(argv[i]))
            return 1;
    return 0;
}
