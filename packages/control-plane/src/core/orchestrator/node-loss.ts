import { Availability, assertNever, type Node, NodeState, type Task, TaskState } from "@berth/proto";
import { type Action, taskAfter } from "../model/plan.js";
import type { NodeSnapshot, ServiceDefinition, ServiceTasks } from "../model/snapshot.js";
import { isDisconnected, isEnded, isReady, shouldRun, stateOf } from "../model/task-state.js";
import { type CurrentTaskFilter, currentTaskFilter } from "../model/template.js";
import { deleteUnreportable, goneTest, isAtMostOne } from "./task-removal.js";

/** Effect on a task whose node is down or was removed. */
export type NodeLossVerdict =
  | { readonly kind: "unaffected" }
  /** Final: the task is not used again, even if its node returns. */
  | { readonly kind: "lost"; readonly reason: string }
  /** The slot is filled elsewhere. If the node returns before the replacement runs, the task continues. */
  | { readonly kind: "disconnected"; readonly reason: string }
  /** The slot is not filled elsewhere until `untilMs`, or until more is known about the node. */
  | { readonly kind: "waiting"; readonly reason: string; readonly untilMs?: number };

/** The tasks of one service with node losses applied, and the actions that record the losses. */
export interface NodeLoss {
  readonly tasks: readonly Task[];
  readonly actions: readonly Action[];
  /** Times when waiting tasks have to be evaluated again, in ms since the epoch. */
  readonly dueTimesMs: readonly number[];
}

/** Reason why a task of an at-most-one service is not replaced yet. */
export const NOT_FENCED = "not replaced until the node is fenced (at-most-one)";

/**
 * Applies node losses to the tasks of one service.
 *
 * A disconnected task counts as lost when slots are filled, so a replacement starts elsewhere, but its record keeps
 * its state until the replacement runs. A waiting task keeps its slot. Tasks on removed nodes are dropped: no agent
 * will ever report that they are gone.
 */
export function applyNodeLoss(
  snapshot: ServiceTasks,
  nodes: ReadonlyMap<string, NodeSnapshot>,
  nowMs: number,
): NodeLoss {
  const deletions = deleteUnreportable(snapshot.tasks, goneTest(snapshot, nodes));
  const deletedIds = new Set(deletions.map(({ task }) => task.id));
  const context = {
    definition: snapshot,
    nodes,
    isCurrent: currentTaskFilter(snapshot.service),
    isReplaced: replacedTest(snapshot.tasks, nodes),
    nowMs,
  };
  const tasks: Task[] = [];
  const marks: TaskAction[] = [];
  const dueTimesMs: number[] = [];
  for (const task of snapshot.tasks) {
    if (deletedIds.has(task.id)) continue;
    const verdict = nodeLossVerdict(task, context);
    const mark = markFor(task, verdict);
    if (mark !== undefined && !isMarked(task, mark)) marks.push(mark);
    tasks.push(effectiveTask(task, verdict, nowMs));
    if (verdict.kind === "waiting" && verdict.untilMs !== undefined) dueTimesMs.push(verdict.untilMs);
  }
  return { tasks, actions: [...deletions, ...marks].sort(bySlot), dueTimesMs };
}

type TaskAction = Extract<Action, { readonly task: Task }>;

/** Sorts actions by slot, so the plan does not depend on the order of the tasks. */
function bySlot({ task: a }: TaskAction, { task: b }: TaskAction): number {
  return a.slot - b.slot || (a.id < b.id ? -1 : 1);
}

interface VerdictContext {
  readonly definition: ServiceDefinition;
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  readonly isCurrent: CurrentTaskFilter;
  /** Whether another task of the same slot is ready or has completed. */
  readonly isReplaced: (task: Task) => boolean;
  readonly nowMs: number;
}

const UNAFFECTED: NodeLossVerdict = { kind: "unaffected" };

function nodeLossVerdict(task: Task, context: VerdictContext): NodeLossVerdict {
  if (task.nodeId === "" || isEnded(task)) return UNAFFECTED;
  const node = context.nodes.get(task.nodeId)?.node;
  if (node === undefined) return { kind: "lost", reason: `node ${task.nodeId} was removed` };
  return node.state === NodeState.READY ? UNAFFECTED : downNodeVerdict(task, node, context);
}

function downNodeVerdict(task: Task, node: Node, context: VerdictContext): NodeLossVerdict {
  const { definition, nowMs } = context;
  const reason = `node ${node.description?.hostname || node.id} is down`;
  const atMostOne = isAtMostOne(task, definition);
  if (atMostOne && !node.fenced) return { kind: "waiting", reason: `${reason}; ${NOT_FENCED}` };
  if (!shouldRun(task)) return { kind: "lost", reason };
  const { never = false, afterMs = 0 } = definition.spec.failover ?? {};
  if (never) return { kind: "waiting", reason: `${reason}; its tasks wait for it (failover: never)` };
  const untilMs = node.stateSinceMs + afterMs;
  if (untilMs > nowMs) {
    const setting = `failover: after ${afterMs / 1_000} s`;
    return { kind: "waiting", untilMs, reason: `${reason}; its tasks wait for it (${setting})` };
  }
  return !atMostOne && mayContinue(task, node, context)
    ? { kind: "disconnected", reason }
    : { kind: "lost", reason };
}

/** Returns whether the task may continue if its node returns, because it is as good as a replacement. */
function mayContinue(task: Task, node: Node, { isReplaced, isCurrent }: VerdictContext): boolean {
  const wasReady = isReady(task) || (isDisconnected(task) && stateOf(task) === TaskState.RUNNING);
  // A job's slot completes once, so the task and its replacement must not both run.
  const isOfJob = task.jobIteration > 0;
  const isDrained = node.availability === Availability.DRAIN;
  return wasReady && isCurrent(task) && !isOfJob && !isDrained && !isReplaced(task);
}

function markFor(task: Task, verdict: NodeLossVerdict): TaskAction | undefined {
  switch (verdict.kind) {
    case "unaffected":
      return undefined;
    case "lost":
      return { kind: "mark-lost", task, reason: verdict.reason };
    case "disconnected":
    case "waiting":
      return { kind: "mark-disconnected", task, reason: verdict.reason };
    default:
      return assertNever(verdict);
  }
}

/** Returns whether the record already has this mark. */
function isMarked(task: Task, mark: TaskAction): boolean {
  return mark.kind === "mark-disconnected" && isDisconnected(task) && task.status?.message === mark.reason;
}

/** Returns the task with its verdict applied, for the rest of the plan. A disconnected task counts as lost. */
function effectiveTask(task: Task, verdict: NodeLossVerdict, nowMs: number): Task {
  if (verdict.kind === "unaffected") return task;
  const kind = verdict.kind === "waiting" ? "mark-disconnected" : "mark-lost";
  return taskAfter({ kind, task, reason: verdict.reason }, nowMs) ?? task;
}

/** Returns a predicate for tasks whose slot has a newer task that is ready on a live node or has completed. */
function replacedTest(
  tasks: readonly Task[],
  nodes: ReadonlyMap<string, NodeSnapshot>,
): (task: Task) => boolean {
  let newestBySlot: ReadonlyMap<number, Task> | undefined;
  const isReplacement = (task: Task): boolean =>
    stateOf(task) === TaskState.COMPLETE ||
    (isReady(task) && nodes.get(task.nodeId)?.node.state === NodeState.READY);
  return (task) => {
    // Computed on first use, because in most decisions no node is down.
    newestBySlot ??= newestPerSlot(tasks.filter(isReplacement));
    const newestTask = newestBySlot.get(task.slot);
    // A slot of a global service (number 0) is bound to its node, so no other task replaces it.
    return task.slot !== 0 && newestTask !== undefined && newestTask.createdAtMs > task.createdAtMs;
  };
}

function newestPerSlot(tasks: readonly Task[]): ReadonlyMap<number, Task> {
  const newest = new Map<number, Task>();
  for (const task of tasks) {
    const newestTask = newest.get(task.slot);
    if (newestTask === undefined || task.createdAtMs > newestTask.createdAtMs) newest.set(task.slot, task);
  }
  return newest;
}
