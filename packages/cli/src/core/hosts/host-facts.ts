import { BerthError } from "@berth/proto";

/** The state of a systemd unit. */
export interface UnitState {
  readonly isEnabled: boolean;
  readonly isActive: boolean;
}

/** Facts about a host that the command line collected over ssh. */
export interface HostFacts {
  readonly hostname: string;
  /** "Debian GNU/Linux 12 (bookworm)" */
  readonly os: string;
  /** Name of the architecture in Debian, such as "amd64". Empty on a host without dpkg. */
  readonly architecture: string;
  readonly hasSystemd: boolean;
  /** The host's own address on the ssh connection. */
  readonly address: string;
  readonly clockMs: number;
  readonly docker: "running" | "stopped" | "missing";
  /** Whether the program etcd is installed. */
  readonly hasEtcd: boolean;
  /** Version of the package berth. Empty if it is not installed. */
  readonly berthVersion: string;
  /** Whether files of a removed package are left. */
  readonly hasLeftovers: boolean;
  readonly agent: UnitState;
  readonly server: UnitState;
  /** Certificates in PEM; empty if the host has not joined a cluster in this role. */
  readonly nodeCertificate: string;
  readonly serverCertificate: string;
  /** The servers whose port the host can reach. */
  readonly reachableServers: readonly string[];
}

/**
 * Script that prints one line KEY=VALUE for each fact, and changes nothing. Its arguments are the "host:port" addresses
 * of the servers, to which the script tries to connect.
 */
export const FACTS_SCRIPT = `
LC_ALL=C; export LC_ALL
fact() { printf '%s=%s\\n' "$1" "$(printf %s "$2" | tr '\\n' ' ')"; }
unit() { echo "$(systemctl is-enabled "$1" 2>/dev/null) $(systemctl is-active "$1" 2>/dev/null)"; }
encode() { [ ! -r "$1" ] || base64 -w 0 <"$1"; }
connects() { timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }
fact hostname "$(uname -n)"
fact os "$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME" || uname -s)"
fact architecture "$(dpkg --print-architecture 2>/dev/null)"
fact systemd "$([ -d /run/systemd/system ] && echo yes)"
fact address "$(set -- $SSH_CONNECTION; echo "$3")"
fact clock "$(date +%s)"
fact docker "$(systemctl is-active docker.service 2>/dev/null)"
fact dockerd "$(command -v dockerd)"
fact etcd "$(command -v etcd)"
fact berth "$(dpkg-query --show --showformat '\${db:Status-Status} \${Version}' berth 2>/dev/null)"
fact agent "$(unit berth-agent.service)"
fact server "$(unit berth-server.service)"
fact nodeCertificate "$(encode /var/lib/berth/agent/identity/certificate.pem)"
fact serverCertificate "$(encode /var/lib/berth/server/identity/certificate.pem)"
for address; do
  host=\${address%:*}; host=\${host#[}; host=\${host%]}
  if connects "$host" "\${address##*:}"; then fact reachable "$address"; fi
done
fact end yes
`;

const LINE = /^([A-Za-z]+)=(.*)$/;

/**
 * Parses the output of {@link FACTS_SCRIPT}.
 *
 * @throws BerthError BERTH_HOST_FAILED when it is incomplete
 */
export function parseHostFacts(text: string): HostFacts {
  const values = new Map<string, readonly string[]>();
  for (const line of text.split("\n")) {
    const [, key, value = ""] = LINE.exec(line) ?? [];
    // A login script of the host may print other lines.
    if (key !== undefined) values.set(key, [...(values.get(key) ?? []), value.trim()]);
  }
  const lastOf = (key: string): string => values.get(key)?.at(-1) ?? "";
  if (lastOf("end") === "") {
    throw new BerthError({
      code: "BERTH_HOST_FAILED",
      message: "cannot examine the host: its shell did not run the script to the end",
    });
  }
  const [status = "", version = ""] = lastOf("berth").split(" ");
  return {
    hostname: lastOf("hostname"),
    os: lastOf("os"),
    architecture: lastOf("architecture"),
    hasSystemd: lastOf("systemd") === "yes",
    address: lastOf("address"),
    clockMs: Number(lastOf("clock")) * 1_000,
    docker: dockerState(lastOf("docker"), lastOf("dockerd")),
    hasEtcd: lastOf("etcd") !== "",
    berthVersion: status === "installed" ? version : "",
    hasLeftovers: status !== "" && status !== "installed" && status !== "not-installed",
    agent: unitState(lastOf("agent")),
    server: unitState(lastOf("server")),
    nodeCertificate: decode(lastOf("nodeCertificate")),
    serverCertificate: decode(lastOf("serverCertificate")),
    reachableServers: values.get("reachable") ?? [],
  };
}

function dockerState(unit: string, program: string): HostFacts["docker"] {
  if (unit === "active") return "running";
  return program === "" ? "missing" : "stopped";
}

/** Parses "enabled active", the output of `systemctl is-enabled` and `is-active`. */
function unitState(text: string): UnitState {
  const [enabled, active] = text.split(" ");
  return { isEnabled: enabled === "enabled", isActive: active === "active" };
}

function decode(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)));
  } catch (cause) {
    const message = "cannot examine the host: its certificate is not readable; run berth doctor there";
    throw new BerthError({ code: "BERTH_HOST_FAILED", message, cause });
  }
}
