import { DesiredState, type JobStatus, type ServiceSpec, type Task } from "@berth/proto";
import type { Action } from "../model/plan.js";
import type { Slot, SlotRef } from "../model/slots.js";
import type { ClusterSnapshot } from "../model/snapshot.js";
import type { Placements } from "../scheduler/place-tasks.js";
import type { TaskRequirements } from "../scheduler/requirements.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { isBoundToNodes, maxConcurrent } from "./jobs/job-mode.js";
import { type JobSlots, jobSlots } from "./jobs/job-slots.js";
import { type JobDecision, jobStep } from "./jobs/job-step.js";
import type { Problem } from "./problems.js";
import { dismiss, type GoneTest, retire, trimHistory } from "./task-removal.js";

export interface RunContext {
  readonly spec: ServiceSpec;
  readonly version: number;
  readonly need: TaskRequirements;
  readonly cluster: ClusterSnapshot;
  readonly isGone: GoneTest;
  /** Tasks of earlier runs that are on their nodes still: no slot of this run overlaps with its former task. */
  readonly leaving: readonly Task[];
  readonly now: number;
}

/** What one run of a job needs now. */
export interface RunDecision {
  readonly seats: Placements;
  readonly departures: readonly Action[];
  /** Tasks that stay on their nodes. */
  readonly staying: readonly Task[];
  readonly dueMs: readonly number[];
  readonly problems: readonly Problem[];
  readonly total: number;
  readonly completed: number;
  /** Slots that are given up. */
  readonly failures: readonly Problem[];
  /** Every slot has completed or is given up. */
  readonly isOver: boolean;
}

/** @param tasks those of the run alone */
export function decideRun(run: JobStatus, tasks: readonly Task[], context: RunContext): RunDecision {
  const { spec, version, leaving, isGone } = context;
  const slots = jobSlots(run, tasks, context);
  const blocked = new Set(leaving.map(slotKey));
  const isBlocked = ({ number, nodeId }: SlotRef): boolean => blocked.has(nodeId || String(number));
  const decisions = slots.slots.map((slot) => jobStep(slot, { ...context, isBlocked }));
  const elsewhere =
    leaving.length + slots.extra.filter(occupiesNode).length + slots.retire.filter(isBusy).length;
  const { pending, fills, surplus } = admit(decisions, {
    limit: maxConcurrent(spec) - elsewhere,
    fresh: slots.fresh.filter((ref) => !isBlocked(ref)),
  });
  const waiting = slots.unbound.filter((task) => task.specVersion === version);
  const stale = slots.unbound.filter((task) => task.specVersion !== version);
  const tally = tallyOf(slots, decisions, spec);
  return {
    ...tally,
    seats: { pending: [...pending, ...waiting], fills },
    departures: [
      ...stop([...stale, ...surplus], "it is not needed now", isGone),
      ...departuresFrom(slots, decisions, isGone),
    ],
    staying: decisions.flatMap(({ step }) => (step.kind === "live" ? [step.task] : [])),
    dueMs: decisions.flatMap(({ step }) =>
      step.kind === "wait" && step.atMs !== undefined ? [step.atMs] : [],
    ),
    problems: [...tally.failures, ...waits(decisions)],
  };
}

function tallyOf(
  { done, slots, fresh }: JobSlots,
  decisions: readonly JobDecision[],
  spec: ServiceSpec,
): Pick<RunDecision, "total" | "completed" | "failures" | "isOver"> {
  const failures = decisions.flatMap(({ slot, step }) =>
    step.kind === "failed" ? [{ why: step.why, slot }] : [],
  );
  const completed = done + decisions.filter(({ step }) => step.kind === "completed").length;
  const total = done + slots.length + fresh.length;
  // A global job without a node has not begun; no completions at all are asked for by number alone.
  const hasBegun = total > 0 || !isBoundToNodes(spec);
  return { total, completed, failures, isOver: hasBegun && completed + failures.length === total };
}

function departuresFrom(
  { slots, retire: unwanted, extra }: JobSlots,
  decisions: readonly JobDecision[],
  isGone: GoneTest,
): readonly Action[] {
  return [
    ...unwanted.flatMap((slot) => retire(slot, "no longer wanted", isGone)),
    ...stop(extra, "its slot has completed", isGone),
    ...decisions.flatMap(({ superfluous }) => stop(superfluous, "its run needs it no more", isGone)),
    ...slots.flatMap((slot) => trimHistory(slot, isGone)),
  ];
}

interface Admitted extends Placements {
  /** Tasks that look for a node and are too many, as the limit was lowered. */
  readonly surplus: readonly Task[];
}

/** Makes as many tasks as the limit leaves room for, counting all that are not known to have ended. */
function admit(
  decisions: readonly JobDecision[],
  { limit, fresh }: { readonly limit: number; readonly fresh: readonly SlotRef[] },
): Admitted {
  const busy = decisions.filter(({ slot }) => isBusy(slot)).length;
  const room = Math.max(0, limit - busy);
  const pending = decisions.flatMap(({ step }) => (step.kind === "pending" ? [step.task] : []));
  const again = decisions.flatMap(({ slot, step }) =>
    step.kind === "ready" ? [{ number: slot.number, nodeId: slot.nodeId, restarts: step.restarts }] : [],
  );
  const left = Math.max(0, room - pending.length - again.length);
  const first = fresh.slice(0, left);
  return {
    pending: pending.slice(0, room),
    surplus: pending.slice(room),
    fills: [...again.slice(0, Math.max(0, room - pending.length)), ...first],
  };
}

const isBusy = ({ active, stopping }: Slot): boolean => active.length + stopping.length > 0;

function stop(tasks: readonly Task[], reason: string, isGone: GoneTest): readonly Action[] {
  return tasks.flatMap((task) => dismiss(task, { desired: DesiredState.SHUTDOWN, reason, isGone }));
}

const waits = (decisions: readonly JobDecision[]): readonly Problem[] =>
  decisions.flatMap(({ slot, step }) => (step.kind === "wait" ? [{ why: step.why, slot }] : []));

const slotKey = (task: Task): string => (task.slot === 0 ? task.nodeId : String(task.slot));
