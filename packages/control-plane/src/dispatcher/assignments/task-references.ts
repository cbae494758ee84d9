/** Counts how many tasks of a node refer to each record of one kind, such as secrets. Records are identified by a key. */
export class TaskReferences {
  readonly #keysOfTask = new Map<string, ReadonlySet<string>>();
  readonly #taskCounts = new Map<string, number>();

  /** Returns whether a task refers to the record. */
  has(key: string): boolean {
    return this.#taskCounts.has(key);
  }

  /** Adds a task. Returns the keys that no other task refers to. A task that was added already changes nothing. */
  add(taskId: string, keys: readonly string[]): readonly string[] {
    if (keys.length === 0 || this.#keysOfTask.has(taskId)) return [];
    const unique = new Set(keys);
    this.#keysOfTask.set(taskId, unique);
    return [...unique].filter((key) => {
      const count = this.#taskCounts.get(key) ?? 0;
      this.#taskCounts.set(key, count + 1);
      return count === 0;
    });
  }

  /** Removes a task. Returns the keys to which no task refers any longer. */
  remove(taskId: string): readonly string[] {
    const keys = [...(this.#keysOfTask.get(taskId) ?? [])];
    this.#keysOfTask.delete(taskId);
    return keys.filter((key) => {
      const count = (this.#taskCounts.get(key) ?? 1) - 1;
      if (count > 0) {
        this.#taskCounts.set(key, count);
      } else {
        this.#taskCounts.delete(key);
      }
      return count === 0;
    });
  }
}
