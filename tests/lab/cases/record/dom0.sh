# Boots recorded on real Xen and replayed without it: every answer, store and interrupt must come again. First firmware and a
# boot sector on the IDE disk, whose small trace is the kind that tests/trace keeps; then the boot of boot-cd.
recorded() { echo "device_model_args=[\"-trace-record\",\"/run/lab/$1.trace\"]"; }
replays() {
    wait_until 30 not test -d "/proc/$pid"
    figure "$1_trace_size" "$(stat -c %s "/run/lab/$1.trace")" bytes
    check "$1-trace-replays" /lab/thindm replay "/run/lab/$1.trace"
    gzip -9 -f "/run/lab/$1.trace"
}

create "disk=[$tiny_disk]" 'boot="c"' 'serial="pty"' "$(recorded firmware)"
kill $clock
tiny_connect
check firmware-starts-the-disk wait_until 60 tiny_echoes
printf p >"$tty"
wait_until 60 gone || xl destroy guest
replays firmware

create "disk=[$cd_disk]" 'boot="d"' "$(recorded cd)"
guest_ends 660
replays cd
rm -f /run/lab/inventory # there is no stock run of this case to compare with
