import { Task } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildTask } from "../core/testing/records.js";
import type { Entry } from "../store/store.js";
import { recordKey } from "./change.js";
import { ClusterState } from "./cluster-state.js";
import { applyEvents, applySnapshot } from "./state-sync.js";

const nodeKey = (nodeId: string): string => recordKey("node", { nodeId });
const taskKey = (serviceId: string, taskId: string): string => recordKey("task", { serviceId, taskId });

function entry(task: Task, modRevision: bigint): Entry {
  const value = JSON.stringify(Task.toJSON(task));
  return { key: taskKey(task.serviceId, task.id), value, createRevision: 1n, modRevision };
}

const noPause = async (): Promise<void> => {};

describe("applySnapshot", () => {
  it("pauses between batches and keeps changes that are committed meanwhile", async () => {
    const state = new ClusterState();
    const ids = Array.from({ length: 9_000 }, (_, index) => `t${index}`);
    const entries = ids.map((id) => entry(buildTask({ id }), 5n));
    let pauses = 0;
    const pause = async (): Promise<void> => {
      pauses += 1;
      if (pauses > 1) return;
      const task = buildTask({ id: "t2400", status: { message: "newer" } });
      state.apply([{ change: { kind: "put-task", task }, revision: 12n }]);
    };
    await applySnapshot(state, { revision: 10n, entries }, pause);
    expect(pauses).toBeGreaterThan(1);
    expect(state.tasks.size).toBe(ids.length);
    expect(state.tasks.get("t2400")?.status?.message).toBe("newer");
  });

  it("reports unreadable records and applies the others", async () => {
    const state = new ClusterState();
    const bad = (key: string, value: string): Entry => ({ key, value, createRevision: 1n, modRevision: 2n });
    const snapshot = {
      revision: 9n,
      entries: [
        bad(nodeKey("n1"), "{"),
        bad(nodeKey("n2"), '{"id":"another"}'),
        bad(recordKey("service", { serviceId: "s1" }), '{"id":"s1"}'),
        bad(
          taskKey("s1", "t9"),
          '{"id":"t9","serviceId":"s1","status":{"state":"TASK_STATE_OF_THE_FUTURE"}}',
        ),
        bad("/berth/v1/unheard/of", "x"),
        entry(buildTask(), 3n),
      ],
    };
    const unreadable = await applySnapshot(state, snapshot, noPause);
    expect(unreadable.map(({ key }) => key)).toEqual([
      nodeKey("n1"),
      nodeKey("n2"),
      recordKey("service", { serviceId: "s1" }),
      taskKey("s1", "t9"),
    ]);
    expect([...state.tasks.values()].map(({ id }) => id)).toEqual(["t1"]);
    expect(state.revisions.get(nodeKey("n1"))).toBe(2n);
  });

  it("deletes records that are missing from it unless they were written later", async () => {
    const state = new ClusterState();
    const put = (id: string, revision: bigint): void =>
      state.apply([{ change: { kind: "put-task", task: buildTask({ id }) }, revision }]);
    put("gone", 3n);
    put("fresh", 12n);
    state.apply([{ change: { kind: "delete-task", serviceId: "s1", taskId: "deleted" }, revision: 13n }]);
    const entries = [entry(buildTask({ id: "deleted" }), 5n)];
    await applySnapshot(state, { revision: 10n, entries }, noPause);
    expect([...state.tasks.values()].map(({ id }) => id)).toEqual(["fresh"]);
  });
});

describe("applyEvents", () => {
  it("skips the events of changes that are already known", () => {
    const state = new ClusterState();
    const task = buildTask({ status: { message: "ours" } });
    state.apply([{ change: { kind: "put-task", task }, revision: 5n }]);
    state.apply([{ change: { kind: "delete-task", serviceId: "s1", taskId: "t1" }, revision: 6n }]);
    const late = entry(task, 5n);
    applyEvents(state, {
      revision: 5n,
      events: [{ kind: "put", key: late.key, modRevision: 5n, entry: late }],
    });
    expect(state.tasks.size).toBe(0);
    const again = entry(buildTask({ status: { message: "by hand" } }), 7n);
    applyEvents(state, {
      revision: 7n,
      events: [{ kind: "put", key: again.key, modRevision: 7n, entry: again }],
    });
    expect(state.tasks.get("t1")?.status?.message).toBe("by hand");
  });
});
