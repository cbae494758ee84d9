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
  /** Updates the reason why a NEW task has no node. */
  | { readonly kind: "set-pending-reason"; readonly task: Task; readonly message: string }
  | {
      readonly kind: "set-desired-state";
      readonly task: Task;
      readonly desired: EndState;
      readonly reason: string;
    }
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
  /** Deletes the record, name and revisions of a removed service whose last task is gone. */
  | { readonly kind: "remove-service"; readonly serviceId: string };

/** Desired states that stop a task. */
export type EndState = typeof DesiredState.SHUTDOWN | typeof DesiredState.REMOVE;

/** The changes to make to one service now. */
export interface Plan {
  /** Actions in the order in which they are written. Empty if there is nothing to do now. */
  readonly actions: readonly Action[];
  /** Time of the next reconciliation, even if no record changes until then. Undefined if the plan does not depend on time. */
  readonly requeueAtMs?: number | undefined;
  /** Reasons why slots cannot proceed. Dry runs show these to users. */
  readonly problems: readonly string[];
}

export interface PlanContext {
  /** Times at which time alone changes the plan. */
  readonly dueTimesMs: readonly number[];
  readonly problems: readonly string[];
  readonly nowMs: number;
}

/** Builds a plan with the first action of each task. The next plan, due at once, contains the remaining actions. */
export function buildPlan(actions: readonly Action[], { dueTimesMs, problems, nowMs }: PlanContext): Plan {
  const plannedTaskIds = new Set<string>();
  const firstActions = actions.filter((action) => {
    if (action.kind === "create-task" || !("task" in action)) return true;
    if (plannedTaskIds.has(action.task.id)) return false;
    plannedTaskIds.add(action.task.id);
    return true;
  });
  const hasMore = firstActions.length < actions.length;
  return { actions: firstActions, problems, requeueAtMs: hasMore ? nowMs : earliestMs(dueTimesMs) };
}

/** Returns the earliest of several times, some of which may be undefined or infinite. */
export function earliestMs(timesMs: readonly (number | undefined)[]): number | undefined {
  const minMs = timesMs.reduce<number>(
    (earliest, timeMs = Number.POSITIVE_INFINITY) => Math.min(earliest, timeMs),
    Number.POSITIVE_INFINITY,
  );
  return minMs === Number.POSITIVE_INFINITY ? undefined : minMs;
}

/** Returns the task's record after an action, or undefined if the action deletes the record or changes no task. */
export function taskAfter(action: Action, nowMs: number): Task | undefined {
  switch (action.kind) {
    case "create-task":
      return action.task;
    case "assign-task":
      return {
        ...action.task,
        nodeId: action.nodeId,
        owners: [...action.owners],
        status: newStatus(TaskState.ASSIGNED, "", nowMs),
      };
    case "set-pending-reason":
      return withStatus(action.task, TaskState.NEW, nowMs, { message: action.message });
    case "set-desired-state":
      return { ...withStopReason(action.task, action.reason), desiredState: action.desired };
    case "mark-lost":
      return withStatus(action.task, TaskState.LOST, nowMs, {
        state: TaskState.LOST,
        message: action.reason,
        sinceMs: nowMs,
        health: Health.UNSPECIFIED,
        ports: [],
      });
    case "mark-disconnected":
      return withStatus(action.task, TaskState.ASSIGNED, nowMs, {
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

function withStatus(task: Task, initial: TaskState, nowMs: number, changes: Partial<TaskStatus>): Task {
  return { ...task, status: { ...(task.status ?? newStatus(initial, "", nowMs)), ...changes } };
}

/** Returns the status of a task that has no container yet. */
export function newStatus(state: TaskState, message: string, nowMs: number): TaskStatus {
  return {
    state,
    message,
    sinceMs: nowMs,
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
    case "set-pending-reason":
      return `${taskLabel(action.task)} has no node: ${action.message}`;
    case "set-desired-state": {
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
      return `update ${serviceLabel(action.service)}: ${action.reason}`;
    case "roll-back-service":
      return `roll back ${serviceLabel(action.service)}: ${action.reason}`;
    case "restart-service":
      return `restart ${serviceLabel(action.service)}: ${action.reason}`;
    case "remove-service":
      return `delete service ${action.serviceId}: no tasks are left`;
    default:
      return assertNever(action);
  }
}

function taskLabel({ id, serviceName, slot }: Task): string {
  return slot === 0 ? `task ${id} (${serviceName})` : `task ${id} (${serviceName}.${slot})`;
}

function serviceLabel({ id, spec }: Service): string {
  return `service ${spec?.name ?? id}`;
}

function placementText({ nodeId, status }: Task): string {
  return nodeId === "" ? `without a node: ${status?.message ?? ""}` : `on node ${nodeId}`;
}
