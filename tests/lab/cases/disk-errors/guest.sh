run_case() {
    modprobe xen-blkfront
    wait_for /dev/sda
    wait_for /dev/xvde
    # Not more: after ten failed commands Linux gives up DMA on an IDE disk, and the rest takes long.
    dd if=/dev/urandom of=/pattern bs=64k count=32
    echo "LAB pattern $(md5sum </pattern)"
    for disk in sda xvde; do
        check $disk-writable store $disk 0 1
    done
    for disk in sda xvde; do
        check $disk-says-full not store $disk 1 2
    done
    echo 3 >/proc/sys/vm/drop_caches
    for disk in sda xvde; do
        check $disk-readable stored $disk 0 1
        check $disk-writable-where-written store $disk 0 1
    done
    echo "LAB full"
    for disk in sda xvde; do
        check $disk-writable-again store_at_last $disk 1 2
    done
    echo 3 >/proc/sys/vm/drop_caches
    for disk in sda xvde; do
        check $disk-readable-again stored $disk 1 2
    done
}
not() { ! "$@"; }
store() { # DISK MIB COUNT
    dd if=/pattern of=/dev/$1 bs=1M seek=$2 count=$3 conv=fsync
}
stored() {
    dd if=/dev/$1 of=/stored bs=1M skip=$2 count=$3 && head -c $(($3 * 1048576)) /pattern | cmp - /stored
}
store_at_last() {
    for i in $(seq 60); do
        ! store "$@" || return 0
        sleep 1
    done
    return 1
}
