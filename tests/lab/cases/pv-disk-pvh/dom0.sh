# A guest without an emulated machine: the device model serves its disks and nothing else.
serial=/var/log/xen/console/guest-guest.log
dd if=/dev/zero of=/tmp/raw.img bs=1M count=64 2>/dev/null # no holes: filling them would be measured too
qemu-img create -q -f qcow2 /tmp/formatted.img 64M
read_only='"format=raw,vdev=xvdc,access=ro,backendtype=qdisk,target=/lab/guest.iso"'
create "disk=[$(disk xvda raw /tmp/raw.img),$(disk xvdb qcow2 /tmp/formatted.img),$read_only]" 'type="pvh"' \
    'kernel="/lab/vmlinuz"' 'ramdisk="/lab/initrd"' "extra=\"console=hvc0 $(cat /lab/append)\""
check back-end-process grep -q xenpv /proc/$pid/cmdline
disk_figures
usage_figures
guest_ends 900
check raw-in-image files_equal raw /tmp/raw.img
check qcow2-in-image qcow2_files_equal qcow2 /tmp/formatted.img
check nothing-left nothing_left $domid $pid
