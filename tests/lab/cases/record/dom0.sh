# The boot of boot-cd, recorded, and replayed here without Xen: every answer, store and interrupt must come again.
create "disk=[$cd_disk]" 'boot="d"' 'device_model_args=["-trace-record","/run/lab/boot.trace"]'
guest_ends 660
wait_until 30 not test -d "/proc/$pid"
figure trace_size "$(stat -c %s /run/lab/boot.trace)" bytes
check trace-replays /lab/thindm replay /run/lab/boot.trace
cat /run/lab/check-output
gzip -f /run/lab/boot.trace
