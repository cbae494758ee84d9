import { DesiredState, type Service, type Task, TaskState, type TaskStatus } from "@berth/proto";
import { status } from "./apply-action.js";
import type { Need } from "./filters.js";
import type { ClusterView, NodeView, ReconcileContext } from "./model.js";
import type { Action } from "./plan.js";
import { explain, fits, place, type ServiceLoad } from "./schedule.js";
import type { SlotRef } from "./slots.js";

/** Tasks that are to get a node: those that look for one already, and those to be made. */
export interface Seats {
  readonly pending: readonly Task[];
  readonly fills: readonly Fill[];
}

export interface Fill {
  readonly ref: SlotRef;
  readonly restarts: number;
}

export interface SeatingContext extends ReconcileContext {
  readonly service: Service;
  readonly need: Need;
  readonly load: ServiceLoad;
  readonly cluster: ClusterView;
}

/** Replicated: any node will do. Tasks that find none are NEW, with the reason. */
export function seatAnywhere({ pending, fills }: Seats, context: SeatingContext): readonly Action[] {
  const count = pending.length + fills.length;
  if (count === 0) return [];
  const { nodeIds, reason } = place({ count, need: context.need, load: context.load }, context.cluster);
  const actions: Action[] = [];
  pending.forEach((task, index) => {
    actions.push(...seatPending(task, nodeIds[index], reason));
  });
  fills.forEach((fill, index) => {
    const nodeId = nodeIds[pending.length + index];
    actions.push(
      nodeId === undefined ? createWaiting(fill, reason, context) : createOn(nodeId, fill, context),
    );
  });
  return actions;
}

/**
 * Global: each slot has its node. A NEW task belongs to no node, so those that wait stand for any of the nodes that
 * cannot take theirs, and as many are kept as there are such nodes.
 */
export function seatOnNodes({ pending, fills }: Seats, context: SeatingContext): readonly Action[] {
  const waiting = [...pending];
  const actions: Action[] = [];
  const full: Fill[] = [];
  for (const fill of fills) {
    const view = context.cluster.nodes.get(fill.ref.nodeId);
    if (view === undefined || !fits(view, context.need, context.load)) {
      full.push(fill);
      continue;
    }
    const task = waiting.shift();
    actions.push(
      task === undefined
        ? createOn(fill.ref.nodeId, fill, context)
        : { kind: "assign-task", task, nodeId: fill.ref.nodeId },
    );
  }
  return [...actions, ...seatStandIns(waiting, full, context)];
}

function seatStandIns(
  waiting: readonly Task[],
  full: readonly Fill[],
  context: SeatingContext,
): readonly Action[] {
  const reason = explain(viewsOf(full, context.cluster), context.need, context.load);
  const kept = waiting.slice(0, full.length).flatMap((task) => seatPending(task, undefined, reason));
  const surplus = waiting
    .slice(full.length)
    .map((task): Action => ({ kind: "delete-task", task, reason: "no node waits for it any more" }));
  const made = full.slice(waiting.length).map((fill) => createWaiting(fill, reason, context));
  return [...kept, ...surplus, ...made];
}

function viewsOf(fills: readonly Fill[], cluster: ClusterView): readonly NodeView[] {
  return fills.flatMap((fill) => cluster.nodes.get(fill.ref.nodeId) ?? []);
}

function seatPending(task: Task, nodeId: string | undefined, reason: string): readonly Action[] {
  if (nodeId !== undefined) return [{ kind: "assign-task", task, nodeId }];
  if (task.status?.message === reason) return [];
  return [{ kind: "update-message", task, message: reason }];
}

function createOn(nodeId: string, fill: Fill, context: SeatingContext): Action {
  const assigned = status({ state: TaskState.ASSIGNED, message: "", now: context.now });
  return { kind: "create-task", task: newTask(fill, { nodeId, status: assigned }, context) };
}

function createWaiting(fill: Fill, reason: string, context: SeatingContext): Action {
  const waiting = status({ state: TaskState.NEW, message: reason, now: context.now });
  return { kind: "create-task", task: newTask(fill, { nodeId: "", status: waiting }, context) };
}

function newTask(
  fill: Fill,
  start: { readonly nodeId: string; readonly status: TaskStatus },
  { service, now, newId }: SeatingContext,
): Task {
  return {
    id: newId(),
    serviceId: service.id,
    serviceName: service.spec?.name ?? "",
    stack: service.spec?.stack ?? "",
    slot: fill.ref.number,
    nodeId: start.nodeId,
    specVersion: service.version,
    desiredState: DesiredState.RUNNING,
    status: start.status,
    createdAtMs: now,
    restarts: fill.restarts,
    jobIteration: 0,
    moveTo: "",
  };
}
