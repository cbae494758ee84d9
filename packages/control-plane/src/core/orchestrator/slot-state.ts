import type { ServiceSpec, Task } from "@berth/proto";
import type { Slot } from "../model/slots.js";
import type { NodeSnapshot } from "../model/snapshot.js";
import { isReady, provenAtMs } from "../model/task-state.js";
import type { CurrentTest } from "../model/template.js";
import { decideRestart, type RestartDecision } from "./restart.js";
import { type LeavingReason, whyLeaves } from "./slots/leaving.js";

/** What one slot needs next. */
export type SlotStep =
  /** A task of the current version runs well; without one: it has completed. */
  | { readonly kind: "settled"; readonly task?: Task }
  /** A task of the current version runs, not yet for long enough to stop the outdated one beside it. */
  | { readonly kind: "proving"; readonly task: Task; readonly atMs: number }
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
  /** What it runs is outdated, or is to leave its node. */
  | { readonly kind: "replace"; readonly because: "outdated" | LeavingReason; readonly trial: Trial };

/** How a start-first replacement beside the old task fares. */
export type Trial =
  | { readonly kind: "none" }
  /** It failed; the next may be made now. */
  | { readonly kind: "retry"; readonly restarts: number }
  /** None may be made before that time, or before something else changes. */
  | { readonly kind: "held"; readonly why: string; readonly atMs?: number };

export interface SlotContext {
  readonly spec: ServiceSpec;
  /** Version of new tasks. */
  readonly version: number;
  /** Whether a task runs what it should. */
  readonly isCurrent: CurrentTest;
  /** Nothing is to be replaced by something else: what ended comes back as the version that it was. */
  readonly isFrozen: boolean;
  readonly startFirst: boolean;
  readonly monitorMs: number;
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  readonly now: number;
}

export interface SlotDecision {
  readonly slot: Slot;
  readonly step: SlotStep;
  /** Version of whatever is made in the slot. */
  readonly version: number;
  /** Tasks that are not needed whatever the rest of the service does. */
  readonly superfluous: readonly Task[];
}

const NOT_STOPPED = "its former task has not confirmed that it stopped";

/** Looks at one slot alone; what the rest of the service allows is the rollout's business. */
export function decideSlot(slot: Slot, context: SlotContext): SlotDecision {
  if (!context.isFrozen) return decideAs(context.version, slot, context);
  const version = latestVersion(slot, context);
  const ended = slot.ended.filter((task) => task.specVersion === version);
  return decideAs(version, { ...slot, ended }, context);
}

function decideAs(version: number, slot: Slot, context: SlotContext): SlotDecision {
  const good = slot.active.filter(
    (task) => context.isCurrent(task) && whyLeaves(task, context.nodes) === undefined,
  );
  const best = good.find(isReady) ?? good[0];
  if (best !== undefined) return { slot, version, ...aroundBest(slot, best, context) };
  const pending = slot.pending.find((task) => task.specVersion === version && mayWaitForNode(slot, context));
  const superfluous = slot.pending.filter((task) => task !== pending);
  if (pending !== undefined) return { slot, version, step: { kind: "pending", task: pending }, superfluous };
  const bare = withoutCurrent(slot, context);
  return { slot, version, step: bare.step, superfluous: [...superfluous, ...bare.superfluous] };
}

/**
 * The version of the task that was the last to run in a slot: what never ran is not worth bringing back while
 * something else did. Tasks without a node belong to no slot of a global service, so these have the newest version.
 */
function latestVersion(slot: Slot, { version }: SlotContext): number {
  if (slot.nodeId !== "") return version;
  const known = slot.active.length > 0 ? slot.active : slot.ended;
  const ran = known.filter(({ status }) => status?.runningSinceMs !== undefined);
  const sinceMs = (task: Task): number => task.status?.sinceMs ?? 0;
  const [first, ...others] = ran.length > 0 ? ran : known;
  if (first === undefined) return slot.pending[0]?.specVersion ?? version;
  return others.reduce((latest, task) => (sinceMs(task) > sinceMs(latest) ? task : latest), first)
    .specVersion;
}

/** A pending task has nothing to lose, so only one of the very newest spec is kept; stop-first wants the slot empty. */
function mayWaitForNode(slot: Slot, { startFirst }: SlotContext): boolean {
  return startFirst || (slot.active.length === 0 && slot.stopping.length === 0);
}

type BareDecision = Pick<SlotDecision, "step" | "superfluous">;

/** What is outdated goes on until its successor has proven itself; what is drained only until it runs. */
function aroundBest(slot: Slot, best: Task, { isCurrent, monitorMs, now }: SlotContext): BareDecision {
  if (!isReady(best)) return { step: { kind: "unready", task: best }, superfluous: slot.pending };
  const others = slot.active.filter((task) => task !== best);
  const atMs = provenAtMs(best, monitorMs);
  if (atMs > now && others.some((task) => !isCurrent(task) && isReady(task))) {
    return { step: { kind: "proving", task: best, atMs }, superfluous: slot.pending };
  }
  return { step: { kind: "settled", task: best }, superfluous: [...others, ...slot.pending] };
}

function withoutCurrent(slot: Slot, context: SlotContext): BareDecision {
  const { spec, isCurrent, now } = context;
  const restart = decideRestart({ ended: slot.ended, policy: spec.task?.restart, isCurrent, now });
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
  const keeper = slot.active.find(isReady) ?? slot.active.at(-1);
  const superfluous = slot.active.filter((task) => task !== keeper);
  if (restart.kind === "completed" && wasTried(slot, keeper, context)) {
    return { step: { kind: "settled" }, superfluous: slot.active };
  }
  const isCurrent = keeper !== undefined && context.isCurrent(keeper);
  const because = (isCurrent && whyLeaves(keeper, context.nodes)) || "outdated";
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
  return context.isCurrent(newest) && newest.createdAtMs > keeper.createdAtMs;
}

/** How the newest ended task of a slot ended, for a person. */
export function lastWords(slot: Slot): string {
  const status = slot.ended[0]?.status;
  if (status === undefined) return "its task ended";
  if (status.message !== "") return status.message;
  return status.exitCode === undefined ? "its task ended" : `exit code ${status.exitCode}`;
}
