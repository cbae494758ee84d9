import type { AssignedNetwork, AssignedTask } from "@berth/proto";

/** The label of a container that berth manages. Containers without it are never touched. */
export const TASK_LABEL = "berth.task.id";

/** Proves that this agent created the container. Labels alone prove nothing: an image can carry any label. */
export const OWNER_LABEL = "berth.owner";

/** Swarm's label for a stack. Tools that group containers by this label also work with berth. */
const STACK_NAMESPACE_LABEL = "com.docker.stack.namespace";

/** Marks an at-most-one container, so that a restarted agent can stop it even without contact to the leader. */
export const AT_MOST_ONE_LABEL = "berth.at-most-one";

/** The container's named resources, as `KIND=NAME,…`. A restarted agent does not assign them to another container. */
export const RESOURCES_LABEL = "berth.resources";

/** Returns the labels of a task's container. A restarted agent recognizes the container by them. */
export function taskLabels(task: AssignedTask): Record<string, string> {
  return {
    [TASK_LABEL]: task.id,
    "berth.service.id": task.serviceId,
    "berth.service.name": task.serviceName,
    "berth.slot": String(task.slot),
    "berth.spec.version": String(task.specVersion),
    ...(task.atMostOne ? { [AT_MOST_ONE_LABEL]: "true" } : {}),
    ...(task.stack === "" ? {} : { "berth.stack": task.stack, [STACK_NAMESPACE_LABEL]: task.stack }),
  };
}

/** Parses the label with the named resources of a container. */
export function parseResources(label: string | undefined): readonly string[] {
  return (label ?? "").split(",").filter((resource) => resource !== "");
}

/** Returns the label with a container's named resources; no label for a container without any. */
export function resourceLabels(resources: readonly string[]): Record<string, string> {
  return resources.length === 0 ? {} : { [RESOURCES_LABEL]: resources.join(",") };
}

/** The label of a Docker network that berth manages. Networks without it are never touched. */
export const NETWORK_LABEL = "berth.network.id";

/** The configuration of a network. A network whose configuration differs has to be recreated. */
export const NETWORK_CONFIG_LABEL = "berth.network.config";

/** The network's MTU in bytes, for its containers and its tunnel. */
export const NETWORK_MTU_LABEL = "berth.network.mtu";

/** Returns the labels of this host's part of a network. */
export function networkLabels(
  { id, spec }: AssignedNetwork,
  { config, mtu }: { config: string; mtu: number },
): Record<string, string> {
  const stack = spec?.stack ?? "";
  return {
    [NETWORK_LABEL]: id,
    [NETWORK_CONFIG_LABEL]: config,
    [NETWORK_MTU_LABEL]: String(mtu),
    ...(stack === "" ? {} : { "berth.stack": stack, [STACK_NAMESPACE_LABEL]: stack }),
  };
}
