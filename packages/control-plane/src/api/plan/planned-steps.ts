import { assertNever, PlannedStep_Kind as Kind, type PlannedStep, type Task } from "@berth/proto";
import type { Action } from "../../core/model/plan.js";
import { isEnded, isPending, shouldRun } from "../../core/model/task-state.js";

/** The planned change of one slot. */
interface SlotChange {
  readonly slot: number;
  /** The task that was in the slot when the plan began. */
  readonly oldTask: Task | undefined;
  newTask: Task | undefined;
  /** Why the old task is stopped. Empty if it is not. */
  stopReason: string;
  round: number;
}

/**
 * Converts the actions of a plan for one service into the steps that users see. A stopped task and its replacement in
 * the same slot are one step, in either order.
 */
export class StepRecorder {
  readonly #initialTasks = new Map<string, Task>();
  readonly #changes = new Map<string, SlotChange>();
  readonly #keyOfTask = new Map<string, string>();
  #round = 0;
  #isNewRound = true;

  constructor(tasks: Iterable<Task>) {
    for (const task of tasks) {
      const isPresent = shouldRun(task) && !isEnded(task) && !isPending(task);
      if (isPresent && !this.#initialTasks.has(slotKey(task))) this.#initialTasks.set(slotKey(task), task);
    }
  }

  /** Starts a round. Slots that change for the first time after this call belong to it. */
  startRound(): void {
    this.#isNewRound = true;
  }

  record(action: Action): void {
    switch (action.kind) {
      case "create-task":
        this.#place(action.task, action.task);
        return;
      case "assign-task":
        this.#place({ ...action.task, nodeId: action.nodeId }, action.task);
        return;
      case "set-pending-reason":
        this.#place(withMessage(action.task, action.message), action.task);
        return;
      case "set-desired-state":
        this.#stop(action.task, action.reason);
        return;
      case "mark-lost":
      case "mark-disconnected":
      case "reset-restarts":
      case "delete-task":
      case "update-service":
      case "roll-back-service":
      case "restart-service":
      case "remove-service":
        return; // These actions are not visible to users.
      default:
        assertNever(action);
    }
  }

  /** Returns the steps by round and slot. */
  steps(hostnameOf: (nodeId: string) => string): readonly PlannedStep[] {
    return [...this.#changes.values()]
      .flatMap((change) => createStep(change, hostnameOf) ?? [])
      .sort((a, b) => a.round - b.round || a.slot - b.slot || (a.toHostname < b.toHostname ? -1 : 1));
  }

  /** Records a created or changed task. `original` is the task as the action refers to it. */
  #place(task: Task, original: Task): void {
    const key = this.#keyOfTask.get(original.id) ?? slotKey(task);
    this.#keyOfTask.set(original.id, key);
    const change = this.#changeOf(key, task);
    const isNewlyPlaced = change.newTask !== undefined && isUnplaced(change.newTask) && !isUnplaced(task);
    change.newTask = task;
    if (isNewlyPlaced && change.oldTask === undefined) change.round = this.#currentRound();
  }

  #stop(task: Task, reason: string): void {
    const key = this.#keyOfTask.get(task.id) ?? slotKey(task);
    // A task that the plan itself creates and stops again is not shown.
    if (this.#changes.get(key)?.newTask?.id === task.id) {
      this.#changes.delete(key);
    } else if (this.#initialTasks.get(key)?.id === task.id) {
      this.#changeOf(key, task).stopReason = reason;
    }
  }

  #changeOf(key: string, { slot }: Task): SlotChange {
    const existing = this.#changes.get(key);
    if (existing !== undefined) return existing;
    const oldTask = this.#initialTasks.get(key);
    const change = { slot, oldTask, newTask: undefined, stopReason: "", round: this.#currentRound() };
    this.#changes.set(key, change);
    return change;
  }

  #currentRound(): number {
    if (this.#isNewRound) this.#round += 1;
    this.#isNewRound = false;
    return this.#round;
  }
}

/** Returns the step of a slot, or undefined if nothing changes in it. */
function createStep(change: SlotChange, hostnameOf: (nodeId: string) => string): PlannedStep | undefined {
  const { slot, oldTask, newTask, stopReason, round } = change;
  if (newTask === undefined && stopReason === "") return undefined;
  const hasNoNode = newTask !== undefined && isUnplaced(newTask);
  return {
    kind: stepKind(oldTask, newTask),
    slot,
    taskId: oldTask?.id ?? "",
    fromHostname: oldTask === undefined ? "" : hostnameOf(oldTask.nodeId),
    toHostname: newTask === undefined || hasNoNode ? "" : hostnameOf(newTask.nodeId),
    round,
    reason: hasNoNode ? (newTask.status?.message ?? "") : stopReason,
    isUnplaced: hasNoNode,
  };
}

function stepKind(oldTask: Task | undefined, newTask: Task | undefined): Kind {
  if (newTask === undefined) return Kind.STOP;
  return oldTask === undefined ? Kind.CREATE : Kind.REPLACE;
}

/** Returns the key of a task's slot. For a global service, that is the node, or the task while it has no node. */
function slotKey({ slot, nodeId, id }: Task): string {
  if (slot !== 0) return String(slot);
  return nodeId === "" ? `new/${id}` : `node/${nodeId}`;
}

function isUnplaced({ nodeId }: Task): boolean {
  return nodeId === "";
}

function withMessage(task: Task, message: string): Task {
  return task.status === undefined ? task : { ...task, status: { ...task.status, message } };
}
