/* The command line out of xenstore: see args.h. */
#include "args.h"
#include "args-old.h"
#include "kernel/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Arguments of one round trip, and bytes of all together. */
enum { BURST = 16, MAX_BYTES = 64 * 1024 };

int args_add(struct args *args, const char *word)
{
    size_t len = strlen(word) + 1;
    if (len > MAX_BYTES - args->used)
        return -E2BIG;
    if (len > args->size - args->used) {
        size_t size = args->used + len + 1024;
        char *text = realloc(args->text, size);
        if (!text)
            return -ENOMEM;
        args->text = text;
        args->size = size;
    }
    memcpy(args->text + args->used, word, len);
    args->used += len;
    args->argc++;
    return 0;
}

int args_add_words(struct args *args, const char *words)
{
    char word[1024];
    while (*(words += strspn(words, " "))) {
        size_t len = strcspn(words, " ");
        if (len >= sizeof(word))
            return -E2BIG;
        memcpy(word, words, len);
        word[len] = '\0';
        int err = args_add(args, word);
        if (err)
            return err;
        words += len;
    }
    return 0;
}

/* Nodes 001 to 999, then 1000 and so on. */
static int compare_names(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    size_t left_len = strlen(left), right_len = strlen(right);
    return left_len == right_len ? strcmp(left, right) : left_len < right_len ? -1 : 1;
}

struct burst {
    struct store_item items[BURST];
    char paths[BURST][STORE_PATH_BYTES];
    char values[BURST][STORE_MAX_VALUE + 1];
};

static int read_burst(struct args *args, struct burst *b, const char *dir, const char *const *names, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        int len = snprintf(b->paths[i], STORE_PATH_BYTES, "%s/%s", dir, names[i]);
        if (len >= STORE_PATH_BYTES)
            return -ENAMETOOLONG;
        b->items[i] = (struct store_item){ b->paths[i], b->values[i], sizeof(b->values[i]), 0 };
    }
    int err = store_read_all(b->items, nr);
    for (size_t i = 0; i < nr && !err; i++)
        err = args_add(args, b->values[i]);
    return err;
}

static int read_nodes(struct args *args, const char *dir, const char *const *names, size_t nr)
{
    struct burst *burst = malloc(sizeof(*burst));
    int err = burst ? 0 : -ENOMEM;
    for (size_t done = 0; done < nr && !err; done += BURST)
        err = read_burst(args, burst, dir, names + done, nr - done < BURST ? nr - done : BURST);
    free(burst);
    return err;
}

/* One node per argument. */
static int read_argv(struct args *args, const char *dir)
{
    enum { LIST_BYTES = STORE_MAX_VALUE };
    char *list = malloc(LIST_BYTES);
    const char **names = malloc(LIST_BYTES / 2 * sizeof(*names)); /* a name and its NUL take two bytes at least */
    int used = list && names ? store_list(dir, list, LIST_BYTES) : -ENOMEM;
    int err = used < 0 ? used : 0;
    size_t nr = 0;
    for (int at = 0; at < used; at += (int)strlen(list + at) + 1)
        if (list[at])
            names[nr++] = list + at;
    if (!err) {
        qsort(names, nr, sizeof(*names), compare_names);
        err = read_nodes(args, dir, names, nr);
    }
    free(names);
    free(list);
    return err;
}

/* The strings don't move any more. */
static int point_at_words(struct args *args)
{
    args->argv = malloc(((size_t)args->argc + 1) * sizeof(*args->argv));
    if (!args->argv)
        return -ENOMEM;
    char *word = args->text;
    for (int i = 0; i < args->argc; i++) {
        args->argv[i] = word;
        word += strlen(word) + 1;
    }
    args->argv[args->argc] = NULL;
    return 0;
}

/* All in one string. */
static int read_old(struct args *args, unsigned target, const char *path)
{
    char *words = malloc(STORE_MAX_VALUE + 1);
    int err = words ? store_read(path, words, STORE_MAX_VALUE + 1) : -ENOMEM;
    if (err >= 0)
        err = args_old_convert(args, target, words);
    free(words);
    return err;
}

static int fail(int err, char error[CONFIG_ERROR_BYTES], const char *what)
{
    snprintf(error, CONFIG_ERROR_BYTES, "%.200s: %s", what, strerror(-err));
    return err;
}

int args_read(struct args *args, unsigned target, const char *cmdline, char error[CONFIG_ERROR_BYTES])
{
    char path[STORE_PATH_BYTES], vm[STORE_PATH_BYTES / 2];
    *args = (struct args){ 0 };
    snprintf(path, sizeof(path), "/local/domain/%u/vm", target);
    int got = store_read(path, vm, sizeof(vm));
    if (got < 0)
        return fail(got, error, path);
    int err = args_add(args, "thindm");
    snprintf(path, sizeof(path), "%s/image/dm-argv", vm);
    if (!err)
        err = read_argv(args, path);
    if (err == -ENOENT || (!err && args->argc == 1)) {
        snprintf(path, sizeof(path), "%s/image/dmargs", vm);
        err = read_old(args, target, path);
    }
    if (err)
        return fail(err, error, path);
    err = args_add_words(args, cmdline);
    if (!err)
        err = point_at_words(args);
    return err ? fail(err, error, "the arguments") : 0;
}

void args_free(struct args *args)
{
    free(args->argv);
    free(args->text);
    *args = (struct args){ 0 };
}
