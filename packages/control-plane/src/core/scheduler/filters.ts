import { Availability, type Node, NodeState } from "@berth/proto";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import { bytesText, cpusText, nodesText } from "../model/text.js";
import { type Filter, passFilter } from "./filter.js";
import { addressFilters, networkFilters, rangeFilters } from "./network-filters.js";
import { architectureName } from "./node-attribute.js";
import type { NodeConstraint } from "./node-constraint.js";
import type { TaskRequirements } from "./requirements.js";
import { listenerKey, portsClash } from "./resource-request.js";

/** Returns all filters in the order of evaluation and explanation: causes that are quick to fix come first. */
export function filtersFor(requirements: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  return [...STATE_FILTERS, ...serviceFilters(requirements, cluster)];
}

/** Returns the filters that depend on the requirements or on the resources of the node. */
export function serviceFilters(requirements: TaskRequirements, cluster: ClusterSnapshot): readonly Filter[] {
  const { networks } = requirements;
  return [
    ...eligibilityFilters(requirements),
    ...volumeFilters(requirements.volumes, cluster),
    ...portFilters(requirements),
    ...resourceFilters(requirements),
    ...networks.flatMap(addressFilters),
    ...networks.flatMap((network) => rangeFilters(network, cluster)),
  ];
}

/** Returns the filters that depend neither on the state nor on the load of the node. */
export function eligibilityFilters({ platform, constraints, networks }: TaskRequirements): readonly Filter[] {
  return [
    ...(platform === "" ? [] : [platformFilter(platform)]),
    ...networkFilters(networks),
    ...constraints.map(constraintFilter),
  ];
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

/** Number of nodes that a reason names. It counts the remaining nodes. */
const MAX_NAMED_NODES = 3;

/** Keeps tasks on the nodes that have their volumes, even if these nodes are down. Skips volumes that no node has. */
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

/** Returns the number of further processes that fit on a node. Infinity when the node reports no limit. */
function freePids({ node, reserved }: NodeSnapshot): number {
  const limit = node.description?.pids ?? 0;
  return limit === 0 ? Number.POSITIVE_INFINITY : limit - reserved.pids;
}

/** Returns how many tasks fit into the free amount of a resource. */
const countFitting = (free: number, perTask: number): number => Math.max(0, Math.floor(free / perTask));

const lacksText = (count: number, resource: string): string =>
  `${nodesText(count, { one: "lacks", many: "lack" })} ${resource}`;
