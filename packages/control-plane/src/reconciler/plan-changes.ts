import { DesiredState, type Task, TaskState } from "@berth/proto";
import { taskAfter } from "../core/apply-action.js";
import type { Action, Plan } from "../core/plan.js";
import { stateOf } from "../core/task-state.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import { rangeChanges } from "./networks/range-changes.js";
import { virtualIpReleases } from "./networks/virtual-ip-changes.js";
import { serviceUpdate } from "./service-update.js";

/** A plan as changes of records, in the plan's order, after what its tasks need of their nodes' networks. */
export function planChanges(plan: Plan, state: ClusterState, now: number): readonly Change[] {
  const ranges = rangeChanges(plan.actions, state);
  const changes = plan.actions.flatMap((action) => {
    const { refused } = ranges;
    const allowed = refused.size === 0 ? action : withoutNode(action, refused);
    return allowed === undefined ? [] : actionChanges(allowed, state, now);
  });
  return ranges.changes.length === 0 ? changes : [...ranges.changes, ...changes];
}

/** A task for whose node there is no part of its network goes on waiting for one. Undefined: it does so already. */
function withoutNode(action: Action, refused: ReadonlyMap<string, string>): Action | undefined {
  if (action.kind !== "create-task" && action.kind !== "assign-task") return action;
  const message = refused.get(action.task.id);
  if (message === undefined) return action;
  if (action.kind === "assign-task") {
    const isSaid = action.task.status?.message === message;
    return isSaid ? undefined : { kind: "update-message", task: action.task, message };
  }
  const { status } = action.task;
  const waiting = {
    ...action.task,
    nodeId: "",
    ...(status && { status: { ...status, state: TaskState.NEW, message } }),
  };
  return { kind: "create-task", task: waiting };
}

/** Tasks whose service is gone, which only an edit by hand can bring about: nobody wants them any more. */
export function orphanChanges(tasks: Iterable<Task>, state: ClusterState): readonly Change[] {
  return [...tasks].flatMap((task): Change[] => {
    const canAnswer = state.nodes.get(task.nodeId) !== undefined && stateOf(task) !== TaskState.LOST;
    if (!canAnswer) return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
    if (task.desiredState === DesiredState.REMOVE) return [];
    return [{ kind: "put-task", task: { ...task, desiredState: DesiredState.REMOVE } }];
  });
}

function actionChanges(action: Action, state: ClusterState, now: number): readonly Change[] {
  if (action.kind === "remove-service") return serviceRemoval(action.serviceId, state, now);
  if (action.kind === "update-service") return serviceUpdate(action.service, state, now);
  if (action.kind === "delete-task") {
    return [{ kind: "delete-task", serviceId: action.task.serviceId, taskId: action.task.id }];
  }
  const task = taskAfter(action, now);
  return task === undefined ? [] : [{ kind: "put-task", task }];
}

/** The service's record goes last: while it is there, an interrupted removal is taken up again. */
function serviceRemoval(serviceId: string, state: ClusterState, now: number): readonly Change[] {
  const changes: Change[] = [...virtualIpReleases(serviceId, state, now)];
  for (const version of state.services.versionsOf(serviceId).keys()) {
    changes.push({ kind: "delete-revision", serviceId, version });
  }
  const name = state.services.get(serviceId)?.spec?.name;
  if (name !== undefined && state.ownerOf(name) === serviceId) changes.push({ kind: "delete-name", name });
  return [...changes, { kind: "delete-service", serviceId }];
}
