import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** A process that stays the same one: pids are reused, a pid with its start time is not. */
export interface ProcessRef {
  readonly pid: number;
  /** Clock ticks after boot, as the kernel prints them. */
  readonly startTime: string;
}

export interface ProcessInfo extends ProcessRef {
  readonly command: string;
  readonly argv: readonly string[];
}

/** `net:[4026532008]`: how the kernel names a namespace, the same for every process in it. */
export type NamespaceId = string;

export function namespaceOf(pid: number | "self", kind: "net" | "pid"): NamespaceId | undefined {
  return orUndefinedWhenGone(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
}

/** The network namespace that a handle (a bind mount of it) holds; undefined for a handle with nothing mounted. */
export function netnsOfHandle(path: string): NamespaceId | undefined {
  const handle = orUndefinedWhenGone(() => statSync(path));
  // A plain file has an inode number too, which may be that of a namespace that has nothing to do with it.
  return handle?.dev === statSync("/proc/self/ns/net").dev ? `net:[${handle.ino}]` : undefined;
}

/** Every process, containers' included, that is directly in the given namespace. */
export function processesIn(kind: "net" | "pid", namespace: NamespaceId): ProcessInfo[] {
  return allPids()
    .filter((pid) => namespaceOf(pid, kind) === namespace)
    .map(describe)
    .filter((info) => info !== undefined);
}

/** A reference to a running process, or undefined when there is none of that number. */
export function processRef(pid: number): ProcessRef | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** This process, as a reference that can be stored. */
export function selfRef(): ProcessRef {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? "" };
}

export function isAlive(ref: ProcessRef): boolean {
  return startTimeOf(ref.pid) === ref.startTime;
}

/**
 * The machine's PID 1 as the root namespace sees it.
 * A container on the host's network is in the same network namespace and has a PID 1 too, one level deeper.
 */
export function findInit(netns: NamespaceId): ProcessRef | undefined {
  const depth = namespacePids("self").length + 1;
  for (const pid of allPids()) {
    if (namespaceOf(pid, "net") !== netns) continue;
    const pids = namespacePids(pid);
    const startTime = startTimeOf(pid);
    if (startTime && pids.length === depth && pids.at(-1) === "1") return { pid, startTime };
  }
  return undefined;
}

/** Sends a signal; false when the process was gone already. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isAlive(ref)) return false;
  try {
    return process.kill(ref.pid, signal);
  } catch {
    return false;
  }
}

function allPids(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);
}

function describe(pid: number): ProcessInfo | undefined {
  const startTime = startTimeOf(pid);
  const argv = orUndefinedWhenGone(() =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1),
  );
  const command = orUndefinedWhenGone(() => readFileSync(`/proc/${pid}/comm`, "utf8").trim());
  return startTime && argv && command ? { pid, startTime, argv, command } : undefined;
}

/** A zombie has ended: it holds no file, socket or namespace any more. */
function startTimeOf(pid: number): string | undefined {
  const stat = orUndefinedWhenGone(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The command, in brackets, may itself contain blanks and brackets: fields count from the last one.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.[0] === "Z" || fields?.[0] === "X" ? undefined : fields?.[19];
}

/** The process's pids, outermost namespace first. */
export function namespacePids(pid: number | "self"): string[] {
  const status = orUndefinedWhenGone(() => readFileSync(`/proc/${pid}/status`, "utf8"));
  return /^NSpid:\s*(.*)$/m.exec(status ?? "")?.[1]?.split(/\s+/) ?? [];
}

/** Processes and handles come and go while they are read: gone is an answer, not an error. */
function orUndefinedWhenGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
