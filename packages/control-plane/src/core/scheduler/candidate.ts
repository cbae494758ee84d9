import type { NodeView } from "../model.js";
import type { Before } from "./heap.js";
import { dominantShare, idRankOf, isLessLoaded, type NodeLoad } from "./node-weight.js";
import type { ResourceRequest } from "./occupancy.js";

/** A node that still has room, with what the choice among nodes depends on. Changes as it is filled. */
export interface Candidate extends NodeLoad {
  readonly view: NodeView;
  /** How many more tasks it takes. */
  capacity: number;
  /** Tasks of the service that will be on it. */
  serviceTasks: number;
  tasks: number;
  nanoCpus: number;
  memoryBytes: number;
  share: number;
}

export function candidateOf(
  view: NodeView,
  { room, staying }: { readonly room: number; readonly staying: number },
): Candidate {
  const { nanoCpus, memoryBytes } = view.reserved;
  return {
    id: view.node.id,
    idRank: idRankOf(view.node.id),
    view,
    capacity: room,
    serviceTasks: staying,
    tasks: view.taskCount,
    nanoCpus,
    memoryBytes,
    share: dominantShare(view, nanoCpus, memoryBytes),
  };
}

/** Makes the candidate what it is with one task more. */
export function addTask(chosen: Candidate, demand: ResourceRequest): void {
  chosen.capacity -= 1;
  chosen.serviceTasks += 1;
  chosen.tasks += 1;
  if (demand.nanoCpus === 0 && demand.memoryBytes === 0) return;
  chosen.nanoCpus += demand.nanoCpus;
  chosen.memoryBytes += demand.memoryBytes;
  chosen.share = dominantShare(chosen.view, chosen.nanoCpus, chosen.memoryBytes);
}

/** Fewest tasks of the service, then the lightest. */
export const isBetterCandidate: Before<Candidate> = (a, b) =>
  a.serviceTasks !== b.serviceTasks ? a.serviceTasks < b.serviceTasks : isLessLoaded(a, b);
