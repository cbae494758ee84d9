import type { Task } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, type Slot, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady } from "../model/task-state.js";
import { currentTest } from "../model/template.js";
import { addTask, type Candidate, candidateOf } from "../scheduler/candidates.js";
import { requirementsOf, type TaskRequirements } from "../scheduler/filters.js";
import { place, type ServiceLoad } from "../scheduler/place.js";
import type { ResourceRequest } from "../scheduler/resource-request.js";
import { serviceLoadOf } from "../scheduler/service-load.js";
import { spreadCounts } from "../scheduler/spread.js";
import { DraftCluster } from "./draft-cluster.js";

/** A task that would be better off elsewhere. */
export interface RebalanceMove {
  readonly task: Task;
  readonly to: string;
  /** For a person. */
  readonly why: string;
}

export interface RebalanceOptions {
  /** Infinity: as many as it takes. */
  readonly maxMoves: number;
  readonly now: number;
}

/** More moves than this at once are an upheaval; a second call makes the rest. */
const MOST_MOVES = 1_000;

/**
 * Moves that make the cluster more even, each weighed with those before it. A move takes a task from where its
 * service is thickest to where placement would put it now, if that spreads the service more evenly, or leaves its
 * spread as it is and relieves the fuller of the two nodes. So every move lowers the imbalance, and no task moves
 * twice.
 *
 * Only replicated services that are just as they should be take part: whatever else happens to a service comes
 * first. Those with sticky volumes stay where their data is.
 */
export function rebalance(
  cluster: ClusterSnapshot,
  services: readonly ServiceSnapshot[],
  { maxMoves, now }: RebalanceOptions,
): readonly RebalanceMove[] {
  const draft = new DraftCluster(cluster);
  const movers = services.flatMap((view) => rebalanceCandidateOf(view, cluster, now) ?? []);
  const limit = Math.min(maxMoves, MOST_MOVES);
  const moves: RebalanceMove[] = [];
  for (const gain of IMPROVEMENTS) {
    for (let before = -1; before < moves.length && moves.length < limit; ) {
      before = moves.length;
      for (const mover of movers) {
        const move = moves.length < limit ? nextMove(mover, draft, gain) : undefined;
        if (move !== undefined) moves.push(move);
      }
    }
  }
  return moves;
}

/** Tries the move out in the draft, and leaves it there if it is one. */
function nextMove(
  mover: RebalanceCandidate,
  draft: DraftCluster,
  gain: Improvement,
): RebalanceMove | undefined {
  const { requirements: need, load, movable, count } = mover;
  const from = mostLoadedNode(mover, draft);
  const tasks = movable.get(from) ?? [];
  const task = tasks.at(-1);
  if (task === undefined) return undefined;
  draft.remove(from, need.resources);
  count(from, -1);
  const [to = from] = place({ count: 1, requirements: need, load }, draft).nodeIds;
  const isWorse = to === from || load.avoided.has(to);
  const why = isWorse ? undefined : gain({ from, to, mover, cluster: draft });
  const where = why === undefined ? from : to;
  draft.add(where, need.resources);
  count(where, 1);
  if (why === undefined) return undefined;
  tasks.pop();
  return { task, to, why };
}

/** The node with movable tasks that placement would choose last; empty when there is none. */
function mostLoadedNode(
  { requirements: need, load, movable }: RebalanceCandidate,
  draft: DraftCluster,
): string {
  const countsAt = spreadCounts(load.tasksByNode, draft.nodes, need.spread);
  let thickest: { readonly id: string; readonly rank: readonly number[] } = { id: "", rank: [] };
  for (const [id, tasks] of movable) {
    const view = draft.nodes.get(id);
    if (view === undefined || tasks.length === 0) continue;
    const { share, tasks: all } = candidateOf(view, { room: 0, staying: 0 });
    const rank = [...countsAt(id), share, all];
    if (thickest.id === "" || isHigher(rank, thickest.rank)) thickest = { id, rank };
  }
  return thickest.id;
}

/** Compares number by number, the first one first. */
function isHigher(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && (a[at] ?? 0) > (b[at] ?? 0);
}

/** A service whose tasks may be moved, and where they would be by the moves made so far. */
export interface RebalanceCandidate {
  readonly name: string;
  readonly requirements: TaskRequirements;
  readonly load: ServiceLoad;
  /** Tasks that were not moved yet, by node. */
  readonly movable: ReadonlyMap<string, Task[]>;
  /** Counts a task more (1) or less (-1) on a node. */
  readonly count: (nodeId: string, by: 1 | -1) => void;
}

/** Undefined for a service that is not to be touched: its tasks are bound to their nodes, or it is not at rest. */
export function rebalanceCandidateOf(
  view: ServiceSnapshot,
  cluster: ClusterSnapshot,
  now: number,
): RebalanceCandidate | undefined {
  const { service, spec, tasks } = view;
  if (spec.mode?.$case !== "replicated" || service.removing) return undefined;
  if (isRolloutActive(service.rollout) || isRolloutPaused(service.rollout)) return undefined;
  const need = requirementsOf(spec);
  if (need.volumes.length > 0) return undefined;
  const isCurrent = currentTest(service);
  const slots = slotsByNumber(tasks).filter(isInUse);
  const settled = slots.flatMap((slot) => settledTask(slot, isCurrent) ?? []);
  if (settled.length < slots.length) return undefined;

  const { tasksByNode, occupiedByNode, avoided } = serviceLoadOf(tasks, settled, { isCurrent, now });
  const load = { tasksByNode: new Map(tasksByNode), occupiedByNode: new Map(occupiedByNode), avoided };
  const movable = new Map<string, Task[]>();
  for (const task of settled.filter(({ nodeId }) => cluster.nodes.has(nodeId))) {
    movable.set(task.nodeId, [...(movable.get(task.nodeId) ?? []), task]);
  }
  return {
    name: spec.name,
    requirements: need,
    load,
    movable,
    count: (nodeId, by) => {
      for (const counts of [load.tasksByNode, load.occupiedByNode])
        counts.set(nodeId, (counts.get(nodeId) ?? 0) + by);
    },
  };
}

function settledTask(slot: Slot, isCurrent: (task: Task) => boolean): Task | undefined {
  const [task] = slot.active;
  const isAlone = slot.active.length === 1 && slot.pending.length === 0 && slot.stopping.length === 0;
  if (task === undefined || !isAlone) return undefined;
  return isReady(task) && isCurrent(task) && task.preferredNodeId === "" ? task : undefined;
}

/** What the fuller of two nodes must be relieved of at least, as a share of it: a move restarts a task. */
const WORTHWHILE_SHARE = 0.1;

export interface ProposedMove {
  readonly from: string;
  readonly to: string;
  readonly mover: RebalanceCandidate;
  /** With the task on neither node. */
  readonly cluster: ClusterSnapshot;
}

/** Why a task is better on another node than back where it was, for a person; undefined when it is not. */
export type Improvement = (weighed: ProposedMove) => string | undefined;

/** What to gain, the most important first: a later one never costs any of an earlier one. */
export const IMPROVEMENTS: readonly Improvement[] = [evenerSpread, lessLoad];

function evenerSpread(weighed: ProposedMove): string | undefined {
  const { requirements: need, name } = weighed.mover;
  const { here, there, level } = compared(weighed);
  const [more = 0, fewer = 0] = [here[level], there[level]];
  if (fewer >= more) return undefined;
  return `${name} is uneven over ${need.spread[level] ?? "nodes"}: ${tasksText(more + 1)} against ${fewer}`;
}

/** A service that reserves nothing moves no reservation: of such the number of tasks is all that is known. */
function lessLoad(weighed: ProposedMove): string | undefined {
  const { from, to, cluster, mover } = weighed;
  const [source, target] = [cluster.nodes.get(from), cluster.nodes.get(to)];
  if (source === undefined || target === undefined || compared(weighed).level >= 0) return undefined;
  const { resources: demand } = mover.requirements;
  const [before, after] = [withOneMore(source, demand), withOneMore(target, demand)];
  if (demand.nanoCpus > 0 || demand.memoryBytes > 0) {
    if (after.share + WORTHWHILE_SHARE > before.share) return undefined;
    return `its node has ${percentText(before.share)} reserved, the other one will have ${percentText(after.share)}`;
  }
  if (after.tasks >= before.tasks) return undefined;
  return `its node runs ${tasksText(before.tasks)}, the other one ${after.tasks - 1}`;
}

/** The tasks of the service around both nodes, at each level, and the first level that differs; -1: none does. */
function compared({ from, to, mover, cluster }: ProposedMove): {
  readonly here: readonly number[];
  readonly there: readonly number[];
  readonly level: number;
} {
  const countsAt = spreadCounts(mover.load.tasksByNode, cluster.nodes, mover.requirements.spread);
  const [here, there] = [countsAt(from), countsAt(to)];
  return { here, there, level: here.findIndex((count, at) => count !== there[at]) };
}

function withOneMore(view: NodeSnapshot, demand: ResourceRequest): Candidate {
  const candidate = candidateOf(view, { room: 1, staying: 0 });
  addTask(candidate, demand);
  return candidate;
}

const percentText = (share: number): string => `${Math.round(share * 100)} %`;

const tasksText = (count: number): string => (count === 1 ? "1 task" : `${count} tasks`);
