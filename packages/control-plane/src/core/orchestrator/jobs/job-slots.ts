import { DesiredState, type JobStatus, NodeState, type Task, TaskState } from "@berth/proto";
import { type Slot, type SlotRef, slotsByNode, slotsByNumber } from "../../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, ServiceSnapshot } from "../../model/snapshot.js";
import { isEnded, isPending, shouldRun, stateOf } from "../../model/task-state.js";
import type { TaskRequirements } from "../../scheduler/requirements.js";
import { isActive, nodeSuits } from "../slots/global.js";

/** The slots of one run: each is to complete once. */
export interface JobSlots {
  /** How many have completed and need no look: a run may have a hundred thousand. */
  readonly done: number;
  readonly slots: readonly Slot[];
  /** Slots that no task was made for yet. */
  readonly fresh: readonly SlotRef[];
  /** Tasks that have not ended, of slots that are done. */
  readonly extra: readonly Task[];
  /** Not asked for any more: they go with everything in them. */
  readonly retire: readonly Slot[];
  /** NEW tasks that belong to no slot yet, as those of a global job. */
  readonly unbound: readonly Task[];
}

/** @param tasks those of the run alone */
export function jobSlots(
  run: JobStatus,
  tasks: readonly Task[],
  context: {
    readonly spec: ServiceSnapshot["spec"];
    readonly need: TaskRequirements;
    readonly cluster: ClusterSnapshot;
  },
): JobSlots {
  const { mode } = context.spec;
  return mode?.$case === "replicatedJob"
    ? numberedSlots(tasks, mode.value.totalCompletions)
    : slotsOnNodes(run, tasks, context);
}

function numberedSlots(tasks: readonly Task[], total: number): JobSlots {
  const done = new Set<number>();
  for (const task of tasks) if (task.slot <= total && isDone(task)) done.add(task.slot);
  const open: Task[] = [];
  const extra: Task[] = [];
  const beyond: Task[] = [];
  for (const task of tasks) {
    if (task.slot > total) beyond.push(task);
    else if (!done.has(task.slot)) open.push(task);
    else if (!isEnded(task)) extra.push(task);
  }
  const slots = slotsByNumber(open);
  const begun = new Set(slots.map(({ number }) => number));
  const fresh: SlotRef[] = [];
  for (let number = 1; number <= total; number += 1) {
    if (!done.has(number) && !begun.has(number)) fresh.push({ number, nodeId: "" });
  }
  return { done: done.size, slots, fresh, extra, retire: slotsByNumber(beyond), unbound: [] };
}

/** A record that is being removed says nothing any more: its slot was not asked for at some time. */
const isDone = (task: Task): boolean =>
  stateOf(task) === TaskState.COMPLETE && task.desiredState < DesiredState.REMOVE;

/**
 * The nodes that were there when the run began. One that has a task of the run and went down keeps its slot: the work
 * is that node's, and is done when it is back. One that was drained, removed or no longer meets the constraints is out.
 */
function slotsOnNodes(
  run: JobStatus,
  tasks: readonly Task[],
  { need, cluster }: { readonly need: TaskRequirements; readonly cluster: ClusterSnapshot },
): JobSlots {
  const suits = nodeSuits(need);
  const slots: Slot[] = [];
  const retire: Slot[] = [];
  const known = new Set<string>();
  for (const slot of slotsByNode(tasks)) {
    const view = cluster.nodes.get(slot.nodeId);
    known.add(slot.nodeId);
    if (view !== undefined && (isDown(view) || suits(view))) slots.push(slot);
    else retire.push(slot);
  }
  const others = [...cluster.nodes.values()].filter((view) => !known.has(view.node.id) && suits(view));
  const early = others.filter(({ node }) => node.createdAtMs <= run.startedAtMs);
  // A run that found no node at all takes the first that comes.
  const joining = slots.length === 0 && early.length === 0 ? others : early;
  const fresh = joining.filter(isActive).map(({ node }) => ({ number: 0, nodeId: node.id }));
  fresh.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  const unbound = tasks.filter((task) => task.nodeId === "" && isPending(task) && shouldRun(task));
  return { done: 0, slots, fresh, extra: [], retire, unbound };
}

const isDown = ({ node }: NodeSnapshot): boolean => node.state === NodeState.DOWN;
