// `npm run bench -- idle`: measures memory, CPU time and etcd writes of berth in an idle cluster of three hosts and
// thirty tasks with published ports.
import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "../../../deploy/lab/lab.js";
import { waitUntil } from "../../../deploy/lab/wait-until.js";
import { type BenchService, BerthStacks } from "../berth-stack.js";
import { loadHello, withBenchLab } from "../lab.js";
import { type Figure, figureOf, type Goal } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type IdleSample, type ProgramSample, sampleIdle } from "./sample.js";

const SERVICES = 3;
const FIRST_PORT = 18_080;
const IMAGE = "hello:bench";
const STACK_NAME = "bench";
const RUNNING_TIMEOUT_MS = 120_000;
interface Size {
  readonly hosts: number;
  readonly replicasPerService: number;
  /**
   * Time after the deployment for garbage collection, V8's compilation of hot code, and disk write-back. After 30 s,
   * agents still use half as much CPU time again as after a minute.
   */
  readonly settleMs: number;
  /** Length of the window in which CPU time and writes are measured. */
  readonly windowMs: number;
}

const FULL: Size = { hosts: 3, replicasPerService: 10, settleMs: 60_000, windowMs: 30_000 };
const SMOKE: Size = { hosts: 1, replicasPerService: 1, settleMs: 1_000, windowMs: 2_000 };

const SERVER_GOAL_MB = 120;
const AGENT_GOAL_MB = 80;
const INGRESS_GOAL_MB = 80;
const AGENT_CPU_GOAL_PERCENT = 1;

async function measure(context: BenchContext): Promise<readonly Figure[]> {
  const { signal, isSmoke } = context;
  const { hosts, replicasPerService, settleMs, windowMs } = isSmoke ? SMOKE : FULL;
  return withBenchLab({ tag: "i", hosts, hasBerth: true }, context, async (lab) => {
    await loadHello(lab, IMAGE);
    await runTasks(lab, replicasPerService, signal);
    context.progress(`${SERVICES * replicasPerService} tasks run; waiting ${settleMs / 1_000} s`);
    await sleep(settleMs, undefined, { signal });
    const samples: IdleSample[] = [];
    for (let run = 1; run <= context.runs; run += 1) {
      const sample = await sampleIdle(lab, windowMs, signal);
      context.progress(`run ${run} of ${context.runs}: ${describeSample(sample)}`);
      samples.push(sample);
    }
    return figuresOf(samples);
  });
}

async function runTasks(lab: Lab, replicasPerService: number, signal: AbortSignal): Promise<void> {
  const stacks = await BerthStacks.connect(lab);
  try {
    await stacks.waitUntilReady(signal);
    await stacks.deploy(STACK_NAME, services(replicasPerService), signal);
    const allRun = async (): Promise<boolean> =>
      (await stacks.runningTasks(STACK_NAME, signal)) === SERVICES * replicasPerService;
    await waitUntil(allRun, { what: "all tasks to run", timeoutMs: RUNNING_TIMEOUT_MS, signal });
  } finally {
    stacks.close();
  }
}

function services(replicas: number): Record<string, BenchService> {
  const one = (index: number): [string, BenchService] => [
    `web${index}`,
    { image: IMAGE, replicas, ports: [`${FIRST_PORT + index}:80`] },
  ];
  return Object.fromEntries(Array.from({ length: SERVICES }, (_, index) => one(index)));
}

function figuresOf(samples: readonly IdleSample[]): Figure[] {
  const figure = (name: string, unit: string, value: (sample: IdleSample) => number, goal?: number): Figure =>
    figureOf({ name: `idle.${name}`, unit, ...atMost(goal), runs: samples.map(value) });
  return [
    figure("server_mb", "MB", ({ server }) => server.residentMb, SERVER_GOAL_MB),
    figure("agent_mb", "MB", ({ agent }) => agent.residentMb, AGENT_GOAL_MB),
    figure("ingress_mb", "MB", ({ ingress }) => ingress.residentMb, INGRESS_GOAL_MB),
    figure("etcd_mb", "MB", ({ etcd }) => etcd.residentMb),
    figure("server_pss_mb", "MB", ({ server }) => server.proportionalMb),
    figure("agent_pss_mb", "MB", ({ agent }) => agent.proportionalMb),
    figure("ingress_pss_mb", "MB", ({ ingress }) => ingress.proportionalMb),
    figure("agent_cpu_percent", "%", ({ agent }) => agent.cpuPercent, AGENT_CPU_GOAL_PERCENT),
    figure("server_cpu_percent", "%", ({ server }) => server.cpuPercent),
    figure("ingress_cpu_percent", "%", ({ ingress }) => ingress.cpuPercent),
    figure("etcd_cpu_percent", "%", ({ etcd }) => etcd.cpuPercent),
    figure("etcd_writes_per_s", "/s", ({ etcdWritesPerSecond }) => etcdWritesPerSecond, 0),
  ];
}

function atMost(value: number | undefined): { goal?: Goal } {
  return value === undefined ? {} : { goal: { kind: "at-most", value } };
}

function describeSample({ server, etcd, agent, ingress, etcdWritesPerSecond }: IdleSample): string {
  const one = (name: string, { residentMb, cpuPercent }: ProgramSample): string =>
    `${name} ${residentMb.toFixed(0)} MB ${cpuPercent.toFixed(1)} %`;
  const programs = [one("server", server), one("etcd", etcd), one("agent", agent), one("ingress", ingress)];
  return `${programs.join(", ")}, ${etcdWritesPerSecond.toFixed(2)} etcd writes/s`;
}

process.exitCode = await runBench(
  {
    name: "idle",
    programs: { docker: ["dockerd", "--version"], etcd: ["etcd", "--version"] },
    measure,
  },
  process.argv.slice(2),
);
