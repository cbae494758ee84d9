import type { JobStatus, ServiceSpec, Task } from "@berth/proto";
import type { Action } from "../model/plan.js";
import { type Slot, type SlotRef, slotKey, taskSlotKey } from "../model/slots.js";
import type { ClusterSnapshot } from "../model/snapshot.js";
import type { Placements } from "../scheduler/place-tasks.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { isBoundToNodes, maxConcurrent } from "./job-schedule.js";
import { type JobSlotState, type JobSlots, jobSlotState, jobSlots } from "./job-slots.js";
import type { Problem } from "./problems.js";
import { type GoneTest, removeSlot, stopTasks, trimHistory } from "./task-removal.js";

/** The inputs of a decision about one run, besides its tasks. */
export interface RunContext {
  readonly spec: ServiceSpec;
  /** Version of the service. */
  readonly version: number;
  readonly cluster: ClusterSnapshot;
  readonly isGone: GoneTest;
  /** Tasks of earlier runs that still occupy their nodes. A slot of this run waits for the task in the same slot. */
  readonly leaving: readonly Task[];
  readonly nowMs: number;
}

/** The changes that one run of a job needs now, and its progress. */
export interface RunDecision {
  readonly placements: Placements;
  readonly removals: readonly Action[];
  /** Tasks that keep their nodes. */
  readonly staying: readonly Task[];
  readonly dueTimesMs: readonly number[];
  readonly problems: readonly Problem[];
  /** Number of slots in the run. */
  readonly total: number;
  /** Number of slots that have completed. */
  readonly completed: number;
  /** Slots that have failed. */
  readonly failures: readonly Problem[];
  /** Whether every slot has completed or failed. */
  readonly isOver: boolean;
}

/**
 * Decides which tasks a run needs now.
 *
 * @param tasks the tasks of this run only
 */
export function decideRun(run: JobStatus, tasks: readonly Task[], context: RunContext): RunDecision {
  const { spec, version, leaving, isGone } = context;
  const runSlots = jobSlots(run, tasks, context);
  const blocked = new Set(leaving.map(taskSlotKey));
  const isBlocked = (slot: SlotRef): boolean => blocked.has(slotKey(slot));
  const states = runSlots.slots.map((slot) => jobSlotState(slot, { ...context, isBlocked }));
  // These tasks count against the limit, although the run does not need them.
  const unneededCount =
    leaving.length + runSlots.surplus.filter(occupiesNode).length + runSlots.remove.filter(isBusy).length;
  const { pending, fills, surplus } = limitConcurrency(states, {
    limit: maxConcurrent(spec) - unneededCount,
    missing: runSlots.missing.filter((slot) => !isBlocked(slot)),
  });
  const unbound = runSlots.unbound.filter((task) => task.specVersion === version);
  const outdated = runSlots.unbound.filter((task) => task.specVersion !== version);
  const summary = summarizeRun(runSlots, states, spec);
  const waiting = states.flatMap(({ slot, step }) => (step.kind === "waiting" ? [{ ...step, slot }] : []));
  return {
    ...summary,
    placements: { pending: [...pending, ...unbound], fills },
    removals: [
      ...stopTasks([...outdated, ...surplus], "it is not needed now", isGone),
      ...unneededTaskRemovals(runSlots, states, isGone),
    ],
    staying: states.flatMap(({ step }) => (step.kind === "running" ? [step.task] : [])),
    dueTimesMs: waiting.flatMap(({ untilMs }) => untilMs ?? []),
    problems: [...summary.failures, ...waiting.map(({ reason, slot }) => ({ reason, slot }))],
  };
}

function summarizeRun(
  { completedCount, slots, missing }: JobSlots,
  states: readonly JobSlotState[],
  spec: ServiceSpec,
): Pick<RunDecision, "total" | "completed" | "failures" | "isOver"> {
  const failures = states.flatMap(({ slot, step }) =>
    step.kind === "failed" ? [{ reason: step.reason, slot }] : [],
  );
  const completed = completedCount + states.filter(({ step }) => step.kind === "completed").length;
  const total = completedCount + slots.length + missing.length;
  // A global job without a node has not begun. A replicated job with 0 completions is over at once.
  const hasBegun = total > 0 || !isBoundToNodes(spec);
  return { total, completed, failures, isOver: hasBegun && completed + failures.length === total };
}

function unneededTaskRemovals(
  { slots, remove, surplus }: JobSlots,
  states: readonly JobSlotState[],
  isGone: GoneTest,
): readonly Action[] {
  return [
    ...remove.flatMap((slot) => removeSlot(slot, "its slot is no longer needed", isGone)),
    ...stopTasks(surplus, "its slot has completed", isGone),
    ...states.flatMap(({ superfluous }) => stopTasks(superfluous, "another task fills its slot", isGone)),
    ...slots.flatMap((slot) => trimHistory(slot, isGone)),
  ];
}

interface ConcurrencyLimit {
  /** Number of tasks that may exist at a time, including tasks that are stopping. */
  readonly limit: number;
  readonly missing: readonly SlotRef[];
}

interface LimitedPlacements extends Placements {
  /** Pending tasks beyond a limit that was lowered. */
  readonly surplus: readonly Task[];
}

/** Selects the tasks to place within the limit: pending tasks first, then retries, then slots without a task. */
function limitConcurrency(
  states: readonly JobSlotState[],
  { limit, missing }: ConcurrencyLimit,
): LimitedPlacements {
  const busy = states.filter(({ slot }) => isBusy(slot)).length;
  const room = Math.max(0, limit - busy);
  const pending = states.flatMap(({ step }) => (step.kind === "pending" ? [step.task] : []));
  const retries = states.flatMap(({ slot: { number, nodeId }, step }) =>
    step.kind === "vacant" ? [{ number, nodeId, restarts: step.restarts }] : [],
  );
  const roomForRetries = Math.max(0, room - pending.length);
  const roomForMissing = Math.max(0, roomForRetries - retries.length);
  return {
    pending: pending.slice(0, room),
    surplus: pending.slice(room),
    fills: [...retries.slice(0, roomForRetries), ...missing.slice(0, roomForMissing)],
  };
}

function isBusy({ active, stopping }: Slot): boolean {
  return active.length + stopping.length > 0;
}
