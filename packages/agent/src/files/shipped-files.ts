import type { TaskShippedMounts } from "../core/tasks/shipped-mounts.js";

/** Where the archives of shipped mounts come from. */
export interface ArchiveSource {
  /** Opens an archive. Fetches it from another node first if this node lacks it. */
  open(digest: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** The copies of shipped files and directories on this host's disk, which the containers of tasks mount. */
export interface ShippedFiles {
  /** Path of the directory that contains a directory for each task. */
  readonly directory: string;
  /** Returns the IDs of the tasks that have copies. */
  list(): Promise<readonly string[]>;
  /**
   * Writes a task's copies. Existing copies stay: a container may have mounted and changed them. Each copy appears
   * atomically. Rejects unless all of them exist afterwards.
   */
  write(mounts: TaskShippedMounts, signal: AbortSignal): Promise<void>;
  /** Removes the copies of a task. No effect when it has none. */
  remove(taskId: string): Promise<void>;
}
