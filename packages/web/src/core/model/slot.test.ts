import { describe, expect, it } from "vitest";
import type { JsonObject } from "../json.js";
import { decodeSlot, slotRows } from "./slot.js";
import { decodeTask } from "./task.js";

const task = (id: string, slot: number, createdAtMs: number, nodeId = "n1") =>
  decodeTask(
    { id, serviceId: "s1", slot, nodeId, createdAtMs, state: "TASK_STATE_RUNNING" },
    () => "shop_web",
  ) ?? [];
const slot = (json: JsonObject) => decodeSlot({ serviceId: "s1", ...json }) ?? [];

describe("slotRows", () => {
  it("shows the newest task of each slot, and the one that stops", () => {
    const rows = slotRows([], [task("old", 1, 10), task("new", 1, 20), task("other", 2, 5)].flat());
    expect(rows.map((row) => [row.slot, row.task?.id, row.stopping?.id])).toEqual([
      [1, "new", "old"],
      [2, "other", undefined],
    ]);
  });

  it("combines slots of a rollout with their tasks, including slots without a task", () => {
    const slots = [
      slot({ key: "s1/1", slot: 1, progress: "PROGRESS_UPDATED" }),
      slot({ key: "s1/2", slot: 2, progress: "PROGRESS_NEW", reason: "no node has 1 GiB" }),
    ].flat();
    const rows = slotRows(slots, [task("t1", 1, 1)].flat());
    expect(
      rows.map(({ rollout, task: current }) => [rollout?.progress, current?.id, rollout?.reason]),
    ).toEqual([
      ["updated", "t1", ""],
      ["new", undefined, "no node has 1 GiB"],
    ]);
  });

  it("uses the node as the slot of a global service", () => {
    const rows = slotRows([], [task("a", 0, 1, "n1"), task("b", 0, 1, "n2")].flat());
    expect(rows.map(({ nodeId }) => nodeId)).toEqual(["n1", "n2"]);
  });
});
