#!/bin/sh
# PID 1 of a lab machine, in its own network, mount, uts and PID namespaces: boot.sh NAME RUN_DIR ETC_DIR OVERLAY
set -eu
name=$1 run_dir=$2 etc_dir=$3 overlay=$4

echo "$name" >/proc/sys/kernel/hostname
mount --make-rprivate /

# The new mount namespace holds copies of all handles of network namespaces, other labs' too, and would
# keep those networks alive after their lab is gone.
awk '$0 ~ / - nsfs / { print $5 }' /proc/self/mountinfo | while read -r handle; do umount --lazy "$handle"; done

# Its own /run: Docker's sockets and pid files, libnetwork's sandboxes (always in /run/docker, whatever
# --exec-root says), the lock of iptables.
mount --bind "$run_dir" /run

# Its own /etc, a layer over this machine's: dockerd keeps its identity there, the same on all hosts otherwise.
is_first_boot=no
[ -d "$etc_dir" ] || is_first_boot=yes
mkdir -p "$etc_dir/changes" "$etc_dir/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$etc_dir/changes,workdir=$etc_dir/work" berth-lab /etc || {
  cp --archive --no-clobber /etc/. "$etc_dir/changes" # no layers over layers, where this is a container itself
  mount --bind "$etc_dir/changes" /etc
}
[ $is_first_boot = no ] || { rm -rf /etc/docker && mkdir /etc/docker; }
echo "$name" >/etc/hostname
printf '%s' "$run_dir" | md5sum | cut -c1-32 >/etc/machine-id
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts

# Another Docker than this machine's, with the libraries that it needs, down to the C library.
[ -z "$overlay" ] || mount -t overlay -o "lowerdir=$overlay/usr:/usr" berth-lab /usr

# A boot of its own, for programs that ask whether they still are in the one they knew.
cat /proc/sys/kernel/random/uuid >/run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id

cd /
touch /run/booted
# Reaps the orphans; ends the machine when it is told to terminate.
exec docker-init -- sleep infinity
