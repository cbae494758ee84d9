import { DesiredState, type Service, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { staticAddressIn } from "../core/allocator/static-addresses.js";
import { portConflicts } from "../core/endpoints/published-ports.js";
import { describeFile, fileMounts } from "../core/files/file-mounts.js";
import { type Action, type Plan, taskAfter } from "../core/model/plan.js";
import { pauseRollout } from "../core/model/rollout.js";
import { stateOf } from "../core/model/task-state.js";
import { findAddressHolder, type StaticAddress } from "../state/address-holder.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { rangeChanges } from "./networks/range-changes.js";
import { virtualIpReleases } from "./networks/virtual-ip-changes.js";

/**
 * Returns the changes that the controller writes for a plan, in the plan's order. The network ranges that new tasks need
 * on their nodes come first.
 */
export function planChanges(plan: Plan, state: ClusterState, nowMs: number): readonly Change[] {
  const ranges = rangeChanges(plan.actions, state);
  const changes = plan.actions.flatMap((action) => {
    const { refused } = ranges;
    const allowed = refused.size === 0 ? action : withoutNode(action, refused);
    return allowed === undefined ? [] : actionChanges(allowed, state, nowMs);
  });
  return ranges.changes.length === 0 ? changes : [...ranges.changes, ...changes];
}

/**
 * Returns the action that makes a refused task wait for a node. Returns undefined if the task already waits, and the
 * action itself when its task was not refused.
 */
function withoutNode(action: Action, refused: ReadonlyMap<string, string>): Action | undefined {
  if (action.kind !== "create-task" && action.kind !== "assign-task") return action;
  const message = refused.get(action.task.id);
  if (message === undefined) return action;
  if (action.kind === "assign-task") {
    const alreadyWaits = action.task.status?.message === message;
    return alreadyWaits ? undefined : { kind: "set-pending-reason", task: action.task, message };
  }
  const { status } = action.task;
  const waiting = {
    ...action.task,
    nodeId: "",
    owners: [],
    status: status && { ...status, state: TaskState.NEW, message },
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

function actionChanges(action: Action, state: ClusterState, nowMs: number): readonly Change[] {
  switch (action.kind) {
    case "remove-service":
      return serviceRemoval(action.serviceId, state, nowMs);
    case "update-service":
      return [{ kind: "put-service", service: action.service }];
    case "restart-service":
      return restartChanges(action.service);
    case "roll-back-service":
      return rollbackChanges(action, state, nowMs);
    case "delete-task":
      return [{ kind: "delete-task", serviceId: action.task.serviceId, taskId: action.task.id }];
    default: {
      const task = taskAfter(action, nowMs);
      return task === undefined ? [] : [{ kind: "put-task", task }];
    }
  }
}

function restartChanges(service: Service): readonly Change[] {
  const { id: serviceId, version, spec } = service;
  const update: Change = { kind: "put-service", service };
  return spec === undefined ? [update] : [{ kind: "put-revision", serviceId, version, spec }, update];
}

/** Returns the changes that remove a service. Its own record is deleted last, so an interrupted removal is resumed. */
function serviceRemoval(serviceId: string, state: ClusterState, nowMs: number): readonly Change[] {
  const changes: Change[] = [...virtualIpReleases(serviceId, state, nowMs)];
  for (const version of state.services.versions.ofService(serviceId).keys()) {
    changes.push({ kind: "delete-revision", serviceId, version });
  }
  const name = state.services.get(serviceId)?.spec?.name;
  if (name !== undefined && state.serviceIdOf(name) === serviceId) {
    changes.push({ kind: "delete-name", name });
  }
  return [...changes, { kind: "delete-service", serviceId }];
}

/**
 * Returns the changes of an automatic rollback: the restored spec, followed by the service that refers to it.
 *
 * Pauses the rollout instead if another service uses a port or an address of that spec, or if one of its networks,
 * secrets or configs no longer exists.
 */
export function rollbackChanges(
  { service, failure }: Pick<Extract<Action, { kind: "roll-back-service" }>, "service" | "failure">,
  state: ClusterState,
  nowMs: number,
): readonly Change[] {
  const { id: serviceId, version, spec } = service;
  const update: Change = { kind: "put-service", service };
  if (spec === undefined) return [update];
  const obstacle =
    portObstacle(serviceId, spec, state) ??
    networkObstacle(serviceId, spec, state) ??
    fileObstacle(spec, state);
  const current = state.services.get(serviceId);
  if (obstacle === undefined || current?.rollout === undefined) {
    return [{ kind: "put-revision", serviceId, version, spec }, update];
  }
  const cause = `${failure} and version ${current.healthyVersion} cannot be restored: ${obstacle}`;
  return [
    { kind: "put-service", service: { ...current, rollout: pauseRollout(current.rollout, cause, nowMs) } },
  ];
}

/** Returns why a spec cannot be restored because of its networks, or undefined if it can. */
function networkObstacle(serviceId: string, { task }: ServiceSpec, state: ClusterState): string | undefined {
  for (const { network, ipv4Address: address } of task?.networks ?? []) {
    if (state.networks.byName(network)?.removing !== false) return `network ${network} no longer exists`;
    if (address === "") continue;
    const obstacle = addressObstacle({ serviceId, network, address }, state);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

/** Returns which secret or config prevents a spec from being restored, or undefined if none does. */
function fileObstacle(spec: ServiceSpec, { files }: ClusterState): string | undefined {
  const missingFile = fileMounts(spec).find(({ versionId }) => files.get(versionId) === undefined);
  return missingFile && `its version of ${describeFile(missingFile)} no longer exists`;
}

/** Returns which other service or task uses a static address, or undefined if the address is free. */
function addressObstacle(wanted: StaticAddress, state: ClusterState): string | undefined {
  const { serviceId, network, address } = wanted;
  for (const { id, spec } of state.services.ofNetwork(network).values()) {
    const isTaken = id !== serviceId && spec !== undefined && staticAddressIn(spec, network) === address;
    if (isTaken) return `service ${spec.name} has its address ${address} in network ${network}`;
  }
  const holder = findAddressHolder(wanted, state);
  if (holder === undefined) return undefined;
  return `task ${holder.serviceName}.${holder.slot} still has its address ${address} in network ${network}`;
}

/** Returns which other service has published a port of a spec, or undefined if all of them are free. */
function portObstacle(serviceId: string, spec: ServiceSpec, state: ClusterState): string | undefined {
  const { ports } = state.services;
  const conflicts = portConflicts(spec, {
    serviceId,
    claimsOn: (protocol, published) => ports.claimsOn(protocol, published),
  });
  return conflicts[0]?.message;
}
