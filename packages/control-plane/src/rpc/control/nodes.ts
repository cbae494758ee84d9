import {
  Availability,
  BerthError,
  type GetNodeRequest,
  type GetNodeResponse,
  type ListNodesResponse,
  type Node,
  NodeState,
  type RemoveNodeRequest,
  type RemoveNodeResponse,
  type Task,
  TaskState,
  type UpdateNodeRequest,
  type UpdateNodeResponse,
} from "@berth/proto";
import { taskAfter } from "../../core/apply-action.js";
import { isEnded, stateOf } from "../../core/task-state.js";
import type { Change } from "../../state/change.js";
import type { ClusterState } from "../../state/cluster-state.js";
import { findNode } from "./find.js";
import type { ControlScope } from "./scope.js";
import { nodeSummary } from "./views.js";

/** Docker's own rule for label keys is looser; this one can be written in a constraint. */
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$/;
const MAX_LABEL_VALUE_LENGTH = 1_024;
const MAX_LABELS = 256;

export function listNodes({ state }: ControlScope): ListNodesResponse {
  const nodes = [...state.nodes.values()].sort(byHostname);
  return { nodes: nodes.map((node) => nodeSummary(state, node)) };
}

export function getNode({ node }: GetNodeRequest, { state }: ControlScope): GetNodeResponse {
  return { node: nodeSummary(state, findNode(state, node)) };
}

/** @throws BerthError BERTH_INPUT_INVALID for labels that cannot be */
export async function updateNode(
  request: UpdateNodeRequest,
  { writer }: ControlScope,
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

/** @throws BerthError BERTH_NODE_IN_USE while the node is up, unless forced */
export async function removeNode(
  request: RemoveNodeRequest,
  { writer, runtime }: ControlScope,
  signal: AbortSignal,
): Promise<RemoveNodeResponse> {
  const nodeId = await writer.submit((state) => {
    const node = findNode(state, request.node);
    if (node.state === NodeState.READY && !request.force) throw nodeIsUp(node);
    const changes = [
      ...tasksOfGone(state, node, runtime.now()),
      ...rangesOfGone(state, node.id),
      { kind: "delete-node", nodeId: node.id } as const,
    ];
    return { changes, result: node.id };
  }, signal);
  return { nodeId };
}

/** Tasks that ended leave no record behind; the others are lost, so that their services replace them. */
function tasksOfGone(state: ClusterState, node: Node, now: number): readonly Change[] {
  return [...state.tasks.ofNode(node.id).values()].map((task): Change => {
    const lost = isEnded(task) ? undefined : lostTask(task, now);
    if (lost !== undefined && stateOf(lost) === TaskState.LOST) return { kind: "put-task", task: lost };
    return { kind: "delete-task", serviceId: task.serviceId, taskId: task.id };
  });
}

/** Its parts of networks may be another node's from now on: what is left on its host is nobody's any more. */
function rangesOfGone(state: ClusterState, nodeId: string): readonly Change[] {
  return [...state.networks.ranges.ofSecond(nodeId).keys()].map((networkId) => ({
    kind: "delete-range",
    networkId,
    nodeId,
  }));
}

function lostTask(task: Task, now: number): Task | undefined {
  return taskAfter({ kind: "mark-lost", task, reason: "its node was removed from the cluster" }, now);
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

function nodeIsUp(node: Node): BerthError {
  const name = node.description?.hostname || node.id;
  return new BerthError({
    code: "BERTH_NODE_IN_USE",
    message: `Node ${name} is up. Drain it and stop its agent first, or remove it with --force.`,
    details: { nodeId: node.id },
  });
}

function byHostname(a: Node, b: Node): number {
  const [x, y] = [a.description?.hostname ?? "", b.description?.hostname ?? ""];
  return x < y || (x === y && a.id < b.id) ? -1 : 1;
}
