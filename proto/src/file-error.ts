import { BerthError } from "./errors.js";

/** Cause and remedy by the error code of a file operation. */
const FAULT_TEXTS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free some space on it",
  EDQUOT: "the disk quota of the user is used up; free some space, or raise the quota",
  EROFS: "the file system is read-only; check the kernel log for disk errors, and remount it read-write",
  EIO: "the disk has errors; check the kernel log, and replace the disk",
  EACCES: "permission denied; change the file's owner to the user who runs berth",
  EPERM: "permission denied; change the file's owner to the user who runs berth",
};

/**
 * Returns BERTH_DISK_FAILED, with the file and the remedy, for a disk error, or undefined for any other error.
 *
 * @param path the file or directory, for errors that do not name it
 */
export function diskError(error: unknown, path: string): BerthError | undefined {
  const { code = "", path: ownPath } = (error ?? {}) as NodeJS.ErrnoException;
  const fault = Object.hasOwn(FAULT_TEXTS, code) ? FAULT_TEXTS[code] : undefined;
  if (fault === undefined) return undefined;
  const message = `cannot use ${ownPath ?? path}: ${fault} (${code})`;
  return new BerthError({ code: "BERTH_DISK_FAILED", message, cause: error, details: { path } });
}

/** Returns the message for a failed file operation, with the remedy if the disk is the cause. */
export function describeFileError(error: unknown, path: string): string {
  return diskError(error, path)?.message ?? (error instanceof Error ? error.message : String(error));
}
