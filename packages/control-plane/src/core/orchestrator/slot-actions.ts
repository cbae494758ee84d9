import { assertNever, DesiredState, type ServiceSpec, type Task } from "@berth/proto";
import type { Action } from "../model/plan.js";
import { type Slot, slotKey } from "../model/slots.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../model/snapshot.js";
import type { StableTasks } from "../model/task-index.js";
import { currentTest } from "../model/template.js";
import { type Placements, placeGlobal, placeReplicated, type SlotFill } from "../scheduler/place-tasks.js";
import { getRequirements } from "../scheduler/requirements.js";
import { computeServiceLoad } from "../scheduler/service-load.js";
import type { DesiredSlots } from "./desired-slots.js";
import type { SlotState } from "./slot-state.js";
import { type GoneTest, removeTask } from "./task-removal.js";

/** What the slots that a service keeps need now. */
export interface SlotActions {
  /** Tasks that need a node, by the version that they run. Several versions only exist while a rollout is paused. */
  readonly placements: ReadonlyMap<number, Placements>;
  /** Stops and deletions of tasks. */
  readonly removals: readonly Action[];
  /** Tasks that keep their node, one per slot. */
  readonly staying: readonly Task[];
}

export interface SlotActionsContext {
  /** Version of the service. */
  readonly version: number;
  /** Version of tasks in slots that do not exist yet. */
  readonly newSlotVersion: number;
  /** Slots whose task may be replaced now. */
  readonly batch: ReadonlySet<SlotState>;
  /** Keys of the slots that the active rollout counts as failed. */
  readonly failedSlots: ReadonlySet<string>;
  readonly startFirst: boolean;
  readonly isGone: GoneTest;
}

const REPLACEMENT_REASONS = {
  outdated: "a newer version replaces it",
  drained: "its node is drained",
  moved: "it moves to a node with fewer tasks",
} as const;

const NEVER_READY = "replacement never became healthy";

/** Collects the actions of all slots. A slot that needs nothing costs next to nothing. */
export function slotActions(
  states: readonly SlotState[],
  { missing, unbound }: Pick<DesiredSlots, "missing" | "unbound">,
  context: SlotActionsContext,
): SlotActions {
  const { version, startFirst, isGone } = context;
  const placements = new Map<number, { readonly pending: Task[]; readonly fills: SlotFill[] }>();
  const removals: Action[] = [];
  const staying: Task[] = [];

  const placementsOf = (taskVersion: number): { readonly pending: Task[]; readonly fills: SlotFill[] } => {
    const known = placements.get(taskVersion);
    if (known !== undefined) return known;
    const created = { pending: [], fills: [] };
    placements.set(taskVersion, created);
    return created;
  };
  const stop = (tasks: readonly Task[], reason: string): void => {
    const removal = { desired: DesiredState.SHUTDOWN, reason, isGone } as const;
    for (const task of tasks) removals.push(...removeTask(task, removal));
  };
  const stay = ({ slot, superfluous }: SlotState): void => {
    const task = slot.active.find((each) => !superfluous.includes(each));
    if (task !== undefined) staying.push(task);
  };
  const fill = (state: SlotState, restarts: number): void => {
    placementsOf(state.version).fills.push(createFill(state.slot, restarts));
  };

  for (const state of states) {
    const { slot, step } = state;
    const hasFailed = context.failedSlots.size > 0 && context.failedSlots.has(slotKey(slot));
    stop(state.superfluous, "another task fills its slot");
    switch (step.kind) {
      case "running":
      case "completed":
      case "monitoring":
        stay(state);
        break;
      case "starting":
        // The outdated task beside it still serves.
        if (hasFailed && slot.active.length > 1) stop([step.task], NEVER_READY);
        else stay(state);
        break;
      case "pending":
        if (hasFailed && slot.active.length > 0) stop([step.task], NEVER_READY);
        else placementsOf(step.task.specVersion).pending.push(step.task);
        break;
      case "vacant":
        fill(state, step.restarts);
        break;
      case "replace":
        // A slot that waits for the node of its replacement counts as staying nowhere: spreading looks at where tasks
        // will be, not where they were.
        if (!context.batch.has(state)) stay(state);
        else if (!startFirst) stop(slot.active, REPLACEMENT_REASONS[step.cause]);
        else fill(state, step.attempt.kind === "retry" ? step.attempt.restarts : 0);
        break;
      case "waiting":
      case "given-up":
        break;
      default:
        assertNever(step);
    }
  }
  const newSlots = placementsOf(context.newSlotVersion).fills;
  for (const slot of missing) newSlots.push(slot);
  for (const task of unbound) {
    if (task.specVersion === version) placementsOf(version).pending.push(task);
    else stop([task], "its spec has changed");
  }
  return { placements, removals, staying };
}

function createFill(slot: Slot, restarts: number): SlotFill {
  const { number, nodeId } = slot;
  const preferredNodeId = findPreferredNode(slot);
  return { number, nodeId, restarts, ...(preferredNodeId === undefined ? {} : { preferredNodeId }) };
}

/** Returns the node that a move of the slot's last task asked for. */
export function findPreferredNode(slot: Slot): string | undefined {
  const asked = slot.active.find((task) => task.preferredNodeId !== "") ?? slot.ended[0];
  return asked === undefined || asked.preferredNodeId === "" ? undefined : asked.preferredNodeId;
}

export interface PlaceSlotsContext extends ReconcileContext {
  /** The service with the tasks that need a decision. */
  readonly snapshot: ServiceTasks;
  readonly cluster: ClusterSnapshot;
  /** All other tasks. */
  readonly stable: StableTasks | undefined;
}

/**
 * Places the tasks of the first version that has any to place. Tasks of one version are equal to the scheduler; the
 * next version has to see what they reserve, so it waits for the next plan. `isComplete` is false when one waits.
 */
export function placeSlots(
  { placements, staying }: Pick<SlotActions, "placements" | "staying">,
  context: PlaceSlotsContext,
): { readonly actions: readonly Action[]; readonly isComplete: boolean } {
  const waiting = [...placements].filter(([, { pending, fills }]) => pending.length + fills.length > 0);
  for (const [index, [version, wanted]] of waiting.entries()) {
    const actions = placeVersion(version, wanted, staying, context);
    if (actions.length > 0) return { actions, isComplete: index === waiting.length - 1 };
  }
  return { actions: [], isComplete: true };
}

function placeVersion(
  asked: number,
  wanted: Placements,
  staying: readonly Task[],
  context: PlaceSlotsContext,
): readonly Action[] {
  const { snapshot, cluster, stable, now } = context;
  const { version, spec } = resolveVersion(asked, snapshot);
  const isCurrent = currentTest(snapshot.service);
  const load = computeServiceLoad(snapshot.tasks, staying, { isCurrent, now, stable });
  const placeTasks = spec.mode?.$case === "global" ? placeGlobal : placeReplicated;
  const service = { ...snapshot.service, version };
  const requirements = getRequirements(spec);
  return placeTasks(wanted, { ...context, service, requirements, load, cluster, jobIteration: 0 });
}

/** Falls back to the newest version when the spec of an old one is no longer kept. */
function resolveVersion(
  version: number,
  { service, spec, revisions }: ServiceTasks,
): { readonly version: number; readonly spec: ServiceSpec } {
  const kept = version === service.version ? spec : revisions.get(version);
  return kept === undefined ? { version: service.version, spec } : { version, spec: kept };
}
