/*
 * A target without a fuzzer: runs the inputs it is given, and pseudo-random ones that are the same every time.
 *
 *     fuzz-X [--random N] [--unpack FOLDER] FILE|FOLDER...    runs, or writes what it would have run into FOLDER
 *     fuzz-X --pack FILE FOLDER...                            makes one file of all inputs
 *
 * A file named "pack" holds many inputs: each with its length before it, 16 bits, low byte first. One whose name ends in ".txt" is text
 * (assemble.c).
 */
#include "entry.h"
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* An input that takes longer than this hangs the guest's CPU and the toolstack: a bug. */
enum { LIMIT_MS = 1500, HANG_S = 20, INPUT_BYTES = 65535, RANDOM_BYTES = 160, PATH_BYTES = 512 };

struct replay {
    unsigned long inputs, random;
    const char *unpack;
    FILE *pack;
    /* All inputs so far, to derive others from. */
    struct kept_input {
        uint8_t *data;
        size_t len;
    } *kept;
    size_t nr_kept;
    uint32_t seed;
};

static const char *present = "nothing"; /* for the message of a hang */

static void hang(int sig)
{
    static const char text[] = "fuzz: takes too long: ";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)!write(STDERR_FILENO, present, strlen(present));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

static unsigned long cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (unsigned long)t.tv_sec * 1000 + (unsigned long)t.tv_nsec / 1000000;
}

static void unpack(const struct replay *r, const uint8_t *data, size_t len)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%06lu", r->unpack, r->inputs);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, len, file) != len || fclose(file))
        fuzz_bug("can't write %s", path);
}

static void run(struct replay *r, const uint8_t *data, size_t len)
{
    unsigned long start = cpu_ms();
    if (r->unpack)
        unpack(r, data, len);
    r->inputs++;
    if (r->unpack)
        return;
    alarm(HANG_S);
    LLVMFuzzerTestOneInput(data, len);
    alarm(0);
    if (cpu_ms() - start > LIMIT_MS)
        fuzz_bug("%s: %lu ms", present, cpu_ms() - start);
}

static void one(struct replay *r, const uint8_t *data, size_t len)
{
    struct kept_input *kept = realloc(r->kept, (r->nr_kept + 1) * sizeof(*kept));
    uint8_t *copy = malloc(len + 1); /* its own block: a step beyond the end is seen */
    if (!kept || !copy)
        fuzz_bug("no memory");
    memcpy(copy, data, len);
    r->kept = kept;
    r->kept[r->nr_kept++] = (struct kept_input){ copy, len };
    if (r->pack) {
        uint8_t head[2];
        le16_put(head, (uint16_t)len);
        if (fwrite(head, 1, 2, r->pack) != 2 || fwrite(data, 1, len, r->pack) != len)
            fuzz_bug("can't write the pack");
    } else {
        run(r, copy, len);
    }
}

static void many(struct replay *r, const uint8_t *data, size_t len)
{
    for (size_t at = 0; len - at >= 2;) {
        size_t n = le16_get(data + at);
        at += 2;
        if (n > len - at)
            fuzz_bug("%s is cut short", present);
        one(r, data + at, n);
        at += n;
    }
}

static void text(struct replay *r, const char *path)
{
    static uint8_t data[INPUT_BYTES];
    one(r, data, fuzz_entry_assemble(path, data, sizeof(data)));
}

static void file(struct replay *r, const char *path)
{
    const char *name = strrchr(path, '/');
    const char *end = strrchr(path, '.');
    present = path;
    if (end && !strcmp(end, ".txt")) {
        text(r, path);
        return;
    }
    FILE *in = fopen(path, "rb");
    if (!in)
        fuzz_bug("can't open %s", path);
    (void)fseek(in, 0, SEEK_END);
    long size = ftell(in);
    rewind(in);
    size_t len = size > 0 ? (size_t)size : 0;
    uint8_t *data = malloc(len + 1);
    if (!data || fread(data, 1, len, in) != len)
        fuzz_bug("can't read %s", path);
    (void)fclose(in);
    if (!strcmp(name ? name + 1 : path, "pack"))
        many(r, data, len);
    else
        one(r, data, len < INPUT_BYTES ? len : INPUT_BYTES);
    free(data);
}

/* In the order of their names: the same everywhere. */
static void folder(struct replay *r, const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        file(r, path);
        return;
    }
    for (int i = 0; i < n; i++) {
        char inner[PATH_BYTES];
        (void)snprintf(inner, sizeof(inner), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            file(r, inner);
        free(names[i]);
    }
    free(names);
}

static uint32_t next_random(struct replay *r)
{
    r->seed ^= r->seed << 13; /* xorshift32, Marsaglia 2003 */
    r->seed ^= r->seed >> 17;
    r->seed ^= r->seed << 5;
    return r->seed;
}

/* Every other one is a stored input with some of its bytes changed, the rest is noise. */
static void random_input(struct replay *r)
{
    uint8_t data[INPUT_BYTES];
    size_t len = 1 + next_random(r) % RANDOM_BYTES;
    const struct kept_input *from = r->nr_kept ? &r->kept[next_random(r) % r->nr_kept] : NULL;
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(next_random(r) >> 8);
    if (from && next_random(r) % 2) {
        memcpy(data, from->data, from->len);
        len = from->len;
        for (unsigned changes = next_random(r) % 6 + 1; changes > 0 && len > 0; changes--)
            data[next_random(r) % len] = (uint8_t)(next_random(r) >> 8);
    }
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        fuzz_bug("no memory");
    memcpy(copy, data, len);
    run(r, copy, len);
    free(copy);
}

static int usage(void)
{
    fputs("usage: fuzz-TARGET [--random N] [--unpack FOLDER | --pack FILE] FILE|FOLDER...\n", stderr);
    return 1;
}

int main(int argc, char **argv)
{
    struct replay r = { .seed = 2463534242u };
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        if (!strcmp(argv[i], "--random"))
            r.random = strtoul(argv[i + 1], NULL, 10);
        else if (!strcmp(argv[i], "--unpack"))
            r.unpack = argv[i + 1];
        else if (!strcmp(argv[i], "--pack"))
            r.pack = fopen(argv[i + 1], "wb");
        else
            return usage();
    }
    (void)signal(SIGALRM, hang);
    fuzz_check_reset = true;
    unsigned long start = cpu_ms();
    for (; i < argc; i++)
        folder(&r, argv[i]);
    present = "a pseudo-random input";
    for (unsigned long n = 0; n < r.random; n++)
        random_input(&r);
    fuzz_finish();
    for (size_t n = 0; n < r.nr_kept; n++)
        free(r.kept[n].data);
    free(r.kept);
    if (r.pack)
        return fclose(r.pack) ? 1 : 0;
    printf("%lu inputs in %lu ms\n", r.inputs, cpu_ms() - start);
    return 0;
}
