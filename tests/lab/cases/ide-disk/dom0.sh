# The emulated IDE disk under a file system, and its speed.
dd if=/dev/zero of=/tmp/raw.img bs=1M count=64 2>/dev/null # no holes: filling them would be measured too
create "disk=[$(disk hda raw /tmp/raw.img),$cd_disk]" 'boot="d"'
disk_figures 200
guest_ends 900
check raw-in-image files_equal raw /tmp/raw.img
