import {
  canonicalAttribute,
  gpusNeeded,
  type NetworkAttachment,
  type ServiceSpec,
  VolumePolicy,
} from "@berth/proto";
import { requiredProtocol } from "../model/required-protocol.js";
import { requiredAddresses } from "./host-address-filters.js";
import { type NodeConstraint, parseNodeConstraint } from "./node-constraint.js";
import { getResourceRequest, type ResourceRequest, sumRequests } from "./resource-request.js";

/** The requirements that a node has to meet to run the tasks of a service version. */
export interface TaskRequirements {
  readonly resources: ResourceRequest;
  readonly constraints: readonly NodeConstraint[];
  /** `<os>/<architecture>`. Empty if any platform is accepted. */
  readonly platform: string;
  /** Addresses that the node must have, for the ports that are bound to them. */
  readonly addresses: readonly string[];
  /** Number of GPUs that the node must have. They are not reserved: as in Docker, several tasks can use one. */
  readonly gpus: number;
  /** Infinity when there is no limit. */
  readonly maxPerNode: number;
  /** Attributes over whose values the tasks are spread, most important first. */
  readonly spread: readonly string[];
  /** Names of sticky volumes: tasks go to the nodes that have them, once any node has. */
  readonly volumes: readonly string[];
  readonly networks: readonly NetworkAttachment[];
  /** Version of the protocol that the agent must speak: agents of older releases would ignore a part of the spec. */
  readonly protocol: number;
}

/** Requirements by spec. Specs are immutable, so their constraints are parsed only once. */
const requirementsBySpec = new WeakMap<ServiceSpec, TaskRequirements>();

/** Returns the requirements of a spec (cached). */
export function getRequirements(spec: ServiceSpec): TaskRequirements {
  const cached = requirementsBySpec.get(spec);
  if (cached !== undefined) return cached;
  const requirements = parseRequirements(spec);
  requirementsBySpec.set(spec, requirements);
  return requirements;
}

/**
 * Returns the requirements of a task and of the tasks that run beside it. Without companions, they are those of the task.
 *
 * A companion that is already on the node counts twice. That may reject a node which is nearly full.
 */
export function withCompanions(
  requirements: TaskRequirements,
  companions: readonly ServiceSpec[] = [],
): TaskRequirements {
  if (companions.length === 0) return requirements;
  const all = [requirements, ...companions.map(getRequirements)];
  return {
    ...requirements,
    resources: all.map(({ resources }) => resources).reduce(sumRequests),
    constraints: all.flatMap(({ constraints }) => constraints),
    gpus: Math.max(...all.map(({ gpus }) => gpus)),
    platform: all.find(({ platform }) => platform !== "")?.platform ?? "",
    addresses: [...new Set(all.flatMap(({ addresses }) => addresses))],
    volumes: [...new Set(all.flatMap(({ volumes }) => volumes))],
    networks: all.flatMap(({ networks }) => networks),
    protocol: Math.max(...all.map(({ protocol }) => protocol)),
  };
}

function parseRequirements(spec: ServiceSpec): TaskRequirements {
  const isGlobal = spec.mode?.$case === "global";
  const max = spec.placement?.maxReplicasPerNode ?? 0;
  return {
    resources: getResourceRequest(spec),
    constraints: (spec.placement?.constraints ?? []).map(parseNodeConstraint),
    platform: spec.task?.container?.platform ?? "",
    addresses: requiredAddresses(spec),
    gpus: Math.max(0, ...(spec.task?.container?.deviceRequests ?? []).map(gpusNeeded)),
    maxPerNode: max === 0 || isGlobal ? Number.POSITIVE_INFINITY : max,
    spread: (spec.placement?.spread ?? []).map(canonicalAttribute),
    volumes: stickyVolumes(spec),
    networks: spec.task?.networks ?? [],
    protocol: requiredProtocol(spec),
  };
}

/**
 * Returns the volumes whose data exists only on the nodes that created them.
 *
 * A volume with a per-task name (a template) cannot be looked up. A global service has its own volume on every node.
 */
function stickyVolumes(spec: ServiceSpec): readonly string[] {
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
