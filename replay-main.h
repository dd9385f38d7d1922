/* The sub-commands that need no domain: "thindm replay" and "thindm trace". */
#ifndef THINDM_REPLAY_MAIN_H
#define THINDM_REPLAY_MAIN_H

#include <stdbool.h>
#include <stdio.h>
#include <thindm/trace.h>

/* Open a trace for reading; says on stderr why it can't. *fd is then -1. */
bool trace_open(const char *path, int *fd, struct trace_reader *reader);

/* argv[1] is the name of the sub-command. The exit status. */
int replay_main(int argc, char *argv[]);
int trace_main(int argc, char *argv[]);

#endif
