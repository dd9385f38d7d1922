/*
 * The log: console 0 of the stubdomain, a ring that Dom0 reads [xen/include/public/io/console.h]. What does not fit
 * within CONSOLE_WAIT_NS is dropped and counted: a log must not stop the guest.
 */
#ifndef THINDM_CONSOLE_H
#define THINDM_CONSOLE_H

#include <stddef.h>
#include <thindm/log.h>

/* The ring of start of day is at page; port tells the reader. */
void console_init(void *page, uint32_t port);
/* Bytes as they are, but "\n" becomes "\r\n". Works from the first instruction on, also in a fault's report. */
void console_write(const char *text, size_t len);
void console_print(const char *format, ...) PRINTF_LIKE(1, 2);
/* Waits until all is read, a second at most: for the end. */
void console_drain(void);
/* The sink of all log lines. */
struct log *console_log(void);

#endif
