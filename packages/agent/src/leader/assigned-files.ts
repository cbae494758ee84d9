import { type AssignedFile, type Assignments, MAX_FILE_BYTES } from "@berth/proto";
import type { FileContents } from "../core/tasks/task-files.js";

/** Maximum number of secrets and configs of a node, which are kept in memory. Far more than its tasks can use. */
const MAX_FILES = 10_000;
/** Maximum total size of a node's secrets and configs. */
const MAX_TOTAL_BYTES = 256 * 1024 * 1024;
const FILE_ID_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

/** The result of applying a message. */
export interface AssignedFilesChange {
  /** All secrets and configs. Undefined if the message adds and removes none, and is not a complete set. */
  readonly contents: FileContents | undefined;
  /** Why files were ignored; their tasks wait. The reasons contain no file contents. */
  readonly problems: readonly string[];
}

/**
 * The secrets and configs of this node's tasks: a complete set, and the changes that followed it. They are in memory only
 * and must not be logged.
 */
export class AssignedFiles {
  readonly #files = new Map<string, AssignedFile>();
  #totalBytes = 0;

  /**
   * Applies the files of a message. Ignores invalid files and files that exceed a limit. Keeps their earlier versions,
   * unless the set is complete.
   */
  apply(
    { files, removedFileIds }: Pick<Assignments, "files" | "removedFileIds">,
    { isComplete }: { readonly isComplete: boolean },
  ): AssignedFilesChange {
    if (isComplete) this.#clear();
    // Removed files make room for the added ones.
    for (const id of removedFileIds) this.#delete(id);
    const problems: string[] = [];
    for (const file of files) {
      const problem = this.#findProblem(file);
      if (problem === undefined) this.#put(file);
      else problems.push(problem);
    }
    const hasChanged = isComplete || files.length > 0 || removedFileIds.length > 0;
    return { contents: hasChanged ? new Map(this.#files) : undefined, problems };
  }

  /** Returns why a file is ignored, or undefined if it is valid. Its earlier version does not count toward the limits. */
  #findProblem({ id, content }: AssignedFile): string | undefined {
    const earlier = this.#files.get(id);
    const otherFiles = this.#files.size - (earlier === undefined ? 0 : 1);
    const otherBytes = this.#totalBytes - (earlier?.content.length ?? 0);
    if (!FILE_ID_PATTERN.test(id)) return "a file has an invalid ID";
    if (content.length === 0) return `file ${id} is empty`;
    if (content.length > MAX_FILE_BYTES) return `file ${id} is larger than ${MAX_FILE_BYTES} bytes`;
    if (otherFiles >= MAX_FILES) return `file ${id} exceeds the limit of ${MAX_FILES} files`;
    if (otherBytes + content.length > MAX_TOTAL_BYTES) {
      return `file ${id} exceeds the limit of ${MAX_TOTAL_BYTES} bytes for all files`;
    }
    return undefined;
  }

  #put(file: AssignedFile): void {
    this.#delete(file.id);
    this.#files.set(file.id, file);
    this.#totalBytes += file.content.length;
  }

  #delete(id: string): void {
    this.#totalBytes -= this.#files.get(id)?.content.length ?? 0;
    this.#files.delete(id);
  }

  #clear(): void {
    this.#files.clear();
    this.#totalBytes = 0;
  }
}
