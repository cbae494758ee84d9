import { existsSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";
import type { Ports } from "./data-dir.js";

/** Each server's member listens here, on the server's own address: the others must know it beforehand. */
export const MEMBER_PORTS: Ports = { client: 7404, peer: 7403 };

/** Where etcd keeps its log and snapshots inside its data folder. */
const ETCD_DATA = "member";

/** How long a member may take to say who the members are. */
const ASK_TIMEOUT_MS = 1_000;

/** The servers whose etcds are one cluster. */
export interface EtcdCluster {
  /** This server's address, as it stands in `members`. */
  readonly self: string;
  /** Addresses of all servers, this one among them: the same on each. */
  readonly members: readonly string[];
}

export function clientUrl(host: string, { client }: Ports): string {
  return `http://${urlHost(host)}:${client}`;
}

export function peerUrl(host: string, { peer }: Ports): string {
  return `http://${urlHost(host)}:${peer}`;
}

export function memberName(host: string): string {
  return `berth-${host}`;
}

/** etcd's `--initial-cluster`. */
export function initialCluster({ members }: EtcdCluster): string {
  return members.map((host) => `${memberName(host)}=${peerUrl(host, MEMBER_PORTS)}`).join(",");
}

/** Where to reach etcd: our own member first, the others for when it is down. */
export function clientUrls({ self, members }: EtcdCluster): readonly [string, ...string[]] {
  const others = members.filter((host) => host !== self);
  return [clientUrl(self, MEMBER_PORTS), ...others.map((host) => clientUrl(host, MEMBER_PORTS))];
}

export function hasEtcdData(path: string): boolean {
  return existsSync(join(path, ETCD_DATA));
}

/**
 * Makes sure that a folder with data is not started for other members: etcd would go on with those it knows, without a word.
 * @throws BerthError BERTH_INPUT_INVALID
 */
export function requireSameMembers(
  path: string,
  recorded: readonly string[],
  cluster: EtcdCluster | undefined,
): void {
  const asked = [...(cluster?.members ?? [])].sort();
  if (!hasEtcdData(path) || [...recorded].sort().join() === asked.join()) return;
  const message =
    `The etcd data in ${path} is that of ${describe(recorded)}, and this server was started as ${describe(asked)}. ` +
    "Start it as before, or with an empty --data-dir.";
  throw new BerthError({ code: "BERTH_INPUT_INVALID", message, details: { dataDir: path } });
}

/**
 * Whether the other members wait for this one to come in the place of one that was removed: `etcdctl member add` makes
 * a member that has an address and no name yet.
 */
export async function isReplacement(cluster: EtcdCluster, path: string): Promise<boolean> {
  if (hasEtcdData(path)) return false;
  const own = peerUrl(cluster.self, MEMBER_PORTS);
  const others = cluster.members.filter((host) => host !== cluster.self);
  const answers = await Promise.all(others.map(membersKnownTo));
  return answers.flat().some(({ name, peerURLs }) => !name && peerURLs?.includes(own) === true);
}

/** What to do about a member whose data is gone while the others remember it. */
export function lostData({ self, members }: EtcdCluster, path: string): BerthError {
  const other = members.find((host) => host !== self) ?? self;
  const etcdctl = `etcdctl --endpoints ${clientUrl(other, MEMBER_PORTS)}`;
  const message =
    `The other servers remember the etcd member of ${self}, but its data is not in ${path}. If the folder is the right one ` +
    `and the data is lost, replace the member: find its id with "${etcdctl} member list", then "${etcdctl} member remove ID" ` +
    `and "${etcdctl} member add ${memberName(self)} --peer-urls=${peerUrl(self, MEMBER_PORTS)}", empty the folder and start ` +
    "this server again: it copies everything from the others.";
  return new BerthError({ code: "BERTH_ETCD_FAILED", message, details: { dataDir: path } });
}

interface KnownMember {
  /** Absent until the member has started for the first time. */
  readonly name?: string;
  readonly peerURLs?: readonly string[];
}

/** None when it does not answer. */
async function membersKnownTo(host: string): Promise<readonly KnownMember[]> {
  try {
    const url = `${peerUrl(host, MEMBER_PORTS)}/members`;
    const response = await fetch(url, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
    const members: unknown = await response.json();
    return Array.isArray(members) ? members : [];
  } catch {
    return [];
  }
}

function describe(members: readonly string[]): string {
  return members.length === 0 ? "a server alone" : `the cluster of ${members.join(", ")}`;
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
