import { createHash } from "node:crypto";
import { constants, type FileHandle, lstat, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TaskFile, TaskFileSet } from "../core/tasks/task-files.js";
import { type RunProgram, runProgram } from "../runtime/run-program.js";
import { isTmpfsMounted, makeDirectory, mountSecrets, readSwapProblem } from "./secret-mount.js";
import type { TaskFiles } from "./task-files.js";

const DEFAULT_DATA_DIR = "/var/lib/berth/agent";
const DEFAULT_MOUNT_POINT = "/run/berth/secrets";
/** Number of hexadecimal digits of the data directory's hash in a mount point. */
const SUFFIX_LENGTH = 8;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const MODE_BITS = 0o7777;

/**
 * Returns the mount point of the agent with this data directory. Agents on one host have different mount points, because
 * each agent removes the files of all tasks that are not its own.
 */
export function secretsMountPoint(dataDir: string): string {
  const path = resolve(dataDir);
  if (path === DEFAULT_DATA_DIR) return DEFAULT_MOUNT_POINT;
  return `${DEFAULT_MOUNT_POINT}-${createHash("sha256").update(path).digest("hex").slice(0, SUFFIX_LENGTH)}`;
}

/** Keeps task files on a dedicated tmpfs, which is mounted before the first file is written. */
export class TmpfsTaskFiles implements TaskFiles {
  readonly directory: string;
  readonly #run: RunProgram;
  /** The last check of the mount. Checks do not overlap: two mounts at one path would hide each other's files. */
  #mounting: Promise<void> = Promise.resolve();
  #swapProblem: string | undefined;

  constructor(mountPoint: string, run: RunProgram = runProgram) {
    this.directory = mountPoint;
    this.#run = run;
  }

  get swapProblem(): string {
    return this.#swapProblem ?? "";
  }

  async list(): Promise<readonly string[]> {
    return (await isTmpfsMounted(this.directory)) ? readdir(this.directory) : [];
  }

  async write({ taskId, files, directoryGid }: TaskFileSet, signal: AbortSignal): Promise<void> {
    await this.#ensureMounted(signal);
    const directory = join(this.directory, taskId);
    await makeDirectory(this.directory, directoryGid);
    await makeDirectory(directory, directoryGid);
    for (const file of files) {
      signal.throwIfAborted();
      await ensureFile(join(directory, file.name), file);
    }
  }

  async remove(taskId: string): Promise<void> {
    await rm(join(this.directory, taskId), { recursive: true, force: true });
  }

  #ensureMounted(signal: AbortSignal): Promise<void> {
    const mounting = this.#mounting
      .catch(() => undefined)
      .then(() => mountSecrets(this.directory, { run: this.#run, signal }))
      .then(async () => {
        this.#swapProblem ??= await readSwapProblem(this.directory);
      });
    this.#mounting = mounting;
    return mounting;
  }
}

/** Writes a file unless it exists. A container that mounts it sees either no file or a complete one. */
async function ensureFile(path: string, file: TaskFile): Promise<void> {
  if (await isWritten(path, file)) return;
  const temporary = `${path}.new`;
  // An agent that was killed may have left a temporary file.
  await rm(temporary, { force: true });
  try {
    const handle = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      await writeContent(handle, file);
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeContent(handle: FileHandle, { content, uid, gid, mode }: TaskFile): Promise<void> {
  await handle.writeFile(content);
  await handle.chown(uid, gid);
  await handle.chmod(mode);
}

async function isWritten(path: string, { content, uid, gid, mode }: TaskFile): Promise<boolean> {
  try {
    const stats = await lstat(path);
    const hasExpectedStats =
      stats.isFile() &&
      stats.uid === uid &&
      stats.gid === gid &&
      (stats.mode & MODE_BITS) === mode &&
      stats.size === content.length;
    return hasExpectedStats && content.equals(await readFile(path));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
