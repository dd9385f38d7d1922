/*
 * From text to an input of the operation stream (ops.c): seeds that a person wrote, that a test's rig recorded
 * (RIG_RECORD in tests/rig), or that "thindm trace" made of a recorded boot. The words are those of qtest, and a few
 * for what it has none for: docs/fuzzing.md.
 */
#include "entry.h"
#include "fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_WORDS = 8,
    LINE_BYTES = 200000,
    MAX_RUN = 32,
    SHORT_COUNT = 63,
    PIECE = 16,
    MAX_POKES = 7,
    RAW_PLACE = 0xff
};
enum { KIND_PORT = 0, KIND_MEMORY = 4, KIND_CONFIG = 8, KIND_PATCH = 10, KIND_CLOCK = 11, MOD_SAME = 0x80 };
/* Heads of operations without a place. */
enum {
    HOLD = 0x0c,
    RELEASE = 0x1c,
    FAIL = 0x2c,
    SETTLE = 0x3c,
    FEED = 0x4c,
    KEY = 0x6c,
    MOVE = 0x7c,
    LAZY = 0x8c,
    SAVE_AND_RESTORE = 0x0e,
    POKE = 0xee
};
#define DATA_POINTER 0x1000 /* what string operations move: at 64 KiB */

struct assembler {
    const struct fuzz_map *map;
    const char *path;
    unsigned line;
    uint8_t *out;
    size_t len, size;
    /* Accesses to one place follow one another: written as one run when another comes. */
    struct access {
        uint8_t head, place[6];
        size_t place_bytes;
    } run;
    uint64_t values[MAX_RUN];
    unsigned nr_values;
    /* Fields that the next restore changes. */
    uint8_t pokes[MAX_POKES * 16];
    size_t poke_bytes;
    unsigned nr_pokes;
    uint16_t rep_port; /* of "rep_out": its bytes come on the next line */
    unsigned rep_size;
};

/* --- Output --- */

static void put(struct assembler *a, uint64_t val, unsigned bytes)
{
    for (; bytes > 0 && a->len < a->size; bytes--, val >>= 8)
        a->out[a->len++] = (uint8_t)val;
}

static void flush(struct assembler *a)
{
    unsigned n = a->nr_values;
    bool write = !(a->run.head & 1);
    if (n == 0)
        return;
    a->nr_values = 0;
    put(a, a->run.head | (n > 1 ? MOD_SAME : 0), 1);
    for (size_t i = 0; i < a->run.place_bytes; i++)
        put(a, a->run.place[i], 1);
    if (n > 1)
        put(a, n - 1, 1);
    for (unsigned i = 0; write && i < n; i++)
        put(a, a->values[i], 1u << (a->run.head >> 4 & 3));
}

static void op(struct assembler *a, uint8_t head)
{
    flush(a);
    put(a, head, 1);
}

/* --- Places --- */

static bool find(const struct fuzz_range *ranges, unsigned nr, uint64_t addr, uint64_t limit, uint8_t *i,
                 uint64_t *offset)
{
    for (unsigned n = 0; n < nr; n++) {
        *offset = addr - ranges[n].base;
        if (addr >= ranges[n].base && *offset < ranges[n].len && *offset < limit) {
            *i = (uint8_t)n;
            return true;
        }
    }
    return false;
}

static void place(struct access *x, const struct fuzz_range *ranges, unsigned nr, uint64_t addr, bool port)
{
    uint8_t i = RAW_PLACE;
    uint64_t offset = 0;
    bool known = find(ranges, nr, addr, port ? 0x100 : 0x10000, &i, &offset);
    unsigned bytes = known ? (port ? 1 : 2) : port ? 2 : 5;
    x->place[0] = i;
    for (unsigned n = 0; n < bytes; n++)
        x->place[1 + n] = (uint8_t)((known ? offset : addr) >> (8 * n));
    x->place_bytes = 1 + bytes;
}

static void config_place(struct assembler *a, struct access *x, uint8_t devfn, uint8_t reg)
{
    x->place_bytes = 0;
    for (unsigned n = 0; n < a->map->nr_functions && x->place_bytes == 0; n++) {
        if (a->map->functions[n] == devfn)
            x->place[x->place_bytes++] = (uint8_t)n;
    }
    if (x->place_bytes == 0) {
        x->place[x->place_bytes++] = RAW_PLACE;
        x->place[x->place_bytes++] = devfn;
    }
    x->place[x->place_bytes++] = reg;
}

static struct access place_of(struct assembler *a, unsigned kind, uint64_t addr, uint8_t reg, unsigned log_size,
                              bool read)
{
    struct access x = { .head = (uint8_t)(kind | read | log_size << 4) };
    if (kind == KIND_PORT)
        place(&x, a->map->ports, a->map->nr_ports, addr, true);
    else if (kind == KIND_MEMORY)
        place(&x, a->map->memory, a->map->nr_memory, addr, false);
    else
        config_place(a, &x, (uint8_t)addr, reg);
    return x;
}

static void access(struct assembler *a, struct access x, uint64_t val)
{
    bool same = a->nr_values > 0 && a->nr_values < MAX_RUN && x.head == a->run.head &&
                x.place_bytes == a->run.place_bytes && memcmp(x.place, a->run.place, x.place_bytes) == 0;
    if (!same)
        flush(a);
    a->run = x;
    a->values[a->nr_values++] = val;
}

/* --- Words --- */

static int log_of(char letter)
{
    static const char letters[] = "bwlq";
    const char *at = letter ? strchr(letters, letter) : NULL;
    return at ? (int)(at - letters) : -1;
}

static uint64_t number(char *const *words, unsigned i)
{
    return words[i] ? strtoull(words[i], NULL, 0) : 0;
}

static size_t hex(const char *text, uint8_t *bytes, size_t size)
{
    size_t n = 0;
    unsigned val;
    if (!text)
        return 0;
    if (!strncmp(text, "0x", 2))
        text += 2;
    for (; n < size && sscanf(text, "%2x", &val) == 1 && text[0] && text[1]; text += 2)
        bytes[n++] = (uint8_t)val;
    return n;
}

/* REP INS or OUTS of what guest memory holds. */
static void string_op(struct assembler *a, uint16_t port, unsigned size, size_t count, bool read)
{
    struct access x = place_of(a, KIND_PORT, port, 0, size, read);
    flush(a);
    for (size_t n; count > 0; count -= n) {
        n = count < SHORT_COUNT ? count : SHORT_COUNT;
        put(a, x.head | 2, 1);
        for (size_t i = 0; i < x.place_bytes; i++)
            put(a, x.place[i], 1);
        put(a, DATA_POINTER, 2);
        put(a, n, 1);
    }
}

/* Of a long transfer only the beginning says what; the rest is zeros. */
static void rep_out(struct assembler *a, const uint8_t *bytes, size_t len)
{
    unsigned size = 1u << a->rep_size;
    struct access x = place_of(a, KIND_PORT, a->rep_port, 0, a->rep_size, false);
    size_t at = 0;
    flush(a);
    for (; at + size <= len && at / size < MAX_RUN; at += size)
        access(a, x, le_get(bytes + at, size));
    flush(a);
    string_op(a, a->rep_port, a->rep_size, (len - at) / size, false);
    a->rep_port = 0;
}

static void feed(struct assembler *a, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < FUZZ_CHR_BYTES ? len - at : FUZZ_CHR_BYTES;
        op(a, FEED);
        put(a, n, 1);
        for (size_t i = 0; i < n; i++)
            put(a, bytes[at + i], 1);
        op(a, SETTLE);
    }
}

static void patch(struct assembler *a, uint64_t addr, const uint8_t *bytes, size_t len)
{
    if (addr & 15 || addr >> 4 >= 0xf000)
        return; /* inputs can't say it */
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < PIECE ? len - at : PIECE;
        op(a, (uint8_t)(KIND_PATCH | (n - 1) << 4));
        put(a, (addr + at) >> 4, 2);
        for (size_t i = 0; i < n; i++)
            put(a, bytes[at + i], 1);
    }
}

static void clock_step(struct assembler *a, uint64_t ns)
{
    unsigned mod = 0;
    while (mod < 12 && (ns - 1) >> (2 * mod) > 0xff)
        mod++;
    for (uint64_t n = (ns - 1) >> (2 * mod), i = 0; ns > 0 && i < 16; i++) {
        op(a, (uint8_t)(KIND_CLOCK | mod << 4));
        put(a, n < 0xff ? n : 0xff, 1);
        if (n <= 0xff)
            break;
        n -= 0x100;
    }
}

static void move(struct assembler *a, long dx, long dy, long wheel, unsigned buttons)
{
    bool far = dy < -128 || dy > 127;
    op(a, MOVE);
    put(a, (buttons & 0x1f) | (unsigned)(wheel & 3) << 5 | (far ? 0x80u : 0), 1);
    put(a, (uint64_t)dx, 2);
    put(a, (uint64_t)(far ? dy / 256 : dy), 1);
}

/* Without the prefix's bits that all extended keys have. */
static void put_key(struct assembler *a, uint64_t code, uint64_t down)
{
    put(a, (code & 0x1ff) | (code & 0xe000 ? 0x4000u : 0) | (down & 1) << 15, 2);
}

static void poke(struct assembler *a, const char *field, uint64_t i, uint64_t val)
{
    unsigned bytes = 0;
    uint8_t *at = a->pokes + a->poke_bytes;
    if (a->nr_pokes == MAX_POKES)
        return;
    while (bytes < 8 && val >> (8 * bytes))
        bytes++;
    le16_put(at, fuzz_field_key(field));
    le16_put(at + 2, (uint16_t)i);
    at[4] = (uint8_t)bytes;
    for (unsigned n = 0; n < bytes; n++)
        at[5 + n] = (uint8_t)(val >> (8 * n));
    a->poke_bytes += 5 + bytes;
    a->nr_pokes++;
}

static void restore(struct assembler *a)
{
    op(a, a->nr_pokes ? POKE : SAVE_AND_RESTORE);
    if (a->nr_pokes) {
        put(a, 0, 1); /* the first device */
        put(a, a->nr_pokes, 1);
        for (size_t i = 0; i < a->poke_bytes; i++)
            put(a, a->pokes[i], 1);
    }
    a->nr_pokes = 0;
    a->poke_bytes = 0;
}

/* Which of the disk's errors ops.c has. */
static void fail(struct assembler *a, uint64_t error, uint64_t disk_op, uint64_t times)
{
    unsigned i = error == 0 ? 3 : error == ENOSPC ? 1 : error == ECANCELED ? 2 : 0;
    op(a, FAIL);
    put(a, i | (disk_op & 3) << 2 | times << 4, 1);
}

static bool access_word(struct assembler *a, char *const *w)
{
    static const struct {
        const char *name;
        unsigned kind;
        bool read;
    } words[] = {
        { "out", KIND_PORT, false },          { "in", KIND_PORT, true },
        { "write", KIND_MEMORY, false },      { "read", KIND_MEMORY, true },
        { "config_out", KIND_CONFIG, false }, { "config_in", KIND_CONFIG, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t len = strlen(words[i].name);
        int size = strncmp(w[0], words[i].name, len) == 0 && strlen(w[0]) == len + 1 ? log_of(w[0][len]) : -1;
        bool config = words[i].kind == KIND_CONFIG;
        if (size < 0)
            continue;
        access(
            a,
            place_of(a, words[i].kind, number(w, 1), config ? (uint8_t)number(w, 2) : 0, (unsigned)size, words[i].read),
            number(w, config ? 3 : 2));
        return true;
    }
    return false;
}

static bool string_word(struct assembler *a, char *const *w)
{
    size_t len = strlen(w[0]);
    int size = len > 0 ? log_of(w[0][len - 1]) : -1;
    if (size < 0)
        return false;
    if (!strncmp(w[0], "rep_in", len - 1)) {
        string_op(a, (uint16_t)number(w, 1), (unsigned)size, number(w, 2), true);
    } else if (!strncmp(w[0], "rep_out", len - 1)) {
        a->rep_port = (uint16_t)number(w, 1);
        a->rep_size = (unsigned)size;
    } else {
        return false;
    }
    return true;
}

static bool bytes_word(struct assembler *a, char *const *w)
{
    static uint8_t bytes[LINE_BYTES / 2];
    if (!strcmp(w[0], "bytes")) {
        size_t len = hex(w[1], bytes, sizeof(bytes));
        if (a->rep_port)
            rep_out(a, bytes, len);
        else
            feed(a, bytes, len);
    } else if (!strcmp(w[0], "write")) {
        patch(a, number(w, 1), bytes, hex(w[3], bytes, sizeof(bytes)));
    } else if (!strcmp(w[0], "op")) { /* as it is in the input */
        size_t len = hex(w[1], bytes, sizeof(bytes));
        flush(a);
        for (size_t i = 0; i < len; i++)
            put(a, bytes[i], 1);
    } else {
        return false;
    }
    return true;
}

static bool world_word(struct assembler *a, char *const *w)
{
    if (!strcmp(w[0], "clock_step"))
        clock_step(a, w[1] ? number(w, 1) : NS_PER_MS);
    else if (!strcmp(w[0], "settle"))
        op(a, SETTLE);
    else if (!strcmp(w[0], "hold"))
        op(a, HOLD);
    else if (!strcmp(w[0], "release"))
        op(a, RELEASE);
    else if (!strcmp(w[0], "fail"))
        fail(a, number(w, 1), number(w, 2), number(w, 3));
    else if (!strcmp(w[0], "restore"))
        restore(a);
    else if (!strcmp(w[0], "poke") && w[1])
        poke(a, w[1], number(w, 2), number(w, 3));
    else if (!strcmp(w[0], "move"))
        move(a, (long)number(w, 1), (long)number(w, 2), (long)number(w, 3), (unsigned)number(w, 4));
    else if (!strcmp(w[0], "key")) {
        op(a, KEY);
        put_key(a, number(w, 1), number(w, 2));
    } else {
        return false;
    }
    return true;
}

static void line(struct assembler *a, char *text)
{
    char *words[MAX_WORDS + 1] = { NULL };
    unsigned n = 0;
    char *save = NULL;
    for (char *word = strtok_r(text, " \t\r\n", &save); word && n < MAX_WORDS; word = strtok_r(NULL, " \t\r\n", &save))
        words[n++] = word;
    a->line++;
    if (n == 0 || words[0][0] == '#' || !strcmp(words[0], "feed"))
        return;
    if (!access_word(a, words) && !string_word(a, words) && !bytes_word(a, words) && !world_word(a, words))
        fprintf(stderr, "%s:%u: unknown: %s\n", a->path, a->line, words[0]);
}

size_t fuzz_assemble(const struct fuzz_map *map, const char *path, uint8_t *out, size_t size)
{
    static char text[LINE_BYTES];
    struct assembler a = { .map = map, .path = path, .out = out, .size = size };
    bool lazy = false;
    FILE *in = fopen(path, "r");
    if (!in)
        fuzz_bug("can't open %s", path);
    while (!lazy && fgets(text, sizeof(text), in))
        lazy = !strncmp(text, "settle", 6);
    rewind(in);
    if (lazy)
        op(&a, LAZY); /* work is done when the text says so */
    while (fgets(text, sizeof(text), in))
        line(&a, text);
    flush(&a);
    (void)fclose(in);
    return a.len;
}
