#!/bin/sh
# PID 1 of the emulated machine, in the final root file system. Mounts the usual file systems, runs the command, writes
# its exit code to a directory of the outer machine, and powers off. Reads its settings from the kernel's command line.
set -u
bb=/bin/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
trap '$bb sync; $bb poweroff -f' EXIT

$bb mount -t proc proc /proc
for word in $($bb cat /proc/cmdline); do
  case $word in
    berth.modules=*) modules=${word#*=} ;;
    berth.checkout=*) checkout=${word#*=} ;;
    berth.timeout_scale=*) export BERTH_TEST_TIMEOUT_SCALE=${word#*=} ;;
  esac
done
$bb mount -t sysfs sysfs /sys
$bb mkdir -p /dev/pts /dev/shm /run /tmp /var/lib/berth-lab /lib/modules /mnt/berth-vm
for link in fd: stdin:/0 stdout:/1 stderr:/2; do $bb ln -s "/proc/self/fd${link#*:}" "/dev/${link%:*}"; done
$bb mount -t devpts devpts /dev/pts
for directory in /dev/shm /run /tmp /var/lib/berth-lab; do $bb mount -t tmpfs -o size=75% tmpfs $directory; done
$bb chmod 1777 /dev/shm /tmp
$bb mount -t cgroup2 cgroup2 /sys/fs/cgroup
$bb mount -t 9p -o trans=virtio,version=9p2000.L,rw out /mnt/berth-vm
$bb mkdir -p "/lib/modules/$($bb uname -r)"
$bb mount --bind "$modules" "/lib/modules/$($bb uname -r)"
ip link set lo up
$bb hostname berth-vm

stty -F /dev/ttyS1 raw -echo
cd "$checkout" || exit
# Use a pipe: on a terminal, programs print progress animations.
{
  setsid sh /command.sh </dev/null 2>&1
  echo $? >/mnt/berth-vm/exit-code
} | $bb cat >/dev/ttyS1
