# Two sparse images, of an emulated and of a PV disk, on a file system that runs full: the guest sees errors of its
# disks and nothing else breaks; when there is room again, writes succeed.
mkdir /tmp/small
mount -t tmpfs -o size=3584k tmpfs /tmp/small
truncate -s 64M /tmp/small/ide.img /tmp/small/pv.img
create "disk=[$(disk hda raw /tmp/small/ide.img),$(disk xvde raw /tmp/small/pv.img),$cd_disk]" 'boot="d"'
if wait_until 900 said "^LAB full"; then
    check host-is-full [ "$(df -k /tmp/small | awk 'NR == 2 { print $4 }')" = 0 ]
    qmp=/run/xen/qmp-libxl-$domid
    check qmp-answers sh -c "qmp $qmp '{\"execute\":\"query-status\",\"id\":1}' | grep -q '\"running\"'"
    check qmp-tells-disks qmp $qmp '{"execute":"query-block","id":1}' '{"execute":"query-blockstats","id":2}'
    check log-is-short [ "$(wc -l </var/log/xen/qemu-dm-guest.log)" -lt 100 ]
    mount -t tmpfs -o remount,size=64m tmpfs /tmp/small
fi
guest_ends 600
in_image() { said "^LAB pattern $(dd if="$1" bs=1M skip=1 count=2 2>/dev/null | md5sum)"; }
check ide-in-image in_image /tmp/small/ide.img
check pv-in-image in_image /tmp/small/pv.img
