/*
 * Watch the file a guest's serial port writes to, and print "marker nanoseconds cpu" when a text first occurs in it:
 * the time, and the CPU time the device model (second field of the file SPAWN) has used so far, ended threads included.
 * Usage: serialclock SERIAL SPAWN TEXT...; ends when the last text was seen. Looks every 20 ms: a figure is that coarse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long ns(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? -1 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long cpu_of_model(const char *spawn)
{
    int domid, pid;
    clockid_t clock;
    FILE *f = fopen(spawn, "r");
    if (!f)
        return -1;
    int got = fscanf(f, "%d %d", &domid, &pid);
    fclose(f);
    return got == 2 && !clock_getcpuclockid(pid, &clock) ? ns(clock) : -1;
}

int main(int argc, char **argv)
{
    static char text[1 << 20];
    size_t len = 0;
    FILE *f = NULL;
    int next = 3;
    while (next < argc) {
        usleep(20000);
        if (!f && !(f = fopen(argv[1], "r")))
            continue;
        clearerr(f);
        len += fread(text + len, 1, sizeof(text) - 1 - len, f);
        for (char *p = text; p < text + len; p++) /* a stray NUL must not hide the rest */
            if (!*p)
                *p = ' ';
        while (next < argc && strstr(text, argv[next])) {
            printf("%d %lld %lld\n", next - 2, ns(CLOCK_MONOTONIC), cpu_of_model(argv[2]));
            fflush(stdout);
            next++;
        }
    }
    return 0;
}
