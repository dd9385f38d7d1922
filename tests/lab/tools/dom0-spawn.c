/*
 * The lab's device_model_override: notes when the device model was started, then becomes it.
 * /lab/dm is a link to the real program; /run/lab/spawn gets "domid pid nanoseconds".
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char program[4096];
    const char *domid = NULL;
    struct timespec t;
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], "-xen-domid"))
            domid = argv[i + 1];
    if (readlink("/lab/dm", program, sizeof(program) - 1) < 0)
        return 1;
    argv[0] = program;
    FILE *f = domid ? fopen("/run/lab/spawn.new", "we") : NULL;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (f) {
        fprintf(f, "%s %d %lld\n", domid, (int)getpid(), t.tv_sec * 1000000000LL + t.tv_nsec);
        fclose(f);
        rename("/run/lab/spawn.new", "/run/lab/spawn"); /* a reader never sees half a line */
    }
    execv(program, argv);
    perror(program);
    return 127;
}
