import type { Task } from "@berth/proto";
import type { ClusterView, ServiceView } from "../model.js";
import { candidateOf } from "./candidate.js";
import { DraftCluster } from "./draft-cluster.js";
import { type RebalanceCandidate, rebalanceCandidateOf } from "./mover.js";
import { IMPROVEMENTS, type Improvement } from "./rebalance-gain.js";
import { place } from "./schedule.js";
import { spreadCounts } from "./spread-path.js";

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
  cluster: ClusterView,
  services: readonly ServiceView[],
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
