import { type Network, NetworkSpec, Node } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { DEFAULT_NETWORK_POOL } from "./address-pool.js";
import { applyNetwork, type NetworkOutcome } from "./apply-network.js";

const spec = (parts: Partial<NetworkSpec> = {}): NetworkSpec =>
  NetworkSpec.fromPartial({ name: "shop_back", stack: "shop", ...parts });

function apply(
  existing: Network | undefined,
  wanted: NetworkSpec,
  others: readonly Network[] = [],
  nodes: readonly Node[] = [],
): NetworkOutcome {
  return applyNetwork(existing, wanted, {
    id: "n1",
    nowMs: 5,
    pool: DEFAULT_NETWORK_POOL,
    others,
    nodes,
    random: () => 0,
  });
}

function made(wanted = spec(), others: readonly Network[] = []): Network {
  const outcome = apply(undefined, wanted, others);
  if (outcome.kind === "refused") throw new Error(outcome.violation.message);
  return outcome.network;
}

const messageOf = (outcome: NetworkOutcome): string =>
  outcome.kind === "refused" ? `${outcome.violation.path}: ${outcome.violation.message}` : outcome.kind;

describe("applyNetwork", () => {
  it("creates a network with a subnet of the pool or with its own", () => {
    expect(made()).toMatchObject({ id: "n1", subnet: "10.64.0.0/18", vni: 4_096, createdAtMs: 5 });
    expect(made(spec({ subnet: "172.20.0.0/16" })).subnet).toBe("172.20.0.0/16");
    expect(made(spec(), [made()])).toMatchObject({ subnet: "10.64.64.0/18", vni: 4_097 });
  });

  it("avoids subnets that contain addresses of nodes", () => {
    const node = (address: string): Node =>
      Node.fromPartial({ id: "x", description: { hostname: "h1", address } });
    const nodes = [node("10.64.0.7"), node("10.64.127.255"), node("fd00::7"), node("")];
    expect(apply(undefined, spec(), [], nodes)).toMatchObject({ network: { subnet: "10.64.128.0/18" } });
    expect(messageOf(apply(undefined, spec({ subnet: "10.64.0.0/24" }), [], nodes))).toMatchInlineSnapshot(
      `"subnet: 10.64.0.0/24 contains 10.64.0.7, the address of node h1; choose a subnet without node addresses"`,
    );
    const network = made(spec({ subnet: "10.64.0.0/24" }));
    expect(apply(network, spec({ subnet: "10.64.0.0/24" }), [], nodes).kind).toBe("unchanged");
  });

  it("avoids subnets that nodes are in, and uses the smallest MTU", () => {
    const node = (hostname: string, overlayMtu: number, subnets: string[]): Node =>
      Node.fromPartial({
        id: "x",
        description: { hostname, dataPlane: { overlay: true, overlayMtu, subnets } },
      });
    const nodes = [node("h1", 1_450, ["10.64.5.0/24", "no subnet"]), node("h2", 1_350, ["172.20.0.0/16"])];
    expect(apply(undefined, spec(), [], nodes)).toMatchObject({
      network: { subnet: "10.64.64.0/18", mtu: 1_350 },
    });
    expect(messageOf(apply(undefined, spec({ subnet: "172.20.5.0/24" }), [], nodes))).toMatchInlineSnapshot(
      `"subnet: 172.20.5.0/24 overlaps 172.20.0.0/16, which node h2 is attached to; choose another subnet"`,
    );
  });

  it("changes nothing for the same spec, and cancels a removal", () => {
    const network = made();
    expect(apply(network, spec())).toEqual({ kind: "unchanged", network });
    expect(apply({ ...network, removing: true }, spec())).toEqual({ kind: "updated", network });
  });

  it("changes attachable and labels in place", () => {
    const changed = spec({ attachable: true, labels: { tier: "back" } });
    expect(apply(made(), changed)).toMatchObject({ kind: "updated", network: { spec: changed } });
  });

  it("tells users to remove the network instead of a stack if the network belongs to no stack", () => {
    const network = made(spec({ stack: "" }));
    expect(messageOf(apply(network, spec({ stack: "", internal: true })))).toContain(
      "while the network exists; remove the network first, or choose another network name",
    );
  });

  it("refuses changes for which hosts would have to recreate the network, and subnets of other networks", () => {
    expect(messageOf(apply(made(), spec({ internal: true })))).toMatchInlineSnapshot(
      `"internal: cannot change from false to true while the network exists; remove the stack first, or choose another network name"`,
    );
    expect(messageOf(apply(made(), spec({ subnet: "172.20.0.0/16" })))).toMatch(
      /^subnet: .*10\.64\.0\.0\/18/,
    );
    expect(messageOf(apply(made(), spec({ stack: "blog" })))).toMatchInlineSnapshot(
      `"name: a network of this name already exists and belongs to stack shop"`,
    );
    const holder = made(spec({ name: "other", subnet: "172.20.0.0/16" }));
    expect(messageOf(apply(undefined, spec({ subnet: "172.20.5.0/24" }), [holder]))).toMatchInlineSnapshot(
      `"subnet: 172.20.5.0/24 overlaps 172.20.0.0/16 of network other"`,
    );
    const full = made(spec({ name: "all", subnet: "10.64.0.0/10" }));
    expect(messageOf(apply(undefined, spec(), [full]))).toMatchInlineSnapshot(
      `"subnet: no subnet is left in 10.64.0.0/10; remove networks, set the subnet of this network, or start the servers with a larger --network-pool"`,
    );
  });
});
