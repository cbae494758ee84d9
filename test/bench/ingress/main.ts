import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeMachine, type Figure, figureOf, printTable, type Report, writeReport } from "../report.js";
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
type Rates = Record<Target, number>;

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
    const measure = (load: Load): Promise<number> => measureLoad(network, load, signal);

    for (const target of TARGETS) {
      for (const { connection } of SCENARIOS)
        await measure({ url: urls[target], connection, connections: 32, seconds: 1 });
    }
    const runs: Record<string, Rates>[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const results: Record<string, Rates> = {};
      for (const { name, ...load } of SCENARIOS) {
        const rates: Rates = { berth: 0, haproxy: 0, direct: 0 };
        for (const target of rotate(TARGETS, run)) {
          rates[target] = await measure({ ...load, url: urls[target], seconds: Number(values.seconds) });
        }
        results[name] = rates;
        progress(
          `run ${run + 1}/${values.runs} ${name}: ${TARGETS.map((target) => `${target} ${Math.round(rates[target])}`).join(", ")}`,
        );
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

function publish(runs: readonly Record<string, Rates>[]): void {
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

function figuresOf(name: string, rates: readonly Rates[]): readonly Figure[] {
  const medianOf = (target: Target): number =>
    figureOf({ name, unit: "requests/s", runs: rates.map((rate) => rate[target]) }).value;
  return [
    figureOf({
      name: `ingress.userspace_vs_haproxy.${name}`,
      unit: "x",
      goal: GOAL,
      peer: { haproxy: 1 },
      runs: rates.map((rate) => rate.berth / rate.haproxy),
    }),
    figureOf({
      name: `ingress.userspace.${name}`,
      unit: "requests/s",
      peer: { haproxy: medianOf("haproxy"), direct: medianOf("direct") },
      runs: rates.map((rate) => rate.berth),
    }),
  ];
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
