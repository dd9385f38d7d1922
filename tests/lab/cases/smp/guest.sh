run_case() {
    wait_for /dev/sda
    check two-cpus-online [ "$(cat /sys/devices/system/cpu/online)" = 0-1 ]
    for cpu in 0 1; do
        check disk-read-on-cpu$cpu taskset -c $cpu sh -c \
            'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda of=/known bs=1M skip=36 count=1; cd /; sha256sum -c known.sha256'
        taskset -c $cpu echo "CHECK serial-on-cpu$cpu PASS"
    done
    inventory
}
