import { Availability, NodeState, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import type { Slot, SlotRef } from "../../model/slots.js";
import type { ClusterSnapshot } from "../../model/snapshot.js";
import { stateOf } from "../../model/task-state.js";
import { decideRestart } from "../restart.js";
import { lastWords } from "../slot-state.js";
import { jobRestartPolicy } from "./job-mode.js";

/** What one slot of a job's run needs next. */
export type JobStep =
  | { readonly kind: "completed" }
  /** It failed and is not tried again in this run. */
  | { readonly kind: "failed"; readonly why: string }
  /** A task is on its node. */
  | { readonly kind: "live"; readonly task: Task }
  /** A task looks for a node. */
  | { readonly kind: "pending"; readonly task: Task }
  /** Empty: a task may be made now. */
  | { readonly kind: "ready"; readonly restarts: number }
  /** Nothing can be done before that time, or before something changes. */
  | { readonly kind: "wait"; readonly why: string; readonly atMs?: number };

export interface JobDecision {
  readonly slot: Slot;
  readonly step: JobStep;
  /** Tasks that are to stop. */
  readonly superfluous: readonly Task[];
}

export interface JobStepContext {
  readonly spec: ServiceSpec;
  /** Of the service: a task that has no node yet is made anew when the spec changes. */
  readonly version: number;
  readonly cluster: ClusterSnapshot;
  /** Whether a task of an earlier run has not stopped yet that had the same slot. */
  readonly isBlocked: (slot: SlotRef) => boolean;
  readonly now: number;
}

const NOT_STOPPED = "a former task has not confirmed that it stopped";

/** Looks at one slot alone; how many may run at a time is the run's business. */
export function jobStep(slot: Slot, context: JobStepContext): JobDecision {
  const others = [...slot.pending, ...slot.active];
  if (slot.ended.some((task) => stateOf(task) === TaskState.COMPLETE)) {
    return decided(slot, { kind: "completed" }, others);
  }
  const live = slot.active.find((task) => !isDrained(task, context.cluster));
  if (live !== undefined) return decided(slot, { kind: "live", task: live }, others);
  if (slot.active.length > 0) return decided(slot, { kind: "wait", why: "its node is drained" }, others);
  if (slot.stopping.length > 0 || context.isBlocked(slot)) {
    return decided(slot, { kind: "wait", why: NOT_STOPPED }, others);
  }
  const pending = slot.pending.find((task) => task.specVersion === context.version);
  if (pending !== undefined) return decided(slot, { kind: "pending", task: pending }, others);
  return decided(slot, emptyStep(slot, context), others);
}

function decided(slot: Slot, step: JobStep, others: readonly Task[]): JobDecision {
  const kept = "task" in step ? step.task : undefined;
  return { slot, step, superfluous: others.filter((task) => task !== kept) };
}

function emptyStep(slot: Slot, { spec, cluster, now }: JobStepContext): JobStep {
  const restart = decideRestart({
    ended: slot.ended,
    policy: jobRestartPolicy(spec),
    // All tasks of a run count, whichever version of the spec they were made from.
    isCurrent: () => true,
    now,
  });
  switch (restart.kind) {
    case "now":
      return downReason(slot, cluster) ?? { kind: "ready", restarts: restart.restarts };
    case "at":
      return { kind: "wait", why: `it restarts after ${lastWords(slot)}`, atMs: restart.atMs };
    case "completed":
      return { kind: "completed" };
    default:
      return { kind: "failed", why: `${restart.why} (${lastWords(slot)})` };
  }
}

/** The slot of a global job waits for its node. */
function downReason(slot: Slot, { nodes }: ClusterSnapshot): JobStep | undefined {
  const node = nodes.get(slot.nodeId)?.node;
  if (node?.state !== NodeState.DOWN) return undefined;
  return { kind: "wait", why: `node ${node.description?.hostname ?? node.id} is down` };
}

const isDrained = (task: Task, { nodes }: ClusterSnapshot): boolean =>
  nodes.get(task.nodeId)?.node.availability === Availability.DRAIN;
