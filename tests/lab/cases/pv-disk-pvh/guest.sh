run_case() {
    modprobe xen-blkfront
    for disk in xvda xvdb xvdc; do
        wait_for /dev/$disk
    done
    disk_speed /dev/xvda
    file_system raw /dev/xvda
    file_system qcow2 /dev/xvdb
    check read-only-disk-readable image_readable
    check read-only-disk-is-read-only [ "$(cat /sys/block/xvdc/ro)" = 1 ]
}
image_readable() { mount -t iso9660 -o ro /dev/xvdc /mnt && cd /mnt && sha256sum -c /known.sha256; }
