/* The commands of the qtest protocol: see qtest.h. */
#include "qtest-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 6 };

struct command {
    const char *name;
    void (*run)(struct qtest *q, const struct command *command, char *const args[]);
    unsigned size;     /* of an access */
    unsigned nr_args;  /* that must be there */
    unsigned numbers;  /* bit i: argument i, if it is there, is a number */
};

/* Argument i; its form was checked. */
static uint64_t number(char *const args[], unsigned i)
{
    uint64_t val = 0;
    (void)qtest_number(args[i], &val);
    return val;
}

static void run_endianness(struct qtest *q, const struct command *command, char *const args[])
{
    qtest_reply(q, "OK little");
}

/* --- Ports --- */

/*
 * Where a device has only a part of an access the rest of it meets nobody; a hypervisor would drop all of it, but the
 * clients of this protocol are written for QEMU, which takes it apart.
 */
static bool port_is_whole(const struct qtest *q, uint64_t port, unsigned size)
{
    return size == 1 || (port & ~UINT64_C(7)) == 0xcf8 || sim_port_claimed(q->config.sim, (uint16_t)port, size);
}

static uint32_t port_read(struct qtest *q, uint64_t port, unsigned size)
{
    if (port > UINT16_MAX)
        return (uint32_t)all_ones(size);
    if (port_is_whole(q, port, size))
        return sim_port_read(q->config.sim, (uint16_t)port, size);
    uint32_t low = port_read(q, port, size / 2);
    return low | port_read(q, port + size / 2, size / 2) << (4 * size);
}

static void port_write(struct qtest *q, uint64_t port, unsigned size, uint32_t val)
{
    if (port > UINT16_MAX)
        return;
    if (port_is_whole(q, port, size)) {
        sim_port_write(q->config.sim, (uint16_t)port, size, val);
        return;
    }
    port_write(q, port, size / 2, val);
    port_write(q, port + size / 2, size / 2, val >> (4 * size));
}

static void run_in(struct qtest *q, const struct command *command, char *const args[])
{
    qtest_reply(q, "OK 0x%04" PRIx32, port_read(q, number(args, 0), command->size));
}

static void run_out(struct qtest *q, const struct command *command, char *const args[])
{
    port_write(q, number(args, 0), command->size, (uint32_t)number(args, 1));
    qtest_reply(q, "OK");
}

/* --- Memory --- */

/*
 * Bytes of the next piece of an access at addr: the largest power of two that is aligned and fits. Where it isn't RAM a
 * device must have all of it. Nobody there: present is false, and the piece goes on up to the next that is something.
 */
static uint64_t piece(const struct qtest *q, uint64_t addr, uint64_t left, bool *present)
{
    uint64_t gap = sim_mem_gap(q->config.sim, addr), bytes;
    *present = gap == 0;
    if (gap > 0)
        return min_u64(gap, left);
    unsigned n = 8;
    while (n > left || addr % n)
        n /= 2;
    while (n > 1 && !sim_ram(q->config.sim, addr, &bytes) && !sim_mem_claimed(q->config.sim, addr, n))
        n /= 2;
    return n;
}

static void memory_read(struct qtest *q, uint64_t addr, uint8_t *buf, uint64_t len)
{
    while (len > 0) {
        bool present;
        uint64_t bytes, n = piece(q, addr, len, &present);
        const uint8_t *ram = present ? sim_ram(q->config.sim, addr, &bytes) : NULL;
        if (ram)
            memcpy(buf, ram, n = min_u64(bytes, len));
        else if (present)
            le_put(buf, (unsigned)n, sim_mem_read(q->config.sim, addr, (unsigned)n));
        else
            memset(buf, 0, n);
        addr += n;
        buf += n;
        len -= n;
    }
}

/* What is written: bytes as far as they go, then fill. */
struct source {
    const uint8_t *bytes;
    uint64_t len;
    uint8_t fill;
};

static void memory_write(struct qtest *q, uint64_t addr, const struct source *source, uint64_t len)
{
    for (uint64_t done = 0; done < len;) {
        bool present;
        uint64_t n = piece(q, addr + done, len - done, &present), val = 0;
        for (uint64_t i = 0; present && i < n; i++) {
            uint8_t byte = done + i < source->len ? source->bytes[done + i] : source->fill;
            val |= (uint64_t)byte << (8 * i);
        }
        if (present)
            sim_mem_write(q->config.sim, addr + done, (unsigned)n, val);
        done += n;
    }
}

static void run_load(struct qtest *q, const struct command *command, char *const args[])
{
    uint8_t buf[8];
    memory_read(q, number(args, 0), buf, command->size);
    qtest_reply(q, "OK 0x%016" PRIx64, le_get(buf, command->size));
}

static void run_store(struct qtest *q, const struct command *command, char *const args[])
{
    uint8_t buf[8];
    le64_put(buf, number(args, 1));
    memory_write(q, number(args, 0), &(struct source){ buf, sizeof(buf), 0 }, command->size);
    qtest_reply(q, "OK");
}

/* Room for the text of a block that is being read, NULL if a reply about that was given. */
static uint8_t *read_block(struct qtest *q, char *const args[], size_t *len)
{
    uint64_t want = number(args, 1);
    if (want > QTEST_MAX_READ) {
        qtest_reply(q, "FAIL At most %d bytes can be read at once", QTEST_MAX_READ);
        return NULL;
    }
    *len = (size_t)want;
    uint8_t *buf = malloc(*len + 1);
    if (buf)
        memory_read(q, number(args, 0), buf, *len);
    else
        qtest_reply(q, "FAIL Out of memory");
    return buf;
}

/* In pieces: a multiple of three, so that base64 needs no padding in between. */
enum { TEXT_BYTES = 3 * 1024 };

static void run_read(struct qtest *q, const struct command *command, char *const args[])
{
    char text[2 * TEXT_BYTES];
    size_t len, n;
    uint8_t *buf = read_block(q, args, &len);
    if (!buf)
        return;
    qtest_begin(q);
    qtest_text(q, "OK 0x", 5);
    for (size_t i = 0; i < len; i += n) {
        n = min_u64(len - i, TEXT_BYTES);
        qtest_hex(buf + i, n, text);
        qtest_text(q, text, 2 * n);
    }
    qtest_end(q);
    free(buf);
}

static void run_b64read(struct qtest *q, const struct command *command, char *const args[])
{
    char text[2 * TEXT_BYTES];
    size_t len, n;
    uint8_t *buf = read_block(q, args, &len);
    if (!buf)
        return;
    qtest_begin(q);
    qtest_text(q, "OK ", 3);
    for (size_t i = 0; i < len; i += n) {
        n = min_u64(len - i, TEXT_BYTES);
        qtest_base64(buf + i, n, text);
        qtest_text(q, text, qtest_base64_len(n));
    }
    qtest_end(q);
    free(buf);
}

static void run_write(struct qtest *q, const struct command *command, char *const args[])
{
    uint8_t *bytes;
    size_t len = qtest_unhex(args[2], &bytes);
    memory_write(q, number(args, 0), &(struct source){ bytes, len, 0 }, number(args, 1));
    qtest_reply(q, "OK");
}

static void run_b64write(struct qtest *q, const struct command *command, char *const args[])
{
    uint8_t *bytes;
    size_t len = qtest_unbase64(args[2], &bytes);
    memory_write(q, number(args, 0), &(struct source){ bytes, len, 0 }, min_u64(number(args, 1), len));
    qtest_reply(q, "OK");
}

static void run_memset(struct qtest *q, const struct command *command, char *const args[])
{
    memory_write(q, number(args, 0), &(struct source){ .fill = (uint8_t)number(args, 2) }, number(args, 1));
    qtest_reply(q, "OK");
}

/* --- The clock: qtest_serve() lets the time pass and gives the reply. --- */

static void run_clock_step(struct qtest *q, const struct command *command, char *const args[])
{
    uint64_t now = q->config.clock->now_ns, deadline;
    q->stepping = true;
    q->target_ns = now;
    if (args[0]) {
        uint64_t step = number(args, 0);
        if (step <= INT64_MAX) /* a negative one: no change */
            q->target_ns = now + min_u64(step, UINT64_MAX - now);
    } else if (sim_clock_deadline(q->config.clock, q->config.loop, &deadline)) {
        q->target_ns = deadline;
    }
}

static void run_clock_set(struct qtest *q, const struct command *command, char *const args[])
{
    uint64_t target = number(args, 0);
    q->stepping = true;
    q->target_ns = target <= INT64_MAX ? target : 0;
}

/* --- Interrupts --- */

/* Is path the I/O APIC's, by its full name or the last component? */
static bool is_ioapic(const struct qtest *q, const char *path)
{
    const char *slash = strrchr(path, '/');
    return !q->config.no_ioapic && !strcmp(slash ? slash + 1 : path, "ioapic");
}

static void run_intercept(struct qtest *q, const struct command *command, char *const args[])
{
    bool in = !strcmp(command->name, "irq_intercept_in");
    if (!is_ioapic(q, args[0])) {
        qtest_reply(q, "FAIL Unknown device");
        return;
    }
    if (in ? q->intercept_out : q->intercept_in) {
        qtest_reply(q, "FAIL IRQ intercept already enabled");
        return;
    }
    q->intercept_in |= in;
    q->intercept_out |= !in;
    qtest_reply(q, "OK");
}

static void run_set_irq(struct qtest *q, const struct command *command, char *const args[])
{
    uint64_t pin = number(args, 2);
    if (!is_ioapic(q, args[0])) {
        qtest_reply(q, "FAIL Unknown device");
        return;
    }
    if (pin >= SIM_PINS) {
        qtest_reply(q, "FAIL No such pin");
        return;
    }
    sim_drive_pin(q->config.sim, (unsigned)pin, number(args, 3) != 0);
    qtest_reply(q, "OK");
}

static const struct command commands[] = {
    { "inb", run_in, 1, 1, 1 },
    { "inw", run_in, 2, 1, 1 },
    { "inl", run_in, 4, 1, 1 },
    { "outb", run_out, 1, 2, 3 },
    { "outw", run_out, 2, 2, 3 },
    { "outl", run_out, 4, 2, 3 },
    { "readb", run_load, 1, 1, 1 },
    { "readw", run_load, 2, 1, 1 },
    { "readl", run_load, 4, 1, 1 },
    { "readq", run_load, 8, 1, 1 },
    { "writeb", run_store, 1, 2, 3 },
    { "writew", run_store, 2, 2, 3 },
    { "writel", run_store, 4, 2, 3 },
    { "writeq", run_store, 8, 2, 3 },
    { "read", run_read, 0, 2, 3 },
    { "write", run_write, 0, 3, 3 },
    { "memset", run_memset, 0, 3, 7 },
    { "b64read", run_b64read, 0, 2, 3 },
    { "b64write", run_b64write, 0, 3, 3 },
    { "clock_step", run_clock_step, 0, 0, 1 },
    { "clock_set", run_clock_set, 0, 1, 1 },
    { "irq_intercept_in", run_intercept, 0, 1, 0 },
    { "irq_intercept_out", run_intercept, 0, 1, 0 },
    { "set_irq_in", run_set_irq, 0, 4, 12 },
    { "endianness", run_endianness, 0, 0, 0 },
};

/* The words of line; those behind the last are NULL. */
static void split(char *line, char *words[MAX_WORDS])
{
    for (unsigned i = 0; i < MAX_WORDS; i++) {
        line += strspn(line, " \t");
        words[i] = *line ? line : NULL;
        line += strcspn(line, " \t");
        if (*line)
            *line++ = '\0';
    }
}

void qtest_command(struct qtest *q, char *line)
{
    char *words[MAX_WORDS];
    uint64_t unused;
    split(line, words);
    if (!words[0])
        return;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        const struct command *c = &commands[i];
        if (strcmp(c->name, words[0]))
            continue;
        for (unsigned arg = 0; arg < MAX_WORDS - 1; arg++) {
            const char *text = words[1 + arg];
            if (text ? (c->numbers >> arg & 1) && !qtest_number(text, &unused) : arg < c->nr_args) {
                qtest_reply(q, "FAIL %s: argument %u is %s", c->name, arg + 1, text ? "not a number" : "missing");
                return;
            }
        }
        c->run(q, c, words + 1);
        return;
    }
    qtest_reply(q, "FAIL Unknown command '%.64s'", words[0]);
}
