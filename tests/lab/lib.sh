# Shared by the scripts of the lab: where things are cached and how a cached thing is built once.
# Sourced, not run. Needs $lab (this folder).

cache=${THINDM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/thindm}
mkdir -p "$cache"

die() {
    echo "lab: $*" >&2
    exit 1
}

# key WORD FILE...: one short key from a word and the contents of files; another content is another cache entry.
key() {
    local word=$1
    shift
    { echo "$word"; cat "$@"; } | sha256sum | cut -c 1-12
}

# cached NAME BUILDER: print the folder $cache/NAME, filled by BUILDER (called with a temporary folder) if absent.
# The folder appears under its name only when complete; a lock keeps parallel runs from building twice.
cached() {
    local dir=$cache/$1 builder=$2
    if [ ! -d "$dir" ]; then
        (
            flock 9
            [ ! -d "$dir" ] || exit 0
            echo "lab: building $1" >&2
            rm -rf "$dir.tmp"
            mkdir "$dir.tmp"
            "$builder" "$dir.tmp" >&2 9>&-
            mv "$dir.tmp" "$dir"
            # What no run has used for a week is from older scripts or packages.
            find "$cache" -maxdepth 1 -name "${1%-*}-*" -mtime +7 -exec rm -rf {} +
        ) 9>"$cache/lock-${1%-*}" || die "building $1 failed"
    fi
    touch "$dir"
    echo "$dir"
}

# The tree's own dynamic loader lists what a program needs, so the host's libraries never get in.
tree_libs() {
    local tree=$1 program=$2 path=
    local dir
    for dir in usr/lib/x86_64-linux-gnu lib/x86_64-linux-gnu usr/lib/xen-4.17/lib/x86_64-linux-gnu; do
        path=$path:$tree/$dir
    done
    "$tree/lib64/ld-linux-x86-64.so.2" --library-path "${path#:}" --list "$program"
}
