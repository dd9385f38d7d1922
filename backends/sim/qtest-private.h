/* What the files of the qtest server share. */
#ifndef THINDM_QTEST_PRIVATE_H
#define THINDM_QTEST_PRIVATE_H

#include "qtest.h"

struct qtest {
    struct qtest_config config;
    /* Input: the bytes from start on; the first searched of them have no newline. */
    char *in;
    size_t in_start, in_len, in_size, searched;
    bool skipping; /* the rest of a line that was too long */
    bool running;  /* a command looks at the buffer: nothing may come in */
    bool seen;     /* it was there */
    bool gone;     /* it left, or has no more to say */
    unsigned tries; /* to tell it something since then */
    bool told;     /* closed() was called */
    bool lost;     /* a reply was lost for want of memory: nothing it could be told makes sense any more */
    /* Output that the chr didn't take yet. */
    char *out;
    size_t out_start, out_len, out_size, line_at;
    /* clock_step on its way. */
    bool stepping;
    uint64_t target_ns;
    /* Interception: pins as last reported. */
    struct sim_pin_listener listener;
    bool intercept_in, intercept_out, pins[SIM_PINS];
};

/*
 * qtest.c: a reply is begun, filled, and ended; begin runs what the command left to do, so that its interrupts come
 * first.
 */
void qtest_begin(struct qtest *q);
void qtest_text(struct qtest *q, const char *text, size_t len);
void qtest_end(struct qtest *q);
/* All of it. */
void qtest_reply(struct qtest *q, const char *format, ...) PRINTF_LIKE(2, 3);

/* qtest-commands.c: run the line, which is ended by 0 and may be changed. */
void qtest_command(struct qtest *q, char *line);

/* qtest-text.c. False: not a number. Decimal, 0x, leading 0; a minus wraps. */
bool qtest_number(const char *text, uint64_t *out);
/* Hexadecimal digits to bytes, in place; an odd last digit is dropped, a wrong one ends it. How many bytes. */
size_t qtest_unhex(char *text, uint8_t **bytes);
void qtest_hex(const uint8_t *bytes, size_t len, char *text);
/* The same for base64; len bytes become qtest_base64_len(len) characters. */
size_t qtest_unbase64(char *text, uint8_t **bytes);
size_t qtest_base64_len(size_t len);
void qtest_base64(const uint8_t *bytes, size_t len, char *text);

#endif
