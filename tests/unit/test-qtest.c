/* The qtest server: every command, over a chr whose other end is the test. */
#include "qtest.h"
#include "sim-world.h"

#include <stdio.h>

struct client {
    struct world *w;
    struct qtest *qtest;
    struct chr chr;
    char *out;
    size_t out_len, limit, resumed;
    char log[256];
    unsigned closed;
};

static size_t client_write(struct chr *chr, const uint8_t *buf, size_t len)
{
    struct client *c = container_of(chr, struct client, chr);
    size_t take = min_u64(len, c->limit);
    c->limit -= take;
    c->out = realloc(c->out, c->out_len + take + 1);
    assert_non_null(c->out);
    memcpy(c->out + c->out_len, buf, take);
    c->out_len += take;
    c->out[c->out_len] = '\0';
    return take;
}

static void client_resume(struct chr *chr)
{
    container_of(chr, struct client, chr)->resumed++;
}

static void client_closed(void *opaque)
{
    ((struct client *)opaque)->closed++;
}

static void client_log(void *opaque, char kind, const char *line)
{
    struct client *c = opaque;
    size_t len = strlen(c->log);
    snprintf(c->log + len, sizeof(c->log) - len, "%c:%s;", kind, line);
}

static const struct chr_ops client_ops = { .write = client_write, .resume = client_resume };

static int setup(void **state)
{
    struct client *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->w = world_new(&(struct sim_config){ .ram_bytes = BASE_RAM, .max_ram_below_4g = BASE_RAM, .nr_vcpus = 1,
                         .cf8_low_bits = true });
    c->chr.ops = &client_ops;
    c->limit = SIZE_MAX;
    struct qtest_config config = { .sim = c->w->sim, .clock = &c->w->clock, .loop = &c->w->loop, .chr = &c->chr,
                                   .log = client_log, .closed = client_closed, .opaque = c };
    assert_int_equal(qtest_create(&config, &c->qtest), 0);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;
    qtest_destroy(c->qtest);
    world_free(c->w);
    free(c->out);
    free(c);
    return 0;
}

/* Hand text over in pieces as a chr would, without serving it. */
static void give(struct client *c, const char *text, size_t len)
{
    while (len > 0) {
        size_t room = c->chr.user->room(c->chr.opaque), n = min_u64(min_u64(len, room), 1000);
        if (n == 0) {
            assert_int_not_equal(qtest_serve(c->qtest), QTEST_STUCK);
            continue;
        }
        c->chr.user->recv(c->chr.opaque, (const uint8_t *)text, n);
        text += n;
        len -= n;
    }
}

static const char *ask(struct client *c, const char *text)
{
    c->out_len = 0;
    give(c, text, strlen(text));
    while (qtest_serve(c->qtest) == QTEST_BUSY)
        ;
    return c->out_len > 0 ? c->out : "";
}

static void ports(void **state)
{
    struct client *c = *state;
    struct probe *p = &c->w->port;
    assert_string_equal(ask(c, "endianness\n"), "OK little\n");
    assert_string_equal(ask(c, "inb 0x300\n"), "OK 0x0000\n");
    assert_string_equal(ask(c, "inw 768\n"), "OK 0x7701\n");
    assert_string_equal(ask(c, "inl 01400\n"), "OK 0x55667702\n");
    assert_string_equal(ask(c, "outb 0x301 -1\noutw 0x302 0x12345678\noutl 0x304 4294967295\n"), "OK\nOK\nOK\n");
    assert_int_equal(p->vals[0], 0xff);
    assert_int_equal(p->vals[1], 0x5678);
    assert_int_equal(p->vals[2], 0xffffffff);
    assert_string_equal(ask(c, "inb 0x80\ninl 0xfffe\ninw 0x10000\noutl 0x20000 1\n"),
                        "OK 0x00ff\nOK 0xffffffff\nOK 0xffff\nOK\n");
    /* What a device has only a part of reaches it in part. */
    assert_string_equal(ask(c, "outl 0x30e 0x44332211\ninl 0x30e\n"), "OK\nOK 0xffff7703\n");
    assert_int_equal(p->sizes[3], 2);
    assert_int_equal(p->vals[3], 0x2211);
    /* The whole register number is written to cf8. */
    assert_string_equal(ask(c, "outl 0xcf8 0x80001802\ninw 0xcfc\ninl 0xcf8\n"), "OK\nOK 0x0001\nOK 0xffffffff\n");
}

static void memory(void **state)
{
    struct client *c = *state;
    struct probe *p = &c->w->mmio;
    assert_string_equal(ask(c, "writeq 0x100000 0x1122334455667788\nreadq 0x100000\nreadb 0x100001\n"),
                        "OK\nOK 0x1122334455667788\nOK 0x0000000000000077\n");
    assert_string_equal(ask(c, "writeb 0x100000 0x1ff\nwritew 0x100002 0\nreadl 0x100000\n"),
                        "OK\nOK\nOK 0x00000000000077ff\n");
    assert_string_equal(ask(c, "readl 0xe0000000\nreadq 0xfffffffffffffff8\nwritel 0xe0000000 1\nreadw 0xa0000\n"),
                        "OK 0x0000000000000000\nOK 0x0000000000000000\nOK\nOK 0x0000000000000000\n");
    assert_string_equal(ask(c, "writel 0xf0000000 7\nreadq 0xf0000000\n"), "OK\nOK 0x1122334455667700\n");
    assert_int_equal(p->vals[0], 7);
    assert_int_equal(p->sizes[0], 4);
    /* Pieces are aligned. */
    assert_string_equal(ask(c, "writel 0xf0000001 0x44332211\n"), "OK\n");
    assert_int_equal(p->writes, 4);
    assert_int_equal(p->sizes[1], 1);
    assert_int_equal(p->vals[2], 0x3322);
    assert_int_equal(p->offs[3], 4);
    /* From RAM's end into nothing. */
    assert_string_equal(ask(c, "writeq 0x7ffffc -1\nreadq 0x7ffffc\n"), "OK\nOK 0x00000000ffffffff\n");
}

static void blocks(void **state)
{
    struct client *c = *state;
    struct probe *p = &c->w->mmio;
    assert_string_equal(ask(c, "write 0x2000 0x4 0xdeadbe\nread 0x2000 5\n"), "OK\nOK 0xdeadbe0000\n");
    assert_string_equal(ask(c, "write 0x2000 2 0102030405\nread 0x1fff 4\n"), "OK\nOK 0x000102be\n");
    assert_string_equal(ask(c, "memset 0x2000 3 0x1a5\nmemset 0 0 0\nread 0x2000 4\n"), "OK\nOK\nOK 0xa5a5a500\n");
    assert_string_equal(ask(c, "b64write 0x2000 5 aGVsbG8=\nread 0x2000 5\n"), "OK\nOK 0x68656c6c6f\n");
    assert_string_equal(ask(c, "b64write 0x2000 2 WFla\nb64read 0x2000 5\n"), "OK\nOK WFlsbG8=\n");
    assert_string_equal(ask(c, "b64read 0x2000 4\nb64read 0x2000 3\nb64read 0x2000 0\n"),
                        "OK WFlsbA==\nOK WFls\nOK \n");
    assert_string_equal(ask(c, "read 0x2000 0\n"), "OK 0x\n");
    /* One register access although the data is short. */
    assert_string_equal(ask(c, "write 0xf0000010 0x4 0x12\n"), "OK\n");
    assert_int_equal(p->writes, 1);
    assert_int_equal(p->sizes[0], 4);
    assert_int_equal(p->vals[0], 0x12);
    /* Over a hole of many gigabytes at once. */
    assert_string_equal(ask(c, "memset 0 0xffffffffffffffff 0x77\nread 0x9ffff 2\nreadb 0x7fffff\n"),
                        "OK\nOK 0x7700\nOK 0x0000000000000077\n");
    assert_int_equal(p->writes, 1 + MMIO_LEN / 8);
    assert_string_equal(ask(c, "read 0 0x1000001\n"), "FAIL At most 16777216 bytes can be read at once\n");
}

/* [protocol] 64 KiB by write and 256 KiB by b64write are what clients really send. */
static void long_lines(void **state)
{
    enum { BLOCK = 256 * 1024 };
    struct client *c = *state;
    char *line = malloc(QTEST_MAX_LINE + 100);
    assert_non_null(line);
    int at = sprintf(line, "b64write 0x100000 0x%x ", BLOCK);
    for (unsigned i = 0; i < (BLOCK + 2) / 3; i++)
        at += sprintf(line + at, "//8A");
    strcpy(line + at, "\n");
    assert_string_equal(ask(c, line), "OK\n");
    assert_string_equal(ask(c, "readl 0x13fffc\n"), "OK 0x00000000ff00ffff\n");
    ask(c, "b64read 0x100000 262143\n");
    assert_int_equal(c->out_len, 3 + 262143 / 3 * 4 + 1);
    assert_memory_equal(c->out, "OK //8A//8A", 11);
    at = sprintf(line, "write 0x100000 0x10000 0x");
    memset(line + at, 'c', 0x20000);
    strcpy(line + at + 0x20000, "\nread 0x10fffe 4\n");
    assert_string_equal(ask(c, line), "OK\nOK 0xccccff00\n");
    memset(line, 'x', QTEST_MAX_LINE + 50);
    strcpy(line + QTEST_MAX_LINE + 50, "\nendianness\n");
    assert_string_equal(ask(c, line), "FAIL A line is longer than 1048576 characters\nOK little\n");
    free(line);
}

static void lenient(void **state)
{
    struct client *c = *state;
    assert_string_equal(ask(c, "\n\r\n# inb 0\n   \n"), "");
    assert_string_equal(ask(c, "[R +0.012] outb 0x300 0x41\r\n[DMA]  endianness surplus words\n"), "OK\nOK little\n");
    assert_int_equal(c->w->port.vals[0], 0x41);
    assert_string_equal(ask(c, "[S +0.1] OK\n[I 0.0] OPENED\n[R broken\n[R +1]\n"), "");
    assert_string_equal(ask(c, "frobnicate 1\n"), "FAIL Unknown command 'frobnicate'\n");
    assert_string_equal(ask(c, "outb 0x300\n"), "FAIL outb: argument 2 is missing\n");
    assert_string_equal(ask(c, "outb 0x300 zz\ninb 0x\ninb +1\ninb 99999999999999999999\n"),
                        "FAIL outb: argument 2 is not a number\nFAIL inb: argument 1 is not a number\n"
                        "FAIL inb: argument 1 is not a number\nFAIL inb: argument 1 is not a number\n");
    assert_string_equal(ask(c, "write 0x1000 4 zz\nread 0x1000 4\nb64write 0 4 =\n"), "OK\nOK 0x00000000\nOK\n");
    give(c, "endian\0ness\n", 12); /* a 0 ends the line */
    assert_string_equal(ask(c, ""), "FAIL Unknown command 'endian'\n");
}

static void tick(void *opaque)
{
    irq_set(opaque, !((struct irq *)opaque)->level);
}

static void rearm(void *opaque)
{
    timer_arm(opaque, 1);
}

static void the_clock(void **state)
{
    struct client *c = *state;
    struct timer timer = { 0 }, fast;
    struct irq irq = irq_isa(&c->w->irqs, 8);
    timer_init(&timer, &c->w->loop, tick, &irq);
    assert_string_equal(ask(c, "clock_step\nclock_step 0\nclock_step 100\n"), "OK 0\nOK 0\nOK 100\n");
    timer_arm(&timer, 50);
    assert_string_equal(ask(c, "clock_step 49\n"), "OK 149\n");
    assert_false(irq.level);
    assert_string_equal(ask(c, "irq_intercept_in ioapic\nclock_step\n"), "OK\nIRQ raise 8\nOK 150\n");
    timer_arm(&timer, 5);
    assert_string_equal(ask(c, "clock_set 100\nclock_set 200\n"), "OK 150\nIRQ lower 8\nOK 200\n");
    assert_string_equal(ask(c, "clock_step -1\nclock_set -1\n"), "OK 200\nOK 200\n");
    assert_string_equal(ask(c, "clock_step 0x7fffffffffffffff\n"), "OK 9223372036854776007\n");
    assert_string_equal(ask(c, "clock_step 0x7fffffffffffffff\nclock_step 0x7fffffffffffffff\n"),
                        "OK 18446744073709551615\nOK 18446744073709551615\n"); /* as late as it can be */
    timer_cancel(&timer);
    /* A step that takes long lets others in: a signal has to end it. */
    c->w->clock.now_ns = 0;
    timer_init(&fast, &c->w->loop, rearm, &fast);
    timer_arm(&fast, 1);
    give(c, "clock_step 300000\n", 18);
    assert_int_equal(qtest_serve(c->qtest), QTEST_BUSY);
    assert_in_range(c->w->clock.now_ns, 1, 299999);
    assert_string_equal(ask(c, ""), "OK 300000\n");
    give(c, "clock_step 300000\n", 18);
    loop_quit(&c->w->loop);
    assert_int_equal(qtest_serve(c->qtest), QTEST_BUSY);
    timer_cancel(&fast);
}

/* What a command posted is done before its reply, so that its interrupts come before it. */
static void interrupts(void **state)
{
    struct client *c = *state;
    struct irq irq = irq_isa(&c->w->irqs, 14);
    struct task task;
    task_init(&task, &c->w->loop, tick, &irq);
    task_post(&task);
    assert_string_equal(ask(c, "endianness\n"), "OK little\n"); /* not intercepted */
    assert_true(irq.level);
    assert_string_equal(ask(c, "irq_intercept_in nothere\n"), "FAIL Unknown device\n");
    assert_string_equal(ask(c, "irq_intercept_in /machine/unattached/device[3]/ioapic\nirq_intercept_in ioapic\n"),
                        "OK\nOK\n");
    assert_string_equal(ask(c, "irq_intercept_out ioapic\n"), "FAIL IRQ intercept already enabled\n");
    task_post(&task); /* falls: but was never reported as high */
    assert_string_equal(ask(c, "inb 0\n"), "OK 0x00ff\n");
    task_post(&task);
    assert_string_equal(ask(c, "inb 0\n"), "IRQ raise 14\nOK 0x00ff\n");
    assert_int_equal(c->w->hv->ops->pci_link(c->w->hv, 3, 10), 0);
    pci_set_intx(&c->w->func, true);
    assert_string_equal(ask(c, "inb 0\n"), "IRQ raise 10\nOK 0x00ff\n");
    pci_set_intx(&c->w->func, false);
    pci_set_intx(&c->w->func, true);
    assert_string_equal(ask(c, ""), "IRQ lower 10\nIRQ raise 10\n");
    assert_string_equal(ask(c, "set_irq_in ioapic gpio 23 1\nset_irq_in ioapic x 24 1\nset_irq_in x y 0 0\n"),
                        "IRQ raise 23\nOK\nFAIL No such pin\nFAIL Unknown device\n");
    irq_set(&irq, false);
    task_cancel(&task);
}

static void slow_client(void **state)
{
    struct client *c = *state;
    c->limit = 4;
    give(c, "endianness\ninb 0x300\n", 21);
    assert_int_equal(qtest_serve(c->qtest), QTEST_STUCK);
    assert_string_equal(c->out, "OK l");
    assert_int_equal(c->w->port.reads, 0); /* the next command waits */
    assert_int_equal(qtest_serve(c->qtest), QTEST_STUCK);
    c->limit = SIZE_MAX;
    assert_int_equal(qtest_serve(c->qtest), QTEST_IDLE);
    assert_string_equal(c->out, "OK little\nOK 0x0000\n");
    c->limit = 0;
    give(c, "endianness\nendianness\n", 22);
    assert_int_equal(qtest_serve(c->qtest), QTEST_STUCK);
    c->chr.user->closed(c->chr.opaque);
    unsigned tries = 0;
    while (qtest_serve(c->qtest) == QTEST_STUCK)
        tries++;
    assert_in_range(tries, 100, 10000); /* it may still read what is on its way, but not for ever */
    assert_int_equal(c->closed, 1);
}

static void the_end_of_the_input(void **state)
{
    struct client *c = *state;
    c->chr.user->opened(c->chr.opaque);
    give(c, "outb 0x300 1\noutb 0x300 2", 25);
    c->chr.user->closed(c->chr.opaque);
    assert_int_equal(qtest_serve(c->qtest), QTEST_IDLE);
    assert_int_equal(c->w->port.writes, 2); /* the last line has no newline */
    assert_int_equal(c->closed, 1);
    assert_int_equal(qtest_serve(c->qtest), QTEST_IDLE);
    assert_int_equal(c->closed, 1);
    assert_string_equal(c->log, "I:OPENED;I:CLOSED;R:outb 0x300 1;S:OK;R:outb 0x300 2;S:OK;");
    assert_true(c->resumed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(ports), TEST(memory),      TEST(blocks),               TEST(long_lines), TEST(lenient), TEST(the_clock),
        TEST(interrupts), TEST(slow_client), TEST(the_end_of_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
