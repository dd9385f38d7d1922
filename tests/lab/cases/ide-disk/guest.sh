run_case() {
    wait_for /dev/sda
    disk_speed /dev/sda 200 # stock takes a quarter of an hour of CPU time for more
    file_system raw /dev/sda
}
