/**
 * The whole key space. Everything that berth keeps in etcd is below one prefix, as JSON that a person can read:
 *
 *     etcdctl get --prefix /berth/v1/
 *
 * | key                                | value                                         | written by            |
 * |------------------------------------|-----------------------------------------------|-----------------------|
 * | `meta/schema`                      | layout version of all below                   | the first server      |
 * | `leader`                           | who leads: server id and address; leased      | that server           |
 * | `servers/<serverId>`               | a running server: address, version; leased    | that server           |
 * | `nodes/<nodeId>`                   | a Docker host: identity, availability, labels | the leader            |
 * | `services/<serviceId>`             | a service: its current version, its rollout   | the leader            |
 * | `names/<serviceName>`              | id of the service that owns the name          | the leader            |
 * | `revisions/<serviceId>/<version>`  | the spec of that version; never changes       | the leader            |
 * | `tasks/<serviceId>/<taskId>`       | a task: desired and observed state            | the leader            |
 * | `networks/<networkId>`             | a network over hosts: its spec, its subnet    | the leader            |
 * | `ranges/<networkId>/<nodeId>`      | the part of a network that a host has         | the leader            |
 * | `vips/<networkId>/<serviceId>`     | the address of a service in a network         | the leader            |
 *
 * The leader's writes all compare the create revision of `leader` (see election.ts).
 * Versions are zero-padded so that they sort as numbers.
 */
export const ROOT = "/berth/v1/";

/** Digits of a version in a key: more than enough for one new version a second for ten thousand years. */
const VERSION_DIGITS = 12;

/** An id or name as one path segment: what the builders accept and the parsers return. */
const SEGMENT = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}";

export const SCHEMA_KEY = `${ROOT}meta/schema`;
export const LEADER_KEY = `${ROOT}leader`;

export const SERVERS_PREFIX = `${ROOT}servers/`;
export const NODES_PREFIX = `${ROOT}nodes/`;
export const SERVICES_PREFIX = `${ROOT}services/`;
export const NAMES_PREFIX = `${ROOT}names/`;
export const REVISIONS_PREFIX = `${ROOT}revisions/`;
export const TASKS_PREFIX = `${ROOT}tasks/`;
export const NETWORKS_PREFIX = `${ROOT}networks/`;
export const RANGES_PREFIX = `${ROOT}ranges/`;
export const VIPS_PREFIX = `${ROOT}vips/`;

export const serverKey = (serverId: string): string => SERVERS_PREFIX + segment(serverId);
export const nodeKey = (nodeId: string): string => NODES_PREFIX + segment(nodeId);
export const serviceKey = (serviceId: string): string => SERVICES_PREFIX + segment(serviceId);
export const nameKey = (serviceName: string): string => NAMES_PREFIX + segment(serviceName);

/** All versions of one service, oldest first. */
export const revisionsOf = (serviceId: string): string => `${REVISIONS_PREFIX}${segment(serviceId)}/`;
export const revisionKey = (serviceId: string, version: number): string =>
  revisionsOf(serviceId) + paddedVersion(version);

/** All tasks of one service. */
export const tasksOf = (serviceId: string): string => `${TASKS_PREFIX}${segment(serviceId)}/`;
export const taskKey = (serviceId: string, taskId: string): string => tasksOf(serviceId) + segment(taskId);

export const networkKey = (networkId: string): string => NETWORKS_PREFIX + segment(networkId);
export const rangeKey = (networkId: string, nodeId: string): string =>
  `${RANGES_PREFIX}${segment(networkId)}/${segment(nodeId)}`;
export const vipKey = (networkId: string, serviceId: string): string =>
  `${VIPS_PREFIX}${segment(networkId)}/${segment(serviceId)}`;

/** What a key is about. */
export type ParsedKey =
  | { readonly kind: "schema" }
  | { readonly kind: "leader" }
  | { readonly kind: "server"; readonly serverId: string }
  | { readonly kind: "node"; readonly nodeId: string }
  | { readonly kind: "service"; readonly serviceId: string }
  | { readonly kind: "name"; readonly serviceName: string }
  | { readonly kind: "revision"; readonly serviceId: string; readonly version: number }
  | { readonly kind: "task"; readonly serviceId: string; readonly taskId: string }
  | { readonly kind: "network"; readonly networkId: string }
  | { readonly kind: "range"; readonly networkId: string; readonly nodeId: string }
  | { readonly kind: "vip"; readonly networkId: string; readonly serviceId: string };

const KEY_PATTERN = new RegExp(
  `^${ROOT}(?:(meta/schema|leader)|(servers|nodes|services|names|revisions|tasks|networks|ranges|vips)/(${SEGMENT})(?:/(${SEGMENT}))?)$`,
);
const VERSION_PATTERN = new RegExp(`^[0-9]{${VERSION_DIGITS}}$`);

/** The inverse of the builders; undefined for a key that none of them builds (of a newer berth, or put by hand). */
export function parseKey(key: string): ParsedKey | undefined {
  const match = KEY_PATTERN.exec(key);
  if (match === null) return undefined;
  const [, single, collection, first = "", second] = match;
  if (single !== undefined) return single === "leader" ? { kind: "leader" } : { kind: "schema" };
  return second === undefined ? parseShort(collection, first) : parseLong(collection, first, second);
}

function parseShort(collection: string | undefined, id: string): ParsedKey | undefined {
  switch (collection) {
    case "servers":
      return { kind: "server", serverId: id };
    case "nodes":
      return { kind: "node", nodeId: id };
    case "services":
      return { kind: "service", serviceId: id };
    case "names":
      return { kind: "name", serviceName: id };
    case "networks":
      return { kind: "network", networkId: id };
    default:
      return undefined;
  }
}

function parseLong(collection: string | undefined, first: string, last: string): ParsedKey | undefined {
  switch (collection) {
    case "tasks":
      return { kind: "task", serviceId: first, taskId: last };
    case "ranges":
      return { kind: "range", networkId: first, nodeId: last };
    case "vips":
      return { kind: "vip", networkId: first, serviceId: last };
    case "revisions":
      return VERSION_PATTERN.test(last)
        ? { kind: "revision", serviceId: first, version: Number(last) }
        : undefined;
    default:
      return undefined;
  }
}

const SEGMENT_PATTERN = new RegExp(`^${SEGMENT}$`);

/** Ids and names are validated where they enter; a bad one here is a bug, and must not become another key. */
function segment(text: string): string {
  if (!SEGMENT_PATTERN.test(text))
    throw new RangeError(`${JSON.stringify(text)} cannot be part of a store key`);
  return text;
}

function paddedVersion(version: number): string {
  if (!Number.isSafeInteger(version) || version < 0 || version >= 10 ** VERSION_DIGITS) {
    throw new RangeError(`${version} is no version number`);
  }
  return String(version).padStart(VERSION_DIGITS, "0");
}
