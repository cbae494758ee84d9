import {
  assertNever,
  DesiredState,
  Health,
  type OwnerTask,
  type Service,
  type Task,
  TaskState,
  type TaskStatus,
} from "@berth/proto";
import { isDisconnected, isEnded } from "./task-state.js";

/**
 * One change of one record. The leader's reconciler turns actions into etcd transactions.
 *
 * `task` is the record on which the decision was based; the writer compares it with the stored record. In `create-task`
 * it is the new record. A plan holds at most one action per task.
 */
export type Action =
  /** Creates a task: ASSIGNED to a node, or NEW with the reason in its status. */
  | { readonly kind: "create-task"; readonly task: Task }
  /** Assigns a NEW task to a node. */
  | {
      readonly kind: "assign-task";
      readonly task: Task;
      readonly nodeId: string;
      /** The tasks beside which the task runs. */
      readonly owners: readonly OwnerTask[];
    }
  /** Changes the reason why a NEW task has no node. */
  | { readonly kind: "update-message"; readonly task: Task; readonly message: string }
  | { readonly kind: "set-desired"; readonly task: Task; readonly desired: EndState; readonly reason: string }
  /** The node of the task died. Final: later reports of the node are ignored. */
  | { readonly kind: "mark-lost"; readonly task: Task; readonly reason: string }
  /** The node of the task is down. The state of the task is unknown until its agent reports again. */
  | { readonly kind: "mark-disconnected"; readonly task: Task; readonly reason: string }
  /** The task has been ready long enough to reset the restart count of its slot. */
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
  /** Starts a new version of the service that replaces its tasks, because a dependency was updated. */
  | { readonly kind: "restart-service"; readonly service: Service; readonly reason: string }
  /** Deletes the record, name and revisions of a service that was to be removed and has no tasks left. */
  | { readonly kind: "remove-service"; readonly serviceId: string };

/** The desired states of a task that is to stop. */
export type EndState = typeof DesiredState.SHUTDOWN | typeof DesiredState.REMOVE;

/** The changes to make to one service now. */
export interface Plan {
  /** Actions in the order in which they are written. Empty if there is nothing to do now. */
  readonly actions: readonly Action[];
  /** Time of the next reconciliation, even if no record changes before. Undefined if time changes nothing. */
  readonly requeueAtMs?: number;
  /** Reasons why slots cannot proceed. Dry runs show these to users. */
  readonly problems: readonly string[];
}

/** Builds a plan with the first action of each task. The next plan, due at once, contains the remaining actions. */
export function buildPlan(
  actions: readonly Action[],
  {
    dueMs,
    problems,
    now,
  }: { readonly dueMs: readonly number[]; readonly problems: readonly string[]; readonly now: number },
): Plan {
  const plannedTaskIds = new Set<string>();
  const firstActions = actions.filter((action) => {
    if (action.kind === "create-task" || !("task" in action)) return true;
    if (plannedTaskIds.has(action.task.id)) return false;
    plannedTaskIds.add(action.task.id);
    return true;
  });
  const hasMore = firstActions.length < actions.length;
  const requeueAtMs = hasMore ? now : dueMs.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return {
    actions: firstActions,
    problems,
    ...(requeueAtMs === Number.POSITIVE_INFINITY ? {} : { requeueAtMs }),
  };
}

/** Returns the task's record after an action, or undefined if the action deletes the record or changes no task. */
export function taskAfter(action: Action, now: number): Task | undefined {
  switch (action.kind) {
    case "create-task":
      return action.task;
    case "assign-task":
      return {
        ...action.task,
        nodeId: action.nodeId,
        owners: [...action.owners],
        status: newStatus(TaskState.ASSIGNED, "", now),
      };
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
    case "restart-service":
    case "remove-service":
      return undefined;
    default:
      return assertNever(action);
  }
}

/** Adds the reason to stop, unless the status already says that the task ended or its node was lost. */
function withStopReason(task: Task, reason: string): Task {
  const { status } = task;
  if (status === undefined || isEnded(task) || isDisconnected(task)) return task;
  return { ...task, status: { ...status, message: reason } };
}

function withStatus(task: Task, initial: TaskState, now: number, changes: Partial<TaskStatus>): Task {
  return { ...task, status: { ...(task.status ?? newStatus(initial, "", now)), ...changes } };
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
    errorCode: "",
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
    case "restart-service":
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
