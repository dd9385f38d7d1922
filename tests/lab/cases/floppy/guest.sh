run_case() {
    for module in floppy vfat nls_cp437 nls_ascii; do
        modprobe $module
    done
    wait_for /dev/fd1
    inventory
    obey
}
mounted() { mount -t vfat /dev/fd0 /mnt; }
known() { (cd /mnt && sha256sum -c /known.sha256); }
# What nothing else of the lab's has, so that Dom0 finds it in the image.
text() { seq 10000 | sed 's/$/ lines on a floppy/'; }
written() { text >/mnt/written; }
written_is_there() { text | cmp - /mnt/written; }
# holds SUM DRIVE
holds() {
    local sum
    sum=$(md5sum <"$2") && echo "$sum" && [ "$sum" = "$1  -" ]
}
filled() { dd if=/dev/urandom of=/dev/fd0 bs=18k count=80 conv=fsync; }
