run_case() {
    wait_for /dev/sr0
    check emulated-disk-gone [ ! -e /sys/block/sda ]
    check cd-readable cd_readable
    inventory
    echo "LAB idle"
    sleep 60
    check still-running true
}
