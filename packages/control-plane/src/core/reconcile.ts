import { DesiredState, type Task } from "@berth/proto";
import type { Action, Plan } from "./model/plan.js";
import type { ClusterSnapshot, ReconcileContext, ServiceSnapshot, ServiceTasks } from "./model/snapshot.js";
import { isReady } from "./model/task-state.js";
import { currentTest } from "./model/template.js";
import { replicasOf, wantedReplicas } from "./orchestrator/desired-slots.js";
import { isJob } from "./orchestrator/jobs/job-mode.js";
import { reconcileJob } from "./orchestrator/jobs.js";
import { takeStock } from "./orchestrator/node-loss.js";
import { problemLines } from "./orchestrator/problems.js";
import { RUNS_WELL_MS } from "./orchestrator/restart.js";
import { seatNext } from "./orchestrator/slots/arrivals.js";
import { decide } from "./orchestrator/slots/decide.js";
import { wantedOnNodes } from "./orchestrator/slots/global.js";
import type { Wanted } from "./orchestrator/slots/wanted.js";
import { partitionStable, type StableTasks } from "./orchestrator/stable-tasks.js";
import { dismiss, goneTest, retire, trimHistory } from "./orchestrator/task-removal.js";
import { policyOf } from "./orchestrator/update-policy.js";
import { planOf } from "./plan-of.js";
import { requirementsOf } from "./scheduler/requirements.js";

/**
 * Compares what a service should be with what it is, and says what to change now.
 *
 * Words: a service has **slots** (numbers 1…n, or one per node for a global service); a **task** is one attempt to
 * fill a slot, and only one of its tasks is to run, except while start-first replaces it. A task is **wanted** until
 * its desired state says otherwise, **ended** when nothing of it can run any more, **outdated** when it was made from
 * another template than the service's. What was told to stop and has not confirmed it still occupies its slot and its
 * node.
 *
 * Flow: mark what died with its node → choose the slots to keep, retire and add (`wanted`) → ask each kept slot alone
 * what it needs (`decideSlot`) → see how its rollout fares (`stepRollout`) → pick the slots that may be replaced now
 * (`nextBatch`) → find nodes for all that is to be made (`seating`) → tidy up.
 *
 * Guarantees: the same input gives the same plan, whatever the order of tasks and nodes. No task is in a plan twice.
 * Call it again after the plan is written and whenever a task, the service or a node changes, and at `requeueAtMs`;
 * with nothing left to do the plan is empty. It never waits for anything else.
 */
export function reconcile(view: ServiceSnapshot, cluster: ClusterSnapshot, context: ReconcileContext): Plan {
  if (view.service.removing) return removal(view, cluster);
  if (isJob(view.spec)) return reconcileJob(view, cluster, context);
  const { open, settled } = partitionStable(view, cluster);
  const { service, spec, revisions } = view;
  return reconcileOpen({ service, spec, revisions, tasks: open }, settled, cluster, context);
}

/** Decides about the tasks of the view; `settled` are those of the service that stay whatever is decided. */
export function reconcileOpen(
  view: ServiceTasks,
  settled: StableTasks | undefined,
  cluster: ClusterSnapshot,
  context: ReconcileContext,
): Plan {
  const { nodes } = cluster;
  const { now } = context;
  const isGone = goneTest(view, nodes);

  const { tasks, actions: losses, dueMs: lossesDueMs } = takeStock(view, nodes, now);
  const wanted = wantedSlots({ ...view, tasks }, settled?.size ?? 0, cluster);
  const policy = policyOf(view.service, view.spec);
  const decided = decide({ ...view, tasks }, wanted, {
    cluster,
    policy,
    now,
    leaderSinceMs: context.leaderSinceMs,
  });
  if (decided.kind === "turn") {
    const { service, reason } = decided;
    return {
      actions: [...losses, { kind: "update-service", service, reason }],
      problems: [],
      requeueAtMs: now,
    };
  }

  const { seats, staying } = decided;
  const arrivals = seatNext(seats, { ...context, view, cluster, tasks, staying, settled });
  const proven = provenTasks(staying, now);
  const actions = [
    ...losses,
    ...wanted.retire.flatMap((slot) => retire(slot, "no longer wanted", isGone)),
    ...decided.departures,
    ...wanted.keep.flatMap((slot) => trimHistory(slot, isGone)),
    ...arrivals.actions,
    ...proven.actions,
  ];
  return planOf(actions, {
    dueMs: [...lossesDueMs, ...decided.dueMs, ...proven.dueMs, ...(arrivals.isAll ? [] : [now])],
    problems: problemLines(decided.problems),
    now,
  });
}

function removal(view: ServiceSnapshot, { nodes }: ClusterSnapshot): Plan {
  if (view.tasks.length === 0) {
    return { actions: [{ kind: "remove-service", serviceId: view.service.id }], problems: [] };
  }
  const reason = "its service is removed";
  const isGone = goneTest(view, nodes);
  const actions = view.tasks.flatMap((task) =>
    dismiss(task, { desired: DesiredState.REMOVE, reason, isGone }),
  );
  return { actions, problems: [] };
}

function wantedSlots(view: ServiceTasks, settled: number, { nodes }: ClusterSnapshot): Wanted {
  const need = requirementsOf(view.spec);
  if (view.spec.mode?.$case === "global") return wantedOnNodes(view.tasks, { need, nodes });
  const isCurrent = currentTest(view.service);
  return wantedReplicas(view.tasks, {
    replicas: replicasOf(view.spec, view.service.autoscale) - settled,
    isCurrent,
    spread: need.spread,
    nodes,
  });
}

/** Tasks whose earlier failures are forgiven by now, and when others will be. */
function provenTasks(
  staying: readonly Task[],
  now: number,
): { readonly actions: readonly Action[]; readonly dueMs: readonly number[] } {
  const actions: Action[] = [];
  const dueMs: number[] = [];
  for (const task of staying) {
    if (task.restarts === 0 || !isReady(task)) continue;
    const provenAtMs = (task.status?.sinceMs ?? now) + RUNS_WELL_MS;
    if (provenAtMs <= now) actions.push({ kind: "reset-restarts", task });
    else dueMs.push(provenAtMs);
  }
  return { actions, dueMs };
}
