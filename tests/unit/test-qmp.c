/* The monitor as a protocol: sessions, framing, ids, bad input, slow readers. */
#include "qmp-bench.h"

static void greeting_and_negotiation(void **state)
{
    struct bench *b = *state;
    struct peer *p = &b->peers[0];
    assert_int_equal(p->len, 0);
    connect_peer(p);
    assert_string_equal(p->out, GREETING);
    expect_error(p, "{\"execute\":\"query-status\"}", "CommandNotFound",
                 "The command query-status has not been found: capabilities must be negotiated first");
    expect_error(p, "{\"execute\":\"frob\"}", "CommandNotFound", "The command frob has not been found");
    clear(p);
    qmp_event(b->qmp, "RESET", NULL);
    assert_int_equal(p->len, 0); /* no event before the negotiation */
    expect_error(p, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}", "GenericError",
                 "none of these capabilities was offered");
    expect(p, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}", "{\"return\": {}}");
    expect_error(p, "{\"execute\":\"qmp_capabilities\"}", "CommandNotFound",
                 "The command qmp_capabilities has not been found: capabilities are negotiated already");
    expect_error(p, "{\"execute\":\"frob\"}", "CommandNotFound", "The command frob has not been found");
}

static void each_connection_starts_anew(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    give(p, "{\"execute\":\"query-st"); /* leaves in the middle */
    leave(p);
    clear(p);
    qmp_event(b->qmp, "RESET", NULL);
    assert_int_equal(p->len, 0);
    connect_peer(p);
    assert_string_equal(p->out, GREETING);
    give(p, "{\"execute\":\"query-version\"}");
    assert_non_null(strstr(p->out, "CommandNotFound"));
    leave(p);
    leave(p);
}

/* Two sockets, two clients, one negotiated and one not. */
static void clients_are_apart(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state), *q = &b->peers[1];
    connect_peer(q);
    give(q, "{\"execute\":");
    clear(p);
    clear(q);
    qmp_event(b->qmp, "SHUTDOWN", "{\"guest\": true, \"reason\": \"guest-shutdown\"}");
    assert_string_equal(p->out,
                        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 42}, \"event\": \"SHUTDOWN\", "
                        "\"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\r\n");
    assert_int_equal(q->len, 0);
    leave(p);
    give(q, "\"qmp_capabilities\"}");
    assert_string_equal(q->out, "{\"return\": {}}\r\n");
}

static void ids_of_every_type(void **state)
{
    static const char *const ids[] = { "2020372738", "-1.5e3", "\"qmp-000001-7\"", "\"\\u00e9 \\\"\"",
                                       "null",       "true",   "[1,\"a b\",{}]",   "{\"a\":{\"id\":1}}",
                                       "\"\"" };
    struct peer *p = negotiated(state);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        char request[128], reply[160];
        snprintf(request, sizeof(request), "{\"execute\": \"cpu-add\", \"id\": %s, \"arguments\": {\"id\":9}}", ids[i]);
        snprintf(reply, sizeof(reply),
                 "{\"error\": {\"class\": \"GenericError\", \"desc\": \"argument 'id' is not a number from 0 to 3\"}, "
                 "\"id\": %s}",
                 ids[i]);
        expect(p, request, reply);
        snprintf(request, sizeof(request), "{\"id\": %s, \"execute\": \"query-kvm\"}", ids[i]);
        snprintf(reply, sizeof(reply), "{\"return\": {\"enabled\": false, \"present\": false}, \"id\": %s}", ids[i]);
        expect(p, request, reply);
    }
    expect(p, "{\"execute\": \"query-kvm\",\r\n \"id\": [ 1,\r\n 2 ]}",
           "{\"return\": {\"enabled\": false, \"present\": false}, \"id\": [1,2]}");
    /* Errors of the request itself have the id too: libxl breaks without it. */
    expect(p, "{\"frob\":1,\"execute\":\"stop\",\"id\":7}",
           "{\"error\": {\"class\": \"GenericError\", \"desc\": \"unknown member 'frob' of the request\"}, \"id\": 7}");
}

static void requests_in_pieces_and_in_a_row(void **state)
{
    static const char *const text = " \r\n{ \"execute\" : \"query-name\" , \"id\" : \"}\\\"{\" }\r\n";
    static const char *const reply = "{\"return\": {\"name\": \"vm1\"}, \"id\": \"}\\\"{\"}\r\n";
    struct peer *p = negotiated(state);
    clear(p);
    for (const char *c = text; *c; c++)
        give_bytes(p, c, 1);
    assert_string_equal(p->out, reply);
    /* libxenstat: two values, no line end */
    give(p, "{ \"execute\": \"query-name\" }{ \"execute\": \"query-kvm\" }");
    assert_string_equal(
        p->out, "{\"return\": {\"name\": \"vm1\"}}\r\n{\"return\": {\"enabled\": false, \"present\": false}}\r\n");
}

static void garbage(void **state)
{
    struct peer *p = negotiated(state);
    give(p, "hello\r\n{\"execute\":\"query-name\"}\n");
    assert_string_equal(p->out, INVALID "{\"return\": {\"name\": \"vm1\"}}\r\n");
    give(p, "{\"a\" \"b\"}");
    assert_string_equal(p->out, INVALID);
    give(p, "}\n]\n");
    assert_string_equal(p->out, INVALID INVALID);
    give(p, "{\"execute\":\"quer\n{\"execute\":\"query-name\"}\n"); /* a lost quote */
    assert_string_equal(p->out, INVALID "{\"return\": {\"name\": \"vm1\"}}\r\n");
    give(p, "{\"execute\":\"\xff\"}{\"execute\":\"\\ud800\"}{\"execute\":\"\\q\"}{'execute':'stop'}");
    assert_string_equal(p->out, INVALID INVALID INVALID INVALID);
    expect_error(p, "[]", "GenericError", "a request is an object");
    expect_error(p, "{}", "GenericError", "'execute' is missing in the request");
    expect_error(p, "{\"execute\":1}", "GenericError", "'execute' is not a string");
    expect_error(p, "{\"execute\":\"a\\u0000\"}", "GenericError", "'execute' is not a string");
    expect_error(p, "{\"execute\":\"stop\",\"arguments\":[]}", "GenericError", "'arguments' is not an object");
    expect_error(p, "{\"execute\":\"stop\",\"execute\":\"cont\"}", "GenericError",
                 "member 'execute' of the request is there twice");
    expect_error(p, "{\"exec-oob\":\"stop\"}", "GenericError", "unknown member 'exec-oob' of the request");
    expect_error(p, "{\"execute\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
                 "CommandNotFound", "The command ... has not been found");
}

static void a_megabyte_of_garbage(void **state)
{
    struct peer *p = negotiated(state);
    char *junk = malloc(1 << 20);
    memset(junk, 'x', 1 << 20);
    clear(p);
    give_bytes(p, junk, 1 << 20);
    assert_string_equal(p->out, INVALID); /* one error for all of it */
    expect(p, "\n{\"execute\":\"query-name\"}", "{\"return\": {\"name\": \"vm1\"}}");
    memset(junk, 0xff, 1 << 20);
    clear(p);
    give_bytes(p, junk, 1 << 20);
    assert_string_equal(p->out, INVALID);
    expect(p, "\n{\"execute\":\"query-name\"}", "{\"return\": {\"name\": \"vm1\"}}");
    memset(junk, '[', 1 << 20); /* a nesting bomb */
    clear(p);
    give_bytes(p, junk, 1 << 20);
    assert_string_equal(p->out, INVALID);
    assert_int_equal(p->disconnects, 0);
    free(junk);
}

static void a_request_that_is_too_long(void **state)
{
    struct peer *p = negotiated(state);
    char *text = malloc(1 << 20);
    memset(text, ' ', 1 << 20);
    memcpy(text, "{\"execute\":\"query-name\",\"id\":\"", 30);
    memset(text + 30, 'i', 65536 - 32);
    text[65536 - 2] = '"';
    text[65536 - 1] = '}';
    clear(p);
    give_bytes(p, text, 65536); /* just fits, and its id comes back */
    assert_int_equal(p->disconnects, 0);
    assert_int_equal(p->len, strlen("{\"return\": {\"name\": \"vm1\"}, \"id\": \"\"}\r\n") + 65536 - 32);
    text[65536 - 1] = ' ';
    clear(p);
    give_bytes(p, text, 1 << 20);
    assert_string_equal(
        p->out, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the request is longer than 65536 bytes\"}}\r\n");
    assert_int_equal(p->disconnects, 1);
    give(p, "{\"execute\":\"query-name\"}"); /* nothing more for this peer */
    assert_int_equal(p->len, 0);
    leave(p);
    connect_peer(p);
    assert_string_equal(p->out, GREETING);
    free(text);
}

static void too_many_parts(void **state)
{
    struct peer *p = negotiated(state);
    char text[4096] = "{\"execute\":\"stop\",\"arguments\":{\"a\":[";
    for (int i = 0; i < 600; i++)
        strcat(text, "1,");
    strcat(text, "1]}}");
    expect_error(p, text, "GenericError", "the request has too many parts");
}

static void slow_reader(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    clear(p);
    p->limit = 10;
    qmp_event(b->qmp, "RESET", NULL);
    assert_int_equal(p->len, 10);
    p->limit = 20;
    assert_int_equal(loop_step(&b->loop, 10 * 1000 * 1000), 0);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_int_equal(p->len, 20);
    p->limit = OUT_BYTES - 1;
    give_bytes(p, "{\"execute\":\"query-name\"}", 24);
    assert_string_equal(p->out,
                        "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 42}, \"event\": \"RESET\"}\r\n"
                        "{\"return\": {\"name\": \"vm1\"}}\r\n");
    assert_null(b->loop.timers);
}

static void reader_that_never_reads(void **state)
{
    struct bench *b = *state;
    struct peer *p = negotiated(state), *q = &b->peers[1];
    connect_peer(q);
    give(q, "{\"execute\":\"qmp_capabilities\"}");
    clear(p);
    p->limit = 0;
    for (int i = 0; i < 10000 && !p->disconnects; i++) {
        clear(q);
        qmp_event(b->qmp, "RESET", NULL);
    }
    assert_int_equal(p->disconnects, 1);
    assert_int_equal(q->disconnects, 0);
    qmp_event(b->qmp, "RESET", NULL);
    assert_int_equal(p->disconnects, 1);
    assert_null(b->loop.timers);
    /* It happens in the middle of a command too. */
    leave(p);
    p->limit = OUT_BYTES - 1;
    connect_peer(p);
    give(p, "{\"execute\":\"qmp_capabilities\"}");
    clear(p);
    p->limit = 0;
    for (int i = 0; i < 100000 && p->disconnects < 2; i++)
        give_bytes(p, "{\"execute\":\"cont\"}", 18);
    assert_int_equal(p->disconnects, 2);
}

static void peer_from_the_beginning(void **state)
{
    struct bench *b = *state;
    struct peer stdio = { .chr = { .ops = &peer_ops, .connected = true }, .limit = OUT_BYTES - 1 };
    struct peer more = { .chr = { .ops = &peer_ops }, .limit = OUT_BYTES - 1 };
    assert_int_equal(qmp_attach(b->qmp, &stdio.chr), 0);
    assert_int_equal(stdio.len, 0);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(stdio.out, GREETING);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_string_equal(stdio.out, GREETING);
    assert_int_equal(qmp_attach(b->qmp, &more.chr), 0);
    assert_int_equal(qmp_attach(b->qmp, &more.chr), -ENOSPC);
    assert_int_equal(loop_step(&b->loop, 0), 0);
    assert_int_equal(more.len, 0);
}

static void random_bytes(void **state)
{
    static const char *const words[] = { "{",
                                         "}",
                                         "[",
                                         "]",
                                         "\"execute\"",
                                         ":",
                                         ",",
                                         "\"add-fd\"",
                                         "\"arguments\"",
                                         "\"id\"",
                                         "\"device_add\"",
                                         "\"driver\"",
                                         "\"qemu32-i386-cpu\"",
                                         "\"eject\"",
                                         "1",
                                         "null",
                                         "{\"execute\":\"",
                                         "\"}",
                                         "\n",
                                         "\\",
                                         "\"",
                                         "query-block",
                                         "\xff",
                                         "{\"execute\":\"stop\",\"arguments\":{",
                                         "}}" };
    struct bench *b = *state;
    struct peer *p = negotiated(state);
    uint32_t seed = 3;
    b->no_event = true;
    for (int i = 0; i < 300000; i++) {
        seed = seed * 1664525 + 1013904223;
        const char *word = words[(seed >> 16) % ARRAY_SIZE(words)];
        clear(p);
        give_bytes(p, word, strlen(word));
    }
    assert_int_equal(p->disconnects, 0);
    give(p, "\n\"\n");
    expect(p, "{\"execute\":\"query-kvm\"}", "{\"return\": {\"enabled\": false, \"present\": false}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(greeting_and_negotiation),
        TEST(each_connection_starts_anew),
        TEST(clients_are_apart),
        TEST(ids_of_every_type),
        TEST(requests_in_pieces_and_in_a_row),
        TEST(garbage),
        TEST(a_megabyte_of_garbage),
        TEST(a_request_that_is_too_long),
        TEST(too_many_parts),
        TEST(slow_reader),
        TEST(reader_that_never_reads),
        TEST(peer_from_the_beginning),
        TEST(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
