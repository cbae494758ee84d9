import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { BerthError } from "./errors.js";

/**
 * Creates a directory and its parents, unless it exists.
 *
 * The recursive `mkdir` of Node.js 20 never returns below a directory like /proc, where the kernel reports that a new
 * entry does not exist.
 *
 * @param mode of the directories that are created
 * @throws BerthError BERTH_DISK_FAILED when the file system cannot hold the directory; errors of the file system
 */
export async function createDirectory(path: string, mode = 0o777): Promise<void> {
  if (await isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) await createDirectory(parent, mode);
  try {
    await mkdir(path, { mode });
  } catch (error) {
    // Another process may have created it meanwhile.
    if (isCode(error, "EEXIST") && (await isDirectory(path))) return;
    if (!isCode(error, "ENOENT")) throw error;
    throw new BerthError({
      code: "BERTH_DISK_FAILED",
      message: `cannot create ${path}: the file system of ${parent} does not hold directories; use another directory`,
      cause: error,
      details: { path },
    });
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
