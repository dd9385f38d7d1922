run_case() {
    modprobe xen-blkfront
    wait_for /dev/sda
    wait_for /dev/xvde
    echo "LAB both disks"
    file_system ide /dev/sda
    file_system pv /dev/xvde
    sleep 5 # for Dom0 to look at the helpers
}
