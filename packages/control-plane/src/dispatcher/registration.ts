import { isDeepStrictEqual } from "node:util";
import {
  Availability,
  BerthError,
  type Hello,
  isLoopback,
  type Node,
  type NodeDescription,
  NodeState,
  negotiateVersion,
  ownPeer,
  parseRelease,
  protocolRange,
  type SessionRequest,
  TIMING_SCALE,
  TIMING_SCALE_VARIABLE,
} from "@berth/proto";
import { MAX_NODES } from "../core/membership/member-limits.js";
import { findClaimConflict } from "../core/model/node-claims.js";
import { nodeName } from "../core/model/node-name.js";
import { descriptionProblem } from "../core/model/validate-description.js";
import type { Clock } from "../runtime/clock.js";
import { firstItem } from "../runtime/first-item.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/** Timeout for the hello, which an agent sends as soon as it is connected. */
const HELLO_TIMEOUT_MS = 5_000;

/**
 * Pattern of a node ID. Node IDs appear in etcd keys, in placement constraints and on the command line, so few
 * characters are allowed.
 */
const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * Reads and checks the first message of a session.
 *
 * @throws BerthError BERTH_PROTOCOL, BERTH_VERSION_UNSUPPORTED
 */
export async function readHello(
  incoming: AsyncIterator<SessionRequest>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Hello> {
  const timeoutError = (): BerthError =>
    protocolError(`the agent sent no hello within ${HELLO_TIMEOUT_MS / 1_000} s`);
  const first = await firstItem(incoming, { clock, timeoutMs: HELLO_TIMEOUT_MS, timeoutError }, signal);
  if (first?.message?.$case !== "hello") {
    throw protocolError("the first message of a session must be a hello");
  }
  const hello = first.message.value;
  const { protocolVersion, newestProtocolVersion, description } = hello;
  negotiateVersion(ownPeer("server"), {
    program: "agent",
    release: parseRelease(description?.agentVersion),
    versions: protocolRange(protocolVersion, newestProtocolVersion),
  });
  if (!NODE_ID.test(hello.nodeId)) {
    throw protocolError(
      `invalid node ID ${JSON.stringify(hello.nodeId)}; use up to 64 letters, digits, "_", "." and "-"`,
    );
  }
  const { timingScale } = hello;
  // Earlier releases send 0 and have no other factor than 1.
  if (Math.max(1, timingScale) !== TIMING_SCALE) {
    throw protocolError(
      `${TIMING_SCALE_VARIABLE} is ${Math.max(1, timingScale)} on the agent and ${TIMING_SCALE} on the server; set the same value on all hosts`,
    );
  }
  return hello;
}

/** Returns an error for an agent that violates the protocol of a session. */
export function protocolError(message: string): BerthError {
  return new BerthError({ code: "BERTH_PROTOCOL", message });
}

/** An agent that registers its node, or reports a changed description of it. */
export interface RegisteringAgent {
  readonly nodeId: string;
  readonly description: NodeDescription;
  /** Address and port of the agent's connection. */
  readonly peer: string;
}

/** @throws BerthError BERTH_INPUT_INVALID if the leader cannot use the description */
export function checkDescription({ nodeId, description, peer }: RegisteringAgent): void {
  const problem = descriptionProblem(description) ?? loopbackProblem(description, peer);
  if (problem === undefined) return;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `the description of node ${nodeId} was refused: ${problem}; correct the options of the agent, or run the release of this server`,
    details: { nodeId },
  });
}

/** Other hosts would reach themselves at a loopback address, so all hosts have to run on the machine of the server. */
function loopbackProblem({ address }: NodeDescription, peer: string): string | undefined {
  const connectedFrom = peer.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return isLoopback(address) && !isLoopback(connectedFrom)
    ? `address ${address} is a loopback address, but the agent connects from ${connectedFrom}; set --advertise`
    : undefined;
}

/**
 * Checks a registration against the other nodes.
 *
 * @throws BerthError BERTH_CONFLICT if another live node has the address or the key; BERTH_LIMIT_EXCEEDED when a new
 *   node would exceed the number of nodes
 */
export function checkRegistration(
  { nodeId, description }: RegisteringAgent,
  { nodes }: ClusterState,
  isSuspect: (nodeId: string) => boolean,
): void {
  const existing = nodes.get(nodeId);
  if (existing === undefined && nodes.size >= MAX_NODES) {
    throw new BerthError({
      code: "BERTH_LIMIT_EXCEEDED",
      message: `node ${nodeId} was not registered: the cluster has ${MAX_NODES} nodes, which is the limit; remove nodes that are gone with "berth node rm"`,
      details: { nodeId },
    });
  }
  const conflict = findClaimConflict({ nodeId, known: existing, description }, nodes, isSuspect);
  if (conflict === undefined) return;
  const { claim, holder } = conflict;
  throw new BerthError({
    code: "BERTH_CONFLICT",
    message: `node ${nodeId} was not registered: ${nodeName(holder)} (node ${holder.id}) is connected with ${claim}; set --advertise to an address of this host`,
    details: { nodeId, holder: holder.id },
  });
}

/** @throws BerthError BERTH_NOT_FOUND for a node that was removed, BERTH_NODE_NOT_ACCEPTED while it awaits approval */
export function requireAdmission(nodeId: string, { nodes }: ClusterState): void {
  const node = nodes.get(nodeId);
  if (node === undefined) {
    throw new BerthError({
      code: "BERTH_NOT_FOUND",
      message: `node ${nodeId} was removed from the cluster; join again with "berth agent join" and a new token`,
      details: { nodeId },
    });
  }
  if (!node.awaitsApproval) return;
  throw new BerthError({
    code: "BERTH_NODE_NOT_ACCEPTED",
    message: `node ${nodeId} awaits approval; run "berth node accept ${nodeName(node)}"`,
    details: { nodeId },
  });
}

/** Returns the change that makes a node READY with its agent's description. Empty if the record is up to date. */
export function registrationChanges(
  agent: { readonly nodeId: string; readonly description: NodeDescription },
  state: ClusterState,
  nowMs: number,
): readonly Change[] {
  const existing = state.nodes.get(agent.nodeId);
  const node = existing ?? newNode(agent.nodeId, nowMs);
  const ready: Node = {
    ...node,
    description: withKnownVolumes(agent.description, node.description),
    state: NodeState.READY,
    stateMessage: "",
    stateSinceMs: node.state === NodeState.READY ? node.stateSinceMs : nowMs,
    agentUnreachable: false,
    fenced: false,
  };
  return existing !== undefined && isDeepStrictEqual(existing, ready)
    ? []
    : [{ kind: "put-node", node: ready }];
}

/** Keeps the recorded volumes while dockerd is down, since the agent cannot list them then. */
function withKnownVolumes(reported: NodeDescription, known: NodeDescription | undefined): NodeDescription {
  return reported.engineReady || known === undefined ? reported : { ...reported, volumes: known.volumes };
}

function newNode(nodeId: string, nowMs: number): Node {
  return {
    id: nodeId,
    description: undefined,
    availability: Availability.ACTIVE,
    labels: {},
    state: NodeState.UNSPECIFIED,
    stateMessage: "",
    stateSinceMs: nowMs,
    createdAtMs: nowMs,
    agentUnreachable: false,
    fenced: false,
    ignoresProbes: false,
    hostsServer: false,
    awaitsApproval: false,
    certificateAuthority: "",
  };
}
