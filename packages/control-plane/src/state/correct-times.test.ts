import { Node, Service, Task } from "@berth/proto";
import { expect, test } from "vitest";
import { ClusterState } from "./cluster-state.js";
import { correctFutureTimes } from "./correct-times.js";

const NOW = 1_000;

test("correctFutureTimes replaces only times in the future, in memory, and counts the records", () => {
  const state = new ClusterState();
  const early = Task.fromPartial({ id: "t1", serviceId: "s1", createdAtMs: 5, status: { sinceMs: 7 } });
  const late = Task.fromPartial({
    id: "t2",
    serviceId: "s1",
    nodeId: "n1",
    createdAtMs: 5,
    status: { sinceMs: 90_000, runningSinceMs: 80_000 },
  });
  const node = Node.fromPartial({ id: "n1", stateSinceMs: 90_000, description: {} });
  const service = Service.fromPartial({
    id: "s1",
    spec: { name: "web" },
    updatedAtMs: 90_000,
    rollout: { progressedAtMs: 90_000 },
    cron: { handledUntilMs: 90_000, nextRunAtMs: 95_000 },
  });
  state.apply(
    [
      { kind: "put-task", task: early } as const,
      { kind: "put-task", task: late } as const,
      { kind: "put-node", node } as const,
      { kind: "put-service", service } as const,
    ].map((change) => ({ change, revision: 1n })),
  );
  expect(correctFutureTimes(state, NOW)).toBe(3);
  expect(state.tasks.get("t1")).toEqual(early);
  expect(state.tasks.get("t2")).toMatchObject({
    createdAtMs: 5,
    status: { sinceMs: NOW, runningSinceMs: NOW },
  });
  expect(state.tasks.ofNode("n1").get("t2")?.status?.sinceMs).toBe(NOW);
  expect(state.nodes.get("n1")?.stateSinceMs).toBe(NOW);
  expect(state.services.get("s1")).toMatchObject({
    updatedAtMs: NOW,
    rollout: { progressedAtMs: NOW },
    // A scheduled time never gets two runs.
    cron: { handledUntilMs: 90_000, nextRunAtMs: 95_000 },
  });
  expect(correctFutureTimes(state, NOW)).toBe(0);
});
