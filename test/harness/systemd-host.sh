#!/bin/sh
# Boots systemd in new namespaces: systemd-host.sh DIRECTORY CGROUP HOSTNAME. Its root is an overlay over this
# machine's files, so it has this machine's programs and packages, but changes nothing here.
set -eu
directory=$1 cgroup=$2 hostname=$3

# One line for each hierarchy: TYPE MOUNT_POINT OPTIONS. cgroup v1 has several, cgroup v2 one.
hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $3, $2, $4 }' /proc/self/mounts)
echo "$hierarchies" | while read -r type mount_point options; do
  mkdir -p "$mount_point/$cgroup"
  for file in cpuset.cpus cpuset.mems; do
    [ "$type" = cgroup2 ] || [ ! -e "$mount_point/$file" ] || cat "$mount_point/$file" >"$mount_point/$cgroup/$file"
  done
  echo $$ >"$mount_point/$cgroup/cgroup.procs"
done

boot='
set -eu
directory=$1 hierarchies=$2 hostname=$3 root=$1/root
mount --make-rprivate /
mkdir -p "$directory/changes" "$directory/work" "$directory/docker" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$directory/changes,workdir=$directory/work" berth-test "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in in:0 out:1 err:2; do ln -s "fd/${stream#*:}" "$root/dev/std${stream%:*}"; done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
case $hierarchies in
"cgroup2 /sys/fs/cgroup "*) ;;
*) mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup" ;;
esac
echo "$hierarchies" | while read -r type mount_point options; do
  mkdir -p "$root$mount_point"
  # Name and controllers of the hierarchy, without the options that every mount has.
  options=$(echo "$options" | tr , "\n" | grep -Ev "^(rw|ro|relatime|nosuid|nodev|noexec|nsdelegate|memory_recursiveprot)$" | paste -sd,)
  case $options in name=*) options=none,$options ;; esac
  mount -t "$type" ${options:+-o "$options"} cgroup "$root$mount_point"
done

# The host must not start the services of this machine. Docker stores its data outside of the overlay.
rm -rf "$root"/etc/systemd/system/*.wants "$root/usr/sbin/policy-rc.d" "$root/var/lib/berth" "$root/etc/berth"
mkdir -p "$root/var/lib/docker" "$root/etc/systemd/system/multi-user.target.wants"
mount --bind "$directory/docker" "$root/var/lib/docker"
: >"$root/etc/machine-id"
echo "$hostname" >"$root/etc/hostname"
cd "$root"
mkdir -p .old
pivot_root . .old
umount --lazy /.old
rmdir /.old
export container=berth-test
exec /lib/systemd/systemd </dev/null'

exec setpriv --pdeathsig KILL unshare --mount --uts --pid --net --ipc --cgroup --fork --kill-child sh -c "$boot" boot "$directory" "$hierarchies" "$hostname"
