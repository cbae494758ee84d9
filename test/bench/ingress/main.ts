import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  describeMachine,
  type Figure,
  figureOf,
  median,
  printTable,
  type Report,
  writeReport,
} from "../report.js";
import { createNetwork } from "./bench-network.js";
import {
  BERTH_PORT,
  BIG_PATH,
  HAPROXY_PORT,
  NGINX_PORT,
  Programs,
  TARGETS,
  type Target,
} from "./programs.js";
import { type Latency, type Load, measureLoad } from "./wrk.js";

const SCENARIOS = [
  { name: "keepalive_1", connection: "keep-alive", connections: 1, path: "/" },
  { name: "keepalive_32", connection: "keep-alive", connections: 32, path: "/" },
  { name: "keepalive_256", connection: "keep-alive", connections: 256, path: "/" },
  { name: "close_1", connection: "close", connections: 1, path: "/" },
  { name: "close_32", connection: "close", connections: 32, path: "/" },
  { name: "close_256", connection: "close", connections: 256, path: "/" },
  { name: "big_32", connection: "keep-alive", connections: 32, path: BIG_PATH },
] as const;

interface Measured {
  readonly rate: number;
  /** CPU time of the proxy's process for one request, in microseconds. */
  readonly cpuUs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Slice {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly cpuMs: number;
  readonly latency: Latency;
}
type Results = Readonly<Record<Target, Measured>>;

/** The least that counts as being as good as HAProxy, with one core each; and what the kernel has to be better. */
const USERSPACE_GOAL = { kind: "at-least", value: 0.9 } as const;
const KERNEL_GOAL = { kind: "at-least", value: 1.25 } as const;

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    runs: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    /** `net`: berth's transport for a Node without the raw handles. */
    transport: { type: "string", default: "raw" },
  },
});

/** A target is measured in slices that take turns with the other targets', so that a disturbance hits them all. */
const SLICE_SECONDS = 1;

/**
 * berth's ingress, by its process and by the kernel, beside HAProxy (tcp mode, one thread, round robin), nginx (stream,
 * one worker) and the backend itself.
 * A run is one measurement of every target in every scenario, in an order that moves on from run to run:
 * what disturbs the machine disturbs them alike, and only ratios within one run are formed.
 */
async function main(signal: AbortSignal): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const network = createNetwork();
  const programs = new Programs(network, folder);
  try {
    await programs.startBackends();
    await programs.startHaproxy();
    await programs.startNginxStream();
    await programs.startBerth(["--transport", values.transport], signal);
    await programs.startKernel(signal);
    const bases: Record<Target, string> = {
      kernel: `http://${network.address("router", "client")}:${BERTH_PORT}`,
      berth: `http://${network.address("proxy", "client")}:${BERTH_PORT}`,
      haproxy: `http://${network.address("proxy", "client")}:${HAPROXY_PORT}`,
      nginx: `http://${network.address("proxy", "client")}:${NGINX_PORT}`,
      direct: `http://${network.address("backend", "client")}:8001`,
    };
    const measure = async (target: Target, load: Omit<Load, "url"> & { path: string }): Promise<Slice> => {
      const beforeMs = programs.cpuMs(target);
      const url = `${bases[target]}${load.path}`;
      const result = await measureLoad(network, { ...load, url }, signal);
      return { ...result, cpuMs: programs.cpuMs(target) - beforeMs };
    };

    const [warmUp] = SCENARIOS;
    for (const target of TARGETS) await measure(target, { ...warmUp, seconds: 1 });
    const runs: Record<string, Results>[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const results: Record<string, Results> = {};
      for (const scenario of SCENARIOS) {
        const slices = perTarget((): Slice[] => []);
        for (let slice = 0; slice < Number(values.seconds); slice += SLICE_SECONDS) {
          for (const target of rotate(TARGETS, run + slice)) {
            slices[target].push(await measure(target, { ...scenario, seconds: SLICE_SECONDS }));
          }
        }
        const result = perTarget((target) => summarize(slices[target]));
        results[scenario.name] = result;
        const rates = TARGETS.map((target) => `${target} ${Math.round(result[target].rate)}`);
        progress(`run ${run + 1}/${values.runs} ${scenario.name}: ${rates.join(", ")} requests/s`);
      }
      runs.push(results);
    }
    publish(runs);
  } finally {
    await programs.stop();
    network.dispose();
    rmSync(folder, { recursive: true, force: true });
  }
}

function publish(runs: readonly Record<string, Results>[]): void {
  const figures = SCENARIOS.flatMap(({ name }) =>
    figuresOf(name, runs.map((results) => results[name]).filter(isPresent)),
  );
  const report: Report = {
    bench: "ingress",
    machine: describeMachine({ haproxy: ["haproxy", "-v"], nginx: ["nginx", "-v"], wrk: ["wrk", "-v"] }),
    figures,
  };
  printTable(report);
  if (values.json !== undefined) writeReport(values.json, report);
}

function figuresOf(name: string, results: readonly Results[]): readonly Figure[] {
  const medians = (target: Target, of: keyof Measured): number =>
    median(results.map((each) => each[target][of]));
  const peers = (of: keyof Measured): Readonly<Record<string, number>> => ({
    haproxy: medians("haproxy", of),
    nginx: medians("nginx", of),
    direct: medians("direct", of),
  });
  const versus = (target: "kernel" | "berth"): Pick<Figure, "peer" | "runs"> => ({
    peer: {
      haproxy: 1,
      nginx: medians("nginx", "rate") / medians("haproxy", "rate"),
      direct: medians("direct", "rate") / medians("haproxy", "rate"),
    },
    runs: results.map((each) => each[target].rate / each.haproxy.rate),
  });
  const plain = (figure: string, unit: string, target: "kernel" | "berth", of: keyof Measured): Figure =>
    figureOf({
      name: `${figure}.${name}`,
      unit,
      peer: peers(of),
      runs: results.map((each) => each[target][of]),
    });
  return [
    figureOf({
      name: `ingress.kernel_vs_haproxy.${name}`,
      unit: "x",
      goal: KERNEL_GOAL,
      ...versus("kernel"),
    }),
    figureOf({
      name: `ingress.userspace_vs_haproxy.${name}`,
      unit: "x",
      goal: USERSPACE_GOAL,
      ...versus("berth"),
    }),
    plain("ingress.kernel", "requests/s", "kernel", "rate"),
    plain("ingress.kernel_p50_ms", "ms", "kernel", "p50Ms"),
    plain("ingress.kernel_p99_ms", "ms", "kernel", "p99Ms"),
    plain("ingress.userspace", "requests/s", "berth", "rate"),
    plain("ingress.userspace_p50_ms", "ms", "berth", "p50Ms"),
    plain("ingress.userspace_p99_ms", "ms", "berth", "p99Ms"),
    figureOf({
      name: `ingress.userspace_cpu.${name}`,
      unit: "µs/request",
      peer: { haproxy: medians("haproxy", "cpuUs") },
      runs: results.map(({ berth }) => berth.cpuUs),
    }),
  ];
}

function perTarget<Value>(make: (target: Target) => Value): Readonly<Record<Target, Value>> {
  const [kernel, berth, haproxy, nginx, direct] = TARGETS.map(make) as [Value, Value, Value, Value, Value];
  return { kernel, berth, haproxy, nginx, direct };
}

function summarize(slices: readonly Slice[]): Measured {
  const sum = (of: "requests" | "requestsPerSecond" | "cpuMs"): number =>
    slices.reduce((total, slice) => total + slice[of], 0);
  return {
    rate: sum("requestsPerSecond") / slices.length,
    cpuUs: (sum("cpuMs") * 1_000) / sum("requests"),
    p50Ms: median(slices.map(({ latency }) => latency.p50Ms)),
    p99Ms: median(slices.map(({ latency }) => latency.p99Ms)),
  };
}

function rotate<Item>(items: readonly Item[], by: number): readonly Item[] {
  return items.map((_, index) => items[(index + by) % items.length]).filter(isPresent);
}

function isPresent<Value>(value: Value | undefined): value is Value {
  return value !== undefined;
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort());
try {
  await main(interrupted.signal);
} catch (error) {
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
  if (!interrupted.signal.aborted) throw error;
}
