run_case() {
    modprobe ahci
    wait_for /dev/sda
    check ahci-disk ahci_disk
    inventory
    disk_speed /dev/sda
    file_system raw /dev/sda
    modprobe -r ahci
    check unplug unplug 1
    echo 1 >/sys/bus/pci/rescan
    modprobe ahci
    sleep 5
    [ -e /sys/block/sda ] || echo "LAB unplugged"
}
ahci_disk() { readlink /sys/block/sda/device/../../../../driver | grep -q '/ahci$'; }
