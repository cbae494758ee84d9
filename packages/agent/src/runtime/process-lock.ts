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
/** Mode of the directory of lock files. Other users can open files that their group may access, but cannot list the directory. */
const RUN_DIR_MODE = 0o711;
const OWNER_ONLY_MODE = 0o600;
const GROUP_MODE = 0o660;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
/** Exit status of flock when another process holds the lock. */
const LOCK_HELD_EXIT_CODE = 1;

/** A lock that this process holds until it releases the lock or exits. */
export interface ProcessLock {
  /** Releases the lock. Further calls have no effect. */
  release(): void;
}

/**
 * Locks a data directory, which at most one process of each kind may use. Returns undefined if another process uses
 * it.
 */
export function lockDataDir(dataDir: string, kind: "agent" | "ingress"): Promise<ProcessLock | undefined> {
  return acquireLock(lockFile(dataDir, kind));
}

/** Locks the nftables tables of this network namespace. Returns undefined if another process holds it. */
export function lockNftables(): Promise<ProcessLock | undefined> {
  mkdirSync(RUN_DIR, { recursive: true, mode: RUN_DIR_MODE });
  return acquireLock(kernelLockFile());
}

/**
 * Gives a group access to the lock files of the ingress process. Requires root. Users of the group can write to the
 * data directory, so this function does not follow symbolic links there.
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
      fchmodSync(fd, gid === 0 ? OWNER_ONLY_MODE : GROUP_MODE);
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
    return openSync(file, flags | O_CREAT | O_EXCL, OWNER_ONLY_MODE);
  }
}

function lockFile(dataDir: string, kind: "agent" | "ingress"): string {
  return join(dataDir, `${kind}.lock`);
}

function kernelLockFile(): string {
  return join(RUN_DIR, `kernel-tables-${statSync("/proc/self/ns/net").ino}.lock`);
}

/**
 * Locks a file. Node.js cannot do this, but a flock(2) lock belongs to the open file description, which this process
 * shares with the `flock` program that it spawns. The lock ends with this process, so there are no stale locks.
 *
 * @throws BerthError BERTH_UNSUPPORTED if the flock program is missing; BERTH_INTERNAL if it fails
 */
async function acquireLock(file: string): Promise<ProcessLock | undefined> {
  const fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, OWNER_ONLY_MODE);
  const outcome = await runFlock(fd);
  if (outcome.kind === "locked") return createLock(fd);
  closeSync(fd);
  switch (outcome.kind) {
    case "held":
      return undefined;
    case "missing": {
      const message = `cannot lock ${file}: the program flock is missing; install util-linux`;
      throw new BerthError({ code: "BERTH_UNSUPPORTED", message });
    }
    case "failed":
      throw new BerthError({ code: "BERTH_INTERNAL", message: `cannot lock ${file}: ${outcome.reason}` });
  }
}

function createLock(fd: number): ProcessLock {
  let isReleased = false;
  return {
    release: () => {
      // The number of a closed descriptor can belong to another file.
      if (isReleased) return;
      isReleased = true;
      closeSync(fd);
    },
  };
}

type FlockOutcome =
  | { readonly kind: "locked" }
  | { readonly kind: "held" }
  | { readonly kind: "missing" }
  | { readonly kind: "failed"; readonly reason: string };

/** Locks an open file with the program flock, without waiting. */
async function runFlock(fd: number): Promise<FlockOutcome> {
  try {
    const flock = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", fd] });
    const [status] = await once(flock, "close");
    if (status === 0) return { kind: "locked" };
    if (status === LOCK_HELD_EXIT_CODE) return { kind: "held" };
    return { kind: "failed", reason: `flock exited with status ${status}` };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return { kind: "missing" };
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) };
  }
}
