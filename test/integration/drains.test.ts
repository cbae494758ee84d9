import { Availability, ServiceSpec } from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import { DRAIN_DEADLINE_MS } from "../../packages/control-plane/src/core/endpoints/drain.js";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const PORT = { target: 80, published: 18_080 };

const context = useTestCluster();
let calls: TestServer["calls"];
/** Each stop of a container, with the nodes that still sent connections to the task at that time. */
let stops: { readonly taskId: string; readonly atMs: number; readonly senders: readonly string[] }[];

beforeEach(async () => {
  stops = [];
  const first = await context.cluster.startServer();
  ({ calls } = await context.cluster.startServer());
  await first.calls.getCluster({});
  await context.cluster.startAgents(["a", "b", "c"], {
    onStop: ({ id }) => stops.push({ taskId: id, atMs: performance.now(), senders: sendersTo(id) }),
  });
});

function sendersTo(taskId: string): readonly string[] {
  return context.cluster.agents
    .filter(({ ingress }) =>
      [...ingress.values()].some(({ endpoints }) => endpoints.some((endpoint) => endpoint.taskId === taskId)),
    )
    .map(({ options }) => options.nodeId);
}

/** A service with a short monitoring time. */
function web(replicas: number, image = "web:1"): ServiceSpec {
  const spec = service("web", { replicas, image, ports: [PORT] });
  return ServiceSpec.fromPartial({ ...spec, update: { monitorMs: 50 } });
}

async function deploy(replicas: number, image = "web:1"): Promise<void> {
  await calls.deployStack(deployment([web(replicas, image)]));
  await converged(calls, "shop_web");
}

describe("a draining task", () => {
  it("stops after all nodes have removed it from their tables: after scaling, update and drain", async () => {
    await deploy(6);
    const changesMs = [performance.now()];
    await deploy(2);
    await eventually("surplus tasks stop", () => stops.length === 4);
    changesMs.push(performance.now());
    await deploy(2, "web:2");
    await eventually("updated tasks stop", () => stops.length === 6);
    changesMs.push(performance.now());
    const drain = { availability: Availability.DRAIN, addLabels: {}, removeLabels: [] };
    await calls.updateNode({ ...drain, node: "a" });
    await calls.updateNode({ ...drain, node: "b" });
    await eventually("the drained nodes run no task", () => {
      const [a, b, c] = context.cluster.agents;
      return (
        a?.runningTaskIds.length === 0 && b?.runningTaskIds.length === 0 && c?.runningTaskIds.length === 2
      );
    });
    // On an overloaded machine, a node may acknowledge its table after the deadline, and the leader does not wait longer.
    const isBeforeDeadline = (atMs: number): boolean =>
      changesMs.some((changeMs) => atMs > changeMs && atMs < changeMs + 0.9 * DRAIN_DEADLINE_MS);
    const early = stops.filter(({ atMs, senders }) => senders.length > 0 && isBeforeDeadline(atMs));
    expect(early).toEqual([]);
  });

  it("stops after a second when a node does not acknowledge its table", async () => {
    await deploy(2);
    for (const agent of context.cluster.agents) agent.acknowledgesTables = agent.options.nodeId !== "b";
    const startedMs = performance.now();
    await deploy(1);
    const [stop] = await eventually("the surplus task stops", () => (stops.length > 0 ? stops : undefined));
    // Timers may fire a little early.
    expect((stop?.atMs ?? 0) - startedMs).toBeGreaterThan(0.9 * DRAIN_DEADLINE_MS);
    expect(stop?.senders).toEqual([]);
  });

  it("stops at once when its service is removed", async () => {
    await deploy(2);
    for (const agent of context.cluster.agents) agent.acknowledgesTables = agent.options.nodeId !== "b";
    await calls.removeServices({ services: [], stack: "shop" });
    await eventually("no container is left", () =>
      context.cluster.agents.every(({ containers }) => containers.size === 0),
    );
  });

  it("stops under the next leader, which waits for acknowledgements again", async () => {
    await deploy(2);
    for (const agent of context.cluster.agents) agent.acknowledgesTables = false;
    await calls.deployStack(deployment([web(1)]));
    await eventually("the surplus task is out of the tables", () => {
      const [agent] = context.cluster.agents;
      return [...(agent?.ingress.values() ?? [])].some(({ endpoints }) => endpoints.length === 1);
    });
    expect(stops).toEqual([]);
    await context.cluster.servers[0]?.stop();
    await eventually("the surplus task stops", () => stops.length === 1);
    await converged(calls, "shop_web");
  });
});
