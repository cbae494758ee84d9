import { Availability, type Node, NodeState } from "@berth/proto";
import type { EventReason, Happening } from "./event.js";

/** A host with more wrong than this is told of in `node inspect`. */
const MAX_PROBLEMS = 5;

/** What a change of one node's record says. */
export function eventsOfNode(
  { before, after }: { readonly before: Node | undefined; readonly after: Node | undefined },
  timeMs: number,
): readonly Happening[] {
  const node = after ?? before;
  if (node === undefined) return [];
  const events: Happening[] = [];
  const tell = (reason: EventReason, message: string): void =>
    void events.push({ timeMs, reason, message, node });
  if (after === undefined) {
    tell("NODE_REMOVED", "");
    return events;
  }
  if (before === undefined) tell("NODE_JOINED", after.description?.address ?? "");
  if (after.state !== before?.state) tellState(after, tell);
  else if (after.agentUnreachable !== before.agentUnreachable)
    tell(after.agentUnreachable ? "NODE_AGENT_AWAY" : "NODE_READY", after.stateMessage);
  if (before !== undefined && before.availability !== after.availability)
    tell("NODE_AVAILABILITY", availabilityWord(after.availability));
  for (const problem of newProblems(before, after)) tell("NODE_PROBLEM", problem);
  return events;
}

/** Since when the node has been up or down. */
export function lastEventOfNode(node: Node): Happening | undefined {
  return eventsOfNode(
    { before: { ...node, state: NodeState.UNSPECIFIED }, after: node },
    node.stateSinceMs,
  ).at(0);
}

function tellState(
  { state, stateMessage }: Node,
  tell: (reason: EventReason, message: string) => void,
): void {
  if (state === NodeState.READY) tell("NODE_READY", stateMessage);
  if (state === NodeState.DOWN) tell("NODE_DOWN", stateMessage);
}

function newProblems(before: Node | undefined, after: Node): readonly string[] {
  const known = before?.description?.problems ?? [];
  const now = after.description?.problems ?? [];
  return now.filter((problem) => !known.includes(problem)).slice(0, MAX_PROBLEMS);
}

function availabilityWord(availability: Availability): string {
  switch (availability) {
    case Availability.PAUSE:
      return "paused: it gets no new tasks";
    case Availability.DRAIN:
      return "drained: its tasks move elsewhere";
    default:
      return "active";
  }
}
