import type { Task } from "@berth/proto";
import { CalmTasks } from "../orchestrator/slots/calm-tasks.js";
import type { LevelCounts } from "../scheduler/service-load.js";
import { isReady, shouldRun } from "./task-state.js";

/**
 * The tasks of one service, with those apart that nothing is to be decided about by what they say themselves: each is
 * **calm** and alone in its slot. Kept up to date task by task, so that a decision need not look at all of them; a
 * change costs the same however many there are.
 */
export class TaskIndex {
  readonly #byId = new Map<string, Task>();
  /** Of slots with one task, that one. */
  readonly #alone = new Map<number, Task>();
  /** Of slots with several tasks, all of them. */
  readonly #shared = new Map<number, Map<string, Task>>();
  /** Tasks that are alone in their slot and not calm. */
  readonly #restless = new Map<string, Task>();
  readonly #calm = new CalmTasks();
  readonly #calmOfVersion = new Map<number, number>();
  #calmCount = 0;

  static of(tasks: Iterable<Task>): TaskIndex {
    const index = new TaskIndex();
    for (const task of tasks) index.put(task);
    return index;
  }

  get byId(): ReadonlyMap<string, Task> {
    return this.#byId;
  }

  /** Tasks that are calm and alone in their slot. */
  get stableCount(): number {
    return this.#calmCount;
  }

  /** How many of them are on each node. Alive. */
  get stableByNode(): LevelCounts {
    return this.#calm;
  }

  /** Versions that any of them is of. */
  stableVersions(): Iterable<number> {
    return this.#calmOfVersion.keys();
  }

  /** Those of them on a node. */
  stableOn(nodeId: string): readonly Task[] {
    return this.#calm.on(nodeId);
  }

  /** All other tasks. */
  *unstable(): Iterable<Task> {
    yield* this.#restless.values();
    for (const tasks of this.#shared.values()) yield* tasks.values();
  }

  /** In place of what was known of the task. */
  put(task: Task): void {
    this.delete(task.id);
    this.#byId.set(task.id, task);
    const shared = this.#shared.get(task.slot);
    const other = this.#alone.get(task.slot);
    if (shared !== undefined) shared.set(task.id, task);
    else if (other === undefined) this.#addAlone(task);
    else {
      this.#removeAlone(other);
      this.#shared.set(task.slot, new Map([other, task].map((one) => [one.id, one])));
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
    if (isCalm(task)) {
      this.#calm.add(task);
      this.#countCalm(task, 1);
    } else this.#restless.set(task.id, task);
  }

  #removeAlone(task: Task): void {
    this.#alone.delete(task.slot);
    if (isCalm(task)) {
      this.#calm.delete(task);
      this.#countCalm(task, -1);
    } else this.#restless.delete(task.id);
  }

  #countCalm({ specVersion }: Task, by: 1 | -1): void {
    this.#calmCount += by;
    count(this.#calmOfVersion, specVersion, by);
  }
}

/** Runs well, is to go on where it is, and has nothing to be forgiven. Says so of a record, which never changes. */
function isCalm(task: Task): boolean {
  return (
    task.nodeId !== "" &&
    shouldRun(task) &&
    isReady(task) &&
    task.restarts === 0 &&
    task.preferredNodeId === ""
  );
}

function count<K>(counts: Map<K, number>, key: K, by: 1 | -1): void {
  const after = (counts.get(key) ?? 0) + by;
  if (after === 0) counts.delete(key);
  else counts.set(key, after);
}
