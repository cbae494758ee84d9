import { readFileSync } from "node:fs";
import type { Lab } from "../../deploy/lab/lab.js";
import type { ProcessRef } from "../../deploy/lab/processes.js";

/** The kernel counts in these to user space, whatever its own tick is. */
const TICKS_PER_SECOND = 100;
const KIB = 1_024;

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
  return {
    cpuSeconds: cpuSecondsOf(pid),
    rssBytes: kibOf(rollup, "Rss") * KIB,
    pssBytes: kibOf(rollup, "Pss") * KIB,
  };
}

/** Processor time that each kind of program of a lab has used so far, all its hosts together. */
export function cpuByProgram(lab: Lab): ReadonlyMap<string, number> {
  const sum = (processes: readonly ProcessRef[]): number =>
    processes.reduce((total, { pid }) => total + cpuSecondsOf(pid), 0);
  const onHosts = (which: "agent" | "ingress" | "dockerd" | "containerd"): number =>
    sum(lab.hosts.filter((host) => host.isUp).flatMap((host) => host.processes(which)));
  return new Map([
    ["server", sum(lab.server.processes("server"))],
    ["etcd", sum(lab.server.processes("etcd"))],
    ["agents", onHosts("agent")],
    ["ingress", onHosts("ingress")],
    ["dockerd", onHosts("dockerd")],
    ["containerd", onHosts("containerd")],
  ]);
}

/** `server 0.4, agents 1.2`: what was used between two answers of {@link cpuByProgram}, in seconds. */
export function describeCpu(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string {
  return [...after]
    .map(([program, seconds]) => ({ program, used: seconds - (before.get(program) ?? 0) }))
    .filter(({ used }) => used > 0)
    .map(({ program, used }) => `${program} ${used.toFixed(2)}`)
    .join(", ");
}

function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command, in brackets, may itself contain blanks and brackets: fields count from the last one.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function kibOf(rollup: string, key: string): number {
  const value = new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1];
  if (value === undefined) throw new Error(`the kernel gave no ${key}`);
  return Number(value);
}
