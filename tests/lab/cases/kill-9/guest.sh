run_case() {
    modprobe xen-blkfront
    for disk in sda xvde xvdf; do
        wait_for /dev/$disk
        check $disk-there [ -b /dev/$disk ]
    done
    for i in $(seq 200); do
        seq $((i * 100000)) 99999999 | head -c 65536 >/block
        for disk in sda xvde xvdf; do
            dd if=/block of=/dev/$disk bs=64k seek=$((i - 1)) conv=fsync 2>/dev/null || echo "CHECK $disk-write FAIL $i"
        done
        echo "LAB flushed $i"
    done
}
