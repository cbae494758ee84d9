import { DataPlane, Network, NetworkRange, Node, NodeDescription, NodeState } from "@berth/proto";
import { expect, it } from "vitest";
import { ClusterState } from "../../state/cluster-state.js";
import { assignedNetwork } from "./assignment-source.js";

interface NodeFields {
  readonly id: string;
  readonly address: string;
  readonly state?: NodeState;
  readonly key?: string;
}

function stateWith(nodes: readonly NodeFields[]): ClusterState {
  const state = new ClusterState();
  const network = Network.fromPartial({ id: "net1", spec: { name: "shop_back" }, subnet: "10.64.0.0/18" });
  state.apply([{ change: { kind: "put-network", network }, revision: 1n }]);
  for (const [index, { id, address, state: nodeState, key = `key-${id}` }] of nodes.entries()) {
    const dataPlane = DataPlane.fromPartial({ wireguardPublicKey: key });
    const description = NodeDescription.fromPartial({ address, dataPlane });
    const node = Node.fromPartial({ id, description, state: nodeState ?? 0, createdAtMs: 1_000 - index });
    const range = NetworkRange.fromPartial({
      networkId: "net1",
      nodeId: id,
      range: `10.64.${index + 9}.0/25`,
      gateway: `10.64.${index + 9}.1`,
    });
    state.apply([
      { change: { kind: "put-node", node }, revision: 2n },
      { change: { kind: "put-range", range }, revision: 2n },
    ]);
  }
  return state;
}

it("assignedNetwork() ignores the former node of a reinstalled host", () => {
  const state = stateWith([
    { id: "a", address: "10.0.0.1" },
    { id: "b-again", address: "10.0.0.2" },
    { id: "b", address: "10.0.0.2" },
    { id: "b-long-ago", address: "10.0.0.2" },
  ]);
  const peersOf = (nodeId: string) => assignedNetwork(state, "net1", nodeId, () => false)?.peers;
  expect(peersOf("a")).toEqual([
    { nodeId: "b-again", address: "10.0.0.2", wireguardPublicKey: "key-b-again" },
  ]);
  expect(peersOf("b-again")).toEqual([{ nodeId: "a", address: "10.0.0.1", wireguardPublicKey: "key-a" }]);
});

it("assignedNetwork() prefers the older of two live nodes with one address or one WireGuard key", () => {
  const state = stateWith([
    { id: "a", address: "10.0.0.1", state: NodeState.READY },
    { id: "thief", address: "10.0.0.2", state: NodeState.READY },
    { id: "key-thief", address: "10.0.0.4", state: NodeState.READY, key: "key-c" },
    { id: "b", address: "10.0.0.2", state: NodeState.READY },
    { id: "c", address: "10.0.0.3", state: NodeState.READY },
  ]);
  const peers = assignedNetwork(state, "net1", "a", () => false)?.peers;
  expect(peers?.map(({ nodeId }) => nodeId)).toEqual(["b", "c"]);
});
