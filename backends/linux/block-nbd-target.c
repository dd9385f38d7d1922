/* The address of an NBD server in the forms that QEMU and the NBD URI specification have: see block.h. */
#include "block-nbd-private.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define NBD_PORT "10809"

static const char *after(const char *text, const char *start)
{
    size_t len = strlen(start);
    return strncmp(text, start, len) ? NULL : text + len;
}

bool block_nbd_is_target(const char *path)
{
    return after(path, "nbd:") || after(path, "nbd+unix:") || after(path, "nbds:") || after(path, "nbds+unix:");
}

static bool keep(char *to, size_t size, const char *text, size_t len)
{
    if (len >= size)
        return false;
    memcpy(to, text, len);
    to[len] = '\0';
    return true;
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | (c >= 'A' && c <= 'F' ? 0x20 : 0)) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* %xx in a URI. False: not a number, or a NUL. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        if (*from != '%') {
            *to = *from++;
            continue;
        }
        int high = hex(from[1]), low = high < 0 ? -1 : hex(from[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *to = (char)(high << 4 | low);
        from += 3;
    }
    *to = '\0';
    return true;
}

static int unix_address(struct nbd_target *target, const char *path, const char **why)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&target->addrs[0].addr;
    if (!*path || strlen(path) >= sizeof(un->sun_path)) {
        *why = "the path of the socket is not of 1 to 107 characters";
        return -EINVAL;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    target->addrs[0].len = sizeof(*un);
    target->nr_addrs = 1;
    return 0;
}

static int tcp_address(struct nbd_target *target, const char *host, const char *port, const char **why)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV }, *list;
    if (!*host || getaddrinfo(host, port, &hints, &list) != 0) {
        *why = "there is no such host or port";
        return -EHOSTUNREACH;
    }
    for (struct addrinfo *a = list; a && target->nr_addrs < NBD_MAX_ADDRS; a = a->ai_next) {
        memcpy(&target->addrs[target->nr_addrs].addr, a->ai_addr, a->ai_addrlen);
        target->addrs[target->nr_addrs++].len = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return 0;
}

/* host[:port], [ipv6][:port] */
static int host_and_port(struct nbd_target *target, char *text, const char **why)
{
    char *host = text, *colon = strchr(text, ':');
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':')) {
            *why = "the host is malformed";
            return -EINVAL;
        }
        host = text + 1;
        *end = '\0';
        colon = end[1] ? end + 1 : NULL;
    }
    if (colon)
        *colon = '\0';
    return tcp_address(target, host, colon && colon[1] ? colon + 1 : NBD_PORT, why);
}

/* nbd:unix:PATH[:exportname=E], nbd:HOST:PORT[:exportname=E] */
static int parse_qemu(char *text, struct nbd_target *target, const char **why)
{
    char *export = strstr(text, ":exportname=");
    if (export) {
        const char *name = export + strlen(":exportname=");
        *export = '\0';
        if (!keep(target->export, sizeof(target->export), name, strlen(name))) {
            *why = "the export's name is too long";
            return -EINVAL;
        }
    }
    const char *path = after(text, "unix:");
    return path ? unix_address(target, path, why) : host_and_port(target, text, why);
}

/* nbd://HOST[:PORT][/E], nbd+unix:///E?socket=PATH */
static int parse_uri(char *text, bool is_unix, struct nbd_target *target, const char **why)
{
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    char *slash = strchr(text, '/'), *export = slash ? slash + 1 : "";
    if (slash)
        *slash = '\0';
    const char *socket = query ? after(query, "socket=") : NULL;
    *why = "the URI is malformed";
    if (is_unix != (socket != NULL) || (query && (!socket || strchr(query, '&'))) || (is_unix && *text))
        return -EINVAL;
    if ((slash && !decode(export)) || (query && !decode(query)) || strchr(text, '@'))
        return -EINVAL;
    if (!keep(target->export, sizeof(target->export), export, strlen(export)))
        return -EINVAL;
    return is_unix ? unix_address(target, socket, why) : host_and_port(target, text, why);
}

int nbd_target_parse(const char *path, struct nbd_target *target, const char **why)
{
    char text[NBD_EXPORT_BYTES + 256];
    *target = (struct nbd_target){ 0 };
    (void)snprintf(target->name, sizeof(target->name), "%s", path);
    *why = "too long";
    if (strlen(path) >= sizeof(text))
        return -EINVAL;
    const char *rest = after(path, "nbd://"), *unix_rest = after(path, "nbd+unix://"), *plain = after(path, "nbd:");
    if (!plain && !unix_rest) {
        *why = "TLS is not supported";
        return -EINVAL;
    }
    (void)snprintf(text, sizeof(text), "%s", rest ? rest : unix_rest ? unix_rest : plain);
    return rest || unix_rest ? parse_uri(text, unix_rest != NULL, target, why) : parse_qemu(text, target, why);
}
