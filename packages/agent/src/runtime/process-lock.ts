import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { BerthError } from "@berth/proto";

/** Locks of a network namespace. Only root can create files in it, so no other user can take a lock first. */
const RUN_DIR = "/run/berth";
/** Other users can open a file that belongs to them, but cannot list the directory. */
const RUN_DIR_MODE = 0o711;
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** The exit status of flock when another process holds the lock. */
const CONFLICT = 1;

/** A lock that this process holds until it releases it or ends. */
export interface ProcessLock {
  release(): void;
}

/** Takes the lock of a data directory: at most one process of each kind may use it. Undefined when another one does. */
export function lockDataDir(dataDir: string, kind: "agent" | "ingress"): Promise<ProcessLock | undefined> {
  return acquireLock(lockFile(dataDir, kind));
}

/** Takes the lock of this network namespace's nftables tables. Undefined when another process holds it. */
export function lockKernelTables(): Promise<ProcessLock | undefined> {
  mkdirSync(RUN_DIR, { recursive: true, mode: RUN_DIR_MODE });
  return acquireLock(kernelLockFile());
}

/**
 * Gives the files of the locks that an ingress process takes to the user that it runs as. Needs root. The user can write
 * to the data directory, so this function follows no link there.
 * @throws Error when a path is not a file of its own
 */
export function giveIngressLocks(
  dataDir: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): void {
  mkdirSync(RUN_DIR, { recursive: true });
  chmodSync(RUN_DIR, RUN_DIR_MODE);
  for (const file of [lockFile(dataDir, "ingress"), kernelLockFile()]) {
    const fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.nlink > 1) throw new Error(`${file} is not a file of its own: delete it`);
      fchownSync(fd, uid, gid);
    } finally {
      closeSync(fd);
    }
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
 * @throws BerthError BERTH_UNSUPPORTED when flock is missing
 */
async function acquireLock(file: string): Promise<ProcessLock | undefined> {
  const fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    const flock = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
    const [status] = await once(flock, "close");
    if (status === 0) return { release: () => closeSync(fd) };
    if (status !== CONFLICT) throw new Error(`flock exited with status ${status}`);
    closeSync(fd);
    return undefined;
  } catch (cause) {
    closeSync(fd);
    const message = `cannot lock ${file}: ${cause instanceof Error ? cause.message : cause}: install flock (util-linux)`;
    throw new BerthError({ code: "BERTH_UNSUPPORTED", message, cause });
  }
}
