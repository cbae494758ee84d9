import { Availability, type Node, NodeState, type Task, TaskState } from "@berth/proto";
import type { NodeSnapshot, ServiceDefinition } from "../../model/snapshot.js";
import { isDisconnected, isEnded, isReady, shouldRun, stateOf } from "../../model/task-state.js";
import { type CurrentTest, currentTest } from "../../model/template.js";

/** What becomes of a task, by what is known of its node. */
export type Fate =
  | { readonly kind: "none" }
  /** It never comes back, or is not needed if it does: final. */
  | { readonly kind: "lost"; readonly why: string }
  /** Another may take its place; should its node return before that one runs, the task goes on as if nothing was. */
  | { readonly kind: "adrift"; readonly why: string }
  /** Nothing takes its place, before that time or before something else is known of its node. */
  | { readonly kind: "waits"; readonly why: string; readonly untilMs?: number };

export interface FateContext {
  readonly view: ServiceDefinition;
  readonly nodes: ReadonlyMap<string, NodeSnapshot>;
  /** Another task of its slot does its work. */
  readonly isReplaced: (task: Task) => boolean;
  readonly now: number;
}

const NONE: Fate = { kind: "none" };

/** Says of any task of a service what becomes of it. Ask it for all of them: what does not change costs nothing. */
export function fates(context: FateContext): (task: Task) => Fate {
  const isCurrent = currentTest(context.view.service);
  return (task) => {
    if (task.nodeId === "" || isEnded(task)) return NONE;
    const node = context.nodes.get(task.nodeId)?.node;
    if (node === undefined) return { kind: "lost", why: `node ${task.nodeId} was removed` };
    return node.state === NodeState.READY ? NONE : fateOnDownNode(task, node, { ...context, isCurrent });
  };
}

function fateOnDownNode(
  task: Task,
  node: Node,
  context: FateContext & { readonly isCurrent: CurrentTest },
): Fate {
  const { view, now } = context;
  const why = `node ${node.description?.hostname || node.id} is down`;
  const atMostOne = isAtMostOne(task, view);
  if (atMostOne && !node.fenced) return { kind: "waits", why: `${why}; ${NOT_FENCED}` };
  if (!shouldRun(task)) return { kind: "lost", why };
  const { never = false, afterMs = 0 } = view.spec.failover ?? {};
  if (never) return { kind: "waits", why: `${why}; its tasks wait for it (failover: never)` };
  const untilMs = node.stateSinceMs + afterMs;
  if (untilMs > now) {
    return {
      kind: "waits",
      untilMs,
      why: `${why}; its tasks wait for it (failover: after ${afterMs / 1_000} s)`,
    };
  }
  return !atMostOne && mayGoOn(task, node, context) ? { kind: "adrift", why } : { kind: "lost", why };
}

export const NOT_FENCED = "its task waits until it is certain that it runs there no more (at-most-one)";

/** Whether the task is as good as any that could take its place: the others are not worth keeping a slot for. */
function mayGoOn(
  task: Task,
  node: Node,
  { isReplaced, isCurrent }: FateContext & { readonly isCurrent: CurrentTest },
): boolean {
  const ranWell = isReady(task) || (isDisconnected(task) && stateOf(task) === TaskState.RUNNING);
  // A job's task does its work once, and has nothing that a second one beside it would be good for.
  const isOfJob = task.jobIteration > 0;
  return (
    ranWell && isCurrent(task) && !isOfJob && node.availability !== Availability.DRAIN && !isReplaced(task)
  );
}

/** The task itself may be of a version that was, or was not yet, at-most-one. */
export function isAtMostOne(
  { specVersion }: Task,
  { spec, revisions }: Pick<ServiceDefinition, "spec" | "revisions">,
): boolean {
  return spec.atMostOne || revisions.get(specVersion)?.atMostOne === true;
}
