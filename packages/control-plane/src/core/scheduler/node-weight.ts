import type { NodeView } from "../model.js";
import type { Before } from "./heap.js";

/** How heavily a node is used by the tasks of all services: what placement looks at once a service is spread. */
export interface NodeLoad {
  readonly id: string;
  /** Orders ids faster than comparing them, see `idRankOf`. */
  readonly idRank: number;
  /** The larger of the reserved shares of its processors and its memory. */
  readonly share: number;
  /** Tasks of all services that occupy it. */
  readonly tasks: number;
}

/** The least reserved first, then the one with the fewest tasks, then the smallest id. */
export const isLessLoaded: Before<NodeLoad> = (a, b) => {
  if (a.share !== b.share) return a.share < b.share;
  if (a.tasks !== b.tasks) return a.tasks < b.tasks;
  if (a.idRank !== b.idRank) return a.idRank < b.idRank;
  return a.id < b.id;
};

export function dominantShare({ node }: NodeView, nanoCpus: number, memoryBytes: number): number {
  return Math.max(
    shareOf(nanoCpus, node.description?.nanoCpus ?? 0),
    shareOf(memoryBytes, node.description?.memoryBytes ?? 0),
  );
}

const shareOf = (reserved: number, capacity: number): number => (capacity > 0 ? reserved / capacity : 0);

/** As many characters of 7 bits as fit into an exact number. */
const RANKED_CHARACTERS = 7;
const RANK_BASE = 128;

/**
 * A number that is never greater for a smaller id; ids of one number have to be compared. Most nodes of a new cluster
 * are alike but for their ids, and comparing text is several times as slow.
 */
export function idRankOf(id: string): number {
  let rank = 0;
  let isExact = true;
  for (let at = 0; at < RANKED_CHARACTERS; at += 1) {
    const code: number = isExact && at < id.length ? id.charCodeAt(at) : 0;
    rank = rank * RANK_BASE + Math.min(code, RANK_BASE - 1);
    isExact &&= code < RANK_BASE - 1;
  }
  return rank;
}
