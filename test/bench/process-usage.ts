import { readFileSync } from "node:fs";
import type { Lab } from "../../deploy/lab/lab.js";
import type { LabHost } from "../../deploy/lab/lab-host.js";
import { namespaceOf, type ProcessRef, processesIn } from "../../deploy/lab/processes.js";

/** The kernel counts in these to user space, whatever its own tick is. */
const TICKS_PER_SECOND = 100;
const KIB = 1_024;

/** What starts containers: shims, runc, hooks. Most of them live for milliseconds. */
const STARTERS = "starters";

interface CpuTimes {
  readonly own: number;
  /** Of the children that ended, and theirs. */
  readonly endedChildren: number;
}

export interface ProcessUsage {
  /** User and system time since the start of the process. */
  readonly cpuSeconds: number;
  /** All of its pages that are in memory. */
  readonly rssBytes: number;
  /** The same, with pages that several processes map (such as node's own code) divided among them. */
  readonly pssBytes: number;
}

/** @throws when the process has ended: a benchmark that loses one has nothing to say about it. */
export function usageOf({ pid }: ProcessRef): ProcessUsage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return {
    cpuSeconds: cpuTimesOf(stat).own,
    rssBytes: kibOf(rollup, "Rss") * KIB,
    pssBytes: kibOf(rollup, "Pss") * KIB,
  };
}

/**
 * Processor time that each kind of program of a lab has used so far, all its hosts together. Measures work done, even
 * when others keep the processors busy and make all times long.
 */
export function cpuByProgram(lab: Lab): ReadonlyMap<string, number> {
  const used = new Map<string, number>();
  const add = (program: string, seconds: number): void => {
    used.set(program, (used.get(program) ?? 0) + seconds);
  };
  for (const which of ["server", "etcd"] as const) {
    for (const ref of lab.server.processes(which)) add(which, timesNowOf(ref).own);
  }
  for (const host of lab.hosts.filter(({ isUp }) => isUp)) {
    const named = new Map<number, string>();
    for (const which of ["agent", "ingress", "dockerd", "containerd"] as const) {
      for (const { pid } of host.processes(which)) named.set(pid, which);
    }
    for (const ref of allProcesses(host)) {
      const { own, endedChildren } = timesNowOf(ref);
      add(named.get(ref.pid) ?? STARTERS, own);
      add(STARTERS, endedChildren);
    }
  }
  return used;
}

/** What was used between two answers of {@link cpuByProgram}, in seconds. */
export function cpuSince(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return new Map([...after].map(([program, seconds]) => [program, seconds - (before.get(program) ?? 0)]));
}

/** All that share Docker's PID namespace: everything but what is in containers. */
function allProcesses(host: LabHost): readonly ProcessRef[] {
  const [dockerd] = host.processes("dockerd");
  const namespace = dockerd && namespaceOf(dockerd.pid, "pid");
  return namespace === undefined ? [] : processesIn("pid", namespace);
}

/** Nothing for a process that has ended meanwhile. */
function timesNowOf({ pid }: ProcessRef): CpuTimes {
  try {
    return cpuTimesOf(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return { own: 0, endedChildren: 0 };
  }
}

function cpuTimesOf(stat: string): CpuTimes {
  // The command, in brackets, may itself contain blanks and brackets: fields count from the last one.
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
  if (value === undefined) throw new Error(`the kernel gave no ${key}`);
  return Number(value);
}
