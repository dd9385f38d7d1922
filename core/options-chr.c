/* Character channels: -chardev and its users -mon and -serial, and the short form that -serial and -qmp share. */
#include "options.h"

#include <stdio.h>
#include <string.h>

/* Kinds that QEMU has and thindm has not. */
static const struct {
    const char *name, *why;
} refused[] = {
    { "spicevmc", "SPICE is not supported" }, { "spiceport", "SPICE is not supported" },
    { "vc", "there are no text consoles" },   { "mon", "there is no text monitor" },
    { "telnet", "telnet is not supported" },  { "udp", "UDP is not supported" },
    { "pipe", "pipes are not supported" },    { "websocket", "web sockets are not supported" },
};

static void refuse_kind(struct options *o, const char *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (!strcmp(refused[i].name, kind))
            option_fail(o, "%s", refused[i].why);
    option_fail(o, "unknown kind of channel");
}

static struct chr_config *find_chr(struct config *config, const char *label)
{
    for (unsigned i = 0; i < config->nr_chrs; i++)
        if (!strcmp(config->chrs[i].label, label))
            return &config->chrs[i];
    return NULL;
}

/* Where it listens or connects to: exactly one of a path, a descriptor, a host and port. */
static void socket_address(struct option_list *l, struct chr_config *c)
{
    struct options *o = l->o;
    uint64_t number;
    c->path = option_list_text(l, "path");
    c->host = option_list_text(l, "host");
    c->port = option_list_text(l, "port");
    if (option_list_number(l, "fd", 0, INT32_MAX, &number))
        c->fd = (int)number;
    if ((c->path ? 1 : 0) + (c->fd >= 0 ? 1 : 0) + (c->host || c->port ? 1 : 0) != 1)
        option_fail(o, "needs exactly one of path=, fd=, and host= with port=");
    else if (c->path && (!*c->path || strlen(c->path) > OPTIONS_UNIX_PATH))
        option_fail(o, "path= is not of 1 to %d characters", OPTIONS_UNIX_PATH);
    else if (!c->path && c->fd < 0 && (!c->host || !c->port))
        option_fail(o, "host= and port= need each other");
    else if (c->port && (!option_number(c->port, &number) || number < 1 || number > 65535))
        option_fail(o, "port=%.64s is not a port from 1 to 65535", c->port);
    else if (c->fd >= 0 && !c->server)
        option_fail(o, "fd= needs server=on");
}

static void socket_keys(struct option_list *l, struct chr_config *c)
{
    c->server = option_list_bool(l, "server", false);
    c->wait = option_list_bool(l, "wait", true) && c->server;
    socket_address(l, c);
    option_list_only(l, "delay", "on|off");
    option_list_only(l, "nodelay", "on|off");
    option_list_only(l, "telnet", "off");
    option_list_only(l, "websocket", "off");
    option_list_only(l, "reconnect", "0");
}

void option_chardev(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    struct chr_config c = { .fd = -1 };
    option_list(&l, o, value, "backend");
    const char *kind = option_list_text(&l, "backend"), *id = option_list_text(&l, "id");
    if (!kind || !id) {
        option_fail(o, "needs a kind of channel and id=");
        return;
    }
    option_context(o, "-chardev %.32s", kind);
    if (!strcmp(kind, "socket")) {
        c.kind = CHR_SOCKET;
        socket_keys(&l, &c);
    } else if (!strcmp(kind, "file")) {
        c.kind = CHR_FILE;
        c.path = option_list_text(&l, "path");
        if (!c.path || !*c.path)
            option_fail(o, "needs path=");
        option_list_only(&l, "append", "off");
    } else if (!strcmp(kind, "stdio")) {
        c.kind = CHR_STDIO;
        option_list_only(&l, "signal", "on|off");
    } else if (!strcmp(kind, "pty")) {
        c.kind = CHR_PTY;
    } else if (!strcmp(kind, "null")) {
        c.kind = CHR_NULL;
    } else {
        refuse_kind(o, kind);
    }
    option_list_only(&l, "mux", "off");
    option_list_end(&l);
    if (!option_id(o, id, c.label))
        return;
    if (find_chr(o->config, id))
        option_fail(o, "id '%s' is there twice", id);
    else if (o->config->nr_chrs == CONFIG_MAX_CHRS)
        option_fail(o, "more than %d channels", CONFIG_MAX_CHRS);
    else
        o->config->chrs[o->config->nr_chrs++] = c;
}

/* host:port of tcp:; the last colon separates, brackets around an IPv6 address are not part of it. */
static void split_host(struct options *o, char *text, struct chr_config *c)
{
    char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || !option_number(colon + 1, &number) || number < 1 || number > 65535) {
        option_fail(o, "'%.64s' is not HOST:PORT", text);
        return;
    }
    *colon = 0;
    c->host = text;
    c->port = colon + 1;
    if (*text == '[' && colon[-1] == ']') {
        colon[-1] = 0;
        c->host = text + 1;
    }
}

/* "unix:P,..." and "tcp:HOST:PORT,...". rest: after the first colon. */
static void short_socket(struct options *o, const char *rest, bool tcp, struct chr_config *c)
{
    struct option_list l;
    option_list(&l, o, rest, "address");
    const char *address = option_list_text(&l, "address");
    c->kind = CHR_SOCKET;
    c->server = option_list_bool(&l, "server", false);
    c->wait = option_list_bool(&l, "wait", true) && c->server;
    option_list_only(&l, "delay", "on|off");
    option_list_only(&l, "nodelay", "on|off");
    option_list_end(&l);
    if (!address || !*address) {
        option_fail(o, "address missing");
    } else if (tcp) {
        split_host(o, (char *)(uintptr_t)address, c); /* option_list() copied it */
    } else {
        c->path = address;
        if (strlen(address) > OPTIONS_UNIX_PATH)
            option_fail(o, "path is longer than %d characters", OPTIONS_UNIX_PATH);
    }
}

/* QEMU's short form of a channel, all but none and chardev:. */
static void short_form(struct options *o, const struct option_row *row, const char *value, struct chr_config *c)
{
    size_t kind = strcspn(value, ":");
    const char *rest = value[kind] ? value + kind + 1 : NULL;
    char name[OPTIONS_ID_BYTES];
    snprintf(name, sizeof(name), "%.*s", kind < sizeof(name) ? (int)kind : (int)sizeof(name), value);
    option_context(o, "-%s %s", row->name, name);
    c->fd = -1;
    if (!strcmp(value, "pty")) {
        c->kind = CHR_PTY;
    } else if (!strcmp(value, "stdio")) {
        c->kind = CHR_STDIO;
    } else if (!strcmp(value, "null") || !strcmp(value, "/dev/null")) {
        c->kind = CHR_NULL;
    } else if (!strncmp(value, "/dev/", 5)) {
        c->kind = CHR_FILE;
        c->path = value;
    } else if (rest && !strcmp(name, "file")) {
        c->kind = CHR_FILE; /* all of the rest is the name, commas too */
        c->path = rest;
        if (!*rest)
            option_fail(o, "path missing");
    } else if (rest && (!strcmp(name, "unix") || !strcmp(name, "tcp"))) {
        short_socket(o, rest, !strcmp(name, "tcp"), c);
    } else {
        refuse_kind(o, name);
    }
}

int options_chr(const char *text, char *strings, struct chr_config *out, char error[CONFIG_ERROR_BYTES])
{
    static const struct option_row row = { .name = "serial" };
    struct options o = { .error = error, .strings = strings, .strings_end = strings + strlen(text) + 1 };
    if (!strncmp(text, "pipe:", 5) && text[5]) {
        *out = (struct chr_config){ .kind = CHR_PIPE, .path = text + 5, .fd = -1 };
        return 0;
    }
    *out = (struct chr_config){ .fd = -1 };
    short_form(&o, &row, text, out);
    return o.err;
}

void option_serial(struct options *o, const struct option_row *row, const char *value)
{
    struct config *config = o->config;
    if (!strcmp(value, "none")) /* takes no place: the next -serial is the first port still */
        return;
    if (config->nr_serials == CONFIG_MAX_SERIALS) {
        option_fail(o, "more than %d serial ports", CONFIG_MAX_SERIALS);
        return;
    }
    struct chr_config *c = &config->serials[config->nr_serials];
    if (!strncmp(value, "chardev:", 8)) {
        if (option_id(o, value + 8, c->label))
            o->serial_ids[config->nr_serials] = value + 8;
    } else {
        snprintf(c->label, sizeof(c->label), "serial%u", config->nr_serials);
        short_form(o, row, value, c);
    }
    config->nr_serials++;
}

static void add_monitor(struct options *o, const char *id)
{
    for (unsigned i = 0; i < o->nr_monitors; i++)
        if (!strcmp(o->monitor_ids[i], id))
            option_fail(o, "channel '%.64s' has a monitor already", id);
    if (strlen(id) >= OPTIONS_ID_BYTES)
        option_fail(o, "id '%.64s' is longer than %d characters", id, OPTIONS_ID_BYTES - 1);
    else if (o->nr_monitors == CONFIG_MAX_MONITORS)
        option_fail(o, "more than %d monitors", CONFIG_MAX_MONITORS);
    else
        snprintf(o->monitor_ids[o->nr_monitors++], OPTIONS_ID_BYTES, "%s", id);
}

void option_mon(struct options *o, const struct option_row *row, const char *value)
{
    struct option_list l;
    option_list(&l, o, value, "chardev");
    const char *id = option_list_text(&l, "chardev"), *mode = option_list_text(&l, "mode");
    option_list_only(&l, "pretty", "off");
    option_list_end(&l);
    if (!id)
        option_fail(o, "chardev= missing");
    else if (!mode || strcmp(mode, "control"))
        option_fail(o, "only mode=control is supported; there is no text monitor");
    else
        add_monitor(o, id);
}

void option_qmp(struct options *o, const struct option_row *row, const char *value)
{
    struct config *config = o->config;
    if (!strcmp(value, "none"))
        return;
    if (config->nr_chrs == CONFIG_MAX_CHRS) {
        option_fail(o, "more than %d channels", CONFIG_MAX_CHRS);
        return;
    }
    struct chr_config *c = &config->chrs[config->nr_chrs++];
    snprintf(c->label, sizeof(c->label), "compat_monitor%u", o->nr_monitors);
    short_form(o, row, value, c);
    add_monitor(o, c->label);
}

void option_qtest(struct options *o, const struct option_row *row, const char *value)
{
    struct chr_config *c = &o->config->qtest_chr;
    *c = (struct chr_config){ .label = "qtest" };
    short_form(o, row, value, c);
    o->config->qtest_served = true;
}

void option_no_chr(struct options *o, const struct option_row *row, const char *value)
{
    if (!option_word("none|null|/dev/null", value))
        option_fail(o, "'%.64s': %s", value, row->help);
}

/* A channel has one user: the one of a serial port moves there, and what follows it moves up. */
static void move_to_serial(struct options *o, unsigned port)
{
    struct config *config = o->config;
    struct chr_config *c = find_chr(config, o->serial_ids[port]);
    option_context(o, "-serial chardev:%.31s", o->serial_ids[port]);
    if (!c) {
        option_fail(o, "no -chardev has this id, or another option uses it");
        return;
    }
    config->serials[port] = *c;
    size_t after = config->nr_chrs - (size_t)(c - config->chrs) - 1;
    memmove(c, c + 1, after * sizeof(*c));
    config->nr_chrs--;
}

void option_finish_chrs(struct options *o)
{
    struct config *config = o->config;
    for (unsigned i = 0; i < config->nr_serials && !o->err; i++)
        if (o->serial_ids[i])
            move_to_serial(o, i);
    for (unsigned i = 0; i < o->nr_monitors; i++) {
        const struct chr_config *c = find_chr(config, o->monitor_ids[i]);
        option_context(o, "-mon chardev=%.31s", o->monitor_ids[i]);
        if (!c)
            option_fail(o, "no -chardev has this id, or another option uses it");
        else
            config->monitors[config->nr_monitors++] = (unsigned)(c - config->chrs);
    }
}
