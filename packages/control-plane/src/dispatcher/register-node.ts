import { isDeepStrictEqual } from "node:util";
import { Availability, type Node, type NodeDescription, NodeState } from "@berth/proto";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** The change that makes a node known, ready and described as its agent says; none when it is all that already. */
export function registrationOf(
  agent: { readonly nodeId: string; readonly description: NodeDescription },
  state: ClusterState,
  now: number,
): readonly Change[] {
  const known = state.nodes.get(agent.nodeId);
  const node = known === undefined ? newNode(agent.nodeId, now) : known;
  const isReady = node.state === NodeState.READY;
  const ready: Node = {
    ...node,
    description: withKnownVolumes(agent.description, node.description),
    state: NodeState.READY,
    stateMessage: "",
    stateSinceMs: isReady ? node.stateSinceMs : now,
    agentUnreachable: false,
    fenced: false,
  };
  return known !== undefined && isDeepStrictEqual(known, ready) ? [] : [{ kind: "put-node", node: ready }];
}

/** While its Docker is away a host cannot say which volumes it has: they have not gone anywhere. */
function withKnownVolumes(said: NodeDescription, known: NodeDescription | undefined): NodeDescription {
  return said.engineReady || known === undefined ? said : { ...said, volumes: known.volumes };
}

function newNode(nodeId: string, now: number): Node {
  return {
    id: nodeId,
    description: undefined,
    availability: Availability.ACTIVE,
    labels: {},
    state: NodeState.UNSPECIFIED,
    stateMessage: "",
    stateSinceMs: now,
    createdAtMs: now,
    agentUnreachable: false,
    fenced: false,
    ignoresProbes: false,
  };
}
