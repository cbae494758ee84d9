import {
  Availability,
  type NetworkAttachment,
  type Node,
  NodeState,
  type Subnet,
  subnetText,
} from "@berth/proto";
import {
  canJoin,
  encryptionProblem,
  overlapProblem,
  overlayProblem,
} from "../allocator/network-eligibility.js";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import { bytesText, cpusText, nodesText } from "../model/text.js";
import { architectureName } from "./node-attribute.js";
import type { NodeConstraint } from "./node-constraint.js";
import type { TaskRequirements } from "./requirements.js";
import { listenerKey, portsClash } from "./resource-request.js";

/** One reason why a node may not accept tasks of a service. */
export interface Filter {
  readonly name: string;
  /** Returns how many more tasks the node accepts as far as this filter is concerned: 0, a number, or Infinity. */
  readonly capacity: (node: NodeSnapshot, occupiedByService: number) => number;
  /** Explains to the user why the filter excludes `count` nodes. */
  readonly explain: (count: number) => string;
}

/** A filter whose capacity is 0 or Infinity. */
interface PassFilter {
  readonly name: string;
  readonly passes: (node: NodeSnapshot) => boolean;
  readonly explain: (count: number) => string;
}

/** Returns all filters in the order of evaluation and explanation: what the user can change fastest comes first. */
export function filtersFor(requirements: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  return [...STATE_FILTERS, ...serviceFilters(requirements, cluster)];
}

/** Returns a function that gives how many more tasks fit on a node. Evaluates as few filters as possible. */
export function capacityFunction(
  requirements: TaskRequirements,
  cluster: ClusterSnapshot,
): (node: NodeSnapshot, occupiedByService: number) => number {
  const filters = serviceFilters(requirements, cluster);
  return (snapshot, occupied) => {
    let capacity = acceptsTasks(snapshot) ? Number.POSITIVE_INFINITY : 0;
    for (const filter of filters) {
      if (capacity <= 0) return 0;
      capacity = Math.min(capacity, filter.capacity(snapshot, occupied));
    }
    return capacity;
  };
}

/** Returns a function that tells whether tasks belong on a node at all, whatever its state and load. */
export function eligibilityTest(requirements: TaskRequirements): (node: NodeSnapshot) => boolean {
  const filters = eligibilityFilters(requirements);
  return (node) => filters.every((filter) => filter.capacity(node, 0) > 0);
}

function serviceFilters(requirements: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  const { networks } = requirements;
  return [
    ...eligibilityFilters(requirements),
    ...volumeFilters(requirements.volumes, cluster),
    ...portFilters(requirements),
    ...resourceFilters(requirements),
    ...networks.flatMap(addressFilter),
    ...networks.flatMap((network) => rangeFilters(network, cluster)),
  ];
}

function eligibilityFilters({ platform, constraints, networks }: TaskRequirements): readonly Filter[] {
  return [
    ...(platform === "" ? [] : [platformFilter(platform)]),
    ...networkFilters(networks),
    ...constraints.map(constraintFilter),
  ];
}

function passFilter({ name, passes, explain }: PassFilter): Filter {
  return { name, capacity: (node) => (passes(node) ? Number.POSITIVE_INFINITY : 0), explain };
}

// Node state

const isUp = ({ node }: NodeSnapshot): boolean => node.state === NodeState.READY;
const isNotDrained = ({ node }: NodeSnapshot): boolean => node.availability !== Availability.DRAIN;
const isNotPaused = ({ node }: NodeSnapshot): boolean => node.availability !== Availability.PAUSE;
const hasEngine = ({ node }: NodeSnapshot): boolean => node.description?.engineReady === true;

/** Returns whether a node accepts tasks of any service. Equals all of `STATE_FILTERS`. */
export const acceptsTasks = (snapshot: NodeSnapshot): boolean =>
  isUp(snapshot) && isNotDrained(snapshot) && isNotPaused(snapshot) && hasEngine(snapshot);

const STATE_FILTERS: readonly Filter[] = [
  passFilter({
    name: "ready",
    passes: isUp,
    explain: (count) => nodesText(count, { one: "is down", many: "are down" }),
  }),
  passFilter({
    name: "drained",
    passes: isNotDrained,
    explain: (count) => nodesText(count, { one: "is drained", many: "are drained" }),
  }),
  passFilter({
    name: "paused",
    passes: isNotPaused,
    explain: (count) => nodesText(count, { one: "is paused", many: "are paused" }),
  }),
  passFilter({
    name: "engine",
    passes: hasEngine,
    explain: (count) =>
      nodesText(count, { one: "cannot reach its Docker", many: "cannot reach their Docker" }),
  }),
];

// Platform and constraints

function platformFilter(platform: string): Filter {
  const [os = "", architecture = ""] = platform.toLowerCase().split("/");
  return passFilter({
    name: "platform",
    passes: ({ node }) =>
      node.description?.os === os &&
      (architecture === "" ||
        architectureName(node.description.architecture) === architectureName(architecture)),
    explain: (count) => `${nodesText(count, { one: "is", many: "are" })} not ${platform}`,
  });
}

function constraintFilter({ text, isMetBy, parseError }: NodeConstraint): Filter {
  return passFilter({
    name: "constraint",
    passes: ({ node }) => isMetBy(node),
    explain: (count) => {
      const reason = `${nodesText(count, { one: "does", many: "do" })} not meet ${text}`;
      return parseError === undefined ? reason : `${reason} (${parseError})`;
    },
  });
}

// Volumes

/** A reason names at most this many nodes and counts the rest. */
const MAX_NAMED_NODES = 3;

/** Keeps tasks on the nodes that have their volumes, whether those are up or not. Skips volumes that no node has. */
function volumeFilters(volumes: readonly string[], cluster: ClusterSnapshot): readonly Filter[] {
  return volumes.flatMap((volume) => {
    const owners = nodesWithVolume(volume, cluster);
    return owners.length === 0 ? [] : [volumeFilter(volume, owners)];
  });
}

function nodesWithVolume(volume: string, { nodes }: ClusterSnapshot): readonly Node[] {
  const owners: Node[] = [];
  for (const { node } of nodes.values()) {
    if (node.description?.volumes.includes(volume)) owners.push(node);
  }
  return owners.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function volumeFilter(volume: string, owners: readonly Node[]): Filter {
  const ids = new Set(owners.map(({ id }) => id));
  return passFilter({
    name: "volume",
    passes: ({ node }) => ids.has(node.id),
    explain: (count) =>
      `${nodesText(count, { one: "does", many: "do" })} not have volume ${volume}, which is on ${nodeList(owners)}`,
  });
}

function nodeList(nodes: readonly Node[]): string {
  const named = nodes.slice(0, MAX_NAMED_NODES).map(nodeText);
  const rest = nodes.length - named.length;
  return rest === 0 ? named.join(" and ") : `${named.join(", ")} and ${rest} more`;
}

function nodeText(node: Node): string {
  const name = node.description?.hostname || node.id;
  if (node.state !== NodeState.READY) return `${name} (down)`;
  if (node.availability === Availability.DRAIN) return `${name} (drained)`;
  return node.availability === Availability.PAUSE ? `${name} (paused)` : name;
}

// Host-mode ports

/** A host-mode port excludes nodes where another task or a program outside of Docker has bound it. */
function portFilters({ resources }: TaskRequirements): readonly Filter[] {
  return resources.hostPorts.flatMap((port) => [
    portFilter(port, { owner: "another task", boundKeys: ({ hostPorts }) => hostPorts }),
    portFilter(port, {
      owner: "another program",
      boundKeys: ({ node }) => (node.description?.listeners ?? []).map(listenerKey),
    }),
  ]);
}

function portFilter(
  port: string,
  {
    owner,
    boundKeys,
  }: { readonly owner: string; readonly boundKeys: (node: NodeSnapshot) => Iterable<string> },
): Filter {
  const [protocol = "", address = "", number = ""] = port.split("/");
  const name = `${address === "" ? "" : `${address}:`}${number}/${protocol}`;
  return {
    name: "host-port",
    capacity: (node) => {
      for (const key of boundKeys(node)) {
        if (portsClash(port, key)) return 0;
      }
      return 1;
    },
    explain: (count) =>
      `port ${name} is taken by ${owner} on ${nodesText(count, { one: "", many: "" }).trim()}`,
  };
}

// Resources

function resourceFilters({ resources, maxPerNode }: TaskRequirements): readonly Filter[] {
  const { nanoCpus, memoryBytes, pids, generic } = resources;
  return [
    ...(maxPerNode === Number.POSITIVE_INFINITY ? [] : [maxPerNodeFilter(maxPerNode)]),
    ...(nanoCpus > 0 ? [cpuFilter(nanoCpus)] : []),
    ...(memoryBytes > 0 ? [memoryFilter(memoryBytes)] : []),
    ...(pids > 0 ? [pidsFilter(pids)] : []),
    ...Array.from(generic, ([kind, perTask]) => genericFilter(kind, perTask)),
  ];
}

function maxPerNodeFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    capacity: (_node, occupied) => Math.max(0, maxPerNode - occupied),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

const cpuFilter = (perTask: number): Filter => ({
  name: "cpu",
  capacity: ({ node, reserved }) =>
    countFitting((node.description?.nanoCpus ?? 0) - reserved.nanoCpus, perTask),
  explain: (count) => lacksText(count, cpusText(perTask)),
});

const memoryFilter = (perTask: number): Filter => ({
  name: "memory",
  capacity: ({ node, reserved }) =>
    countFitting((node.description?.memoryBytes ?? 0) - reserved.memoryBytes, perTask),
  explain: (count) => lacksText(count, `${bytesText(perTask)} of memory`),
});

const pidsFilter = (perTask: number): Filter => ({
  name: "pids",
  capacity: (snapshot) => countFitting(freePids(snapshot), perTask),
  explain: (count) =>
    lacksText(count, perTask === 1 ? "room for 1 process" : `room for ${perTask} processes`),
});

const genericFilter = (kind: string, perTask: number): Filter => ({
  name: "generic",
  capacity: ({ node, reserved }) =>
    countFitting((node.description?.generic[kind] ?? 0) - (reserved.generic.get(kind) ?? 0), perTask),
  explain: (count) => lacksText(count, `${perTask} ${kind}`),
});

/** A node that reports no limit of processes has room for any number. */
function freePids({ node, reserved }: NodeSnapshot): number {
  const limit = node.description?.pids ?? 0;
  return limit === 0 ? Number.POSITIVE_INFINITY : limit - reserved.pids;
}

const countFitting = (free: number, perTask: number): number => Math.max(0, Math.floor(free / perTask));

const lacksText = (count: number, what: string): string =>
  `${nodesText(count, { one: "lacks", many: "lack" })} ${what}`;

// Networks

/** Excludes nodes that cannot have a required network: its containers would not be reachable there. */
function networkFilters(attachments: readonly NetworkAttachment[]): readonly Filter[] {
  const required = attachments.filter(({ optional }) => !optional);
  if (required.length === 0) return [];
  const overlay = passFilter({
    name: "network",
    passes: ({ node }) => overlayProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} have networks that span hosts (berth node inspect says why)`,
  });
  if (!required.some(({ encrypted }) => encrypted)) return [overlay];
  const encryption = passFilter({
    name: "encrypted-network",
    passes: ({ node }) => encryptionProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} encrypt networks (berth node inspect says why)`,
  });
  return [overlay, encryption];
}

/** A node has a limited number of addresses in each network. A node that cannot join the network needs none. */
function addressFilter(attachment: NetworkAttachment): readonly Filter[] {
  const { network, addressesPerHost } = attachment;
  if (addressesPerHost === 0) return [];
  return [
    {
      name: "network-room",
      capacity: ({ node, reserved }) =>
        canJoin(node, attachment)
          ? Math.max(0, addressesPerHost - (reserved.networks.get(network) ?? 0))
          : Number.POSITIVE_INFINITY,
      explain: (count) =>
        `${nodesText(count, { one: "has", many: "have" })} no address left in network ${network} (${addressesPerHost} each)`,
    },
  ];
}

/** A network has ranges for a limited number of nodes. An optional network excludes no node. */
function rangeFilters(
  { network, optional }: NetworkAttachment,
  { networkRanges }: ClusterSnapshot,
): readonly Filter[] {
  if (optional) return [];
  const range = passFilter({
    name: "network-part",
    passes: ({ node }) => networkRanges.hasRangeFor(node.id, network),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} no range of network ${network}, and all of its ranges are taken: give it a larger subnet`,
  });
  return [range, ...overlapFilters(network, networkRanges.subnetOf(network))];
}

/** A node attached to an overlapping subnet would look for its neighbors among the containers. */
function overlapFilters(network: string, subnet: Subnet | undefined): readonly Filter[] {
  if (subnet === undefined) return [];
  const overlap = passFilter({
    name: "network-overlap",
    passes: ({ node }) => overlapProblem(node, subnet) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "is", many: "are" })} in subnets that overlap network ${network} (${subnetText(subnet)}): give it another subnet`,
  });
  return [overlap];
}
