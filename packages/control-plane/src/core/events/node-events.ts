import { Availability, assertNever, type Node, NodeState } from "@berth/proto";
import type { EventReason, EventRecord } from "./event.js";

/** Maximum number of problem events per change. `berth node inspect` shows all problems. */
const MAX_PROBLEMS = 5;

/** A node's record before and after a change. Undefined if there is no record. */
export interface NodeChange {
  readonly before: Node | undefined;
  readonly after: Node | undefined;
}

/** Returns the events of one change of a node's record. */
export function nodeEvents({ before, after }: NodeChange, timeMs: number): readonly EventRecord[] {
  const node = after ?? before;
  if (node === undefined) return [];
  const events: EventRecord[] = [];
  const add = (reason: EventReason, message: string): void => {
    events.push({ timeMs, reason, message, node });
  };
  if (after === undefined) {
    add("NODE_REMOVED", "");
    return events;
  }
  if (before === undefined) add("NODE_JOINED", after.description?.address ?? "");
  if (after.state !== before?.state) {
    addState(after, add);
  } else if (after.agentUnreachable !== before.agentUnreachable) {
    add(after.agentUnreachable ? "NODE_AGENT_AWAY" : "NODE_READY", after.stateMessage);
  }
  if (before !== undefined && before.availability !== after.availability) {
    add("NODE_AVAILABILITY", availabilityText(after.availability));
  }
  for (const problem of newProblems(before, after)) add("NODE_PROBLEM", problem);
  return events;
}

/** Returns the event of the node's current state. */
export function lastNodeEvent(node: Node): EventRecord | undefined {
  const before = { ...node, state: NodeState.UNSPECIFIED };
  return nodeEvents({ before, after: node }, node.stateSinceMs).at(0);
}

function addState({ state, stateMessage }: Node, add: (reason: EventReason, message: string) => void): void {
  switch (state) {
    case NodeState.READY:
      add("NODE_READY", stateMessage);
      return;
    case NodeState.DOWN:
      add("NODE_DOWN", stateMessage);
      return;
    case NodeState.UNSPECIFIED:
      return;
    default:
      assertNever(state);
  }
}

function newProblems(before: Node | undefined, after: Node): readonly string[] {
  const previousProblems = before?.description?.problems ?? [];
  const problems = after.description?.problems ?? [];
  return problems.filter((problem) => !previousProblems.includes(problem)).slice(0, MAX_PROBLEMS);
}

function availabilityText(availability: Availability): string {
  switch (availability) {
    case Availability.PAUSE:
      return "paused: it gets no new tasks";
    case Availability.DRAIN:
      return "drained: its tasks move elsewhere";
    case Availability.ACTIVE:
    case Availability.UNSPECIFIED:
      return "active";
    default:
      return assertNever(availability);
  }
}
