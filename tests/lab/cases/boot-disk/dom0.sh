# From a boot loader on the emulated IDE disk; what the guest wrote and flushed is in the file afterwards.
create "disk=[$hard_disk]" 'boot="c"'
guest_ends 600
seq 500000 700000 | head -c 1048576 >/run/expected
dd if=/lab/guest.img of=/run/written bs=1M skip=38 count=1 2>/dev/null
check written-data-in-file cmp /run/expected /run/written
