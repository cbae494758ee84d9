import { Availability, assertNever, NodeState, type ServiceSpec, type Task } from "@berth/proto";
import type { Slot } from "../model/slots.js";
import type { NodeSnapshot } from "../model/snapshot.js";
import { endText, isReady, successAtMs } from "../model/task-state.js";
import type { CurrentTaskFilter } from "../model/template.js";
import type { OwnerTasks } from "./owner-tasks.js";
import { decideRestart, type RestartDecision } from "./restart.js";

/** The next step of a slot, regardless of the other slots. */
export type SlotStep =
  /** A current task is ready. */
  | { readonly kind: "running"; readonly task: Task }
  /** The task has completed and is not restarted. */
  | { readonly kind: "completed" }
  /** A current task is ready, and monitored until the outdated task beside it may stop. */
  | { readonly kind: "monitoring"; readonly task: Task; readonly untilMs: number }
  /** A current task is on its node and not ready yet. */
  | { readonly kind: "starting"; readonly task: Task }
  /** A current task waits for a node. */
  | { readonly kind: "pending"; readonly task: Task }
  /** Empty: a task can be created now. */
  | { readonly kind: "vacant"; readonly restarts: number }
  /** Empty: no task can be created before `untilMs`, or before a stopping task has ended. */
  | { readonly kind: "waiting"; readonly reason: string; readonly untilMs?: number }
  /** The slot stays empty until the service changes, because its restarts are exhausted. */
  | { readonly kind: "exhausted"; readonly reason: string }
  /** The running task is outdated, or must leave its node. */
  | {
      readonly kind: "replace";
      readonly cause: "outdated" | LeavingCause;
      readonly attempt: ReplacementAttempt;
    };

/** The state of a start-first replacement beside the old task. */
export type ReplacementAttempt =
  | { readonly kind: "none" }
  /** The last replacement failed, and the next one can be created now. */
  | { readonly kind: "retry"; readonly restarts: number }
  /** The next replacement cannot be created before `untilMs`, or before another record changes. */
  | { readonly kind: "held"; readonly reason: string; readonly untilMs?: number };

export interface SlotStepContext {
  readonly spec: ServiceSpec;
  readonly isCurrent: CurrentTaskFilter;
  readonly startFirst: boolean;
  readonly monitorMs: number;
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  /** The owner tasks of the service. Undefined for a service without owners. */
  readonly owners: OwnerTasks | undefined;
  readonly nowMs: number;
}

export interface SlotStepDecision {
  readonly step: SlotStep;
  /** Tasks that are not needed, whatever happens to the other slots. */
  readonly superfluous: readonly Task[];
}

/** Reason why a slot waits for a stopping task. */
export const NOT_STOPPED = "a previous task has not stopped yet";

/** Decides the next step of one slot, whose new tasks run `version`. Node losses must have been applied. */
export function slotStep(slot: Slot, version: number, context: SlotStepContext): SlotStepDecision {
  const current = slot.active.filter(
    (task) => context.isCurrent(task) && leavingCause(task, context) === undefined,
  );
  const best = current.find(isReady) ?? current[0];
  if (best !== undefined) return withCurrent(slot, best, context);
  const pending = mayWaitForNode(slot, context)
    ? slot.pending.find((task) => task.specVersion === version)
    : undefined;
  const superfluous = slot.pending.filter((task) => task !== pending);
  if (pending !== undefined) return { step: { kind: "pending", task: pending }, superfluous };
  const decision = withoutCurrent(slot, context);
  return { step: decision.step, superfluous: [...superfluous, ...decision.superfluous] };
}

/** Returns whether the slot may have a pending task. A stop-first replacement waits for a node only once the slot is empty. */
function mayWaitForNode(slot: Slot, { startFirst }: SlotStepContext): boolean {
  return startFirst || (slot.active.length === 0 && slot.stopping.length === 0);
}

/** Outdated tasks stop when the current task counts as a success; tasks on drained nodes stop once it is ready. */
function withCurrent(
  slot: Slot,
  best: Task,
  { isCurrent, monitorMs, nowMs }: SlotStepContext,
): SlotStepDecision {
  if (!isReady(best)) return { step: { kind: "starting", task: best }, superfluous: slot.pending };
  const others = slot.active.filter((task) => task !== best);
  const untilMs = successAtMs(best, monitorMs);
  if (untilMs > nowMs && others.some((task) => !isCurrent(task) && isReady(task))) {
    return { step: { kind: "monitoring", task: best, untilMs }, superfluous: slot.pending };
  }
  return { step: { kind: "running", task: best }, superfluous: [...others, ...slot.pending] };
}

function withoutCurrent(slot: Slot, context: SlotStepContext): SlotStepDecision {
  const { spec, isCurrent, nowMs } = context;
  const restart = decideRestart({ ended: slot.ended, policy: spec.task?.restart, isCurrent, nowMs });
  if (slot.active.length > 0) return withOutdated(slot, restart, context);
  if (slot.stopping.length > 0) return { step: { kind: "waiting", reason: NOT_STOPPED }, superfluous: [] };
  return { step: emptyStep(restart, slot), superfluous: [] };
}

function emptyStep(restart: RestartDecision, slot: Slot): SlotStep {
  switch (restart.kind) {
    case "now":
      return { kind: "vacant", restarts: restart.restarts };
    case "at":
      return {
        kind: "waiting",
        reason: `waiting to restart: ${endText(slot.ended[0])}`,
        untilMs: restart.atMs,
      };
    case "completed":
      return { kind: "completed" };
    case "exhausted":
      return { kind: "exhausted", reason: `${restart.reason} (${endText(slot.ended[0])})` };
    default:
      return assertNever(restart);
  }
}

/** Keeps one outdated task, preferably a ready one, until it is replaced. Overlapping updates leave several. */
function withOutdated(slot: Slot, restart: RestartDecision, context: SlotStepContext): SlotStepDecision {
  const keptTask = slot.active.find(isReady) ?? slot.active.at(-1);
  const superfluous = slot.active.filter((task) => task !== keptTask);
  if (restart.kind === "completed" && wasAttempted(slot, keptTask, context)) {
    return { step: { kind: "completed" }, superfluous: slot.active };
  }
  const isCurrent = keptTask !== undefined && context.isCurrent(keptTask);
  const cause = (isCurrent && leavingCause(keptTask, context)) || "outdated";
  const isCrowded = superfluous.length + slot.stopping.length > 0;
  const attempt: ReplacementAttempt = isCrowded
    ? { kind: "held", reason: NOT_STOPPED }
    : replacementAttempt(slot, keptTask, restart, context);
  return { step: { kind: "replace", cause, attempt }, superfluous };
}

function replacementAttempt(
  slot: Slot,
  kept: Task | undefined,
  restart: RestartDecision,
  context: SlotStepContext,
): ReplacementAttempt {
  if (!wasAttempted(slot, kept, context)) return { kind: "none" };
  switch (restart.kind) {
    case "now":
      return { kind: "retry", restarts: restart.restarts };
    case "at":
      return { kind: "held", reason: endText(slot.ended[0]), untilMs: restart.atMs };
    case "completed":
      return { kind: "none" };
    case "exhausted":
      return { kind: "held", reason: `${restart.reason} (${endText(slot.ended[0])})` };
    default:
      return assertNever(restart);
  }
}

/** Returns whether a start-first replacement of the task was created and has ended. */
function wasAttempted(slot: Slot, kept: Task | undefined, context: SlotStepContext): boolean {
  const newest = slot.ended[0];
  if (!context.startFirst || newest === undefined || kept === undefined) return false;
  return context.isCurrent(newest) && newest.createdAtMs > kept.createdAtMs;
}

/** Reason why a current task must not stay where it is. */
export type LeavingCause = "drained" | "moved" | "owner-replaced";

/**
 * Returns why a task must leave its node, or undefined if it may stay, even while the target of its move accepts no
 * tasks. A companion leaves its node only after its owner.
 */
function leavingCause(
  task: Task,
  { nodes, owners }: Pick<SlotStepContext, "nodes" | "owners">,
): LeavingCause | undefined {
  if (owners !== undefined) return owners.isFollowing(task) ? undefined : "owner-replaced";
  if (nodes.get(task.nodeId)?.node.availability === Availability.DRAIN) return "drained";
  if (task.preferredNodeId === "" || task.preferredNodeId === task.nodeId) return undefined;
  const target = nodes.get(task.preferredNodeId)?.node;
  const isOpen = target?.state === NodeState.READY && target.availability === Availability.ACTIVE;
  return isOpen ? "moved" : undefined;
}
