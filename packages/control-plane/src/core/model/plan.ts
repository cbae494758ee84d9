import {
  assertNever,
  DesiredState,
  Health,
  type Service,
  type Task,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { isDisconnected, isEnded } from "./task-state.js";

/**
 * One change of one record. `task` is the record that the decision was based on, so that the writer can compare; for
 * `create-task` it is the new record. A plan holds at most one action per task.
 */
export type Action =
  /** Creates a task: ASSIGNED to a node, or NEW with the reason in its status. */
  | { readonly kind: "create-task"; readonly task: Task }
  /** Assigns a NEW task to a node. */
  | { readonly kind: "assign-task"; readonly task: Task; readonly nodeId: string }
  /** Changes the reason why a NEW task has no node. */
  | { readonly kind: "update-message"; readonly task: Task; readonly message: string }
  | { readonly kind: "set-desired"; readonly task: Task; readonly desired: EndState; readonly reason: string }
  /** The node of the task died. Final: later reports of the node are ignored. */
  | { readonly kind: "mark-lost"; readonly task: Task; readonly reason: string }
  /** The node of the task is down. The state of the task is unknown until its agent reports again. */
  | { readonly kind: "mark-disconnected"; readonly task: Task; readonly reason: string }
  /** The task has been ready long enough to forget the earlier failures of its slot. */
  | { readonly kind: "reset-restarts"; readonly task: Task }
  | { readonly kind: "delete-task"; readonly task: Task; readonly reason: string }
  /** Changes the state of the service as a whole: its rollout, its job run, its scale. */
  | { readonly kind: "update-service"; readonly service: Service; readonly reason: string }
  /** Rolls a failed update back. `failure` explains why the update failed. */
  | {
      readonly kind: "roll-back-service";
      readonly service: Service;
      readonly failure: string;
      readonly reason: string;
    }
  /** The service was to be removed and has no tasks left: deletes its record, name and revisions. */
  | { readonly kind: "remove-service"; readonly serviceId: string };

export type EndState = typeof DesiredState.SHUTDOWN | typeof DesiredState.REMOVE;

export interface Plan {
  /** In the order in which they are written. Empty when there is nothing to do now. */
  readonly actions: readonly Action[];
  /** When to reconcile again even if no record changes. Undefined when time changes nothing. */
  readonly requeueAtMs?: number;
  /** Why slots cannot proceed, for dry runs. */
  readonly problems: readonly string[];
}

/** Builds a plan. A task that needs two actions gets the first one now; the rest follows at once in the next plan. */
export function buildPlan(
  actions: readonly Action[],
  rest: { readonly dueMs: readonly number[]; readonly problems: readonly string[]; readonly now: number },
): Plan {
  const planned = new Set<string>();
  const first = actions.filter((action) => {
    if (action.kind === "create-task" || !("task" in action)) return true;
    if (planned.has(action.task.id)) return false;
    planned.add(action.task.id);
    return true;
  });
  const dueMs = first.length < actions.length ? [rest.now] : rest.dueMs;
  const earliest = dueMs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return {
    actions: first,
    problems: rest.problems,
    ...(earliest === Number.POSITIVE_INFINITY ? {} : { requeueAtMs: earliest }),
  };
}

/** Returns the record that an action leaves; undefined when it deletes the record or changes no task. */
export function taskAfter(action: Action, now: number): Task | undefined {
  switch (action.kind) {
    case "create-task":
      return action.task;
    case "assign-task":
      return { ...action.task, nodeId: action.nodeId, status: newStatus(TaskState.ASSIGNED, "", now) };
    case "update-message":
      return withStatus(action.task, TaskState.NEW, now, { message: action.message });
    case "set-desired":
      return { ...withStopReason(action.task, action.reason), desiredState: action.desired };
    case "mark-lost":
      return withStatus(action.task, TaskState.LOST, now, {
        state: TaskState.LOST,
        message: action.reason,
        sinceMs: now,
        health: Health.UNSPECIFIED,
        ports: [],
      });
    case "mark-disconnected":
      return withStatus(action.task, TaskState.ASSIGNED, now, {
        message: action.reason,
        health: Health.UNKNOWN,
      });
    case "reset-restarts":
      return { ...action.task, restarts: 0 };
    case "delete-task":
    case "update-service":
    case "roll-back-service":
    case "remove-service":
      return undefined;
    default:
      return assertNever(action);
  }
}

/** Records why a task is to stop. The end of a task, or the loss of its node, explains more. */
function withStopReason(task: Task, reason: string): Task {
  const { status } = task;
  if (status === undefined || isEnded(task) || isDisconnected(task)) return task;
  return { ...task, status: { ...status, message: reason } };
}

function withStatus(task: Task, initial: TaskState, now: number, over: Partial<TaskStatus>): Task {
  return { ...task, status: { ...(task.status ?? newStatus(initial, "", now)), ...over } };
}

/** Returns the status of a task that has no container yet. */
export function newStatus(state: TaskState, message: string, now: number): TaskStatus {
  return {
    state,
    message,
    sinceMs: now,
    containerId: "",
    health: Health.UNSPECIFIED,
    ports: [],
    addresses: [],
    stoppedExternally: false,
  };
}

/** Returns the log line of an action. */
export function describeAction(action: Action): string {
  switch (action.kind) {
    case "create-task":
      return `create ${taskLabel(action.task)} ${placementText(action.task)}`;
    case "assign-task":
      return `assign ${taskLabel(action.task)} to node ${action.nodeId}`;
    case "update-message":
      return `${taskLabel(action.task)} has no node: ${action.message}`;
    case "set-desired": {
      const verb = action.desired === DesiredState.REMOVE ? "remove" : "stop";
      return `${verb} ${taskLabel(action.task)}: ${action.reason}`;
    }
    case "mark-disconnected":
      return `mark ${taskLabel(action.task)} as disconnected: ${action.reason}`;
    case "mark-lost":
      return `mark ${taskLabel(action.task)} as lost: ${action.reason}`;
    case "reset-restarts":
      return `reset the restart count of ${taskLabel(action.task)}`;
    case "delete-task":
      return `delete ${taskLabel(action.task)}: ${action.reason}`;
    case "update-service":
    case "roll-back-service":
      return `update service ${action.service.spec?.name ?? action.service.id}: ${action.reason}`;
    case "remove-service":
      return `delete service ${action.serviceId}: no tasks are left`;
    default:
      return assertNever(action);
  }
}

const taskLabel = (task: Task): string =>
  `task ${task.id} (${task.serviceName}${task.slot === 0 ? "" : `.${task.slot}`})`;

const placementText = (task: Task): string =>
  task.nodeId === "" ? `without a node: ${task.status?.message ?? ""}` : `on node ${task.nodeId}`;
