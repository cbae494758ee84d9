import {
  type AutoscaleSpec,
  type CronSpec,
  RestartPolicy_Condition,
  type ServiceSpec,
} from "../../gen/berth/v1/spec.js";
import { parseSchedule } from "./schedule.js";
import type { Report } from "./violation.js";

/** Maximum number of tasks of a service. */
export const MAX_REPLICAS = 100_000;
/** Maximum number of kept runs of a cron job. Each finished run keeps its tasks, and their containers on the nodes. */
const MAX_HISTORY = 1_000;

/** Checks the mode of a service, its schedule, and its autoscaling. */
export function validateModes(spec: ServiceSpec, report: Report): void {
  const { mode, cron, autoscale } = spec;
  if (mode?.$case === "replicated") {
    validateCount(mode.value.replicas, "replicated.replicas", "replicas", report);
  }
  if (mode?.$case === "replicatedJob") {
    const { totalCompletions, maxConcurrent } = mode.value;
    validateCount(totalCompletions, "replicated_job.total_completions", "completions", report);
    validateCount(maxConcurrent, "replicated_job.max_concurrent", "tasks at a time", report);
  }
  const isJob = mode?.$case === "replicatedJob" || mode?.$case === "globalJob";
  if (isJob) validateJob(spec, report);
  if (spec.autoRemove && (!isJob || cron !== undefined)) {
    report("auto_remove", "only a job without a schedule can be removed after its run");
  }
  if (cron !== undefined) validateCron(cron, isJob, report);
  if (autoscale !== undefined) validateAutoscale(autoscale, mode?.$case === "replicated", report);
}

function validateCount(value: number, path: string, noun: string, report: Report): void {
  if (Number.isInteger(value) && value >= 0 && value <= MAX_REPLICAS) return;
  report(path, `${value} ${noun} is out of range (0 to ${MAX_REPLICAS})`);
}

function validateJob({ task, ports, rollback }: ServiceSpec, report: Report): void {
  if (task?.restart?.condition === RestartPolicy_Condition.ANY) {
    report("task.restart.condition", "a job cannot have the restart condition any; use on-failure or none");
  }
  if (ports.length > 0) report("ports", "a job cannot publish ports");
  if (rollback !== undefined) report("rollback", "a job has no rollbacks");
}

function validateCron(cron: CronSpec, isJob: boolean, report: Report): void {
  if (!isJob) report("cron", "only a job can have a schedule; use mode replicated-job or global-job");
  const parsed = parseSchedule(cron.schedule, cron.timeZone);
  if (parsed.kind === "invalid") report(`cron.${parsed.field}`, parsed.reason);
  if ((cron.history ?? 0) > MAX_HISTORY) {
    report("cron.history", `a history of ${cron.history} runs is out of range (0 to ${MAX_HISTORY})`);
  }
  if (cron.startingDeadlineMs < 0) report("cron.starting_deadline_ms", "the deadline is negative");
}

function validateAutoscale(autoscale: AutoscaleSpec, isReplicated: boolean, report: Report): void {
  const { min, max, targetCpuPercent, targetConnections, scaleUpWindowMs, scaleDownWindowMs } = autoscale;
  if (!isReplicated) report("autoscale", "only a replicated service can be autoscaled");
  validateCount(min, "autoscale.min", "replicas", report);
  if (max < 1) report("autoscale.max", "the maximum must be at least 1; scale the service to 0 instead");
  validateCount(max, "autoscale.max", "replicas", report);
  if (min > max) report("autoscale.max", `the maximum (${max}) is below the minimum (${min})`);
  const targets = { target_cpu_percent: targetCpuPercent, target_connections: targetConnections };
  for (const [name, target] of Object.entries(targets)) {
    if (!(target >= 0) || target === Number.POSITIVE_INFINITY) {
      report(`autoscale.${name}`, `${target} is not a valid target`);
    }
  }
  if (min > 0 && targetCpuPercent === 0 && targetConnections === 0) {
    report("autoscale", "no target is set; set a CPU percentage, connections per replica, or both");
  }
  const windows = { scale_up_window_ms: scaleUpWindowMs, scale_down_window_ms: scaleDownWindowMs };
  for (const [name, windowMs = 0] of Object.entries(windows)) {
    if (windowMs < 0) report(`autoscale.${name}`, "the window is negative");
  }
}
