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
import { type Load, measureLoad } from "./load.js";
import { createNetwork } from "./network.js";
import { BERTH_PORT, HAPROXY_PORT, Programs } from "./programs.js";

const SCENARIOS = [
  { name: "keepalive_32", connection: "keep-alive", connections: 32 },
  { name: "close_32", connection: "close", connections: 32 },
  { name: "keepalive_1", connection: "keep-alive", connections: 1 },
  { name: "close_1", connection: "close", connections: 1 },
] as const;

const TARGETS = ["berth", "haproxy", "direct"] as const;
type Target = (typeof TARGETS)[number];

interface Measured {
  readonly rate: number;
  /** CPU time of the proxy's process for one request, in microseconds. */
  readonly cpuUs: number;
}

interface Slice {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly cpuMs: number;
}
type Results = Readonly<Record<Target, Measured>>;

/** The least that counts as being as good as HAProxy, with one core each. */
const GOAL = { kind: "at-least", value: 0.9 } as const;

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
 * berth's user-space ingress beside HAProxy (tcp mode, one thread, round robin) and the backend itself.
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
    await programs.startBerth(["--transport", values.transport], signal);
    const urls: Record<Target, string> = {
      berth: `http://${network.address("proxy", "client")}:${BERTH_PORT}/`,
      haproxy: `http://${network.address("proxy", "client")}:${HAPROXY_PORT}/`,
      direct: `http://${network.address("backend", "client")}:8001/`,
    };
    const measure = async (target: Target, load: Omit<Load, "url">): Promise<Slice> => {
      const beforeMs = programs.cpuMs(target);
      const { requests, requestsPerSecond } = await measureLoad(
        network,
        { ...load, url: urls[target] },
        signal,
      );
      return { requests, requestsPerSecond, cpuMs: programs.cpuMs(target) - beforeMs };
    };

    for (const target of TARGETS) {
      for (const load of SCENARIOS) await measure(target, { ...load, seconds: 1 });
    }
    const runs: Record<string, Results>[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const results: Record<string, Results> = {};
      for (const scenario of SCENARIOS) {
        const slices: Record<Target, Slice[]> = { berth: [], haproxy: [], direct: [] };
        for (let slice = 0; slice < Number(values.seconds); slice += SLICE_SECONDS) {
          for (const target of rotate(TARGETS, run + slice)) {
            slices[target].push(await measure(target, { ...scenario, seconds: SLICE_SECONDS }));
          }
        }
        const result = {
          berth: summarize(slices.berth),
          haproxy: summarize(slices.haproxy),
          direct: summarize(slices.direct),
        };
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
  return [
    figureOf({
      name: `ingress.userspace_vs_haproxy.${name}`,
      unit: "x",
      goal: GOAL,
      peer: { haproxy: 1 },
      runs: results.map(({ berth, haproxy }) => berth.rate / haproxy.rate),
    }),
    figureOf({
      name: `ingress.userspace.${name}`,
      unit: "requests/s",
      peer: { haproxy: medians("haproxy", "rate"), direct: medians("direct", "rate") },
      runs: results.map(({ berth }) => berth.rate),
    }),
    figureOf({
      name: `ingress.userspace_cpu.${name}`,
      unit: "µs/request",
      peer: { haproxy: medians("haproxy", "cpuUs") },
      runs: results.map(({ berth }) => berth.cpuUs),
    }),
  ];
}

function summarize(slices: readonly Slice[]): Measured {
  const sum = (of: keyof Slice): number => slices.reduce((total, slice) => total + slice[of], 0);
  return { rate: sum("requestsPerSecond") / slices.length, cpuUs: (sum("cpuMs") * 1_000) / sum("requests") };
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
