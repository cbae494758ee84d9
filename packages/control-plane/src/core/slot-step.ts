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
  /** None may be made before that time, or before something else changes. */
  | { readonly kind: "held"; readonly why: string; readonly atMs?: number };

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

const NOT_STOPPED = "its former task has not confirmed that it stopped";

/** Looks at one slot alone; what the rest of the service allows is the rollout's business. */
export function decideSlot(slot: Slot, context: SlotContext): SlotDecision {
  const good = slot.active.filter((task) => isCurrent(task, context) && !isDrained(task, context));
  const best = good.find(runsWell) ?? good[0];
  if (best !== undefined) return aroundBest(slot, best);
  const pending = slot.pending.find((task) => mayWaitForNode(task, slot, context));
  const superfluous = slot.pending.filter((task) => task !== pending);
  if (pending !== undefined) return { slot, step: { kind: "pending", task: pending }, superfluous };
  const bare = withoutCurrent(slot, context);
  return { slot, step: bare.step, superfluous: [...superfluous, ...bare.superfluous] };
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

type BareDecision = Pick<SlotDecision, "step" | "superfluous">;

function withoutCurrent(slot: Slot, context: SlotContext): BareDecision {
  const { spec, templateVersion, now } = context;
  const restart = decideRestart({ ended: slot.ended, policy: spec.task?.restart, templateVersion, now });
  if (slot.active.length > 0) return besideOld(slot, restart, context);
  if (slot.stopping.length > 0) return { step: { kind: "wait", why: NOT_STOPPED }, superfluous: [] };
  return { step: emptyStep(restart, slot), superfluous: [] };
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

/** Of several old tasks (an update overtook another) the one that serves stays until the newest version does. */
function besideOld(slot: Slot, restart: RestartDecision, context: SlotContext): BareDecision {
  const keeper = slot.active.find(runsWell) ?? slot.active.at(-1);
  const superfluous = slot.active.filter((task) => task !== keeper);
  if (restart.kind === "completed" && wasTried(slot, keeper, context)) {
    return { step: { kind: "settled" }, superfluous: slot.active };
  }
  const because = keeper !== undefined && isCurrent(keeper, context) ? "drained" : "outdated";
  const crowded = superfluous.length + slot.stopping.length > 0;
  const trial: Trial = crowded ? { kind: "held", why: NOT_STOPPED } : trialOf(slot, keeper, restart, context);
  return { step: { kind: "replace", because, trial }, superfluous };
}

function trialOf(
  slot: Slot,
  keeper: Task | undefined,
  restart: RestartDecision,
  context: SlotContext,
): Trial {
  if (!wasTried(slot, keeper, context)) return { kind: "none" };
  switch (restart.kind) {
    case "now":
      return { kind: "retry", restarts: restart.restarts };
    case "at":
      return { kind: "held", why: lastWords(slot), atMs: restart.atMs };
    case "completed":
      return { kind: "none" };
    default:
      return { kind: "held", why: `${restart.why} (${lastWords(slot)})` };
  }
}

/** Whether a start-first replacement was made for this task and has ended. */
function wasTried(slot: Slot, keeper: Task | undefined, context: SlotContext): boolean {
  const newest = slot.ended[0];
  if (!context.startFirst || newest === undefined || keeper === undefined) return false;
  return isCurrent(newest, context) && newest.createdAtMs > keeper.createdAtMs;
}

function lastWords(slot: Slot): string {
  const status = slot.ended[0]?.status;
  if (status === undefined) return "its task ended";
  if (status.message !== "") return status.message;
  return status.exitCode === undefined ? "its task ended" : `exit code ${status.exitCode}`;
}
