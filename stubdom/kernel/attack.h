/*
 * The command line "selftest attack DOMID": what a hijacked device model would try, against Dom0, against the guest
 * DOMID that is not ours, and against a domain that is not there. A line "SELFTEST attack-NAME-WHOM PASS" or "FAIL"
 * with Xen's or xenstore's answer for each; a call that may succeed for our own guest is made there too, to show that
 * it is well made. Afterwards the device model starts as if nothing had been.
 */
#ifndef THINDM_ATTACK_H
#define THINDM_ATTACK_H

/* The number of attempts that were not refused. */
int attack(const char *domid);

#endif
