import { Restore, Restore_State, type UnknownTask } from "@berth/proto";
import { pino } from "pino";
import { expect, test } from "vitest";
import { buildNode } from "../core/testing/records.js";
import type { Decide } from "../reconciler/writer.js";
import type { Change } from "../state/change.js";
import { ClusterState } from "../state/cluster-state.js";
import { RESTORE_NAME } from "../state/record-kinds.js";
import { RestoreMonitor } from "./restore-monitor.js";

const TASK: UnknownTask = { taskId: "t", containerId: "c", containerName: "shop_web.1.t" };

function clusterWith(restore: Partial<Restore>) {
  const state = new ClusterState();
  let revision = 0n;
  const apply = (changes: readonly Change[]): void => {
    revision += 1n;
    state.apply(changes.map((change) => ({ change, revision })));
  };
  apply([
    { kind: "put-restore", name: RESTORE_NAME, restore: Restore.fromPartial(restore) },
    ...["n1", "n2"].map((id) => ({ kind: "put-node", node: buildNode({ id }) }) as const),
  ]);
  const submit = async <T>(decide: Decide<T>): Promise<T> => {
    const { changes, result } = decide(state);
    apply(changes);
    return result;
  };
  const signal = new AbortController().signal;
  const monitor = new RestoreMonitor({
    state,
    writer: { submit },
    logger: pino({ level: "silent" }),
    signal,
  });
  return { state, monitor, apply };
}

test("a restore completes once every node has reported that it has no unknown task", () => {
  const { state, monitor } = clusterWith({ generation: 9, state: Restore_State.PENDING });
  monitor.record("n1", []);
  monitor.record("n2", [TASK]);
  expect(state.isRestorePending).toBe(true);
  expect(monitor.progress).toMatchObject({ missing: [], unknown: [{ task: TASK }] });
  monitor.record("n2", []);
  expect(state.restore).toMatchObject({ generation: 9, state: Restore_State.COMPLETE });
});

test("a restore completes when the last missing node is removed, and never without a report", () => {
  const { state, monitor, apply } = clusterWith({ state: Restore_State.PENDING });
  monitor.record("n1", []);
  apply([{ kind: "delete-node", nodeId: "n2" }]);
  expect(state.isRestorePending).toBe(false);
  const other = clusterWith({ state: Restore_State.PENDING });
  other.apply([
    { kind: "delete-node", nodeId: "n1" },
    { kind: "delete-node", nodeId: "n2" },
  ]);
  expect(other.state.isRestorePending).toBe(true);
});
