run_case() {
    wait_for /dev/sda
    disk_speed /dev/sda
    file_system raw /dev/sda
}
