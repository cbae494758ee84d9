import { DEFAULT_HOST_FILES, DEFAULT_POLICY } from "@berth/proto";
import { pino } from "pino";
import { expect, test, vi } from "vitest";
import { NO_NETWORKS } from "../core/networks/task-networks.js";
import { NO_FILES, NODE, specWith, taskWith } from "../core/tasks/testing.js";
import type { Engine } from "../engine/engine.js";
import { ReconcileLoop } from "./reconcile-loop.js";
import { StatusReporter } from "./status-reporter.js";
import { TaskRecords } from "./task-records.js";

test("retries a task after its step failed unexpectedly", async () => {
  const tasks = new TaskRecords();
  const imageExists = vi.fn(async () => true);
  const log = pino({ level: "silent" });
  const reporter = new StatusReporter({ log, onReport: () => {} });
  const logOutcome = vi.spyOn(reporter, "logOutcome").mockImplementationOnce(() => {
    throw new Error("the disk of the log is full");
  });
  const loop = new ReconcileLoop({
    tasks,
    reporter,
    tools: {
      engine: { imageExists, ping: async () => {} } as unknown as Engine,
      checkPort: async () => "accepted",
      shareFile: async () => "",
      taskFiles: { directory: "", list: async () => [], write: vi.fn(), remove: vi.fn(), swapProblem: "" },
      shippedFiles: undefined,
      registryLogins: () => [],
      onPortPublishing: () => {},
      onSwapProblem: () => {},
    },
    managedImages: undefined,
    resourceNames: {},
    isFenced: () => false,
    networks: () => NO_NETWORKS,
    policy: () => ({ policy: DEFAULT_POLICY, files: DEFAULT_HOST_FILES }),
    files: () => NO_FILES,
    onForgotten: () => {},
    onKept: () => {},
    log,
    now: Date.now,
  });
  const record = tasks.getOrCreate("task1");
  record.assign({ task: taskWith(), spec: specWith(), receivedAtMs: Date.now() });
  loop.onEngineConnected(NODE);
  loop.wake("task1");
  await vi.waitFor(() => expect(logOutcome.mock.calls.length).toBeGreaterThan(1), { timeout: 10_000 });
  loop.close(new Error("test ended"));
});
