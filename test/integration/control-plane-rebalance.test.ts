import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

describe("rebalancing", () => {
  it("moves the planned tasks to a node that joined later, at most maxMoves per call", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(calls, "shop_web");
    const [b] = await context.cluster.startAgents(["b"]);

    const planned = await calls.rebalance({ dryRun: true, maxMoves: 0 });
    expect(planned.moves.map(({ fromNodeId, toNodeId }) => `${fromNodeId}>${toNodeId}`)).toEqual([
      "a>b",
      "a>b",
    ]);
    expect(b?.runningTaskIds).toEqual([]);

    const { moves } = await calls.rebalance({ dryRun: false, maxMoves: 1 });
    expect(moves).toHaveLength(1);
    await eventually(
      "one task is moved",
      () => b?.runningTaskIds.length === 1 && a?.runningTaskIds.length === 3,
    );
    await converged(calls, "shop_web");

    await calls.rebalance({ dryRun: false, maxMoves: 0 });
    await eventually(
      "each node runs two tasks",
      () => b?.runningTaskIds.length === 2 && a?.runningTaskIds.length === 2,
    );
    await converged(calls, "shop_web");
    expect((await calls.rebalance({ dryRun: true, maxMoves: 0 })).moves).toEqual([]);
  });

  it("starts automatically when a new node has been up for the configured time", async () => {
    const { calls } = await context.cluster.startServer(undefined, { autoRebalanceMs: 500 });
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(calls, "shop_web");
    const [b] = await context.cluster.startAgents(["b"]);
    await eventually(
      "each node runs two tasks",
      () => b?.runningTaskIds.length === 2 && a?.runningTaskIds.length === 2,
    );
    await converged(calls, "shop_web");
  });
});
