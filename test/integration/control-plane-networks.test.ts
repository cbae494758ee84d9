import {
  type DeployStackRequest,
  EndpointMode,
  Network,
  NetworkOutcome_Kind,
  NetworkSpec,
  parseIpv4,
  parseSubnet,
  subnetHas,
  subnetsOverlap,
} from "@berth/proto";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

const network = (name: string, parts: Partial<NetworkSpec> = {}): NetworkSpec =>
  NetworkSpec.fromPartial({ name, stack: "shop", ...parts });
const BACK = { network: "shop_back" };
const OPTIONAL = { network: "shop_default", optional: true };

/** Returns the DNS entry that an agent has for a service in a network. Both are full names. */
function dnsEntryOn(agent: FakeAgent | undefined, serviceName: string, networkName: string) {
  const [found] = [...(agent?.networks.values() ?? [])].filter(({ spec }) => spec?.name === networkName);
  return [...(agent?.names.values() ?? [])].find(
    (entry) => entry.serviceName === serviceName && entry.networkId === found?.id,
  );
}

async function networkNames(calls: TestServer["calls"]): Promise<readonly (string | undefined)[]> {
  const { networks } = await calls.listNetworks({ stack: "" });
  return networks.map((summary) => summary.network?.spec?.name);
}

describe("the networks of a stack", () => {
  it("networks have a disjoint range on each node with tasks and are removed with the stack", async () => {
    const { calls } = await context.cluster.startServer();
    const agents = await context.cluster.startAgents(["a", "b", "c"]);
    const request: DeployStackRequest = deployment(
      [
        service("web", { replicas: 3, networks: [BACK] }),
        service("db", { networks: [BACK], constraints: ["node.id == a"] }),
      ],
      { networks: [network("shop_back")] },
    );
    const deployed = await calls.deployStack(request);
    expect(deployed.networks.map(({ name, kind }) => [name, kind])).toEqual([
      ["shop_back", NetworkOutcome_Kind.CREATED],
    ]);
    expect(deployed.warnings).toEqual([]);
    await converged(calls, "shop_web");
    await converged(calls, "shop_db");
    for (const agent of agents) {
      await eventually("all DNS entries are complete", () => {
        const web = dnsEntryOn(agent, "shop_web", "shop_back");
        const db = dnsEntryOn(agent, "shop_db", "shop_back");
        const [assigned] = [...agent.networks.values()];
        const isWhole = web?.endpoints.length === 3 && db?.endpoints.length === 1;
        return isWhole && web.vip !== "" && db.vip !== "" && assigned?.peers.length === 2;
      });
    }

    const { network: summary } = await calls.getNetwork({ network: "shop_back" });
    expect(summary?.services).toEqual(["shop_db", "shop_web"]);
    const subnet = parseSubnet(summary?.network?.subnet ?? "");
    const ranges = (summary?.ranges ?? []).map(({ range }) => parseSubnet(range));
    expect(ranges).toHaveLength(3);
    ranges.forEach((range, index) => {
      if (range === undefined || subnet === undefined) throw new Error("no subnet");
      expect(subnetHas(subnet, range.base)).toBe(true);
      for (const other of ranges.slice(index + 1)) {
        if (other !== undefined) expect(subnetsOverlap(range, other)).toBe(false);
      }
    });
    const web = dnsEntryOn(agents[0], "shop_web", "shop_back");
    expect(web).toMatchObject({ stack: "shop", names: ["web"] });
    const addresses = [...(web?.endpoints.map(({ address }) => address) ?? []), web?.vip ?? ""];
    expect(new Set(addresses).size).toBe(4);
    for (const address of addresses) {
      expect(subnet !== undefined && subnetHas(subnet, parseIpv4(address) ?? 0)).toBe(true);
    }

    const again = await calls.deployStack(request);
    expect(again.networks.map(({ kind }) => kind)).toEqual([NetworkOutcome_Kind.UNCHANGED]);
    const removed = await calls.removeServices({ services: [], stack: "shop" });
    expect(removed.networks.map(({ name }) => name)).toEqual(["shop_back"]);
    await eventually("no network is left", async () => (await networkNames(calls)).length === 0);
    for (const agent of agents) {
      await eventually("the node has no network", () => agent.networks.size === 0 && agent.names.size === 0);
    }
    const store = context.cluster.openStore();
    expect(await store.keys()).toEqual(["/berth/v1/nodes/a", "/berth/v1/nodes/b", "/berth/v1/nodes/c"]);
  });

  it("networks and their changes are sent only to nodes with tasks in them", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(
      deployment(
        [
          service("web", { networks: [{ network: "shop_front" }], constraints: ["node.id == a"] }),
          service("db", { networks: [BACK], constraints: ["node.id == b"] }),
        ],
        { networks: [network("shop_front"), network("shop_back")] },
      ),
    );
    await eventually(
      "node a has the entry of web",
      () => dnsEntryOn(a, "shop_web", "shop_front")?.endpoints.length === 1,
    );
    await eventually(
      "node b has the entry of db",
      () => dnsEntryOn(b, "shop_db", "shop_back")?.endpoints.length === 1,
    );
    expect([a?.networks.size, b?.networks.size]).toEqual([1, 1]);
    expect([a?.names.size, b?.names.size]).toEqual([1, 1]);
    expect([...(a?.networks.values() ?? [])][0]?.peers).toEqual([]);

    const messages = b?.received.length ?? 0;
    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 3 }] });
    await eventually(
      "node a has three endpoints of web",
      () => dnsEntryOn(a, "shop_web", "shop_front")?.endpoints.length === 3,
    );
    expect(b?.received.length).toBe(messages);

    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 0 }] });
    await eventually("node a has no network", () => a?.networks.size === 0 && a.names.size === 0);
    // A node keeps its range until it is removed, because reusing the range could assign an address twice.
    const { network: front } = await calls.getNetwork({ network: "shop_front" });
    expect(front?.ranges.map(({ nodeId }) => nodeId)).toEqual(["a"]);
  });

  it("DNS entries do not contain the tasks of down nodes", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await calls.deployStack(
      deployment([service("web", { replicas: 2, networks: [{ ...BACK, aliases: ["www"] }] })], {
        networks: [network("shop_back")],
      }),
    );
    await eventually("both answer", () => dnsEntryOn(a, "shop_web", "shop_back")?.endpoints.length === 2);
    expect(dnsEntryOn(a, "shop_web", "shop_back")?.names).toEqual(["web", "www"]);
    await b?.loseHost();
    await eventually("the task of the down node is gone", () => {
      const endpoints = dnsEntryOn(a, "shop_web", "shop_back")?.endpoints ?? [];
      return endpoints.length > 0 && endpoints.every(({ nodeId }) => nodeId === "a");
    });
  });

  it("the virtual IP of a service stays reserved while it uses DNS round robin", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    const networks = [network("shop_back")];
    const web = service("web", { networks: [BACK] });
    const db = service("db", { networks: [BACK] });
    await calls.deployStack(deployment([web, db], { networks }));
    const vipOf = (name: string) => dnsEntryOn(a, name, "shop_back")?.vip ?? "";
    await eventually(
      "both services have a virtual IP",
      () => vipOf("shop_web") !== "" && vipOf("shop_db") !== "",
    );
    const before = vipOf("shop_web");

    await calls.deployStack(deployment([{ ...web, endpointMode: EndpointMode.DNSRR }, db], { networks }));
    await eventually("the service has no virtual IP", () => vipOf("shop_web") === "");
    const other = service("other", { networks: [BACK] });
    await calls.deployStack(
      deployment([{ ...web, endpointMode: EndpointMode.DNSRR }, db, other], { networks }),
    );
    await eventually("the third service has a virtual IP", () => vipOf("shop_other") !== "");
    expect(vipOf("shop_other")).not.toBe(before);
    await calls.deployStack(deployment([web, db, other], { networks }));
    await eventually("the service has its first virtual IP again", () => vipOf("shop_web") === before);
  });

  it("the networks of a stack stay the same under the next leader", async () => {
    const first = await context.cluster.startServer();
    const second = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    await first.calls.deployStack(
      deployment([service("web", { replicas: 2, networks: [BACK] })], { networks: [network("shop_back")] }),
    );
    await eventually("both answer", () => dnsEntryOn(a, "shop_web", "shop_back")?.endpoints.length === 2);
    await eventually(
      "the service has a virtual IP",
      () => dnsEntryOn(a, "shop_web", "shop_back")?.vip !== "",
    );
    const before = await first.calls.getNetwork({ network: "shop_back" });
    await first.stop();
    const after = await second.calls.getNetwork({ network: "shop_back" });
    expect(after).toEqual(before);
    await eventually("the agents have the same entries", () =>
      [a, b].every((agent) => dnsEntryOn(agent, "shop_web", "shop_back")?.endpoints.length === 2),
    );
  });

  it("the range of a removed node is assigned to another node", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    const networks = [network("shop_back")];
    await calls.deployStack(deployment([service("web", { networks: [BACK] })], { networks }));
    await converged(calls, "shop_web");
    const before = await calls.getNetwork({ network: "shop_back" });
    await a?.loseHost();
    await calls.removeNode({ node: "a", force: true });
    const [b] = await context.cluster.startAgents(["b"]);
    await eventually("the task runs on the other node", () => b?.runningTaskIds.length === 1);
    const after = await calls.getNetwork({ network: "shop_back" });
    expect(after.network?.ranges).toEqual([{ ...before.network?.ranges[0], nodeId: "b" }]);
  });
});

describe("nodes without overlay networks", () => {
  const cannot = { dataPlane: { overlay: false, overlayReason: "rootless" } };

  it("a service with a network gets no such node and fails to deploy if there is no other", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"], cannot);
    const request = deployment([service("web", { replicas: 2, networks: [BACK] })], {
      networks: [network("shop_back")],
    });
    await expect(calls.deployStack(request)).rejects.toThrow(
      "no node can join network shop_back (a: rootless)",
    );
    expect(await networkNames(calls)).toEqual([]);

    await context.cluster.startAgents(["b"]);
    await calls.deployStack(request);
    await converged(calls, "shop_web");
    const tasks = await runningTasks(calls, "shop_web");
    expect(tasks.map(({ nodeId }) => nodeId)).toEqual(["b", "b"]);
    const pinned = service("pinned", { networks: [BACK], constraints: ["node.id == a"] });
    await calls.deployStack({ ...request, services: [...request.services, pinned] });
    await eventually("the service reports the reason", async () => {
      const { service: summary } = await calls.getService({ service: "shop_pinned" });
      return summary?.reasons.some((reason) =>
        reason.includes("1 node cannot have networks that span hosts"),
      );
    });
  });

  it("nodes without overlay networks run tasks whose only network is optional, outside of that network", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"], { dataPlane: undefined });
    const [b] = await context.cluster.startAgents(["b"]);
    const deployed = await calls.deployStack(
      deployment([service("web", { replicas: 2, networks: [OPTIONAL] })], {
        networks: [network("shop_default")],
      }),
    );
    expect(deployed.warnings).toEqual([
      "some nodes cannot join networks that span hosts; other tasks cannot reach tasks on these nodes by service name (a: its agent runs a release that does not support them)",
    ]);
    await converged(calls, "shop_web");
    await eventually(
      "the task on b is in the network",
      () => dnsEntryOn(b, "shop_web", "shop_default")?.endpoints.length === 1,
    );
    expect(a?.runningTaskIds).toHaveLength(1);
    expect([a?.networks.size, a?.names.size]).toEqual([0, 0]);
  });

  it("a service with an encrypted network gets no node without a WireGuard key", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"], {
      dataPlane: { overlay: true, wireguardReason: "no WireGuard in this kernel" },
    });
    const networks = [network("shop_back", { encrypted: true })];
    const request = deployment([service("web", { networks: [{ ...BACK, optional: true }] })], { networks });
    await expect(calls.deployStack(request)).rejects.toThrow(
      "no node can join encrypted network shop_back (a: no WireGuard in this kernel)",
    );
    const [b] = await context.cluster.startAgents(["b"], {
      dataPlane: { overlay: true, wireguardPublicKey: `${"A".repeat(43)}=` },
    });
    await calls.deployStack(request);
    await converged(calls, "shop_web");
    expect(b?.runningTaskIds).toHaveLength(1);
  });
});

describe("a full network", () => {
  /** Large enough for the ranges of 14 nodes with two addresses each. */
  const SMALL = network("shop_back", { subnet: "172.30.0.0/26" });

  it("gets no more tasks on nodes without a range or without a free address", async () => {
    const { calls } = await context.cluster.startServer();
    const nodeIds = Array.from({ length: 16 }, (_, index) => `n${String(index).padStart(2, "0")}`);
    const agents = await context.cluster.startAgents(nodeIds);
    const web = service("web", { replicas: 16, networks: [BACK] });
    await calls.deployStack(deployment([web], { networks: [SMALL] }));
    await converged(calls, "shop_web");
    const { network: summary } = await calls.getNetwork({ network: "shop_back" });
    expect(summary?.ranges).toHaveLength(14);
    expect(agents.filter(({ runningTaskIds }) => runningTaskIds.length === 0)).toHaveLength(2);

    await calls.scaleServices({ services: [{ service: "shop_web", replicas: 30 }] });
    await eventually("28 tasks run", async () => (await runningTasks(calls, "shop_web")).length === 28);
    await eventually("the service reports why no more tasks run", async () => {
      const { service: full } = await calls.getService({ service: "shop_web" });
      return full?.reasons.some(
        (reason) =>
          reason.includes("14 nodes have no address left in network shop_back (2 each)") &&
          reason.includes("2 nodes have no range of network shop_back"),
      );
    });
  });

  it("tasks for which the full network is optional start without it", async () => {
    const { calls } = await context.cluster.startServer();
    const nodeIds = Array.from({ length: 15 }, (_, index) => `n${String(index).padStart(2, "0")}`);
    await context.cluster.startAgents(nodeIds);
    const networks = [{ ...SMALL, name: "shop_default" }];
    await calls.deployStack(
      deployment([service("web", { replicas: 15, networks: [OPTIONAL] })], { networks }),
    );
    await converged(calls, "shop_web");
    expect(new Set((await runningTasks(calls, "shop_web")).map(({ nodeId }) => nodeId)).size).toBe(15);
  });
});

describe("networks", () => {
  it("networks without a stack can be used by stacks and are removed by hand", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    const joining = deployment([service("web", { networks: [{ network: "proxy" }] })]);
    await expect(calls.deployStack(joining)).rejects.toThrow(
      "shop_web: task.networks[0]: no such network: proxy; create it with berth network create proxy",
    );
    const { network: made } = await calls.createNetwork({ spec: NetworkSpec.fromPartial({ name: "proxy" }) });
    const again = await calls.createNetwork({ spec: NetworkSpec.fromPartial({ name: "proxy" }) });
    expect(again.network).toEqual(made);
    await expect(
      calls.createNetwork({ spec: NetworkSpec.fromPartial({ name: "two", subnet: made?.subnet ?? "" }) }),
    ).rejects.toThrow(/overlaps/);
    await calls.deployStack(joining);
    await converged(calls, "shop_web");
    await expect(calls.removeNetworks({ networks: ["proxy"] })).rejects.toThrow(
      "no network was removed: services still use proxy (shop_web)",
    );
    await calls.removeServices({ services: [], stack: "shop" });
    await eventually("no service is left", async () => {
      const { services } = await calls.listServices({ stack: "" });
      return services.length === 0;
    });
    expect(await networkNames(calls)).toEqual(["proxy"]);
    await calls.removeNetworks({ networks: [made?.id.slice(0, 6) ?? ""] });
    await eventually("the network is gone", async () => (await networkNames(calls)).length === 0);
  });

  it("prune keeps networks of a stack that another stack uses", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    const networks = [network("shop_back"), network("shop_front")];
    await calls.deployStack(deployment([service("web", { networks: [BACK] })], { networks }));
    const other = service("web", { stack: "blog", networks: [BACK] });
    await calls.deployStack(deployment([other], { stack: "blog" }));
    const pruned = await calls.deployStack(deployment([service("web")], { networks: [], prune: true }));
    expect(pruned.networks.map(({ name, kind }) => [name, kind])).toEqual([
      ["shop_front", NetworkOutcome_Kind.REMOVED],
    ]);
    await eventually(
      "the unused network is gone",
      async () => (await networkNames(calls)).join() === "shop_back",
    );
    await calls.removeServices({ services: [], stack: "blog" });
    await eventually("stack blog is gone", async () => {
      const { services } = await calls.listServices({ stack: "blog" });
      return services.length === 0;
    });
    await calls.removeServices({ services: [], stack: "shop" });
    await eventually("no network is left", async () => (await networkNames(calls)).length === 0);
  });

  it("a dry run creates no networks", async () => {
    const { calls } = await context.cluster.startServer();
    await context.cluster.startAgents(["a"]);
    const request = deployment([service("web", { networks: [BACK] })], { networks: [network("shop_back")] });
    const { plan } = await calls.deployStack({ ...request, dryRun: true });
    expect(plan?.networks).toEqual([{ networkId: "", name: "shop_back", kind: NetworkOutcome_Kind.CREATED }]);
    expect(await networkNames(calls)).toEqual([]);
    await calls.deployStack({ ...request, planRev: plan?.rev ?? "" });
    expect(await networkNames(calls)).toEqual(["shop_back"]);
  });

  it("networks accept static addresses that no service or range uses", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    const networks = [network("shop_back", { subnet: "172.30.0.0/24" })];
    const at = (name: string, ipv4Address: string) => service(name, { networks: [{ ...BACK, ipv4Address }] });
    await expect(
      calls.deployStack(
        deployment([at("web", "172.31.0.9"), at("db", "172.30.0.9"), at("x", "172.30.0.9")], { networks }),
      ),
    ).rejects.toThrow(
      /172\.31\.0\.9: not in the network.s subnet 172\.30\.0\.0\/24[\s\S]*another service has this static address/,
    );
    await calls.deployStack(deployment([at("web", "172.30.0.40")], { networks }));
    await eventually("the endpoint has the static address", () => {
      const [endpoint] = dnsEntryOn(a, "shop_web", "shop_back")?.endpoints ?? [];
      return endpoint?.address === "172.30.0.40";
    });
    const { network: summary } = await calls.getNetwork({ network: "shop_back" });
    expect(summary?.ranges.map(({ range }) => range)).toEqual(["172.30.0.48/28"]);
    await expect(calls.deployStack(deployment([at("db", "172.30.0.50")], { networks }))).rejects.toThrow(
      "172.30.0.50: it is in the range 172.30.0.48/28 of node a; choose an address from 172.30.0.2 on, in 172.30.0.0/27",
    );
  });
});

it("the leader ignores an unreadable network record", async () => {
  const { store } = context.cluster.openStore();
  const value = JSON.stringify(Network.toJSON(Network.fromPartial({ id: "another" })));
  await store.txn(
    { ops: [{ kind: "put", key: "/berth/v1/networks/n1", value }] },
    AbortSignal.timeout(30_000),
  );
  const { calls } = await context.cluster.startServer();
  expect(await networkNames(calls)).toEqual([]);
});

describe("a network with more nodes than the flood limit", () => {
  it("uses static forwarding entries, which include unhealthy containers", async () => {
    const { calls } = await context.cluster.startServer(undefined, { floodLimit: 1 });
    const [first] = await context.cluster.startAgents(["a", "b"]);
    const db = service("db", { networks: [BACK], constraints: ["node.id == a"] });
    const sick = service("sick", {
      networks: [BACK],
      constraints: ["node.id == b"],
      image: "never-healthy:1",
    });
    const networks = { networks: [network("shop_back")] };
    await calls.deployStack(deployment([db], networks));
    await converged(calls, "shop_db");
    const hasStaticFdb = (): readonly boolean[] =>
      [...(first?.networks.values() ?? [])].map((one) => one.staticFdb);
    expect(hasStaticFdb()).toEqual([false]);
    await calls.deployStack(deployment([db, sick], networks));
    await eventually("the container of the other node is in the entry", () => {
      const entry = dnsEntryOn(first, "shop_sick", "shop_back");
      return entry?.endpoints.length === 0 && entry.inactive.length === 1;
    });
    expect(hasStaticFdb()).toEqual([true]);
  });
});
