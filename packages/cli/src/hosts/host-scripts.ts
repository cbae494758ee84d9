// Shell scripts that `berth host` runs as root over ssh. Each one can be repeated.

/**
 * Script that installs a package from standard input, and other packages from the host's package mirror. The script
 * updates the package lists only if the installation fails, because a host without a mirror may have all packages that
 * are needed. Arguments: name of the file, its SHA-256, other packages.
 */
export const INSTALL_PACKAGE = `set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
file=$directory/$1 sum=$2
shift 2
cat >"$file"
if [ "$(sha256sum <"$file" | cut -d ' ' -f 1)" != "$sum" ]; then
  echo "the package was damaged on its way" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install --yes --quiet --no-install-recommends -o DPkg::Lock::Timeout=120 "$file" "$@" </dev/null >&2
}
install "$@" || { apt-get update --quiet </dev/null >&2 && install "$@"; }`;

/**
 * Script that enables and starts a unit, and prints the last line of its log if the unit does not start. Argument: the
 * unit.
 */
export const START_UNIT = `systemctl enable --quiet --now "$1" || {
  journalctl _SYSTEMD_UNIT="$1" --lines 1 --no-pager --output cat >&2
  exit 1
}`;

/** Script that sets the address at which a server listens, unless the server has one. Argument: "host:port". */
export const SET_LISTEN_ADDRESS = `set -eu
grep -q '^BERTH_LISTEN=' /etc/berth/server.env || echo "BERTH_LISTEN=$1" >>/etc/berth/server.env`;

/**
 * Script that joins as a node with the token on standard input. Arguments: "host:port" of a server, and the host's
 * address.
 */
export const JOIN_NODE = `berth agent join "$1" --token-file - --advertise "$2"`;

/** Script that joins as a server with the token on standard input. Argument: "host:port" of a server. */
export const JOIN_SERVER = `berth server join "$1" --token-file -`;

/** Script that prints the findings of `berth doctor`, which fails when there is one. Argument: the host's address. */
export const RUN_DOCTOR = `berth doctor --advertise "$1" --output json || [ $? -eq 1 ]`;

/**
 * Script that removes the package with its settings and data. Argument: whether to remove the containers, "true" or
 * "false".
 */
export const PURGE_PACKAGE = `set -eu
export DEBIAN_FRONTEND=noninteractive
if command -v debconf-set-selections >/dev/null; then
  echo "berth berth/remove-containers boolean $1" | debconf-set-selections
fi
systemctl disable --quiet berth-agent berth-server 2>/dev/null || true
apt-get purge --yes --quiet -o DPkg::Lock::Timeout=120 berth </dev/null >&2`;

/** Script that stops and disables the agent before the package is removed. Containers and published ports stay. */
export const STOP_AGENT = "systemctl disable --quiet --now berth-agent";
