import {
  Availability,
  assertNever,
  DesiredState,
  type JobStatus,
  NodeState,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { type Slot, type SlotRef, slotsByNode, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot } from "../model/snapshot.js";
import { endText, isEnded, stateOf } from "../model/task-state.js";
import { getRequirements } from "../scheduler/requirements.js";
import { globalNodeTest, isUnbound, isUnpaused, nodeSlots } from "./desired-slots.js";
import { jobRestartPolicy } from "./job-schedule.js";
import { decideRestart } from "./restart.js";
import { NOT_STOPPED } from "./slot-step.js";

/** The slots of one job run. Each slot has to complete once. */
export interface JobSlots {
  /** Number of completed slots. `slots` leaves them out, because a run may have 100,000. */
  readonly completedCount: number;
  readonly slots: readonly Slot[];
  /** Slots that have no task yet. */
  readonly missing: readonly SlotRef[];
  /** Tasks of completed slots that have not ended. */
  readonly surplus: readonly Task[];
  /** Slots to remove with everything in them. */
  readonly remove: readonly Slot[];
  /** NEW tasks of a global job, which belong to no slot yet. */
  readonly unbound: readonly Task[];
}

export interface JobSlotsContext {
  readonly spec: ServiceSpec;
  readonly cluster: Pick<ClusterSnapshot, "nodes">;
}

/**
 * Determines the slots of a run.
 *
 * @param tasks the tasks of this run only
 */
export function jobSlots(run: JobStatus, tasks: readonly Task[], context: JobSlotsContext): JobSlots {
  const { mode } = context.spec;
  return mode?.$case === "replicatedJob"
    ? numberedSlots(tasks, mode.value.totalCompletions)
    : slotsOnNodes(run, tasks, context);
}

/** Returns the slots of a replicated job, numbered from 1 to `total`. */
function numberedSlots(tasks: readonly Task[], total: number): JobSlots {
  const completed = new Set<number>();
  for (const task of tasks) {
    if (task.slot <= total && hasCompleted(task)) completed.add(task.slot);
  }
  const open: Task[] = [];
  const surplus: Task[] = [];
  const outOfRange: Task[] = [];
  for (const task of tasks) {
    if (task.slot > total) {
      outOfRange.push(task);
    } else if (!completed.has(task.slot)) {
      open.push(task);
    } else if (!isEnded(task)) {
      surplus.push(task);
    }
  }
  const slots = slotsByNumber(open);
  const begun = new Set(slots.map(({ number }) => number));
  const missing: SlotRef[] = [];
  for (let number = 1; number <= total; number += 1) {
    if (!completed.has(number) && !begun.has(number)) missing.push({ number, nodeId: "" });
  }
  const remove = slotsByNumber(outOfRange);
  return { completedCount: completed.size, slots, missing, surplus, remove, unbound: [] };
}

/** Returns whether a task has completed its slot. A record that is being removed does not count. */
function hasCompleted(task: Task): boolean {
  return stateOf(task) === TaskState.COMPLETE && task.desiredState < DesiredState.REMOVE;
}

/**
 * Returns a slot for each node that existed when the run began.
 *
 * A node that went down with a task of the run keeps its slot, because the work is bound to that node. A node that was
 * drained or removed, or is no longer eligible, loses its slot.
 */
function slotsOnNodes(run: JobStatus, tasks: readonly Task[], { spec, cluster }: JobSlotsContext): JobSlots {
  const isEligible = globalNodeTest(getRequirements(spec));
  const slots: Slot[] = [];
  const remove: Slot[] = [];
  const nodesWithSlot = new Set<string>();
  for (const slot of slotsByNode(tasks)) {
    const node = cluster.nodes.get(slot.nodeId);
    nodesWithSlot.add(slot.nodeId);
    if (node !== undefined && (isDown(node) || isEligible(node))) {
      slots.push(slot);
    } else {
      remove.push(slot);
    }
  }
  const newNodes = [...cluster.nodes.values()].filter(
    (snapshot) => !nodesWithSlot.has(snapshot.node.id) && isEligible(snapshot),
  );
  const presentAtStart = newNodes.filter(({ node }) => node.createdAtMs <= run.startedAtMs);
  // A run that has found no node so far uses the first nodes that join.
  const hasNoNode = slots.length === 0 && presentAtStart.length === 0;
  const missing = nodeSlots((hasNoNode ? newNodes : presentAtStart).filter(isUnpaused));
  return { completedCount: 0, slots, missing, surplus: [], remove, unbound: tasks.filter(isUnbound) };
}

function isDown({ node }: NodeSnapshot): boolean {
  return node.state === NodeState.DOWN;
}

/** The next step of one slot of a run. */
export type JobStep =
  | { readonly kind: "completed" }
  /** The slot has failed and is not retried in this run. */
  | { readonly kind: "failed"; readonly reason: string }
  /** A task is on its node. */
  | { readonly kind: "running"; readonly task: Task }
  /** A task waits for a node. */
  | { readonly kind: "pending"; readonly task: Task }
  /** Empty: a task can be created now. */
  | { readonly kind: "vacant"; readonly restarts: number }
  /** No task can be created before `untilMs`, or before another record changes. */
  | { readonly kind: "waiting"; readonly reason: string; readonly untilMs?: number };

/** The state of one slot of a run. */
export interface JobSlotState {
  readonly slot: Slot;
  readonly step: JobStep;
  /** Tasks to stop. */
  readonly superfluous: readonly Task[];
}

export interface JobStepContext {
  readonly spec: ServiceSpec;
  /** Version of the service. A pending task of another version is created again. */
  readonly version: number;
  readonly cluster: Pick<ClusterSnapshot, "nodes">;
  /** Whether a task of an earlier run in the same slot has not stopped yet. */
  readonly isBlocked: (slot: SlotRef) => boolean;
  readonly nowMs: number;
}

/** Determines the state of one slot, regardless of the limit of concurrent tasks. */
export function jobSlotState(slot: Slot, context: JobStepContext): JobSlotState {
  const step = nextStep(slot, context);
  const neededTask = "task" in step ? step.task : undefined;
  const superfluous = [...slot.pending, ...slot.active].filter((task) => task !== neededTask);
  return { slot, step, superfluous };
}

function nextStep(slot: Slot, context: JobStepContext): JobStep {
  if (slot.ended.some((task) => stateOf(task) === TaskState.COMPLETE)) return { kind: "completed" };
  const running = slot.active.find((task) => !isDrained(task, context));
  if (running !== undefined) return { kind: "running", task: running };
  if (slot.active.length > 0) return { kind: "waiting", reason: "its node is drained" };
  if (slot.stopping.length > 0 || context.isBlocked(slot)) return { kind: "waiting", reason: NOT_STOPPED };
  const pending = slot.pending.find((task) => task.specVersion === context.version);
  return pending === undefined ? emptyStep(slot, context) : { kind: "pending", task: pending };
}

function emptyStep(slot: Slot, context: JobStepContext): JobStep {
  const restart = decideRestart({
    ended: slot.ended,
    policy: jobRestartPolicy(context.spec),
    // All tasks of a run count, regardless of the version that they run.
    isCurrent: () => true,
    nowMs: context.nowMs,
  });
  switch (restart.kind) {
    case "now":
      return waitForNode(slot, context) ?? { kind: "vacant", restarts: restart.restarts };
    case "at":
      return {
        kind: "waiting",
        reason: `waiting to restart: ${endText(slot.ended[0])}`,
        untilMs: restart.atMs,
      };
    case "completed":
      return { kind: "completed" };
    case "exhausted":
      return { kind: "failed", reason: `${restart.reason} (${endText(slot.ended[0])})` };
    default:
      return assertNever(restart);
  }
}

/** Returns a waiting step while the node of a global job's slot is down. */
function waitForNode(slot: Slot, { cluster }: JobStepContext): JobStep | undefined {
  const node = cluster.nodes.get(slot.nodeId)?.node;
  if (node?.state !== NodeState.DOWN) return undefined;
  return { kind: "waiting", reason: `node ${node.description?.hostname ?? node.id} is down` };
}

function isDrained(task: Task, { cluster }: JobStepContext): boolean {
  return cluster.nodes.get(task.nodeId)?.node.availability === Availability.DRAIN;
}
