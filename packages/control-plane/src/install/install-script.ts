/** A package that the script can download. */
export interface InstallablePackage {
  /** Architecture in Debian. "all" if the host's own Node.js runs berth. */
  readonly architecture: string;
  /** "berth_0.2.0_amd64.deb" */
  readonly name: string;
  /** SHA-256 in hexadecimal digits. */
  readonly sha256: string;
}

/** URL path of the install script. */
export const SCRIPT_PATH = "/install.sh";

/**
 * Returns a script that installs berth on a Debian host and joins a cluster as a node. Its arguments are "host:port" of
 * servers, and it reads the token from standard input.
 *
 * The script trusts nothing that it downloads: it compares the package with its checksum, and the join compares the CA
 * with the fingerprint in the token. It can be repeated. It depends on the release and its packages only, so that all
 * servers of a release serve the same text.
 */
export function installScript(version: string, packages: readonly InstallablePackage[]): string {
  const cases = packages.map(
    ({ architecture, name, sha256 }) =>
      `${architecture === "all" ? "*" : architecture}) name=${name} sum=${sha256} ;;`,
  );
  // The first match counts.
  const suitsAnyHost = packages.some(({ architecture }) => architecture === "all");
  const lines = cases.toSorted((a, b) => Number(a.startsWith("*")) - Number(b.startsWith("*")));
  if (!suitsAnyHost) {
    lines.push(`*) fail "this cluster has no package for $architecture; see docs/hosts.md" ;;`);
  }
  return `#!/bin/sh
# Installs berth ${version} on this host, and joins a cluster as a node: sh install.sh SERVER... <TOKEN
set -eu
LC_ALL=C
export LC_ALL
fail() {
  echo "berth: $*" >&2
  exit 1
}
download() {
  # The checksum below takes the place of the certificate.
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --insecure --http1.1 --max-time 600 "$1"
  else
    wget --quiet --no-check-certificate --timeout 60 --output-document - "$1"
  fi
}

[ $# -gt 0 ] || fail "usage: sh install.sh SERVER... <TOKEN"
[ "$(id -u)" = 0 ] || fail "run this as root"
[ -d /run/systemd/system ] || fail "this host has no systemd; start berth by hand, as docs/package.md describes"
command -v dpkg >/dev/null || fail "this host has no dpkg: berth is installed as a Debian package"
command -v curl >/dev/null || command -v wget >/dev/null || fail "install curl or wget first"
read -r token || fail "the token on standard input is missing"
architecture=$(dpkg --print-architecture)
case $architecture in
${lines.join("\n")}
esac

export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install --yes -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" </dev/null >/dev/null
}
if [ "$(dpkg-query --show --showformat '\${db:Status-Status} \${Version}' berth 2>/dev/null)" != "installed ${version}" ]; then
  directory=$(mktemp -d)
  trap 'rm -rf "$directory"' EXIT
  chmod 755 "$directory"
  verified=
  for server; do
    echo "berth: downloading $name from $server"
    download "https://$server/$name" >"$directory/$name" || continue
    if [ "$(sha256sum <"$directory/$name" | cut -d ' ' -f 1)" = "$sum" ]; then
      verified=yes
      break
    fi
  done
  [ -n "$verified" ] || fail "no server sent $name with the expected checksum; check that port 7400 of the servers is open"
  docker=
  # Docker needs the others to start containers and to reach registries, and only recommends them.
  command -v dockerd >/dev/null || docker="docker.io apparmor ca-certificates"
  install "$directory/$name" $docker || { apt-get update -qq && install "$directory/$name" $docker; }
fi

if [ ! -e /var/lib/berth/agent/identity/certificate.pem ]; then
  joined=
  for server; do
    host=\${server%:*} host=\${host#[} host=\${host%]}
    # The address from which this host reaches the server.
    target=$(getent ahosts "$host" | awk '{ print $1; exit }')
    address=$(ip -oneline route get "$target" | sed -n 's/.* src \\([^ ]*\\).*/\\1/p')
    if echo "$token" | berth agent join "$server" --token-file - --advertise "$address" >/dev/null; then
      joined=yes
      break
    fi
  done
  [ -n "$joined" ] || fail "this host could not join; see the messages above"
fi
systemctl enable --quiet --now berth-agent.service
echo "berth: this host is a node; check it with: berth doctor"
`;
}
