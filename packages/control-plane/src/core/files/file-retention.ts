import type { FileVersion } from "@berth/proto";

/** Determines which versions of secrets and configs are still needed. */
export interface FileReferences {
  /** Whether the current spec of a service, or an unfinished task, uses the version. */
  readonly isInUse: (file: FileVersion) => boolean;
  /** Whether a stored spec of a service uses the version, so that a rollback can restore it. */
  readonly isKept: (file: FileVersion) => boolean;
}

/**
 * Returns the versions of one secret or config to delete, the oldest first.
 *
 * The newest version is kept until the secret or config is removed, and older versions as long as a stored spec uses
 * them. A removed secret or config is kept only while it is in use; rollbacks to specs that use it then fail. Its
 * newest version carries the removal mark, so it is deleted last.
 *
 * @param versions all versions, newest first
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
