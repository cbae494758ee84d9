#!/bin/sh
# PID 1 of a lab machine, in its own network, mount, uts and PID namespaces: boot.sh NAME RUN_DIR
set -eu
name=$1 run_dir=$2

echo "$name" >/proc/sys/kernel/hostname
mount --make-rprivate /

# The new mount namespace holds copies of all handles of network namespaces, other labs' too, and would
# keep those networks alive after their lab is gone.
awk '$0 ~ / - nsfs / { print $5 }' /proc/self/mountinfo | while read -r handle; do umount --lazy "$handle"; done

# Its own /run: Docker's sockets and pid files, libnetwork's sandboxes (always in /run/docker, whatever
# --exec-root says), the lock of iptables.
mount --bind "$run_dir" /run

cd /
touch /run/booted
# Reaps the orphans; ends the machine when it is told to terminate.
exec docker-init -- sleep infinity
