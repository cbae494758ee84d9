import {
  Availability,
  canonicalAttribute,
  type NetworkAttachment,
  type Node,
  NodeState,
  type ServiceSpec,
  type Subnet,
  subnetText,
  VolumePolicy,
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
import { type NodeConstraint, parseNodeConstraint } from "./node-constraint.js";
import { listenerKey, portsClash, type ResourceRequest, resourceRequestOf } from "./resource-request.js";

/** What every new task of one service version asks of a node. */
export interface TaskRequirements {
  readonly resources: ResourceRequest;
  readonly constraints: readonly NodeConstraint[];
  /** "os/architecture"; empty: any. */
  readonly platform: string;
  /** Infinity: no limit. */
  readonly maxPerNode: number;
  /** Attributes over whose values tasks are spread, the most important one first. */
  readonly spread: readonly string[];
  /** Names of volumes that tasks must find on their node, once they exist anywhere. */
  readonly volumes: readonly string[];
  /** Networks over hosts that tasks are in. */
  readonly networks: readonly NetworkAttachment[];
}

export interface Filter {
  readonly name: string;
  /** How many more tasks of this need the node takes, as far as this filter goes: 0, some, or Infinity. */
  readonly capacity: (node: NodeSnapshot, heldByService: number) => number;
  /** What keeps `count` nodes out, for a person. */
  readonly explain: (count: number) => string;
}

export function requirementsOf(spec: ServiceSpec): TaskRequirements {
  const isGlobal = spec.mode?.$case === "global";
  const max = spec.placement?.maxReplicasPerNode ?? 0;
  return {
    resources: resourceRequestOf(spec),
    constraints: (spec.placement?.constraints ?? []).map(parseNodeConstraint),
    platform: spec.task?.container?.platform ?? "",
    maxPerNode: max === 0 || isGlobal ? Number.POSITIVE_INFINITY : max,
    spread: (spec.placement?.spread ?? []).map(canonicalAttribute),
    volumes: stickyVolumes(spec),
    networks: spec.task?.networks ?? [],
  };
}

/** In the order in which they are asked and explained: what the user can change fastest comes first. */
export function filtersFor(need: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  return [...STATE_FILTERS, ...serviceFilters(need, cluster)];
}

/** Says how many more tasks of the need a node takes: what all filters allow, with as few questions as possible. */
export function capacityFor(
  need: TaskRequirements,
  cluster: ClusterSnapshot,
): (node: NodeSnapshot, heldByService: number) => number {
  const filters = serviceFilters(need, cluster);
  return (view, held) => {
    let room = acceptsTasks(view) ? Number.POSITIVE_INFINITY : 0;
    for (const filter of filters) {
      if (room <= 0) return 0;
      room = Math.min(room, filter.capacity(view, held));
    }
    return room;
  };
}

function serviceFilters(need: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  return [
    ...eligibilityFilters(need),
    ...volumeFilters(need.volumes, cluster),
    ...portFilters(need),
    ...roomFilters(need),
    ...addressFilters(need.networks),
    ...partFilters(need.networks, cluster),
  ];
}

/** Asks whether tasks of the need belong on a node at all, whatever its state and load. */
export function eligibilityOf(need: TaskRequirements): (node: NodeSnapshot) => boolean {
  const filters = eligibilityFilters(need);
  return (node) => filters.every((filter) => filter.capacity(node, 0) > 0);
}

const isUp = ({ node }: NodeSnapshot): boolean => node.state === NodeState.READY;
const isNotDrained = ({ node }: NodeSnapshot): boolean => node.availability !== Availability.DRAIN;
const isNotPaused = ({ node }: NodeSnapshot): boolean => node.availability !== Availability.PAUSE;
const hasEngine = ({ node }: NodeSnapshot): boolean => node.description?.engineReady === true;

/** Whether a node takes tasks at all: what `STATE_FILTERS` ask one by one. */
export const acceptsTasks = (view: NodeSnapshot): boolean =>
  isUp(view) && isNotDrained(view) && isNotPaused(view) && hasEngine(view);

const STATE_FILTERS: readonly Filter[] = [
  test({
    name: "ready",
    passes: isUp,
    explain: (count) => nodesText(count, { one: "is down", many: "are down" }),
  }),
  test({
    name: "drained",
    passes: isNotDrained,
    explain: (count) => nodesText(count, { one: "is drained", many: "are drained" }),
  }),
  test({
    name: "paused",
    passes: isNotPaused,
    explain: (count) => nodesText(count, { one: "is paused", many: "are paused" }),
  }),
  test({
    name: "engine",
    passes: hasEngine,
    explain: (count) =>
      nodesText(count, { one: "cannot reach its Docker", many: "cannot reach their Docker" }),
  }),
];

function eligibilityFilters({ platform, constraints: tests, networks }: TaskRequirements): readonly Filter[] {
  const constraints = tests.map((constraint) =>
    test({
      name: "constraint",
      passes: ({ node }) => constraint.meets(node),
      explain: (count) => {
        const words = `${nodesText(count, { one: "does", many: "do" })} not meet ${constraint.text}`;
        return constraint.impossible === undefined ? words : `${words} (${constraint.impossible})`;
      },
    }),
  );
  const platforms = platform === "" ? [] : [platformFilter(platform)];
  return [...platforms, ...networkFilters(networks).map(test), ...constraints];
}

function platformFilter(platform: string): Filter {
  const [os = "", architecture = ""] = platform.toLowerCase().split("/");
  return test({
    name: "platform",
    passes: ({ node }) =>
      node.description?.os === os &&
      (architecture === "" ||
        architectureName(node.description.architecture) === architectureName(architecture)),
    explain: (count) => `${nodesText(count, { one: "is", many: "are" })} not ${platform}`,
  });
}

/** A filter that says yes or no. */
export interface NodeFilter {
  readonly name: string;
  readonly passes: (node: NodeSnapshot) => boolean;
  readonly explain: (count: number) => string;
}

function test(filter: NodeFilter): Filter {
  return {
    name: filter.name,
    capacity: (node) => (filter.passes(node) ? Number.POSITIVE_INFINITY : 0),
    explain: filter.explain,
  };
}

/** Tasks go where all of the networks can be that they need: a container without one of them would not be reached. */
export function networkFilters(joined: readonly NetworkAttachment[]): readonly NodeFilter[] {
  const networks = joined.filter(({ optional }) => !optional);
  if (networks.length === 0) return [];
  const overlay: NodeFilter = {
    name: "network",
    passes: ({ node }) => overlayProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} have networks that span hosts (berth node inspect says why)`,
  };
  if (!networks.some(({ encrypted }) => encrypted)) return [overlay];
  const encryption: NodeFilter = {
    name: "encrypted-network",
    passes: ({ node }) => encryptionProblem(node) === undefined,
    explain: (count) =>
      `${nodesText(count, { one: "cannot", many: "cannot" })} encrypt networks (berth node inspect says why)`,
  };
  return [overlay, encryption];
}

/** A host gives out only so many addresses in each network. One that has no part of it gives out none, and lacks none. */
export function addressFilters(joined: readonly NetworkAttachment[]): readonly Filter[] {
  return joined.flatMap((attachment): readonly Filter[] => {
    const { network, addressesPerHost: room } = attachment;
    if (room === 0) return [];
    return [
      {
        name: "network-room",
        capacity: ({ node, reserved }) =>
          canJoin(node, attachment)
            ? Math.max(0, room - (reserved.networks.get(network) ?? 0))
            : Number.POSITIVE_INFINITY,
        explain: (count) =>
          `${nodesText(count, { one: "has", many: "have" })} no address left in network ${network} (${room} each)`,
      },
    ];
  });
}

/** A network has parts for only so many hosts. What can do without it is not kept from a host that has none. */
export function partFilters(
  joined: readonly NetworkAttachment[],
  { parts }: ClusterSnapshot,
): readonly Filter[] {
  return joined.flatMap(({ network, optional }): readonly Filter[] => {
    if (optional) return [];
    return [
      {
        name: "network-part",
        capacity: ({ node }) => (parts.hasPartFor(node.id, network) ? Number.POSITIVE_INFINITY : 0),
        explain: (count) =>
          `${nodesText(count, { one: "has", many: "have" })} no part of network ${network}, whose parts are all taken: give it a larger subnet`,
      },
      ...overlapFilters(network, parts.subnetOf(network)),
    ];
  });
}

/** A host that is in a subnet which overlaps the network's would look for its neighbours among containers. */
function overlapFilters(network: string, subnet: Subnet | undefined): readonly Filter[] {
  if (subnet === undefined) return [];
  return [
    {
      name: "network-overlap",
      capacity: ({ node }) => (overlapProblem(node, subnet) === undefined ? Number.POSITIVE_INFINITY : 0),
      explain: (count) =>
        `${nodesText(count, { one: "is", many: "are" })} in subnets that overlap network ${network} (${subnetText(subnet)}): give it another subnet`,
    },
  ];
}

/** Two tasks with one host port never share a node, and neither do a task and some other program that listens there. */
export function portFilters({ resources: demand }: TaskRequirements): readonly Filter[] {
  return demand.hostPorts.flatMap((port) => [
    portFilter(port, { takenBy: "another task", keys: ({ hostPorts }) => hostPorts }),
    portFilter(port, { takenBy: "another program", keys: listenerKeys }),
  ]);
}

function portFilter(
  port: string,
  taken: { readonly takenBy: string; readonly keys: (node: NodeSnapshot) => Iterable<string> },
): Filter {
  const [protocol = "", address = "", number = ""] = port.split("/");
  const name = `${address === "" ? "" : `${address}:`}${number}/${protocol}`;
  return {
    name: "host-port",
    capacity: (node) => {
      for (const key of taken.keys(node)) {
        if (portsClash(port, key)) return 0;
      }
      return 1;
    },
    explain: (count) =>
      `port ${name} is taken by ${taken.takenBy} on ${nodesText(count, { one: "", many: "" }).trim()}`,
  };
}

const listenerKeys = ({ node }: NodeSnapshot): readonly string[] =>
  (node.description?.listeners ?? []).map(listenerKey);

/** How many tasks of the need still fit: each of these filters gives a number rather than yes or no. */
export function roomFilters({ resources: demand, maxPerNode }: TaskRequirements): readonly Filter[] {
  const { nanoCpus, memoryBytes, pids, generic } = demand;
  return [
    ...(maxPerNode === Number.POSITIVE_INFINITY ? [] : [limitFilter(maxPerNode)]),
    ...(nanoCpus > 0 ? [cpuFilter(nanoCpus)] : []),
    ...(memoryBytes > 0 ? [memoryFilter(memoryBytes)] : []),
    ...(pids > 0 ? [pidsFilter(pids)] : []),
    ...Array.from(generic, ([kind, each]) => genericFilter(kind, each)),
  ];
}

function limitFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    capacity: (_node, held) => Math.max(0, maxPerNode - held),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

const cpuFilter = (each: number): Filter => ({
  name: "cpu",
  capacity: ({ node, reserved }) => fitting((node.description?.nanoCpus ?? 0) - reserved.nanoCpus, each),
  explain: (count) => lacks(count, cpusText(each)),
});

const memoryFilter = (each: number): Filter => ({
  name: "memory",
  capacity: ({ node, reserved }) =>
    fitting((node.description?.memoryBytes ?? 0) - reserved.memoryBytes, each),
  explain: (count) => lacks(count, `${bytesText(each)} of memory`),
});

const pidsFilter = (each: number): Filter => ({
  name: "pids",
  capacity: (view) => fitting(freePids(view), each),
  explain: (count) => lacks(count, each === 1 ? "room for 1 process" : `room for ${each} processes`),
});

const genericFilter = (kind: string, each: number): Filter => ({
  name: "generic",
  capacity: ({ node, reserved }) =>
    fitting((node.description?.generic[kind] ?? 0) - (reserved.generic.get(kind) ?? 0), each),
  explain: (count) => lacks(count, `${each} ${kind}`),
});

/** A host that names no limit of processes has room for any number. */
function freePids({ node, reserved }: NodeSnapshot): number {
  const capacity = node.description?.pids ?? 0;
  return capacity === 0 ? Number.POSITIVE_INFINITY : capacity - reserved.pids;
}

const fitting = (free: number, each: number): number => Math.max(0, Math.floor(free / each));

const lacks = (count: number, what: string): string =>
  `${nodesText(count, { one: "lacks", many: "lack" })} ${what}`;

/** A reason names so many hosts and counts the others. */
const MAX_NAMED_HOSTS = 3;

/**
 * Volumes of a service that exist on the host where they were made and nowhere else. One whose name is different for
 * each task cannot be looked up; a global service has its own on every node.
 */
export function stickyVolumes(spec: ServiceSpec): readonly string[] {
  if (spec.mode?.$case === "global" || spec.mode?.$case === "globalJob") return [];
  if (spec.placement?.volumes === VolumePolicy.ANY) return [];
  const names = (spec.task?.container?.mounts ?? []).flatMap(({ kind }) => {
    if (kind?.$case !== "volume") return [];
    const { name, driver } = kind.value;
    const isLocal = driver === "" || driver === "local";
    return isLocal && name !== "" && !name.includes("{{") ? [name] : [];
  });
  return [...new Set(names)];
}

/** Tasks go where their volume is, be that node up or not; a volume that no node has yet may begin anywhere. */
export function volumeFilters(volumes: readonly string[], cluster: ClusterSnapshot): readonly Filter[] {
  return volumes.flatMap((volume) => {
    const homes = nodesWith(volume, cluster);
    return homes.length === 0 ? [] : [volumeFilter(volume, homes)];
  });
}

function nodesWith(volume: string, { nodes }: ClusterSnapshot): readonly Node[] {
  const homes: Node[] = [];
  for (const { node } of nodes.values()) {
    if (node.description?.volumes.includes(volume)) homes.push(node);
  }
  return homes.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function volumeFilter(volume: string, homes: readonly Node[]): Filter {
  const ids = new Set(homes.map(({ id }) => id));
  return {
    name: "volume",
    capacity: ({ node }) => (ids.has(node.id) ? Number.POSITIVE_INFINITY : 0),
    explain: (count) =>
      `${nodesText(count, { one: "does", many: "do" })} not have volume ${volume}, which is on ${homesText(homes)}`,
  };
}

function homesText(homes: readonly Node[]): string {
  const named = homes.slice(0, MAX_NAMED_HOSTS).map(homeText);
  const others = homes.length - named.length;
  return others === 0 ? named.join(" and ") : `${named.join(", ")} and ${others} more`;
}

function homeText(node: Node): string {
  const name = node.description?.hostname || node.id;
  if (node.state !== NodeState.READY) return `${name} (down)`;
  if (node.availability === Availability.DRAIN) return `${name} (drained)`;
  return node.availability === Availability.PAUSE ? `${name} (paused)` : name;
}
