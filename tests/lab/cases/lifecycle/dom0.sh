# Everything xl does to a running guest, and what the guest does to itself; nothing may stay behind.
tiny_create
check serial-pty wait_until 60 tiny_echoes

qmp=/run/xen/qmp-libxl-$domid
qmp $qmp '{"execute":"query-status","id":"a b"}' '{"execute":"query-status","id":77}' >/run/lab/qmp 2>&1
check qmp-answers [ $? = 0 ]
check qmp-status-running grep -q '"status": *"running"' /run/lab/qmp
check qmp-string-id grep -q '"id": *"a b"' /run/lab/qmp
check qmp-integer-id grep -q '"id": *77[^0-9]' /run/lab/qmp
check qmp-unknown-command sh -c "qmp $qmp '{\"execute\":\"no-such-command\",\"id\":3}' | grep -q '\"error\"'"

xl pause guest
sleep 2 # what was on its way has come
check paused-is-silent not tiny_echoes
xl unpause guest
check unpaused-talks wait_until 20 tiny_echoes

for letter in r c r; do
    old_domid=$domid old_pid=$pid
    check reboot-$letter tiny_reboot $letter
    check reboot-$letter-nothing-left nothing_left $old_domid $old_pid
done

printf p >"$tty"
check power-off wait_until 60 gone
check power-off-nothing-left nothing_left $domid $pid
kill $tiny_reader
sleep 2
fds=$(daemon_fds)

tiny_create
wait_until 60 tiny_echoes
xl destroy guest
check destroy-nothing-left nothing_left $domid $pid
sleep 2
check daemons-keep-no-files [ $fds = "$(daemon_fds)" ]

# A real operating system's answer to a request to shut down.
create "disk=[$cd_disk]" 'boot="d"'
check linux-up wait_until 600 said "^LAB idle"
xl shutdown guest
check shutdown wait_until 120 gone
check shutdown-nothing-left nothing_left $domid $pid
