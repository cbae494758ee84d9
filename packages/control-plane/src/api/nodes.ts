import {
  Availability,
  BerthError,
  type GetNodeRequest,
  type GetNodeResponse,
  type ListNodesResponse,
  type Node,
  type RemoveNodeRequest,
  type RemoveNodeResponse,
  type UpdateNodeRequest,
  type UpdateNodeResponse,
} from "@berth/proto";
import type { ApiContext } from "./api-context.js";
import { findNode } from "./lookup.js";
import { nodeRemoval } from "./remove-node.js";
import { nodeSummary } from "./summaries.js";

/** Docker's own rule for label keys is looser; this one can be written in a constraint. */
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$/;
const MAX_LABEL_VALUE_LENGTH = 1_024;
const MAX_LABELS = 256;

export function listNodes({ state }: ApiContext): ListNodesResponse {
  const nodes = [...state.nodes.values()].sort(byHostname);
  return { nodes: nodes.map((node) => nodeSummary(state, node)) };
}

export function getNode({ node }: GetNodeRequest, { state }: ApiContext): GetNodeResponse {
  return { node: nodeSummary(state, findNode(state, node)) };
}

/** @throws BerthError BERTH_INPUT_INVALID for labels that cannot be */
export async function updateNode(
  request: UpdateNodeRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<UpdateNodeResponse> {
  checkLabels(request.addLabels);
  const node = await writer.submit((state) => {
    const known = findNode(state, request.node);
    const updated: Node = {
      ...known,
      availability: request.availability || known.availability || Availability.ACTIVE,
      labels: updatedLabels(known.labels, request),
    };
    return { changes: [{ kind: "put-node", node: updated }], result: updated };
  }, signal);
  return { node };
}

/** @throws BerthError BERTH_NODE_IN_USE while it is up or may run at-most-one tasks, unless forced */
export async function removeNode(
  request: RemoveNodeRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveNodeResponse> {
  const { force } = request;
  const nodeId = await writer.submit((state) => {
    const node = findNode(state, request.node);
    return { changes: nodeRemoval(node, state, { now: runtime.now(), force }), result: node.id };
  }, signal);
  return { nodeId };
}

function updatedLabels(labels: Node["labels"], request: UpdateNodeRequest): Node["labels"] {
  const updated = { ...labels, ...request.addLabels };
  for (const key of request.removeLabels) delete updated[key];
  if (Object.keys(updated).length > MAX_LABELS) throw badLabel(`a node has at most ${MAX_LABELS} labels`);
  return updated;
}

function checkLabels(labels: Node["labels"]): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(key))
      throw badLabel(`${JSON.stringify(key)} is no label key: use letters, digits, . _ - and /`);
    if (value.length > MAX_LABEL_VALUE_LENGTH) {
      throw badLabel(`the value of label ${key} has more than ${MAX_LABEL_VALUE_LENGTH} characters`);
    }
  }
}

function badLabel(message: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `The node was not changed: ${message}.` });
}

function byHostname(a: Node, b: Node): number {
  const [x, y] = [a.description?.hostname ?? "", b.description?.hostname ?? ""];
  return x < y || (x === y && a.id < b.id) ? -1 : 1;
}
