import { PlannedStep_Kind as Kind, type PlannedStep, type Task } from "@berth/proto";
import type { Action } from "../../core/model/plan.js";
import { isEnded, isPending, shouldRun } from "../../core/model/task-state.js";

export interface StepNames {
  readonly hostnameOf: (nodeId: string) => string;
}

/** What becomes of one slot in the course of a plan. */
interface SlotCourse {
  readonly slot: number;
  /** In the slot when the plan began. */
  readonly old: Task | undefined;
  fresh: Task | undefined;
  stopReason: string;
  round: number;
}

/**
 * Collects the actions of a service as they would be taken, and tells them as steps of slots: a task that stops and
 * one that takes its place are one step, whichever comes first.
 */
export class StepRecorder {
  readonly #initial = new Map<string, Task>();
  readonly #courses = new Map<string, SlotCourse>();
  readonly #keyOfTask = new Map<string, string>();
  #round = 0;
  #isNewRound = true;

  constructor(tasks: Iterable<Task>) {
    for (const task of tasks) {
      const isThere = shouldRun(task) && !isEnded(task) && !isPending(task);
      if (isThere && !this.#initial.has(keyOf(task))) this.#initial.set(keyOf(task), task);
    }
  }

  /** Slots that are first touched from here on belong to the next round. */
  nextRound(): void {
    this.#isNewRound = true;
  }

  take(action: Action): void {
    switch (action.kind) {
      case "create-task":
        this.#make(action.task, action.task);
        return;
      case "assign-task":
        this.#make({ ...action.task, nodeId: action.nodeId }, action.task);
        return;
      case "update-message":
        this.#make(withMessage(action.task, action.message), action.task);
        return;
      case "set-desired":
        this.#stop(action.task, action.reason);
        return;
      default:
        return;
    }
  }

  /** Steps in the order of their rounds and slots. */
  steps({ hostnameOf }: StepNames): readonly PlannedStep[] {
    return [...this.#courses.values()]
      .flatMap((course) => stepOf(course, hostnameOf))
      .sort((a, b) => a.round - b.round || a.slot - b.slot || (a.toHostname < b.toHostname ? -1 : 1));
  }

  #make(task: Task, recorded: Task): void {
    const key = this.#keyOfTask.get(recorded.id) ?? keyOf(task);
    this.#keyOfTask.set(recorded.id, key);
    const course = this.#courseOf(key, task);
    const isPlacedNow = course.fresh !== undefined && isUnplaced(course.fresh) && !isUnplaced(task);
    course.fresh = task;
    if (isPlacedNow && course.old === undefined) course.round = this.#thisRound();
  }

  #stop(task: Task, reason: string): void {
    const key = this.#keyOfTask.get(task.id) ?? keyOf(task);
    // What the plan itself has made and takes back never was.
    if (this.#courses.get(key)?.fresh?.id === task.id) this.#courses.delete(key);
    else if (this.#initial.get(key)?.id === task.id) this.#courseOf(key, task).stopReason = reason;
  }

  #courseOf(key: string, { slot }: Task): SlotCourse {
    const known = this.#courses.get(key);
    if (known !== undefined) return known;
    const old = this.#initial.get(key);
    const course = { slot, old, fresh: undefined, stopReason: "", round: this.#thisRound() };
    this.#courses.set(key, course);
    return course;
  }

  #thisRound(): number {
    if (this.#isNewRound) this.#round += 1;
    this.#isNewRound = false;
    return this.#round;
  }
}

function stepOf(course: SlotCourse, hostnameOf: StepNames["hostnameOf"]): readonly PlannedStep[] {
  const { old, fresh, stopReason, round } = course;
  if (fresh === undefined && stopReason === "") return [];
  const unplaced = fresh !== undefined && isUnplaced(fresh);
  const why = unplaced ? (fresh.status?.message ?? "") : stopReason;
  return [
    {
      kind: fresh === undefined ? Kind.STOP : old === undefined ? Kind.CREATE : Kind.REPLACE,
      slot: course.slot,
      taskId: old?.id ?? "",
      fromHostname: old === undefined ? "" : hostnameOf(old.nodeId),
      toHostname: fresh === undefined || unplaced ? "" : hostnameOf(fresh.nodeId),
      round,
      reason: why,
      isUnplaced: unplaced,
    },
  ];
}

/** A task of a service that has one a node has its node for a slot; as long as it has none it stands for itself. */
function keyOf({ slot, nodeId, id }: Task): string {
  if (slot !== 0) return String(slot);
  return nodeId === "" ? `new/${id}` : `node/${nodeId}`;
}

const isUnplaced = ({ nodeId }: Task): boolean => nodeId === "";

function withMessage(task: Task, message: string): Task {
  return task.status === undefined ? task : { ...task, status: { ...task.status, message } };
}
