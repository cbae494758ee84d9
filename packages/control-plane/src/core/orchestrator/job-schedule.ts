import { type JobStatus, type Service, type ServiceSpec, TaskState } from "@berth/proto";
import type { ServiceTasks } from "../model/snapshot.js";
import { stateOf } from "../model/task-state.js";
import { decideCron } from "./cron.js";
import { isRunActive, nextRunOf, runsOf, withRuns } from "./jobs/job-history.js";
import type { Problem } from "./problems.js";

export type ScheduleDecision =
  /** Runs begin or are ended: nothing else is decided before that is written. */
  | { readonly kind: "change"; readonly service: Service; readonly reason: string }
  | { readonly kind: "keep"; readonly dueMs: readonly number[]; readonly problems: readonly Problem[] };

const KEEP = { kind: "keep", dueMs: [], problems: [] } as const;

/** Which runs a job should have: one for each change of what it runs, or as its schedule says. */
export function decideSchedule(view: ServiceTasks, now: number): ScheduleDecision {
  return view.spec.cron === undefined ? decideOnce(view, now) : decideByCron(view, now);
}

function decideOnce(view: ServiceTasks, now: number): ScheduleDecision {
  const { job, cron, templateVersion } = view.service;
  const service = { ...view.service, cron: undefined };
  if (job === undefined || job.templateVersion !== templateVersion || cron !== undefined) {
    const run = nextRunOf(service, now);
    return { kind: "change", service: { ...service, job: run }, reason: `run ${run.iteration} begins` };
  }
  if (!isRunActive(job) && !job.failed && asksForMore(view, job)) {
    const run = { ...job, endedAtMs: 0, message: "" };
    return { kind: "change", service: { ...service, job: run }, reason: `run ${run.iteration} goes on` };
  }
  return KEEP;
}

/** The number of completions was raised after the run had ended. */
function asksForMore({ spec, tasks }: ServiceTasks, run: JobStatus): boolean {
  if (spec.mode?.$case !== "replicatedJob") return false;
  const completed = new Set<number>();
  for (const task of tasks) {
    if (task.jobIteration === run.iteration && stateOf(task) === TaskState.COMPLETE) completed.add(task.slot);
  }
  return completed.size < spec.mode.value.totalCompletions;
}

function decideByCron({ service, spec }: ServiceTasks, now: number): ScheduleDecision {
  const runs = service.cron === undefined && service.job !== undefined ? [service.job] : runsOf(service);
  const forceUpdate = spec.task?.forceUpdate ?? 0;
  const running = runs.filter(isRunActive).length;
  const decision = cronOf(spec, service, { running, forceUpdate, now });
  switch (decision.kind) {
    case "wait":
      return { ...KEEP, dueMs: decision.atMs === undefined ? [] : [decision.atMs] };
    case "broken":
      return { ...KEEP, problems: [{ why: `its schedule cannot be read: ${decision.why}` }] };
    default: {
      const updated = { ...service, cron: decision.status };
      const former = decision.begin === "instead" ? runs.map((run) => replaced(run, now)) : runs;
      const next = decision.begin === "no" ? former : [nextRunOf(service, now), ...former];
      return { kind: "change", service: withRuns(updated, next), reason: decision.reason };
    }
  }
}

function cronOf(
  { cron }: ServiceSpec,
  service: Service,
  context: Parameters<typeof decideCron>[2],
): ReturnType<typeof decideCron> {
  if (cron === undefined) return { kind: "wait" };
  return decideCron(cron, service.cron, context);
}

function replaced(run: JobStatus, now: number): JobStatus {
  return isRunActive(run)
    ? { ...run, endedAtMs: now, failed: true, message: "the next run took its place" }
    : run;
}
