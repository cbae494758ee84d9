import {
  ControlServiceService,
  ServiceOutcome_Kind,
  type ServiceSpec,
  TaskState,
  UpdateConfig,
  type WatchServicesResponse,
} from "@berth/proto";
import { createRpcClient } from "@berth/proto/rpc";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

describe("a stack", () => {
  it("leaves nothing in etcd or on the nodes after it was deployed, scaled and removed", async () => {
    const { calls } = await context.cluster.startServer();
    const agents = await context.cluster.startAgents(["a", "b", "c"]);
    const ports = [{ target: 80, published: 8080 }];

    const deployed = await calls.deployStack(deployment([service("web", { replicas: 3, ports })]));
    expect(deployed.services.map(({ name, kind }) => [name, kind])).toEqual([
      ["shop_web", ServiceOutcome_Kind.CREATED],
    ]);
    await converged(calls, "shop_web");
    expect(agents.map(({ runningTaskIds }) => runningTaskIds.length)).toEqual([1, 1, 1]);
    for (const agent of agents) {
      await eventually("three endpoints", () => agent.ingress.get("tcp//8080")?.endpoints.length === 3);
    }

    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 6 }] });
    await converged(calls, "shop_web");
    expect(agents.map(({ runningTaskIds }) => runningTaskIds.length)).toEqual([2, 2, 2]);

    const again = await calls.deployStack(deployment([service("web", { replicas: 6, ports })]));
    expect(again.services[0]?.kind).toBe(ServiceOutcome_Kind.UNCHANGED);

    await calls.removeServices({ services: [], stack: "shop" });
    await eventually("no task is left", async () => {
      const { tasks } = await calls.listTasks({ service: "", stack: "", node: "" });
      const { services } = await calls.listServices({ stack: "" });
      return tasks.length === 0 && services.length === 0;
    });
    for (const agent of agents) {
      await eventually("no container is left", () => agent.containers.size === 0 && agent.ingress.size === 0);
    }
    const store = context.cluster.openStore();
    expect(await store.keys()).toEqual(["/berth/v1/nodes/a", "/berth/v1/nodes/b", "/berth/v1/nodes/c"]);
  });

  it("gets a new task in the slot of a failed one", async () => {
    const { calls } = await context.cluster.startServer();
    const [agent] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web")]));
    await converged(calls, "shop_web");
    const [failed] = agent?.runningTaskIds ?? [];

    agent?.failTask(failed ?? "", 3);
    await eventually("another task runs", () => {
      const [running] = agent?.runningTaskIds ?? [];
      return running !== undefined && running !== failed;
    });
    const { tasks } = await calls.listTasks({ service: "shop_web", stack: "", node: "" });
    expect(tasks.find(({ id }) => id === failed)?.status).toMatchObject({
      state: TaskState.FAILED,
      exitCode: 3,
    });
  });

  it("replaces its tasks only when their template changes", async () => {
    const { calls } = await context.cluster.startServer();
    const [agent] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    const before = agent?.runningTaskIds;

    await calls.deployStack(deployment([{ ...service("web", { replicas: 2 }), labels: { owner: "alice" } }]));
    await converged(calls, "shop_web");
    expect(agent?.runningTaskIds).toEqual(before);

    await calls.deployStack(
      deployment([{ ...service("web", { replicas: 2, image: "web:2" }), labels: { owner: "alice" } }]),
    );
    await converged(calls, "shop_web");
    expect(agent?.runningTaskIds).toHaveLength(2);
    expect(agent?.runningTaskIds.some((id) => before?.includes(id))).toBe(false);
  });

  it("a removed stack is reported as removed at the end of a watch", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    const deployed = await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    const serviceId = deployed.services[0]?.serviceId ?? "";
    const seen: WatchServicesResponse[] = [];
    let isRemovalRequested = false;
    for await (const response of calls.watchServices({ serviceIds: [serviceId] })) {
      seen.push(response);
      const [watched] = response.services;
      if (watched?.removed) break;
      if (!watched?.summary?.converged || isRemovalRequested) continue;
      isRemovalRequested = true;
      expect(watched.tasks).toHaveLength(2);
      await calls.removeServices({ services: ["shop_web"], stack: "" });
    }
    expect(seen[0]?.services[0]?.serviceId).toBe(serviceId);
    expect(isRemovalRequested).toBe(true);
  });

  it("gets one version for each of ten concurrent deployments", async () => {
    const { calls, socket } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    // Monitored only briefly, because each version waits for the one before it.
    const web = (image: string): ServiceSpec => ({
      ...service("web", { image }),
      update: UpdateConfig.fromPartial({ monitorMs: 100 }),
    });
    await calls.deployStack(deployment([web("web:first")]));
    const images = Array.from({ length: 10 }, (_, i) => `web:${i}`);
    const clients = images.map(() => createRpcClient(ControlServiceService, { socket }));
    const versions = await Promise.all(
      images.map(async (image, i) => {
        const answer = await clients[i]?.calls.deployStack(deployment([web(image)]));
        return answer?.services[0]?.version;
      }),
    );
    for (const client of clients) client.close();
    expect([...versions].sort((a, b) => Number(a) - Number(b))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const last = images[versions.indexOf(11)];
    const { service: summary } = await calls.getService({ service: "shop_web" });
    expect(summary?.service?.spec?.task?.container?.image).toBe(last);
    await converged(calls, "shop_web");
    expect(await runningTasks(calls, "shop_web")).toHaveLength(1);
  });
});
