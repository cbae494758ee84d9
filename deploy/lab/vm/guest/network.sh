#!/bin/sh
# Configures eth0, which is on the lab's network, from the file that identity.sh writes, and eth1, on which only the lab's
# machine listens for ssh.
set -eu
for device in eth0 eth1; do
  i=0
  until [ -e "/sys/class/net/$device" ] || [ $i -ge 600 ]; do i=$((i + 1)); sleep 0.1; done
done
ip address replace 169.254.77.2/30 dev eth1
ip link set eth1 up
[ -e /etc/lab-network ] || exit 0
read -r mac address </etc/lab-network
ip link set eth0 address "$mac"
ip address flush dev eth0
ip address replace "$address/24" dev eth0
ip link set eth0 up
