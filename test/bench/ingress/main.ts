// `npm run bench -- ingress`: compares berth's ingress, through its user-space proxy and on the kernel path, with
// HAProxy (tcp mode, one thread), nginx (stream, one worker) and direct connections to the backend.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Figure, figureOf, median } from "../report.js";
import { type BenchContext, runBench } from "../run-bench.js";
import { type BenchNetwork, createNetwork } from "./bench-network.js";
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

const SMOKE_SCENARIOS: readonly string[] = ["close_1"];

interface Measured {
  readonly rate: number;
  /** CPU time of the proxy process per request, in microseconds. */
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

/** With one core each, the user-space proxy should come close to HAProxy, and the kernel path should beat it. */
const USERSPACE_GOAL = { kind: "at-least", value: 0.9 } as const;
const KERNEL_GOAL = { kind: "at-least", value: 1.25 } as const;

/** Duration of a slice. Targets are measured in alternating slices, so that disturbances affect all of them. */
const SLICE_SECONDS = 1;
const SECONDS = 3;
const DEFAULT_RUNS = 5;
const TRANSPORTS = ["raw", "net"];

/**
 * Measures each target in each scenario once per run, in rotating order, so that other load on the machine affects all
 * targets alike. Ratios are computed only within a run.
 */
async function measure({
  runs: count,
  isSmoke,
  options,
  signal,
  progress,
}: BenchContext): Promise<readonly Figure[]> {
  const seconds = Number(options.seconds ?? (isSmoke ? SLICE_SECONDS : SECONDS));
  const { transport = "raw" } = options;
  if (!TRANSPORTS.includes(transport)) {
    throw new Error(`invalid --transport "${transport}"; use ${TRANSPORTS.join(" or ")}`);
  }
  const scenarios = isSmoke ? SCENARIOS.filter(({ name }) => SMOKE_SCENARIOS.includes(name)) : SCENARIOS;
  const directory = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const network = createNetwork();
  const programs = new Programs(network, directory);
  try {
    await startPrograms(programs, transport, signal);
    const measureTarget = targetMeter(network, programs, signal);
    const [warmUp] = SCENARIOS;
    if (!isSmoke)
      for (const target of TARGETS) await measureTarget(target, { ...warmUp, seconds: SLICE_SECONDS });
    const runs: Record<string, Results>[] = [];
    for (let run = 0; run < count; run += 1) {
      const results: Record<string, Results> = {};
      for (const scenario of scenarios) {
        const slices = perTarget((): Slice[] => []);
        for (let slice = 0; slice < seconds; slice += SLICE_SECONDS) {
          for (const target of rotate(TARGETS, run + slice)) {
            slices[target].push(await measureTarget(target, { ...scenario, seconds: SLICE_SECONDS }));
          }
        }
        const result = perTarget((target) => summarize(slices[target]));
        results[scenario.name] = result;
        const rates = TARGETS.map((target) => `${target} ${Math.round(result[target].rate)}`);
        progress(`run ${run + 1}/${count} ${scenario.name}: ${rates.join(", ")} requests/s`);
      }
      runs.push(results);
    }
    return scenarios.flatMap(({ name }) =>
      figuresOf(name, runs.map((results) => results[name]).filter(isPresent)),
    );
  } finally {
    await programs.stop();
    network.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function startPrograms(programs: Programs, transport: string, signal: AbortSignal): Promise<void> {
  await programs.startBackends();
  await programs.startHaproxy();
  await programs.startNginxStream();
  await programs.startBerth(["--transport", transport], signal);
  await programs.startKernel(signal);
}

type MeasureTarget = (target: Target, load: Omit<Load, "url"> & { path: string }) => Promise<Slice>;

function targetMeter(network: BenchNetwork, programs: Programs, signal: AbortSignal): MeasureTarget {
  const bases: Record<Target, string> = {
    kernel: `http://${network.address("router", "client")}:${BERTH_PORT}`,
    berth: `http://${network.address("proxy", "client")}:${BERTH_PORT}`,
    haproxy: `http://${network.address("proxy", "client")}:${HAPROXY_PORT}`,
    nginx: `http://${network.address("proxy", "client")}:${NGINX_PORT}`,
    direct: `http://${network.address("backend", "client")}:8001`,
  };
  return async (target, load) => {
    const beforeMs = programs.cpuMs(target);
    const result = await measureLoad(network, { ...load, url: `${bases[target]}${load.path}` }, signal);
    return { ...result, cpuMs: programs.cpuMs(target) - beforeMs };
  };
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

process.exitCode = await runBench(
  {
    name: "ingress",
    programs: { haproxy: ["haproxy", "-v"], nginx: ["nginx", "-v"], wrk: ["wrk", "-v"] },
    options: { seconds: "N", transport: TRANSPORTS.join("|") },
    defaultRuns: DEFAULT_RUNS,
    measure,
  },
  process.argv.slice(2),
);
