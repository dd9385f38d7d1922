run_case() {
    wait_for /dev/sr0
    check cd-readable cd_readable
    inventory
    portclock
    echo "LAB up"
    sleep 5 # for Dom0 to look at the device model
}
