import { NodeState, type Task, TaskState } from "@berth/proto";
import { taskAfter } from "../apply-action.js";
import type { Action } from "../model/plan.js";
import type { NodeSnapshot, ServiceTasks } from "../model/snapshot.js";
import { isDisconnected, isReady, stateOf } from "../model/task-state.js";
import { type Fate, fates } from "./slots/fate.js";
import { forgotten, goneTest } from "./task-removal.js";

/** A service's tasks as they are to be looked at, and the actions that make the records say so. */
export interface Stock {
  readonly tasks: readonly Task[];
  readonly actions: readonly Action[];
  /** When tasks that wait for their node are given up. */
  readonly dueMs: readonly number[];
}

/**
 * Sees what became of tasks whose node went down or was removed, and forgets what no agent will ever report as removed.
 *
 * A task that may go on when its node returns keeps its record's state until another one does its work, but to the
 * rest of the plan it is lost: so its slot is filled elsewhere. One that waits for its node keeps its slot.
 */
export function takeStock(view: ServiceTasks, nodes: ReadonlyMap<string, NodeSnapshot>, now: number): Stock {
  const forget = forgotten(view.tasks, goneTest(view, nodes));
  const gone = new Set(forget.map(({ task }) => task.id));
  const isReplaced = replacedTest(view.tasks, nodes);
  const fateOf = fates({ view, nodes, isReplaced, now });
  const tasks: Task[] = [];
  const records: TaskAction[] = [];
  const dueMs: number[] = [];
  for (const task of view.tasks) {
    if (gone.has(task.id)) continue;
    const fate = fateOf(task);
    records.push(...record(task, fate));
    tasks.push(asSeen(task, fate, now));
    if (fate.kind === "waits" && fate.untilMs !== undefined) dueMs.push(fate.untilMs);
  }
  return { tasks, actions: [...forget, ...records].sort(bySlot), dueMs };
}

/** The same plan whatever the order of the tasks. */
const bySlot = ({ task: a }: TaskAction, { task: b }: TaskAction): number =>
  a.slot - b.slot || (a.id < b.id ? -1 : 1);

type TaskAction = Extract<Action, { readonly task: Task }>;

function record(task: Task, fate: Fate): readonly TaskAction[] {
  switch (fate.kind) {
    case "none":
      return [];
    case "lost":
      return [{ kind: "mark-lost", task, reason: fate.why }];
    default:
      return isDisconnected(task) && task.status?.message === fate.why
        ? []
        : [{ kind: "mark-adrift", task, reason: fate.why }];
  }
}

function asSeen(task: Task, fate: Fate, now: number): Task {
  if (fate.kind === "none") return task;
  const kind = fate.kind === "waits" ? "mark-adrift" : "mark-lost";
  return taskAfter({ kind, task, reason: fate.why }, now) ?? task;
}

/** Asks whether another task of the same slot runs well on a live node, or has done its work. */
function replacedTest(
  tasks: readonly Task[],
  nodes: ReadonlyMap<string, NodeSnapshot>,
): (task: Task) => boolean {
  let working: ReadonlyMap<number, Task> | undefined;
  const isWorking = (task: Task): boolean =>
    stateOf(task) === TaskState.COMPLETE ||
    (isReady(task) && nodes.get(task.nodeId)?.node.state === NodeState.READY);
  return (task) => {
    // Looked through once, and only when some node is down.
    working ??= newestBySlot(tasks.filter(isWorking));
    const other = working.get(task.slot);
    // A slot of a global service is its node, which nobody else fills.
    return task.slot !== 0 && other !== undefined && other.createdAtMs > task.createdAtMs;
  };
}

function newestBySlot(tasks: readonly Task[]): ReadonlyMap<number, Task> {
  const newest = new Map<number, Task>();
  for (const task of tasks) {
    const known = newest.get(task.slot);
    if (known === undefined || task.createdAtMs > known.createdAtMs) newest.set(task.slot, task);
  }
  return newest;
}
