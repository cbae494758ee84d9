import type { DnsTable, DnsTask } from "../dns/dns-table.js";

/** A virtual IP, and where its connections go. */
export interface Vip {
  readonly address: string;
  /** The bridge on which containers of this host ask for it. */
  readonly bridge: string;
  /** Addresses of tasks; none: connections are refused. */
  readonly tasks: readonly string[];
  /** Of those that get no new connections and keep what they have. */
  readonly draining: readonly string[];
  /** All connections of one address go to one task, through whichever host they come. */
  readonly hasSourceAffinity: boolean;
}

/** By address. */
export type Vips = ReadonlyMap<string, Vip>;

/** The virtual IPs of the networks that this host has a part of. Of two services with one address the first has it. */
export function vipsOf({ networks, services }: DnsTable): Vips {
  const bridges = new Map(networks.map(({ id, bridge }) => [id, bridge]));
  const vips = new Map<string, Vip>();
  for (const { vip, networkId, endpoints, draining, hasSourceAffinity = false } of services) {
    const bridge = bridges.get(networkId);
    if (vip === "" || bridge === undefined || vips.has(vip)) continue;
    vips.set(vip, {
      address: vip,
      bridge,
      tasks: endpoints.map(addressOf),
      draining: draining.map(addressOf),
      hasSourceAffinity,
    });
  }
  return vips;
}

export function sameVip(one: Vip, other: Vip | undefined): boolean {
  return (
    one.address === other?.address &&
    one.bridge === other.bridge &&
    one.hasSourceAffinity === other.hasSourceAffinity &&
    sameList(one.tasks, other.tasks) &&
    sameList(one.draining, other.draining)
  );
}

export function sameVips(some: Vips, others: Vips): boolean {
  return some.size === others.size && [...some].every(([address, vip]) => sameVip(vip, others.get(address)));
}

export function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item, at) => item === other[at]);
}

const addressOf = ({ address }: DnsTask): string => address;
