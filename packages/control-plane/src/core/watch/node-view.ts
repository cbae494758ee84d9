import type { Node, NodeView } from "@berth/proto";
import { nodeName } from "../model/node-name.js";

/** The leader's knowledge about a node besides its record. */
export interface NodeViewDetails {
  readonly isSuspect: boolean;
  /** Resources that tasks have reserved on the node. */
  readonly reserved: { readonly nanoCpus: number; readonly memoryBytes: number };
  /** Number of tasks that should run on the node. */
  readonly tasks: number;
  /** Problems of the host that the leader has found. */
  readonly problems: readonly string[];
}

/** Returns the view of a node. */
export function viewNode(node: Node, { isSuspect, reserved, tasks, problems }: NodeViewDetails): NodeView {
  const { description } = node;
  return {
    id: node.id,
    hostname: nodeName(node),
    address: description?.address ?? "",
    state: node.state,
    isSuspect,
    agentUnreachable: node.agentUnreachable,
    awaitsApproval: node.awaitsApproval,
    availability: node.availability,
    stateMessage: node.stateMessage,
    stateSinceMs: node.stateSinceMs,
    createdAtMs: node.createdAtMs,
    hostsServer: node.hostsServer,
    labels: node.labels,
    os: description?.os ?? "",
    architecture: description?.architecture ?? "",
    engineVersion: description?.engineVersion ?? "",
    agentVersion: description?.agentVersion ?? "",
    nanoCpus: description?.nanoCpus ?? 0,
    memoryBytes: description?.memoryBytes ?? 0,
    reservedNanoCpus: reserved.nanoCpus,
    reservedMemoryBytes: reserved.memoryBytes,
    generic: description?.generic ?? {},
    tasks,
    problems: [...(description?.problems ?? []), ...problems],
    hasKernelPath: description?.dataPlane?.kernel ?? false,
  };
}
