import type { TaskFile, TaskFileSet } from "../../packages/agent/src/core/tasks/task-files.js";
import type { TaskFiles } from "../../packages/agent/src/files/task-files.js";

/** The secrets and configs of a simulated host, in the memory of the test. */
export class MemoryTaskFiles implements TaskFiles {
  readonly directory = "/run/berth/secrets";
  readonly swapProblem = "";
  readonly #tasks = new Map<string, Map<string, TaskFile>>();

  async list(): Promise<readonly string[]> {
    return [...this.#tasks.keys()];
  }

  async write({ taskId, files }: TaskFileSet, signal: AbortSignal): Promise<void> {
    const written = this.#tasks.get(taskId) ?? new Map<string, TaskFile>();
    this.#tasks.set(taskId, written);
    for (const file of files) {
      signal.throwIfAborted();
      written.set(file.name, file);
    }
  }

  async remove(taskId: string): Promise<void> {
    this.#tasks.delete(taskId);
  }

  /** Returns the file at a path, or undefined if there is none. */
  find(path: string): TaskFile | undefined {
    const [taskId = "", name = ""] = path.slice(this.directory.length + 1).split("/");
    return path.startsWith(`${this.directory}/`) ? this.#tasks.get(taskId)?.get(name) : undefined;
  }

  /** Removes all files, as a reboot does. */
  clear(): void {
    this.#tasks.clear();
  }
}
