import { TaskState, TaskStatus } from "@berth/proto";
import { expect, test } from "vitest";
import { containerWith } from "../core/tasks/testing.js";
import { TaskRecords } from "./task-records.js";

test("TaskRecords reports an ended task also after it was deleted", () => {
  const records = new TaskRecords();
  const record = records.getOrCreate("t");
  expect(records.hasEnded("t")).toBe(false);
  record.status = TaskStatus.fromPartial({ state: TaskState.SHUTDOWN });
  expect(records.hasEnded("t")).toBe(true);
  records.delete("t");
  expect(records.get("t")).toBeUndefined();
  expect(records.hasEnded("t")).toBe(true);
});

test("TaskRecords forgets tasks that never ran, and the oldest ended tasks", () => {
  const records = new TaskRecords();
  records.getOrCreate("new");
  records.delete("new");
  expect(records.hasEnded("new")).toBe(false);
  for (let index = 0; index <= 1_000; index += 1) {
    records.getOrCreate(`t${index}`).status = TaskStatus.fromPartial({ state: TaskState.FAILED });
    records.delete(`t${index}`);
  }
  expect([records.hasEnded("t0"), records.hasEnded("t1000")]).toEqual([false, true]);
});

test("TaskRecords gives each named resource to one task until that has ended", () => {
  const records = new TaskRecords();
  const holder = records.getOrCreate("holder");
  holder.createdResources = ["gpu=GPU-1"];
  expect(records.resourcesOfOthers("holder")).toEqual(new Set());
  expect(records.resourcesOfOthers("other")).toEqual(new Set(["gpu=GPU-1"]));
  holder.containers.set("c1", containerWith({ id: "c1", resources: ["gpu=GPU-2"] }));
  expect(records.resourcesOfOthers("other")).toEqual(new Set(["gpu=GPU-2"]));
  holder.status = TaskStatus.fromPartial({ state: TaskState.SHUTDOWN });
  expect(records.resourcesOfOthers("other")).toEqual(new Set());
});

test("TaskRecords does not know the named resources before a container of an earlier run was inspected", () => {
  const records = new TaskRecords();
  const found = records.getOrCreate("found");
  found.staleContainers.add("c1");
  expect(records.resourcesOfOthers("other")).toBeUndefined();
  found.staleContainers.clear();
  found.containers.set("c1", containerWith({ id: "c1" }));
  expect(records.resourcesOfOthers("other")).toEqual(new Set());
});
