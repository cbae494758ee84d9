import { assertNever, type ServiceSpec, type Task } from "@berth/proto";
import type { Action } from "../model/plan.js";
import { type Slot, type SlotRef, slotKey } from "../model/slots.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../model/snapshot.js";
import type { StableTasks } from "../model/task-index.js";
import { currentTaskFilter } from "../model/template.js";
import { type Placements, placeTasks, type SlotFill } from "../scheduler/place-tasks.js";
import { getRequirements, withCompanions } from "../scheduler/requirements.js";
import { computeServiceLoad } from "../scheduler/service-load.js";
import type { DesiredSlots } from "./desired-slots.js";
import type { OwnerTasks } from "./owner-tasks.js";
import type { SlotState } from "./slot-state.js";
import type { SlotStep } from "./slot-step.js";
import { type GoneTest, stopTasks } from "./task-removal.js";

/** The actions for the slots that a service keeps or adds. */
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
  readonly isGone: GoneTest;
}

const REPLACEMENT_REASONS = {
  outdated: "a newer version replaces it",
  drained: "its node is drained",
  moved: "it moves to a node with fewer tasks",
  "owner-replaced": "it follows its owner task",
} as const;

const NEVER_READY = "replacement never became healthy";

/** Collects the actions of all slots. A slot that needs no action costs almost nothing. */
export function slotActions(
  states: readonly SlotState[],
  { missing, unbound }: Pick<DesiredSlots, "missing" | "unbound">,
  context: SlotActionsContext,
): SlotActions {
  const collector = new SlotActionCollector(context);
  for (const state of states) collector.addSlot(state);
  collector.addNewSlots(missing);
  for (const task of unbound) collector.addUnboundTask(task);
  return collector;
}

class SlotActionCollector implements SlotActions {
  readonly placements = new Map<number, { readonly pending: Task[]; readonly fills: SlotFill[] }>();
  readonly removals: Action[] = [];
  readonly staying: Task[] = [];
  readonly #context: SlotActionsContext;

  constructor(context: SlotActionsContext) {
    this.#context = context;
  }

  addSlot(state: SlotState): void {
    const { slot, step } = state;
    this.#stop(state.superfluous, "another task fills its slot");
    switch (step.kind) {
      case "running":
      case "completed":
      case "monitoring":
        this.#stay(state);
        break;
      case "starting":
        // The outdated task beside it still serves.
        if (slot.active.length > 1 && this.#hasFailed(slot)) {
          this.#stop([step.task], NEVER_READY);
        } else {
          this.#stay(state);
        }
        break;
      case "pending":
        if (slot.active.length > 0 && this.#hasFailed(slot)) {
          this.#stop([step.task], NEVER_READY);
        } else {
          this.#getPlacements(step.task.specVersion).pending.push(step.task);
        }
        break;
      case "vacant":
        this.#fill(state, step.restarts);
        break;
      case "replace":
        this.#replace(state, step);
        break;
      case "waiting":
      case "exhausted":
        break;
      default:
        assertNever(step);
    }
  }

  addNewSlots(slots: readonly SlotRef[]): void {
    const { fills } = this.#getPlacements(this.#context.newSlotVersion);
    for (const slot of slots) fills.push(slot);
  }

  /** Adds a pending task of a global service that belongs to no slot yet. */
  addUnboundTask(task: Task): void {
    const { version } = this.#context;
    if (task.specVersion === version) {
      this.#getPlacements(version).pending.push(task);
    } else {
      this.#stop([task], "its spec has changed");
    }
  }

  /**
   * Replaces the slot's task if the slot is in the batch.
   *
   * The task then does not count as staying: placement spreads tasks by the nodes where they will be.
   */
  #replace(state: SlotState, { cause, attempt }: Extract<SlotStep, { kind: "replace" }>): void {
    if (!this.#context.batch.has(state)) {
      this.#stay(state);
    } else if (!state.startFirst) {
      this.#stop(state.slot.active, REPLACEMENT_REASONS[cause]);
    } else {
      this.#fill(state, attempt.kind === "retry" ? attempt.restarts : 0);
    }
  }

  #hasFailed(slot: Slot): boolean {
    const { failedSlots } = this.#context;
    return failedSlots.size > 0 && failedSlots.has(slotKey(slot));
  }

  #getPlacements(version: number): { readonly pending: Task[]; readonly fills: SlotFill[] } {
    const existing = this.placements.get(version);
    if (existing !== undefined) return existing;
    const created = { pending: [], fills: [] };
    this.placements.set(version, created);
    return created;
  }

  #stop(tasks: readonly Task[], reason: string): void {
    if (tasks.length === 0) return;
    this.removals.push(...stopTasks(tasks, reason, this.#context.isGone));
  }

  #stay({ slot, superfluous }: SlotState): void {
    const task = slot.active.find((candidate) => !superfluous.includes(candidate));
    if (task !== undefined) this.staying.push(task);
  }

  #fill({ slot, version }: SlotState, restarts: number): void {
    this.#getPlacements(version).fills.push(createFill(slot, restarts));
  }
}

function createFill(slot: Slot, restarts: number): SlotFill {
  const { number, nodeId } = slot;
  return { number, nodeId, restarts, preferredNodeId: findPreferredNode(slot) };
}

/** Returns the node to which the slot's task is to move, or undefined if no move was requested. */
export function findPreferredNode(slot: Slot): string | undefined {
  const moving = slot.active.find((task) => task.preferredNodeId !== "") ?? slot.ended[0];
  return moving?.preferredNodeId || undefined;
}

export interface PlaceSlotsContext extends ReconcileContext {
  /** The service with the tasks that need a decision. */
  readonly snapshot: ServiceTasks;
  readonly owners: OwnerTasks | undefined;
  readonly cluster: ClusterSnapshot;
  /** The other tasks of the service. */
  readonly stable: StableTasks | undefined;
}

/**
 * Places the tasks of the first version that has tasks to place.
 *
 * The tasks of one version are equal to the scheduler. The next version has to see their reservations, so it waits for
 * the next plan. `isComplete` is false when a version waits.
 */
export function placeSlots(
  { placements, staying }: Pick<SlotActions, "placements" | "staying">,
  context: PlaceSlotsContext,
): { readonly actions: readonly Action[]; readonly isComplete: boolean } {
  const waiting = [...placements].filter(([, { pending, fills }]) => pending.length + fills.length > 0);
  for (const [index, [version, versionPlacements]] of waiting.entries()) {
    const actions = placeVersion(version, versionPlacements, staying, context);
    if (actions.length > 0) return { actions, isComplete: index === waiting.length - 1 };
  }
  return { actions: [], isComplete: true };
}

function placeVersion(
  requestedVersion: number,
  placements: Placements,
  staying: readonly Task[],
  context: PlaceSlotsContext,
): readonly Action[] {
  const { snapshot, cluster, owners, stable, nowMs } = context;
  const { version, spec } = resolveVersion(requestedVersion, snapshot);
  const isCurrent = currentTaskFilter(snapshot.service);
  const load = computeServiceLoad(snapshot.tasks, staying, { isCurrent, nowMs, stable });
  return placeTasks(placements, {
    ...context,
    service: { ...snapshot.service, version },
    requirements: withCompanions(getRequirements(spec), snapshot.companions),
    load,
    cluster,
    jobIteration: 0,
    isBoundToNodes: spec.mode?.$case === "global",
    findOwners: owners && ((slot) => owners.find(slot)),
  });
}

/** Falls back to the newest version when the spec of an old one is no longer kept. */
function resolveVersion(
  version: number,
  { service, spec, revisions }: ServiceTasks,
): { readonly version: number; readonly spec: ServiceSpec } {
  const versionSpec = version === service.version ? spec : revisions.get(version);
  return versionSpec === undefined ? { version: service.version, spec } : { version, spec: versionSpec };
}
