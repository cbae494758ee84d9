import { readFileSync } from "node:fs";

/** A process for certain: pids are reused, pids with their start time are not until the next boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  readonly startTicks: string;
  readonly bootId: string;
}

/** Undefined when no such process runs (a zombie does not). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const stat = readProc(`${pid}/stat`);
  // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTicks = rest[18];
  if (startTicks === undefined || state === "Z" || state === "X") return undefined;
  return { pid, startTicks, bootId: readProc("sys/kernel/random/boot_id").trim() };
}

export function isRunning(identity: ProcessIdentity): boolean {
  const now = identityOf(identity.pid);
  return now?.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

/** The arguments that a process was started with; empty if it does not run. */
export function argumentsOf(pid: number): readonly string[] {
  return readProc(`${pid}/cmdline`).split("\0").slice(0, -1);
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
