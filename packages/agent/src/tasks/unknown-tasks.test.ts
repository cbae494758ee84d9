import type { UnknownTask } from "@berth/proto";
import { expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import { ReconcileLoop, type ReconcileLoopOptions } from "./reconcile-loop.js";
import { TaskRecords } from "./task-records.js";
import { UnknownTaskReporter } from "./unknown-tasks.js";

const reportOf = (taskId: string, containerId: string): UnknownTask => ({
  taskId,
  containerId,
  containerName: containerWith().name,
});

function reporterOver(tasks: TaskRecords) {
  const reports: (readonly UnknownTask[])[] = [];
  const loop = { isEngineConnected: true, isKept: () => true };
  const reporter = new UnknownTaskReporter({ tasks, loop, onReport: (report) => reports.push(report) });
  return { reports, loop, reporter };
}

test("reports running containers of unknown tasks once all are inspected, and again after each change", () => {
  const tasks = new TaskRecords();
  const { reports, loop, reporter } = reporterOver(tasks);
  loop.isEngineConnected = false;
  reporter.start();
  expect(reports).toEqual([]);
  loop.isEngineConnected = true;

  const first = tasks.getOrCreate("t1");
  first.staleContainers.add("c1");
  const second = tasks.getOrCreate("t2");
  second.containers.set("c2", containerWith({ id: "c2", state: "exited" }));
  reporter.reportIfChanged();
  expect(reports).toEqual([]);
  first.staleContainers.clear();
  first.containers.set("c1", containerWith({ id: "c1" }));
  reporter.reportIfChanged();
  reporter.reportIfChanged();
  expect(reports).toEqual([[reportOf("t1", "c1")]]);
  first.containers.set("c1", containerWith({ id: "c1", state: "exited" }));
  reporter.reportIfChanged();
  expect(reports.at(-1)).toEqual([]);
  // A new session needs a report even if nothing has changed.
  reporter.start();
  expect(reports).toHaveLength(3);
  reporter.stop();
  first.containers.set("c1", containerWith({ id: "c1" }));
  reporter.reportIfChanged();
  expect(reports).toHaveLength(3);
});

test("a report has at most 1000 tasks", () => {
  const tasks = new TaskRecords();
  for (let index = 0; index < 1_001; index += 1)
    tasks.getOrCreate(`t${index}`).containers.set("c", containerWith({ id: "c" }));
  const { reports, reporter } = reporterOver(tasks);
  reporter.start();
  expect(reports[0]).toHaveLength(1_000);
});

test("the loop asks for one report when it advances many unknown tasks together", async () => {
  const tasks = new TaskRecords();
  let asked = 0;
  const options: Partial<ReconcileLoopOptions> = { tasks, onKept: () => (asked += 1), now: () => 0 };
  const loop = new ReconcileLoop({ ...options, tools: { engine: {} } } as ReconcileLoopOptions);
  loop.onEngineConnected({} as Parameters<ReconcileLoop["onEngineConnected"]>[0]);
  loop.keepUnknown(true);
  for (let index = 0; index < 100; index += 1) loop.wake(tasks.getOrCreate(`t${index}`).taskId);
  await Promise.resolve();
  expect(asked).toBe(1);
});
