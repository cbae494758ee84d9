#!/bin/sh
# Gives a virtual machine that was started from a snapshot its own identity and the current time:
# identity.sh NAME MAC ADDRESS SECONDS
set -eu
name=$1 mac=$2 address=$3 seconds=$4
date --set "@$seconds" >/dev/null
echo "$name" >/etc/hostname
hostname "$name"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts
printf '%s %s' "$name" "$address" | md5sum | cut -c1-32 >/etc/machine-id
# The journal is in a directory named after the machine ID.
systemctl restart systemd-journald
echo "$mac $address" >/etc/lab-network
sh /usr/local/lib/lab/network.sh
