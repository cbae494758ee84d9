import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { BerthError, diskError, isBerthError } from "@berth/proto";
import { extractShipped } from "@berth/proto/archive";
import type { TaskShippedMounts } from "../core/tasks/shipped-mounts.js";
import { makeDirectory } from "./secret-mount.js";
import type { ArchiveSource, ShippedFiles } from "./shipped-files.js";

/** Extracts the archives of shipped mounts for each task below a directory that only root can enter. */
export class DiskShippedFiles implements ShippedFiles {
  readonly directory: string;
  readonly #archives: ArchiveSource;

  constructor(directory: string, archives: ArchiveSource) {
    this.directory = directory;
    this.#archives = archives;
  }

  async list(): Promise<readonly string[]> {
    try {
      return await readdir(this.directory);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async write(shipped: TaskShippedMounts, signal: AbortSignal): Promise<void> {
    const { taskId, mounts, ownerOffset, directoryGid } = shipped;
    const directory = join(this.directory, taskId);
    try {
      await makeDirectory(this.directory, directoryGid);
      await makeDirectory(directory, directoryGid);
    } catch (error) {
      throw diskError(error, this.directory) ?? error;
    }
    for (const { name, digest, source } of mounts) {
      const path = join(directory, name);
      if (await exists(path)) continue;
      try {
        const archive = await this.#archives.open(digest, signal);
        await extractShipped(throwIfAborted(archive, signal), { path, ownerOffset });
      } catch (error) {
        signal.throwIfAborted();
        throw shippedMountError(source, error);
      }
    }
  }

  async remove(taskId: string): Promise<void> {
    await rm(join(this.directory, taskId), { recursive: true, force: true });
  }
}

/** Yields the archive until the signal is aborted, and then throws the signal's reason. */
async function* throwIfAborted(
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of archive) {
    signal.throwIfAborted();
    yield chunk;
  }
}

/** Adds the path on the client's machine, which users recognize, to an error. Keeps the code. */
function shippedMountError(source: string, error: unknown): BerthError {
  const cause = diskError(error, "the copies of shipped files") ?? error;
  const code = isBerthError(cause) ? cause.code : "BERTH_INTERNAL";
  const advice = code === "BERTH_NODE_UNREACHABLE" ? "; deploy the stack again to send it" : "";
  const reason = `${cause instanceof Error ? cause.message : String(cause)}${advice}`;
  return new BerthError({ code, message: `cannot get the shipped mount ${source}: ${reason}`, cause: error });
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
