/* Record and replay of a whole board, and files that were cut, damaged or made up. */
#include "session.h"
#include <rig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct memory_sink good; /* a recorded session */
static unsigned log_lines;

static int setup(void **state)
{
    memory_sink_init(&good);
    session_record(&good, 0, 100, &log_lines);
    return good.len > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    memory_sink_free(&good);
    return 0;
}

static void a_session_replays(void **state)
{
    struct trace_replay_result result;
    session_replay(&good, &result);
    if (!result.ok)
        print_message("%s\n", result.report);
    assert_true(result.ok);
    assert_false(result.diverged);
    assert_true(result.requests > 150);
    assert_int_equal(result.unverified, 0);
}

static void recording_is_deterministic(void **state)
{
    struct memory_sink again;
    unsigned lines;
    memory_sink_init(&again);
    session_record(&again, 0, 100, &lines);
    assert_int_equal(again.len, good.len);
    assert_memory_equal(again.data, good.data, good.len);
    memory_sink_free(&again);
}

/* Everything that a trace can hold is in this one. */
static void the_session_has_all_kinds(void **state)
{
    static const enum trace_kind kinds[] = {
        TRACE_CONFIG,     TRACE_START,        TRACE_READY,      TRACE_IOREQ,     TRACE_POSTED,   TRACE_ANSWER,
        TRACE_CLOCK,      TRACE_TIMER,        TRACE_MEM_READ,   TRACE_MEM_WRITE, TRACE_MEM_PIN,  TRACE_PIN_READ,
        TRACE_BLOCK_OPEN, TRACE_BLOCK_SUBMIT, TRACE_BLOCK_DONE, TRACE_CHR_OPEN,  TRACE_CHR_RECV, TRACE_CHR_WRITE,
        TRACE_FILE,       TRACE_HV,           TRACE_ACTION,     TRACE_MORE,      TRACE_END,
    };
    static struct trace_reader reader;
    struct trace_entry e;
    unsigned seen[TRACE_NR_KINDS] = { 0 };
    char text[TRACE_TEXT_BYTES];
    assert_int_equal(memory_reader(&reader, &good), 0);
    int got;
    while ((got = trace_reader_next(&reader, &e)) > 0) {
        seen[e.kind]++;
        assert_true(strlen(trace_text(&e, text)) < TRACE_TEXT_BYTES);
    }
    assert_int_equal(got, 0);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!seen[kinds[i]])
            fail_msg("no entry of kind %u", kinds[i]);
    }
}

/* Copy the good trace; entry number changed by fn. */
typedef void change_fn(struct trace_entry *e, uint64_t seed);
static void copy_of(const struct memory_sink *from, struct memory_sink *to, uint64_t number, change_fn *fn,
                    uint64_t seed)
{
    static struct trace_reader reader;
    struct trace_recorder *rec;
    struct trace_entry e;
    memory_sink_init(to);
    assert_int_equal(trace_recorder_create(&(struct trace_recorder_config){ .sink = &to->sink }, &rec), 0);
    assert_int_equal(memory_reader(&reader, from), 0);
    trace_recorder_set_flags(rec, reader.flags);
    while (trace_reader_next(&reader, &e) > 0) {
        if (e.number == number)
            fn(&e, seed);
        trace_recorder_copy(rec, &e);
    }
    assert_int_equal(trace_recorder_flush(rec), 0);
    trace_recorder_destroy(rec);
}

static void copy_changed(struct memory_sink *to, uint64_t number, change_fn *fn, uint64_t seed)
{
    copy_of(&good, to, number, fn, seed);
}

static void unchanged(struct trace_entry *e, uint64_t seed)
{
}

static void a_copy_is_the_same(void **state)
{
    struct memory_sink copy;
    struct trace_replay_result result;
    copy_changed(&copy, UINT64_MAX, unchanged, 0);
    session_replay(&copy, &result);
    assert_true(result.ok);
    memory_sink_free(&copy);
}

static void change_answer(struct trace_entry *e, uint64_t seed)
{
    e->v[0] ^= 1;
}

/* Number of the nth entry of a kind. */
static uint64_t find(enum trace_kind kind, unsigned n)
{
    static struct trace_reader reader;
    struct trace_entry e;
    assert_int_equal(memory_reader(&reader, &good), 0);
    while (trace_reader_next(&reader, &e) > 0) {
        if (e.kind == kind && n-- == 0)
            return e.number;
    }
    fail();
    return 0;
}

static void assert_diverges_at(uint64_t number, change_fn *fn)
{
    struct memory_sink copy;
    struct trace_replay_result result;
    char head[64];
    copy_changed(&copy, number, fn, 0);
    session_replay(&copy, &result);
    assert_false(result.ok);
    assert_true(result.diverged);
    (void)snprintf(head, sizeof(head), "entry %llu at byte ", (unsigned long long)number);
    if (strncmp(result.report, head, strlen(head)) != 0)
        fail_msg("expected '%s', came '%s'", head, result.report);
    assert_non_null(strstr(result.report, "expected:"));
    memory_sink_free(&copy);
}

static void change_second(struct trace_entry *e, uint64_t seed)
{
    e->v[1] ^= 1;
}

static void change_byte(struct trace_entry *e, uint64_t seed)
{
    ((uint8_t *)(uintptr_t)e->bytes)[0] ^= 1;
}

static void divergence_is_found_where_it_is(void **state)
{
    for (unsigned n = 0; n < 100; n += 9)
        assert_diverges_at(find(TRACE_ANSWER, n), change_answer);
    assert_diverges_at(find(TRACE_MEM_WRITE, 0), change_byte);
    assert_diverges_at(find(TRACE_MEM_WRITE, 1), change_answer); /* another address */
    assert_diverges_at(find(TRACE_HV, 3), change_second);
    assert_diverges_at(find(TRACE_BLOCK_SUBMIT, 1), change_second);
    assert_diverges_at(find(TRACE_CHR_WRITE, 0), change_byte);
    assert_diverges_at(find(TRACE_TIMER, 0), change_second);
}

/* Only the reader's verdict: nothing but an error may come of it. */
static bool reads_well(const struct memory_sink *m, char error[TRACE_ERROR_BYTES])
{
    static struct trace_reader reader;
    struct trace_entry e;
    int got = memory_reader(&reader, m);
    while (got == 0 && (got = trace_reader_next(&reader, &e)) > 0)
        got = 0;
    memcpy(error, reader.error, TRACE_ERROR_BYTES);
    return got == 0 && reader.ended;
}

static void cut_short_at_every_length(void **state)
{
    struct memory_sink cut = good;
    char error[TRACE_ERROR_BYTES];
    for (cut.len = 0; cut.len < good.len; cut.len++) {
        assert_false(reads_well(&cut, error));
        assert_memory_equal(error, "byte ", 5);
    }
    assert_true(reads_well(&good, error));
}

static void damaged_at_every_byte(void **state)
{
    struct memory_sink bad = good;
    char error[TRACE_ERROR_BYTES];
    bad.data = malloc(good.len);
    assert_non_null(bad.data);
    memcpy(bad.data, good.data, good.len);
    for (size_t i = 0; i < good.len; i++) {
        bad.data[i] ^= (uint8_t)(1u << i % 8);
        assert_false(reads_well(&bad, error));
        assert_memory_equal(error, "byte ", 5);
        bad.data[i] = good.data[i];
    }
    free(bad.data);
}

static void damaged_traces_replay_up_to_the_damage(void **state)
{
    struct memory_sink cut = good;
    struct trace_replay_result result;
    for (cut.len = 1; cut.len < good.len; cut.len += 1009) {
        session_replay(&cut, &result);
        assert_false(result.ok);
        assert_false(result.diverged);
        assert_memory_equal(result.report, "byte ", 5);
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void change_wildly(struct trace_entry *e, uint64_t seed)
{
    static const uint64_t values[] = { 0, 1, 2, 7, 0xff, 0x1000, 0xffff, INT64_MAX, UINT64_MAX, UINT32_MAX };
    uint64_t what = next_random(&seed) % 4;
    unsigned field = (unsigned)next_random(&seed) % TRACE_MAX_FIELDS;
    if (what == 0)
        e->v[field] ^= UINT64_C(1) << next_random(&seed) % 64;
    else if (what == 1)
        e->v[field] = values[next_random(&seed) % ARRAY_SIZE(values)];
    else if (what == 2)
        e->len = e->len > 0 ? next_random(&seed) % e->len : 0;
    else
        e->kind = (enum trace_kind)(TRACE_CONFIG + next_random(&seed) % (TRACE_NR_KINDS - TRACE_CONFIG));
}

static void change_some_byte(struct trace_entry *e, uint64_t seed)
{
    if (e->len > 0)
        ((uint8_t *)(uintptr_t)e->bytes)[next_random(&seed) % e->len] ^= (uint8_t)(1 + next_random(&seed) % 255);
}

/* Whoever made the file up: an error or a divergence, or the change didn't matter. */
static void made_up_entries_do_no_harm(void **state)
{
    struct memory_sink copy;
    struct trace_replay_result result;
    uint64_t last = find(TRACE_END, 0);
    for (uint64_t i = 0; i < 1500; i++) {
        copy_changed(&copy, i * 7919 % last, change_wildly, i);
        session_replay(&copy, &result);
        assert_true(result.ok || result.report[0]);
        memory_sink_free(&copy);
    }
}

static void a_ring_keeps_the_last_entries(void **state)
{
    static struct trace_reader reader;
    struct memory_sink dump;
    struct trace_entry e;
    unsigned lines, gaps = 0, ejects = 0, starts = 0;
    memory_sink_init(&dump);
    session_record(&dump, 8192, 5000, &lines);
    assert_true(dump.len < 32768);
    assert_int_equal(memory_reader(&reader, &dump), 0);
    while (trace_reader_next(&reader, &e) > 0) {
        gaps += reader.gap;
        starts += e.kind == TRACE_START;
        ejects += e.kind == TRACE_ACTION;
    }
    assert_true(reader.ended);
    assert_int_equal(starts, 1);
    assert_int_equal(ejects, 1);
    assert_int_equal(gaps, 1);
    memory_sink_free(&dump);
}

/* Bytes of a snapshot that somebody changed: refused, or a machine that does something else; never more. */
static void hostile_snapshots_do_no_harm(void **state)
{
    static struct trace_reader reader;
    struct memory_sink dump, copy;
    struct trace_replay_result result;
    struct trace_entry e;
    unsigned lines, refused = 0;
    uint64_t first = 0;
    memory_sink_init(&dump);
    session_record(&dump, 16384, 10000, &lines);
    assert_int_equal(memory_reader(&reader, &dump), 0);
    while (trace_reader_next(&reader, &e) > 0 && e.kind != TRACE_SNAPSHOT)
        ;
    first = e.number;
    for (uint64_t i = 0; i < 600; i++) {
        uint64_t number = i % 4 == 3 ? first + 1 : first; /* its second piece too */
        copy_of(&dump, &copy, number, i % 3 ? change_some_byte : change_wildly, i);
        session_replay(&copy, &result);
        assert_true(result.ok || result.report[0]);
        refused += !result.ok;
        memory_sink_free(&copy);
    }
    assert_true(refused > 100);
    memory_sink_free(&dump);
}

/* It says why it can't be replayed. */
static void a_gap_without_a_snapshot_is_told(void **state)
{
    static struct trace_reader reader;
    struct memory_sink copy;
    struct trace_replay_result result;
    struct trace_recorder *rec;
    struct trace_entry e;
    memory_sink_init(&copy);
    assert_int_equal(trace_recorder_create(&(struct trace_recorder_config){ .sink = &copy.sink }, &rec), 0);
    trace_recorder_set_flags(rec, TRACE_GAPS);
    assert_int_equal(memory_reader(&reader, &good), 0);
    uint64_t ready = find(TRACE_READY, 0);
    while (trace_reader_next(&reader, &e) > 0) {
        if (e.number <= ready || e.number > ready + 10)
            trace_recorder_copy(rec, &e);
    }
    assert_int_equal(trace_recorder_flush(rec), 0);
    trace_recorder_destroy(rec);
    session_replay(&copy, &result);
    assert_false(result.ok);
    assert_false(result.diverged);
    assert_non_null(strstr(result.report, "left out"));
    memory_sink_free(&copy);
}

/* Before it is full a ring has all but the disks' data. */
static void a_young_ring_replays(void **state)
{
    struct memory_sink dump;
    struct trace_replay_result result;
    unsigned lines;
    memory_sink_init(&dump);
    session_record(&dump, 256 * 1024, 100, &lines);
    session_replay(&dump, &result);
    if (!result.ok)
        print_message("%s\n", result.report);
    assert_true(result.ok);
    memory_sink_free(&dump);
}

/* One that lost its middle is replayed from the oldest snapshot that it has. */
static void a_full_ring_replays_from_a_snapshot(void **state)
{
    static struct trace_reader reader;
    struct memory_sink dump;
    struct trace_replay_result result;
    struct trace_entry e;
    unsigned lines, snapshots = 0;
    uint64_t entries = 0;
    memory_sink_init(&dump);
    session_record(&dump, 65536, 60000, &lines);
    assert_int_equal(memory_reader(&reader, &dump), 0);
    for (; trace_reader_next(&reader, &e) > 0; entries++) {
        snapshots += e.kind == TRACE_SNAPSHOT;
        if (e.kind == TRACE_SNAPSHOT)
            assert_true(e.v[2] < 2048); /* packed: a few percent of the ring */
    }
    assert_true(reader.ended);
    assert_in_range(snapshots, 2, 5);
    session_replay(&dump, &result);
    if (!result.ok)
        print_message("%s\n", result.report);
    assert_true(result.ok);
    assert_true(result.requests > entries / 4);
    assert_in_range(result.snapshots, 1, snapshots - 1);
    assert_true(result.skipped > 0);
    memory_sink_free(&dump);
}

static void a_full_disk_ends_the_trace_only(void **state)
{
    struct memory_sink full;
    unsigned lines;
    memory_sink_init(&full);
    full.limit = 70000;
    session_record(&full, 0, 50000, &lines);
    assert_int_equal(lines, 1);
    memory_sink_free(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_replays),
        cmocka_unit_test(recording_is_deterministic),
        cmocka_unit_test(the_session_has_all_kinds),
        cmocka_unit_test(a_copy_is_the_same),
        cmocka_unit_test(divergence_is_found_where_it_is),
        cmocka_unit_test(cut_short_at_every_length),
        cmocka_unit_test(damaged_at_every_byte),
        cmocka_unit_test(damaged_traces_replay_up_to_the_damage),
        cmocka_unit_test(made_up_entries_do_no_harm),
        cmocka_unit_test(a_ring_keeps_the_last_entries),
        cmocka_unit_test(a_young_ring_replays),
        cmocka_unit_test(a_full_ring_replays_from_a_snapshot),
        cmocka_unit_test(hostile_snapshots_do_no_harm),
        cmocka_unit_test(a_gap_without_a_snapshot_is_told),
        cmocka_unit_test(a_full_disk_ends_the_trace_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
