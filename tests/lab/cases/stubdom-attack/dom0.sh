# A stubdomain tries what a hijacked device model would (stubdom/kernel/attack.c), against Dom0, against another guest and
# against nobody: Xen and xenstored refuse each attempt, and all go on, its own guest too, which it serves afterwards.
log=/var/log/xen/qemu-dm-guest.log
cp /lab/tiny.img /tmp/other.img
guest_config "disk=[$(disk hda raw /tmp/other.img)]" 'boot="c"' 'name="other"' 'serial="null"' \
    'device_model_stubdomain_override=0' >/run/lab/other.cfg
check other-created xl -vvv create /run/lab/other.cfg
other=$(xl domid other)
create "disk=[$tiny_disk]" 'boot="c"' 'serial="pty"' "stubdomain_cmdline=\"selftest attack $other\""
kill $clock
tiny_connect
tr -d '\r' <$log | while read -r first name result detail; do
    [ "$first" != SELFTEST ] || [ "$name" = attack ] || say "CHECK $name $result $detail"
done
check all-tried grep -q '^SELFTEST attack done, 0 not refused' $log
check guest-goes-on wait_until 60 tiny_echoes
# Neither shut down nor crashed.
runs() { xl list "$1" | awk -v name="$1" '$1 == name { print $5 }' | grep -q '^[r-][b-][p-]---$'; }
check other-goes-on runs other
check names-are-as-they-were [ "$(xenstore-read /local/domain/0/name) $(xenstore-read "/local/domain/$other/name")" = "Domain-0 other" ]
xl destroy guest
xl destroy other
