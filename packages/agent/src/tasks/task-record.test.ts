import { TaskState } from "@berth/proto";
import { expect, test } from "vitest";
import type { ContainerConfig } from "../core/tasks/container-config.js";
import { reconcile } from "../core/tasks/reconcile.js";
import { containerWith, specWith, taskWith, viewWith } from "../core/tasks/testing.js";
import { TaskRecord } from "./task-record.js";

test.each(["unknown", "failed"] as const)(
  "TaskRecord inspects the container after a start with the outcome %s",
  (kind) => {
    const record = new TaskRecord("t1");
    const container = containerWith({ state: "created" });
    record.containers.set(container.id, container);
    const step = { kind: "start", containerId: container.id } as const;
    record.applyOutcome(step, { kind, reason: "unexpected EOF" }, 0);
    expect([...record.staleContainers]).toEqual([container.id]);
  },
);

test("TaskRecord does not observe the end of a container whose start the daemon cut short", () => {
  const record = new TaskRecord("task1");
  const created = containerWith({ state: "created" });
  const step = { kind: "start", containerId: created.id } as const;
  record.applyOutcome(step, { kind: "unknown", reason: "unexpected EOF" }, 0);
  record.applyInspection({ kind: "observed", container: { ...created, state: "exited" } }, 0);
  expect(record.memory.wasUnobserved).toBe(true);
  record.applyInspection({ kind: "observed", container: created }, 0);
  expect(record.memory.wasUnobserved).toBe(false);
});

test.each(["unknown", "failed"] as const)(
  "TaskRecord inspects by name after a creation with the outcome %s",
  (kind) => {
    const record = new TaskRecord("task1");
    const config = { name: "shop_web.2.task1" } as ContainerConfig;
    const step = { kind: "create", taskId: "task1", config } as const;
    record.applyOutcome(step, { kind, reason: "unexpected EOF" }, 0);
    expect([...record.staleContainers]).toEqual([config.name]);
    record.applyInspection({ kind: "observed", container: containerWith({ id: "c8", taskId: "" }) }, 0);
    expect([...record.containers.keys()]).toEqual([]);
    record.applyInspection({ kind: "observed", container: containerWith({ id: "c9", state: "created" }) }, 0);
    expect([...record.containers.keys()]).toEqual(["c9"]);
  },
);

test("TaskRecord records the end of a process once, and inspects until Docker reports it, too", () => {
  const record = new TaskRecord("task1");
  const container = containerWith({ processId: 7 });
  const summary = { id: container.id, taskId: "task1", state: "running", health: "none" } as const;
  record.applyInspection({ kind: "observed", container }, 0);
  record.applySummary(summary);
  expect([record.hasEnded, record.staleContainers.size]).toEqual([false, 0]);
  expect([record.markProcessEnded("c1"), record.markProcessEnded("c1")]).toEqual([true, false]);
  record.applyInspection({ kind: "observed", container }, 0);
  record.applySummary(summary);
  expect([record.hasEnded, record.staleContainers.size]).toEqual([true, 1]);
  record.applyInspection({ kind: "observed", container: { ...container, processId: 8 } }, 0);
  expect(record.hasEnded).toBe(false);
});

test("a task loses its container when the container no longer proves that it belongs to the task", () => {
  const record = new TaskRecord("task1");
  record.applyInspection({ kind: "observed", container: containerWith() }, 0);
  expect(record.containers.size).toBe(1);
  record.applyInspection({ kind: "observed", container: containerWith({ name: "renamed", taskId: "" }) }, 0);
  expect(record.containers.size).toBe(0);
});

test("TaskRecord remembers the container that the leader names, unless it knows the task", () => {
  const assignment = { task: taskWith({ containerId: "c1" }), spec: specWith(), receivedAtMs: 0 };
  const unknown = new TaskRecord("task1");
  unknown.assign(assignment);
  expect(unknown.memory.containerId).toBe("c1");
  const known = new TaskRecord("task1");
  known.memory = { ...known.memory, containerId: "c2" };
  known.assign(assignment);
  expect(known.memory.containerId).toBe("c2");
  // Its container is gone, which neither counts against the task nor creates another container.
  const { status, step } = reconcile(viewWith({ assignment, memory: unknown.memory }), 0);
  expect(status).toMatchObject({ state: TaskState.FAILED, stoppedExternally: true });
  expect(step).toBeUndefined();
});
