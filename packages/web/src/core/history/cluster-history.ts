import type { Node } from "../model/node.js";
import type { Task } from "../model/task.js";

/** How long the history reaches back. */
export const HISTORY_MS = 60 * 60 * 1_000;
/** Maximum number of recorded states. 200,000 need about 30 MB. */
const MAX_STATES = 200_000;
/** Number of states that remain when the oldest are dropped, which takes about 20 ms. */
const KEPT_STATES = 180_000;
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
  /** Number of states from which the oldest are dropped. It is larger than the maximum in a cluster with more records. */
  #maxStates = MAX_STATES;

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
    if (now - this.#prunedAtMs >= PRUNE_INTERVAL_MS || this.#states > this.#maxStates) this.#prune(now);
  }

  /** Drops what is older than the history, and the oldest states if there are too many. */
  #prune(now: number): void {
    this.#prunedAtMs = now;
    let start = Math.max(this.#startMs ?? now, now - HISTORY_MS);
    this.#dropBefore(start);
    if (this.#states > this.#maxStates) {
      start = Math.max(start, this.#timeOfOldest(this.#states - KEPT_STATES));
      this.#dropBefore(start);
      // Each record keeps a state, so a huge cluster has more than the maximum.
      const isAlmostFull = this.#states > (KEPT_STATES + MAX_STATES) / 2;
      this.#maxStates = isAlmostFull ? this.#states * 1.1 : MAX_STATES;
    }
    this.#startMs = start;
  }

  /** Returns the time of the state that has a number of older states. */
  #timeOfOldest(older: number): number {
    const times = new Float64Array(this.#states);
    let count = 0;
    for (const track of [...this.#nodes.values(), ...this.#tasks.values()]) {
      for (const { atMs } of track) {
        times[count] = atMs;
        count += 1;
      }
    }
    return times.sort()[older] ?? 0;
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
