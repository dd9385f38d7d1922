# Debian's installer, kernel and initrd, from an emulated disk to its first screen. The disk is an AHCI one, which
# firmware reads by DMA: the 47 MiB of an IDE one, sector by sector, take too long for every day. With half the memory
# the first screen would be about that.
create "disk=[$(disk hda raw /lab/installer.img)]" 'boot="c"' 'hdtype="ahci"' 'memory=1024'
if wait_until 600 said "Select a language"; then
    pass first-screen
    created=$(cat /run/lab/created)
    kernel=$(awk '$1 == 1 { print $2 }' /run/lab/serialclock)
    figure create_to_kernel "$(milliseconds "$created" "$kernel")" ms
    figure create_to_first_screen "$(milliseconds "$created" "$(now)")" ms
    figure cpu_until_first_screen "$(milliseconds 0 "$(cpu_ns)")" ms
else
    fail first-screen "last line: $(tail -n 1 $serial | tr -d '\r')"
fi
kill $clock
xl destroy guest
check nothing-left nothing_left $domid $pid
