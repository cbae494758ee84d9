import {
  assertNever,
  DEFAULT_CRON_HISTORY,
  type JobStatus,
  type RestartPolicy,
  RestartPolicy_Condition,
  type Service,
  type ServiceSpec,
  TaskState,
} from "@berth/proto";
import type { ServiceTasks } from "../model/snapshot.js";
import { stateOf } from "../model/task-state.js";
import { type CronContext, type CronDecision, decideCron } from "./cron.js";
import type { Problem } from "./problems.js";

/** Template version of a run that no longer counts, because its service was removed after the run began. */
export const NO_TEMPLATE = 0;

/** Returns whether a service runs its tasks to completion instead of keeping them running. */
export function isJob({ mode }: ServiceSpec): boolean {
  return mode?.$case === "replicatedJob" || mode?.$case === "globalJob";
}

/** Returns whether each task of the service is bound to its own node. */
export function isBoundToNodes({ mode }: ServiceSpec): boolean {
  return mode?.$case === "global" || mode?.$case === "globalJob";
}

/** Returns the restart policy of a job. A task that completed is never restarted. */
export function jobRestartPolicy(spec: ServiceSpec): RestartPolicy {
  const policy = spec.task?.restart ?? { condition: 0, maxAttempts: 0, windowMs: 0 };
  const { NONE, ON_FAILURE } = RestartPolicy_Condition;
  return { ...policy, condition: policy.condition === NONE ? NONE : ON_FAILURE };
}

/** Returns how many tasks of one run may exist at a time; Infinity for all. */
export function maxConcurrent({ mode }: ServiceSpec): number {
  const limit = mode?.$case === "replicatedJob" ? mode.value.maxConcurrent : 0;
  return limit === 0 ? Number.POSITIVE_INFINITY : limit;
}

/** Returns the recorded runs of a job, newest first. A cron job has several, any other job only the last one. */
export function jobRuns({ cron, job, spec }: Service): readonly JobStatus[] {
  if (spec?.cron !== undefined && cron !== undefined) return cron.runs;
  return job === undefined ? [] : [job];
}

/** Returns whether a run has not ended. */
export function isRunActive(run: JobStatus): boolean {
  return run.endedAtMs === 0;
}

/** Returns the service with one of its runs replaced. */
export function withUpdatedRun(service: Service, updated: JobStatus): Service {
  const runs = jobRuns(service).map((run) => (run.iteration === updated.iteration ? updated : run));
  return withRuns(service, runs);
}

/** Returns the service with these runs, newest first. Keeps the active runs and the newest ended runs. */
export function withRuns(service: Service, runs: readonly JobStatus[]): Service {
  const { cron, spec } = service;
  const job = runs[0] ?? service.job;
  if (spec?.cron === undefined || cron === undefined) return { ...service, job };
  const historyLimit = spec.cron.history ?? DEFAULT_CRON_HISTORY;
  const history = new Set(runs.filter((run) => !isRunActive(run)).slice(0, historyLimit));
  const keptRuns = runs.filter((run) => isRunActive(run) || history.has(run));
  return { ...service, job, cron: { ...cron, runs: keptRuns } };
}

function createRun({ job, templateVersion }: Service, nowMs: number): JobStatus {
  return {
    iteration: (job?.iteration ?? 0) + 1,
    startedAtMs: nowMs,
    endedAtMs: 0,
    failed: false,
    message: "",
    templateVersion,
  };
}

/** Decision about the runs of a job. */
export type JobScheduleDecision =
  /** Runs begin or end. The next plan decides their tasks. */
  | { readonly kind: "change"; readonly service: Service; readonly reason: string }
  | { readonly kind: "keep"; readonly dueTimesMs: readonly number[]; readonly problems: readonly Problem[] };

const KEEP_CURRENT_RUN = { kind: "keep", dueTimesMs: [], problems: [] } as const;

/** Decides which runs a job should have: one per template, or the runs of its schedule. */
export function decideJobSchedule(snapshot: ServiceTasks, nowMs: number): JobScheduleDecision {
  return snapshot.spec.cron === undefined ? decideOneOff(snapshot, nowMs) : decideByCron(snapshot, nowMs);
}

function decideOneOff(snapshot: ServiceTasks, nowMs: number): JobScheduleDecision {
  const { job, cron, templateVersion } = snapshot.service;
  const service = { ...snapshot.service, cron: undefined };
  if (job === undefined || job.templateVersion !== templateVersion || cron !== undefined) {
    const run = createRun(service, nowMs);
    return { kind: "change", service: { ...service, job: run }, reason: `run ${run.iteration} begins` };
  }
  if (!isRunActive(job) && !job.failed && needsMoreCompletions(snapshot, job)) {
    const run = { ...job, endedAtMs: 0, message: "" };
    return { kind: "change", service: { ...service, job: run }, reason: `run ${run.iteration} continues` };
  }
  return KEEP_CURRENT_RUN;
}

/** Returns whether the number of completions was raised after the run had ended. */
function needsMoreCompletions({ spec, tasks }: ServiceTasks, run: JobStatus): boolean {
  if (spec.mode?.$case !== "replicatedJob") return false;
  const completed = new Set<number>();
  for (const task of tasks) {
    if (task.jobIteration === run.iteration && stateOf(task) === TaskState.COMPLETE) completed.add(task.slot);
  }
  return completed.size < spec.mode.value.totalCompletions;
}

function decideByCron({ service, spec }: ServiceTasks, nowMs: number): JobScheduleDecision {
  const runs = service.cron === undefined && service.job !== undefined ? [service.job] : jobRuns(service);
  const forceUpdate = spec.task?.forceUpdate ?? 0;
  const running = runs.filter(isRunActive).length;
  const decision = cronDecision(spec, service, { running, forceUpdate, nowMs });
  switch (decision.kind) {
    case "wait":
      return { ...KEEP_CURRENT_RUN, dueTimesMs: decision.atMs === undefined ? [] : [decision.atMs] };
    case "invalid":
      return { ...KEEP_CURRENT_RUN, problems: [{ reason: `invalid schedule: ${decision.reason}` }] };
    case "change": {
      const updated = { ...service, cron: decision.status };
      const earlierRuns = decision.begin === "replace" ? runs.map((run) => endReplacedRun(run, nowMs)) : runs;
      const newRuns = decision.begin === "none" ? [] : [createRun(service, nowMs)];
      const changed = withRuns(updated, [...newRuns, ...earlierRuns]);
      return { kind: "change", service: changed, reason: decision.reason };
    }
    default:
      return assertNever(decision);
  }
}

function cronDecision({ cron }: ServiceSpec, service: Service, context: CronContext): CronDecision {
  return cron === undefined ? { kind: "wait" } : decideCron(cron, service.cron, context);
}

function endReplacedRun(run: JobStatus, nowMs: number): JobStatus {
  if (!isRunActive(run)) return run;
  return { ...run, endedAtMs: nowMs, failed: true, message: "the next run replaced it" };
}
