# From the CD through firmware and boot loader to user space, and off again.
create "disk=[$cd_disk]" 'boot="d"'
guest_ends 600
start_figures
