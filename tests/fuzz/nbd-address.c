/*
 * The address of an NBD server, as an administrator, or who writes xenstore's params, gives it. Nobody is asked for
 * host names: a resolver of our own has an answer for each.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/block-nbd-private.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { MAX_ANSWERS = 10 };

/* The linker makes these names. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
void __wrap_freeaddrinfo(struct addrinfo *list);

/* As many addresses as the name has letters, every other one of IPv6; none for a long one, or a port that isn't a
 * number. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
    static struct addrinfo answers[MAX_ANSWERS];
    static struct sockaddr_in ipv4 = { .sin_family = AF_INET };
    static struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };
    size_t nr = strlen(host);
    char *end;
    unsigned long number = strtoul(port, &end, 10);
    if (nr == 0 || nr > MAX_ANSWERS || !*port || *end || number > UINT16_MAX)
        return EAI_NONAME;
    ipv4.sin_port = ipv6.sin6_port = htons((uint16_t)number);
    for (size_t i = 0; i < nr; i++) {
        bool odd = i % 2;
        answers[i] = (struct addrinfo){ .ai_next = i + 1 < nr ? &answers[i + 1] : NULL,
                                        .ai_addrlen = odd ? sizeof(ipv6) : sizeof(ipv4),
                                        .ai_addr = odd ? (struct sockaddr *)&ipv6 : (struct sockaddr *)&ipv4 };
    }
    *list = answers;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
}

/* What the connection takes as it is. */
static void check(const struct nbd_target *target)
{
    if (target->nr_addrs < 1 || target->nr_addrs > NBD_MAX_ADDRS)
        fuzz_bug("nbd-address: %u addresses", target->nr_addrs);
    if (!memchr(target->export, 0, sizeof(target->export)) || !memchr(target->name, 0, sizeof(target->name)))
        fuzz_bug("nbd-address: a string without an end");
    for (unsigned i = 0; i < target->nr_addrs; i++) {
        const struct sockaddr_un *un = (const void *)&target->addrs[i].addr;
        size_t bytes = un->sun_family == AF_UNIX    ? sizeof(*un)
                       : un->sun_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                    : sizeof(struct sockaddr_in);
        if (target->addrs[i].len != bytes)
            fuzz_bug("nbd-address: an address of %u bytes", (unsigned)target->addrs[i].len);
        if (un->sun_family == AF_UNIX && (!un->sun_path[0] || !memchr(un->sun_path, 0, sizeof(un->sun_path))))
            fuzz_bug("nbd-address: not the path of a socket");
    }
}

void fuzz_nbd_address_run(const struct fuzz_target *fuzz, const uint8_t *data, size_t len)
{
    char *path = strndup((const char *)data, len); /* in memory of its own size, so that a step too far is seen */
    struct nbd_target target;
    const char *why = NULL;
    if (block_nbd_is_target(path)) {
        int err = nbd_target_parse(path, &target, &why);
        if (!err)
            check(&target);
        else if ((err != -EINVAL && err != -EHOSTUNREACH) || !why || !*why || strchr(why, '\n'))
            fuzz_bug("nbd-address: error %d, not one line of it", err);
    }
    free(path);
}
