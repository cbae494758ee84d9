import { randomBytes } from "node:crypto";
import { type FileHandle, link, lstat, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { BerthError } from "@berth/proto";

/**
 * Writes a file that only its owner can read. The file appears under its name once it is complete and on disk.
 *
 * @throws BerthError BERTH_CONFLICT for an existing file unless `force` is set, BERTH_INPUT_INVALID for a file that
 *   cannot be written
 */
export async function writeFileAtomically<T>(
  path: string,
  { force }: { readonly force: boolean },
  write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  if (!force && (await exists(path))) throw fileExistsError(path);
  const temporary = `${path}.${randomBytes(6).toString("hex")}.partial`;
  const file = await reportWriteError(path, () => open(temporary, "wx", 0o600));
  try {
    const result = await write(async (bytes) => {
      await reportWriteError(path, () => writeAll(file, bytes));
    });
    await reportWriteError(path, () => file.sync());
    await reportWriteError(path, () => (force ? rename(temporary, path) : linkNew(temporary, path)));
    await syncDirectory(dirname(path));
    return result;
  } finally {
    await file.close();
    await rm(temporary, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, offset);
    offset += bytesWritten;
  }
}

/** Links the temporary file to its final name, unless a file with that name has been created since. */
async function linkNew(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") throw fileExistsError(path);
    throw error;
  }
}

/** Makes the new directory entry durable. Ignores errors: some file systems do not support this. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path);
    await directory.sync().finally(() => directory.close());
  } catch {
    // The content is on disk already.
  }
}

/** Runs a write, and converts an error of the file system to a BerthError. */
async function reportWriteError<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof BerthError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BerthError({ code: "BERTH_INPUT_INVALID", message: `cannot write ${path}: ${reason}`, cause });
  }
}

function fileExistsError(path: string): BerthError {
  return new BerthError({
    code: "BERTH_CONFLICT",
    message: `${path} already exists; use another name, or --force to replace it`,
  });
}
