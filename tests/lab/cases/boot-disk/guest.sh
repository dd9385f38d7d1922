run_case() {
    wait_for /dev/sda
    check disk-readable disk_readable
    check disk-writable disk_writable
    inventory
}
disk_readable() {
    dd if=/dev/sda of=/known bs=1M skip=36 count=1 && cd / && sha256sum -c /known.sha256
}
disk_writable() {
    seq 500000 700000 | head -c 1048576 | dd of=/dev/sda bs=64k seek=608 conv=fsync && blockdev --flushbufs /dev/sda
}
