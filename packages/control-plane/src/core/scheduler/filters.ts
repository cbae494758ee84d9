import {
  Availability,
  canonicalAttribute,
  type NetworkAttachment,
  NodeState,
  type ServiceSpec,
} from "@berth/proto";
import type { ClusterView, NodeView } from "../model.js";
import { nodesText } from "../words.js";
import { type NodeConstraint, parseNodeConstraint } from "./constraint.js";
import { addressFilters, networkFilters, partFilters } from "./network-filters.js";
import { architectureName } from "./node-attribute.js";
import { type ResourceRequest, resourceRequestOf } from "./occupancy.js";
import { portFilters } from "./port-filters.js";
import { roomFilters } from "./room-filters.js";
import { stickyVolumes, volumeFilters } from "./sticky-volumes.js";

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
  readonly capacity: (node: NodeView, heldByService: number) => number;
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
export function filtersFor(need: TaskRequirements, cluster: ClusterView): readonly Filter[] {
  return [...STATE_FILTERS, ...serviceFilters(need, cluster)];
}

/** Says how many more tasks of the need a node takes: what all filters allow, with as few questions as possible. */
export function capacityFor(
  need: TaskRequirements,
  cluster: ClusterView,
): (node: NodeView, heldByService: number) => number {
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

function serviceFilters(need: TaskRequirements, cluster: ClusterView): readonly Filter[] {
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
export function eligibilityOf(need: TaskRequirements): (node: NodeView) => boolean {
  const filters = eligibilityFilters(need);
  return (node) => filters.every((filter) => filter.capacity(node, 0) > 0);
}

const isUp = ({ node }: NodeView): boolean => node.state === NodeState.READY;
const isNotDrained = ({ node }: NodeView): boolean => node.availability !== Availability.DRAIN;
const isNotPaused = ({ node }: NodeView): boolean => node.availability !== Availability.PAUSE;
const hasEngine = ({ node }: NodeView): boolean => node.description?.engineReady === true;

/** Whether a node takes tasks at all: what `STATE_FILTERS` ask one by one. */
export const acceptsTasks = (view: NodeView): boolean =>
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
  readonly passes: (node: NodeView) => boolean;
  readonly explain: (count: number) => string;
}

function test(filter: NodeFilter): Filter {
  return {
    name: filter.name,
    capacity: (node) => (filter.passes(node) ? Number.POSITIVE_INFINITY : 0),
    explain: filter.explain,
  };
}
