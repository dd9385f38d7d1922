# A guest's floppies: a file system on the one, reading alone on the other, of another kind, then another medium in the
# first; and firmware that boots from one. libxl has no name for them, their arguments are the device model's own.
cp /lab/floppy.img /tmp/first.img
dd if=/dev/urandom of=/tmp/second.img bs=1k count=720 2>/dev/null
dd if=/dev/urandom of=/tmp/other.img bs=1k count=1440 2>/dev/null

sum() { md5sum <"$1" | cut -d ' ' -f 1; }
holds() { in_guest "holds $(sum "$1") $2"; }
drive() { # COMMAND ARGUMENTS
    qmp /run/xen/qmp-libxl-$domid "{\"execute\":\"$1\",\"arguments\":{\"device\":\"floppy0\"$2},\"id\":1}" >/run/lab/qmp
    grep '"return": *{}.*"id": *1' /run/lab/qmp || { grep error /run/lab/qmp; return 1; }
}
text_in_image() { sed -n '/^2000 lines on a floppy/,/^9000 lines/p' /tmp/first.img | cmp - /tmp/text; }

obeying_create "disk=[$cd_disk]" 'boot="d"' \
    'device_model_args_hvm=["-fda","/tmp/first.img","-drive","file=/tmp/second.img,format=raw,if=floppy,index=1,readonly=on"]'
check mounted in_guest mounted
check known-bytes in_guest known
check file-written in_guest written
check unmounted in_guest umount /mnt
seq 2000 9000 | sed 's/$/ lines on a floppy/' >/tmp/text
check file-in-image text_in_image
check guest-reads-the-image holds /tmp/first.img /dev/fd0
check mounted-again in_guest mounted
check file-read in_guest written_is_there
check known-bytes-again in_guest known
check unmounted-again in_guest umount /mnt

check second-drive holds /tmp/second.img /dev/fd1
check second-is-read-only not in_guest "dd if=/dev/zero of=/dev/fd1 count=1"
check second-unchanged holds /tmp/second.img /dev/fd1

check ejected drive eject ''
check no-medium not in_guest "dd if=/dev/fd0 of=/dev/null count=1"
check inserted drive blockdev-change-medium ',"filename":"/tmp/other.img","format":"raw"'
check reads-other holds /tmp/other.img /dev/fd0
check filled in_guest filled
check reads-what-it-wrote holds /tmp/other.img /dev/fd0
echo end >"$tty"
guest_ends 60

cp /lab/tiny.img /tmp/boot.img
truncate -s 1440k /tmp/boot.img
create "disk=[]" 'boot="a"' 'serial="pty"' 'device_model_args_hvm=["-fda","/tmp/boot.img"]'
kill $clock
tiny_connect
check boots-from-floppy wait_until 60 tiny_echoes
printf p >"$tty"
check powered-off-by-booted wait_until 60 gone
