import type { FileVersion } from "@berth/proto";

/** Answers which versions of secrets and configs are still needed. */
export interface FileReferences {
  /** Whether the current spec of a service names the version, or a task that has not ended. */
  readonly isInUse: (file: FileVersion) => boolean;
  /** Whether a kept spec of a service names the version, so that a rollback can restore it. */
  readonly isKept: (file: FileVersion) => boolean;
}

/**
 * Returns the versions of one secret or config to delete, the oldest first.
 *
 * The newest version stays until the secret or config is removed, and older ones as long as a kept spec names them. A
 * removed secret or config stays only while it is in use: rollbacks to specs with it then fail. Its newest version has the
 * mark of the removal, so it is deleted last.
 * @param versions all versions, the newest first
 */
export function unusedVersions(
  versions: readonly FileVersion[],
  { isInUse, isKept }: FileReferences,
): readonly FileVersion[] {
  const [newest, ...older] = versions;
  if (newest === undefined) return [];
  if (!newest.removing) return older.filter((file) => !isKept(file) && !isInUse(file)).reverse();
  const unused = older.filter((file) => !isInUse(file)).reverse();
  const isLast = unused.length === older.length && !isInUse(newest);
  return isLast ? [...unused, newest] : unused;
}
