import type { FileKind, FileVersion } from "@berth/proto";
import { fileKey } from "../core/files/file-mounts.js";
import { GroupedMap } from "./grouped-map.js";

const NO_VERSIONS: readonly FileVersion[] = [];

/** The versions of all secrets and configs in the leader's memory. Their contents are encrypted. */
export class FileTable {
  readonly #byId = new Map<string, FileVersion>();
  /** The versions of each secret and config, the newest first. */
  readonly #byName = new Map<string, readonly FileVersion[]>();
  readonly #newestByStack = new GroupedMap<FileVersion>();
  /** The secrets and configs that have several versions or are being removed. */
  readonly #collectable = new Set<string>();
  #sealedBytes = 0;

  /** Size of all encrypted contents. */
  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  /** Returns a version by its ID. */
  get(fileId: string): FileVersion | undefined {
    return this.#byId.get(fileId);
  }

  /** Returns all versions of all secrets and configs. */
  all(): Iterable<FileVersion> {
    return this.#byId.values();
  }

  /** Returns the versions of one secret or config, the newest first. */
  versionsOf(kind: FileKind, name: string): readonly FileVersion[] {
    return this.#byName.get(fileKey({ kind, name })) ?? NO_VERSIONS;
  }

  newest(kind: FileKind, name: string): FileVersion | undefined {
    return this.versionsOf(kind, name)[0];
  }

  /** Returns the newest version of each secret and config. */
  *newestOfAll(): Generator<FileVersion> {
    for (const [newest] of this.#byName.values()) {
      if (newest !== undefined) yield newest;
    }
  }

  /** Returns the newest version of each secret and config of a stack, by `fileKey`. */
  ofStack(stack: string): ReadonlyMap<string, FileVersion> {
    return this.#newestByStack.get(stack);
  }

  /** Whether any version may be unused. */
  get hasCollectable(): boolean {
    return this.#collectable.size > 0;
  }

  /** Returns the versions of each secret and config that may have unused ones, the newest first. */
  *collectable(): Generator<readonly FileVersion[]> {
    for (const key of this.#collectable) yield this.#byName.get(key) ?? NO_VERSIONS;
  }

  put(file: FileVersion): void {
    this.delete(file.id);
    this.#byId.set(file.id, file);
    this.#sealedBytes += file.sealedContent.length;
    this.#setVersions(fileKey(file), [...this.versionsOf(file.kind, file.name), file]);
  }

  delete(fileId: string): void {
    const file = this.#byId.get(fileId);
    if (file === undefined) return;
    this.#byId.delete(fileId);
    this.#sealedBytes -= file.sealedContent.length;
    const others = this.versionsOf(file.kind, file.name).filter(({ id }) => id !== fileId);
    this.#setVersions(fileKey(file), others);
  }

  #setVersions(key: string, versions: readonly FileVersion[]): void {
    const [before] = this.#byName.get(key) ?? NO_VERSIONS;
    const sorted = [...versions].sort((a, b) => b.version - a.version);
    const [newest] = sorted;
    if (before !== undefined) this.#newestByStack.delete(before.stack, key);
    if (newest === undefined) {
      this.#byName.delete(key);
    } else {
      this.#byName.set(key, sorted);
      this.#newestByStack.set(newest.stack, key, newest);
    }
    if (sorted.length > 1 || newest?.removing) {
      this.#collectable.add(key);
    } else {
      this.#collectable.delete(key);
    }
  }
}
