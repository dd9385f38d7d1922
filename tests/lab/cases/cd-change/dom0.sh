# The CD in the drive of a guest is changed in every way that xl and the guest have; the same with a device model that
# has given up its rights.
dd if=/dev/urandom of=/tmp/a.iso bs=2048 count=400 2>/dev/null
dd if=/dev/urandom of=/tmp/b.iso bs=2048 count=400 2>/dev/null
dd if=/dev/urandom of=/tmp/c.iso bs=2048 count=300 2>/dev/null

sum() { md5sum <"$1" | cut -d ' ' -f 1; }
has() { # DISC [DEVICE]: read there. After a change under the stock model, Linux refuses the first time.
    local command="disc $(sum "/tmp/$1.iso") ${2-}"
    in_guest "$command" || { [ "$DM_NAME" = stock ] && in_guest "$command"; }
}
insert() { xl cd-insert guest hdc "/tmp/$1.iso"; }
fds() { ls /proc/$pid/fd | wc -l; }
medium() { qmp /run/xen/qmp-libxl-$domid '{"execute":"query-block","id":1}' | grep "$@"; }
swaps() { # COUNT: one disc after the other, each read
    local i
    for i in $(seq "$1"); do
        insert b && has b && insert a && has a || return 1
    done
}

changes() { # PREFIX
    check $1door-locked in_guest mounted
    in_guest no_events
    check $1locked-not-ejected not xl cd-eject guest hdc
    check $1eject-request-seen in_guest event EJECT_REQUEST
    check $1locked-not-changed not insert a
    check $1locked-disc-readable in_guest known
    check $1unlocked in_guest umount /mnt
    in_guest no_events
    check $1ejected xl cd-eject guest hdc
    # Stock's drive has no event for it.
    [ "$DM_NAME" = stock ] || check $1ejection-seen in_guest event MEDIA_CHANGE
    check $1eject-of-empty-drive xl cd-eject guest hdc
    check $1no-medium in_guest no_disc
    in_guest no_events
    check $1inserted insert a
    check $1insertion-seen in_guest event MEDIA_CHANGE
    check $1reads-a has a
    # Stock's monitor calls it /dev/fdset/N.
    [ "$DM_NAME" = stock ] || check $1qmp-tells-path medium /tmp/a.iso
    check $1changed-to-equal-size insert b
    check $1reads-b has b
    check $1held-open in_guest hold
    in_guest no_events
    check $1changed-while-open insert a
    check $1change-while-open-seen in_guest event MEDIA_CHANGE
    check $1reads-a-while-open has a
    check $1let-go in_guest let_go
    check $1changed-to-smaller insert c
    check $1reads-c has c
    check $1smaller in_guest '[ $(blockdev --getsz /dev/sr0) = 1200 ]'
    check $1guest-opens-tray in_guest open_tray
    check $1tray-is-open medium '"tray_open": *true'
    check $1guest-closes-tray has c
    check $1tray-is-closed medium '"tray_open": *false'
    in_guest open_tray
    check $1inserted-into-open-tray insert a
    check $1reads-a-from-tray has a
    local before=$(fds)
    check $1swaps swaps 5
    check $1swaps-leave-no-files [ "$(fds)" = "$before" ]
    [ "$DM_NAME" = stock ] || check $1no-errors-in-guest in_guest drive_is_well # see has()
    xl cd-eject guest hdc
    check $1empty-at-the-end in_guest no_disc
    # Stock's PV twin of the drive keeps what it had first.
    [ "$DM_NAME" = stock ] || check $1no-disc-held sh -c "! readlink /proc/$pid/fd/* | grep iso"
}

# Linux leaves the PV twin of a CD alone. If it believes it is a disk, it is one that changes. There is none with dm_restrict.
twin_changes() {
    xenstore-write "/local/domain/$domid/device/vbd/5632/device-type" disk
    insert a
    check twin-appears in_guest "modprobe xen-blkfront && wait_for /dev/xvdc"
    check twin-reads-a has a /dev/xvdc
    check twin-inserted insert c
    check twin-smaller in_guest '[ $(cat /sys/block/xvdc/size) = 1200 ]'
    check twin-reads-c has c /dev/xvdc
    check twin-ejected xl cd-eject guest hdc
    check twin-empty in_guest '[ $(cat /sys/block/xvdc/size) = 0 ]'
    check twin-inserted-again insert b
    check twin-reads-b has b /dev/xvdc
    check drive-reads-b has b
}

obeying_create "disk=[$cd_disk]" 'boot="d"'
changes
[ "$DM_NAME" = stock ] || twin_changes # stock's does not follow
echo end >"$tty"
guest_ends 60
cp $serial /run/lab/serial-free

obeying_create "disk=[$cd_disk]" 'boot="d"' 'dm_restrict=1' 'device_model_user="nobody"'
check runs-in-chroot [ "$(readlink /proc/$pid/root)" = "/run/xen/qemu-root-$domid" ]
changes restricted-
echo end >"$tty"
guest_ends 60
