# A channel of a guest without an emulated machine: the helper has its other end on a terminal. The first one of the
# list is none to xl 4.17, which numbers it as the console that there is already.
serial=/var/log/xen/console/guest-guest.log
create 'disk=[]' 'type="pvh"' 'kernel="/lab/vmlinuz"' 'ramdisk="/lab/initrd"' \
    "extra=\"console=hvc0 $(cat /lab/append)\"" 'channel=["name=org.lab.none,connection=pty","name=org.lab.one,connection=pty"]'
check back-end-process grep -q xenpv /proc/$pid/cmdline
tty=$(xenstore-read /local/domain/$domid/device/console/1/tty)
check terminal-told [ -c "$tty" ] || exit 1
if wait_until 300 said "^LAB listens"; then
    seq 1 20000 >/run/lab/numbers
    exec 5<>"$tty"
    cat <&5 >/run/lab/heard &
    reader=$!
    echo "from Dom0" >&5
    wait_until 300 said "^LAB sends" && wait_until 300 said "^LAB sent"
    wait_until 60 cmp /run/lab/numbers /run/lab/heard
    check guest-to-dom0 cmp /run/lab/numbers /run/lab/heard
    usage_figures
    cat /run/lab/numbers >&5
    wait_until 300 said "^LAB heard"
    kill $reader
    exec 5>&-
fi
guest_ends 600
check nothing-left nothing_left $domid $pid
