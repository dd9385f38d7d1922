run_case() {
    modprobe xen-blkfront
    wait_for /dev/xvda2
    type=$(tr PVH pvh </sys/hypervisor/guest_type)
    check $type-disk-readable disk_readable
    file_system $type /dev/xvda2
}
disk_readable() { dd if=/dev/xvda of=/known bs=1M skip=36 count=1 && cd / && sha256sum -c /known.sha256; }
