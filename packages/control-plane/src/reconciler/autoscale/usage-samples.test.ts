import { type Task, TaskState, UsageReport } from "@berth/proto";
import { expect, test } from "vitest";
import type { Usage } from "../../core/orchestrator/autoscale.js";
import { buildTask } from "../../core/testing/records.js";
import { UsageSamples } from "./usage-samples.js";

/** Two tasks of a service on two nodes, that have run for a minute. */
const tasks: readonly Task[] = ["1", "2"].map((number) =>
  buildTask({
    id: `t${number}`,
    nodeId: `n${number}`,
    status: { state: TaskState.RUNNING, sinceMs: 940_000 },
  }),
);
const NOW = 1_000_000;

class Setup {
  monotonicMs = 0;
  /** Number of times that the clock was read. Each comparison of a sample's age reads it. */
  clockReads = 0;
  readonly board = new UsageSamples({
    findTask: (taskId) => tasks.find(({ id }) => id === taskId),
    monotonicMs: () => {
      this.clockReads += 1;
      return this.monotonicMs;
    },
  });

  report(nodeId: string, report: Parameters<typeof UsageReport.fromPartial>[0]): void {
    this.board.recordReport(nodeId, UsageReport.fromPartial(report));
  }

  usage(over: Partial<Parameters<UsageSamples["usageOf"]>[1]> = {}): Usage {
    return this.board.usageOf(tasks, {
      serviceId: "s1",
      cpuShare: 1,
      nodeIds: ["n1", "n2"],
      wallClockMs: NOW,
      ...over,
    });
  }
}

test("UsageSamples averages the reports about a task of the last seconds", () => {
  const setup = new Setup();
  setup.report("n1", { tasks: [{ taskId: "t1", cpuPercent: 10 }] });
  setup.monotonicMs = 5_000;
  setup.report("n1", { tasks: [{ taskId: "t1", cpuPercent: 30 }] });
  expect(setup.usage().cpuPercents).toEqual([20]);
  expect(setup.usage({ cpuShare: 0.5 }).cpuPercents).toEqual([40]);
  setup.monotonicMs = 16_000;
  expect(setup.usage().cpuPercents).toEqual([30]);
  setup.monotonicMs = 21_000;
  expect(setup.usage().cpuPercents).toEqual([]);
});

test("UsageSamples leaves out tasks that have just started", () => {
  const setup = new Setup();
  setup.report("n1", { tasks: [{ taskId: "t1", cpuPercent: 90 }] });
  expect(setup.usage({ wallClockMs: 949_000 }).cpuPercents).toEqual([]);
});

test("UsageSamples sums the connections of all nodes, and shows whether a node is missing", () => {
  const setup = new Setup();
  expect(setup.usage()).toMatchObject({ connections: undefined, areConnectionsComplete: false });
  setup.report("n1", {
    connections: [
      { taskId: "t1", active: 3 },
      { taskId: "t2", active: 2 },
    ],
  });
  expect(setup.usage()).toMatchObject({ connections: 5, areConnectionsComplete: false });
  setup.report("n2", { connections: [{ taskId: "t1", active: 1 }] });
  expect(setup.usage()).toMatchObject({ connections: 6, areConnectionsComplete: true });
});

test("UsageSamples ignores unknown tasks and reports about tasks of other nodes", () => {
  const setup = new Setup();
  setup.report("n2", {
    tasks: [
      { taskId: "t1", cpuPercent: 50 },
      { taskId: "t2", cpuPercent: Number.NaN },
    ],
  });
  setup.report("n1", { connections: [{ taskId: "unknown", active: 9 }] });
  expect(setup.usage({ nodeIds: ["n1"] })).toMatchObject({ cpuPercents: [], connections: 0 });
});

test("UsageSamples does linear work for a report that repeats a task", () => {
  const setup = new Setup();
  const repeated = Array.from({ length: 10_000 }, (_, index) => ({ taskId: "t1", cpuPercent: index }));
  setup.report("n1", { tasks: repeated });
  expect(setup.clockReads).toBeLessThan(100);
  expect(setup.usage().cpuPercents).toEqual([9_999]);
});

test("UsageSamples ignores reports that follow each other faster than agents measure", () => {
  const setup = new Setup();
  for (; setup.monotonicMs < 5_000; setup.monotonicMs += 1) {
    setup.report("n1", { tasks: [{ taskId: "t1", cpuPercent: setup.monotonicMs }] });
  }
  expect(setup.clockReads).toBeLessThan(3 * 5_000);
  expect(setup.usage().cpuPercents).toEqual([2_250]);
});

test("UsageSamples shows that a service is idle when all nodes report no open and no new connections", () => {
  const setup = new Setup();
  const report = (nodeId: string, total: number): void =>
    setup.report(nodeId, { opened: [{ serviceId: "s1", total }] });
  const advanceTo = (ms: number, second: number): void => {
    setup.monotonicMs = ms;
    report("n1", 7);
    report("n2", second);
  };
  advanceTo(0, 3);
  expect(setup.usage().isIdle).toBe(false);
  advanceTo(10_000, 3);
  advanceTo(16_000, 3);
  expect(setup.usage().isIdle).toBe(true);
  expect(setup.usage({ nodeIds: ["n1", "n2", "n3"] }).isIdle).toBe(false);
  expect(setup.usage({ serviceId: "s2" }).isIdle).toBe(false);
  advanceTo(20_000, 4);
  expect(setup.usage().isIdle).toBe(false);
});
