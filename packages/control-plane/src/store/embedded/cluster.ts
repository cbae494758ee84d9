import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import type { Ports } from "./data-dir.js";
import type { InitialMember, MembershipRequests } from "./membership.js";

/** Address of a member whose cluster other servers cannot join. */
export const LOOPBACK = "127.0.0.1";

/** Fixed ports of a member whose cluster other servers can join. */
export const MEMBER_PORTS: Ports = { client: 7404, peer: 7403 };

/** Subdirectory of etcd's data directory for its log and snapshots. */
export const ETCD_DATA = "member";

/** A member whose cluster other servers can join. */
export interface JoinableMember {
  /** IP address at which the other servers reach this one. Its ports are fixed. */
  readonly address: string;
  /** Requests to the cluster that this server has joined. Undefined for the server that creates the cluster. */
  readonly requests: MembershipRequests | undefined;
}

/** The members with which an etcd without data starts. etcd ignores them when it has data. */
export interface Bootstrap {
  /** Name of this server's member. */
  readonly name: string;
  /** Value of etcd's `--initial-cluster`. */
  readonly initialCluster: string;
  /** "existing" when the other members already list this member. */
  readonly state: "new" | "existing";
  /** Distinguishes a restored cluster from the original one, whose members can have the same addresses. */
  readonly token?: string | undefined;
}

/** Returns the bootstrap of a member that creates a cluster. */
export function firstBootstrap(name: string, ownPeerUrl: string, token?: string): Bootstrap {
  return { name, initialCluster: `${name}=${ownPeerUrl}`, state: "new", token };
}

/** Returns the bootstrap of a member that was added to a cluster. */
export function joinBootstrap(
  name: string,
  ownPeerUrl: string,
  members: readonly InitialMember[],
): Bootstrap {
  const entries = members.flatMap((member, index) =>
    // etcd compares only the URLs. A member that has never run has no name yet.
    member.peerUrls.map((url) => `${url === ownPeerUrl ? name : member.name || `unnamed-${index}`}=${url}`),
  );
  return { name, initialCluster: entries.join(","), state: "existing" };
}

/**
 * Returns the addresses that the certificate of a member must contain. Clients and members compare them with the
 * address to which they connect, and members also with the source address of connections. A single member uses
 * loopback.
 */
export function certificateAddresses(address: string): readonly string[] {
  return [...new Set([address, LOOPBACK])];
}

export function clientUrl(host: string, { client }: Ports): string {
  return `https://${urlHost(host)}:${client}`;
}

export function peerUrl(host: string, { peer }: Ports): string {
  return `https://${urlHost(host)}:${peer}`;
}

/** Returns the host of a member's URL, without the brackets of IPv6. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

export function memberName(host: string): string {
  return `berth-${host}`;
}

/** Returns whether a data directory holds the data of a member. Like etcd, it looks for the first file of the log. */
export function hasEtcdData(path: string): boolean {
  try {
    return readdirSync(join(path, ETCD_DATA, "wal")).some((name) => name.endsWith(".wal"));
  } catch {
    return false;
  }
}

/**
 * Checks that a directory with which etcd has served still contains its data. An etcd without data would start as an
 * empty cluster, and one that has lost only its log would serve reads but no writes.
 *
 * @throws BerthError BERTH_ETCD_FAILED unless this server copies the data from others
 */
export function requireData(
  { path, hasServed }: { readonly path: string; readonly hasServed: boolean },
  member: JoinableMember | undefined,
): void {
  if (!hasServed || hasEtcdData(path) || member?.requests !== undefined) return;
  const message =
    `the etcd data in ${path} is missing: its directory ${ETCD_DATA}/wal has no log, but a cluster has run with it; ` +
    "check --data-dir and its mount, or restore a backup (berth backup restore). To create a new cluster, move the directory away";
  throw new BerthError({ code: "BERTH_ETCD_FAILED", message, details: { dataDir: path } });
}

/**
 * Checks that a member of a larger cluster still has the address at which the others reach it.
 *
 * @throws BerthError BERTH_INPUT_INVALID, or BERTH_ETCD_FAILED for lost data that nothing can restore
 */
export function requireSameAddress(
  path: string,
  recorded: readonly string[],
  { address, requests }: JoinableMember,
): void {
  if (recorded.length <= 1) return;
  const hasData = hasEtcdData(path);
  if (!hasData && requests !== undefined) return;
  const details = { dataDir: path };
  if (!hasData) {
    const others = recorded.filter((host) => host !== address);
    const message =
      `${path} has no etcd data, but this server was in a cluster with ${others.join(", ")}; check --data-dir. ` +
      "If the data is lost, remove the directory and join the cluster again";
    throw new BerthError({ code: "BERTH_ETCD_FAILED", message, details });
  }
  if (recorded.includes(address)) return;
  const message =
    `the etcd data in ${path} belongs to one of the servers ${recorded.join(", ")}, but the address of this server is ` +
    `${address}; start it with its previous address, or remove the directory and join the cluster again`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message, details });
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
