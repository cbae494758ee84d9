import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "../../../deploy/lab/lab.js";
import type { ProcessRef } from "../../../deploy/lab/processes.js";
import { type ProcessUsage, usageOf } from "../process-usage.js";
import { median } from "../report.js";

const BYTES_PER_MB = 1e6;

/** Resource usage of one kind of program: the median over its processes. */
export interface ProgramSample {
  readonly residentMb: number;
  readonly proportionalMb: number;
  /** Percentage of one CPU. */
  readonly cpuPercent: number;
}

export interface IdleSample {
  readonly server: ProgramSample;
  readonly etcd: ProgramSample;
  readonly agent: ProgramSample;
  readonly ingress: ProgramSample;
  /** Growth of etcd's revision per second. Lease renewals do not count as writes. */
  readonly etcdWritesPerSecond: number;
}

/** Measures the CPU time and etcd writes of an idle lab over a window, and its memory at the end. */
export async function sampleIdle(lab: Lab, windowMs: number, signal: AbortSignal): Promise<IdleSample> {
  const processes = {
    server: lab.serverMachine.processes("server"),
    etcd: lab.serverMachine.processes("etcd"),
    agent: lab.hosts.flatMap((host) => host.processes("agent")),
    ingress: lab.hosts.flatMap((host) => host.processes("ingress")),
  };
  const revisionBefore = await etcdRevision(lab, signal);
  const startedAt = performance.now();
  const before = new Map(
    Object.values(processes)
      .flat()
      .map((ref) => [ref.pid, usageOf(ref).cpuSeconds]),
  );
  await sleep(windowMs, undefined, { signal });
  const seconds = (performance.now() - startedAt) / 1_000;
  const sampleOf = (refs: readonly ProcessRef[]): ProgramSample => {
    const usages = refs.map((ref) => ({ ref, usage: usageOf(ref) }));
    const medianOf = (value: (usage: ProcessUsage) => number): number =>
      median(usages.map(({ usage }) => value(usage)));
    return {
      residentMb: medianOf((usage) => usage.rssBytes) / BYTES_PER_MB,
      proportionalMb: medianOf((usage) => usage.pssBytes) / BYTES_PER_MB,
      cpuPercent: median(
        usages.map(({ ref, usage }) => ((usage.cpuSeconds - (before.get(ref.pid) ?? 0)) / seconds) * 100),
      ),
    };
  };
  return {
    server: sampleOf(processes.server),
    etcd: sampleOf(processes.etcd),
    agent: sampleOf(processes.agent),
    ingress: sampleOf(processes.ingress),
    etcdWritesPerSecond: ((await etcdRevision(lab, signal)) - revisionBefore) / seconds,
  };
}

async function etcdRevision(lab: Lab, signal: AbortSignal): Promise<number> {
  const { code, stdout, stderr } = await lab.serverMachine.berthServer.etcdctl(
    ["endpoint", "status", "--write-out", "json"],
    { signal },
  );
  if (code !== 0) throw new Error(`etcdctl: ${stderr}`);
  const [endpoint] = JSON.parse(stdout) as { Status: { header: { revision: number } } }[];
  if (endpoint === undefined) throw new Error("etcdctl reports no endpoint");
  return endpoint.Status.header.revision;
}
