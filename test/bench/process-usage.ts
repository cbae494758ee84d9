import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { listProcesses, type ProcessRef, readNamespace } from "../../deploy/lab/processes.js";

/** Unit of the CPU times in /proc (USER_HZ), which does not depend on the kernel's own tick. */
const TICKS_PER_SECOND = 100;
const KIB = 1_024;

/** Key of the programs that start containers: shims, runc, hooks. Most run only for milliseconds. */
const STARTERS = "starters";
/** Keys of the programs that the agent and the ingress process run: ip, bridge, nft. */
const HELPERS: Readonly<Partial<Record<string, string>>> = {
  agent: "agent's programs",
  ingress: "ingress's programs",
};

interface CpuTimes {
  readonly own: number;
  /** CPU time of children that have exited, including their descendants. */
  readonly endedChildren: number;
}

export interface ProcessUsage {
  /** User and system time since the process started. */
  readonly cpuSeconds: number;
  /** Resident memory, counting shared pages in full. */
  readonly rssBytes: number;
  /** Resident memory, with shared pages such as the code of Node.js divided among the processes that map them. */
  readonly pssBytes: number;
}

/**
 * Returns the memory and CPU time of a process.
 *
 * @throws Error if the process has exited
 */
export function usageOf({ pid }: Pick<ProcessRef, "pid">): ProcessUsage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return {
    cpuSeconds: cpuTimesOf(stat).own,
    rssBytes: kibOf(rollup, "Rss") * KIB,
    pssBytes: kibOf(rollup, "Pss") * KIB,
  };
}

/**
 * Returns the CPU time that each kind of program has used so far on all hosts of a lab. Unlike wall-clock time, it
 * hardly depends on the machine's other work.
 */
export function cpuByProgram(lab: Lab): ReadonlyMap<string, number> {
  const used = new Map<string, number>();
  const add = (program: string, seconds: number): void => {
    used.set(program, (used.get(program) ?? 0) + seconds);
  };
  for (const which of ["server", "etcd"] as const) {
    for (const ref of lab.serverMachine.processes(which)) add(which, timesNowOf(ref).own);
  }
  for (const host of lab.hosts.filter(({ isUp }) => isUp)) {
    const named = new Map<number, string>();
    for (const which of ["agent", "ingress", "dockerd", "containerd"] as const) {
      for (const { pid } of host.processes(which)) named.set(pid, which);
    }
    for (const ref of allProcesses(host)) {
      const { own, endedChildren } = timesNowOf(ref);
      const program = named.get(ref.pid) ?? STARTERS;
      add(program, own);
      add(HELPERS[program] ?? STARTERS, endedChildren);
    }
  }
  return used;
}

/** Returns the CPU seconds used between two results of {@link cpuByProgram}. */
export function cpuSince(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return new Map([...after].map(([program, seconds]) => [program, seconds - (before.get(program) ?? 0)]));
}

/** Returns the processes in dockerd's PID namespace: all processes of the host except those in containers. */
function allProcesses(host: LabHost): readonly ProcessRef[] {
  const [dockerd] = host.processes("dockerd");
  const namespace = dockerd && readNamespace(dockerd.pid, "pid");
  return namespace === undefined ? [] : listProcesses("pid", namespace);
}

/** Returns zeros if the process has exited meanwhile. */
function timesNowOf({ pid }: ProcessRef): CpuTimes {
  try {
    return cpuTimesOf(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return { own: 0, endedChildren: 0 };
  }
}

function cpuTimesOf(stat: string): CpuTimes {
  // The command, in parentheses, may contain spaces and parentheses: fields are counted from the last one.
  const ticks = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
  const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = ticks;
  return {
    own: (user + system) / TICKS_PER_SECOND,
    endedChildren: (childrenUser + childrenSystem) / TICKS_PER_SECOND,
  };
}

function kibOf(rollup: string, key: string): number {
  const value = new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1];
  if (value === undefined) throw new Error(`the kernel reports no ${key}`);
  return Number(value);
}

/**
 * Returns the resident memory of a child process. Also works with `ip netns exec`, which becomes the program it runs.
 */
export function residentBytes({ pid }: ChildProcess): number {
  return kibOf(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS") * KIB;
}
