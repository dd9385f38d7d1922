run_case() {
    wait_for /dev/sr0
    echo 1000 >/sys/block/sr0/events_poll_msecs
    : >/events
    uevent sh -c 'env | grep ^DISK_ >>/events' </dev/null >/dev/null 2>&1 &
    obey
}
# disc SUM [DEVICE]: this is what the drive has.
disc() {
    local sum
    sum=$(md5sum <"${2-/dev/sr0}") && echo "$sum" && [ "$sum" = "$1  -" ]
}
no_disc() { # the message of a command that fails
    dd if=/dev/sr0 of=/dev/null count=1 2>&1 | grep "No medium found"
}
mounted() { mount -t iso9660 -o ro /dev/sr0 /mnt && known; }
known() {
    echo 3 >/proc/sys/vm/drop_caches
    (cd /mnt && sha256sum -c /known.sha256)
}
# The next event of the drive: forget those of the past, then wait.
no_events() { sleep 3 && : >/events; }
event() { # NAME
    for i in $(seq 20); do
        ! grep "^DISK_$1=1" /events || return 0
        sleep 1
    done
    return 1
}
# A program that has the drive open, and the door not locked.
hold() {
    echo 0 >/proc/sys/dev/cdrom/lock
    sleep 1000000 </dev/sr0 &
    holder=$!
    sleep 1
    [ "$(readlink /proc/$holder/fd/0)" = /dev/sr0 ]
}
let_go() {
    kill $holder
    wait $holder
    echo 1 >/proc/sys/dev/cdrom/lock
}
open_tray() {
    echo 1 >/proc/sys/dev/cdrom/autoeject
    : </dev/sr0
    echo 0 >/proc/sys/dev/cdrom/autoeject
}
drive_is_well() { ! dmesg | grep -E "disagree|I/O error|exception|failed command"; }
