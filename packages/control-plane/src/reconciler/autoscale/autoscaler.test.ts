import { AutoscaleSpec, type MeasureUsage, Service, TaskState } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { buildNode, buildService, buildSpec, buildTask } from "../../core/testing/records.js";
import type { Change } from "../../state/change.js";
import { ClusterState } from "../../state/cluster-state.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { Autoscaler } from "./autoscaler.js";

const MINUTE_MS = 60_000;
const spec = buildSpec({
  mode: { $case: "replicated", value: { replicas: 2 } },
  autoscale: { min: 1, max: 10, targetCpuPercent: 50 },
});

let clock: ManualClock;
let state: ClusterState;
let autoscaler: Autoscaler;
let watches: MeasureUsage[];
let over: AbortController;
let running: Promise<void>;
let revision = 0n;

function write(...changes: readonly Change[]): void {
  revision += 1n;
  state.apply(changes.map((change) => ({ change, revision })));
}

const scaledTo = (): number | undefined => state.services.get("s1")?.autoscale?.replicas;

/** Lets time pass in which both replicas use so much of a processor. */
async function pass(ms: number, cpuPercent: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5_000) {
    const tasks = ["t1", "t2"].map((taskId) => ({ taskId, cpuPercent }));
    autoscaler.recordUsage("n1", { tasks, connections: [], opened: [] });
    await clock.advance(5_000);
  }
}

beforeEach(() => {
  clock = new ManualClock();
  clock.jump(MINUTE_MS);
  state = new ClusterState();
  watches = [];
  over = new AbortController();
  const status = { state: TaskState.RUNNING, sinceMs: 1 };
  write(
    { kind: "put-node", node: buildNode() },
    { kind: "put-service", service: buildService({ spec }) },
    { kind: "put-task", task: buildTask({ id: "t1", slot: 1, status }) },
    { kind: "put-task", task: buildTask({ id: "t2", slot: 2, status }) },
  );
  autoscaler = new Autoscaler({
    state,
    writer: {
      submit: async (decide) => {
        const { changes, result } = decide(state);
        write(...changes);
        return result;
      },
    },
    runtime: { clock, wallClockMs: () => clock.nowMs(), random: () => 0, newId: () => "id" },
    logger: pino({ level: "silent" }),
    onUsageRequest: (watch) => watches.push(watch),
    signal: over.signal,
  });
  running = autoscaler.run(over.signal);
});
afterEach(async () => {
  over.abort(new Error("the test is over"));
  await running.catch(() => undefined);
});

test("Autoscaler scales up at once, and writes nothing while the load is on target", async () => {
  await pass(10_000, 50);
  expect(scaledTo()).toBeUndefined();
  await pass(20_000, 100);
  expect(scaledTo()).toBe(4);
});

test("Autoscaler of a new leader removes nothing before it has seen five minutes of a small load", async () => {
  await pass(5 * MINUTE_MS - 5_000, 5);
  expect(scaledTo()).toBeUndefined();
  await pass(MINUTE_MS, 5);
  expect(scaledTo()).toBe(1);
});

test("Autoscaler requests measurements from agents only when the measured services change", () => {
  expect(autoscaler.usageRequest?.services).toEqual([
    { serviceId: "s1", serviceName: "shop_web", cpu: true, connections: false, opened: false },
  ]);
  write({ kind: "put-task", task: buildTask({ id: "t1", slot: 1, restarts: 1 }) });
  expect(watches).toEqual([]);
  const plain = buildSpec({ mode: { $case: "replicated", value: { replicas: 2 } } });
  write({
    kind: "put-service",
    service: Service.fromPartial({ ...buildService({ spec: plain }), version: 2 }),
  });
  expect(watches.map(({ services }) => services)).toEqual([[]]);
  expect(autoscaler.usageRequest).toBeUndefined();
});

test("Autoscaler starts the first replica when a client waits, and scales to zero again when no client connects", async () => {
  const mode = { $case: "replicated", value: { replicas: 0 } } as const;
  const autoscale = AutoscaleSpec.fromPartial({ min: 0, max: 1 });
  const toZero = Service.fromPartial({
    ...buildService({ spec: buildSpec({ mode, autoscale }) }),
    version: 2,
  });
  write({ kind: "put-service", service: toZero });
  expect(autoscaler.usageRequest?.services).toMatchObject([{ connections: true, opened: true }]);
  autoscaler.onClientsWaiting(toZero);
  autoscaler.onClientsWaiting(toZero);
  await clock.advance(0);
  expect(state.services.get("s1")?.autoscale).toMatchObject({
    replicas: 1,
    message: "from 0 to 1: a client has connected",
  });
  const report = { tasks: [], connections: [], opened: [{ serviceId: "s1", total: 1 }] };
  const idleFor = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 5_000) {
      autoscaler.recordUsage("n1", report);
      await clock.advance(5_000);
    }
  };
  await idleFor(5 * MINUTE_MS);
  expect(scaledTo()).toBe(1);
  await idleFor(MINUTE_MS);
  expect(scaledTo()).toBe(0);
});
