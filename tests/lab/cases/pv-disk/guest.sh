run_case() {
    modprobe xen-blkfront
    wait_for /dev/xvda
    wait_for /dev/xvdb
    check emulated-disks-gone [ ! -e /sys/block/sda ]
    disk_speed /dev/xvda
    file_system raw /dev/xvda
    file_system qcow2 /dev/xvdb
}
