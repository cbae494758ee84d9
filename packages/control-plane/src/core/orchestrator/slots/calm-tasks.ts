import type { Task } from "@berth/proto";
import type { LevelCounts } from "../../scheduler/service-load.js";

/** Tasks by node. A service has one on most of its nodes, a hundred thousand in all: that one needs no list. */
export class CalmTasks implements LevelCounts {
  readonly #byNode = new Map<string, Task | Set<Task>>();
  readonly #nodesWith = new Map<number, number>();

  get levels(): ReadonlyMap<number, number> {
    return this.#nodesWith;
  }

  get(nodeId: string): number | undefined {
    const known = this.#byNode.get(nodeId);
    return known === undefined ? undefined : sizeOf(known);
  }

  *[Symbol.iterator](): Iterator<readonly [string, number]> {
    for (const [nodeId, known] of this.#byNode) yield [nodeId, sizeOf(known)];
  }

  on(nodeId: string): readonly Task[] {
    const known = this.#byNode.get(nodeId);
    if (known === undefined) return [];
    return known instanceof Set ? [...known] : [known];
  }

  add(task: Task): void {
    const known = this.#byNode.get(task.nodeId);
    if (known === undefined) this.#byNode.set(task.nodeId, task);
    else if (known instanceof Set) known.add(task);
    else this.#byNode.set(task.nodeId, new Set([known, task]));
    const size = this.get(task.nodeId) ?? 0;
    this.#move(size - 1, size);
  }

  /** Takes no notice of a task that was not added. */
  delete(task: Task): void {
    const known = this.#byNode.get(task.nodeId);
    const size = known === undefined ? 0 : sizeOf(known);
    if (known instanceof Set) {
      if (!known.delete(task)) return;
      const [last, ...others] = known;
      if (last !== undefined && others.length === 0) this.#byNode.set(task.nodeId, last);
    } else if (known === task) this.#byNode.delete(task.nodeId);
    else return;
    this.#move(size, size - 1);
  }

  #move(from: number, to: number): void {
    if (from > 0) this.#count(from, -1);
    if (to > 0) this.#count(to, 1);
  }

  #count(level: number, by: 1 | -1): void {
    const nodes = (this.#nodesWith.get(level) ?? 0) + by;
    if (nodes === 0) this.#nodesWith.delete(level);
    else this.#nodesWith.set(level, nodes);
  }
}

const sizeOf = (known: Task | Set<Task>): number => (known instanceof Set ? known.size : 1);
