# What the cases of disks share.

# file_system NAME DEVICE: made, filled, checked, and read again when nothing of it is left in memory. The sums of its
# files go to Dom0, which looks for them in the image.
file_system() {
    modprobe crc32c_generic
    modprobe ext4
    # By its path: the shell prefers the lesser one of the box.
    check $1-made /bin/mke2fs -q -F -t ext4 $2 || return
    check $1-mounted mount -t ext4 $2 /mnt || return
    check $1-filled fill
    check $1-unmounted umount /mnt
    check $1-clean e2fsck -f -n $2
    echo 3 >/proc/sys/vm/drop_caches
    check $1-mounted-again mount -t ext4 -o ro $2 /mnt || return
    check $1-read-again read_again
    umount /mnt
    sed "s/^/LAB sum $1 /" /sums
}
fill() {
    cd /mnt
    dd if=/dev/urandom of=large bs=64k count=128 || return 1
    for i in $(seq 20); do
        seq $i $((i * 300)) >small$i || return 1
    done
    md5sum large small* >/sums
    sync
}
read_again() { cd /mnt && md5sum -c /sums; }

# disk_speed DEVICE [REQUESTS]: 32 MiB one after the other, then 2000 (or REQUESTS) times 4 KiB with 32 under way; Dom0
# looks at the device model at the marks. What is read has been written before, so it comes from Dom0's memory.
disk_speed() {
    requests=${2:-2000}
    phase seq_write seconds_of dd if=/dev/zero of=$1 bs=1M count=32 conv=fsync
    phase seq_read seconds_of dd if=$1 of=/dev/null bs=1M count=32
    phase rand_read randio $1 32 $requests
    phase rand_write randio $1 32 $requests w
}
phase() { # NAME COMMAND...
    local name=$1
    shift
    echo 3 >/proc/sys/vm/drop_caches
    echo "LAB begin $name"
    sleep 2
    value=$("$@" 2>/dev/null)
    echo "LAB end $name"
    sleep 2
    case $name in
    seq_*) echo "FIGURE $name $(awk "BEGIN { printf \"%.1f\", 32 / $value }") MiB/s" ;;
    *) echo "FIGURE $name $(awk "BEGIN { printf \"%.0f\", $requests / $value }") requests/s" ;;
    esac
}
seconds_of() {
    local from
    read -r from _ </proc/uptime
    "$@"
    awk -v from=$from '{ print $1 - from }' /proc/uptime
}
