# Boots recorded on real Xen and replayed without it: every answer, store and interrupt must come again. The first four
# are of the kind that tests/trace keeps: firmware and a boot sector, then a Linux as small as can be from CD, from the
# IDE disk, and with its emulated disk unplugged. Last the boot of boot-cd, with a distribution's kernel, whose trace is
# too large for that.
recorded() { echo "device_model_args=[\"-trace-record\",\"/run/lab/$1.trace\"]"; }
replays() {
    wait_until 30 not test -d "/proc/$pid"
    figure "$1_trace_size" "$(stat -c %s "/run/lab/$1.trace")" bytes
    check "$1-replays" /lab/thindm replay "/run/lab/$1.trace"
    gzip -f "/run/lab/$1.trace"
}
# linux NAME DISK... LINE...: start the small Linux, record it, and replay that when it is done.
linux() {
    local name=$1
    shift
    create "$@" "$(recorded "$name")"
    guest_ends 660
    cp $serial "/run/lab/$name.serial"
}
linux_disk='"format=raw,vdev=hda,access=rw,backendtype=qdisk,target=/lab/linux-disk.img"'
linux_cd() { echo "\"format=raw,vdev=hdc,devtype=cdrom,access=ro,target=/lab/$1.iso\""; }

create "disk=[$tiny_disk]" 'boot="c"' 'serial="pty"' "$(recorded seabios-ide-disk)"
kill $clock
tiny_connect
check firmware-starts-the-disk wait_until 60 tiny_echoes
printf p >"$tty"
wait_until 60 gone || xl destroy guest
replays seabios-ide-disk

linux seabios-isolinux-linux-cd "disk=[$(linux_cd linux-cd)]" 'boot="d"'
check no-disk said "^LAB no disk"
replays seabios-isolinux-linux-cd

linux linux-ide-disk "disk=[$linux_disk]" 'boot="c"'
check no-cd said "^LAB no cd"
seq 500000 700000 | head -c 1048576 >/run/expected
dd if=/lab/linux-disk.img of=/run/written bs=1M skip=38 count=1 2>/dev/null
check written-data-in-file cmp /run/expected /run/written
replays linux-ide-disk

linux linux-unplug "disk=[$linux_disk,$(linux_cd linux-unplug)]" 'boot="d"'
check disk-is-unplugged said "^LAB no disk"
replays linux-unplug

create "disk=[$cd_disk]" 'boot="d"' "$(recorded boot-cd)"
guest_ends 660
replays boot-cd
rm -f /run/lab/inventory # there is no stock run of this case to compare with
