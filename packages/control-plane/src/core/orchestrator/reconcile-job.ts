import { DesiredState, type JobStatus, type Service, type Task } from "@berth/proto";
import { type Action, buildPlan, type Plan } from "../model/plan.js";
import type { ClusterSnapshot, ReconcileContext, ServiceTasks } from "../model/snapshot.js";
import { currentTaskFilter } from "../model/template.js";
import { placeTasks } from "../scheduler/place-tasks.js";
import { getRequirements } from "../scheduler/requirements.js";
import { occupiesNode } from "../scheduler/resource-request.js";
import { computeServiceLoad } from "../scheduler/service-load.js";
import { decideAutoRemoval } from "./auto-removal.js";
import { decideRun, type RunDecision } from "./job-run.js";
import { decideJobSchedule, isBoundToNodes, isRunActive, jobRuns, withUpdatedRun } from "./job-schedule.js";
import { applyNodeLoss, type NodeLoss } from "./node-loss.js";
import { applyOwnerLoss, OwnerTasks } from "./owner-tasks.js";
import { problemLines } from "./problems.js";
import { goneTest, removeTask } from "./task-removal.js";

/**
 * Plans the changes for one job.
 *
 * Terms: a **run** executes one template once, or once per scheduled time. Its tasks have its iteration number. Each
 * slot of a run completes once. The restart policy decides whether a failed task is retried in its slot. A run is over
 * when each slot has completed or failed. The run has failed when a slot has failed.
 *
 * Steps: apply node losses, begin and end runs, decide the active runs, place the tasks of the oldest run that needs
 * nodes, record the runs that are over, stop and delete the tasks of other runs.
 */
export function reconcileJob(
  snapshot: ServiceTasks,
  cluster: ClusterSnapshot,
  context: ReconcileContext,
): Plan {
  const { nowMs } = context;
  const nodeLoss = applyNodeLoss(snapshot, cluster.nodes, nowMs);
  const owners = OwnerTasks.of(snapshot, { cluster, nowMs });
  const ownerLoss = applyOwnerLoss(nodeLoss.tasks, owners, nowMs);
  const loss: NodeLoss = { ...nodeLoss, actions: [...nodeLoss.actions, ...ownerLoss.actions] };
  const { service, spec } = snapshot;
  const afterLoss: ServiceTasks = { ...snapshot, tasks: ownerLoss.tasks };
  const schedule = decideJobSchedule(afterLoss, nowMs);
  const removal = decideAutoRemoval(service, spec, nowMs);
  if (removal.kind === "remove") {
    const actions: Action[] = [...loss.actions, { kind: "update-service", ...removal.update }];
    return buildPlan(actions, { dueTimesMs: [nowMs], problems: [], nowMs });
  }
  if (schedule.kind === "change") {
    const { reason } = schedule;
    const actions: Action[] = [
      ...loss.actions,
      { kind: "update-service", service: schedule.service, reason },
    ];
    return buildPlan(actions, { dueTimesMs: [nowMs], problems: [], nowMs });
  }
  const runs = decideRuns(afterLoss, cluster, nowMs);
  const decisions = runs.map(({ decision }) => decision);
  const placed = placeNextRun(runs, afterLoss, cluster, { ...context, owners });
  const ended = endRuns(service, runs, nowMs);
  const actions = [
    ...loss.actions,
    ...removeOtherRuns(afterLoss, cluster),
    ...decisions.flatMap((decision) => decision.removals),
    ...placed.actions,
    ...ended,
  ];
  const dueTimesMs = [
    ...loss.dueTimesMs,
    ...schedule.dueTimesMs,
    ...removal.dueTimesMs,
    ...decisions.flatMap((decision) => decision.dueTimesMs),
    ...(placed.isComplete && ended.length === 0 ? [] : [nowMs]),
  ];
  const problems = problemLines([
    ...schedule.problems,
    ...decisions.flatMap((decision) => decision.problems),
  ]);
  return buildPlan(actions, { dueTimesMs, problems, nowMs });
}

interface DecidedRun {
  readonly run: JobStatus;
  readonly decision: RunDecision;
}

/** Decides the active runs, oldest first. */
function decideRuns(snapshot: ServiceTasks, cluster: ClusterSnapshot, nowMs: number): readonly DecidedRun[] {
  const { service, spec, tasks } = snapshot;
  const runs = jobRuns(service).filter(isRunActive).reverse();
  const tasksByRun = new Map<number, Task[]>(runs.map(({ iteration }) => [iteration, []]));
  const leaving: Task[] = [];
  for (const task of tasks) {
    const runTasks = tasksByRun.get(task.jobIteration);
    if (runTasks !== undefined) {
      runTasks.push(task);
    } else if (occupiesNode(task)) {
      leaving.push(task);
    }
  }
  const isGone = goneTest(snapshot, cluster.nodes);
  const context = { spec, version: service.version, cluster, isGone, leaving, nowMs };
  return runs.map((run) => ({ run, decision: decideRun(run, tasksByRun.get(run.iteration) ?? [], context) }));
}

/** Places the tasks of one run. The next run has to see their reservations, so it waits for the next plan. */
function placeNextRun(
  runs: readonly DecidedRun[],
  { service, spec, tasks }: ServiceTasks,
  cluster: ClusterSnapshot,
  context: ReconcileContext & { readonly owners: OwnerTasks | undefined },
): { readonly actions: readonly Action[]; readonly isComplete: boolean } {
  const staying = runs.flatMap(({ decision }) => decision.staying);
  const load = computeServiceLoad(tasks, staying, {
    isCurrent: currentTaskFilter(service),
    nowMs: context.nowMs,
    stable: undefined,
  });
  const { owners } = context;
  const requirements = getRequirements(spec);
  for (const { run, decision } of runs) {
    const jobIteration = run.iteration;
    const actions = placeTasks(decision.placements, {
      ...context,
      service,
      requirements,
      load,
      cluster,
      jobIteration,
      isBoundToNodes: isBoundToNodes(spec),
      findOwners: owners && ((slot) => owners.find(slot)),
    });
    if (actions.length > 0) return { actions, isComplete: runs.length === 1 };
  }
  return { actions: [], isComplete: true };
}

/** Returns the action that records the runs that are over. */
function endRuns(service: Service, runs: readonly DecidedRun[], nowMs: number): readonly Action[] {
  const over = runs.filter(({ decision }) => decision.isOver);
  if (over.length === 0) return [];
  const reasons: string[] = [];
  let updated = service;
  for (const { run, decision } of over) {
    const message = resultText(decision);
    const failed = decision.failures.length > 0;
    updated = withUpdatedRun(updated, { ...run, endedAtMs: nowMs, failed, message });
    reasons.push(`run ${run.iteration} is over: ${message}`);
  }
  return [{ kind: "update-service", service: updated, reason: reasons.join("; ") }];
}

function resultText({ failures, completed, total }: RunDecision): string {
  return [...problemLines(failures), `${completed} of ${total} completed`].join("; ");
}

/** Stops the tasks of recorded runs that are over, and removes the tasks of runs that are no longer recorded. */
function removeOtherRuns(snapshot: ServiceTasks, { nodes }: ClusterSnapshot): readonly Action[] {
  const { service, tasks } = snapshot;
  const isGone = goneTest(snapshot, nodes);
  const runs = new Map(jobRuns(service).map((run) => [run.iteration, run]));
  const actions: Action[] = [];
  for (const task of tasks) {
    const run = runs.get(task.jobIteration);
    if (run !== undefined && (isRunActive(run) || !occupiesOrWaits(task))) continue;
    const desired = run === undefined ? DesiredState.REMOVE : DesiredState.SHUTDOWN;
    actions.push(...removeTask(task, { desired, reason: "its run is over", isGone }));
  }
  return actions;
}

function occupiesOrWaits(task: Task): boolean {
  return occupiesNode(task) || task.nodeId === "";
}
