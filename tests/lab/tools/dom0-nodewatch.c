/*
 * Print "nanoseconds domid value" whenever a device model writes its state node in xenstore.
 * Speaks the xenstore protocol itself (xs_wire.h), so that it links statically with the C library alone.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/local/domain/0/device-model"

enum { XS_READ = 2, XS_WATCH = 4, XS_WATCH_EVENT = 15 };

struct message {
    uint32_t type, req_id, tx_id, len;
    char body[4097];
};

static int fd;

static void get(void *to, size_t len)
{
    for (char *p = to; len > 0;) {
        ssize_t n = read(fd, p, len);
        if (n <= 0)
            exit(0);
        p += n;
        len -= (size_t)n;
    }
}

static void send_message(uint32_t type, const char *body, size_t len)
{
    struct message m = { .type = type, .len = (uint32_t)len };
    memcpy(m.body, body, len);
    if (write(fd, &m, 16 + len) < 0)
        exit(1);
}

int main(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "/var/run/xenstored/socket" };
    static struct message m;
    char path[4097] = "";
    struct timespec t;

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        perror(addr.sun_path);
        return 1;
    }
    send_message(XS_WATCH, ROOT "\0t", sizeof(ROOT "\0t"));
    for (;;) {
        get(&m, 16);
        if (m.len > sizeof(m.body) - 1)
            return 1;
        get(m.body, m.len);
        m.body[m.len] = 0;
        if (m.type == XS_WATCH_EVENT && strlen(m.body) > 6 && !strcmp(m.body + strlen(m.body) - 6, "/state")) {
            clock_gettime(CLOCK_MONOTONIC, &t);
            strcpy(path, m.body);
            send_message(XS_READ, path, strlen(path) + 1);
        } else if (m.type == XS_READ) {
            printf("%lld %d %s\n", t.tv_sec * 1000000000LL + t.tv_nsec, atoi(path + sizeof(ROOT)), m.body);
            fflush(stdout);
        }
    }
}
