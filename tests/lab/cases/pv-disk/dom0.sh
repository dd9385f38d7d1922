# A PVHVM guest leaves its emulated disks for PV ones, of the same images: a raw one, and one that a helper reads.
dd if=/dev/zero of=/tmp/raw.img bs=1M count=64 2>/dev/null # no holes: filling them would be measured too
qemu-img create -q -f qcow2 /tmp/formatted.img 64M
create "disk=[$(disk hda raw /tmp/raw.img),$(disk hdb qcow2 /tmp/formatted.img),$cd_disk]" 'boot="d"'
disk_figures
guest_ends 900
check raw-in-image files_equal raw /tmp/raw.img
check qcow2-in-image qcow2_files_equal qcow2 /tmp/formatted.img
