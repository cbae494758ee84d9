import type { DnsTable, DnsTask } from "../dns/dns-table.js";
import { markFilter } from "../kernel/service-chain.js";
import { tcpDeletions } from "../kernel/stale-connections.js";

/** The conntrack mark bit of connections to virtual IPs. See `BALANCED_MARK` for its choice. */
export const VIP_MARK = "0x400000";
/** The conntrack mark bit of connections to virtual IPs that this process accepts until a task does. */
export const HELD_MARK = "0x1000000";
/** Arguments for `conntrack` that delete UDP flows to virtual IPs. */
const UDP_DELETION = [
  "--delete",
  "--proto",
  "udp",
  "--mark",
  markFilter(VIP_MARK, { isUnansweredOnly: false }),
];

/** The virtual IP of a service in one network, and the tasks that its connections go to. */
export interface Vip {
  readonly address: string;
  /** The network's bridge on this host. The virtual IP is one of its addresses. */
  readonly bridge: string;
  /** Addresses of tasks that get new connections. */
  readonly tasks: readonly string[];
  /** Addresses of tasks that keep their connections and get no new ones. */
  readonly draining: readonly string[];
  /** Whether all connections of a client address go to the same task, on every host. */
  readonly hasSourceAffinity: boolean;
  /** How TCP connections wait when no task accepts them. They are refused when undefined. */
  readonly hold: Hold | undefined;
}

/** Where connections to a virtual IP wait. */
export interface Hold {
  /** How long, in ms. */
  readonly ms: number;
  /** The port of the process that accepts them. */
  readonly port: number;
}

/** Virtual IPs by address. */
export type Vips = ReadonlyMap<string, Vip>;

/**
 * Returns the virtual IPs of the networks on this host. The first of two services with the same address wins.
 * @param holdPort the port on which connections are held; undefined when they are not
 */
export function buildVips({ networks, services }: DnsTable, holdPort?: number): Vips {
  const bridges = new Map(networks.map(({ id, bridge }) => [id, bridge]));
  const vips = new Map<string, Vip>();
  for (const { vip, networkId, endpoints, draining, hasSourceAffinity = false, holdMs = 0 } of services) {
    const bridge = bridges.get(networkId);
    if (vip === "" || bridge === undefined || vips.has(vip)) continue;
    vips.set(vip, {
      address: vip,
      bridge,
      hasSourceAffinity,
      tasks: listAddresses(endpoints),
      draining: listAddresses(draining),
      hold: holdPort === undefined || holdMs === 0 ? undefined : { ms: holdMs, port: holdPort },
    });
  }
  return vips;
}

export function isSameVip(left: Vip, right: Vip | undefined): boolean {
  return (
    left.address === right?.address &&
    left.bridge === right.bridge &&
    left.hasSourceAffinity === right.hasSourceAffinity &&
    isSameHold(left.hold, right.hold) &&
    isSameList(left.tasks, right.tasks) &&
    isSameList(left.draining, right.draining)
  );
}

export function isSameHold(left: Hold | undefined, right: Hold | undefined): boolean {
  return left?.ms === right?.ms && left?.port === right?.port;
}

export function areSameVips(left: Vips, right: Vips): boolean {
  return left.size === right.size && [...left].every(([address, vip]) => isSameVip(vip, right.get(address)));
}

export function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

function listAddresses(tasks: readonly DnsTask[]): readonly string[] {
  return tasks.map(({ address }) => address);
}

/** Connections to one task of a virtual IP. */
export interface StaleConnections {
  readonly vip: string;
  readonly task: string;
  /** Whether they are unanswered and the task may still answer. */
  readonly isAwaitingReply: boolean;
  /** Arguments for `conntrack` that delete them. */
  readonly args: readonly string[];
}

/**
 * Returns the connections that the kernel has to stop tracking after a change.
 *
 * The next packet of a connection to a task that is gone goes to another task, which resets the connection. In this
 * way, clients learn of a dead host. A draining task keeps its TCP connections, except unanswered ones: the task may be
 * draining because its host is silent. Its UDP flows continue with another task.
 */
export function findStaleConnections(before: Vips, now: Vips): readonly StaleConnections[] {
  const stale: StaleConnections[] = [];
  for (const vip of before.values()) {
    const current = now.get(vip.address);
    if (!isSameVip(vip, current)) stale.push(...findStaleConnectionsTo(vip, current));
  }
  return stale;
}

function findStaleConnectionsTo(before: Vip, now: Vip | undefined): readonly StaleConnections[] {
  const serving = new Set(now?.tasks);
  const draining = new Set(now?.draining);
  const removed = [...new Set([...before.tasks, ...before.draining])].filter((task) => !serving.has(task));
  return removed.flatMap((task) => {
    const isDraining = draining.has(task);
    const to = ["--orig-dst", before.address, "--reply-src", task];
    const pair = { vip: before.address, task };
    const tcp = tcpDeletions({ mark: VIP_MARK, isUnansweredOnly: isDraining });
    return [
      ...tcp.map((args) => ({ ...pair, isAwaitingReply: isDraining, args: [...args, ...to] })),
      { ...pair, isAwaitingReply: false, args: [...UDP_DELETION, ...to] },
    ];
  });
}
