import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";

/** Directory for locks of network namespaces. Only root can create files in it, so no other user can take a lock first. */
const RUN_DIR = "/run/berth";
/** Mode of the directory of lock files. Other users can open a file of their group, but cannot list the directory. */
const RUN_DIR_MODE = 0o711;
const OWN_FILE = 0o600;
const GROUP_FILE = 0o660;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** Exit status of flock when another process holds the lock. */
const CONFLICT_EXIT_CODE = 1;

/** A lock that this process holds until it releases it or ends. */
export interface ProcessLock {
  release(): void;
}

/**
 * Takes the lock of a data directory, which at most one process of each kind may use. Returns undefined if another process
 * uses it.
 */
export function lockDataDir(dataDir: string, kind: "agent" | "ingress"): Promise<ProcessLock | undefined> {
  return acquireLock(lockFile(dataDir, kind));
}

/** Takes the lock of this network namespace's nftables tables. Returns undefined if another process holds it. */
export function lockKernelTables(): Promise<ProcessLock | undefined> {
  mkdirSync(RUN_DIR, { recursive: true, mode: RUN_DIR_MODE });
  return acquireLock(kernelLockFile());
}

/**
 * Lets a group open the files of the locks that an ingress process takes. Requires root. Users of the group can write
 * to the data directory, so this function follows no link there.
 *
 * @throws Error if a path is a link
 */
export function shareIngressLocks(dataDir: string, gid: number): void {
  mkdirSync(RUN_DIR, { recursive: true });
  chmodSync(RUN_DIR, RUN_DIR_MODE);
  for (const file of [lockFile(dataDir, "ingress"), kernelLockFile()]) {
    const fd = openOrCreate(file);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.nlink > 1) {
        throw new Error(`${file} is not a regular file with a single link; delete it`);
      }
      // Files of root stay usable for root with fs.protected_regular, which restricts those of others.
      fchownSync(fd, 0, gid);
      fchmodSync(fd, gid === 0 ? OWN_FILE : GROUP_FILE);
    } finally {
      closeSync(fd);
    }
  }
}

/** Opens a file, which may be in a sticky directory and belong to another user. */
function openOrCreate(file: string): number {
  const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;
  try {
    return openSync(file, flags);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    // With O_CREAT, fs.protected_regular refuses existing files of other users.
    return openSync(file, flags | O_CREAT | O_EXCL, OWN_FILE);
  }
}

function lockFile(dataDir: string, kind: "agent" | "ingress"): string {
  return join(dataDir, `${kind}.lock`);
}

function kernelLockFile(): string {
  return join(RUN_DIR, `kernel-tables-${statSync("/proc/self/ns/net").ino}.lock`);
}

/**
 * Takes the lock of a file. Node.js cannot lock files, but locks of flock(2) belong to the open file, which the program
 * flock shares with this process. The lock is taken atomically and ends with this process, so there are no stale locks.
 *
 * @throws BerthError BERTH_UNSUPPORTED if flock is missing
 */
async function acquireLock(file: string): Promise<ProcessLock | undefined> {
  const fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, OWN_FILE);
  try {
    const flock = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
    const [status] = await once(flock, "close");
    if (status === 0) return { release: () => closeSync(fd) };
    if (status !== CONFLICT_EXIT_CODE) throw new Error(`flock exited with status ${status}`);
    closeSync(fd);
    return undefined;
  } catch (cause) {
    closeSync(fd);
    const message = `cannot lock ${file}: ${cause instanceof Error ? cause.message : cause}; install flock (util-linux)`;
    throw new BerthError({ code: "BERTH_UNSUPPORTED", message, cause });
  }
}
