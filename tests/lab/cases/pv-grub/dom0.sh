# Debian's boot loader for PV and for PVH guests reads kernel and initrd from a disk that the device model serves, and
# closes it; Linux opens it anew.
serial=/var/log/xen/console/guest-guest.log
boots() { # TYPE LOADER
    create "disk=[$(disk xvda raw /lab/guest.img)]" "type=\"$1\"" "kernel=\"/lab/$2\""
    check $1-back-end-process grep -q xenpv /proc/$pid/cmdline
    guest_ends 900
    check $1-kernel-is-from-the-disk grep -qF "Reading (xen/xvda,msdos1)/boot/grub/grub.cfg" $serial
    figure $1_create_to_kernel "$(since_created 1)" ms
    figure $1_create_to_init "$(since_created 2)" ms
    dd if=/lab/guest.img of=/tmp/partition.img bs=1M skip=40 2>/dev/null
    check $1-in-image files_equal $1 /tmp/partition.img
    check $1-nothing-left nothing_left $domid $pid
    mv $serial /run/lab/console-$1 # the next guest's name is the same
}
since_created() { # MARK of serialclock
    milliseconds "$(cat /run/lab/created)" "$(awk -v mark=$1 '$1 == mark { print $2 }' /run/lab/serialclock)"
}
boots pv grub-x86_64-xen.bin
boots pvh grub-i386-xen_pvh.bin
