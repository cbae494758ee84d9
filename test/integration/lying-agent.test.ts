import { DataPlane } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../packages/control-plane/src/store/keys.js";
import { readAll } from "../../packages/control-plane/src/store/read.js";
import { eventually } from "../harness/eventually.js";
import type { FakeAgent } from "../harness/fake-agent/fake-agent.js";
import type { TestServer } from "../harness/test-cluster.js";
import { useTestCluster } from "./cluster-fixture.js";

const context = useTestCluster();

const KEY = `${"A".repeat(43)}=`;
const dataPlane = DataPlane.fromPartial({ overlay: true, wireguardPublicKey: KEY });

async function addressesOf(calls: TestServer["calls"]): Promise<Record<string, string | undefined>> {
  const { nodes } = await calls.listNodes({});
  return Object.fromEntries(nodes.map(({ node }) => [node?.id ?? "", node?.description?.address]));
}

async function lastError(agent: FakeAgent): Promise<string> {
  return eventually("the session ends with an error", () => agent.sessionErrors.at(-1) ?? false);
}

describe("the description of a node", () => {
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
      Number((await readAll(store, { prefix: ROOT }, AbortSignal.timeout(5_000))).revision);
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
      20_000,
    );
    expect((await revision()) - before).toBeLessThan(30);
  });
});
