import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";

const ROLES = ["client", "proxy", "router", "backend"] as const;
export type Role = (typeof ROLES)[number];

/**
 * Four hosts on one machine, each a network namespace: a client, a proxy, a router whose kernel balances, and a backend.
 * Hosts that communicate are connected by a cable. The router is separate, so that its connection tracking slows no proxy.
 */
export interface BenchNetwork {
  /** Returns the prefix of a command line that runs it on the host. */
  enter(role: Role): readonly string[];
  /** Returns the address of `to` on its cable to `from`. */
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

/** Creates the namespaces. Needs root. The names are random, so that several runs do not conflict. */
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
 * A client that opens thousands of connections a second from one address uses up its ports within seconds, since
 * TIME_WAIT holds each for a minute. The benchmark would then measure the kernel's search for a free port. The setting is
 * the same on all hosts, and so for every proxy.
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
