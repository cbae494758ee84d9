import { BerthError, type Node, NodeState, type Task, TaskState } from "@berth/proto";
import { taskAfter } from "../core/apply-action.js";
import { isEnded, stateOf } from "../core/model/task-state.js";
import type { Change } from "../state/change.js";
import type { ClusterState } from "../state/cluster-state.js";

/**
 * What taking a node out of the cluster changes.
 * @throws BerthError BERTH_NODE_IN_USE while it is up or may run at-most-one tasks, unless forced
 */
export function nodeRemoval(
  node: Node,
  state: ClusterState,
  { now, force }: { readonly now: number; readonly force: boolean },
): readonly Change[] {
  if (!force && node.state === NodeState.READY) throw nodeIsUp(node);
  const uncertain = force || node.fenced ? [] : atMostOneTasks(node, state);
  if (uncertain.length > 0) throw tasksAreUncertain(node, uncertain);
  return [
    ...tasksOfGone(state, node, now),
    ...rangesOfGone(state, node.id),
    { kind: "delete-node", nodeId: node.id },
  ];
}

/** Lost, they would be replaced at once: beside the node's own, for as long as its agent does not stop those. */
function atMostOneTasks(node: Node, state: ClusterState): readonly Task[] {
  return [...state.tasks.ofNode(node.id).values()].filter((task) => {
    return !isEnded(task) && state.services.specOf(task.serviceId, task.specVersion)?.atMostOne === true;
  });
}

/** Tasks that ended leave no record behind; the others are lost, so that their services replace them. */
function tasksOfGone(state: ClusterState, node: Node, now: number): readonly Change[] {
  return [...state.tasks.ofNode(node.id).values()].flatMap((task): readonly Change[] => {
    // What a job has done stays done, wherever that was.
    if (task.jobIteration > 0 && stateOf(task) === TaskState.COMPLETE) return [];
    const lost = isEnded(task) ? undefined : lostTask(task, now);
    if (lost !== undefined && stateOf(lost) === TaskState.LOST) return [{ kind: "put-task", task: lost }];
    return [{ kind: "delete-task", serviceId: task.serviceId, taskId: task.id }];
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

function nodeIsUp(node: Node): BerthError {
  return new BerthError({
    code: "BERTH_NODE_IN_USE",
    message: `Node ${nameOf(node)} is up. Drain it and stop its agent first, or remove it with --force.`,
    details: { nodeId: node.id },
  });
}

function tasksAreUncertain(node: Node, tasks: readonly Task[]): BerthError {
  const names = tasks.map(({ serviceName, slot }) => `${serviceName}.${slot}`).sort();
  return new BerthError({
    code: "BERTH_NODE_IN_USE",
    message: `Node ${nameOf(node)} is down, but at-most-one tasks may still run there: ${names.join(", ")}. Try again when its host has been silent for ten seconds, or, if they do not run, remove it with --force.`,
    details: { nodeId: node.id },
  });
}

const nameOf = (node: Node): string => node.description?.hostname || node.id;
