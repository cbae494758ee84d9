import { type MeasuredService, MeasureUsage, type UsageReport } from "@berth/proto";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ListenerStats, VipStats } from "../../dataplane/table/ingress-table.js";
import type { UsageSample } from "./container-usage.js";
import { UsageMeter } from "./usage-meter.js";

let reports: UsageReport[];
let reads: number;
let cpuNs: number;
let listeners: ListenerStats[];
let vips: VipStats[];
let meter: UsageMeter;

beforeEach(() => {
  vi.useFakeTimers();
  reports = [];
  reads = 0;
  cpuNs = 0;
  listeners = [];
  vips = [];
  meter = new UsageMeter({
    taskIdsOf: (serviceIds) => (serviceIds.has("s1") ? ["t1", "t2"] : []),
    // The container of t2 has ended.
    containerOf: (taskId) => ({ processId: taskId === "t1" ? 42 : 0 }),
    read: async (processId): Promise<UsageSample | undefined> => {
      reads += 1;
      const known = { monotonicMs: performance.now(), cpuNs, memoryBytes: 0, receivedBytes: 0, sentBytes: 0 };
      return processId === 0 ? undefined : known;
    },
    stats: async () => ({ listeners, vips }),
    onReport: (report) => reports.push(report),
    log: pino({ level: "silent" }),
  });
});
afterEach(() => {
  meter.stop();
  vi.useRealTimers();
});

const watch = (services: readonly Partial<MeasuredService>[]): void =>
  meter.watch(MeasureUsage.fromPartial({ intervalMs: 5_000, services: [...services] }));

test("UsageMeter measures only while the leader asks for a service", async () => {
  await vi.advanceTimersByTimeAsync(60_000);
  watch([{ serviceId: "s1", cpu: true }]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reads).toBe(2);
  watch([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toBe(2);
});

test("UsageMeter reports the CPU usage between two measurements", async () => {
  watch([{ serviceId: "s1", cpu: true }]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reports).toEqual([]);
  cpuNs += 2.5e9;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reports).toEqual([{ tasks: [{ taskId: "t1", cpuPercent: 50 }], connections: [], opened: [] }]);
});

test("UsageMeter adds up the connections of all ports of a service, and reports services without any", async () => {
  const listener = (service: string, active: number): ListenerStats => ({
    protocol: "tcp",
    address: "",
    port: 80,
    service,
    stack: "",
    total: 0,
    active,
    failed: 0,
    retried: 0,
    ejections: 0,
    held: 0,
    heldTotal: 0,
    heldRefused: 0,
    nodes: [],
    endpoints: [{ id: "t1", address: "192.0.2.1", port: 1, state: "serving", total: 9, active, failed: 0 }],
  });
  watch([{ serviceId: "s1", serviceName: "shop_web", connections: true }]);
  await vi.advanceTimersByTimeAsync(5_000);
  listeners = [listener("shop_web", 3), listener("shop_web", 2), listener("shop_other", 7)];
  await vi.advanceTimersByTimeAsync(5_000);
  expect(reports).toEqual([
    { tasks: [], connections: [], opened: [] },
    { tasks: [], connections: [{ taskId: "t1", active: 5 }], opened: [] },
  ]);
});
