import type { Task } from "@berth/proto";
import { isRolloutActive, isRolloutPaused } from "../model/rollout.js";
import { isInUse, type Slot, slotsByNumber } from "../model/slots.js";
import type { ClusterSnapshot, NodeSnapshot, ServiceSnapshot } from "../model/snapshot.js";
import { isReady } from "../model/task-state.js";
import { currentTaskFilter } from "../model/template.js";
import { addTask, type Candidate, createCandidate } from "./candidates.js";
import { DraftCluster } from "./draft-cluster.js";
import { place } from "./place.js";
import { getRequirements, withCompanions } from "./requirements.js";
import type { ResourceRequest } from "./resource-request.js";
import { computeServiceLoad, type ServicePlacement } from "./service-load.js";
import { spreadCounts } from "./spread-counts.js";

/** The move of a task to another node. */
export interface RebalanceMove {
  readonly task: Task;
  /** Node to move to. */
  readonly toNodeId: string;
  /** Improvement that the move brings, for the user. */
  readonly reason: string;
}

export interface RebalanceOptions {
  /** Limit of moves. Infinity when there is none. */
  readonly maxMoves: number;
  readonly nowMs: number;
}

/** Maximum number of moves per call, since each move restarts a task. Later calls return the remaining moves. */
const MAX_MOVES_PER_CALL = 1_000;

/** Minimum difference of the reserved shares of both nodes. Smaller improvements are not worth a restart. */
const MIN_SHARE_IMPROVEMENT = 0.1;

/**
 * Returns the moves that balance the cluster. Each move is evaluated after the moves before it.
 *
 * A move takes a task from the most loaded node of its service to the node that placement would choose now. It either
 * spreads the service more evenly, or keeps its spread and lowers the load of the more loaded node. So every move
 * lowers the imbalance, and no task moves twice.
 *
 * Only tasks of stable replicated services without sticky volumes move. Companions follow their owners.
 */
export function rebalance(
  cluster: ClusterSnapshot,
  services: readonly ServiceSnapshot[],
  { maxMoves, nowMs }: RebalanceOptions,
): readonly RebalanceMove[] {
  const draft = new DraftCluster(cluster);
  const candidates = services.flatMap((snapshot) => findRebalanceCandidate(snapshot, cluster, nowMs) ?? []);
  const limit = Math.min(maxMoves, MAX_MOVES_PER_CALL);
  const moves: RebalanceMove[] = [];
  for (const improvement of IMPROVEMENTS) {
    let hasMoved = true;
    while (hasMoved) {
      const countBefore = moves.length;
      for (const candidate of candidates) {
        const move = moves.length < limit ? nextMove(candidate, draft, improvement) : undefined;
        if (move !== undefined) moves.push(move);
      }
      hasMoved = moves.length > countBefore;
    }
  }
  return moves;
}

/** A service whose tasks may be moved, with the distribution of its tasks after previous moves. */
interface RebalanceCandidate extends ServicePlacement {
  readonly name: string;
  /** The tasks that have not been moved, by node. */
  readonly movable: ReadonlyMap<string, Task[]>;
  /** Adjusts the task count of a node by one. */
  readonly adjustCount: (nodeId: string, by: 1 | -1) => void;
}

/** Returns a service as a candidate, or undefined if it is not stable or its tasks are bound to their nodes. */
function findRebalanceCandidate(
  snapshot: ServiceSnapshot,
  cluster: ClusterSnapshot,
  nowMs: number,
): RebalanceCandidate | undefined {
  const { service, spec, tasks, owners, companions } = snapshot;
  if (spec.mode?.$case !== "replicated" || service.removing || owners !== undefined) return undefined;
  if (isRolloutActive(service.rollout) || isRolloutPaused(service.rollout)) return undefined;
  const requirements = withCompanions(getRequirements(spec), companions);
  if (requirements.volumes.length > 0) return undefined;
  const isCurrent = currentTaskFilter(service);
  const slots = slotsByNumber(tasks).filter(isInUse);
  const stable = slots.flatMap((slot) => stableTask(slot, isCurrent) ?? []);
  if (stable.length < slots.length) return undefined;
  const present = computeServiceLoad(tasks, stable, { isCurrent, nowMs, stable: undefined });
  const tasksByNode = new Map(present.tasksByNode);
  const occupiedByNode = new Map(present.occupiedByNode);
  const movable = new Map<string, Task[]>();
  for (const task of stable) {
    if (!cluster.nodes.has(task.nodeId)) continue;
    movable.set(task.nodeId, [...(movable.get(task.nodeId) ?? []), task]);
  }
  return {
    name: spec.name,
    requirements,
    load: { tasksByNode, occupiedByNode, avoided: present.avoided },
    movable,
    adjustCount: (nodeId, by) => {
      for (const counts of [tasksByNode, occupiedByNode]) counts.set(nodeId, (counts.get(nodeId) ?? 0) + by);
    },
  };
}

/** Returns the only task of a slot if it is ready, current and not being moved. Undefined otherwise. */
function stableTask(slot: Slot, isCurrent: (task: Task) => boolean): Task | undefined {
  const [task] = slot.active;
  const isAlone = slot.active.length === 1 && slot.pending.length === 0 && slot.stopping.length === 0;
  if (task === undefined || !isAlone) return undefined;
  return isReady(task) && isCurrent(task) && task.preferredNodeId === "" ? task : undefined;
}

/** Tries the next move of a service in the draft. Reverts it and returns undefined unless it is an improvement. */
function nextMove(
  candidate: RebalanceCandidate,
  draft: DraftCluster,
  improvement: Improvement,
): RebalanceMove | undefined {
  const { requirements, load, movable, adjustCount } = candidate;
  const { resources } = requirements;
  const from = mostLoadedNode(candidate, draft);
  const tasks = (from === undefined ? undefined : movable.get(from)) ?? [];
  const task = tasks.at(-1);
  if (from === undefined || task === undefined) return undefined;
  draft.removeTask(from, resources);
  adjustCount(from, -1);
  const [to = from] = place({ count: 1, requirements, load }, draft).nodeIds;
  const isNoBetter = to === from || load.avoided.has(to);
  const reason = isNoBetter ? undefined : improvement({ from, to, candidate, cluster: draft });
  const chosen = reason === undefined ? from : to;
  draft.addTask(chosen, resources);
  adjustCount(chosen, 1);
  if (reason === undefined) return undefined;
  tasks.pop();
  return { task, toNodeId: to, reason };
}

/**
 * Returns the ID of the node with movable tasks that placement would choose last. Undefined if there are no such nodes.
 */
function mostLoadedNode(
  { requirements, load, movable }: RebalanceCandidate,
  draft: DraftCluster,
): string | undefined {
  const countsAt = spreadCounts(load.tasksByNode, draft.nodes, requirements.spread);
  let mostLoaded: { readonly id: string; readonly rank: readonly number[] } | undefined;
  for (const [id, tasks] of movable) {
    const snapshot = draft.nodes.get(id);
    if (snapshot === undefined || tasks.length === 0) continue;
    const { reservedShare, taskCount } = createCandidate(snapshot, { capacity: 0, serviceTasks: 0 });
    const rank = [...countsAt(id), reservedShare, taskCount];
    if (mostLoaded === undefined || isHigher(rank, mostLoaded.rank)) mostLoaded = { id, rank };
  }
  return mostLoaded?.id;
}

/** Compares two ranks lexicographically. */
function isHigher(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && (a[at] ?? 0) > (b[at] ?? 0);
}

interface ProposedMove {
  readonly from: string;
  readonly to: string;
  readonly candidate: RebalanceCandidate;
  /** The cluster with the task on neither node. */
  readonly cluster: ClusterSnapshot;
}

/** Returns what a move improves, for the user, or undefined if it improves nothing. */
type Improvement = (move: ProposedMove) => string | undefined;

/** Improvements, most important first. A later improvement never reverts an earlier one. */
const IMPROVEMENTS: readonly Improvement[] = [describeEvenerSpread, describeLowerLoad];

function describeEvenerSpread(move: ProposedMove): string | undefined {
  const { requirements, name } = move.candidate;
  const { source, target, level } = compareCounts(move);
  const [more = 0, fewer = 0] = [source[level], target[level]];
  if (fewer >= more) return undefined;
  return `${name} is uneven over ${requirements.spread[level] ?? "nodes"}: ${tasksText(more + 1)} against ${fewer}`;
}

/** Compares the reserved shares of both nodes, or their numbers of tasks when the service reserves nothing. */
function describeLowerLoad(move: ProposedMove): string | undefined {
  const { from, to, cluster, candidate } = move;
  const [source, target] = [cluster.nodes.get(from), cluster.nodes.get(to)];
  if (source === undefined || target === undefined || compareCounts(move).level >= 0) return undefined;
  const { resources } = candidate.requirements;
  const [before, after] = [withOneMore(source, resources), withOneMore(target, resources)];
  if (resources.nanoCpus > 0 || resources.memoryBytes > 0) {
    if (after.reservedShare + MIN_SHARE_IMPROVEMENT > before.reservedShare) return undefined;
    return `its node has ${percentText(before.reservedShare)} reserved, the other one will have ${percentText(after.reservedShare)}`;
  }
  if (after.taskCount >= before.taskCount) return undefined;
  return `its node runs ${tasksText(before.taskCount)}, the other one ${after.taskCount - 1}`;
}

/**
 * Returns the task counts of both nodes' groups at each level, and the first level that differs (-1 when none does).
 */
function compareCounts({ from, to, candidate, cluster }: ProposedMove): {
  readonly source: readonly number[];
  readonly target: readonly number[];
  readonly level: number;
} {
  const { load, requirements } = candidate;
  const countsAt = spreadCounts(load.tasksByNode, cluster.nodes, requirements.spread);
  const [source, target] = [countsAt(from), countsAt(to)];
  return { source, target, level: source.findIndex((count, level) => count !== target[level]) };
}

function withOneMore(snapshot: NodeSnapshot, request: ResourceRequest): Candidate {
  const node = createCandidate(snapshot, { capacity: 1, serviceTasks: 0 });
  addTask(node, request);
  return node;
}

function percentText(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function tasksText(count: number): string {
  return count === 1 ? "1 task" : `${count} tasks`;
}
