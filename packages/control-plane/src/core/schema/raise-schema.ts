import type { SchemaVersions } from "./migrations.js";

/** A running server, with the parts of its registration that concern the schema. */
export interface RegisteredServer {
  /** "host:port" */
  readonly address: string;
  /** The release of berth. */
  readonly version: string;
  readonly schema: SchemaVersions;
}

/** The inputs of the decision to raise the schema. */
export interface RaiseInput {
  /** The version of the records. */
  readonly current: number;
  readonly servers: readonly RegisteredServer[];
  /** Names of the cluster's servers that are not running. */
  readonly stopped: readonly string[];
  /** Number of members of the embedded etcd. Undefined for an external etcd, whose members are not servers. */
  readonly memberCount: number | undefined;
}

export type RaiseDecision =
  | { readonly kind: "raise"; readonly to: number }
  /** The records have the newest version that this release knows. */
  | { readonly kind: "current" }
  | { readonly kind: "refuse"; readonly reason: string };

/** Returns the newest version that this server and all others support. */
export function supportedVersion(servers: readonly RegisteredServer[], own: SchemaVersions): number {
  return Math.min(own.newest, ...servers.map(({ schema }) => schema.newest));
}

/**
 * Decides whether the schema can be raised to the newest version of this release.
 *
 * An unregistered server counts as unsupported: it may run an older release that cannot reach etcd for a while, and
 * that would misread the records later.
 */
export function decideRaise(
  { current, servers, stopped, memberCount }: RaiseInput,
  own: SchemaVersions,
): RaiseDecision {
  if (current >= own.newest) return { kind: "current" };
  const outdatedServers = servers.filter(({ schema }) => schema.newest < own.newest);
  if (outdatedServers.length > 0) {
    const names = outdatedServers.map(({ address, version }) => `${address} (${version})`);
    return { kind: "refuse", reason: `these servers run an older release: ${names.sort().join(", ")}` };
  }
  if (stopped.length > 0) {
    return {
      kind: "refuse",
      reason: `these servers are not running, and may have an older release: ${[...stopped].sort().join(", ")}`,
    };
  }
  const missing = (memberCount ?? 0) - servers.length;
  if (servers.length === 0 || missing > 0) {
    const count = servers.length === 0 ? "no server is" : `${missing} of ${memberCount} servers are not`;
    return { kind: "refuse", reason: `${count} connected, and may have an older release` };
  }
  return { kind: "raise", to: own.newest };
}
