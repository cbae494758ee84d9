import { Availability, ServiceSpec } from "@berth/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, service, TestCluster, type TestServer } from "../harness/test-cluster.js";

const PORT = { target: 80, published: 18_080 };

let etcd: TestEtcd;
let cluster: TestCluster;
let calls: TestServer["calls"];
/** Tasks that were told to stop, when, and hosts that sent them connections then. */
let stops: { readonly taskId: string; readonly atMs: number; readonly senders: readonly string[] }[];

beforeAll(async () => {
  etcd = await startTestEtcd();
});
afterAll(() => etcd.close());
beforeEach(async () => {
  stops = [];
  cluster = new TestCluster(etcd.endpoint);
  const first = await cluster.startServer();
  ({ calls } = await cluster.startServer());
  await first.calls.getCluster({});
  await cluster.startAgents(["a", "b", "c"], {
    onStop: ({ id }) => stops.push({ taskId: id, atMs: performance.now(), senders: sendersTo(id) }),
  });
});
afterEach(async () => {
  await calls.removeServices({ services: [], stack: "shop" }).catch(() => undefined);
  await eventually(
    "nothing is left",
    async () => (await calls.listServices({ stack: "" })).services.length === 0,
  );
  expect(await cluster.close()).toEqual([]);
});

function sendersTo(taskId: string): readonly string[] {
  return cluster.agents
    .filter(({ ingress }) =>
      [...ingress.values()].some(({ endpoints }) => endpoints.some((endpoint) => endpoint.taskId === taskId)),
    )
    .map(({ options }) => options.nodeId);
}

/** Quick to watch. */
function web(replicas: number, image = "web:1"): ServiceSpec {
  const spec = service("web", { replicas, image, ports: [PORT] });
  return ServiceSpec.fromPartial({ ...spec, update: { monitorMs: 50 } });
}

async function deploy(replicas: number, image = "web:1"): Promise<void> {
  await calls.deployStack(deployment([web(replicas, image)]));
  await converged(calls, "shop_web");
}

describe("a task that takes connections", () => {
  it("is told to stop when no host sends it any: scaled down, updated, drained", async () => {
    await deploy(6);
    await deploy(2);
    await eventually("surplus tasks stop", () => stops.length === 4);
    await deploy(2, "web:2");
    await eventually("updated tasks stop", () => stops.length === 6);
    const drain = { availability: Availability.DRAIN, addLabels: {}, removeLabels: [] };
    await calls.updateNode({ ...drain, node: "a" });
    await calls.updateNode({ ...drain, node: "b" });
    await converged(calls, "shop_web");
    expect(stops.filter(({ senders }) => senders.length > 0)).toEqual([]);
  });

  it("is stopped after a second though a host does not answer, and at once when its service goes", async () => {
    await deploy(2);
    for (const agent of cluster.agents) agent.acknowledgesTables = agent.options.nodeId !== "b";
    const beganMs = performance.now();
    await deploy(1);
    const [stop] = await eventually("the surplus stops", () => (stops.length > 0 ? stops : undefined));
    expect((stop?.atMs ?? 0) - beganMs).toBeGreaterThan(900);
    expect(stop?.senders).toEqual([]);
    await calls.removeServices({ services: [], stack: "shop" });
    await eventually("the rest is gone", () =>
      cluster.agents.every(({ containers }) => containers.size === 0),
    );
  });

  it("is not forgotten by the next leader, who waits anew", async () => {
    await deploy(2);
    for (const agent of cluster.agents) agent.acknowledgesTables = false;
    await calls.deployStack(deployment([web(1)]));
    await eventually("it is out of the tables", () => {
      const [agent] = cluster.agents;
      return [...(agent?.ingress.values() ?? [])].some(({ endpoints }) => endpoints.length === 1);
    });
    expect(stops).toEqual([]);
    await cluster.servers[0]?.stop();
    await eventually("the surplus stops", () => stops.length === 1);
    await converged(calls, "shop_web");
  });
});
