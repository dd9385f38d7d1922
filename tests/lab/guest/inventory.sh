# What the guest sees of its machine, one fact a line. Left out are counts, the guest's own memory, and numbers Linux
# hands out itself (event channels).

inventory() {
    echo "LAB inventory"
    pci_functions
    sed 's/^/ioport /' /proc/ioports
    sed '/System RAM$/d; / Kernel /d; s/^/iomem /' /proc/iomem
    interrupts
    drives
    echo "LAB end"
}

pci_functions() {
    for dev in /sys/bus/pci/devices/*; do
        cd "$dev"
        echo "pci ${dev##*/} $(cat vendor device class revision subsystem_vendor subsystem_device irq | tr '\n' ' ')" \
            "pin $(dd if=config bs=1 skip=61 count=1 2>/dev/null | hexdump -e '1/1 "%d"')" \
            "header $(dd if=config bs=1 skip=14 count=1 2>/dev/null | hexdump -e '1/1 "%d"')"
        n=0
        while read -r start end flags; do
            [ $end = 0x0000000000000000 ] || echo "pci ${dev##*/} resource $n size $((end - start + 1)) flags $flags"
            n=$((n + 1))
        done <resource
    done
    cd /
}

# Interrupt lines with controller and devices, without the counts (one column per CPU). Lines of event channels have
# numbers that depend on the order of events.
interrupts() {
    awk 'NR == 1 { cpus = NF; next }
         { line = "interrupt " $1; for (i = cpus + 2; i <= NF; i++) line = line " " $i
           if (line ~ /xen-(percpu|dyn)/) sub(/[0-9]+:/, "-", line)
           print line }' /proc/interrupts
}

# Names and sizes, by channel, as the channels are probed side by side; the model string is the maker's own business.
drives() {
    dmesg | sed -n 's/^\[[^]]*\] //; s/^\(ata[0-9.]*: .*\)/\1/p' |
        sed 's/\(ATAP*I*[-0-9]*: \)[^,]*, /\1/; s/^/drive /' | sort
    for disk in /sys/block/sd* /sys/block/sr* /sys/block/hd* /sys/block/fd* /sys/block/xvd*; do
        [ ! -e $disk ] || echo "block ${disk##*/} $(cat $disk/size) $(cat $disk/removable) $(cat $disk/ro)"
    done
}
