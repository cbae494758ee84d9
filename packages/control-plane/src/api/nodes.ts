import {
  type AcceptNodeRequest,
  type AcceptNodeResponse,
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
import { nodeName } from "../core/model/node-name.js";
import { taskAfter } from "../core/model/plan.js";
import { isEnded, stateOf } from "../core/model/task-state.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";
import type { ApiContext } from "./api-context.js";
import { findNode } from "./lookup.js";
import { nodeSummary } from "./summaries.js";

/** Pattern of a label key. Stricter than Docker's rule, so that every label can be used in a constraint. */
const LABEL_KEY = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$/;

/** Maximum length of a label's value. */
const MAX_LABEL_VALUE_LENGTH = 1_024;

/** Maximum number of labels of a node. */
const MAX_LABELS = 256;

const AVAILABILITIES: ReadonlySet<Availability> = new Set(
  Object.values(Availability).filter((value) => typeof value === "number"),
);

/** Lists all nodes by hostname. */
export function listNodes({ state }: ApiContext): ListNodesResponse {
  const nodes = [...state.nodes.values()].sort(compareByHostname);
  return { nodes: nodes.map((node) => nodeSummary(state, node)) };
}

/**
 * Returns one node.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export function getNode({ node }: GetNodeRequest, { state }: ApiContext): GetNodeResponse {
  return { node: nodeSummary(state, findNode(state, node)) };
}

/**
 * Changes a node's availability and labels.
 *
 * @throws BerthError BERTH_INPUT_INVALID for invalid values
 */
export async function updateNode(
  request: UpdateNodeRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<UpdateNodeResponse> {
  requireValidLabels(request.addLabels);
  requireKnownAvailability(request.availability);
  const node = await writer.submit((state) => {
    const previous = findNode(state, request.node);
    const updated: Node = {
      ...previous,
      availability: request.availability || previous.availability || Availability.ACTIVE,
      labels: applyLabelChanges(previous.labels, request),
    };
    return { changes: [{ kind: "put-node", node: updated }], result: updated };
  }, signal);
  return { node };
}

/**
 * Approves a node that awaits approval.
 *
 * @throws BerthError BERTH_NOT_FOUND or BERTH_AMBIGUOUS
 */
export async function acceptNode(
  request: AcceptNodeRequest,
  { writer }: ApiContext,
  signal: AbortSignal,
): Promise<AcceptNodeResponse> {
  const node = await writer.submit((state) => {
    const accepted: Node = { ...findNode(state, request.node), awaitsApproval: false };
    return { changes: [{ kind: "put-node", node: accepted }], result: accepted };
  }, signal);
  return { node };
}

/**
 * Removes a node from the cluster.
 *
 * @throws BerthError BERTH_NODE_IN_USE as `nodeRemovalChanges` does
 */
export async function removeNode(
  request: RemoveNodeRequest,
  { writer, runtime }: ApiContext,
  signal: AbortSignal,
): Promise<RemoveNodeResponse> {
  const { force } = request;
  const nodeId = await writer.submit((state) => {
    const node = findNode(state, request.node);
    return {
      changes: nodeRemovalChanges(node, state, { nowMs: runtime.wallClockMs(), force }),
      result: node.id,
    };
  }, signal);
  return { nodeId };
}

/**
 * Returns the changes that remove a node.
 *
 * @throws BerthError BERTH_NODE_IN_USE while it is up or may run at-most-one tasks, unless forced
 */
export function nodeRemovalChanges(
  node: Node,
  state: ClusterState,
  { nowMs, force }: { readonly nowMs: number; readonly force: boolean },
): readonly Change[] {
  if (!force && node.state === NodeState.READY) throw nodeUpError(node);
  const blockingTasks = force || node.fenced ? [] : findAtMostOneTasks(node, state);
  if (blockingTasks.length > 0) throw atMostOneTasksError(node, blockingTasks);
  return [
    ...taskRemovalChanges(state, node, nowMs),
    ...rangeReleaseChanges(state, node.id),
    { kind: "delete-node", nodeId: node.id },
  ];
}

/** Returns the node's at-most-one tasks. Marking them lost would start replacements while the agent may still run them. */
function findAtMostOneTasks(node: Node, state: ClusterState): readonly Task[] {
  return [...state.tasks.ofNode(node.id).values()].filter((task) => {
    return (
      !isEnded(task) && state.services.versions.specOf(task.serviceId, task.specVersion)?.atMostOne === true
    );
  });
}

/** Returns the changes that delete ended tasks and mark the others as lost, so that their services replace them. */
function taskRemovalChanges(state: ClusterState, node: Node, nowMs: number): readonly Change[] {
  return [...state.tasks.ofNode(node.id).values()].flatMap((task): readonly Change[] => {
    // A completed task still counts for its job's run.
    if (task.jobIteration > 0 && stateOf(task) === TaskState.COMPLETE) return [];
    const lost = isEnded(task) ? undefined : markLost(task, nowMs);
    if (lost !== undefined && stateOf(lost) === TaskState.LOST) return [{ kind: "put-task", task: lost }];
    return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
  });
}

/** Returns the changes that release the node's ranges, so that other nodes can use them. */
function rangeReleaseChanges(state: ClusterState, nodeId: string): readonly Change[] {
  return [...state.networks.ranges.ofMember(nodeId).keys()].map((networkId) => ({
    kind: "delete-range",
    networkId,
    nodeId,
  }));
}

function markLost(task: Task, nowMs: number): Task | undefined {
  return taskAfter({ kind: "mark-lost", task, reason: "its node was removed from the cluster" }, nowMs);
}

function applyLabelChanges(labels: Node["labels"], request: UpdateNodeRequest): Node["labels"] {
  const updated = { ...labels, ...request.addLabels };
  for (const key of request.removeLabels) delete updated[key];
  const count = Object.keys(updated).length;
  if (count > MAX_LABELS) throw invalidLabelError(`too many labels (${count}, maximum ${MAX_LABELS})`);
  return updated;
}

/** Rejects unknown enum values, which protobuf decodes to numbers. etcd stores the names of values. */
function requireKnownAvailability(availability: Availability): void {
  if (AVAILABILITIES.has(availability)) return;
  throw new BerthError({
    code: "BERTH_INPUT_INVALID",
    message: `availability ${availability} is not supported by this server; upgrade it to the release of the CLI`,
  });
}

/** @throws BerthError BERTH_INPUT_INVALID for an invalid label */
export function requireValidLabels(labels: Node["labels"]): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!LABEL_KEY.test(key)) {
      throw invalidLabelError(
        `invalid label key ${JSON.stringify(key)}; use up to 128 letters, digits, ".", "_", "-" and "/"`,
      );
    }
    if (value.length > MAX_LABEL_VALUE_LENGTH) {
      throw invalidLabelError(
        `the value of label ${key} is too long (${value.length} characters, maximum ${MAX_LABEL_VALUE_LENGTH})`,
      );
    }
  }
}

function invalidLabelError(reason: string): BerthError {
  return new BerthError({ code: "BERTH_INPUT_INVALID", message: `node was not updated: ${reason}` });
}

function nodeUpError(node: Node): BerthError {
  return new BerthError({
    code: "BERTH_NODE_IN_USE",
    message: `node ${nodeName(node)} is up; drain it and stop its agent first, or use --force`,
    details: { nodeId: node.id },
  });
}

function atMostOneTasksError(node: Node, tasks: readonly Task[]): BerthError {
  const names = tasks.map(({ serviceName, slot }) => `${serviceName}.${slot}`).sort();
  return new BerthError({
    code: "BERTH_NODE_IN_USE",
    message: `node ${nodeName(node)} is down but may still run at-most-one tasks: ${names.join(", ")}; try again when it has been unreachable for 10 s, or use --force if the tasks are not running`,
    details: { nodeId: node.id },
  });
}

function compareByHostname(a: Node, b: Node): number {
  const [hostnameA, hostnameB] = [a.description?.hostname ?? "", b.description?.hostname ?? ""];
  if (hostnameA !== hostnameB) return hostnameA < hostnameB ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
