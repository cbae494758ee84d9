#!/bin/busybox sh
# First PID 1 of the emulated machine, in the initramfs. Mounts the outer machine's files read-only, with an overlay in
# memory, and switches to them.
set -eu
bb=/bin/busybox
trap '$bb echo "init failed"; $bb poweroff -f' EXIT

$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
while read -r module; do $bb insmod "/modules/$module"; done </modules/order

# cache=loose: the machine may see old contents of files that change while it runs.
$bb mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /lower
$bb mount -t tmpfs -o size=90% tmpfs /layer
$bb mkdir /layer/upper /layer/work
$bb mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root
$bb cp /machine.sh /command.sh /root/
$bb umount /proc /sys
$bb mount --move /dev /root/dev
exec $bb switch_root /root /bin/sh /machine.sh
