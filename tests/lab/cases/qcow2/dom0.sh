# An emulated and a PV disk of images that helpers read.
qemu-img create -q -f qcow2 /tmp/ide.img 64M
qemu-img create -q -f qcow2 /tmp/pv.img 64M
create "disk=[$(disk hda qcow2 /tmp/ide.img),$(disk xvde qcow2 /tmp/pv.img),$cd_disk]" 'boot="d"'
if wait_until 600 said "^LAB both disks"; then
    check two-helpers [ "$(pidof qemu-nbd | wc -w)" = 2 ]
    for helper in $(pidof qemu-nbd); do
        check helper-is-nobody grep -q "^Uid:	65534	65534	65534	65534" "/proc/$helper/status"
        check helper-has-no-network [ "$(readlink "/proc/$helper/ns/net")" != "$(readlink /proc/self/ns/net)" ]
        check helper-has-its-own-root not test -e "/proc/$helper/root/lab"
    done
    for image in ide pv; do
        check second-writer-of-$image-refused not qemu-img resize -q -f qcow2 "/tmp/$image.img" +1M
    done
fi
guest_ends 900
check no-helper-left wait_until 20 not pidof qemu-nbd
check ide-in-image qcow2_files_equal ide /tmp/ide.img
check pv-in-image qcow2_files_equal pv /tmp/pv.img
