/*
 * The command line "selftest" in place of a device model's: what only a real hypervisor can show. A line
 * "SELFTEST name PASS" or "SELFTEST name FAIL detail" for each check on the console, "SELFTEST done" at the end.
 * "selftest crash" shows instead how a device model's exception ends, "selftest overflow" what becomes of a stack that
 * overflows; "selftest idle" sleeps for ever.
 */
#ifndef THINDM_SELFTEST_H
#define THINDM_SELFTEST_H

/* The number of failures. */
int selftest(const char *cmdline);

#endif
