import { Availability, NodeState, type ServiceSpec } from "@berth/proto";
import { type NodeTest, nodeTest } from "./constraint.js";
import type { NodeView } from "./model.js";
import { architectureName } from "./node-attribute.js";
import { type Demand, demandOf, portsClash } from "./occupancy.js";
import { bytesText, cpusText, nodesText } from "./words.js";

/** What every new task of one service version asks of a node. */
export interface Need {
  readonly demand: Demand;
  readonly tests: readonly NodeTest[];
  /** "os/architecture"; empty: any. */
  readonly platform: string;
  /** Infinity: no limit. */
  readonly maxPerNode: number;
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
  };
}

/** In the order in which they are asked and explained: what the user can change fastest comes first. */
export function filtersFor(need: Need): readonly Filter[] {
  return [...STATE_FILTERS, ...eligibilityFilters(need), ...roomFilters(need)];
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

function roomFilters({ demand, maxPerNode }: Need): readonly Filter[] {
  const filters: Filter[] = [];
  if (demand.hostPorts.length > 0) filters.push(hostPortFilter(demand.hostPorts));
  if (maxPerNode !== Number.POSITIVE_INFINITY) filters.push(limitFilter(maxPerNode));
  if (demand.nanoCpus > 0) {
    filters.push({
      name: "cpu",
      room: ({ node, reserved }) =>
        fitting((node.description?.nanoCpus ?? 0) - reserved.nanoCpus, demand.nanoCpus),
      explain: (count) => `${nodesText(count, { one: "lacks", many: "lack" })} ${cpusText(demand.nanoCpus)}`,
    });
  }
  if (demand.memoryBytes > 0) {
    filters.push({
      name: "memory",
      room: ({ node, reserved }) =>
        fitting((node.description?.memoryBytes ?? 0) - reserved.memoryBytes, demand.memoryBytes),
      explain: (count) =>
        `${nodesText(count, { one: "lacks", many: "lack" })} ${bytesText(demand.memoryBytes)} of memory`,
    });
  }
  return filters;
}

/** Two tasks with one host port never share a node, so there is room for one at most. */
function hostPortFilter(ports: readonly string[]): Filter {
  const names = ports.map((key) => key.split("/").filter(Boolean).join(" ")).join(", ");
  return {
    name: "host-ports",
    room: ({ hostPorts }) => {
      for (const taken of hostPorts) {
        if (ports.some((port) => portsClash(port, taken))) return 0;
      }
      return 1;
    },
    explain: (count) => `${nodesText(count, { one: "has", many: "have" })} no free host port for ${names}`,
  };
}

function limitFilter(maxPerNode: number): Filter {
  const tasks = maxPerNode === 1 ? "1 task" : `${maxPerNode} tasks`;
  return {
    name: "max-replicas",
    room: (_node, held) => Math.max(0, maxPerNode - held),
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} the ${tasks} of the service allowed per node`,
  };
}

const fitting = (free: number, each: number): number => Math.max(0, Math.floor(free / each));

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
