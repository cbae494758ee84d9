import type { TaskShippedMounts } from "../core/tasks/shipped-mounts.js";

/** Where the archives of shipped mounts come from. */
export interface ArchiveSource {
  /** Opens an archive, and fetches it from another node first unless this one has it. */
  open(digest: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** The copies of shipped files and folders on this host's disk, which the containers of tasks mount. */
export interface ShippedFiles {
  /** Path of the directory that contains a directory for each task. */
  readonly directory: string;
  /** Returns the IDs of the tasks that have copies. */
  list(): Promise<readonly string[]>;
  /**
   * Writes the copies of a task. Those that are there stay: a container may have mounted and changed them. Each copy appears
   * atomically. Rejects when not all of them are there.
   */
  write(mounts: TaskShippedMounts, signal: AbortSignal): Promise<void>;
  /** Removes the copies of a task. No effect when it has none. */
  remove(taskId: string): Promise<void>;
}
