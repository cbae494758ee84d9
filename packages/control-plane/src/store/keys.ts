/**
 * The keys that berth uses in etcd. All are below one prefix, and all values are readable JSON:
 *
 *     etcdctl get --prefix /berth/v1/
 *
 * | key                                | value                                          | written by           |
 * |------------------------------------|------------------------------------------------|----------------------|
 * | `meta/schema`                      | version of the layout                          | the first server     |
 * | `meta/migration`                   | progress of a change of the layout             | the leader           |
 * | `leader`                           | address of the leader; leased                  | the leader           |
 * | `servers/<serverId>`               | address and version of a server; leased        | that server          |
 * | `nodes/<nodeId>`                   | a Docker host: identity, availability, labels  | the leader           |
 * | `services/<serviceId>`             | a service: current version, rollout            | the leader           |
 * | `names/<serviceName>`              | ID of the service with that name               | the leader           |
 * | `revisions/<serviceId>/<version>`  | the spec of one version; never changes         | the leader           |
 * | `tasks/<serviceId>/<taskId>`       | a task: desired and observed state             | the leader           |
 * | `networks/<networkId>`             | a network: spec, subnet                        | the leader           |
 * | `ranges/<networkId>/<nodeId>`      | a node's part of a network's subnet            | the leader           |
 * | `vips/<networkId>/<serviceId>`     | the virtual IP of a service in a network       | the leader           |
 * | `files/<versionId>`                | a version of a secret or config, encrypted     | the leader           |
 * | `logins/<loginId>`                 | credentials for a registry, encrypted          | the leader           |
 * | `audit/<sequence>`                 | a call that changed the cluster; never changes | the leader           |
 * | `policies/cluster`                 | what containers may use of their hosts         | the leader           |
 * | `authorities/<fingerprint>`        | a CA: certificate, encrypted key               | the leader           |
 * | `keys/cluster`                     | which cluster key is in use; contains no key   | the leader           |
 * | `etcd/authorities`                 | the CAs of etcd: certificates, encrypted keys  | the leader           |
 * | `tokens/<tokenId>`                 | a join token: hash, expiry, uses left          | the leader           |
 * | `users/<userName>`                 | a user: role, stacks                           | the leader           |
 * | `serverrecords/<serverId>`         | a server: name, address, state                 | the leader           |
 * | `restores/cluster`                 | the last restore from a backup                 | berth backup restore |
 *
 * A leased key disappears when its writer stops. Every write of the leader compares the create revision of `leader`
 * (see election.ts). The collections from `nodes` on hold the records of the cluster, whose kinds are in
 * state/record-kinds.ts.
 */
export const ROOT = "/berth/v1/";

/** The schema and its migration are not records: they are the same in every version of the schema. */
const SCHEMA_COLLECTION = "meta";
export const SCHEMA_KEY = `${ROOT}${SCHEMA_COLLECTION}/schema`;
export const MIGRATION_KEY = `${ROOT}${SCHEMA_COLLECTION}/migration`;
export const LEADER_KEY = `${ROOT}leader`;
const SERVERS_COLLECTION = "servers";
export const SERVERS_PREFIX = `${ROOT}${SERVERS_COLLECTION}/`;
export const AUTHORITIES_PREFIX = `${ROOT}authorities/`;
export const ETCD_AUTHORITIES_KEY = `${ROOT}etcd/authorities`;
export const CLUSTER_KEY_RECORD = `${ROOT}keys/cluster`;

/** Matches an ID or name that is one segment of a key. */
const SEGMENT = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}";
const SEGMENT_PATTERN = new RegExp(`^${SEGMENT}$`);
const KEY_PATTERN = new RegExp(`^${ROOT}([a-z]+)/(${SEGMENT})(?:/(${SEGMENT}))?$`);

/** Number of digits of a version or sequence number in a key. Numbers are zero-padded, so that keys sort by number. */
const VERSION_DIGITS = 12;
const VERSION_PATTERN = new RegExp(`^[0-9]{${VERSION_DIGITS}}$`);

export function serverKey(serverId: string): string {
  return buildKey(SERVERS_COLLECTION, [serverId]);
}

export function isServerKey(key: string): boolean {
  return parseKey(key)?.collection === SERVERS_COLLECTION;
}

/** A key with one or two segments below its collection. */
export interface ParsedKey {
  readonly collection: string;
  readonly segments: readonly string[];
}

/**
 * Returns the key with these segments below a collection.
 *
 * @throws RangeError for an invalid segment, which is a bug, since IDs and names are validated on input
 */
export function buildKey(collection: string, segments: readonly string[]): string {
  let key = ROOT + collection;
  for (const segment of segments) {
    if (!SEGMENT_PATTERN.test(segment)) {
      throw new RangeError(`invalid segment of a store key: ${JSON.stringify(segment)}`);
    }
    key += `/${segment}`;
  }
  return key;
}

/** Splits a key. Returns undefined for the leader key, the keys of the schema, and keys that berth does not write. */
export function parseKey(key: string): ParsedKey | undefined {
  const [, collection, first, second] = KEY_PATTERN.exec(key) ?? [];
  if (collection === undefined || first === undefined || collection === SCHEMA_COLLECTION) return undefined;
  return { collection, segments: second === undefined ? [first] : [first, second] };
}

/**
 * Formats a version for a key.
 *
 * @throws RangeError unless the version is an integer from 0 to 10^12 - 1
 */
export function versionSegment(version: number): string {
  if (!Number.isSafeInteger(version) || version < 0 || version >= 10 ** VERSION_DIGITS) {
    throw new RangeError(`invalid version: ${version}`);
  }
  return String(version).padStart(VERSION_DIGITS, "0");
}

/** Parses a version from a key. Returns undefined for any other text. */
export function parseVersionSegment(segment: string): number | undefined {
  return VERSION_PATTERN.test(segment) ? Number(segment) : undefined;
}
