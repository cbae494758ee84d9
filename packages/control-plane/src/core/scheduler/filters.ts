import { Availability, GPU_CAPABILITY, NodeState } from "@berth/proto";
import { agentProtocol } from "../model/required-protocol.js";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import { nodesText } from "../model/text.js";
import { type Filter, passFilter } from "./filter.js";
import { hostAddressFilter } from "./host-address-filters.js";
import { addressFilters, networkFilters, rangeFilters } from "./network-filters.js";
import { architectureName } from "./node-attribute.js";
import type { NodeConstraint } from "./node-constraint.js";
import type { TaskRequirements } from "./requirements.js";
import { portFilters, resourceFilters } from "./resource-filters.js";
import { volumeFilters } from "./volume-filters.js";

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
export function eligibilityFilters(requirements: TaskRequirements): readonly Filter[] {
  const { platform, addresses, gpus, constraints, networks, protocol } = requirements;
  return [
    ...(protocol === 1 ? [] : [protocolFilter(protocol)]),
    ...(platform === "" ? [] : [platformFilter(platform)]),
    ...addresses.map(hostAddressFilter),
    ...(gpus === 0 ? [] : [gpuFilter(gpus)]),
    ...networkFilters(networks),
    ...constraints.map(constraintFilter),
  ];
}

// Node state

function isUp({ node }: NodeSnapshot): boolean {
  return node.state === NodeState.READY;
}

function isNotDrained({ node }: NodeSnapshot): boolean {
  return node.availability !== Availability.DRAIN;
}

function isNotPaused({ node }: NodeSnapshot): boolean {
  return node.availability !== Availability.PAUSE;
}

function hasEngine({ node }: NodeSnapshot): boolean {
  return node.description?.engineReady === true;
}

/** Returns whether a node accepts tasks of any service. Equals all of `STATE_FILTERS`. */
export function acceptsTasks(snapshot: NodeSnapshot): boolean {
  return isUp(snapshot) && isNotDrained(snapshot) && isNotPaused(snapshot) && hasEngine(snapshot);
}

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

// Release, platform, GPUs and constraints

function protocolFilter(protocol: number): Filter {
  return passFilter({
    name: "release",
    passes: ({ node }) => agentProtocol(node.description) >= protocol,
    explain: (count) =>
      `${nodesText(count, { one: "has", many: "have" })} an agent of an older release that does not support a part of the spec (upgrade it)`,
  });
}

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

function gpuFilter(gpus: number): Filter {
  return passFilter({
    name: "gpu",
    passes: ({ node }) => (node.description?.generic[GPU_CAPABILITY] ?? 0) >= gpus,
    explain: (count) => {
      const shortage = gpus === 1 ? "no GPU" : `fewer than ${gpus} GPUs`;
      return `${nodesText(count, { one: "has", many: "have" })} ${shortage} (if the agent does not detect them, declare them with berth agent --resource gpu=COUNT)`;
    },
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
