import { Availability, ListenerTraffic, ServiceOutcome_Kind, type StreamLogsResponse } from "@berth/proto";
import { beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();
let server: TestServer;
let calls: TestServer["calls"];

beforeEach(async () => {
  server = await context.cluster.startServer();
  calls = server.calls;
});

async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  return promise.then(
    () => {
      throw new Error("the call did not fail");
    },
    (error: Error) => error,
  );
}

describe("deployStack()", () => {
  it("reports all errors of an invalid stack at once and changes nothing", async () => {
    await calls.deployStack(deployment([service("web")]));
    const bad = [
      service("web", { image: "", ports: [{ target: 0, published: 80 }] }),
      service("db", { constraints: ["node.nothing = x"] }),
      service("db"),
    ];
    const error = await failure(calls.deployStack(deployment(bad)));
    expect(error.code).toBe("BERTH_SPEC_INVALID");
    for (const part of ["image", "ports[0].target", "placement.constraints[0]", "duplicate name"]) {
      expect(error.message).toContain(part);
    }
    const { services } = await calls.listServices({ stack: "" });
    expect(services.map(({ service: one }) => [one?.spec?.name, one?.version])).toEqual([["shop_web", 1]]);
  });

  it("refuses a published port that another service has, until that service is removed", async () => {
    const ports = [{ target: 80, published: 8080 }];
    await calls.deployStack(deployment([service("web", { ports })]));
    const other = deployment([service("web", { stack: "blog", ports })], { stack: "blog" });
    const error = await failure(calls.deployStack(other));
    expect(error).toMatchObject({ code: "BERTH_PORT_IN_USE" });
    expect(error.message).toContain("shop_web");
    expect((await calls.listServices({ stack: "blog" })).services).toEqual([]);

    const clash = await failure(
      calls.deployStack(deployment([service("web", { ports }), service("api", { ports })])),
    );
    expect(clash).toMatchObject({ code: "BERTH_PORT_IN_USE" });

    await calls.removeServices({ services: ["shop_web"], stack: "" });
    await eventually(
      "the service is gone",
      async () => (await calls.listServices({ stack: "shop" })).services.length === 0,
    );
    await calls.deployStack(other);
  });

  it("moves a published port from one service of the stack to another in one call", async () => {
    const ports = [{ target: 80, published: 8080 }];
    const [agent] = await context.cluster.startAgents(["a"]);
    await calls.deployStack(deployment([service("old", { ports })]));
    await converged(calls, "shop_old");
    await calls.deployStack(deployment([service("new", { ports })], { prune: true }));
    await converged(calls, "shop_new");
    await eventually("the old service is gone", async () => {
      const { services } = await calls.listServices({ stack: "shop" });
      return services.length === 1;
    });
    await eventually("the port belongs to the new service", () => {
      const entry = agent?.ingress.get("tcp//8080");
      return entry?.serviceName === "shop_new" && entry.endpoints.length === 1;
    });
  });

  it("assigns a published port and keeps it when the stack is deployed again", async () => {
    const web = service("web", { ports: [{ target: 80 }] });
    const published = async (): Promise<number | undefined> => {
      const { service: summary } = await calls.getService({ service: "shop_web" });
      return summary?.service?.spec?.ports[0]?.published;
    };
    await calls.deployStack(deployment([web, service("api", { ports: [{ target: 80 }] })]));
    const assigned = await published();
    expect(assigned).toBeGreaterThanOrEqual(30_000);
    const again = await calls.deployStack(deployment([web]));
    expect(again.services[0]?.kind).toBe(ServiceOutcome_Kind.UNCHANGED);
    expect(await published()).toBe(assigned);
  });

  it("removes services that are no longer in the stack only with prune", async () => {
    await calls.deployStack(deployment([service("web"), service("db")]));
    const kept = await calls.deployStack(deployment([service("web")]));
    expect(kept.services).toHaveLength(1);
    const pruned = await calls.deployStack(deployment([service("web")], { prune: true }));
    expect(pruned.services.map(({ name, kind }) => [name, kind])).toEqual([
      ["shop_web", ServiceOutcome_Kind.UNCHANGED],
      ["shop_db", ServiceOutcome_Kind.REMOVED],
    ]);
    await eventually(
      "the pruned service is gone",
      async () => (await calls.listServices({ stack: "" })).services.length === 1,
    );
  });

  it("deploys a stack with more records than one etcd transaction holds", async () => {
    const services = Array.from({ length: 120 }, (_, i) => service(`s${i}`, { replicas: 0 }));
    const first = await calls.deployStack(deployment(services));
    expect(first.services).toHaveLength(120);
    const again = await calls.deployStack(deployment(services));
    expect(new Set(again.services.map(({ kind }) => kind))).toEqual(new Set([ServiceOutcome_Kind.UNCHANGED]));
  });
});

describe("a reference to a service", () => {
  it("a reference is an ID, a name or a unique prefix of an ID, or an error that lists similar names", async () => {
    const services = Array.from({ length: 40 }, (_, i) => service(`s${i}`, { replicas: 0 }));
    const deployed = await calls.deployStack(deployment(services));
    const ids = deployed.services.map(({ serviceId }) => serviceId);
    const id = ids[0] ?? "";
    expect((await calls.getService({ service: id.slice(0, 12) })).service?.service?.id).toBe(id);
    expect((await calls.getService({ service: "shop_s7" })).service?.service?.spec?.name).toBe("shop_s7");

    const letter = [...new Set(ids.map((each) => each.charAt(0)))].find(
      (each) => ids.filter((one) => one.startsWith(each)).length > 1,
    );
    expect(await failure(calls.getService({ service: letter ?? "" }))).toMatchObject({
      code: "BERTH_AMBIGUOUS",
    });
    const missing = await failure(calls.getService({ service: "s39x" }));
    expect(missing).toMatchObject({ code: "BERTH_NOT_FOUND" });
    expect((await failure(calls.getService({ service: "S39" }))).message).toContain("shop_s39");
  });
});

describe("scaleServices()", () => {
  it("scales none of the services if one of them has no replicas", async () => {
    await calls.deployStack(deployment([service("all", { global: true }), service("web")]));
    const error = await failure(
      calls.scaleServices({
        services: [
          { service: "shop_web", replicas: 5 },
          { service: "shop_all", replicas: 2 },
        ],
      }),
    );
    expect(error).toMatchObject({ code: "BERTH_INPUT_INVALID" });
    expect(error.message).toContain("shop_all");
    const { service: summary } = await calls.getService({ service: "shop_web" });
    expect(summary?.service?.version).toBe(1);
  });
});

describe("updateNode()", () => {
  it("adds and removes labels and keeps the other labels and the availability", async () => {
    await context.cluster.startAgents(["a"]);
    const update = { node: "a", availability: Availability.UNSPECIFIED, addLabels: {}, removeLabels: [] };
    await calls.updateNode({ ...update, addLabels: { zone: "x", disk: "ssd" } });
    const { node } = await calls.updateNode({ ...update, removeLabels: ["disk"] });
    expect(node).toMatchObject({ labels: { zone: "x" }, availability: Availability.ACTIVE });
    expect(await failure(calls.updateNode({ ...update, addLabels: { "a b": "" } }))).toMatchObject({
      code: "BERTH_INPUT_INVALID",
    });
  });
});

describe("streamLogs()", () => {
  async function logOf(target: string, follow: boolean): Promise<readonly string[]> {
    const lines: string[] = [];
    for await (const { message } of calls.streamLogs({ target, follow, tail: -1, sinceMs: 0, untilMs: 0 })) {
      lines.push(textOf(message));
      if (follow && lines.length === 4) break;
    }
    return lines;
  }

  function textOf(message: StreamLogsResponse["message"]): string {
    if (message?.$case === "warning") return `warning: ${message.value}`;
    return Buffer.from(message?.value.entry?.line ?? []).toString();
  }

  it("merges the logs of all tasks in order of time", async () => {
    await context.cluster.startAgents(["a"], {
      log: () => [
        { timeNs: "1000000000000000001", text: "a1" },
        { timeNs: "1000000000000000005", text: "a5" },
      ],
    });
    await context.cluster.startAgents(["b"], {
      log: () => [
        { timeNs: "999999999999999999", text: "b0" },
        { timeNs: "1000000000000000003", text: "b3" },
      ],
    });
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    expect(await logOf("shop_web", false)).toEqual(["b0", "a1", "b3", "a5"]);
    expect([...(await logOf("shop_web", true))].sort()).toEqual(["a1", "a5", "b0", "b3"]);
  });

  it("warns about a disconnected node and sends the logs of the others", async () => {
    const [a] = await context.cluster.startAgents(["a"], { log: () => [{ timeNs: "1", text: "a1" }] });
    const [b] = await context.cluster.startAgents(["b"], { log: () => [{ timeNs: "2", text: "b2" }] });
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    expect(a?.runningTaskIds).toHaveLength(1);
    await b?.loseHost();
    await eventually("b is disconnected", async () =>
      (await fetch(`http://${server.httpAddress}/metrics`))
        .text()
        .then((text) => text.includes("berth_sessions 1")),
    );
    const lines = await logOf("shop_web", false);
    expect(lines).toContain("a1");
    expect(lines.filter((line) => line.startsWith("warning"))).toEqual([
      expect.stringMatching(/^warning: cannot read logs on b: its node is not connected/),
    ]);
  });

  it("sends the log of one task and ends when the task's log ends", async () => {
    const [a] = await context.cluster.startAgents(["a"], { log: (id) => [{ timeNs: "1", text: id }] });
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    const id = a?.runningTaskIds[0] ?? "";
    expect(await logOf(id, false)).toEqual([id]);
    const followed: string[] = [];
    for await (const { message } of calls.streamLogs({
      target: id,
      follow: true,
      tail: -1,
      sinceMs: 0,
      untilMs: 0,
    })) {
      followed.push(textOf(message));
    }
    expect(followed).toEqual([id]);
  });
});

describe("a canceled call", () => {
  it("fails with the caller's reason and leaves no records", async () => {
    const [deployed] = (await calls.deployStack(deployment([service("web")]))).services;
    for (let i = 0; i < 20; i++) {
      for await (const _ of calls.watchServices({ serviceIds: [deployed?.serviceId ?? ""] })) break;
      const canceled = new AbortController();
      const call = failure(calls.deployStack(deployment([service("web")]), { signal: canceled.signal }));
      canceled.abort(new Error("enough"));
      expect((await call).message).toBe("enough");
    }
    await calls.removeServices({ services: [], stack: "shop" });
    await eventually(
      "the service is gone",
      async () => (await calls.listServices({ stack: "" })).services.length === 0,
    );
    expect(await context.cluster.openStore().keys()).toEqual([]);
  });
});

describe("the HTTP listener", () => {
  it("serves the role at /healthz and the counters of the leader and of all nodes at /metrics", async () => {
    const traffic = { serviceName: "shop_web", stack: "shop", port: "80/tcp", connections: 3, ejections: 1 };
    await context.cluster.startAgents(["a"], { listeners: [ListenerTraffic.fromPartial(traffic)] });
    await calls.deployStack(deployment([service("web", { replicas: 2 })]));
    await converged(calls, "shop_web");
    expect(await runningTasks(calls, "shop_web")).toHaveLength(2);
    const health = await fetch(`http://${server.httpAddress}/healthz`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ role: "leader", etcd: "reachable", leader: server.address });
    const readMetrics = async (): Promise<string> =>
      (await fetch(`http://${server.httpAddress}/metrics`)).text();
    // A busy agent may not report its traffic in time.
    await expect.poll(readMetrics).toContain('berth_traffic_nodes{result="ok"} 1');
    const metrics = await readMetrics();
    for (const line of [
      "berth_leader 1",
      "berth_services 1",
      "berth_sessions 1",
      'berth_nodes{state="ready"} 1',
      'berth_tasks{state="running"} 2',
      'berth_traffic_nodes{result="ok"} 1',
      'berth_service_connections_total{stack="shop",service="shop_web",port="80/tcp",node="a"} 3',
      'berth_service_ejections_total{stack="shop",service="shop_web",port="80/tcp",node="a"} 1',
    ]) {
      expect(metrics).toContain(line);
    }
    expect(metrics).toMatch(/berth_store_transactions_total\{outcome="committed"\} [1-9]/);
  });
});
