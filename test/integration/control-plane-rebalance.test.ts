import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

describe("rebalancing", () => {
  it("says what it would move, and moves it onto a node that came later", async () => {
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
      "one task has moved",
      () => b?.runningTaskIds.length === 1 && a?.runningTaskIds.length === 3,
    );
    await converged(calls, "shop_web");

    await calls.rebalance({ dryRun: false, maxMoves: 0 });
    await eventually("both have two", () => b?.runningTaskIds.length === 2 && a?.runningTaskIds.length === 2);
    await converged(calls, "shop_web");
    expect((await calls.rebalance({ dryRun: true, maxMoves: 0 })).moves).toEqual([]);
  });

  it("happens by itself once a node that came later has been up for long enough, if the server is told to", async () => {
    const { calls } = await context.cluster.startServer(undefined, { autoRebalanceMs: 500 });
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(calls, "shop_web");
    const [b] = await context.cluster.startAgents(["b"]);
    await eventually("both have two", () => b?.runningTaskIds.length === 2 && a?.runningTaskIds.length === 2);
    await converged(calls, "shop_web");
  });
});
