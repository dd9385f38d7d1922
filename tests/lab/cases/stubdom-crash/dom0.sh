# A device model that dies of an exception before its guest runs: the guest is shut down as crashed at once, by its stubdomain,
# which leaves a report; libxl, which waits for the device model, gives up and leaves nothing.
log=/var/log/xen/qemu-dm-guest.log
guest_config "disk=[$hard_disk]" 'stubdomain_cmdline="selftest crash"' 'on_crash="preserve"' >/run/lab/guest.cfg
xl -vvv create /run/lab/guest.cfg >/run/lab/xl.log 2>&1 &
creation=$!

# The column of states: shut down, crashed.
crashed() { xl list "$1" | awk -v name="$1" '$1 == name { print $5 }' | grep -q 'sc'; }
check guest-crashed wait_until 120 crashed guest
check stubdom-crashed wait_until 10 crashed guest-dm
xl list >/run/lab/list
check report grep -q '^crash: page fault: write to nothing at 0000000000000010' $log
check tells-of-guest grep -q '^crash: domain [0-9]* is ended as crashed: 0' $log
if wait $creation; then fail creation-fails; else pass creation-fails; fi
xl destroy guest 2>/dev/null
check nothing-left wait_until 20 not xl domid guest-dm
