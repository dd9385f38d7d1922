/* JSON: what is a value and what is not, where it ends in a stream, what comes out of the writer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/json.h"
#include <cmocka.h>

static struct json json;

static int parse(const char *text)
{
    return json_parse(&json, text, strlen(text));
}

static void well_formed(void **state)
{
    static const char *const good[] = {
        "{}",
        "[]",
        " \t\r\n{ }\n",
        "[1,-1,0,-0,1.5,1e3,1E+3,1e-3,-0.0e0]",
        "[true,false,null]",
        "{\"a\":{\"b\":[{}]},\"c\":\"\"}",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"]",
        "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"]",
        "{\"a\" : 1 , \"b\" : [ 1 , 2 ] }",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (parse(good[i]))
            fail_msg("refused: %s", good[i]);
}

static const char *const malformed_texts[] = {
    "",
    " ",
    "1",
    "\"a\"",
    "null",
    "{",
    "[",
    "}",
    "{]",
    "[}",
    "{}{}",
    "{} x",
    "[1 2]",
    "[1,]",
    "[,1]",
    "[,]",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1:2}",
    "{'a':1}",
    "[01]",
    "[-]",
    "[+1]",
    "[1.]",
    "[.5]",
    "[1e]",
    "[1e+]",
    "[0x1]",
    "[--1]",
    "[tru]",
    "[truee]",
    "[nul]",
    "[True]",
    "[NaN]",
    "[\"]",
    "[\"\\\"]",
    "[\"\\x\"]",
    "[\"\\u12\"]",
    "[\"\\u12g4\"]",
    "[\"\\ud83d\"]",
    "[\"\\ude00\"]",
    "[\"\\ud83d\\u0041\"]",
    "[\"\\ud83dx\"]",
    "[\"\n\"]",
    "[\"\x01\"]",
    "[\"\x80\"]",             /* continues nothing */
    "[\"\xc3\"]",             /* cut short */
    "[\"\xc0\xaf\"]",         /* overlong */
    "[\"\xe0\x80\x80\"]",     /* overlong */
    "[\"\xf0\x80\x80\x80\"]", /* overlong */
    "[\"\xed\xa0\x80\"]",     /* a surrogate */
    "[\"\xf4\x90\x80\x80\"]", /* above 10ffff */
    "[\"\xff\"]",
    "[\xc3\xa9]",
    "[1/**/]",
    "[1]//",
};

static void malformed(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(malformed_texts); i++)
        if (parse(malformed_texts[i]) != -EINVAL)
            fail_msg("accepted: %s", malformed_texts[i]);
    assert_int_equal(json_parse(&json, "[1]\0", 4), -EINVAL);
    assert_int_equal(json_parse(&json, "[\"\0\"]", 5), -EINVAL);
    assert_int_equal(json_parse(&json, "[\"\\", 3), -EINVAL);
}

static void limits(void **state)
{
    char text[8192];
    for (int depth = 31; depth <= 33; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        assert_int_equal(json_parse(&json, text, (size_t)depth * 2), depth <= JSON_MAX_DEPTH ? 0 : -EINVAL);
    }
    for (int count = JSON_MAX_TOKENS - 1; count <= JSON_MAX_TOKENS; count++) {
        text[0] = '[';
        for (int i = 0; i < count; i++)
            memcpy(text + 1 + 2 * i, "1,", 2);
        text[2 * count] = ']';
        assert_int_equal(json_parse(&json, text, (size_t)(2 * count + 1)), count < JSON_MAX_TOKENS ? 0 : -E2BIG);
    }
}

static void members_and_elements(void **state)
{
    assert_int_equal(parse("{\"a\":{\"x\":[1,{\"y\":2}],\"b\":3},\"b\":[4,[5,6],7],\"\\u0063\":\"d\"}"), 0);
    int64_t n;
    char text[8];
    int a = json_member(&json, 0, "a"), b = json_member(&json, 0, "b"), c = json_member(&json, 0, "c");
    assert_true(json_is_object(&json, a));
    assert_true(json_is_array(&json, b));
    assert_int_equal(json_string(&json, c, text, sizeof(text)), 1);
    assert_string_equal(text, "d");
    assert_int_equal(json_member(&json, 0, "x"), -1);
    assert_int_equal(json_int(&json, json_member(&json, a, "b"), &n), 0);
    assert_int_equal(n, 3);
    int i = json_first(&json, b);
    assert_int_equal(json_int(&json, i, &n), 0);
    assert_int_equal(n, 4);
    i = json_next(&json, i);
    assert_true(json_is_array(&json, i));
    i = json_next(&json, i);
    assert_int_equal(json_int(&json, i, &n), 0);
    assert_int_equal(n, 7);
    assert_int_equal(json_next(&json, i), -1);
    int names = 0;
    for (int name = json_first(&json, 0); name >= 0; name = json_next(&json, name))
        names++;
    assert_int_equal(names, 3);
    assert_int_equal(parse("[{},[]]"), 0);
    assert_int_equal(json_first(&json, 1), -1);
    assert_int_equal(json_first(&json, 2), -1);
}

static void scalars(void **state)
{
    int64_t n;
    bool b;
    char text[16];
    assert_int_equal(parse("[9223372036854775807,-9223372036854775808,9223372036854775808,-9223372036854775809,1.0,1e3,"
                           "true,false,null,\"1\",\"a\\u0000b\",\"\\u20ac\\ud83d\\ude00\\n\",\"0123456789abcdef\"]"),
                     0);
    assert_int_equal(json_int(&json, 1, &n), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(json_int(&json, 2, &n), 0);
    assert_true(n == INT64_MIN);
    for (int i = 3; i <= 11; i++)
        assert_int_equal(json_int(&json, i, &n), -EINVAL);
    assert_int_equal(json_bool(&json, 7, &b), 0);
    assert_true(b);
    assert_int_equal(json_bool(&json, 8, &b), 0);
    assert_false(b);
    assert_int_equal(json_bool(&json, 9, &b), -EINVAL);
    assert_int_equal(json_bool(&json, 10, &b), -EINVAL);
    assert_int_equal(json_string(&json, 1, text, sizeof(text)), -EINVAL);
    assert_int_equal(json_string(&json, 11, text, sizeof(text)), -EINVAL); /* C strings can't have it */
    assert_int_equal(json_string(&json, 12, text, sizeof(text)), 8);
    assert_string_equal(text, "\xe2\x82\xac\xf0\x9f\x98\x80\n");
    assert_int_equal(json_string(&json, 13, text, sizeof(text)), -ENAMETOOLONG);
    assert_false(json_string_is(&json, 13, "0123456789abcde"));
}

/* Feeds text; returns a letter per byte. */
static const char *frames(const char *text)
{
    static char out[128];
    struct json_framer f = { 0 };
    size_t i = 0;
    for (; text[i]; i++) {
        enum json_frame where = json_frame(&f, text[i]);
        out[i] = "_.c!"[where];
        if (where == JSON_BROKEN)
            f = (struct json_framer){ 0 };
    }
    out[i] = 0;
    return out;
}

static void framing(void **state)
{
    assert_string_equal(frames("{} []\r\n"), ".c_.c__");
    assert_string_equal(frames("{\"}\":1}{}"), "......c.c");
    assert_string_equal(frames("{\"\\\"}\"}"), "......c");
    assert_string_equal(frames("{\"\\\\\"}"), ".....c");
    assert_string_equal(frames("x{}"), "!.c");
    assert_string_equal(frames("]{}"), "!.c");
    assert_string_equal(frames("{\"a\n{}"), "...!.c");
    struct json_framer f = { 0 };
    for (int i = 0; i < JSON_MAX_DEPTH; i++)
        assert_int_equal(json_frame(&f, '['), JSON_INSIDE);
    assert_int_equal(json_frame(&f, '['), JSON_BROKEN);
}

static void writer(void **state)
{
    char buf[512];
    struct json_writer w;
    json_writer_init(&w, buf, sizeof(buf));
    json_open(&w, NULL, '{');
    json_put_string(&w, "s", "a\"\\\n\x1f\xc3\xa9\xff/");
    json_put_int(&w, "i", INT64_MIN);
    json_put_uint(&w, "u", UINT64_MAX);
    json_put_bool(&w, "t", true);
    json_open(&w, "list", '[');
    json_put_int(&w, NULL, 1);
    json_open(&w, NULL, '{');
    json_close(&w, '}');
    json_put_string(&w, NULL, "{");
    json_put_bool(&w, NULL, false);
    json_close(&w, ']');
    json_put_text(&w, "raw", "{\"x\": 1}", 8);
    json_close(&w, '}');
    assert_false(w.full);
    buf[w.len] = 0;
    assert_string_equal(
        buf, "{\"s\": \"a\\\"\\\\\\u000a\\u001f\xc3\xa9\xef\xbf\xbd/\", \"i\": -9223372036854775808, "
             "\"u\": 18446744073709551615, \"t\": true, \"list\": [1, {}, \"{\", false], \"raw\": {\"x\": 1}}");
    assert_int_equal(json_parse(&json, buf, w.len), 0);
}

static void tokens_come_back_as_spelled(void **state)
{
    static const char *const ids[] = { "1",  "-1.50e+2", "\"a\\u0041 \\\" b\"", "true", "null", "[1,{\"a\":\"x y\"}]",
                                       "{}", "\"\"" };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        char text[64], buf[64];
        struct json_writer w;
        snprintf(text, sizeof(text), "{\"id\": %s }", ids[i]);
        assert_int_equal(parse(text), 0);
        json_writer_init(&w, buf, sizeof(buf));
        json_put_token(&w, NULL, &json, json_member(&json, 0, "id"));
        buf[w.len] = 0;
        assert_string_equal(buf, ids[i]);
    }
    char buf[64];
    struct json_writer w;
    assert_int_equal(parse("[ 1 ,\r\n { \"a b\" : \" \\\" \" } ]"), 0);
    json_writer_init(&w, buf, sizeof(buf));
    json_put_token(&w, NULL, &json, 0);
    buf[w.len] = 0;
    assert_string_equal(buf, "[1,{\"a b\":\" \\\" \"}]");
}

static void writer_stops_when_full(void **state)
{
    char buf[16];
    for (size_t size = 0; size < sizeof(buf); size++) {
        struct json_writer w;
        memset(buf, '#', sizeof(buf));
        json_writer_init(&w, buf, size);
        json_open(&w, NULL, '{');
        json_put_string(&w, "key", "0123456789");
        json_put_int(&w, NULL, 1);
        assert_true(w.full);
        assert_true(w.len <= size);
        assert_int_equal(buf[size], '#');
    }
}

/* Whatever passes as JSON has to be walkable. */
static void random_texts(void **state)
{
    static const char alphabet[] = "{}[]\",:\\ut1e-.0 anl\x80\xc3\n";
    uint32_t seed = 7;
    for (int round = 0; round < 200000; round++) {
        char text[24], out[64];
        size_t len = 0;
        do {
            seed = seed * 1664525 + 1013904223;
            text[len++] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        } while (len < sizeof(text) && (seed >> 8) % 16);
        if (json_parse(&json, text, len))
            continue;
        for (int i = 0; i < json.count; i++) {
            int64_t n;
            (void)!json_int(&json, i, &n);
            (void)!json_string(&json, i, out, sizeof(out));
            if (json_is_object(&json, i) || json_is_array(&json, i))
                for (int j = json_first(&json, i); j >= 0; j = json_next(&json, j))
                    assert_true(j > i && j < json.count);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed),
        cmocka_unit_test(malformed),
        cmocka_unit_test(limits),
        cmocka_unit_test(members_and_elements),
        cmocka_unit_test(scalars),
        cmocka_unit_test(framing),
        cmocka_unit_test(writer),
        cmocka_unit_test(tokens_come_back_as_spelled),
        cmocka_unit_test(writer_stops_when_full),
        cmocka_unit_test(random_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
