import { DesiredState, type Service, type Task, TaskState } from "@berth/proto";
import { status } from "../apply-action.js";
import type { Action } from "../model/plan.js";
import type { SlotRef } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, ReconcileContext } from "../model/snapshot.js";
import type { TaskRequirements } from "./filters.js";
import { explainNoCapacity, fitTest, type Placement, place, type ServiceLoad } from "./place.js";

/** Tasks that are to get a node: those that look for one already, and those to be made. */
export interface Placements {
  readonly pending: readonly Task[];
  readonly fills: readonly SlotFill[];
}

/** A slot that gets a task. */
export interface SlotFill extends SlotRef {
  /** Absent: none. A slot that does not exist yet is a fill as it is: a service may get a hundred thousand at once. */
  readonly restarts?: number;
  /** The node that it goes to if that has room. */
  readonly preferredNodeId?: string;
}

export interface PlacementContext extends ReconcileContext {
  readonly service: Service;
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
  readonly cluster: ClusterSnapshot;
  /** Of a job: the run that new tasks belong to. */
  readonly jobIteration?: number;
}

/** Replicated: any node will do. Tasks that find none are NEW, with the reason. */
export function placeReplicated(
  { pending, fills }: Placements,
  context: PlacementContext,
): readonly Action[] {
  const count = pending.length + fills.length;
  if (count === 0) return [];
  const { requirements: need, load, cluster, holdReason } = context;
  const wishes: string[] = [];
  for (const { preferredNodeId: wish } of fills) if (wish !== undefined) wishes.push(wish);
  const placement =
    holdReason === ""
      ? place({ count, requirements: need, load, preferredNodeIds: wishes }, cluster)
      : { nodeIds: [], onPreferred: [], reason: holdReason };
  const maker = taskMaker(context, placement.reason);
  const nodeOf = handOut(placement);
  const actions: Action[] = [];
  for (const task of pending) actions.push(...seatPending(task, nodeOf(undefined), placement.reason));
  for (const fill of fills) actions.push(maker(fill, nodeOf(fill.preferredNodeId)));
  return actions;
}

/** Gives each task in turn its node: those that wished for one theirs, while it was granted, the others the next. */
function handOut({
  nodeIds,
  onPreferred: granted,
}: Omit<Placement, "reason">): (wish: string | undefined) => string | undefined {
  const wishes = [...granted];
  let next = 0;
  return (wish) => {
    const at = wish === undefined ? -1 : wishes.indexOf(wish);
    if (at >= 0) return wishes.splice(at, 1)[0];
    next += 1;
    return nodeIds[next - 1];
  };
}

/**
 * Global: each slot has its node. A NEW task belongs to no node, so those that wait stand for any of the nodes that
 * cannot take theirs, and as many are kept as there are such nodes.
 */
export function placeGlobal({ pending, fills }: Placements, context: PlacementContext): readonly Action[] {
  if (context.holdReason !== "") return seatStandIns(pending, fills, context);
  const waiting = [...pending];
  const actions: Action[] = [];
  const full: SlotFill[] = [];
  const fits = fitTest(context, context.cluster);
  const maker = taskMaker(context, "");
  for (const fill of fills) {
    const { nodeId } = fill;
    const view = context.cluster.nodes.get(nodeId);
    if (view === undefined || !fits(view)) {
      full.push(fill);
      continue;
    }
    const task = waiting.shift();
    actions.push(task === undefined ? maker(fill, nodeId) : { kind: "assign-task", task, nodeId });
  }
  return [...actions, ...seatStandIns(waiting, full, context)];
}

function seatStandIns(
  waiting: readonly Task[],
  full: readonly SlotFill[],
  context: PlacementContext,
): readonly Action[] {
  const reason =
    context.holdReason || explainNoCapacity(viewsOf(full, context.cluster), context, context.cluster);
  const maker = taskMaker(context, reason);
  const kept = waiting.slice(0, full.length).flatMap((task) => seatPending(task, undefined, reason));
  const surplus = waiting
    .slice(full.length)
    .map((task): Action => ({ kind: "delete-task", task, reason: "no node waits for it any more" }));
  const made = full.slice(waiting.length).map((fill) => maker(fill, undefined));
  return [...kept, ...surplus, ...made];
}

function viewsOf(fills: readonly SlotFill[], cluster: ClusterSnapshot): readonly NodeSnapshot[] {
  return fills.flatMap((fill) => cluster.nodes.get(fill.nodeId) ?? []);
}

function seatPending(task: Task, nodeId: string | undefined, reason: string): readonly Action[] {
  if (nodeId !== undefined) return [{ kind: "assign-task", task, nodeId }];
  if (task.status?.message === reason) return [];
  return [{ kind: "update-message", task, message: reason }];
}

type TaskMaker = (fill: SlotFill, nodeId: string | undefined) => Action;

/**
 * Makes the new tasks of one plan, those without a node with the reason. Records never change, so what is equal in
 * all of them is there once: a service may get a hundred thousand tasks in one plan.
 */
function taskMaker({ service, now, newId, jobIteration = 0 }: PlacementContext, reason: string): TaskMaker {
  const assigned = status({ state: TaskState.ASSIGNED, message: "", now });
  const waiting = status({ state: TaskState.NEW, message: reason, now });
  const serviceName = service.spec?.name ?? "";
  const stack = service.spec?.stack ?? "";
  return ({ number, restarts = 0 }, nodeId) => ({
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
      status: nodeId === undefined ? waiting : assigned,
      createdAtMs: now,
      restarts,
      jobIteration,
      preferredNodeId: "",
    },
  });
}
