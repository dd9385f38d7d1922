# Bad arguments end in one line on stderr, exit status 1, and nothing left behind. The argv is libxl's own: that of the
# device model of a running guest, with one thing spoilt at a time.
create "disk=[$tiny_disk]" 'boot="c"' 'serial="null"'
tr '\0' '\n' </proc/$pid/cmdline | sed "1d; s#qmp-lib[a-z]*-$domid#&-second#" >/run/lab/argv

state() {
    xenstore-ls -f
    find /run/xen /tmp
}
# refuses NAME [SED SCRIPT over the argument list, one a line]
refuses() {
    state >/run/lab/before
    sed "${2-}" /run/lab/argv >/run/lab/argv.bad
    (
        IFS=$nl
        set -f
        XEN_DOMAIN_ID=$domid exec timeout 20 /lab/dm $(cat /run/lab/argv.bad)
    ) >/run/lab/bad-stdout 2>/run/lab/bad-stderr </dev/null
    local status=$?
    state >/run/lab/after
    say "# $1: $(cat /run/lab/bad-stderr)"
    check "$1-exit-status-1" [ $status = 1 ]
    check "$1-one-line" [ "$(cat /run/lab/bad-stdout /run/lab/bad-stderr | wc -l)" = 1 ]
    check "$1-leaves-nothing" diff /run/lab/before /run/lab/after
}

refuses unknown-argument '$a -no-such-option'
refuses unreadable-image 's#/lab/tiny.img#/lab/no-such.img#'
refuses no-such-domain '/^-xen-domid$/{n;s/.*/4242/}'
mv /usr/share/seabios /usr/share/hidden
refuses missing-rom
mv /usr/share/hidden /usr/share/seabios
xl destroy guest
