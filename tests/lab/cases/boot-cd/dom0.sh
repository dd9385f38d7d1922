# From the CD through firmware and boot loader to user space, and off again.
create "disk=[$cd_disk]" 'boot="d"'
if wait_until 600 said "^LAB up"; then
    usage_figures
fi
guest_ends 60
start_figures
