import type { ServiceSpec, Task } from "@berth/proto";
import type { Action } from "../../model/plan.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../../model/snapshot.js";
import { currentTest } from "../../model/template.js";
import { type Placements, placeGlobal, placeReplicated } from "../../scheduler/place-tasks.js";
import { requirementsOf } from "../../scheduler/requirements.js";
import { serviceLoadOf } from "../../scheduler/service-load.js";
import type { StableTasks } from "../stable-tasks.js";

export interface ArrivalContext extends ReconcileContext {
  readonly view: ServiceTasks;
  readonly cluster: ClusterSnapshot;
  /** The tasks of the service that were looked at. */
  readonly tasks: readonly Task[];
  /** Those of them that stay where they are. */
  readonly staying: readonly Task[];
  /** All others, which stay too. */
  readonly settled: StableTasks | undefined;
}

/**
 * Finds nodes for the tasks that are to be made, given by their version (only a paused rollout has several). Those of
 * one version are equal to placement; what they take of the nodes is known to the others once they are written. So
 * a plan places the tasks of the first version for which there is anything to do; `isAll` says whether others wait.
 */
export function seatNext(
  byVersion: ReadonlyMap<number, Placements>,
  context: ArrivalContext,
): { readonly actions: readonly Action[]; readonly isAll: boolean } {
  const waiting = [...byVersion].filter(([, { pending, fills }]) => pending.length + fills.length > 0);
  for (const [index, [version, seats]] of waiting.entries()) {
    const actions = seatVersion(version, seats, context);
    if (actions.length > 0) return { actions, isAll: index === waiting.length - 1 };
  }
  return { actions: [], isAll: true };
}

function seatVersion(asked: number, seats: Placements, context: ArrivalContext): readonly Action[] {
  const { view, cluster, tasks, staying, settled, now } = context;
  const { version, spec } = known(asked, view);
  const isCurrent = currentTest(view.service);
  const load = serviceLoadOf(tasks, staying, { isCurrent, now, settled });
  const seat = spec.mode?.$case === "global" ? placeGlobal : placeReplicated;
  const service = { ...view.service, version };
  return seat(seats, { ...context, service, requirements: requirementsOf(spec), load, cluster });
}

/** An old version whose spec is gone cannot come back: its slots get the newest one. */
function known(
  version: number,
  { service, spec, revisions }: ServiceTasks,
): { readonly version: number; readonly spec: ServiceSpec } {
  const kept = version === service.version ? spec : revisions.get(version);
  return kept === undefined ? { version: service.version, spec } : { version, spec: kept };
}
