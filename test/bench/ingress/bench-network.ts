import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";

const ROLES = ["client", "proxy", "router", "backend"] as const;
export type Role = (typeof ROLES)[number];

/**
 * Four hosts on one machine, each a network namespace: a client, a proxy, a router whose kernel balances connections,
 * and a backend. A veth pair ("cable") connects each two hosts that communicate. The router is separate, so that its
 * connection tracking does not slow down the proxies.
 */
export interface BenchNetwork {
  /** Returns the command prefix that runs a command line on the host. */
  enter(role: Role): readonly string[];
  /** Returns the address at which `from` reaches `to`. */
  address(to: Role, from: Role): string;
  /** Removes the namespaces and their cables. */
  dispose(): void;
}

/** Each cable has a subnet: 10.99.N.0/24. */
const SUBNETS = {
  "client-proxy": 1,
  "client-backend": 2,
  "proxy-backend": 3,
  "client-router": 4,
  "router-backend": 5,
} as const;

/** Creates the namespaces. Needs root. Their names are random, so that concurrent runs do not conflict. */
export function createNetwork(): BenchNetwork {
  const tag = randomBytes(3).toString("hex");
  const namespace = (role: Role): string => `berth-${tag}-${role}`;
  const dispose = (): void => {
    for (const role of ROLES) ip(["netns", "del", namespace(role)], { mayFail: true });
  };
  try {
    for (const role of ROLES) {
      ip(["netns", "add", namespace(role)]);
      ip(["-n", namespace(role), "link", "set", "lo", "up"]);
      tune(namespace(role));
    }
    cable("client", "proxy");
    cable("client", "backend");
    cable("proxy", "backend");
    cable("client", "router");
    cable("router", "backend");
    execFileSync("ip", ["netns", "exec", namespace("router"), "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  } catch (error) {
    dispose();
    throw error;
  }
  return { enter: (role) => ["ip", "netns", "exec", namespace(role)], address: addressOf, dispose };

  function cable(a: Role, b: Role): void {
    ip([
      "link",
      "add",
      `to-${b}`,
      "netns",
      namespace(a),
      "type",
      "veth",
      "peer",
      "name",
      `to-${a}`,
      "netns",
      namespace(b),
    ]);
    for (const [here, there] of [
      [a, b],
      [b, a],
    ] as const) {
      ip(["-n", namespace(here), "addr", "add", `${addressOf(here, there)}/24`, "dev", `to-${there}`]);
      ip(["-n", namespace(here), "link", "set", `to-${there}`, "up"]);
    }
  }
}

/**
 * Lets one address open thousands of connections per second. Otherwise, TIME_WAIT would hold each port for a minute,
 * the client would run out of ports within seconds, and the benchmark would measure the kernel's search for a free
 * port. All hosts, and so all proxies, have the same settings.
 */
function tune(namespace: string): void {
  for (const setting of ["net.ipv4.ip_local_port_range=1024 65000", "net.ipv4.tcp_tw_reuse=1"]) {
    execFileSync("ip", ["netns", "exec", namespace, "sysctl", "-qw", setting]);
  }
}

function addressOf(host: Role, peer: Role): string {
  const [first, second] = ROLES.filter((role) => role === host || role === peer);
  const subnet = SUBNETS[`${first}-${second}` as keyof typeof SUBNETS];
  return `10.99.${subnet}.${host === first ? 1 : 2}`;
}

function ip(args: readonly string[], { mayFail = false } = {}): void {
  try {
    execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    if (!mayFail) throw error;
  }
}
