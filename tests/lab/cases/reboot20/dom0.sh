# Twenty reboots in a row by the guest itself.
tiny_create
check serial-pty wait_until 60 tiny_echoes
fds=$(daemon_fds)
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    old_domid=$domid old_pid=$pid
    check reboot-$i tiny_reboot r || break
    check reboot-$i-nothing-left nothing_left $old_domid $old_pid
done
check daemons-keep-no-files [ $fds = "$(daemon_fds)" ]
xl destroy guest
