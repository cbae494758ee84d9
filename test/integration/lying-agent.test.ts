import { DataPlane, Health, NetworkSpec, PortSpec_Protocol, TaskState, TaskStatus } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import { converged, deployment, runningTasks, service, type TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

const KEY = `${"A".repeat(43)}=`;
const dataPlane = DataPlane.fromPartial({ overlay: true, wireguardPublicKey: KEY });
const BACK = NetworkSpec.fromPartial({ name: "shop_back", stack: "shop" });

/** Returns the addresses of the nodes whose description was accepted. */
async function addressesOf(calls: TestServer["calls"]): Promise<Record<string, string>> {
  const { nodes } = await calls.listNodes({});
  return Object.fromEntries(
    nodes.flatMap(({ node }) => {
      const address = node?.description?.address ?? "";
      return address === "" ? [] : [[node?.id ?? "", address]];
    }),
  );
}

async function lastError(agent: FakeAgent): Promise<string> {
  return eventually("the session ends with an error", () => agent.sessionErrors.at(-1) ?? false);
}

describe("lying-agent: the description of a node", () => {
  it("refuses a node whose address has a second line for other hosts' commands", async () => {
    const { calls } = await context.cluster.startServer();
    const address = "10.0.0.9\n- a second line";
    const liar = context.cluster.startAgent("liar", { description: { address } });
    expect(await lastError(liar)).toBe("BERTH_INPUT_INVALID");
    expect(await addressesOf(calls)).toEqual({});
  });

  it("refuses a new node with the address or the WireGuard key of a live node", async () => {
    const { calls } = await context.cluster.startServer();
    const [victim] = await context.cluster.startAgents(["victim"], { dataPlane });
    const { address } = victim ?? { address: "" };
    const byAddress = context.cluster.startAgent("by-address", { description: { address } });
    const byKey = context.cluster.startAgent("by-key", { dataPlane });
    expect(await lastError(byAddress)).toBe("BERTH_CONFLICT");
    expect(await lastError(byKey)).toBe("BERTH_CONFLICT");
    expect(await addressesOf(calls)).toEqual({ victim: address });
    victim?.reconnect();
    await eventually("the victim is served again", () => (victim?.completeSets ?? 0) > 1);
  });

  it("accepts the address of a host that was reinstalled once its old node is silent", async () => {
    await context.cluster.startServer();
    const [old] = await context.cluster.startAgents(["old"]);
    await old?.kill();
    const again = context.cluster.startAgent("again", {
      hostname: "old",
      description: { address: old?.address ?? "" },
    });
    await eventually("the new node is registered", () => again.completeSets > 0);
  });

  it("ends the session of a node whose new description is invalid and keeps its old one", async () => {
    const { calls } = await context.cluster.startServer();
    const [a] = await context.cluster.startAgents(["a"]);
    a?.describe({ address: "not an address" });
    await eventually("the session ends", () => a?.sessionErrors.includes("BERTH_INPUT_INVALID"));
    expect(await addressesOf(calls)).toEqual({ a: a?.address });
  });

  it("writes at most the budget of a node that changes its description without pause", async () => {
    const { calls } = await context.cluster.startServer();
    const [busy, other] = await context.cluster.startAgents(["busy", "other"]);
    const { store } = context.cluster.openStore();
    const revision = async (): Promise<number> =>
      Number((await readAll(store, { prefix: ROOT }, AbortSignal.timeout(30_000))).revision);
    const before = await revision();
    const filler = "x".repeat(900);
    for (let index = 1; index <= 2_000; index += 1) {
      busy?.describe({ problems: [String(index), ...Array.from({ length: 40 }, () => filler)] });
    }
    other?.describe({ problems: ["disk full"] });
    const problemsOf = async (id: string): Promise<readonly string[]> => {
      const { nodes } = await calls.listNodes({});
      return nodes.find(({ node }) => node?.id === id)?.node?.description?.problems ?? [];
    };
    await eventually("the other node's description is stored", async () => {
      return (await problemsOf("other"))[0] === "disk full";
    });
    await eventually(
      "the last description is stored",
      async () => (await problemsOf("busy"))[0] === "2000",
      // 2,000 messages of 36 kB arrive first.
      50_000,
    );
    expect((await revision()) - before).toBeLessThan(30);
  });
});

describe("lying-agent: the reported status of a task", () => {
  it("keeps an address outside the node's leased range and invalid ports out of other hosts' tables", async () => {
    const { calls } = await context.cluster.startServer();
    const [a, b] = await context.cluster.startAgents(["a", "b"]);
    const networks = [{ network: "shop_back" }];
    await calls.deployStack(
      deployment(
        [
          service("db", { networks, constraints: ["node.id == a"] }),
          service("web", {
            networks,
            constraints: ["node.id == b"],
            ports: [{ target: 80, published: 8_080 }],
          }),
        ],
        { networks: [BACK] },
      ),
    );
    await converged(calls, "shop_db");
    await converged(calls, "shop_web");
    const [db] = await runningTasks(calls, "shop_db");
    const [web] = await runningTasks(calls, "shop_web");
    const [stolen] = db?.status?.addresses ?? [];
    const [own] = web?.status?.addresses ?? [];
    const listed = (agent: FakeAgent | undefined): readonly string[] =>
      [...(agent?.names.values() ?? [])]
        .filter(({ serviceName }) => serviceName === "shop_web")
        .flatMap(({ endpoints }) => endpoints.map(({ address }) => address));
    await eventually("the address is listed", () => listed(a).length === 1);
    for (const address of [stolen?.address ?? "", "127.0.0.1", "10.0.0.1\n- a second line"]) {
      const status = TaskStatus.fromPartial({
        state: TaskState.RUNNING,
        health: Health.HEALTHY,
        message: address,
        addresses: [{ networkId: own?.networkId ?? "", address, macAddress: "" }],
        ports: [{ protocol: PortSpec_Protocol.TCP, target: 80, hostPort: 70_000 }],
      });
      b?.reportRaw({ taskId: web?.id ?? "", serviceId: web?.serviceId ?? "", status, removed: false });
      await eventually("the status is stored", async () => {
        const [task] = await runningTasks(calls, "shop_web");
        return task?.status?.health === Health.HEALTHY && task.status.message.startsWith(address.slice(0, 8));
      });
      const [task] = await runningTasks(calls, "shop_web");
      expect(task?.status?.addresses).toEqual([]);
      expect(task?.status?.ports).toEqual([]);
      await eventually("the address is not listed", () => listed(a).length === 0);
    }
  });
});
