import { Availability, NodeState, type Task } from "@berth/proto";
import type { NodeView, ServiceView } from "../model.js";
import { isOn, isPaused } from "../rollout/rollout-record.js";
import { type CurrentTest, currentTest } from "../rollout/template.js";
import { isWanted, runsWell } from "../task-state.js";
import { replicasOf } from "./replicated.js";
import { isInUse, slotsByNumber } from "./slots.js";

type Nodes = ReadonlyMap<string, NodeView>;

/** A service's tasks, divided. */
export interface Division {
  /** Each alone in its slot, and just as it should be: nothing is to be decided about it. */
  readonly settled: readonly Task[];
  /** All others. */
  readonly open: readonly Task[];
}

/**
 * Sets the settled tasks aside, so that what happens to one of a thousand slots costs hardly more than that slot.
 * Only where nothing has to look at all of them: no rollout goes on or is to be completed, and none are too many or
 * missing. Otherwise all tasks are open.
 */
export function setSettledAside(view: ServiceView, nodes: Nodes): Division {
  const whole: Division = { settled: [], open: view.tasks };
  if (!isAtRest(view)) return whole;
  const tasksIn = countBySlot(view.tasks);
  if (tasksIn === undefined) return whole;
  const isSettled = settledTest(currentTest(view.service), nodes);
  const settled: Task[] = [];
  const open: Task[] = [];
  for (const task of view.tasks) {
    if (tasksIn[task.slot] === 1 && isSettled(task)) settled.push(task);
    else open.push(task);
  }
  if (settled.length < open.length) return whole;
  const used = slotsByNumber(open).filter(isInUse).length;
  const replicas = replicasOf(view.spec, view.service.autoscale);
  return settled.length + used === replicas ? { settled, open } : whole;
}

function isAtRest({ service, spec }: ServiceView): boolean {
  const { rollout, version, healthyVersion } = service;
  return (
    spec.mode?.$case === "replicated" && healthyVersion === version && !isOn(rollout) && !isPaused(rollout)
  );
}

/** Numbers count from 1 without large gaps; a record with any other was made by hand. */
const MAX_GAP = 1_000;

/** Tasks of each slot, up to 255; undefined when the numbers are too strange to count by. */
function countBySlot(tasks: readonly Task[]): Uint8Array | undefined {
  let highest = 0;
  for (const { slot } of tasks) highest = Math.max(highest, slot);
  if (highest > tasks.length + MAX_GAP) return undefined;
  const counts = new Uint8ClampedArray(highest + 1);
  for (const { slot } of tasks) counts[slot] = (counts[slot] ?? 0) + 1;
  return new Uint8Array(counts.buffer);
}

function settledTest(isCurrent: CurrentTest, nodes: Nodes): (task: Task) => boolean {
  return (task) => {
    if (!isWanted(task) || !runsWell(task) || !isCurrent(task)) return false;
    if (task.restarts > 0 || task.moveTo !== "") return false;
    const node = nodes.get(task.nodeId)?.node;
    return node?.state === NodeState.READY && node.availability !== Availability.DRAIN;
  };
}
