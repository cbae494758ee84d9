import { Availability, canonicalAttribute, NodeState, type ServiceSpec } from "@berth/proto";
import { type NodeTest, nodeTest } from "./constraint.js";
import type { ClusterView, NodeView } from "./model.js";
import { architectureName } from "./node-attribute.js";
import { type Demand, demandOf } from "./occupancy.js";
import { portFilters } from "./port-filters.js";
import { roomFilters } from "./room-filters.js";
import { stickyVolumes, volumeFilters } from "./sticky-volumes.js";
import { nodesText } from "./words.js";

/** What every new task of one service version asks of a node. */
export interface Need {
  readonly demand: Demand;
  readonly tests: readonly NodeTest[];
  /** "os/architecture"; empty: any. */
  readonly platform: string;
  /** Infinity: no limit. */
  readonly maxPerNode: number;
  /** Attributes over whose values tasks are spread, the most important one first. */
  readonly spread: readonly string[];
  /** Names of volumes that tasks must find on their node, once they exist anywhere. */
  readonly volumes: readonly string[];
}

export interface Filter {
  readonly name: string;
  /** How many more tasks of this need the node takes, as far as this filter goes: 0, some, or Infinity. */
  readonly room: (node: NodeView, heldByService: number) => number;
  /** What keeps `count` nodes out, for a person. */
  readonly explain: (count: number) => string;
}

export function needOf(spec: ServiceSpec): Need {
  const isGlobal = spec.mode?.$case === "global";
  const max = spec.placement?.maxReplicasPerNode ?? 0;
  return {
    demand: demandOf(spec),
    tests: (spec.placement?.constraints ?? []).map(nodeTest),
    platform: spec.task?.container?.platform ?? "",
    maxPerNode: max === 0 || isGlobal ? Number.POSITIVE_INFINITY : max,
    spread: (spec.placement?.spread ?? []).map(canonicalAttribute),
    volumes: stickyVolumes(spec),
  };
}

/** In the order in which they are asked and explained: what the user can change fastest comes first. */
export function filtersFor(need: Need, cluster: ClusterView): readonly Filter[] {
  return [
    ...STATE_FILTERS,
    ...eligibilityFilters(need),
    ...volumeFilters(need.volumes, cluster),
    ...portFilters(need),
    ...roomFilters(need),
  ];
}

/** Asks whether tasks of the need belong on a node at all, whatever its state and load. */
export function eligibilityOf(need: Need): (node: NodeView) => boolean {
  const filters = eligibilityFilters(need);
  return (node) => filters.every((filter) => filter.room(node, 0) > 0);
}

const STATE_FILTERS: readonly Filter[] = [
  test({
    name: "ready",
    passes: ({ node }) => node.state === NodeState.READY,
    explain: (count) => nodesText(count, { one: "is down", many: "are down" }),
  }),
  test({
    name: "agent",
    passes: ({ node }) => !node.agentAway,
    explain: (count) =>
      nodesText(count, { one: "has an agent that does not answer", many: "have agents that do not answer" }),
  }),
  test({
    name: "drained",
    passes: ({ node }) => node.availability !== Availability.DRAIN,
    explain: (count) => nodesText(count, { one: "is drained", many: "are drained" }),
  }),
  test({
    name: "paused",
    passes: ({ node }) => node.availability !== Availability.PAUSE,
    explain: (count) => nodesText(count, { one: "is paused", many: "are paused" }),
  }),
  test({
    name: "engine",
    passes: ({ node }) => node.description?.engineReady === true,
    explain: (count) =>
      nodesText(count, { one: "cannot reach its Docker", many: "cannot reach their Docker" }),
  }),
];

function eligibilityFilters({ platform, tests }: Need): readonly Filter[] {
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
  return platform === "" ? constraints : [platformFilter(platform), ...constraints];
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

function test(filter: {
  readonly name: string;
  readonly passes: (node: NodeView) => boolean;
  readonly explain: (count: number) => string;
}): Filter {
  return {
    name: filter.name,
    room: (node) => (filter.passes(node) ? Number.POSITIVE_INFINITY : 0),
    explain: filter.explain,
  };
}
