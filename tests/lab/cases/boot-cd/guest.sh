run_case() {
    wait_for /dev/sr0
    check cd-readable cd_readable
    inventory
    portclock
}
