# What the Dom0 side of a case is written in. A case prints its findings as
#   CHECK name PASS|FAIL detail      FIGURE name value unit
# into /run/lab/results, which the runner reads.

results=/run/lab/results
serial=/run/lab/serial
nl='
'

say() {
    echo "$*" | tee -a $results
}
pass() { say "CHECK $1 PASS ${2-}"; }
fail() { say "CHECK $1 FAIL ${2-}"; }
figure() { say "FIGURE $1 $2 $3"; }

# check NAME COMMAND...: PASS if the command succeeds, FAIL with its output otherwise.
check() {
    local name=$1
    shift
    if "$@" >/run/lab/check-output 2>&1; then
        pass "$name"
    else
        fail "$name" "$* : $(tail -n 1 /run/lab/check-output)"
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
    [ "$DM_NAME" != stubdom ] || cat <<END
device_model_stubdomain_override=1
stubdomain_kernel="/lab/stubdom"
stubdomain_ramdisk="/lab/stubdom-roms"
stubdomain_memory=${stubdomain_memory:-4}
END
    printf '%s\n' "$@"
}
cd_disk='"format=raw,vdev=hdc,devtype=cdrom,access=ro,target=/lab/guest.iso"'
hard_disk='"format=raw,vdev=hda,access=rw,backendtype=qdisk,target=/lab/guest.img"'

# create [LINE...]: start a guest; $domid and $pid (of the device model, or of a stubdomain's helper) are set. The case ends
# here if xl fails.
create() {
    guest_config "$@" >/run/lab/guest.cfg
    rm -f /run/lab/spawn
    nodewatch >>/run/lab/nodewatch 2>&1 &
    local watcher=$!
    serialclock $serial /run/lab/spawn "Linux version" "LAB init" >/run/lab/serialclock 2>&1 &
    clock=$!
    now >/run/lab/created
    if ! xl -vvv create /run/lab/guest.cfg >>/run/lab/xl.log 2>&1; then
        fail created "$(grep -m 1 'error: ' /run/lab/xl.log); $(tail -n 1 /var/log/xen/qemu-dm-guest.log)"
        exit 1
    fi
    kill $watcher
    find_domain
    pid=$(cut -d ' ' -f 2 /run/lab/spawn)
    pass created
}

# Set $domid, and $served: the domain that process $pid serves.
find_domain() {
    domid=$(xl domid guest)
    served=$domid
    [ "$DM_NAME" != stubdom ] || served=$(xl domid guest-dm)
}

not() { ! "$@"; }
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

# obeying_create [LINE...]: start a guest whose case is obey (guest/init), its serial port on a pty.
obeying_create() {
    serial=/run/lab/pty
    create "$@" 'serial="pty"'
    kill $clock
    asked=0
    tiny_connect && wait_until 600 said "^LAB obeys" && pass guest-obeys || fail guest-obeys
}
# in_guest COMMAND: it ends as it does there, and says what it said last there.
in_guest() {
    local answer
    asked=$((asked + 1))
    printf '%s\n' "$*" >"$tty"
    wait_until 120 said "^LAB answered $asked" || { echo "no answer"; return 1; }
    answer=$(tr -d '\r' <$serial | sed -n "s/^LAB answer $asked //p")
    echo "${answer#* }"
    return "${answer%% *}"
}

# disk VDEV FORMAT IMAGE: one for the list of the configuration.
disk() { echo "\"format=$2,vdev=$1,access=rw,backendtype=qdisk,target=$3\""; }

# disk_figures [REQUESTS]: while the guest measures (disk_speed in guest/disk.sh), what the device model uses of the CPU.
disk_figures() {
    local phase cpu requests=${1:-2000}
    for phase in seq_write seq_read rand_read rand_write; do
        wait_until 600 said "^LAB begin $phase" || return
        cpu=$(cpu_ns)
        wait_until 600 said "^LAB end $phase" || return
        # Each moves 32 MiB at a time, or as many times 4 KiB.
        case $phase in
        seq_*) figure "cpu_$phase" "$(awk "BEGIN { printf \"%.0f\", ($(cpu_ns) - $cpu) * 32 / 1e6 }")" ms/GiB ;;
        *) figure "cpu_$phase" "$(awk "BEGIN { printf \"%.1f\", ($(cpu_ns) - $cpu) / $requests / 1e3 }")" us/request ;;
        esac
    done
}

# files_equal NAME IMAGE: the raw image has a clean file system, and in it what the guest says it wrote.
files_equal() {
    local sum file
    tr -d '\r' <$serial | sed -n "s/^LAB sum $1 //p" >"/run/lab/sums-$1"
    [ -s "/run/lab/sums-$1" ] || return 1
    e2fsck -f -n "$2" || return 1
    while read -r sum file; do
        [ "$(debugfs -R "cat $file" "$2" 2>/dev/null | md5sum | cut -d ' ' -f 1)" = "$sum" ] || {
            echo "$file differs"
            return 1
        }
    done <"/run/lab/sums-$1"
}
# qcow2_files_equal NAME IMAGE: the same of an image of this format.
qcow2_files_equal() {
    qemu-img check -f qcow2 "$2" && qemu-img convert -f qcow2 -O raw "$2" "$2.raw" && files_equal "$1" "$2.raw"
}

# milliseconds FROM TO (nanoseconds)
milliseconds() { awk "BEGIN { printf \"%.1f\", ($2 - $1) / 1e6 }"; }

# Start-up time, and time and CPU use of the boot, of the guest created last.
start_figures() {
    local began created running
    began=$(awk -v d="$served" '$1 == d { print $3 }' /run/lab/spawn)
    running=$(awk -v d="$served" '$2 == d && $3 == "running" { print $1; exit }' /run/lab/nodewatch)
    created=$(cat /run/lab/created)
    figure spawn_to_running "$(milliseconds "$began" "$running")" ms
    figure create_to_kernel "$(milliseconds "$created" "$(awk '$1 == 1 { print $2 }' /run/lab/serialclock)")" ms
    figure create_to_init "$(milliseconds "$created" "$(awk '$1 == 2 { print $2 }' /run/lab/serialclock)")" ms
    figure cpu_until_init "$(milliseconds 0 "$(awk '$1 == 2 { print $3 }' /run/lab/serialclock)")" ms
}

usage_figures() {
    cp /proc/$pid/smaps /run/lab/smaps
    grep . /proc/$pid/task/*/comm /proc/$pid/task/*/schedstat >/run/lab/threads
    figure pss "$(pss_kib)" KiB
    figure threads "$(ls /proc/$pid/task | wc -l)" threads
}

# What the device model $pid costs. Guest memory it has mapped is the guest's, not its own.
cpu_ns() { cat /proc/$pid/task/*/schedstat | awk '{ s += $1 } END { printf "%.0f", s }'; }
wakeups() { cat /proc/$pid/task/*/status | awk '/^voluntary_ctxt/ { s += $2 } END { print s }'; }
pss_kib() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = /\/(dev|proc)\/xen\/privcmd/ } /^Pss:/ && !guest { s += $2 } END { print s }' \
        /proc/$pid/smaps
}

# The guest of one boot sector (guest/tiny.S) on a pty: sends back what it gets, obeys r, c and p.
tiny_disk='"format=raw,vdev=hda,access=rw,backendtype=qdisk,target=/lab/tiny.img"'
tiny_create() {
    create "disk=[$tiny_disk]" 'boot="c"' 'serial="pty"'
    kill $clock
    tiny_connect
}
# Find the pty of the current domain and read from it.
tiny_connect() {
    tty=
    wait_until 60 tiny_tty || return 1
    tty=$(tiny_tty)
    stty -F "$tty" raw -echo
    : >/run/lab/pty
    cat "$tty" >>/run/lab/pty &
    tiny_reader=$!
}
tiny_tty() {
    if [ "$DM_NAME" = stubdom ]; then
        xenstore-read "/local/domain/$served/device/console/3/tty"
    else
        xenstore-read "/local/domain/$domid/serial/0/tty"
    fi
}
tiny_echoes() {
    local before
    before=$(wc -c </run/lab/pty)
    printf x >"$tty"
    usleep 200000
    [ "$(wc -c </run/lab/pty)" -gt "$before" ]
}
# tiny_reboot LETTER: the guest resets itself; its successor is found and talks.
tiny_reboot() {
    local old=$domid
    printf "$1" >"$tty"
    wait_until 60 new_domid "$old" || return 1
    kill $tiny_reader
    wait_until 60 find_domain || return 1
    tiny_connect || return 1
    wait_until 60 tiny_echoes || return 1
    pid=$(xenstore-read "/local/domain/$served/image/device-model-pid")
}
new_domid() {
    local id
    id=$(xl domid guest) && [ "$id" != "$1" ]
}

# Nothing of domain $1 and its device model, process $2, is left.
nothing_left() {
    wait_until 20 nothing_left_now "$@" || nothing_left_now "$@"
}
nothing_left_now() {
    if kill -0 "$2" 2>/dev/null; then echo "process $2 lives"; return 1; fi
    if xenstore-read "/local/domain/0/device-model/$1/state" 2>/dev/null; then echo "xenstore node"; return 1; fi
    if [ "$(xenstore-list /local/domain/0/device-model 2>/dev/null | grep -x "$1")" ]; then echo "xenstore folder"; return 1; fi
    if ls /run/xen/*-"$1" 2>/dev/null; then return 1; fi
}
# Open files of the daemons a leaking device model would show up in.
daemon_fds() { ls /proc/"$(cat /run/xenstored.pid)"/fd /proc/"$(pidof xenconsoled)"/fd | wc -l; }
