# As boot-cd, but the device model gives up root, the file system and all domains but its own.
create "disk=[$cd_disk]" 'boot="d"' 'dm_restrict=1' 'device_model_user="nobody"'
check runs-as-user grep -q "^Uid:	65534	65534	65534	65534" /proc/$pid/status
check runs-in-chroot [ "$(readlink /proc/$pid/root)" = "/run/xen/qemu-root-$domid" ]
guest_ends 600
