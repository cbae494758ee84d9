import type { Node } from "../model/node.js";
import type { Task } from "../model/task.js";

/** How long the history reaches back. */
export const HISTORY_MS = 60 * 60 * 1_000;
/** Maximum number of recorded states. The oldest are dropped: 200,000 need about 30 MB. */
const MAX_STATES = 200_000;
/** How often outdated states are dropped. */
const PRUNE_INTERVAL_MS = 60_000;

/** The records of the map at one time. */
export interface PastCluster {
  readonly nodes: readonly Node[];
  readonly tasks: readonly Task[];
}

/** The states of one record, oldest first. Undefined from the time when the record was removed. */
type Track<T> = { readonly atMs: number; readonly record: T | undefined }[];

/** The records of the last hour, for the replay. All times are of the leader's clock. */
export class ClusterHistory {
  readonly #nodes = new Map<string, Track<Node>>();
  readonly #tasks = new Map<string, Track<Task>>();
  #startMs: number | undefined;
  #states = 0;
  #prunedAtMs = 0;

  /** The earliest time that can be shown. Undefined before the first record. */
  get startMs(): number | undefined {
    return this.#startMs;
  }

  /** Number of recorded states. */
  get size(): number {
    return this.#states;
  }

  recordNode(id: string, node: Node | undefined, now: number): void {
    this.#add(this.#nodes, id, node, now);
  }

  recordTask(id: string, task: Task | undefined, now: number): void {
    this.#add(this.#tasks, id, task, now);
  }

  /** Returns the records at a time. Takes about 1 ms for 3,000 tasks. */
  at(timeMs: number): PastCluster {
    return { nodes: recordsAt(this.#nodes, timeMs), tasks: recordsAt(this.#tasks, timeMs) };
  }

  #add<T>(tracks: Map<string, Track<T>>, id: string, record: T | undefined, now: number): void {
    this.#startMs ??= now;
    const track = tracks.get(id);
    const last = track?.at(-1);
    if (track === undefined || last === undefined) {
      if (record !== undefined) {
        tracks.set(id, [{ atMs: now, record }]);
        this.#states += 1;
      }
    } else {
      // Clocks of two leaders can differ: time never goes back within a track.
      track.push({ atMs: Math.max(now, last.atMs), record });
      this.#states += 1;
    }
    if (now - this.#prunedAtMs >= PRUNE_INTERVAL_MS || this.#states > MAX_STATES) this.#prune(now);
  }

  /** Drops what is older than the history, and half of the time if there are too many states. */
  #prune(now: number): void {
    this.#prunedAtMs = now;
    let start = Math.max(this.#startMs ?? now, now - HISTORY_MS);
    this.#dropBefore(start);
    while (this.#states > MAX_STATES * 0.9 && start < now) {
      start = now - Math.floor((now - start) / 2);
      this.#dropBefore(start);
    }
    this.#startMs = start;
  }

  #dropBefore(startMs: number): void {
    this.#states = dropBefore(this.#nodes, startMs) + dropBefore(this.#tasks, startMs);
  }
}

function recordsAt<T>(tracks: ReadonlyMap<string, Track<T>>, timeMs: number): readonly T[] {
  const records: T[] = [];
  for (const track of tracks.values()) {
    const record = track.findLast(({ atMs }) => atMs <= timeMs)?.record;
    if (record !== undefined) records.push(record);
  }
  return records;
}

/** Drops the states that were replaced before a time. Returns the number of states that remain. */
function dropBefore<T>(tracks: Map<string, Track<T>>, startMs: number): number {
  let remaining = 0;
  for (const [id, track] of tracks) {
    const first = track.findLastIndex(({ atMs }) => atMs <= startMs);
    if (first > 0) track.splice(0, first);
    const isGone = track.length === 1 && track[0]?.record === undefined;
    if (isGone) tracks.delete(id);
    else remaining += track.length;
  }
  return remaining;
}
