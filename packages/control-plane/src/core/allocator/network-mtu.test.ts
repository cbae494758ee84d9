import { Network, NetworkSpec, Node } from "@berth/proto";
import { expect, it } from "vitest";
import { mtuProblems, networkMtu } from "./network-mtu.js";

const node = (hostname: string, overlayMtu: number, wireguardPublicKey = "key="): Node =>
  Node.fromPartial({
    id: hostname,
    description: { hostname, dataPlane: { overlay: overlayMtu > 0, overlayMtu, wireguardPublicKey } },
  });
const spec = (parts: Partial<NetworkSpec> = {}): NetworkSpec => NetworkSpec.fromPartial(parts);
const NODES = [node("h1", 8_950), node("h2", 1_450), node("h3", 1_350, ""), node("h4", 0)];

it("networkMtu returns the smallest MTU of the eligible nodes, unless the spec sets one", () => {
  expect(networkMtu(spec(), NODES)).toBe(1_350);
  expect(networkMtu(spec({ encrypted: true }), NODES)).toBe(1_370);
  expect(networkMtu(spec({ mtu: 9_000 }), NODES)).toBe(9_000);
  expect(networkMtu(spec(), [node("h4", 0)])).toBe(0);
});

it("mtuProblems names the nodes that do not support the network's MTU", () => {
  const problems = (mtu: number, nodes: readonly Node[]): readonly string[] =>
    mtuProblems(Network.fromPartial({ mtu, spec: spec() }), nodes);
  expect(problems(1_450, NODES)).toEqual([expect.stringMatching(/^node h3 supports packets of 1350 bytes/)]);
  expect(problems(0, NODES)).toEqual([]);
});
