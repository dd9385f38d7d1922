# A guest that boots from one NVMe disk and has a file system on another one, and that disk's speed.
dd if=/dev/zero of=/tmp/raw.img bs=1M count=64 2>/dev/null # no holes: filling them would be measured too
namespace() { # NUMBER IMAGE
    echo "\"-drive\",\"if=none,id=image$1,format=raw,file=$2\",\"-device\",\"nvme-ns,bus=nvme0,nsid=$1,drive=image$1\""
}
controller='"-device","nvme,id=nvme0,serial=nvme0"'
create 'disk=[]' 'boot="c"' \
    "device_model_args_hvm=[$controller,$(namespace 1 /lab/guest.img),$(namespace 2 /tmp/raw.img)]"
disk_figures
guest_ends 900
check raw-in-image files_equal raw /tmp/raw.img
