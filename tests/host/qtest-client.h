/*
 * A client of the whole program under qtest, as the client library of QEMU's device tests starts it: two sockets in a
 * folder of its own, one for qtest, one for the monitor. Whatever fails fails the test.
 */
#ifndef THINDM_QTEST_CLIENT_H
#define THINDM_QTEST_CLIENT_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENT_WAIT_MS = 20000, CLIENT_REPLY_BYTES = 1 << 20 };

/* The leak check at a sanitizer's end makes system calls that the sandbox rightly refuses. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX ""
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX ""
#endif
#endif
#ifndef SANDBOX
#define SANDBOX " -sandbox on"
#endif

struct client {
    const char *program;
    char folder[32]; /* of the sockets, and for what a test makes */
    pid_t pid;
    int qtest, qmp, listen_qtest, listen_qmp;
    char reply[CLIENT_REPLY_BYTES];
};

/* False: no folder. */
bool client_init(struct client *c, const char *program);
/* Removes the folder. */
void client_finish(struct client *c);
/* Start the program with the words of text beside those of every client, and accept it at both sockets. */
void client_start(struct client *c, const char *text);
/* That many lines of a socket, in c->reply until the next call. */
const char *client_hear(struct client *c, int fd, unsigned lines);
/* Say it on qtest and hear a line. */
const char *client_ask(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Say it to the monitor. */
void client_tell(struct client *c, const char *command);
/* The exit status, within a time limit; -1: a signal, or it had to be killed. client_end() sends SIGTERM first. */
int client_ended(struct client *c);
int client_end(struct client *c);
/* Run a program without its output; the wait status. */
int client_run(char *const argv[]);
void client_sleep_ms(unsigned ms);

#endif
