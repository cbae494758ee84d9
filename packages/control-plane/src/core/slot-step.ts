import { Availability, type ServiceSpec, type Task } from "@berth/proto";
import type { NodeView } from "./model.js";
import { decideRestart, type RestartDecision } from "./restart.js";
import type { Slot } from "./slots.js";
import { runsWell } from "./task-state.js";

/** What one slot needs next. */
export type SlotStep =
  /** A task of the current version runs well, or completed. */
  | { readonly kind: "settled" }
  /** A task of the current version is on its node and does not run well yet. */
  | { readonly kind: "unready"; readonly task: Task }
  /** A task of the current version looks for a node. */
  | { readonly kind: "pending"; readonly task: Task }
  /** Empty: a task is to be made now. */
  | { readonly kind: "fill"; readonly restarts: number }
  /** Empty: nothing can be done before that time, or before an agent says that something ended. */
  | { readonly kind: "wait"; readonly why: string; readonly atMs?: number }
  /** Empty, and stays so until the service changes. */
  | { readonly kind: "given-up"; readonly why: string }
  /** What it runs is outdated or on a drained node. */
  | { readonly kind: "replace"; readonly because: "outdated" | "drained"; readonly trial: Trial };

/** How a start-first replacement beside the old task fares. */
export type Trial =
  | { readonly kind: "none" }
  /** It failed; the next may be made now. */
  | { readonly kind: "retry"; readonly restarts: number }
  | { readonly kind: "failed"; readonly why: string; readonly atMs?: number };

export interface SlotContext {
  readonly spec: ServiceSpec;
  readonly version: number;
  readonly templateVersion: number;
  readonly startFirst: boolean;
  readonly nodes: ReadonlyMap<string, NodeView>;
  readonly now: number;
}

export interface SlotDecision {
  readonly slot: Slot;
  readonly step: SlotStep;
  /** Tasks that are not needed whatever the rest of the service does. */
  readonly superfluous: readonly Task[];
}

/** Looks at one slot alone; what the rest of the service allows is the rollout's business. */
export function decideSlot(slot: Slot, context: SlotContext): SlotDecision {
  const good = slot.active.filter((task) => isCurrent(task, context) && !isDrained(task, context));
  const best = good.find(runsWell) ?? good[0];
  if (best !== undefined) return aroundBest(slot, best);
  const pending = slot.pending.find((task) => mayWaitForNode(task, slot, context));
  const superfluous = slot.pending.filter((task) => task !== pending);
  if (pending !== undefined) return { slot, step: { kind: "pending", task: pending }, superfluous };
  const { step, completed } = withoutCurrent(slot, context);
  return { slot, step, superfluous: completed ? [...superfluous, ...slot.active] : superfluous };
}

/** Whether a task runs what the service now asks for. */
const isCurrent = (task: Task, { templateVersion }: SlotContext): boolean =>
  task.specVersion >= templateVersion;

const isDrained = (task: Task, { nodes }: SlotContext): boolean =>
  nodes.get(task.nodeId)?.node.availability === Availability.DRAIN;

/** A pending task has nothing to lose, so only one of the very newest spec is kept; stop-first wants the slot empty. */
function mayWaitForNode(task: Task, slot: Slot, { version, startFirst }: SlotContext): boolean {
  if (task.specVersion !== version) return false;
  return startFirst || (slot.active.length === 0 && slot.stopping.length === 0);
}

function aroundBest(slot: Slot, best: Task): SlotDecision {
  if (!runsWell(best)) return { slot, step: { kind: "unready", task: best }, superfluous: slot.pending };
  const others = slot.active.filter((task) => task !== best);
  return { slot, step: { kind: "settled" }, superfluous: [...others, ...slot.pending] };
}

interface EmptyStep {
  readonly step: SlotStep;
  /** The current version has done its work here, so what else is active can go. */
  readonly completed: boolean;
}

function withoutCurrent(slot: Slot, context: SlotContext): EmptyStep {
  const { spec, templateVersion, now } = context;
  const restart = decideRestart({ ended: slot.ended, policy: spec.task?.restart, templateVersion, now });
  const running = slot.active[0];
  if (running !== undefined) return besideOld(running, restart, slot, context);
  if (slot.stopping.length > 0) {
    return {
      step: { kind: "wait", why: "its former task has not confirmed that it stopped" },
      completed: false,
    };
  }
  return { step: emptyStep(restart, slot), completed: false };
}

function emptyStep(restart: RestartDecision, slot: Slot): SlotStep {
  switch (restart.kind) {
    case "now":
      return { kind: "fill", restarts: restart.restarts };
    case "at":
      return { kind: "wait", why: `it restarts after ${lastWords(slot)}`, atMs: restart.atMs };
    case "completed":
      return { kind: "settled" };
    default:
      return { kind: "given-up", why: `${restart.why} (${lastWords(slot)})` };
  }
}

function besideOld(running: Task, restart: RestartDecision, slot: Slot, context: SlotContext): EmptyStep {
  const because = isCurrent(running, context) ? "drained" : "outdated";
  const replace = (trial: Trial): EmptyStep => ({
    step: { kind: "replace", because, trial },
    completed: false,
  });
  const newest = slot.ended[0];
  const tried =
    newest !== undefined && isCurrent(newest, context) && newest.createdAtMs > running.createdAtMs;
  if (!tried || !context.startFirst) return replace({ kind: "none" });
  switch (restart.kind) {
    case "now":
      return replace({ kind: "retry", restarts: restart.restarts });
    case "at":
      return replace({ kind: "failed", why: lastWords(slot), atMs: restart.atMs });
    case "completed":
      return { step: { kind: "settled" }, completed: true };
    default:
      return replace({ kind: "failed", why: `${restart.why} (${lastWords(slot)})` });
  }
}

function lastWords(slot: Slot): string {
  const status = slot.ended[0]?.status;
  if (status === undefined) return "its task ended";
  if (status.message !== "") return status.message;
  return status.exitCode === undefined ? "its task ended" : `exit code ${status.exitCode}`;
}
