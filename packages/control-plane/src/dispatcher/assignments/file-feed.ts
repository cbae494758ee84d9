import type { AssignedFile, Assignments, ServiceSpec } from "@berth/proto";
import { fileMounts } from "../../core/files/file-mounts.js";
import { TaskReferences } from "./task-references.js";

/** Maximum size of the contents in one message, which has other parts and must stay below the agent's limit. */
const MAX_CONTENT_BYTES = 16 * 1024 * 1024;

/** Reads the secrets and configs of the cluster. */
export interface FileSource {
  /** Returns a version with its content, or undefined if it was deleted or cannot be decrypted. */
  file(fileId: string): AssignedFile | undefined;
}

type FileChanges = Pick<Assignments, "files" | "removedFileIds">;

/** Builds the secrets and configs of one agent's assignments: the ones referenced by the node's tasks. */
export class FileFeed {
  readonly #source: FileSource;
  /** References of tasks by version ID. */
  readonly #references = new TaskReferences();
  readonly #sentIds = new Set<string>();
  readonly #staleIds = new Set<string>();

  constructor(source: FileSource) {
    this.#source = source;
  }

  get isStale(): boolean {
    return this.#staleIds.size > 0;
  }

  /** Adds a task that should run. */
  addTask(taskId: string, spec: ServiceSpec | undefined): void {
    const ids = fileMounts(spec).map(({ versionId }) => versionId);
    for (const id of this.#references.add(taskId, ids)) this.#staleIds.add(id);
  }

  /** Removes a task that has ended, or that the node no longer has. */
  removeTask(taskId: string): void {
    for (const id of this.#references.remove(taskId)) this.#staleIds.add(id);
  }

  /**
   * Returns the changes since the last call, and records them as sent. Contents beyond the limit of a message are left for
   * the next message.
   */
  takeChanges(): FileChanges {
    const changes: FileChanges = { files: [], removedFileIds: [] };
    let bytes = 0;
    for (const id of this.#staleIds) {
      if (!this.#references.has(id)) {
        if (this.#sentIds.delete(id)) changes.removedFileIds.push(id);
      } else if (!this.#sentIds.has(id)) {
        const file = this.#source.file(id);
        bytes += file?.content.length ?? 0;
        if (bytes > MAX_CONTENT_BYTES) break;
        if (file !== undefined) {
          this.#sentIds.add(id);
          changes.files.push(file);
        }
      }
      this.#staleIds.delete(id);
    }
    return changes;
  }
}
