import { readdirSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import { type EtcdTlsFiles, type Scheme, schemeOf } from "../etcd-tls.js";
import type { Ports } from "./data-dir.js";
import type { EtcdHttpClient } from "./etcd-http.js";
import type { InitialMember, MembershipRequests } from "./membership.js";

/** Fixed ports of the members of a cluster, since each member must know the others' addresses before they start. */
export const MEMBER_PORTS: Ports = { client: 7404, peer: 7403 };

/** Subdirectory of etcd's data directory for its log and snapshots. */
export const ETCD_DATA = "member";

/** Timeout for the member list of another member. */
const MEMBER_LIST_TIMEOUT_MS = 1_000;

/** A member of a cluster that servers join while it runs. */
export interface GrowingMember {
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
  /** "existing" when the members have this one in their list already. */
  readonly state: "new" | "existing";
}

/** Returns the bootstrap of a member that creates a cluster. */
export function firstBootstrap(name: string, ownPeerUrl: string): Bootstrap {
  return { name, initialCluster: `${name}=${ownPeerUrl}`, state: "new" };
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

/** The servers whose embedded etcds form a cluster (`berth server --etcd-cluster`). */
export interface EtcdCluster {
  /** This server's address, one of `members`. */
  readonly self: string;
  /** Addresses of all servers. Each server has the same list. */
  readonly members: readonly string[];
}

/**
 * Returns the addresses that the certificate of a member must have. Clients and members compare it with the address that
 * they connect to, and members also with the address that they are connected from. A single member uses loopback.
 */
export function certificateAddresses(self: string): readonly string[] {
  return [...new Set([self, "127.0.0.1"])];
}

export function clientUrl(scheme: Scheme, host: string, { client }: Ports): string {
  return `${scheme}://${urlHost(host)}:${client}`;
}

export function peerUrl(scheme: Scheme, host: string, { peer }: Ports): string {
  return `${scheme}://${urlHost(host)}:${peer}`;
}

/** Returns the host of a member's URL, without the brackets of IPv6. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

export function memberName(host: string): string {
  return `berth-${host}`;
}

/** Returns the value of etcd's `--initial-cluster`. */
export function initialCluster(scheme: Scheme, { members }: EtcdCluster): string {
  return members.map((host) => `${memberName(host)}=${peerUrl(scheme, host, MEMBER_PORTS)}`).join(",");
}

/** Returns the client URLs of all members, this server's own first. */
export function clientUrls(scheme: Scheme, { self, members }: EtcdCluster): readonly [string, ...string[]] {
  const others = members.filter((host) => host !== self);
  return [
    clientUrl(scheme, self, MEMBER_PORTS),
    ...others.map((host) => clientUrl(scheme, host, MEMBER_PORTS)),
  ];
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
 * Checks that a member of several still has the address at which the others reach it.
 * @throws BerthError BERTH_INPUT_INVALID, or BERTH_ETCD_FAILED for lost data that nothing can restore
 */
export function requireSameAddress(
  path: string,
  recorded: readonly string[],
  { address, requests }: GrowingMember,
): void {
  const others = recorded.filter((host) => host !== address);
  if (recorded.length <= 1 || (!hasEtcdData(path) && requests !== undefined)) return;
  const details = { dataDir: path };
  if (!hasEtcdData(path)) {
    const message =
      `${path} has no etcd data, but this server was in a cluster with ${others.join(", ")}: check --data-dir. ` +
      "If the data is lost, remove the directory and join the cluster again";
    throw new BerthError({ code: "BERTH_ETCD_FAILED", message, details });
  }
  if (recorded.includes(address)) return;
  const message =
    `the etcd data in ${path} belongs to one of the servers ${recorded.join(", ")}, but the address of this server is ` +
    `${address}: start it with its previous address, or remove the directory and join the cluster again`;
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message, details });
}

/**
 * Checks that the data directory belongs to this cluster. etcd would silently continue with the members that it knows.
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function requireSameMembers(
  path: string,
  recorded: readonly string[],
  cluster: EtcdCluster | undefined,
): void {
  const requested = [...(cluster?.members ?? [])].sort();
  if (!hasEtcdData(path) || [...recorded].sort().join() === requested.join()) return;
  const message =
    `the etcd data in ${path} belongs to ${describe(recorded)}, but this server was started as ${describe(requested)}: ` +
    "start it as before, or with an empty --data-dir";
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message, details: { dataDir: path } });
}

/**
 * Checks that the members of a cluster started with TLS if and only if this one does. etcd keeps their URLs, so they would
 * not reach each other.
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function requireSameScheme(path: string, recorded: Scheme, requested: Scheme): void {
  if (!hasEtcdData(path) || recorded === requested) return;
  const [was, is] = [recorded, requested].map((scheme) => (scheme === "https" ? "with TLS" : "without TLS"));
  const message =
    `the etcd data in ${path} belongs to a cluster ${was}, but this server was started ${is}: ` +
    "start it as before, or with an empty --data-dir";
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message, details: { dataDir: path } });
}

/** How to reach the other members of a cluster. */
export interface ClusterAccess {
  readonly scheme: Scheme;
  readonly http: EtcdHttpClient;
}

/**
 * Returns whether this member replaces a removed one. `etcdctl member add` creates a member with an address but without
 * a name, which the member sets when it starts.
 */
export async function isReplacementMember(
  { self, members }: EtcdCluster,
  path: string,
  access: ClusterAccess,
): Promise<boolean> {
  if (hasEtcdData(path)) return false;
  const ownUrl = peerUrl(access.scheme, self, MEMBER_PORTS);
  const others = members.filter((host) => host !== self);
  const answers = await Promise.all(others.map((host) => membersKnownTo(host, access)));
  return answers.flat().some(({ name, peerURLs }) => !name && peerURLs?.includes(ownUrl) === true);
}

/** Returns the error for a member whose data is missing although the other members know it. */
export function lostData(
  { self, members }: EtcdCluster,
  path: string,
  tls: EtcdTlsFiles | undefined,
): BerthError {
  const scheme = schemeOf(tls);
  const other = members.find((host) => host !== self) ?? self;
  const etcdctl = etcdctlCommand(clientUrl(scheme, other, MEMBER_PORTS), tls);
  const ownUrl = peerUrl(scheme, self, MEMBER_PORTS);
  const message =
    `the other servers know the etcd member of ${self}, but ${path} has no data of it: check --data-dir. If the data ` +
    `is lost, replace the member: find its id with "${etcdctl} member list", then "${etcdctl} member remove ID" ` +
    `and "${etcdctl} member add ${memberName(self)} --peer-urls=${ownUrl}", remove ${join(path, ETCD_DATA)} and start ` +
    "this server again; it copies the data from the others";
  return new BerthError({ code: "BERTH_ETCD_FAILED", message, details: { dataDir: path } });
}

function etcdctlCommand(endpoint: string, tls: EtcdTlsFiles | undefined): string {
  const files =
    tls === undefined
      ? []
      : ["--cacert", tls.authoritiesFile, "--cert", tls.certificateFile, "--key", tls.keyFile];
  return ["etcdctl", ...files, "--endpoints", endpoint].join(" ");
}

interface KnownMember {
  /** Undefined until the member has started for the first time. */
  readonly name?: string;
  readonly peerURLs?: readonly string[];
}

/** Returns the members that another member knows. Returns an empty list when that member does not answer. */
async function membersKnownTo(
  host: string,
  { scheme, http }: ClusterAccess,
): Promise<readonly KnownMember[]> {
  try {
    const url = `${peerUrl(scheme, host, MEMBER_PORTS)}/members`;
    const { body } = await http.get(url, AbortSignal.timeout(MEMBER_LIST_TIMEOUT_MS));
    const members: unknown = JSON.parse(body);
    return Array.isArray(members) ? members : [];
  } catch {
    return [];
  }
}

function describe(members: readonly string[]): string {
  return members.length === 0 ? "a single server" : `the cluster of ${members.join(", ")}`;
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
