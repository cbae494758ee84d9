import { NodeState, type ServiceSpec, type Task, TaskState } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const PORTS = [{ target: 80, published: 8080 }];
const KEY = "tcp//8080";

const context = useTestCluster();

type Calls = TestServer["calls"];

async function stateOf(calls: Calls, node: string): Promise<NodeState | undefined> {
  return (await calls.getNode({ node })).node?.node?.state;
}

const endpointNodes = (agent: FakeAgent | undefined): readonly string[] =>
  [...new Set(agent?.ingress.get(KEY)?.endpoints.map(({ nodeId }) => nodeId))].sort();

async function deploy(calls: Calls, spec: ServiceSpec): Promise<readonly Task[]> {
  await calls.deployStack(deployment([spec]));
  await converged(calls, spec.name);
  return runningTasks(calls, spec.name);
}

const web = (over: Partial<ServiceSpec> = {}): ServiceSpec => ({
  ...service("web", { replicas: 3, ports: PORTS }),
  ...over,
});

describe("the failure detector", () => {
  it("takes a silent host out of the ingress at once, and replaces what it ran when its peers agree", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, , c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(calls, web());
    await eventually("all serve", () => endpointNodes(a).join() === "a,b,c");

    await c?.loseHost();
    await eventually("out of the ingress", () => endpointNodes(a).join() === "a,b");
    expect(await stateOf(calls, "c")).toBe(NodeState.READY);
    await eventually("down", async () => (await stateOf(calls, "c")) === NodeState.DOWN);
    await converged(calls, "shop_web");
    // What ran there is given up once its replacement runs, by a decision of its own.
    const nodeIds = async () => (await runningTasks(calls, "shop_web")).map(({ nodeId }) => nodeId);
    await eventually("given up", async () => !(await nodeIds()).includes("c"));
  });

  it("leaves everything as it is when only an agent is gone, and adopts it when it returns", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, , c] = await context.cluster.startAgents(["a", "b", "c"]);
    const before = await deploy(calls, web());
    await c?.kill();
    await eventually(
      "it is said",
      async () => (await calls.getNode({ node: "c" })).node?.node?.agentUnreachable,
    );
    expect(endpointNodes(a)).toEqual(["a", "b", "c"]);
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 5 }] });
    await eventually("five run", async () => (await runningTasks(calls, "shop_web")).length === 5);
    const after = await runningTasks(calls, "shop_web");
    expect(after.filter(({ nodeId }) => nodeId === "c")).toHaveLength(1);

    c?.start();
    await eventually(
      "it is back",
      async () => !(await calls.getNode({ node: "c" })).node?.node?.agentUnreachable,
    );
    await converged(calls, "shop_web");
    const ids = (await runningTasks(calls, "shop_web")).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(before.map(({ id }) => id)));
  });

  it("freezes when two of three hosts fall silent at once, then lets the last one carry everything", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b, c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(calls, web());
    await Promise.all([b?.loseHost(), c?.loseHost()]);
    const said = await eventually("it is said", async () => {
      const { node } = await calls.getNode({ node: "b" });
      return node?.node?.stateMessage !== "" && node?.node;
    });
    expect(said).toMatchObject({
      state: NodeState.READY,
      stateMessage: expect.stringMatching(/2 of 3 nodes fell silent at once: this server may be cut off/),
    });
    expect(a?.runningTaskIds).toHaveLength(1);
    await eventually("all run on the last host", () => a?.runningTaskIds.length === 3, 30_000);
    expect([await stateOf(calls, "b"), await stateOf(calls, "c")]).toEqual([NodeState.DOWN, NodeState.DOWN]);
  });

  it("under a new leader finds a host dead that died while there was none", async () => {
    const first = await context.cluster.startServer();
    const [a, b, c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(first.calls, web());
    await first.stop();
    await c?.loseHost();
    const second = await context.cluster.startServer();
    for (const agent of [a, b]) agent?.setLeader(second.address);
    await eventually("down", async () => (await stateOf(second.calls, "c")) === NodeState.DOWN);
    await converged(second.calls, "shop_web");
    expect([...(a?.runningTaskIds ?? []), ...(b?.runningTaskIds ?? [])]).toHaveLength(3);
  });

  it("keeps a healthy original when its host returns before the replacement runs", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a", "b"], { startMs: 10_000 });
    const [c] = await context.cluster.startAgents(["c"]);
    const only = service("web", { replicas: 3, ports: PORTS, constraints: ["node.id == c"] });
    const before = await deploy(calls, only);
    await calls.deployStack(deployment([web()]));
    await c?.loseHost();
    await eventually("replacements are made", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
      return tasks.filter(({ nodeId }) => nodeId === "a" || nodeId === "b").length === 3;
    });
    c?.start();
    await converged(calls, "shop_web");
    const after = await runningTasks(calls, "shop_web");
    expect(after.map(({ id }) => id).sort()).toEqual(before.map(({ id }) => id).sort());
    expect(c?.runningTaskIds).toHaveLength(3);
  });

  it("with failover: never leaves the tasks of a dead host waiting, and says so", async () => {
    const { calls } = await context.cluster.startServer();
    const [, b] = await context.cluster.startAgents(["a", "b"]);
    const before = await deploy(calls, web({ failover: { never: true, afterMs: 0 } }));
    await b?.loseHost();
    const waiting = await eventually("it is said", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "b" });
      return tasks.length > 0 && tasks.every(({ status }) => status?.message !== "") && tasks;
    });
    expect(waiting[0]?.status).toMatchObject({
      state: TaskState.RUNNING,
      message: "node b is down; its tasks wait for it (failover: never)",
    });
    b?.start();
    await converged(calls, "shop_web");
    expect((await runningTasks(calls, "shop_web")).map(({ id }) => id).sort()).toEqual(
      before.map(({ id }) => id).sort(),
    );
  });

  it("replaces an at-most-one task only once its host has been silent for so long that it has stopped", async () => {
    const { calls } = await context.cluster.startServer();
    const [, b] = await context.cluster.startAgents(["a", "b"]);
    await deploy(calls, web({ atMostOne: true }));
    const deadMs = Date.now();
    await b?.loseHost();
    await eventually("down", async () => (await stateOf(calls, "b")) === NodeState.DOWN);
    const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "b" });
    expect(tasks.map(({ status }) => status?.state)).not.toContain(TaskState.LOST);
    await converged(calls, "shop_web");
    expect(Date.now() - deadMs).toBeGreaterThan(8_000);
  });
});
