/* What the tests of the command line share: a line of it, parsed. */
#ifndef THINDM_TESTS_OPTIONS_BENCH_H
#define THINDM_TESTS_OPTIONS_BENCH_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <thindm/config.h>

enum { MAX_ARGS = 200 };

struct line {
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    char text[8192];
    char *argv[MAX_ARGS];
    int argc, err;
};

/* Words are separated by single blanks; two blanks in a row make an empty argument. */
static inline void parse(struct line *l, const char *text)
{
    memset(l, 0, sizeof(*l));
    snprintf(l->text, sizeof(l->text), "thindm %s", text);
    for (char *word = l->text; word;) {
        char *blank = strchr(word, ' ');
        assert_true(l->argc < MAX_ARGS);
        l->argv[l->argc++] = word;
        if (blank)
            *blank = 0;
        word = blank ? blank + 1 : NULL;
    }
    config_init(&l->config);
    l->err = options_parse(&l->config, l->argc, l->argv, l->error);
}

static inline void good(struct line *l, const char *text)
{
    parse(l, text);
    if (l->err)
        fail_msg("%s -> %s", text, l->error);
}

static inline void refused(const char *text, const char *error)
{
    struct line l;
    parse(&l, text);
    if (l.err != -EINVAL)
        fail_msg("%s -> accepted", text);
    assert_string_equal(l.error, error);
    config_free(&l.config);
}

#endif
