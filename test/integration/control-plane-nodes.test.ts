import {
  Availability,
  DispatcherServiceService,
  Hello,
  NodeState,
  type SessionRequest,
  TaskState,
} from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const GIB = 1024 ** 3;

const context = useTestCluster();

async function setNode(calls: TestServer["calls"], node: string, availability: Availability): Promise<void> {
  await calls.updateNode({ node, availability, addLabels: {}, removeLabels: [] });
}

describe("a node", () => {
  it("loses its tasks to other nodes when it goes down and removes their containers when it returns", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    const ports = [{ target: 80, published: 8080 }];
    await calls.deployStack(deployment([service("web", { replicas: 4, ports })]));
    await converged(calls, "shop_web");
    await eventually("four endpoints", () => a?.ingress.get("tcp//8080")?.endpoints.length === 4);
    const onB = b?.runningTaskIds ?? [];
    expect(onB).toHaveLength(2);

    await b?.loseHost();
    await eventually("all four tasks run on the other node", () => a?.runningTaskIds.length === 4);
    await eventually("the endpoints of the down node are gone", () =>
      a?.ingress.get("tcp//8080")?.endpoints.every(({ nodeId }) => nodeId === "a"),
    );
    const { node } = await calls.getNode({ node: "b" });
    expect(node?.node?.state).toBe(NodeState.DOWN);
    await eventually("its tasks are lost, because their replacements run", async () => {
      const { tasks } = await calls.listTasks({ service: "", stack: "", node: "b" });
      return tasks.length === 2 && tasks.every(({ status }) => status?.state === TaskState.LOST);
    });

    expect(b?.runningTaskIds).toEqual(onB);
    b?.start();
    await eventually("the containers of the lost tasks are removed", () => b?.containers.size === 0);
    await eventually("the node is ready", async () => {
      const back = await calls.getNode({ node: "b" });
      return back.node?.node?.state === NodeState.READY;
    });
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(4);
  });

  it("stays ready while its agent hangs and is reachable again from the next heartbeat", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    const node = async () => (await calls.getNode({ node: "a" })).node?.node;
    a?.stopHeartbeats();
    await eventually("the agent is unreachable", async () => (await node())?.agentUnreachable);
    expect(await node()).toMatchObject({
      state: NodeState.READY,
      stateMessage: expect.stringMatching(/its agent does not respond, but its host is up/),
    });
    a?.resumeHeartbeats();
    await eventually("the agent is reachable", async () => (await node())?.agentUnreachable === false);
    expect(a?.completeSets).toBe(1);
  });

  it("runs no tasks while it is drained", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(calls, "shop_web");

    await setNode(calls, "b", Availability.DRAIN);
    await eventually("the node runs no task", () => b?.runningTaskIds.length === 0);
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(4);
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 6 }] });
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(6);
  });

  it("gets tasks that had no suitable node when it joins or other tasks end", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"], { memoryBytes: 2 * GIB });
    await calls.deployStack(deployment([service("web", { replicas: 4, memoryBytes: GIB })]));
    const waiting = await eventually("two tasks wait for memory", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
      const unplaced = tasks.filter(({ nodeId }) => nodeId === "");
      return (await runningTasks(calls, "shop_web")).length === 2 && unplaced.length === 2 && unplaced;
    });
    expect(waiting[0]?.status?.message).toMatch(/1 node lacks .*memory/);

    await context.cluster.startAgents(["b"], { memoryBytes: GIB });
    await eventually("a third task runs", async () => (await runningTasks(calls, "shop_web")).length === 3);

    await calls.deployStack(deployment([service("other", { memoryBytes: GIB, stack: "x" })], { stack: "x" }));
    await calls.removeServices({ services: ["shop_web"], stack: "" });
    await eventually(
      "the other service runs",
      async () => (await runningTasks(calls, "x_other")).length === 1,
    );
  });

  it("gets a task of a global service when it joins, or when a label makes it suitable", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(
      deployment([
        service("all", { global: true }),
        service("fast", { global: true, constraints: ["node.labels.disk == ssd"] }),
      ]),
    );
    await eventually("one task runs on the first node", () => a?.runningTaskIds.length === 1);
    const [b] = await context.cluster.startAgents(["b"]);
    await eventually("one task runs on the second node", () => b?.runningTaskIds.length === 1);
    await calls.updateNode({
      node: "b",
      availability: Availability.UNSPECIFIED,
      addLabels: { disk: "ssd" },
      removeLabels: [],
    });
    await eventually("the service with the constraint runs too", () => b?.runningTaskIds.length === 2);
    expect(a?.runningTaskIds).toHaveLength(1);
  });

  it("a node that is up is removed only by force, and its tasks then move to other nodes", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    await expect(calls.removeNode({ node: "b", force: false })).rejects.toMatchObject({
      code: "BERTH_NODE_IN_USE",
    });
    await b?.loseHost();
    await calls.removeNode({ node: "b", force: true });
    await eventually("both tasks run on the other node", () => a?.runningTaskIds.length === 2);
    const { nodes } = await calls.listNodes({});
    expect(nodes.map(({ node }) => node?.id)).toEqual(["a"]);
  });

  it("belongs to the newer of two agents with its ID while the older one gets an error", async () => {
    await context.cluster.startServer();
    const [older] = await context.cluster.startAgents(["twin"]);
    const [newer] = await context.cluster.startAgents(["twin"]);
    await eventually("the older agent gets an error", () => older?.sessionErrors.includes("BERTH_CONFLICT"));
    await older?.loseHost();
    await eventually(
      "the newer agent has all assignments",
      () => newer?.sequence === newer?.received.at(-1)?.resultsIn,
    );
  });

  it("gets a complete set when its agent has missed an increment", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    const before = [...(a?.runningTaskIds ?? [])];
    a?.skipIncrement();
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 3 }] });
    await eventually("the agent has a second complete set", () => a?.completeSets === 2);
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toEqual(expect.arrayContaining(before));
    expect(a?.runningTaskIds).toHaveLength(3);
  });

  it("a node is refused when its agent has another protocol version", async () => {
    const { address, calls } = await context.cluster.startServer();
    await calls.getCluster({});
    const identity = await context.cluster.admit("old");
    const client = createRpcClient(DispatcherServiceService, { address, identity });
    async function* requests(): AsyncGenerator<SessionRequest> {
      const value = Hello.fromPartial({ nodeId: "old", protocolVersion: 999, bootId: "1" });
      yield { message: { $case: "hello", value } };
      await new Promise(() => {});
    }
    const session = client.calls.session(requests())[Symbol.asyncIterator]();
    await expect(session.next()).rejects.toMatchObject({ code: "BERTH_VERSION_UNSUPPORTED" });
    client.close();
    const { nodes } = await calls.listNodes({});
    expect(nodes.map(({ node }) => node?.stateMessage)).toEqual(["its agent has not connected yet"]);
  });
});
