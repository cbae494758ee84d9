#!/bin/sh
# PID 1 of a lab machine, in its own network, mount, UTS and PID namespaces: boot.sh NAME RUN_DIR ETC_DIR OVERLAY
set -eu
name=$1 run_dir=$2 etc_dir=$3 overlay=$4

echo "$name" >/proc/sys/kernel/hostname
mount --make-rprivate /

# Unmount the copies of all network namespace handles, which would keep the networks of removed labs alive.
# Read the whole list before the first change, because a file in /proc may repeat lines while it changes.
for handle in $(awk '$0 ~ / - nsfs / { print $5 }' /proc/self/mountinfo); do
  # If another lab is removed meanwhile, the kernel also removes the copies of its handles here.
  umount --lazy "$handle" || ! grep --quiet --fixed-strings " $handle " /proc/self/mountinfo
done

# Give the machine a private /run, for Docker's sockets and PID files, libnetwork's sandboxes (in /run/docker regardless
# of --exec-root) and the iptables lock.
mount --bind "$run_dir" /run

# Give it a private /etc, an overlay: dockerd stores its identity there, which must differ between hosts.
is_first_boot=no
[ -d "$etc_dir" ] || is_first_boot=yes
mkdir -p "$etc_dir/changes" "$etc_dir/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$etc_dir/changes,workdir=$etc_dir/work" berth-lab /etc || {
  cp --archive --no-clobber /etc/. "$etc_dir/changes" # inside a container, overlay over overlay fails
  mount --bind "$etc_dir/changes" /etc
}
[ $is_first_boot = no ] || { rm -rf /etc/docker && mkdir /etc/docker; }
echo "$name" >/etc/hostname
printf '%s' "$run_dir" | md5sum | cut -c1-32 >/etc/machine-id
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts

# Mount the other Docker and its libraries over /usr.
[ -z "$overlay" ] || mount -t overlay -o "lowerdir=$overlay/usr:/usr" berth-lab /usr

# Give it a new boot ID, by which programs detect a reboot.
cat /proc/sys/kernel/random/uuid >/run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id

cd /
touch /run/booted
# Reap orphans, and stop the machine on SIGTERM.
exec docker-init -- sleep infinity
