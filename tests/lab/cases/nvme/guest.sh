run_case() {
    modprobe nvme
    wait_for /dev/nvme0n2
    check boot-disk-readable boot_disk_readable
    inventory
    disk_speed /dev/nvme0n2
    file_system raw /dev/nvme0n2
    modprobe -r nvme
    check unplug unplug 8
    check unplugged disks_gone
}
boot_disk_readable() {
    dd if=/dev/nvme0n1 of=/known bs=1M skip=36 count=1 && cd / && sha256sum -c /known.sha256
}
disks_gone() {
    echo 1 >/sys/bus/pci/rescan
    modprobe nvme
    sleep 5
    [ ! -e /sys/block/nvme0n2 ]
}
