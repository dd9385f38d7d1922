# The device model is killed while its guest writes: all that the guest has flushed is in the images, and nothing but
# this guest is the worse for it.
truncate -s 16M /tmp/ide.img /tmp/pv.img
qemu-img create -q -f qcow2 /tmp/formatted.img 16M
disks="$(disk hda raw /tmp/ide.img),$(disk xvde raw /tmp/pv.img),$(disk xvdf qcow2 /tmp/formatted.img)"
create "disk=[$disks,$cd_disk]" 'boot="d"'
check blocks-flushed wait_until 900 said "^LAB flushed 20"
kill -9 $pid
check device-model-dead wait_until 10 not test -d /proc/$pid
check helper-dead wait_until 10 not pidof qemu-nbd
guest_says

# The last line that came through the serial port, which the device model emulates too, may be cut off; what it says
# was true earlier then.
flushed=$(tr -d '\r' <$serial | sed -n 's/^LAB flushed \([0-9][0-9]*\)$/\1/p' | tail -n 1)
for i in $(seq $flushed); do
    seq $((i * 100000)) 99999999 | head -c 65536
done >/tmp/expected
flushed_in() { head -c $((flushed * 65536)) "$1" | cmp - /tmp/expected; }
say "# $flushed blocks of 64 KiB"
check flushed-in-ide-image flushed_in /tmp/ide.img
check flushed-in-pv-image flushed_in /tmp/pv.img
qemu-img check -f qcow2 /tmp/formatted.img >/run/lab/qemu-img-check 2>&1
status=$?
check formatted-image-consistent [ $status = 0 -o $status = 3 ] # 3: space that nothing refers to
qemu-img convert -f qcow2 -O raw /tmp/formatted.img /tmp/formatted.raw
check flushed-in-formatted-image flushed_in /tmp/formatted.raw

check guest-listed xl list guest
check destroy xl destroy guest
check destroy-nothing-left nothing_left $domid $pid
tiny_create
check next-guest-runs wait_until 60 tiny_echoes
xl destroy guest
