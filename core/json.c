/* JSON in and out: see json.h. jsmn finds the tokens but lets much pass that is no JSON, so the grammar is checked
 * first. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion" /* of jsmn */
#pragma GCC diagnostic ignored "-Wsign-conversion"
#define JSON_WITH_JSMN
#define JSMN_STATIC
#include "json.h"
#pragma GCC diagnostic pop

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

enum json_frame json_frame(struct json_framer *f, char byte)
{
    if (f->in_string) {
        if ((unsigned char)byte < ' ')
            return JSON_BROKEN; /* else a lost quote would swallow all that follows */
        if (f->escaped)
            f->escaped = false;
        else if (byte == '\\')
            f->escaped = true;
        else if (byte == '"')
            f->in_string = false;
        return JSON_INSIDE;
    }
    if (byte == '{' || byte == '[')
        return ++f->depth > JSON_MAX_DEPTH ? JSON_BROKEN : JSON_INSIDE;
    if (!f->depth)
        return is_space(byte) ? JSON_BETWEEN : JSON_BROKEN;
    if (byte == '}' || byte == ']')
        return --f->depth ? JSON_INSIDE : JSON_COMPLETE;
    f->in_string = byte == '"';
    return JSON_INSIDE;
}

/* Bytes of the character at p, 0: not UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above 10ffff). */
static size_t utf8_length(const char *p, size_t left)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t len = b[0] < 0x80 ? 1 : b[0] < 0xc2 ? 0 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : b[0] < 0xf5 ? 4 : 0;
    if (len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xf0 && b[1] < 0x90);
    bool beyond = (b[0] == 0xed && b[1] > 0x9f) || (b[0] == 0xf4 && b[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

static size_t utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[len] | c);
    return len;
}

static bool hex4(const char *p, const char *end, uint32_t *out)
{
    *out = 0;
    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = (char)(p[i] | 0x20);
        if (!is_digit(p[i]) && (c < 'a' || c > 'f'))
            return false;
        *out = *out << 4 | (uint32_t)(is_digit(p[i]) ? p[i] - '0' : c - 'a' + 10);
    }
    return true;
}

/* The escape after a backslash at p; its UTF-8 goes to out. Bytes taken, 0: not an escape. */
static size_t unescape(const char *p, const char *end, char out[4], size_t *out_len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint32_t high, low;
    if (p == end)
        return 0;
    const char *simple = *p ? strchr(from, *p) : NULL;
    if (simple) {
        out[0] = to[simple - from];
        *out_len = 1;
        return 1;
    }
    if (*p != 'u' || !hex4(p + 1, end, &high))
        return 0;
    if (high < 0xd800 || high > 0xdfff) {
        *out_len = utf8_put(out, high);
        return 5;
    }
    /* A pair of surrogates, or nothing. */
    if (high > 0xdbff || end - p < 11 || p[5] != '\\' || p[6] != 'u' || !hex4(p + 7, end, &low) || low < 0xdc00 ||
        low > 0xdfff)
        return 0;
    *out_len = utf8_put(out, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
    return 11;
}

/* One character inside quotes. Bytes taken, 0: it can't be there. */
static size_t string_char(const char *p, const char *end, char out[4], size_t *out_len)
{
    if (*p == '\\') {
        size_t taken = unescape(p + 1, end, out, out_len);
        return taken ? taken + 1 : 0;
    }
    if ((unsigned char)*p < ' ')
        return 0;
    *out_len = utf8_length(p, (size_t)(end - p));
    memcpy(out, p, *out_len);
    return *out_len;
}

struct check {
    const char *p, *end;
    unsigned depth;
};

static bool check_value(struct check *c);

static void skip_space(struct check *c)
{
    while (c->p < c->end && is_space(*c->p))
        c->p++;
}

static bool take(struct check *c, char byte)
{
    skip_space(c);
    if (c->p == c->end || *c->p != byte)
        return false;
    c->p++;
    return true;
}

static bool check_string(struct check *c)
{
    if (!take(c, '"'))
        return false;
    while (c->p < c->end && *c->p != '"') {
        char out[4];
        size_t out_len, taken = string_char(c->p, c->end, out, &out_len);
        if (!taken)
            return false;
        c->p += taken;
    }
    return take(c, '"');
}

static bool check_digits(struct check *c)
{
    const char *start = c->p;
    while (c->p < c->end && is_digit(*c->p))
        c->p++;
    return c->p > start;
}

static bool check_number(struct check *c)
{
    c->p += *c->p == '-';
    const char *start = c->p;
    if (!check_digits(c) || (*start == '0' && c->p - start > 1))
        return false;
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!check_digits(c))
            return false;
    }
    if (c->p < c->end && (*c->p | 0x20) == 'e') {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
            c->p++;
        return check_digits(c);
    }
    return true;
}

static bool check_container(struct check *c, bool object)
{
    char last = object ? '}' : ']';
    if (c->depth == JSON_MAX_DEPTH)
        return false;
    c->depth++;
    c->p++;
    if (!take(c, last)) {
        do {
            if (object && !(check_string(c) && take(c, ':')))
                return false;
            if (!check_value(c))
                return false;
        } while (take(c, ','));
        if (!take(c, last))
            return false;
    }
    c->depth--;
    return true;
}

static bool check_word(struct check *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len))
        return false;
    c->p += len;
    return true;
}

static bool check_value(struct check *c)
{
    skip_space(c);
    if (c->p == c->end)
        return false;
    switch (*c->p) {
    case '{': return check_container(c, true);
    case '[': return check_container(c, false);
    case '"': return check_string(c);
    case 't': return check_word(c, "true");
    case 'f': return check_word(c, "false");
    case 'n': return check_word(c, "null");
    default: return (is_digit(*c->p) || *c->p == '-') && check_number(c);
    }
}

int json_parse(struct json *json, const char *text, size_t len)
{
    struct check c = { text, text + len, 0 };
    jsmn_parser parser;
    if (!check_value(&c))
        return -EINVAL;
    skip_space(&c);
    if (c.p != c.end)
        return -EINVAL;
    jsmn_init(&parser);
    json->text = text;
    json->count = jsmn_parse(&parser, text, len, json->tokens, JSON_MAX_TOKENS);
    if (json->count == JSMN_ERROR_NOMEM)
        return -E2BIG;
    return json->count > 0 && (json_is_object(json, 0) || json_is_array(json, 0)) ? 0 : -EINVAL;
}

bool json_is_object(const struct json *json, int token)
{
    return json->tokens[token].type == JSMN_OBJECT;
}

bool json_is_array(const struct json *json, int token)
{
    return json->tokens[token].type == JSMN_ARRAY;
}

int json_first(const struct json *json, int container)
{
    return json->tokens[container].size > 0 ? container + 1 : -1;
}

int json_next(const struct json *json, int token)
{
    int parent = json->tokens[token].parent, end = json->tokens[token].end;
    /* Skip what is inside the token, or is the value of this name. */
    do
        token++;
    while (token < json->count && (json->tokens[token].start < end || json->tokens[token].parent > parent));
    return token < json->count && json->tokens[token].parent == parent ? token : -1;
}

int json_member(const struct json *json, int object, const char *name)
{
    for (int i = json_first(json, object); i >= 0; i = json_next(json, i))
        if (json_string_is(json, i, name))
            return i + 1;
    return -1;
}

int json_string(const struct json *json, int token, char *out, size_t size)
{
    const jsmntok_t *t = &json->tokens[token];
    const char *p = json->text + t->start, *end = json->text + t->end;
    size_t len = 0;
    if (t->type != JSMN_STRING)
        return -EINVAL;
    while (p < end) {
        char c[4];
        size_t c_len, taken = string_char(p, end, c, &c_len);
        if (!taken || !c[0])
            return -EINVAL;
        if (len + c_len >= size)
            return -ENAMETOOLONG;
        memcpy(out + len, c, c_len);
        len += c_len;
        p += taken;
    }
    out[len] = 0;
    return (int)len;
}

bool json_string_is(const struct json *json, int token, const char *text)
{
    char buf[64];
    return json_string(json, token, buf, sizeof(buf)) >= 0 && !strcmp(buf, text);
}

int json_int(const struct json *json, int token, int64_t *out)
{
    const jsmntok_t *t = &json->tokens[token];
    const char *p = json->text + t->start, *end = json->text + t->end;
    bool minus = *p == '-';
    uint64_t val = 0, max = (uint64_t)INT64_MAX + minus;
    if (t->type != JSMN_PRIMITIVE)
        return -EINVAL;
    for (p += minus; p < end; p++) {
        uint64_t d = (uint64_t)(*p - '0');
        if (!is_digit(*p) || val > (max - d) / 10)
            return -EINVAL;
        val = val * 10 + d;
    }
    *out = (int64_t)(minus ? 0 - val : val);
    return 0;
}

int json_bool(const struct json *json, int token, bool *out)
{
    const jsmntok_t *t = &json->tokens[token];
    char first = json->text[t->start];
    if (t->type != JSMN_PRIMITIVE || (first != 't' && first != 'f'))
        return -EINVAL;
    *out = first == 't';
    return 0;
}

void json_writer_init(struct json_writer *w, char *buf, size_t size)
{
    *w = (struct json_writer){ .buf = buf, .size = size };
}

void json_put_raw(struct json_writer *w, const char *bytes, size_t len)
{
    if (w->full || len > w->size - w->len) {
        w->full = true;
        return;
    }
    memcpy(w->buf + w->len, bytes, len);
    w->len += len;
}

static void put_char(struct json_writer *w, char c)
{
    json_put_raw(w, &c, 1);
}

static void put_quoted(struct json_writer *w, const char *text)
{
    put_char(w, '"');
    for (size_t left = strlen(text), len; left; text += len, left -= len) {
        char escape[8];
        len = utf8_length(text, left);
        if (!len) {
            json_put_raw(w, "\xef\xbf\xbd", 3);
            len = 1;
        } else if (*text == '"' || *text == '\\') {
            put_char(w, '\\');
            put_char(w, *text);
        } else if ((unsigned char)*text < ' ') {
            int n = snprintf(escape, sizeof(escape), "\\u%04x", *text);
            json_put_raw(w, escape, (size_t)n);
        } else {
            json_put_raw(w, text, len);
        }
    }
    put_char(w, '"');
}

/* What comes before a value: a comma unless it is the first of its container, and its name. */
static void begin(struct json_writer *w, const char *key)
{
    char last = w->len ? w->buf[w->len - 1] : ' ';
    if (last != '{' && last != '[' && last != ' ' && last != '\n')
        json_put_raw(w, ", ", 2);
    if (!key)
        return;
    put_quoted(w, key);
    json_put_raw(w, ": ", 2);
}

void json_open(struct json_writer *w, const char *key, char bracket)
{
    begin(w, key);
    put_char(w, bracket);
}

void json_close(struct json_writer *w, char bracket)
{
    put_char(w, bracket);
}

void json_put_string(struct json_writer *w, const char *key, const char *text)
{
    begin(w, key);
    put_quoted(w, text);
}

void json_put_int(struct json_writer *w, const char *key, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, value);
    begin(w, key);
    json_put_raw(w, text, (size_t)len);
}

void json_put_uint(struct json_writer *w, const char *key, uint64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRIu64, value);
    begin(w, key);
    json_put_raw(w, text, (size_t)len);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
    begin(w, key);
    json_put_raw(w, value ? "true" : "false", value ? 4 : 5);
}

void json_put_text(struct json_writer *w, const char *key, const char *text, size_t len)
{
    begin(w, key);
    json_put_raw(w, text, len);
}

void json_put_token(struct json_writer *w, const char *key, const struct json *json, int token)
{
    const jsmntok_t *t = &json->tokens[token];
    int quote = t->type == JSMN_STRING; /* jsmn leaves the quotes out */
    const char *end = json->text + t->end + quote;
    bool in_string = false;
    begin(w, key);
    for (const char *p = json->text + t->start - quote; p < end; p++) {
        if (!in_string && is_space(*p))
            continue;
        put_char(w, *p);
        if (in_string && *p == '\\')
            put_char(w, *++p); /* no quote that ends the string */
        else if (*p == '"')
            in_string = !in_string;
    }
}
