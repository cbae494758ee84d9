import type { Task } from "@berth/proto";
import { isReady, shouldRun } from "./task-state.js";

/** Number of tasks per node, by node ID. Nodes without tasks are left out. */
export interface NodeCounts extends Iterable<readonly [string, number]> {
  get(nodeId: string): number | undefined;
}

/** Node counts with the number of nodes that have each count. */
export interface GroupedNodeCounts extends NodeCounts {
  /** Number of nodes, by their number of tasks (from 1). */
  readonly nodesByTaskCount: ReadonlyMap<number, number>;
}

/** The stable tasks of a service that a decision does not change (see orchestrator/stable-tasks.ts). */
export interface StableTasks {
  readonly size: number;
  /** Stable tasks per node, including the tasks in `leaving`. A live view: it changes with the index. */
  readonly countByNode: GroupedNodeCounts;
  /** Tasks that must leave their nodes, although their records are stable. */
  readonly leaving: readonly Task[];
}

/**
 * The tasks of one service, divided into stable and unstable tasks. The leader's state keeps one index per service.
 *
 * A task is **stable** when its record needs no decision and it is alone in its slot. A decision then only looks at the
 * unstable tasks. The cost of an update does not depend on the number of tasks.
 */
export class TaskIndex {
  readonly #byId = new Map<string, Task>();
  /** The task of each slot that has exactly one task, by slot number. */
  readonly #soleTasks = new Map<number, Task>();
  /** The tasks of each slot that has several tasks, by slot number and task ID. */
  readonly #sharedSlots = new Map<number, Map<string, Task>>();
  /** Tasks that are alone in their slot and not stable, by ID. */
  readonly #unstableSoleTasks = new Map<string, Task>();
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

  /** Stable tasks per node. A live view: it changes with the index. */
  get stableByNode(): GroupedNodeCounts {
    return this.#stable;
  }

  /** Returns the spec versions of the stable tasks. */
  stableVersions(): Iterable<number> {
    return this.#stableByVersion.keys();
  }

  /** Returns the stable tasks on a node, including those that must leave it. */
  stableTasksOn(nodeId: string): readonly Task[] {
    return this.#stable.tasksOn(nodeId);
  }

  /** Yields the tasks that need a decision, and all tasks of slots with several tasks. */
  *unstableTasks(): Iterable<Task> {
    yield* this.#unstableSoleTasks.values();
    for (const tasks of this.#sharedSlots.values()) yield* tasks.values();
  }

  /** Adds a task, or replaces its record. */
  put(task: Task): void {
    this.delete(task.id);
    this.#byId.set(task.id, task);
    const slotTasks = this.#sharedSlots.get(task.slot);
    const sameSlotTask = this.#soleTasks.get(task.slot);
    if (slotTasks !== undefined) {
      slotTasks.set(task.id, task);
    } else if (sameSlotTask === undefined) {
      this.#addSoleTask(task);
    } else {
      this.#removeSoleTask(sameSlotTask);
      this.#sharedSlots.set(task.slot, new Map([sameSlotTask, task].map((member) => [member.id, member])));
    }
  }

  delete(taskId: string): void {
    const task = this.#byId.get(taskId);
    if (task === undefined) return;
    this.#byId.delete(taskId);
    const slotTasks = this.#sharedSlots.get(task.slot);
    if (slotTasks === undefined) {
      this.#removeSoleTask(task);
      return;
    }
    slotTasks.delete(taskId);
    const [remaining, ...others] = slotTasks.values();
    if (remaining === undefined || others.length > 0) return;
    this.#sharedSlots.delete(task.slot);
    this.#addSoleTask(remaining);
  }

  #addSoleTask(task: Task): void {
    this.#soleTasks.set(task.slot, task);
    if (isStable(task)) {
      this.#stable.add(task);
      this.#countStable(task, 1);
    } else {
      this.#unstableSoleTasks.set(task.id, task);
    }
  }

  #removeSoleTask(task: Task): void {
    this.#soleTasks.delete(task.slot);
    if (isStable(task)) {
      this.#stable.delete(task);
      this.#countStable(task, -1);
    } else {
      this.#unstableSoleTasks.delete(task.id);
    }
  }

  #countStable({ specVersion }: Task, by: 1 | -1): void {
    this.#stableCount += by;
    addCount(this.#stableByVersion, specVersion, by);
  }
}

/** Returns whether the record itself needs no decision. Records are immutable, so the result for a record is constant. */
function isStable(task: Task): boolean {
  return (
    task.nodeId !== "" &&
    shouldRun(task) &&
    isReady(task) &&
    task.restarts === 0 &&
    task.preferredNodeId === ""
  );
}

/** Tasks by node. A node usually has one task of a service, so a set is only created for a second task. */
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
    if (entry === undefined) {
      this.#byNode.set(task.nodeId, task);
    } else if (entry instanceof Set) {
      entry.add(task);
    } else {
      this.#byNode.set(task.nodeId, new Set([entry, task]));
    }
    const size = this.get(task.nodeId) ?? 0;
    this.#moveNode(size - 1, size);
  }

  /** Ignores a task that was not added. */
  delete(task: Task): void {
    const entry = this.#byNode.get(task.nodeId);
    const size = entry === undefined ? 0 : sizeOf(entry);
    if (entry instanceof Set) {
      if (!entry.delete(task)) return;
      const [remaining, ...others] = entry;
      if (remaining !== undefined && others.length === 0) this.#byNode.set(task.nodeId, remaining);
    } else if (entry === task) {
      this.#byNode.delete(task.nodeId);
    } else {
      return;
    }
    this.#moveNode(size, size - 1);
  }

  /** Counts one node under its new number of tasks. */
  #moveNode(before: number, after: number): void {
    if (before > 0) addCount(this.#nodesByCount, before, -1);
    if (after > 0) addCount(this.#nodesByCount, after, 1);
  }
}

function sizeOf(entry: Task | Set<Task>): number {
  return entry instanceof Set ? entry.size : 1;
}

function addCount<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const after = (counts.get(key) ?? 0) + by;
  if (after === 0) {
    counts.delete(key);
  } else {
    counts.set(key, after);
  }
}
