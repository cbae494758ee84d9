import { DesiredState, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { staticAddressIn } from "../core/allocator/static-addresses.js";
import { portConflicts } from "../core/endpoints/published-ports.js";
import type { Action, Plan } from "../core/model/plan.js";
import { taskAfter } from "../core/model/plan.js";
import { pauseRollout } from "../core/model/rollout.js";
import { stateOf } from "../core/model/task-state.js";
import { findAddressHolder } from "../state/address-holder.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { rangeChanges } from "./networks/range-changes.js";
import { virtualIpReleases } from "./networks/virtual-ip-changes.js";

/** Returns the changes that a plan makes, in its order. Ranges of networks that its tasks need on their nodes come first. */
export function planChanges(plan: Plan, state: ClusterState, now: number): readonly Change[] {
  const ranges = rangeChanges(plan.actions, state);
  const changes = plan.actions.flatMap((action) => {
    const { refused } = ranges;
    const allowed = refused.size === 0 ? action : withoutNode(action, refused);
    return allowed === undefined ? [] : actionChanges(allowed, state, now);
  });
  return ranges.changes.length === 0 ? changes : [...ranges.changes, ...changes];
}

/** Makes a task wait when its network has no range left for its node. Undefined when the task already waits. */
function withoutNode(action: Action, refused: ReadonlyMap<string, string>): Action | undefined {
  if (action.kind !== "create-task" && action.kind !== "assign-task") return action;
  const message = refused.get(action.task.id);
  if (message === undefined) return action;
  if (action.kind === "assign-task") {
    const isKnown = action.task.status?.message === message;
    return isKnown ? undefined : { kind: "update-message", task: action.task, message };
  }
  const { status } = action.task;
  const waiting = {
    ...action.task,
    nodeId: "",
    ...(status && { status: { ...status, state: TaskState.NEW, message } }),
  };
  return { kind: "create-task", task: waiting };
}

/** Returns the changes that remove tasks without a service, which exist only after a manual edit of etcd. */
export function orphanChanges(tasks: Iterable<Task>, state: ClusterState): readonly Change[] {
  return [...tasks].flatMap((task): Change[] => {
    const canReport = state.nodes.get(task.nodeId) !== undefined && stateOf(task) !== TaskState.LOST;
    if (!canReport) return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
    if (task.desiredState === DesiredState.REMOVE) return [];
    return [{ kind: "put-task", task: { ...task, desiredState: DesiredState.REMOVE } }];
  });
}

function actionChanges(action: Action, state: ClusterState, now: number): readonly Change[] {
  switch (action.kind) {
    case "remove-service":
      return serviceRemoval(action.serviceId, state, now);
    case "update-service":
      return [{ kind: "put-service", service: action.service }];
    case "roll-back-service":
      return rollbackChanges(action, state, now);
    case "delete-task":
      return [{ kind: "delete-task", serviceId: action.task.serviceId, taskId: action.task.id }];
    default: {
      const task = taskAfter(action, now);
      return task === undefined ? [] : [{ kind: "put-task", task }];
    }
  }
}

/** The service's record is deleted last, so that an interrupted removal is continued. */
function serviceRemoval(serviceId: string, state: ClusterState, now: number): readonly Change[] {
  const changes: Change[] = [...virtualIpReleases(serviceId, state, now)];
  for (const version of state.services.versionsOf(serviceId).keys()) {
    changes.push({ kind: "delete-revision", serviceId, version });
  }
  const name = state.services.get(serviceId)?.spec?.name;
  if (name !== undefined && state.serviceIdOf(name) === serviceId)
    changes.push({ kind: "delete-name", name });
  return [...changes, { kind: "delete-service", serviceId }];
}

/**
 * Returns the changes of an automatic rollback: the restored spec, and then the service that refers to it. When
 * another service has taken a port or an address of that spec, or a network of it is gone, the rollout pauses instead.
 */
export function rollbackChanges(
  { service, failure }: Pick<Extract<Action, { kind: "roll-back-service" }>, "service" | "failure">,
  state: ClusterState,
  now: number,
): readonly Change[] {
  const { id: serviceId, version, spec } = service;
  const update: Change = { kind: "put-service", service };
  if (spec === undefined) return [update];
  const obstacle = takenPort(serviceId, spec, state) ?? networkObstacle(serviceId, spec, state);
  const known = state.services.get(serviceId);
  if (obstacle === undefined || known?.rollout === undefined) {
    return [{ kind: "put-revision", serviceId, version, spec }, update];
  }
  const cause = `${failure} and version ${known.healthyVersion} cannot be restored: ${obstacle}`;
  return [{ kind: "put-service", service: { ...known, rollout: pauseRollout(known.rollout, cause, now) } }];
}

function networkObstacle(serviceId: string, { task }: ServiceSpec, state: ClusterState): string | undefined {
  const { networks, services } = state;
  for (const { network, ipv4Address } of task?.networks ?? []) {
    if (networks.byName(network)?.removing !== false) return `network ${network} is gone`;
    if (ipv4Address === "") continue;
    for (const { id, spec } of services.ofNetwork(network).values()) {
      const isTaken =
        id !== serviceId && spec !== undefined && staticAddressIn(spec, network) === ipv4Address;
      if (isTaken) return `service ${spec.name} has its address ${ipv4Address} in network ${network}`;
    }
    const holder = findAddressHolder({ serviceId, network, address: ipv4Address }, state);
    if (holder !== undefined)
      return `task ${holder.serviceName}.${holder.slot} still has its address ${ipv4Address} in network ${network}`;
  }
  return undefined;
}

function takenPort(serviceId: string, spec: ServiceSpec, state: ClusterState): string | undefined {
  const { ports } = state.services;
  const claimsOn: Parameters<typeof portConflicts>[1]["claimsOn"] = (protocol, published) =>
    ports.claimsOn(protocol, published);
  return portConflicts(spec, { serviceId, claimsOn })[0]?.message;
}
