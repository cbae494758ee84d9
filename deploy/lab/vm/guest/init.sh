#!/bin/busybox sh
# First PID 1 of a virtual machine, in the initramfs. Mounts the disk and switches to it.
set -eu
bb=/bin/busybox
trap '$bb echo "init failed"; $bb poweroff -f' EXIT

echo "initramfs started"
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
while read -r module; do $bb insmod "/modules/$module"; done </modules/order
$bb mount -t ext4 /dev/vda /root
$bb umount /proc /sys
$bb mount --move /dev /root/dev
exec $bb switch_root /root /sbin/init
