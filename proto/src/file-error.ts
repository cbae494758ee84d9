import { BerthError } from "./errors.js";

/** What is wrong and what to do, by the code of a failed file operation. */
const FAULTS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space on it",
  EDQUOT: "the disk quota of the user is used up: free some space, or raise the quota",
  EROFS: "the file system is read-only: look for disk errors in the kernel log, and mount it writable again",
  EIO: "the disk has errors: look at the kernel log, and replace the disk",
  EACCES: "berth has no permission: give the file to the user who runs berth",
  EPERM: "berth has no permission: give the file to the user who runs berth",
};

/**
 * Returns BERTH_DISK_FAILED for an error of the disk, with the file and what to do; undefined for any other error.
 * @param path the file or folder, for errors that do not name it
 */
export function diskError(error: unknown, path: string): BerthError | undefined {
  const { code = "", path: ownPath } = (error ?? {}) as NodeJS.ErrnoException;
  const fault = Object.hasOwn(FAULTS, code) ? FAULTS[code] : undefined;
  if (fault === undefined) return undefined;
  const message = `cannot use ${ownPath ?? path}: ${fault} (${code})`;
  return new BerthError({ code: "BERTH_DISK_FAILED", message, cause: error, details: { path } });
}

/** Returns the text of an error of a file operation, with what to do if the disk is the reason. */
export function describeFileError(error: unknown, path: string): string {
  return diskError(error, path)?.message ?? (error instanceof Error ? error.message : String(error));
}
