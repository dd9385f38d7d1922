/*
 * JSON for the monitor: finding where a value ends in a stream, a strict reader over jsmn's tokens, a writer into a
 * buffer of fixed size. Nothing allocates. Source: RFC 8259.
 */
#ifndef THINDM_CORE_JSON_H
#define THINDM_CORE_JSON_H

#include <thindm/util.h>

/* Only its types; the code is in json.c. */
#define JSMN_PARENT_LINKS
#define JSMN_STRICT
#ifndef JSON_WITH_JSMN
#define JSMN_HEADER
#endif
#include <jsmn.h>

enum { JSON_MAX_BYTES = 64 * 1024, JSON_MAX_TOKENS = 512, JSON_MAX_DEPTH = 32 };

/* Where an object or array ends in a stream of bytes. Zeroed: between two values. */
struct json_framer {
    unsigned depth;
    bool in_string, escaped;
};

enum json_frame {
    JSON_BETWEEN,  /* white space between values */
    JSON_INSIDE,   /* part of a value */
    JSON_COMPLETE, /* its last byte */
    JSON_BROKEN,   /* no value can have this byte here, or it is nested deeper than JSON_MAX_DEPTH */
};

/* Takes the next byte. After JSON_BROKEN zero the framer. */
enum json_frame json_frame(struct json_framer *framer, char byte);

/* One parsed value: tokens[0]. A token's number is its handle; those of a value's parts follow it. */
struct json {
    const char *text;
    int count;
    jsmntok_t tokens[JSON_MAX_TOKENS];
};

/* text must outlive json. 0; -EINVAL: not exactly one object or array of well-formed JSON; -E2BIG: too many tokens. */
int json_parse(struct json *json, const char *text, size_t len) WARN_UNUSED;

bool json_is_object(const struct json *json, int token);
bool json_is_array(const struct json *json, int token);
/* The names (objects) or elements (arrays) of a container one after the other; -1 at the end. A name's value is name
 * + 1. */
int json_first(const struct json *json, int container);
int json_next(const struct json *json, int token);
/* The value of a member; -1: there is none. */
int json_member(const struct json *json, int object, const char *name);
/* The string without escapes. Its length; -EINVAL: not a string, or a NUL in it; -ENAMETOOLONG: not below size. */
int json_string(const struct json *json, int token, char *out, size_t size) WARN_UNUSED;
bool json_string_is(const struct json *json, int token, const char *text);
/* 0, or -EINVAL: not of this type, or beyond 64 bits. */
int json_int(const struct json *json, int token, int64_t *out) WARN_UNUSED;
int json_bool(const struct json *json, int token, bool *out) WARN_UNUSED;

/* Commas come by themselves. Once full it stays full and takes nothing any more. */
struct json_writer {
    char *buf;
    size_t size, len;
    bool full;
};

void json_writer_init(struct json_writer *w, char *buf, size_t size);
/* key: the member's name inside objects, NULL in arrays and at the top. */
void json_open(struct json_writer *w, const char *key, char bracket);
void json_close(struct json_writer *w, char bracket);
/* Bytes of text that are not UTF-8 become U+FFFD. */
void json_put_string(struct json_writer *w, const char *key, const char *text);
void json_put_int(struct json_writer *w, const char *key, int64_t value);
void json_put_uint(struct json_writer *w, const char *key, uint64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
/* A piece of JSON text as it is. */
void json_put_text(struct json_writer *w, const char *key, const char *text, size_t len);
/* A parsed value, spelled as it came, without its white space. */
void json_put_token(struct json_writer *w, const char *key, const struct json *json, int token);
/* Bytes between values, as they are. */
void json_put_raw(struct json_writer *w, const char *bytes, size_t len);

#endif
