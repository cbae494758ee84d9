import type { TaskFileSet } from "../core/tasks/task-files.js";

/** The secrets and configs of this host's tasks, as files in memory that Docker can mount. A reboot removes them. */
export interface TaskFiles {
  /** Path of the directory that contains a directory for each task. */
  readonly directory: string;
  /** Returns the IDs of the tasks that have files. */
  list(): Promise<readonly string[]>;
  /**
   * Writes a task's files. A file with the right content, owner and mode stays, because a container may have mounted
   * it. Each file appears atomically. Rejects unless all of them exist afterwards.
   */
  write(files: TaskFileSet, signal: AbortSignal): Promise<void>;
  /** Removes the files of a task. No effect when it has none. */
  remove(taskId: string): Promise<void>;
  /** Why the kernel may write the files to a disk. Empty if it does not, and before the first file is written. */
  readonly swapProblem: string;
}
