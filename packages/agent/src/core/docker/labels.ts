import type { AssignedNetwork, AssignedTask } from "@berth/proto";

/** The label that makes a container ours. Containers without it are never touched. */
export const TASK_LABEL = "berth.task.id";

/** Swarm's own label for a stack: tools that group containers by it work on berth's, too. */
const STACK_NAMESPACE_LABEL = "com.docker.stack.namespace";

/** Says of a container that its host stops it when the leader is out of reach, whoever has forgotten what it is. */
export const AT_MOST_ONE_LABEL = "berth.at-most-one";

/** What a task's container says of itself. Enough to adopt it after a restart of the agent. */
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

/** The label that makes a Docker network ours. Networks without it are never touched. */
export const NETWORK_LABEL = "berth.network.id";

/** What a network was made from: one that differs from what is wanted has to be made anew. */
export const NETWORK_CONFIG_LABEL = "berth.network.config";

/** Bytes that a packet may have in it, for its containers and its tunnel alike. */
export const NETWORK_MTU_LABEL = "berth.network.mtu";

/** What this host's part of a network says of itself. */
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
