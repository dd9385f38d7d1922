run_case() {
    wait_for /dev/hvc1
    exec 3<>/dev/hvc1
    stty -F /dev/hvc1 raw -echo # until its last close
    seq 1 20000 >/numbers
    echo "LAB listens"
    check line-from-dom0 line_heard
    echo "LAB sends"
    cat /numbers >&3
    echo "LAB sent"
    check dom0-to-guest numbers_heard
    echo "LAB heard"
}
line_heard() { read -r line <&3 && [ "$line" = "from Dom0" ]; }
numbers_heard() { head -c 108894 <&3 | cmp - /numbers; }
