# What the Dom0 side of a case is written in. A case prints its findings as
#   CHECK name PASS|FAIL detail      FIGURE name value unit
# into /run/lab/results, which the runner reads.

results=/run/lab/results
serial=/run/lab/serial
nl='
'

say() {
    echo "$*"
    echo "$*" >>$results
}
pass() { say "CHECK $1 PASS ${2-}"; }
fail() { say "CHECK $1 FAIL ${2-}"; }
figure() { say "FIGURE $1 $2 $3"; }

# check NAME COMMAND...: PASS if the command succeeds, FAIL with its output otherwise.
check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        pass "$name"
    else
        fail "$name" "$(echo "$* : $out" | tail -n 1)"
        return 1
    fi
}

# wait_until SECONDS COMMAND...: ask every half second; false when the time is over.
wait_until() {
    local end=$(($(now) / 1000000000 + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $(($(now) / 1000000000)) -lt $end ] || return 1
        usleep 500000
    done
}

# guest_config [LINE...]: the configuration all guests of the lab share, plus the case's own lines (the last one wins).
guest_config() {
    cat <<END
type="hvm"
name="guest"
memory=256
vcpus=1
device_model_version="qemu-xen"
device_model_override="/lab/bin/spawn"
stdvga=1
vnc=0
usb=0
vif=[]
serial="file:$serial"
on_crash="destroy"
END
    printf '%s\n' "$@"
}
cd_disk='"format=raw,vdev=hdc,devtype=cdrom,access=ro,target=/lab/guest.iso"'
hard_disk='"format=raw,vdev=hda,access=rw,backendtype=qdisk,target=/lab/guest.img"'

# create [LINE...]: start a guest; $domid and $pid (of the device model) are set. Fails if xl does.
create() {
    guest_config "$@" >/run/lab/guest.cfg
    rm -f /run/lab/spawn
    nodewatch >>/run/lab/nodewatch &
    local watcher=$!
    serialclock $serial /run/lab/spawn "Linux version" "LAB init" >/run/lab/serialclock &
    now >/run/lab/created
    if ! xl -vvv create /run/lab/guest.cfg >>/run/lab/xl.log 2>&1; then
        kill $watcher
        return 1
    fi
    kill $watcher
    domid=$(xl domid guest)
    pid=$(cut -d ' ' -f 2 /run/lab/spawn)
}

said() { grep -q "$1" $serial; }
gone() { ! xl domid guest; }

# guest_ends SECONDS: the guest says that it has finished and powers off within this time; what it printed is collected.
guest_ends() {
    wait_until "$1" said "^LAB done" || fail guest-finished "last line: $(tail -n 1 $serial | tr -d '\r')"
    wait_until 60 gone && pass guest-powered-off || { fail guest-powered-off; xl destroy guest; }
    guest_says
}
guest_says() {
    tr -d '\r' <$serial | grep -E '^(CHECK|FIGURE) ' | tee -a $results
    tr -d '\r' <$serial | sed -n '/^LAB inventory$/,/^LAB end$/{/^LAB/d;p}' >/run/lab/inventory
    [ -s /run/lab/inventory ] || rm /run/lab/inventory
}

# milliseconds FROM TO (nanoseconds)
milliseconds() { awk "BEGIN { printf \"%.1f\", ($2 - $1) / 1e6 }"; }

# Start-up time, and time and CPU use of the boot, of the guest created last.
start_figures() {
    local began created
    began=$(awk -v d="$domid" '$1 == d { print $3 }' /run/lab/spawn)
    created=$(cat /run/lab/created)
    figure spawn_to_running "$(milliseconds "$began" "$(awk -v d="$domid" '$2 == d && $3 == "running" { print $1; exit }' /run/lab/nodewatch)")" ms
    figure create_to_kernel "$(milliseconds "$created" "$(awk '$1 == 1 { print $2 }' /run/lab/serialclock)")" ms
    figure create_to_init "$(milliseconds "$created" "$(awk '$1 == 2 { print $2 }' /run/lab/serialclock)")" ms
    figure cpu_until_init "$(milliseconds 0 "$(awk '$1 == 2 { print $3 }' /run/lab/serialclock)")" ms
}
