import type { NodeView } from "../model.js";
import type { Before } from "./heap.js";
import type { Demand } from "./occupancy.js";

/** A node that still has room, with what the choice among nodes depends on. Changes as it is filled. */
export interface Candidate {
  readonly id: string;
  /** Orders ids faster than comparing them, see `idRank`. */
  readonly idRank: number;
  readonly view: NodeView;
  /** How many more tasks it takes. */
  room: number;
  /** Tasks of the service that will be on it. */
  staying: number;
  /** Tasks of all services that occupy it. */
  tasks: number;
  nanoCpus: number;
  memoryBytes: number;
  /** The larger of the reserved shares of its processors and its memory. */
  share: number;
}

export function candidateOf(
  view: NodeView,
  { room, staying }: { readonly room: number; readonly staying: number },
): Candidate {
  const { nanoCpus, memoryBytes } = view.reserved;
  return {
    id: view.node.id,
    idRank: idRank(view.node.id),
    view,
    room,
    staying,
    tasks: view.taskCount,
    nanoCpus,
    memoryBytes,
    share: dominantShare(view, nanoCpus, memoryBytes),
  };
}

/** Makes the candidate what it is with one task more. */
export function fill(chosen: Candidate, demand: Demand): void {
  chosen.room -= 1;
  chosen.staying += 1;
  chosen.tasks += 1;
  if (demand.nanoCpus === 0 && demand.memoryBytes === 0) return;
  chosen.nanoCpus += demand.nanoCpus;
  chosen.memoryBytes += demand.memoryBytes;
  chosen.share = dominantShare(chosen.view, chosen.nanoCpus, chosen.memoryBytes);
}

/** Fewest tasks of the service, then the least reserved, then the fewest tasks, then the smallest id. */
export const better: Before<Candidate> = (a, b) => {
  if (a.staying !== b.staying) return a.staying < b.staying;
  if (a.share !== b.share) return a.share < b.share;
  if (a.tasks !== b.tasks) return a.tasks < b.tasks;
  if (a.idRank !== b.idRank) return a.idRank < b.idRank;
  return a.id < b.id;
};

/** As many characters of 7 bits as fit into an exact number. */
const RANKED_CHARACTERS = 7;
const RANK_BASE = 128;

/**
 * A number that is never greater for a smaller id; ids of one number have to be compared. Most nodes of a new cluster
 * are alike but for their ids, and comparing text is several times as slow.
 */
function idRank(id: string): number {
  let rank = 0;
  let isExact = true;
  for (let at = 0; at < RANKED_CHARACTERS; at += 1) {
    const code: number = isExact && at < id.length ? id.charCodeAt(at) : 0;
    rank = rank * RANK_BASE + Math.min(code, RANK_BASE - 1);
    isExact &&= code < RANK_BASE - 1;
  }
  return rank;
}

function dominantShare({ node }: NodeView, nanoCpus: number, memoryBytes: number): number {
  return Math.max(
    shareOf(nanoCpus, node.description?.nanoCpus ?? 0),
    shareOf(memoryBytes, node.description?.memoryBytes ?? 0),
  );
}

const shareOf = (reserved: number, capacity: number): number => (capacity > 0 ? reserved / capacity : 0);
