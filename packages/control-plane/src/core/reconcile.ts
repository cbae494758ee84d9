import { DesiredState, type Task } from "@berth/proto";
import type { ClusterView, ReconcileContext, ServiceView } from "./model.js";
import { isJob } from "./orchestrator/jobs/job-mode.js";
import { reconcileJob } from "./orchestrator/jobs/jobs.js";
import { currentTest } from "./orchestrator/rollout/template.js";
import { policyOf } from "./orchestrator/rollout/update-policy.js";
import { seatNext } from "./orchestrator/slots/arrivals.js";
import { decide } from "./orchestrator/slots/decide.js";
import { dismiss, goneTest, retire, trimHistory } from "./orchestrator/slots/departures.js";
import { wantedOnNodes } from "./orchestrator/slots/global.js";
import { replicasOf, wantedReplicas } from "./orchestrator/slots/replicated.js";
import { RUNS_WELL_MS } from "./orchestrator/slots/restart.js";
import { type Settled, setSettledAside } from "./orchestrator/slots/settled.js";
import { takeStock } from "./orchestrator/slots/stock.js";
import type { Wanted } from "./orchestrator/slots/wanted.js";
import type { Action, Plan } from "./plan.js";
import { planOf } from "./plan-of.js";
import { problemLines } from "./problems.js";
import { requirementsOf } from "./scheduler/filters.js";
import { runsWell } from "./task-state.js";

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
export function reconcile(view: ServiceView, cluster: ClusterView, context: ReconcileContext): Plan {
  if (view.service.removing) return removal(view, cluster);
  if (isJob(view.spec)) return reconcileJob(view, cluster, context);
  const { open, settled } = setSettledAside(view, cluster);
  const { index, ...rest } = view;
  return reconcileOpen({ ...rest, tasks: open }, settled, cluster, context);
}

/** Decides about the tasks of the view; `settled` are those of the service that stay whatever is decided. */
export function reconcileOpen(
  view: ServiceView,
  settled: Settled | undefined,
  cluster: ClusterView,
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
    inChargeSinceMs: context.inChargeSinceMs ?? 0,
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

function removal(view: ServiceView, { nodes }: ClusterView): Plan {
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

function wantedSlots(view: ServiceView, settled: number, { nodes }: ClusterView): Wanted {
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
    if (task.restarts === 0 || !runsWell(task)) continue;
    const provenAtMs = (task.status?.sinceMs ?? now) + RUNS_WELL_MS;
    if (provenAtMs <= now) actions.push({ kind: "reset-restarts", task });
    else dueMs.push(provenAtMs);
  }
  return { actions, dueMs };
}
