import { assertNever, Health, type Task, TaskState, type TaskStatus } from "@berth/proto";
import type { Action } from "./model/plan.js";

/** The record that an action leaves behind; undefined when it deletes the record (or is about no task). */
export function taskAfter(action: Action, now: number): Task | undefined {
  switch (action.kind) {
    case "create-task":
      return action.task;
    case "assign-task":
      return {
        ...action.task,
        nodeId: action.nodeId,
        status: status({ state: TaskState.ASSIGNED, message: "", now }),
      };
    case "update-message":
      return {
        ...action.task,
        status: {
          ...(action.task.status ?? status({ state: TaskState.NEW, message: "", now })),
          message: action.message,
        },
      };
    case "set-desired":
      return { ...action.task, desiredState: action.desired };
    case "mark-lost":
      return {
        ...action.task,
        status: {
          ...(action.task.status ?? status({ state: TaskState.LOST, message: "", now })),
          state: TaskState.LOST,
          message: action.reason,
          sinceMs: now,
          health: Health.UNSPECIFIED,
          ports: [],
        },
      };
    case "mark-adrift":
      return {
        ...action.task,
        status: {
          ...(action.task.status ?? status({ state: TaskState.ASSIGNED, message: "", now })),
          message: action.reason,
          health: Health.UNKNOWN,
        },
      };
    case "reset-restarts":
      return { ...action.task, restarts: 0 };
    case "delete-task":
    case "update-service":
    case "remove-service":
      return undefined;
    default:
      return assertNever(action);
  }
}

/** A status with nothing known of a container. */
export function status(known: {
  readonly state: TaskState;
  readonly message: string;
  readonly now: number;
}): TaskStatus {
  return {
    state: known.state,
    message: known.message,
    sinceMs: known.now,
    containerId: "",
    health: 0,
    ports: [],
    addresses: [],
    stoppedExternally: false,
  };
}
