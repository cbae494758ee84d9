import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";

/** Identifies a process. The kernel reuses PIDs, but not the pair of PID and start time. */
export interface ProcessRef {
  readonly pid: number;
  /** Clock ticks since boot, as in /proc/PID/stat. */
  readonly startTime: string;
}

export interface ProcessInfo extends ProcessRef {
  readonly command: string;
  readonly argv: readonly string[];
}

/** The kernel's identifier of a namespace, such as `net:[4026532008]`. The same for all processes in it. */
export type NamespaceId = string;

/** Returns the namespace of a process, or undefined if the process has ended. */
export function readNamespace(pid: number | "self", kind: "net" | "pid"): NamespaceId | undefined {
  return readUnlessGone(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
}

/** Returns the network namespace of a handle (a bind mount), or undefined if nothing is mounted there. */
export function readNetnsHandle(path: string): NamespaceId | undefined {
  const handle = readUnlessGone(() => statSync(path));
  // Compare the device too: the inode number of a plain file may equal that of an unrelated namespace.
  return handle?.dev === statSync("/proc/self/ns/net").dev ? `net:[${handle.ino}]` : undefined;
}

/** Returns all processes in a namespace, including processes of containers, but not processes in nested namespaces. */
export function listProcesses(kind: "net" | "pid", namespace: NamespaceId): ProcessInfo[] {
  return listPids()
    .filter((pid) => readNamespace(pid, kind) === namespace)
    .map(readProcess)
    .filter((info) => info !== undefined);
}

/** Returns a reference to a running process, or undefined if no process has this PID. */
export function processRef(pid: number): ProcessRef | undefined {
  const startTime = readStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Returns a reference to this process. */
export function selfRef(): ProcessRef {
  return { pid: process.pid, startTime: readStartTime(process.pid) ?? "" };
}

/** Returns whether a process is still running. */
export function isAlive(ref: ProcessRef): boolean {
  return readStartTime(ref.pid) === ref.startTime;
}

/**
 * Finds a machine's init process by the machine's network namespace. A container with host networking is in the same
 * network namespace and also has a PID 1, but one PID namespace deeper.
 */
export function findInit(netns: NamespaceId): ProcessRef | undefined {
  const depth = readNamespacePids("self").length + 1;
  for (const pid of listPids()) {
    if (readNamespace(pid, "net") !== netns) continue;
    const pids = readNamespacePids(pid);
    const startTime = readStartTime(pid);
    if (startTime && pids.length === depth && pids.at(-1) === "1") return { pid, startTime };
  }
  return undefined;
}

/** Sends a signal. Returns false if the process has already ended. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isAlive(ref)) return false;
  try {
    return process.kill(ref.pid, signal);
  } catch {
    return false;
  }
}

function listPids(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);
}

function readProcess(pid: number): ProcessInfo | undefined {
  const startTime = readStartTime(pid);
  const argv = readUnlessGone(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1));
  const command = readUnlessGone(() => readFileSync(`/proc/${pid}/comm`, "utf8").trim());
  return startTime && argv && command ? { pid, startTime, argv, command } : undefined;
}

/** Reads a process's start time. Returns undefined for a zombie, too: it holds no file, socket or namespace. */
function readStartTime(pid: number): string | undefined {
  const stat = readUnlessGone(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The command is in parentheses and may itself contain spaces and parentheses, so fields start after the last one.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields?.[0] === "Z" || fields?.[0] === "X" ? undefined : fields?.[19];
}

/** Returns a process's PIDs in all its PID namespaces, outermost first. */
export function readNamespacePids(pid: number | "self"): string[] {
  const status = readUnlessGone(() => readFileSync(`/proc/${pid}/status`, "utf8"));
  return /^NSpid:\s*(.*)$/m.exec(status ?? "")?.[1]?.split(/\s+/) ?? [];
}

/** Returns undefined if `read` throws: processes and handles may disappear while they are being read. */
function readUnlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
