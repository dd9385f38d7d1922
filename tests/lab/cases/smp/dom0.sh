# Two CPUs, each doing emulated I/O.
create "disk=[$hard_disk,$cd_disk]" 'boot="d"' 'vcpus=2' 'maxvcpus=2'
guest_ends 600
