run_case() {
    wait_for /dev/sr0
    check cd-readable cd_readable
    inventory
    portclock
}
cd_readable() {
    mount -t iso9660 -o ro /dev/sr0 /mnt && cd /mnt && sha256sum -c /known.sha256
}
