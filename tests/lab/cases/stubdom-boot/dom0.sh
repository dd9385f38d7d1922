# The stubdomain's kernel without a guest to serve: Dom0 starts it as PV and PVH guests of its own, which test themselves, as
# only real Xen can show it, or crash on purpose.

# start NAME COMMAND-LINE LINE...: what the guest prints is in $console.
start() {
    local name=$1
    console=/var/log/xen/console/guest-$name.log
    {
        printf '%s\n' "name=\"$name\"" 'kernel="/lab/stubdom"' "extra=\"$2\"" vcpus=1 \
            'on_poweroff="destroy"' 'on_crash="destroy"'
        shift 2
        printf '%s\n' "$@"
    } >"/run/lab/$name.cfg"
    check "$name-created" xl -vvv create "/run/lab/$name.cfg"
}
# The same of one that ends by itself.
boot() {
    local name=$1
    start "$@" || return
    wait_until 120 not xl domid "$name" || {
        fail "$name-ends" "$(tail -n 1 "$console")"
        xl destroy "$name"
    }
}
printed() { tr -d '\r' <"$console" | grep -q "$1"; }

# self_test NAME LINE...: each check of the guest's is one of this case's.
self_test() {
    local name=$1 check result detail
    shift
    boot "$name" selftest "$@"
    tr -d '\r' <"$console" | while read -r first check result detail; do
        [ "$first" != SELFTEST ] || [ "$check" = done, ] || say "CHECK $name-$check $result $detail"
    done
    check "$name-complete" printed '^SELFTEST done, 0 failures'
    figure "$name-first_line" "$(tr -d '\r' <"$console" | sed -n 's/.* \([0-9]*\) us after the first instruction$/\1/p')" us
}

self_test pv memory=8
self_test pv-smallest memory=4
self_test pv-large memory=512
self_test pv-ramdisk memory=8 'ramdisk="/lab/tiny.img"'
self_test pvh memory=8 'type="pvh"'
self_test pvh-large memory=64 'type="pvh"' 'ramdisk="/lab/tiny.img"'

# An exception: a report, and the end as a crash, which is what Xen tells the toolstack.
boot crash "selftest crash" memory=8
check crash-report printed '^crash: page fault: write to nothing at 0000000000000010'
check crash-backtrace [ "$(tr -d '\r' <"$console" | grep -c '^  0000000000[0-9a-f]\{6\}$')" -ge 3 ]

# Of a PV guest whose stack is full nothing more is heard but from Xen; a PVH guest has another stack for that.
boot overflow "selftest overflow" memory=8
boot overflow-pvh "selftest overflow" memory=8 'type="pvh"'
check overflow-pvh-report printed '^crash: double fault'

# Nobody wakes a guest that waits for events: no tick, no CPU time.
cpu_time() { xl list idle | awk '$1 == "idle" { print $6 }'; }
start idle "selftest idle" memory=8
wait_until 60 printed '^SELFTEST idle' || fail idle-begins
sleep 2
before=$(cpu_time)
sleep 30
check idle-costs-nothing [ "$before" = "$(cpu_time)" ]
xl destroy idle

cp /var/log/xen/console/guest-*.log /run/lab/
