/* Numbers, hexadecimal and base64 as the qtest protocol writes them. Source: RFC 4648 for the last. */
#include "qtest-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool qtest_number(const char *text, uint64_t *out)
{
    const char *digits = *text == '-' ? text + 1 : text;
    char *end;
    if (*digits < '0' || *digits > '9') /* strtoull() would take blanks and signs */
        return false;
    errno = 0;
    unsigned long long val = strtoull(text, &end, 0);
    *out = val;
    return errno == 0 && *end == '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t qtest_unhex(char *text, uint8_t **bytes)
{
    const char *from = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? text + 2 : text;
    uint8_t *to = *bytes = (uint8_t *)text;
    while (hex_digit(from[0]) >= 0 && hex_digit(from[1]) >= 0) {
        uint8_t byte = (uint8_t)(hex_digit(from[0]) << 4 | hex_digit(from[1]));
        from += 2;
        *to++ = byte;
    }
    return (size_t)(to - *bytes);
}

void qtest_hex(const uint8_t *bytes, size_t len, char *text)
{
    for (size_t i = 0; i < len; i++) {
        text[2 * i] = hex_digits[bytes[i] >> 4];
        text[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
}

size_t qtest_unbase64(char *text, uint8_t **bytes)
{
    uint8_t *to = *bytes = (uint8_t *)text;
    uint32_t bits = 0;
    unsigned nr = 0;
    for (const char *from = text; *from; from++) {
        const char *digit = strchr(base64_digits, *from);
        if (!digit) /* padding, or nonsense: the end in any case */
            break;
        bits = bits << 6 | (uint32_t)(digit - base64_digits);
        nr += 6;
        if (nr >= 8) {
            nr -= 8;
            *to++ = (uint8_t)(bits >> nr);
        }
    }
    return (size_t)(to - *bytes);
}

size_t qtest_base64_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

void qtest_base64(const uint8_t *bytes, size_t len, char *text)
{
    for (size_t i = 0; i < len; i += 3, text += 4) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes[i + 2] : 0;
        text[0] = base64_digits[bits >> 18];
        text[1] = base64_digits[bits >> 12 & 63];
        text[2] = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
        text[3] = left > 2 ? base64_digits[bits & 63] : '=';
    }
}
