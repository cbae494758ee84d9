import { DesiredState, Health, NodeState, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildNode, buildSpec, buildTask } from "../testing/records.js";
import {
  completedDrains,
  type Drain,
  lowestAppliedVersion,
  nextDeadlineMs,
  nodesToAwait,
  receivesConnections,
} from "./drain.js";

const drains = (entries: Readonly<Record<string, Drain>>): ReadonlyMap<string, Drain> =>
  new Map(Object.entries(entries));

describe("completedDrains", () => {
  const two = drains({ a: { sinceMs: 0, version: 3 }, b: { sinceMs: 400, version: undefined } });

  it("releases a task once the tables without it are in force on all nodes", () => {
    expect(completedDrains(two, { appliedVersion: 2, nowMs: 10 })).toEqual([]);
    expect(completedDrains(two, { appliedVersion: 3, nowMs: 10 })).toEqual(["a"]);
  });

  it("waits for tables that are not computed yet, even when no node is awaited", () => {
    expect(completedDrains(two, { appliedVersion: lowestAppliedVersion([]), nowMs: 410 })).toEqual(["a"]);
  });

  it("waits at most one second per task", () => {
    expect(completedDrains(two, { appliedVersion: 0, nowMs: 1_000 })).toEqual(["a"]);
    expect(completedDrains(two, { appliedVersion: 0, nowMs: 1_400 })).toEqual(["a", "b"]);
    expect(nextDeadlineMs(two)).toBe(1_000);
    expect(nextDeadlineMs(drains({}))).toBeUndefined();
  });
});

describe("nodesToAwait", () => {
  it("leaves out nodes that cannot answer", () => {
    const nodes = [
      buildNode({ id: "ready" }),
      buildNode({ id: "silent" }),
      buildNode({ id: "dead", state: NodeState.DOWN }),
      buildNode({ id: "without-agent", agentUnreachable: true }),
    ];
    expect(nodesToAwait(nodes, (nodeId) => nodeId === "silent")).toEqual(["ready"]);
  });
});

describe("receivesConnections", () => {
  const published = buildSpec({ ports: [{ target: 80, published: 8080, mode: 1 }] });
  const stopping = { desiredState: DesiredState.SHUTDOWN } as const;

  it("receivesConnections is true for ready tasks, whatever their desired state", () => {
    expect(receivesConnections(buildTask(stopping), published)).toBe(true);
    const unhealthy = { state: TaskState.RUNNING, health: Health.UNHEALTHY } as const;
    expect(receivesConnections(buildTask({ ...stopping, status: unhealthy }), published)).toBe(false);
    const starting = { state: TaskState.STARTING } as const;
    expect(receivesConnections(buildTask({ ...stopping, status: starting }), published)).toBe(false);
  });

  it("receivesConnections is true for services with a published ingress port or a network", () => {
    expect(receivesConnections(buildTask(stopping), buildSpec())).toBe(false);
    const onHost = buildSpec({ ports: [{ target: 80, published: 8080, mode: 2 }] });
    expect(receivesConnections(buildTask(stopping), onHost)).toBe(false);
    const named = buildSpec({ task: { networks: [{ network: "shop_default" }] } });
    expect(receivesConnections(buildTask(stopping), named)).toBe(true);
  });
});
