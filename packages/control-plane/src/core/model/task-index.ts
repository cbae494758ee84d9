import type { Task } from "@berth/proto";
import { isReady, shouldRun } from "./task-state.js";

/** Number of tasks per node, by node id. Nodes without tasks are left out. */
export interface NodeCounts extends Iterable<readonly [string, number]> {
  get(nodeId: string): number | undefined;
}

/** Node counts with the number of nodes that have each count. */
export interface GroupedNodeCounts extends NodeCounts {
  /** Number of nodes, by their number of tasks (from 1). */
  readonly nodesByTaskCount: ReadonlyMap<number, number>;
}

/** The stable tasks of a service that a decision leaves as they are (see orchestrator/stable-tasks.ts). */
export interface StableTasks {
  readonly size: number;
  /** Stable tasks per node, those in `leaving` included. Live: it changes with the index. */
  readonly countByNode: GroupedNodeCounts;
  /** Tasks that are stable by themselves, on nodes that they must leave. */
  readonly leaving: readonly Task[];
}

/**
 * The tasks of one service, divided into stable and unstable ones. A task is **stable** when its record needs no
 * decision and it is alone in its slot. Each update costs the same, however many tasks there are, so a decision does
 * not have to look at all of them.
 */
export class TaskIndex {
  readonly #byId = new Map<string, Task>();
  /** The task of each slot that has exactly one. */
  readonly #alone = new Map<number, Task>();
  /** The tasks of each slot that has several. */
  readonly #shared = new Map<number, Map<string, Task>>();
  /** Tasks that are alone in their slot and not stable. */
  readonly #unstable = new Map<string, Task>();
  readonly #stable = new TasksByNode();
  readonly #stableByVersion = new Map<number, number>();
  #stableCount = 0;

  static of(tasks: Iterable<Task>): TaskIndex {
    const index = new TaskIndex();
    for (const task of tasks) index.put(task);
    return index;
  }

  get byId(): ReadonlyMap<string, Task> {
    return this.#byId;
  }

  get stableCount(): number {
    return this.#stableCount;
  }

  /** Stable tasks per node. Live: it changes with the index. */
  get stableByNode(): GroupedNodeCounts {
    return this.#stable;
  }

  /** Versions of the stable tasks. */
  stableVersions(): Iterable<number> {
    return this.#stableByVersion.keys();
  }

  stableTasksOn(nodeId: string): readonly Task[] {
    return this.#stable.tasksOn(nodeId);
  }

  *unstableTasks(): Iterable<Task> {
    yield* this.#unstable.values();
    for (const tasks of this.#shared.values()) yield* tasks.values();
  }

  /** Adds a task, or replaces its record. */
  put(task: Task): void {
    this.delete(task.id);
    this.#byId.set(task.id, task);
    const shared = this.#shared.get(task.slot);
    const other = this.#alone.get(task.slot);
    if (shared !== undefined) shared.set(task.id, task);
    else if (other === undefined) this.#addAlone(task);
    else {
      this.#removeAlone(other);
      this.#shared.set(task.slot, new Map([other, task].map((each) => [each.id, each])));
    }
  }

  delete(taskId: string): void {
    const task = this.#byId.get(taskId);
    if (task === undefined) return;
    this.#byId.delete(taskId);
    const shared = this.#shared.get(task.slot);
    if (shared === undefined) {
      this.#removeAlone(task);
      return;
    }
    shared.delete(taskId);
    const [last, ...others] = shared.values();
    if (last === undefined || others.length > 0) return;
    this.#shared.delete(task.slot);
    this.#addAlone(last);
  }

  #addAlone(task: Task): void {
    this.#alone.set(task.slot, task);
    if (isStable(task)) {
      this.#stable.add(task);
      this.#countStable(task, 1);
    } else this.#unstable.set(task.id, task);
  }

  #removeAlone(task: Task): void {
    this.#alone.delete(task.slot);
    if (isStable(task)) {
      this.#stable.delete(task);
      this.#countStable(task, -1);
    } else this.#unstable.delete(task.id);
  }

  #countStable({ specVersion }: Task, by: 1 | -1): void {
    this.#stableCount += by;
    addCount(this.#stableByVersion, specVersion, by);
  }
}

/** Whether the record alone needs no decision. Records are immutable, so the answer for one never changes. */
function isStable(task: Task): boolean {
  return (
    task.nodeId !== "" &&
    shouldRun(task) &&
    isReady(task) &&
    task.restarts === 0 &&
    task.preferredNodeId === ""
  );
}

/** Tasks by node. A node usually has one task of a service; a list is only made for the second. */
class TasksByNode implements GroupedNodeCounts {
  readonly #byNode = new Map<string, Task | Set<Task>>();
  readonly #nodesByCount = new Map<number, number>();

  get nodesByTaskCount(): ReadonlyMap<number, number> {
    return this.#nodesByCount;
  }

  get(nodeId: string): number | undefined {
    const entry = this.#byNode.get(nodeId);
    return entry === undefined ? undefined : sizeOf(entry);
  }

  *[Symbol.iterator](): Iterator<readonly [string, number]> {
    for (const [nodeId, entry] of this.#byNode) yield [nodeId, sizeOf(entry)];
  }

  tasksOn(nodeId: string): readonly Task[] {
    const entry = this.#byNode.get(nodeId);
    if (entry === undefined) return [];
    return entry instanceof Set ? [...entry] : [entry];
  }

  add(task: Task): void {
    const entry = this.#byNode.get(task.nodeId);
    if (entry === undefined) this.#byNode.set(task.nodeId, task);
    else if (entry instanceof Set) entry.add(task);
    else this.#byNode.set(task.nodeId, new Set([entry, task]));
    const size = this.get(task.nodeId) ?? 0;
    this.#move(size - 1, size);
  }

  /** Ignores a task that was not added. */
  delete(task: Task): void {
    const entry = this.#byNode.get(task.nodeId);
    const size = entry === undefined ? 0 : sizeOf(entry);
    if (entry instanceof Set) {
      if (!entry.delete(task)) return;
      const [last, ...others] = entry;
      if (last !== undefined && others.length === 0) this.#byNode.set(task.nodeId, last);
    } else if (entry === task) this.#byNode.delete(task.nodeId);
    else return;
    this.#move(size, size - 1);
  }

  #move(from: number, to: number): void {
    if (from > 0) addCount(this.#nodesByCount, from, -1);
    if (to > 0) addCount(this.#nodesByCount, to, 1);
  }
}

const sizeOf = (entry: Task | Set<Task>): number => (entry instanceof Set ? entry.size : 1);

function addCount<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const after = (counts.get(key) ?? 0) + by;
  if (after === 0) counts.delete(key);
  else counts.set(key, after);
}
