/* Targets for what reads text: the command line, JSON. The monitor and the qtest server are in servers.c. */
#include "fuzz.h"

#include <json.h>
#include <stdlib.h>
#include <string.h>
#include <thindm/config.h>

enum { MAX_ARGS = 64 };

/* --- Command line: arguments are separated by newlines --- */

/* What nobody checks again behind the parser. */
static void check_config(const struct config *c)
{
    char error[CONFIG_ERROR_BYTES] = "";
    if (c->nr_chrs > CONFIG_MAX_CHRS || c->nr_serials > CONFIG_MAX_SERIALS || c->nr_monitors > CONFIG_MAX_MONITORS)
        fuzz_bug("options: %u chrs, %u serials, %u monitors", c->nr_chrs, c->nr_serials, c->nr_monitors);
    for (unsigned i = 0; i < c->nr_monitors; i++) {
        if (c->monitors[i] >= c->nr_chrs)
            fuzz_bug("options: monitor %u on chr %u of %u", i, c->monitors[i], c->nr_chrs);
    }
    if (c->help || c->version)
        return;
    if (config_check(c, error) == 0) {
        if (c->vcpus < 1 || c->vcpus > c->max_vcpus || c->max_vcpus > CONFIG_MAX_VCPUS)
            fuzz_bug("options: %u of %u vCPUs", c->vcpus, c->max_vcpus);
        if (c->max_ram_below_4g > CONFIG_MAX_BELOW_4G || (c->vga != VGA_NONE && !is_pow2(c->vga_bytes)))
            fuzz_bug("options: a memory size that no board can have");
    } else if (!error[0] || strchr(error, '\n')) {
        fuzz_bug("options: not one line of error");
    }
}

void fuzz_options_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    char name[] = "thindm", error[CONFIG_ERROR_BYTES] = "", *argv[MAX_ARGS + 2] = { name };
    const char *at = (const char *)data, *end = at + len;
    struct config config;
    int argc = 1;
    while (at < end && argc <= MAX_ARGS) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        /* Each in memory of its own size, so that a step too far is seen. */
        argv[argc++] = strndup(at, n);
        at += n + 1;
        if (!stop)
            break;
    }
    config_init(&config);
    if (options_parse(&config, argc, argv, error) == 0)
        check_config(&config);
    else if (!error[0] || strchr(error, '\n'))
        fuzz_bug("options: not one line of error: \"%s\"", error);
    config_free(&config);
    while (--argc > 0)
        free(argv[argc]);
}

/* --- JSON --- */

static void visit(const struct json *json, int token, unsigned depth)
{
    char text[64];
    int64_t number;
    bool truth;
    if (depth > JSON_MAX_DEPTH)
        fuzz_bug("json: deeper than it may be");
    int n = json_string(json, token, text, sizeof(text));
    if (n >= 0 && strlen(text) != (size_t)n)
        fuzz_bug("json: a string of %d that is %zu long", n, strlen(text));
    fuzz_any(json_int(json, token, &number));
    fuzz_any(json_bool(json, token, &truth));
    (void)json_string_is(json, token, "execute");
    (void)json_member(json, token, "id");
    for (int part = json_first(json, token); part >= 0; part = json_next(json, part))
        visit(json, json_is_object(json, token) ? part + 1 : part, depth + 1);
}

/* What was read and is written again reads as the same. */
static void rewrite(const struct json *json, const char *text, size_t len)
{
    static char first[JSON_MAX_BYTES], second[JSON_MAX_BYTES];
    static struct json again;
    struct json_writer w;
    json_writer_init(&w, first, sizeof(first));
    json_put_token(&w, NULL, json, 0);
    size_t first_len = w.len;
    if (w.full)
        return;
    if (json_parse(&again, first, first_len))
        fuzz_bug("json: can't read what it wrote");
    json_writer_init(&w, second, sizeof(second));
    json_put_token(&w, NULL, &again, 0);
    if (w.len != first_len || memcmp(first, second, first_len))
        fuzz_bug("json: written twice, it is not the same");
}

void fuzz_json_run(const struct fuzz_target *target, const uint8_t *data, size_t len)
{
    static struct json json;
    struct json_framer framer = { 0 };
    char *text = malloc(len + 1), *out = malloc(len + 3); /* out of room soon: the writer must cope */
    if (!text || !out)
        fuzz_bug("no memory");
    memcpy(text, data, len);
    text[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        if (json_frame(&framer, text[i]) == JSON_BROKEN)
            framer = (struct json_framer){ 0 };
    }
    if (json_parse(&json, text, len) == 0) {
        visit(&json, 0, 0);
        rewrite(&json, text, len);
    }
    struct json_writer w;
    json_writer_init(&w, out, len + 3);
    json_open(&w, NULL, '[');
    json_put_string(&w, NULL, text);
    json_close(&w, ']');
    if (w.len > len + 3)
        fuzz_bug("json: wrote beyond its buffer");
    free(out);
    free(text);
}
