import { DesiredState, type JobStatus, type Service, type Task } from "@berth/proto";
import type { Action, Plan } from "../model/plan.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../model/snapshot.js";
import { currentTest } from "../model/template.js";
import { planOf } from "../plan-of.js";
import { placeGlobal, placeReplicated } from "../scheduler/place-tasks.js";
import { requirementsOf } from "../scheduler/requirements.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { serviceLoadOf } from "../scheduler/service-load.js";
import { decideRun, type RunDecision } from "./job-run.js";
import { decideSchedule } from "./job-schedule.js";
import { isRunActive, runsOf, withRun } from "./jobs/job-history.js";
import { isBoundToNodes } from "./jobs/job-mode.js";
import { takeStock } from "./node-loss.js";
import { problemLines } from "./problems.js";
import { dismiss, goneTest } from "./task-removal.js";

/**
 * The same as `reconcile`, for services that run their tasks to the end.
 *
 * Words: a **run** is everything that one change (or one time of a schedule) has asked for; its tasks carry its
 * iteration. A slot of a run is to complete once; what fails is tried again in its slot, as the restart policy says.
 * A run is over when each slot has completed or is given up; it has failed when one is.
 *
 * Flow: mark what died with its node → begin or end runs (`decideSchedule`), alone in its plan → ask each run that is
 * on what it needs (`decideRun`) → find nodes for the oldest that needs some → write down which runs are over → stop
 * and forget what belongs to no run that is remembered.
 */
export function reconcileJob(view: ServiceTasks, cluster: ClusterSnapshot, context: ReconcileContext): Plan {
  const { now } = context;
  const stock = takeStock(view, cluster.nodes, now);
  const schedule = decideSchedule({ ...view, tasks: stock.tasks }, now);
  if (schedule.kind === "change") {
    const { service, reason } = schedule;
    return planOf([...stock.actions, { kind: "update-service", service, reason }], {
      dueMs: [now],
      problems: [],
      now,
    });
  }
  const jobView = { ...view, tasks: stock.tasks };
  const decisions = decideRuns(jobView, cluster, now);
  const arrivals = seat(decisions, jobView, { cluster, context });
  const ended = endedRuns(view.service, decisions, now);
  return planOf(
    [
      ...stock.actions,
      ...departures(jobView, cluster),
      ...decisions.flatMap(({ decision }) => decision.departures),
      ...arrivals.actions,
      ...ended,
    ],
    {
      dueMs: [
        ...stock.dueMs,
        ...schedule.dueMs,
        ...decisions.flatMap(({ decision }) => decision.dueMs),
        ...(arrivals.isComplete && ended.length === 0 ? [] : [now]),
      ],
      problems: problemLines([
        ...schedule.problems,
        ...decisions.flatMap(({ decision }) => decision.problems),
      ]),
      now,
    },
  );
}

interface DecidedRun {
  readonly run: JobStatus;
  readonly decision: RunDecision;
}

/** What the runs that are on need, the oldest first. */
function decideRuns(view: ServiceTasks, cluster: ClusterSnapshot, now: number): readonly DecidedRun[] {
  const runs = runsOf(view.service).filter(isRunActive).reverse();
  const byRun = new Map<number, Task[]>(runs.map(({ iteration }) => [iteration, []]));
  const leaving: Task[] = [];
  for (const task of view.tasks) {
    const own = byRun.get(task.jobIteration);
    if (own !== undefined) own.push(task);
    else if (occupiesNode(task)) leaving.push(task);
  }
  const { spec } = view;
  const isGone = goneTest(view, cluster.nodes);
  const context = {
    spec,
    version: view.service.version,
    need: requirementsOf(spec),
    cluster,
    isGone,
    leaving,
    now,
  };
  return runs.map((run) => ({ run, decision: decideRun(run, byRun.get(run.iteration) ?? [], context) }));
}

/** One run at a time: where the tasks of the next one fit depends on those of this one. */
function seat(
  decisions: readonly DecidedRun[],
  { service, spec, tasks }: ServiceTasks,
  { cluster, context }: { readonly cluster: ClusterSnapshot; readonly context: ReconcileContext },
): { readonly actions: readonly Action[]; readonly isComplete: boolean } {
  const staying = decisions.flatMap(({ decision }) => decision.staying);
  const load = serviceLoadOf(tasks, staying, { isCurrent: currentTest(service), now: context.now });
  const seatAll = isBoundToNodes(spec) ? placeGlobal : placeReplicated;
  const need = requirementsOf(spec);
  for (const { run, decision } of decisions) {
    const jobIteration = run.iteration;
    const actions = seatAll(decision.seats, {
      ...context,
      service,
      requirements: need,
      load,
      cluster,
      jobIteration,
    });
    if (actions.length > 0) return { actions, isComplete: decisions.length === 1 };
  }
  return { actions: [], isComplete: true };
}

function endedRuns(service: Service, decisions: readonly DecidedRun[], now: number): readonly Action[] {
  const over = decisions.filter(({ decision }) => decision.isOver);
  if (over.length === 0) return [];
  const reasons: string[] = [];
  const after = over.reduce((before, { run, decision }) => {
    const message = outcomeOf(decision);
    reasons.push(`run ${run.iteration} is over: ${message}`);
    return withRun(before, { ...run, endedAtMs: now, failed: decision.failures.length > 0, message });
  }, service);
  return [{ kind: "update-service", service: after, reason: reasons.join("; ") }];
}

function outcomeOf({ failures, completed, total }: RunDecision): string {
  return [...problemLines(failures), `${completed} of ${total} completed`].join("; ");
}

/** Tasks of runs that are not on: those that are remembered stop, the others go with all traces. */
function departures(view: ServiceTasks, { nodes }: ClusterSnapshot): readonly Action[] {
  const { service, tasks } = view;
  const isGone = goneTest(view, nodes);
  const runs = new Map(runsOf(service).map((run) => [run.iteration, run]));
  const actions: Action[] = [];
  for (const task of tasks) {
    const run = runs.get(task.jobIteration);
    if (run !== undefined && (isRunActive(run) || !occupiesOrWaits(task))) continue;
    const desired = run === undefined ? DesiredState.REMOVE : DesiredState.SHUTDOWN;
    actions.push(...dismiss(task, { desired, reason: "its run is over", isGone }));
  }
  return actions;
}

const occupiesOrWaits = (task: Task): boolean => occupiesNode(task) || task.nodeId === "";
