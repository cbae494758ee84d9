import { readFileSync } from "node:fs";

/** Identifies a process on this host. The kernel reuses pids, but a pid with its start time and boot ID is unique. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  readonly startTicks: string;
  readonly bootId: string;
}

/** Returns the identity of a running process, or undefined if the process does not exist or is a zombie. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const stat = readProc(`${pid}/stat`);
  // The second field, the program's name in parentheses, may contain spaces and parentheses.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTicks = rest[18];
  if (startTicks === undefined || state === "Z" || state === "X") return undefined;
  return { pid, startTicks, bootId: readProc("sys/kernel/random/boot_id").trim() };
}

/** Returns whether the process is still running. */
export function isRunning(identity: ProcessIdentity): boolean {
  const current = identityOf(identity.pid);
  return current?.startTicks === identity.startTicks && current.bootId === identity.bootId;
}

/** Returns the command line of a process; empty if it is not running. */
export function argumentsOf(pid: number): readonly string[] {
  return readProc(`${pid}/cmdline`).split("\0").slice(0, -1);
}

/** Returns a file below /proc; empty if it cannot be read, usually because the process has ended. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
