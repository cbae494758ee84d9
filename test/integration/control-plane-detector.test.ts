import {
  LEADER_ASSUMES_FENCED_AFTER_MS,
  NodeState,
  type ServiceSpec,
  type Task,
  TaskState,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const PORTS = [{ target: 80, published: 8080 }];
const KEY = "tcp//8080";
/** The last heartbeat of a node can be this old when its host goes silent. */
const HEARTBEAT_MS = 1_000;

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

describe("node health", () => {
  it("removes a suspect node from the ingress at once and replaces its tasks when its peers agree", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, , c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(calls, web());
    await eventually("all nodes are in the table", () => endpointNodes(a).join() === "a,b,c");

    await c?.loseHost();
    await eventually("node c is out of the table", () => endpointNodes(a).join() === "a,b");
    expect(await stateOf(calls, "c")).toBe(NodeState.READY);
    await eventually("down", async () => (await stateOf(calls, "c")) === NodeState.DOWN);
    await converged(calls, "shop_web");
    // A disconnected task becomes lost after its replacement runs, in another round of the reconciler.
    const nodeIds = async () => (await runningTasks(calls, "shop_web")).map(({ nodeId }) => nodeId);
    await eventually("the task on c is lost", async () => !(await nodeIds()).includes("c"));
  });

  it("keeps the tasks of a node whose agent is gone while its host is up", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, , c] = await context.cluster.startAgents(["a", "b", "c"]);
    const before = await deploy(calls, web());
    await c?.kill();
    const isUnreachable = async () => (await calls.getNode({ node: "c" })).node?.node?.agentUnreachable;
    await eventually("the agent is unreachable", isUnreachable);
    expect(endpointNodes(a)).toEqual(["a", "b", "c"]);
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 5 }] });
    await eventually("five tasks run", async () => (await runningTasks(calls, "shop_web")).length === 5);
    const after = await runningTasks(calls, "shop_web");
    expect(after.filter(({ nodeId }) => nodeId === "c")).toHaveLength(1);

    c?.start();
    await eventually("the agent is reachable", async () => (await isUnreachable()) === false);
    await converged(calls, "shop_web");
    const ids = (await runningTasks(calls, "shop_web")).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining(before.map(({ id }) => id)));
  });

  it("waits when two of three nodes go silent at once before it moves all tasks to the third", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b, c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(calls, web());
    await Promise.all([b?.loseHost(), c?.loseHost()]);
    const reason = /2 of 3 nodes became unreachable at once: this server may be cut off/;
    const waiting = await eventually("the state of node b has the reason", async () => {
      const { node } = await calls.getNode({ node: "b" });
      return reason.test(node?.node?.stateMessage ?? "") && node?.node;
    });
    expect(waiting).toMatchObject({ state: NodeState.READY });
    expect(a?.runningTaskIds).toHaveLength(1);
    await eventually("all tasks run on the third node", () => a?.runningTaskIds.length === 3);
    expect([await stateOf(calls, "b"), await stateOf(calls, "c")]).toEqual([NodeState.DOWN, NodeState.DOWN]);
  });

  it("marks a node as down that failed while there was no leader", async () => {
    const first = await context.cluster.startServer();
    const [a, b, c] = await context.cluster.startAgents(["a", "b", "c"]);
    await deploy(first.calls, web());
    await first.stop();
    await c?.loseHost();
    const second = await context.cluster.startServer();
    for (const agent of [a, b]) agent?.setLeader(second.address);
    await eventually("down", async () => (await stateOf(second.calls, "c")) === NodeState.DOWN);
    // The service stays converged until the leader applies the node loss, so convergence alone proves nothing.
    await eventually("three tasks run on the other nodes", () => {
      const running = [...(a?.runningTaskIds ?? []), ...(b?.runningTaskIds ?? [])];
      return running.length === 3;
    });
    await converged(second.calls, "shop_web");
  });

  it("keeps the original tasks when their node returns before the replacements run", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a", "b"], { startMs: 10_000 });
    const [c] = await context.cluster.startAgents(["c"]);
    const only = service("web", { replicas: 3, ports: PORTS, constraints: ["node.id == c"] });
    const before = await deploy(calls, only);
    await calls.deployStack(deployment([web()]));
    await c?.loseHost();
    await eventually("the replacements are created", async () => {
      const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
      return tasks.filter(({ nodeId }) => nodeId === "a" || nodeId === "b").length === 3;
    });
    c?.start();
    await converged(calls, "shop_web");
    const after = await runningTasks(calls, "shop_web");
    expect(after.map(({ id }) => id).sort()).toEqual(before.map(({ id }) => id).sort());
    expect(c?.runningTaskIds).toHaveLength(3);
  });

  it("keeps the tasks of a down node waiting with failover never and reports it", async () => {
    const { calls } = await context.cluster.startServer();
    const [, b] = await context.cluster.startAgents(["a", "b"]);
    const before = await deploy(calls, web({ failover: { never: true, afterMs: 0 } }));
    await b?.loseHost();
    const waiting = await eventually("the tasks have a message", async () => {
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

  it("replaces an at-most-one task only after its agent has killed it by fencing", async () => {
    const { calls } = await context.cluster.startServer();
    const [, b] = await context.cluster.startAgents(["a", "b"]);
    await deploy(calls, web({ atMostOne: true }));
    const silentSinceMs = Date.now();
    await b?.loseHost();
    await eventually("down", async () => (await stateOf(calls, "b")) === NodeState.DOWN);
    const onB = async () => (await calls.listTasks({ service: "shop_web", stack: "", node: "b" })).tasks;
    await eventually("the tasks of node b are lost", async () => {
      const tasks = await onB();
      return tasks.length > 0 && tasks.every(({ status }) => status?.state === TaskState.LOST);
    });
    expect(Date.now() - silentSinceMs).toBeGreaterThan(LEADER_ASSUMES_FENCED_AFTER_MS - HEARTBEAT_MS);
    await converged(calls, "shop_web");
  });
});
