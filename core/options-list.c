/* Values of options: numbers, sizes, ids, and comma lists of key=value. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void option_context(struct options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(o->context, sizeof(o->context), format, args);
    va_end(args);
}

void option_fail(struct options *o, const char *format, ...)
{
    if (o->err)
        return;
    o->err = -EINVAL;
    int len = snprintf(o->error, CONFIG_ERROR_BYTES, "%s: ", o->context);
    va_list args;
    va_start(args, format);
    vsnprintf(o->error + len, CONFIG_ERROR_BYTES - (size_t)len, format, args);
    va_end(args);
    /* Arguments are quoted in the line, and it has to stay one line. */
    for (char *c = o->error; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

char *option_copy(struct options *o, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = o->strings;
    assert(size <= (size_t)(o->strings_end - o->strings));
    memcpy(copy, text, size);
    o->strings += size;
    return copy;
}

static int digit(char c, unsigned base)
{
    unsigned v = 99;
    if (c >= '0' && c <= '9')
        v = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f')
        v = (unsigned)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
        v = (unsigned)(c - 'A') + 10;
    return v < base ? (int)v : -1;
}

/* Returns where the digits end; NULL: there are none, or too many. */
static const char *digits(const char *text, unsigned base, uint64_t *out)
{
    uint64_t val = 0;
    if (digit(*text, base) < 0)
        return NULL;
    for (; digit(*text, base) >= 0; text++) {
        uint64_t d = (uint64_t)digit(*text, base);
        if (val > (UINT64_MAX - d) / base)
            return NULL;
        val = val * base + d;
    }
    *out = val;
    return text;
}

bool option_number(const char *text, uint64_t *out)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *end = hex ? digits(text + 2, 16, out) : digits(text, 10, out);
    return end && !*end;
}

bool option_size(const char *text, uint64_t unit, uint64_t *out)
{
    static const char letters[] = "bkmgt";
    const char *end = digits(text, 10, out);
    if (!end || (*end && end[1]))
        return false;
    if (*end) {
        const char *letter = strchr(letters, *end | 0x20);
        if (!letter || !*letter)
            return false;
        unit = UINT64_C(1) << (10 * (unsigned)(letter - letters));
    }
    if (*out > UINT64_MAX / unit)
        return false;
    *out *= unit;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool option_id(struct options *o, const char *text, char out[OPTIONS_ID_BYTES])
{
    size_t len = strlen(text);
    if (len >= OPTIONS_ID_BYTES) {
        option_fail(o, "id '%.64s' is longer than %d characters", text, OPTIONS_ID_BYTES - 1);
        return false;
    }
    bool good = is_letter(*text);
    for (const char *c = text; *c; c++)
        good = good && (is_letter(*c) || (*c >= '0' && *c <= '9') || strchr("-._", *c));
    if (!good) {
        option_fail(o, "id '%.64s' is not a letter followed by letters, digits, '-', '.' and '_'", text);
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

bool option_word(const char *list, const char *text)
{
    size_t len = strlen(text);
    while (*list) {
        size_t word = strcspn(list, "|");
        if (word == len && !memcmp(list, text, len))
            return true;
        list += word + (list[word] == '|');
    }
    return false;
}

/* Ends the item that starts at text with a NUL, halving doubled commas; returns the next item, NULL at the end. */
static char *cut_item(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (*text == ',' && text[1] != ',') {
            *to = 0;
            return text + 1;
        }
        if (*text == ',')
            text++;
        *to++ = *text;
    }
    *to = 0;
    return NULL;
}

void option_list(struct option_list *l, struct options *o, const char *text, const char *implied)
{
    char *item = *text ? option_copy(o, text) : NULL;
    l->o = o;
    for (l->nr = 0; item; implied = NULL) {
        char *next = cut_item(item), *equals = strchr(item, '=');
        if (l->nr == OPTIONS_MAX_ITEMS) {
            option_fail(o, "more than %d keys", OPTIONS_MAX_ITEMS);
            return;
        }
        struct option_item *i = &l->items[l->nr++];
        *i = (struct option_item){ .key = item };
        if (equals) {
            *equals = 0;
            i->value = equals + 1;
        } else if (implied) {
            i->key = implied;
            i->value = item;
        }
        if (!*i->key) {
            option_fail(o, "empty key in '%.64s'", text);
            return;
        }
        item = next && *next ? next : NULL; /* a comma at the very end is harmless */
    }
}

const char *option_list_text(struct option_list *l, const char *key)
{
    const char *value = NULL;
    for (unsigned i = 0; i < l->nr; i++) {
        struct option_item *item = &l->items[i];
        if (strcmp(item->key, key))
            continue;
        item->used = true;
        value = item->value;
        if (!value)
            option_fail(l->o, "key '%.64s' needs a value", key);
    }
    return value;
}

bool option_list_bool(struct option_list *l, const char *key, bool otherwise)
{
    bool result = otherwise;
    for (unsigned i = 0; i < l->nr; i++) {
        struct option_item *item = &l->items[i];
        bool negated = !item->value && !strncmp(item->key, "no", 2) && !strcmp(item->key + 2, key);
        if (!negated && strcmp(item->key, key))
            continue;
        item->used = true;
        result = !negated;
        if (item->value && option_word("off|no|false|n", item->value))
            result = false;
        else if (item->value && !option_word("on|yes|true|y", item->value))
            option_fail(l->o, "%.32s=%.64s is neither on nor off", key, item->value);
    }
    return result;
}

bool option_list_number(struct option_list *l, const char *key, uint64_t min, uint64_t max, uint64_t *out)
{
    const char *text = option_list_text(l, key);
    uint64_t val;
    if (!text)
        return false;
    if (!option_number(text, &val)) {
        option_fail(l->o, "%.32s=%.64s is not a number", key, text);
        return false;
    }
    if (val < min || val > max) {
        option_fail(l->o, "%.32s=%.64s is not within %llu and %llu", key, text, (unsigned long long)min,
                    (unsigned long long)max);
        return false;
    }
    *out = val;
    return true;
}

void option_list_only(struct option_list *l, const char *key, const char *words)
{
    for (unsigned i = 0; i < l->nr; i++) {
        struct option_item *item = &l->items[i];
        bool negated = !item->value && !strncmp(item->key, "no", 2) && !strcmp(item->key + 2, key);
        if (!negated && strcmp(item->key, key))
            continue;
        item->used = true;
        const char *value = negated ? "off" : item->value ? item->value : "on";
        if (strcmp(words, "*") && !option_word(words, value))
            option_fail(l->o, "%.32s=%.64s is not supported", key, value);
    }
}

void option_list_end(struct option_list *l)
{
    for (unsigned i = 0; i < l->nr; i++)
        if (!l->items[i].used)
            option_fail(l->o, "unknown key '%.64s'", l->items[i].key);
}
