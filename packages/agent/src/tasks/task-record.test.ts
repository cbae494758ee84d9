import { expect, test } from "vitest";
import type { ContainerConfig } from "../core/container-config.js";
import { containerWith } from "../core/testing.js";
import { TaskRecord } from "./task-record.js";

test.each(["unknown", "failed"] as const)(
  "TaskRecord looks again after a start whose outcome is %s",
  (kind) => {
    const record = new TaskRecord("t1");
    const container = containerWith({ state: "created" });
    record.containers.set(container.id, container);
    const step = { kind: "start", containerId: container.id } as const;
    record.noteOutcome(step, { kind, reason: "unexpected EOF" }, 0);
    expect([...record.stale]).toEqual([container.id]);
  },
);

test.each(["unknown", "failed"] as const)(
  "TaskRecord looks by name for a container whose creation had the outcome %s",
  (kind) => {
    const record = new TaskRecord("task1");
    const config = { name: "shop_web.2.task1" } as ContainerConfig;
    const step = { kind: "create", taskId: "task1", config } as const;
    record.noteOutcome(step, { kind, reason: "unexpected EOF" }, 0);
    expect([...record.stale]).toEqual([config.name]);
    record.noteLook({ kind: "observed", container: containerWith({ id: "c8", taskId: "" }) }, 0);
    expect([...record.containers.keys()]).toEqual([]);
    record.noteLook({ kind: "observed", container: containerWith({ id: "c9", state: "created" }) }, 0);
    expect([...record.containers.keys()]).toEqual(["c9"]);
  },
);

test("TaskRecord notes once that a container's process has ended, and looks until Docker has seen it, too", () => {
  const record = new TaskRecord("task1");
  const container = containerWith({ processId: 7 });
  const summary = { id: container.id, taskId: "task1", state: "running", health: "none" } as const;
  record.noteLook({ kind: "observed", container }, 0);
  record.noteSummary(summary);
  expect([record.hasEnded, record.stale.size]).toEqual([false, 0]);
  expect([record.noteProcessEnded("c1"), record.noteProcessEnded("c1")]).toEqual([true, false]);
  record.noteLook({ kind: "observed", container }, 0);
  record.noteSummary(summary);
  expect([record.hasEnded, record.stale.size]).toEqual([true, 1]);
  record.noteLook({ kind: "observed", container: { ...container, processId: 8 } }, 0);
  expect(record.hasEnded).toBe(false);
});
