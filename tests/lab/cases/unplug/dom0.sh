# A PVHVM guest unplugs the emulated disk and then idles, and so must the device model: its wake-ups, CPU time, memory
# and threads are measured while the guest sleeps.
create "disk=[$hard_disk,$cd_disk]" 'boot="d"'
if wait_until 600 said "^LAB idle"; then
    sleep 15 # what is left to do after the last line is done by now, and spare threads have gone
    cpu=$(cpu_ns)
    wakeups=$(wakeups)
    sleep 30
    cpu=$(($(cpu_ns) - cpu))
    wakeups=$(($(wakeups) - wakeups))
    figure idle_wakeups "$(awk "BEGIN { printf \"%.2f\", $wakeups / 30 }")" 1/s
    figure idle_cpu "$(milliseconds 0 $cpu)" ms/30s
    usage_figures
    # The stock model polls; half a second of CPU time in thirty is where "idle" ends for anybody.
    check device-model-idle [ $cpu -lt 500000000 ]
fi
guest_ends 300
