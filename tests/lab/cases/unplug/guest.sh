run_case() {
    wait_for /dev/sr0
    check cd-readable cd_readable
    inventory
    check emulated-disk-gone [ ! -e /sys/block/sda ]
    echo "LAB idle"
    sleep 75
    check still-running true
}
