import {
  Availability,
  DispatcherServiceService,
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
  it("that vanishes is replaced, and gives up its tasks when it returns", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    const ports = [{ target: 80, published: 8080 }];
    await calls.deployStack(deployment([service("web", { replicas: 4, ports })]));
    await converged(calls, "shop_web");
    await eventually("four endpoints", () => a?.ingress.get("tcp//8080")?.endpoints.length === 4);
    const onB = b?.runningTaskIds ?? [];
    expect(onB).toHaveLength(2);

    await b?.loseHost();
    await eventually("all four run on the other node", () => a?.runningTaskIds.length === 4);
    await eventually("the dead node's endpoints are gone", () =>
      a?.ingress.get("tcp//8080")?.endpoints.every(({ nodeId }) => nodeId === "a"),
    );
    const { node } = await calls.getNode({ node: "b" });
    expect(node?.node?.state).toBe(NodeState.DOWN);
    await eventually("its tasks are lost, now that others do their work", async () => {
      const { tasks } = await calls.listTasks({ service: "", stack: "", node: "b" });
      return tasks.length === 2 && tasks.every(({ status }) => status?.state === TaskState.LOST);
    });

    expect(b?.runningTaskIds).toEqual(onB);
    b?.start();
    await eventually("its lost containers are gone", () => b?.containers.size === 0);
    await eventually("it is ready", async () => {
      const back = await calls.getNode({ node: "b" });
      return back.node?.node?.state === NodeState.READY;
    });
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(4);
  });

  it("whose agent hangs stays up without it, and has it again with its next heartbeat", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    const node = async () => (await calls.getNode({ node: "a" })).node?.node;
    a?.stopHeartbeats();
    await eventually("its agent is away", async () => (await node())?.agentUnreachable);
    expect(await node()).toMatchObject({
      state: NodeState.READY,
      stateMessage: expect.stringMatching(/its agent does not answer; its host lives/),
    });
    a?.resumeHeartbeats();
    await eventually("it is back", async () => (await node())?.agentUnreachable === false);
    expect(a?.completeSets).toBe(1);
  });

  it("that is drained gives its tasks to the others and gets none", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(deployment([service("web", { replicas: 4 })]));
    await converged(calls, "shop_web");

    await setNode(calls, "b", Availability.DRAIN);
    await eventually("it runs nothing", () => b?.runningTaskIds.length === 0);
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(4);
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 6 }] });
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(6);
  });

  it("takes tasks that found no room as soon as it comes, or as others end", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"], { memoryBytes: 2 * GIB });
    await calls.deployStack(deployment([service("web", { replicas: 4, memoryBytes: GIB })]));
    const waiting = await eventually("two wait for room", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
      const unplaced = tasks.filter(({ nodeId }) => nodeId === "");
      return (await runningTasks(calls, "shop_web")).length === 2 && unplaced.length === 2 && unplaced;
    });
    expect(waiting[0]?.status?.message).toMatch(/1 node lacks .*memory/);

    await context.cluster.startAgents(["b"], { memoryBytes: GIB });
    await eventually("a third runs", async () => (await runningTasks(calls, "shop_web")).length === 3);

    await calls.deployStack(deployment([service("other", { memoryBytes: GIB, stack: "x" })], { stack: "x" }));
    await calls.removeServices({ services: ["shop_web"], stack: "" });
    await eventually(
      "the other gets the room",
      async () => (await runningTasks(calls, "x_other")).length === 1,
    );
  });

  it("gets a task of a global service when it comes, and when it gets the label asked for", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(
      deployment([
        service("all", { global: true }),
        service("fast", { global: true, constraints: ["node.labels.disk == ssd"] }),
      ]),
    );
    await eventually("one on the first node", () => a?.runningTaskIds.length === 1);
    const [b] = await context.cluster.startAgents(["b"]);
    await eventually("one on the second", () => b?.runningTaskIds.length === 1);
    await calls.updateNode({
      node: "b",
      availability: Availability.UNSPECIFIED,
      addLabels: { disk: "ssd" },
      removeLabels: [],
    });
    await eventually("the labelled service too", () => b?.runningTaskIds.length === 2);
    expect(a?.runningTaskIds).toHaveLength(1);
  });

  it("is not removed while it is up, unless forced; its tasks go elsewhere", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    await expect(calls.removeNode({ node: "b", force: false })).rejects.toMatchObject({
      code: "BERTH_NODE_IN_USE",
    });
    await b?.loseHost();
    await calls.removeNode({ node: "b", force: true });
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(2);
    const { nodes } = await calls.listNodes({});
    expect(nodes.map(({ node }) => node?.id)).toEqual(["a"]);
  });

  it("belongs to the newer of two agents, and the older is told", async () => {
    await context.cluster.startServer();
    const [older] = await context.cluster.startAgents(["twin"]);
    const [newer] = await context.cluster.startAgents(["twin"]);
    await eventually("the older is told", () => older?.sessionErrors.includes("BERTH_CONFLICT"));
    await older?.loseHost();
    await eventually("the newer has the node", () => newer?.sequence === newer?.received.at(-1)?.resultsIn);
  });

  it("that misses an increment gets everything again", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    const before = [...(a?.runningTaskIds ?? [])];
    a?.skipIncrement();
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 3 }] });
    await eventually("a second complete set", () => a?.completeSets === 2);
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toEqual(expect.arrayContaining(before));
    expect(a?.runningTaskIds).toHaveLength(3);
  });

  it("is refused when it speaks another version of the protocol", async () => {
    const { address, calls } = await context.cluster.startServer();
    await calls.getCluster({});
    const client = createRpcClient(DispatcherServiceService, { address });
    async function* requests(): AsyncGenerator<SessionRequest> {
      const hello = { nodeId: "old", protocolVersion: 999, description: undefined, bootId: "1" };
      yield { message: { $case: "hello", value: hello } };
      await new Promise(() => {});
    }
    const session = client.calls.session(requests())[Symbol.asyncIterator]();
    await expect(session.next()).rejects.toMatchObject({ code: "BERTH_PROTOCOL" });
    client.close();
    expect((await calls.listNodes({})).nodes).toEqual([]);
  });
});
