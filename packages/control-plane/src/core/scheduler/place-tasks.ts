import { DesiredState, type OwnerTask, type Service, type Task, TaskState } from "@berth/proto";
import { type Action, newStatus } from "../model/plan.js";
import type { SlotRef } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, ReconcileContext } from "../model/snapshot.js";
import { explainNoCapacity, fitTest } from "./node-capacity.js";
import { type Placement, place } from "./place.js";
import { type FindOwners, placeBesideFunction } from "./place-beside.js";
import type { TaskRequirements } from "./requirements.js";
import type { ServiceLoad } from "./service-load.js";

/** The tasks of a service that need a node now. */
export interface Placements {
  /** Existing tasks without a node. */
  readonly pending: readonly Task[];
  /** Slots that get a new task. */
  readonly fills: readonly SlotFill[];
}

/** A slot that gets a new task. */
export interface SlotFill extends SlotRef {
  /** Number of restarts of the slot. Undefined means 0: a `SlotRef` can then be used as it is. */
  readonly restarts?: number;
  /** The task goes to this node if it has capacity. */
  readonly preferredNodeId?: string | undefined;
}

/** The service whose tasks are placed, and the nodes. */
export interface PlacementContext extends ReconcileContext {
  readonly service: Service;
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
  readonly cluster: ClusterSnapshot;
  /** The job run that new tasks belong to; 0 for services. */
  readonly jobIteration: number;
  /** Whether each slot belongs to a node, as in global services and jobs. */
  readonly isBoundToNodes: boolean;
  /** Finds the owner tasks beside which a task must run. Undefined for a service without owners. */
  readonly findOwners: FindOwners | undefined;
}

/** Places tasks. Tasks that fit on no node stay NEW, with the reason. */
export function placeTasks(placements: Placements, context: PlacementContext): readonly Action[] {
  if (context.isBoundToNodes) return placeGlobal(placements, context);
  const { findOwners } = context;
  return findOwners === undefined
    ? placeReplicated(placements, context)
    : placeCompanions(placements, findOwners, context);
}

/** Places tasks of a replicated service beside the tasks of its owners with the same slots. */
function placeCompanions(
  { pending, fills }: Placements,
  findOwners: FindOwners,
  context: PlacementContext,
): readonly Action[] {
  const { holdReason } = context;
  const placeBeside = placeBesideFunction(findOwners, context);
  const placeSlot: FindOwners = (slot) =>
    holdReason === "" ? placeBeside(slot) : { kind: "missing", reason: holdReason };
  const actions: Action[] = [];
  for (const task of pending) {
    const match = placeSlot({ number: task.slot, nodeId: "" });
    if (match.kind === "found") {
      actions.push(assignTask(task, match.nodeId, match.owners));
    } else {
      actions.push(...updatePending(task, undefined, match.reason));
    }
  }
  for (const fill of fills) {
    const match = placeSlot(fill);
    if (match.kind === "found") {
      actions.push(taskFactory(context, "")(fill, match.nodeId, match.owners));
    } else {
      actions.push(taskFactory(context, match.reason)(fill, undefined));
    }
  }
  return actions;
}

function assignTask(task: Task, nodeId: string, owners: readonly OwnerTask[] = []): Action {
  return { kind: "assign-task", task, nodeId, owners };
}

/** Places tasks of a replicated service on any nodes. */
function placeReplicated({ pending, fills }: Placements, context: PlacementContext): readonly Action[] {
  const count = pending.length + fills.length;
  if (count === 0) return [];
  const { requirements, load, cluster, holdReason } = context;
  const preferredNodeIds: string[] = [];
  for (const { preferredNodeId } of fills) {
    if (preferredNodeId !== undefined) preferredNodeIds.push(preferredNodeId);
  }
  const placement =
    holdReason === ""
      ? place({ count, requirements, load, preferredNodeIds }, cluster)
      : { nodeIds: [], onPreferred: [], reason: holdReason };
  const create = taskFactory(context, placement.reason);
  const nextNode = nodePicker(placement);
  const actions: Action[] = [];
  for (const task of pending) actions.push(...updatePending(task, nextNode(undefined), placement.reason));
  for (const fill of fills) actions.push(create(fill, nextNode(fill.preferredNodeId)));
  return actions;
}

/** Returns a function that picks the node of the next task: the preferred node if it was reserved, or the next best. */
function nodePicker({
  nodeIds,
  onPreferred,
}: Omit<Placement, "reason">): (preferredNodeId: string | undefined) => string | undefined {
  const available = [...onPreferred];
  let next = 0;
  return (preferredNodeId) => {
    const index = preferredNodeId === undefined ? -1 : available.indexOf(preferredNodeId);
    if (index >= 0) return available.splice(index, 1)[0];
    next += 1;
    return nodeIds[next - 1];
  };
}

/**
 * Places tasks of a global service, each on the node of its slot.
 *
 * A NEW task has no node. So the pending tasks are placeholders: one for each node whose task does not fit. A node that
 * has room takes any placeholder.
 */
function placeGlobal({ pending, fills }: Placements, context: PlacementContext): readonly Action[] {
  if (context.holdReason !== "") return updatePlaceholders(pending, fills, context);
  const placeholders = [...pending];
  const actions: Action[] = [];
  const unplaced: SlotFill[] = [];
  const fits = fitTest(context, context.cluster);
  const create = taskFactory(context, "");
  for (const fill of fills) {
    const { nodeId } = fill;
    const snapshot = context.cluster.nodes.get(nodeId);
    const match = context.findOwners?.(fill);
    if (snapshot === undefined || !fits(snapshot) || match?.kind === "missing") {
      unplaced.push(fill);
      continue;
    }
    const task = placeholders.shift();
    const owners = match?.owners ?? [];
    actions.push(task === undefined ? create(fill, nodeId, owners) : assignTask(task, nodeId, owners));
  }
  return [...actions, ...updatePlaceholders(placeholders, unplaced, context)];
}

/** Keeps one placeholder per unplaced slot. Updates their reasons, deletes surplus ones and creates missing ones. */
function updatePlaceholders(
  placeholders: readonly Task[],
  unplaced: readonly SlotFill[],
  context: PlacementContext,
): readonly Action[] {
  const { cluster, findOwners, holdReason } = context;
  const [missing] = unplaced.flatMap((fill) => {
    const match = findOwners?.(fill);
    return match?.kind === "missing" ? match.reason : [];
  });
  const reason = holdReason || missing || explainNoCapacity(slotNodes(unplaced, cluster), context, cluster);
  const create = taskFactory(context, reason);
  const updates = placeholders
    .slice(0, unplaced.length)
    .flatMap((task) => updatePending(task, undefined, reason));
  const deletions = placeholders
    .slice(unplaced.length)
    .map((task): Action => ({ kind: "delete-task", task, reason: "no node is waiting for it" }));
  const creations = unplaced.slice(placeholders.length).map((fill) => create(fill, undefined));
  return [...updates, ...deletions, ...creations];
}

function slotNodes(fills: readonly SlotFill[], cluster: ClusterSnapshot): readonly NodeSnapshot[] {
  return fills.flatMap((fill) => cluster.nodes.get(fill.nodeId) ?? []);
}

function updatePending(task: Task, nodeId: string | undefined, reason: string): readonly Action[] {
  if (nodeId !== undefined) return [assignTask(task, nodeId)];
  if (task.status?.message === reason) return [];
  return [{ kind: "set-pending-reason", task, message: reason }];
}

type TaskFactory = (fill: SlotFill, nodeId: string | undefined, owners?: readonly OwnerTask[]) => Action;

/**
 * Returns a function that creates the new tasks of one plan. Tasks without a node get the reason as their message.
 *
 * One plan may create 100,000 tasks. Records are immutable, so the tasks share their status.
 */
function taskFactory({ service, nowMs, newId, jobIteration }: PlacementContext, reason: string): TaskFactory {
  const assigned = newStatus(TaskState.ASSIGNED, "", nowMs);
  const unplaced = newStatus(TaskState.NEW, reason, nowMs);
  const serviceName = service.spec?.name ?? "";
  const stack = service.spec?.stack ?? "";
  return ({ number, restarts = 0 }, nodeId, owners = []) => ({
    kind: "create-task",
    task: {
      id: newId(),
      serviceId: service.id,
      serviceName,
      stack,
      slot: number,
      nodeId: nodeId ?? "",
      specVersion: service.version,
      desiredState: DesiredState.RUNNING,
      status: nodeId === undefined ? unplaced : assigned,
      createdAtMs: nowMs,
      restarts,
      jobIteration,
      preferredNodeId: "",
      owners: [...owners],
    },
  });
}
