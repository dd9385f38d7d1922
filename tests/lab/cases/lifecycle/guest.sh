run_case() {
    echo "LAB idle"
    sleep 1000
}
