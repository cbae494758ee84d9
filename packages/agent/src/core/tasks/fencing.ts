import { FENCE_GRACE_MS } from "@berth/proto";
import type { ObservedContainer } from "../docker/observed-container.js";
import { isAlive } from "../docker/observed-container.js";
import type { Decision } from "./step.js";
import type { TaskView } from "./task-view.js";

const WHY = "the leader is out of reach, and of this task at most one may run";

/**
 * What to do about a task while the leader cannot be reached; undefined: as always. An at-most-one task is stopped and
 * none is started. All others go on as the leader last wanted them.
 */
export function fencingDecision(
  view: TaskView,
  container: ObservedContainer | undefined,
): Decision | undefined {
  if (!view.isFenced || !(view.assignment?.task.atMostOne || container?.atMostOne)) return undefined;
  if (container === undefined || !isAlive(container)) return {};
  return {
    step: { kind: "stop", containerId: container.id, graceMs: FENCE_GRACE_MS, failing: WHY },
    reason: WHY,
  };
}
